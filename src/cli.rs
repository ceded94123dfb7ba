//! The command line: clap definitions only.

use camino::Utf8PathBuf;
use clap::{ArgAction, Parser, ValueEnum};

use crate::config::settings::Settings;
use crate::system::cargo::CargoCall;
use crate::system::terminal::{ColorChoice, Verbosity};

/// Make the ready-to-run container image of a project, rebuilding as little as is right
///
/// Computes the image's name from what would be in it, reuses the image if it exists, and otherwise builds it on top of
/// the best earlier image with `docker buildx build`. Asks the engine or registry for the image, and only then prints its
/// name, the only thing on stdout.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-runtime-image",
    bin_name = "cargo runtime-image",
    version,
    styles = clap_cargo::style::CLAP_STYLING,
    max_term_width = 100,
    after_help = "Every option but the last group is also a key of [workspace.metadata.runtime-image], \
        [package.metadata.runtime-image] and runtime-image.toml, and an environment variable \
        RUNTIME_IMAGE_<NAME>.\n\n\
        Exit codes: 0 done, 1 failed, 2 wrong usage, 101 the build failed, 130/143/129 interrupted by INT/TERM/HUP."
)]
pub struct Arguments {
    /// What to do
    #[arg(value_enum, default_value_t = Action::Build, hide_default_value = true)]
    pub action: Action,

    /// What is also found in the environment and in configuration files.
    #[command(flatten)]
    pub settings: Settings,

    /// How to call Cargo and how to speak.
    #[command(flatten)]
    pub surroundings: Surroundings,

    /// OpenHands: leave the browser out of the image
    #[arg(long, alias = "no_enable_browser", conflicts_with = "enable_browser", help_heading = "Image")]
    pub no_enable_browser: bool,

    /// Further arguments for `docker buildx build`; they become part of the image's name
    #[arg(last = true, value_name = "BUILDX_ARGS")]
    pub buildx_args: Vec<String>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Make the image exist and print its name (default)
    Build,
    /// Decide and explain; write and build nothing
    Plan,
    /// Print the names alone; no engine is asked
    Tags,
}

/// Options that are about this run, not about the image.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(next_help_heading = "This run")]
pub struct Surroundings {
    /// Folder of the project [default: the one around the current folder]
    #[arg(long, value_name = "DIR", conflicts_with = "manifest_path")]
    pub project_root: Option<Utf8PathBuf>,

    /// Path to `Cargo.toml`
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<Utf8PathBuf>,

    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long)]
    pub locked: bool,

    /// Run Cargo here without accessing the network
    #[arg(long)]
    pub offline: bool,

    /// Equivalent to `--locked` and `--offline`
    #[arg(long)]
    pub frozen: bool,

    /// What to print on stdout: the image's name, or one JSON object
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = MessageFormat::Human)]
    pub message_format: MessageFormat,

    /// Also show the commands that are run
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Show warnings and errors only
    #[arg(short, long)]
    pub quiet: bool,

    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// The form of the result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// The image's name on one line.
    Human,
    /// One JSON object.
    Json,
}

impl Arguments {
    /// Parses the process's arguments, with or without the `runtime-image` that Cargo puts first. Ends the process for
    /// `--help`, `--version` and usage errors, as clap does.
    pub fn from_env() -> Self {
        let mut words: Vec<_> = std::env::args_os().collect();
        if words.get(1).is_some_and(|word| word == "runtime-image") {
            words.remove(1);
        }
        let mut arguments = Self::parse_from(words);
        if arguments.no_enable_browser {
            arguments.settings.enable_browser = Some(false);
        }
        arguments
    }
}

impl Surroundings {
    /// How to call Cargo.
    pub fn cargo_call(&self) -> CargoCall {
        CargoCall {
            folder: self.project_root.clone(),
            manifest_path: self.manifest_path.clone(),
            locked: self.locked || self.frozen,
            offline: self.offline || self.frozen,
        }
    }

    /// How much to say.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, _) => Verbosity::Verbose,
        }
    }
}
