//! What the program needs of the machine, for every step of the way: processes, signals, the terminal, locks, logs,
//! git, Cargo, the environment.

pub mod cargo;
pub mod command;
pub mod environment;
pub mod git;
mod hiding;
pub mod interrupt;
pub(crate) mod kept;
pub mod lock;
pub mod log_file;
pub mod paths;
pub mod reading;
pub(crate) mod stat;
pub mod tee;
pub mod terminal;
