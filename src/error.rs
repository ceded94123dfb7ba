//! The one error type, for every step of the way: what was being done, with which thing, and what to do next.
//!
//! Every error knows the exit code it ends the program with; see [`exit_code`].

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Exit codes of the command.
pub mod exit_code {
    /// The image exists and was confirmed, or what was asked for was printed.
    pub const DONE: u8 = 0;
    /// Something failed; the message says what, and what to do.
    pub const FAILED: u8 = 1;
    /// The command line or the configuration is wrong; nothing was done.
    pub const USAGE: u8 = 2;
    /// The build itself failed; the step, the lines that tell why and the file with the whole log are shown.
    pub const BUILD_FAILED: u8 = 101;
    /// A signal ended the run: this plus the signal's number (130 for INT, 143 for TERM, 129 for HUP).
    pub const SIGNAL_BASE: u8 = 128;
}

/// The kind of a failure, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Anything without a kind of its own.
    Failed,
    /// A wrong flag, key or reference.
    Usage,
    /// `docker buildx build` or `podman build` ran and failed.
    Build,
    /// A file changed after the project was read.
    Changed,
    /// The base image cannot compile for other platforms.
    CannotCross,
    /// A signal with this number ended the run.
    Interrupted(i32),
}

/// An error of this crate.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    notes: Vec<String>,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure without a kind of its own.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// A wrong flag, key or reference.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// The build itself failed.
    pub fn build(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Build, message)
    }

    /// A file changed after the project was read.
    pub fn changed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Changed, message)
    }

    /// The base image cannot compile for other platforms.
    pub fn cannot_cross(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::CannotCross, message)
    }

    /// The run was ended by `signal`.
    pub fn interrupted(signal: i32) -> Self {
        Self::new(ErrorKind::Interrupted(signal), "interrupted")
    }

    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), notes: Vec::new(), hints: Vec::new(), source: None }
    }

    /// Adds what to do next, shown as a `hint:` line. A hint that is there already is not added again.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
        self
    }

    /// Adds what is known about the state after the failure, shown as a `note:` line.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the cause, shown below the message.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what helps if the system refused to write: `elsewhere` says how to name another place.
    #[must_use]
    pub fn hint_by_cause(self, elsewhere: &str) -> Self {
        let cause = self.source.as_ref().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
        match cause {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                self.hint(format!("no space is left there: free some, or {elsewhere}"))
            }
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => self.hint(elsewhere),
            _ => self,
        }
    }

    /// Says which key of the configuration holds what is wrong.
    #[must_use]
    pub fn in_key(mut self, key: &str) -> Self {
        self.message = format!("`{key}`: {}", self.message);
        self
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is known about the state after the failure.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What to do next; empty where nothing is known to help.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The first of the [`hints`](Self::hints).
    pub fn hint_text(&self) -> Option<&str> {
        self.hints.first().map(String::as_str)
    }

    /// The exit code the command ends with, one of [`exit_code`].
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Failed | ErrorKind::Changed => exit_code::FAILED,
            ErrorKind::Usage => exit_code::USAGE,
            ErrorKind::Build | ErrorKind::CannotCross => exit_code::BUILD_FAILED,
            ErrorKind::Interrupted(signal) => exit_code::SIGNAL_BASE.saturating_add(u8::try_from(signal).unwrap_or(0)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Says what was being done when a lower-level operation failed.
pub trait Context<T> {
    /// Turns the error into an [`Error`] with this message and the original as its cause.
    fn context(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + Send + Sync + 'static> Context<T> for Result<T, E> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::failed(message()).because(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_documented_exit_code() {
        assert_eq!(Error::failed("x").exit_code(), 1);
        assert_eq!(Error::usage("x").exit_code(), 2);
        assert_eq!(Error::build("x").exit_code(), 101);
        assert_eq!(Error::interrupted(2).exit_code(), 130);
        assert_eq!(Error::interrupted(15).exit_code(), 143);
        assert_eq!(Error::interrupted(1).exit_code(), 129);
    }

    #[test]
    fn a_later_hint_erases_no_earlier_one_and_none_is_given_twice() {
        let error = Error::failed("x").hint("first").hint("second").hint("first");
        assert_eq!(error.hints(), ["first", "second"]);
    }
}
