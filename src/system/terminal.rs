//! The one place that prints: status, warnings and errors to stderr, the result to stdout.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error as _;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};

use crate::error::{Error, Result};
use crate::redact::redacted;
use crate::system::environment::variable;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` or `CARGO_TERM_COLOR` say otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// The steps as well.
    Normal,
    /// The commands that are run as well.
    Verbose,
}

/// Prints messages to stderr and the result to stdout.
#[derive(Debug, Clone)]
pub struct Terminal {
    verbosity: Verbosity,
    color: bool,
}

const STATUS: Style = AnsiColor::Green.on_default().bold();

const WARNING: Style = AnsiColor::Yellow.on_default().bold();

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

const NOTE: Style = AnsiColor::Green.on_default().bold();

const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// How many of several names a text for people tells.
const NAMED: usize = 3;

impl Terminal {
    /// A terminal that follows `choice`; with `Auto`, colour depends on stderr and on the environment.
    pub fn new(verbosity: Verbosity, choice: ColorChoice) -> Self {
        let color = match (choice, variable("CARGO_TERM_COLOR").as_deref()) {
            (ColorChoice::Always, _) => true,
            (ColorChoice::Auto, Some("always")) if variable("NO_COLOR").is_none() => true,
            (ColorChoice::Never, _) | (ColorChoice::Auto, Some("never")) => false,
            (ColorChoice::Auto, _) => {
                variable("NO_COLOR").is_none()
                    && variable("TERM").is_none_or(|term| term != "dumb")
                    && std::io::stderr().is_terminal()
            }
        };
        Self { verbosity, color }
    }

    /// A terminal without status lines, colour and commands, for use as a library. Warnings are still shown.
    pub fn silent() -> Self {
        Self { verbosity: Verbosity::Quiet, color: false }
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// A step: a verb, right-aligned in twelve columns as Cargo does, and what it applies to.
    pub fn status(&self, verb: &str, message: impl AsRef<str>) {
        if self.verbosity >= Verbosity::Normal {
            line(&format!("{} {}", self.styled(STATUS, &format!("{verb:>12}")), one_line(message.as_ref())));
        }
    }

    /// A step that matters only to someone who looks for a cause.
    pub fn verbose(&self, verb: &str, message: impl AsRef<str>) {
        if self.verbosity >= Verbosity::Verbose {
            self.status(verb, message);
        }
    }

    /// Something that is probably not meant.
    pub fn warning(&self, message: impl AsRef<str>) {
        line(&format!("{}: {}", self.styled(WARNING, "warning"), one_line(message.as_ref())));
    }

    /// An error with its causes, its notes and its hints.
    pub fn error(&self, error: &Error) {
        line(&format!("{}: {}", self.styled(ERROR, "error"), one_line(&error.to_string())));
        let mut cause = error.source();
        while let Some(source) = cause {
            for part in harmless(&redacted(&source.to_string())).lines() {
                line(format!("  {part}").trim_end());
            }
            cause = source.source();
        }
        for note in error.notes() {
            line(&format!("{}: {}", self.styled(NOTE, "note"), one_line(note)));
        }
        for hint in error.hints() {
            line(&format!("{}: {}", self.styled(HINT, "hint"), one_line(hint)));
        }
    }

    /// The result, the only thing that goes to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written; a reader that has gone away is not an error.
    pub fn result(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{}", harmless(text)).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::failed("cannot write the result to stdout").because(error))
            }
            _ => Ok(()),
        }
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Has panics told as errors are: what they repeat may hold anything.
pub fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        line(&format!("error: {}", one_line(&panic.to_string())));
        line("note: this is a defect of this program; `RUST_BACKTRACE=1` shows where");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            line(&harmless(&backtrace.to_string()));
        }
    }));
}

/// The first of several names or paths, and how many more there are, as a text for people names them.
pub(crate) fn some_of(paths: &[impl Display]) -> String {
    let first = paths.iter().take(NAMED).map(|path| format!("`{path}`"));
    let names = first.collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(NAMED);
    if more > 0 { format!("{names} and {more} more") } else { names }
}

/// `text` with what a terminal would obey spelled out. Names of files can hold any characters.
pub(crate) fn harmless(text: &str) -> String {
    let spelled = |character: char| {
        if is_obeyed(character) { character.escape_default().to_string() } else { character.to_string() }
    };
    if text.contains(is_obeyed) { text.chars().map(spelled).collect() } else { text.to_owned() }
}

/// A message of this tool: on one line, so that no name of a file makes another line of it, and without what is secret.
pub(crate) fn one_line(text: &str) -> String {
    harmless(&redacted(text)).replace('\n', "\\n")
}

/// Whether a terminal obeys the character: control characters, but for line breaks and tabs, and what changes the
/// direction or the lines of a text.
pub(crate) fn is_obeyed(character: char) -> bool {
    let is_control = character.is_control() && !matches!(character, '\n' | '\t');
    is_control
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn line(text: &str) {
    // Nothing can be said about a stderr that cannot be written.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("plain: caf\u{e9}, \u{5d0}, \u{1f600}\tx", "plain: caf\u{e9}, \u{5d0}, \u{1f600}\tx")]
    #[case("a\u{1b}]0;x\u{7}\r\u{7f}", "a\\u{1b}]0;x\\u{7}\\r\\u{7f}")]
    #[case("c1: \u{9b}2J", "c1: \\u{9b}2J")]
    #[case("\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}", "\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{61c}")]
    #[case("a\u{2028}b", "a\\u{2028}b")]
    #[case("a\nerror: b https://user:pw@host", "a\\nerror: b https://***@host")]
    fn what_a_terminal_would_obey_is_spelled_out(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(one_line(text), expected);
    }
}
