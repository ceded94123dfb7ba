//! `tags`: prints the names; no engine is asked, unless the base image is pinned.

use std::time::Instant;

use crate::commands::project_arguments::ProjectArguments;
use crate::error::Result;
use crate::run::Aim;
use crate::system::terminal::Terminal;

/// Computes the names, and prints the result.
///
/// # Errors
/// When the project cannot be read or named.
pub fn run(arguments: ProjectArguments, terminal: &Terminal, started: Instant) -> Result<()> {
    let json = arguments.wants_json();
    arguments.with_each_run(terminal, started, Aim::Names, |run| {
        Ok(if json { run.names().json() } else { run.names().lines() })
    })
}
