//! The command line: the list of subcommands, and the flags that all of them have.

use std::ffi::OsString;
use std::time::Instant;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::completions::Completions;
use crate::commands::man::Man;
use crate::commands::project_arguments::ProjectArguments;
use crate::commands::{build, plan, tags};
use crate::config::settings::{shown_words, with_forms, without_what_names_do_not_need};
use crate::error::{Result, exit_code};
use crate::redact::redacted;
use crate::system::terminal::{ColorChoice, Terminal, Verbosity, harmless, line};

/// Make the ready-to-run container image of a project, rebuilding as little as is right
///
/// Computes the image's name from what would be in it, reuses the image if it exists, and otherwise builds it on top of
/// the best earlier image with `docker buildx build`. Asks the engine or registry for the image, and only then prints
/// its name, the only thing on stdout.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-runtime-image",
    bin_name = "cargo runtime-image",
    version,
    styles = clap_cargo::style::CLAP_STYLING,
    max_term_width = 100,
    subcommand_help_heading = "Commands",
    override_usage = "cargo runtime-image [build|plan|tags] [OPTIONS] [-- <BUILDX_ARGS>...]\n       \
        cargo runtime-image <COMMAND>",
    after_help = "Every option but those of the group `This run` is also a key of [workspace.metadata.runtime-image], \
        [package.metadata.runtime-image] and runtime-image.toml, and an environment variable \
        RUNTIME_IMAGE_<NAME>. What follows `--` is passed on to `docker buildx build`, and becomes part of the image's \
        name.\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong usage, 101 the build failed, 130/143/129 interrupted by INT/TERM/HUP."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Commands>,

    #[command(flatten)]
    project: ProjectArguments,

    /// Also show the commands that are run
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet", global = true, help_heading = "This run")]
    verbose: u8,

    /// Show warnings and errors only
    #[arg(short, long, global = true, help_heading = "This run")]
    quiet: bool,

    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto, global = true, help_heading = "This run")]
    color: ColorChoice,
}

/// The subcommands, one file each in `commands/`.
#[derive(Debug, Subcommand)]
enum Commands {
    /// Make the image exist and print its name (what is done when no command is named)
    Build(ProjectArguments),
    /// Decide and explain; write and build nothing
    Plan(ProjectArguments),
    /// Print the names alone; no engine is asked
    Tags(ProjectArguments),
    /// Print a script that completes this command in a shell
    Completions(Completions),
    /// Print the manual page, or write one for each command
    Man(Man),
}

/// The command line as clap knows it.
pub fn command() -> clap::Command {
    let mut command = with_forms(Arguments::command());
    for name in ["build", "plan", "tags"] {
        command = command.mut_subcommand(name, with_forms);
    }
    command.mut_subcommand("tags", without_what_names_do_not_need)
}

impl Arguments {
    /// Parses the process's arguments, with or without the `runtime-image` that Cargo puts first. Ends the process for
    /// `--help`, `--version` and usage errors, as clap does.
    pub fn from_env() -> Self {
        let mut words: Vec<_> = std::env::args_os().collect();
        if words.get(1).is_some_and(|word| word == "runtime-image") {
            words.remove(1);
        }
        // clap would take a misspelt subcommand for one of these, were they positional arguments.
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let passed_on = words.split_off(end).into_iter().skip(1).map(|word| word.to_string_lossy().into_owned());
        let matches = matches_of(&words);
        let mut arguments = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        arguments.project.buildx_args = passed_on.collect();
        arguments
    }

    /// The terminal, as loud and as colourful as the flags say.
    pub fn terminal(&self) -> Terminal {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        };
        Terminal::new(verbosity, self.color)
    }

    /// Does what is asked for, and prints the result.
    ///
    /// # Errors
    /// When the subcommand fails, or was given an option that it does not take.
    pub fn run(self, terminal: &Terminal, started: Instant) -> Result<()> {
        let Self { command: subcommand, project: before, .. } = self;
        match subcommand {
            None => build::run(before, terminal, started),
            Some(Commands::Build(after)) => build::run(after.over(before), terminal, started),
            Some(Commands::Plan(after)) => plan::run(after.over(before), terminal, started),
            Some(Commands::Tags(after)) => tags::run(after.over(before), terminal, started),
            Some(Commands::Completions(completions)) => {
                before.refuse_any("completions")?;
                terminal.result(&completions.run(command())?)
            }
            Some(Commands::Man(man)) => {
                before.refuse_any("man")?;
                terminal.result(&man.run(command())?)
            }
        }
    }
}

/// The parsed words. Ends the process where there is nothing to do, or something is wrong.
fn matches_of(words: &[OsString]) -> clap::ArgMatches {
    let error = match command().try_get_matches_from(words) {
        Ok(matches) => return matches,
        Err(error) => error,
    };
    if !error.use_stderr() {
        error.exit();
    }
    // clap repeats what is wrong as it is. So it is told of words that may be shown.
    if let Err(error) = command().try_get_matches_from(shown_words(words)) {
        error.exit();
    }
    line(harmless(&redacted(&error.render().to_string())).trim_end());
    std::process::exit(exit_code::USAGE.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
