//! `build`: makes the image exist, and prints its name.

use std::time::Instant;

use crate::commands::project_arguments::ProjectArguments;
use crate::error::Result;
use crate::run::Aim;
use crate::system::terminal::Terminal;

/// Makes the image exist, and prints the result.
///
/// # Errors
/// When a step fails; nothing half-done keeps a name.
pub fn run(arguments: ProjectArguments, terminal: &Terminal, started: Instant) -> Result<()> {
    let json = arguments.wants_json();
    arguments.with_each_run(terminal, started, Aim::Images, |run| {
        Ok(if json { run.build()?.json() } else { run.build()?.image })
    })
}
