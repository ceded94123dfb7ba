//! The subcommands, one file each: its arguments and what it does. `cli.rs` lists them.

pub mod build;
pub mod completions;
pub mod man;
pub mod plan;
pub mod project_arguments;
pub mod tags;
