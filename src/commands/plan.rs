//! `plan`: decides and explains, and writes and builds nothing.

use std::time::Instant;

use crate::commands::project_arguments::ProjectArguments;
use crate::error::Result;
use crate::run::Aim;
use crate::system::terminal::Terminal;

/// Decides, and prints the result.
///
/// # Errors
/// When the builder cannot be asked.
pub fn run(arguments: ProjectArguments, terminal: &Terminal, started: Instant) -> Result<()> {
    let json = arguments.wants_json();
    arguments.with_each_run(terminal, started, Aim::Images, |run| {
        Ok(if json { run.plan()?.json() } else { run.plan()?.lines() })
    })
}
