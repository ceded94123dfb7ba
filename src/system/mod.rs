//! What the program needs of the machine: processes, signals, the terminal, locks, git, Cargo, the environment.

pub mod cargo;
pub mod command;
pub mod environment;
pub mod git;
pub mod interrupt;
pub mod lock;
pub mod log_file;
pub mod tee;
pub mod terminal;
