//! What the subcommands about a project have in common: their arguments, and the run that these lead to.

use std::time::Instant;

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use crate::builder::choose::new_builder;
use crate::config::settings::Settings;
use crate::error::{Error, Result};
use crate::project::find::Found;
use crate::run::{Aim, Run};
use crate::system::cargo::CargoCall;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// Which project, and what to make of it.
#[derive(Debug, Default, PartialEq, Eq, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct ProjectArguments {
    /// What is also found in the environment and in configuration files.
    #[command(flatten)]
    pub settings: Settings,

    /// OpenHands: leave the browser out of the image
    #[arg(
        long,
        alias = "no_enable_browser",
        conflicts_with = "enable_browser",
        help_heading = "Other kinds of project",
        hide_short_help = true
    )]
    pub no_enable_browser: bool,

    /// Compile packages too that did not change since an earlier build; the image is the same
    #[arg(long, conflicts_with = "seed", help_heading = "Build", hide_short_help = true)]
    pub no_seed: bool,

    /// Folder of the project [default: the one around the current folder]
    ///
    /// Together with `--manifest-path` the folder around a workspace that is staged: one that holds the local packages
    /// outside of the workspace too.
    #[arg(long, value_name = "DIR", help_heading = "This run")]
    pub project_root: Option<Utf8PathBuf>,

    /// Path to `Cargo.toml`
    #[arg(long, value_name = "PATH", help_heading = "This run")]
    pub manifest_path: Option<Utf8PathBuf>,

    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long, help_heading = "This run")]
    pub locked: bool,

    /// Run Cargo here without accessing the network
    #[arg(long, help_heading = "This run")]
    pub offline: bool,

    /// Equivalent to `--locked` and `--offline`
    #[arg(long, help_heading = "This run", hide_short_help = true)]
    pub frozen: bool,

    /// What to print on stdout: a line for people, or one JSON object [default: human]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "This run")]
    pub message_format: Option<MessageFormat>,

    /// What stands after `--`.
    #[arg(skip)]
    pub buildx_args: Vec<String>,
}

/// The form of the result on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// A line, or a few.
    Human,
    /// One JSON object.
    Json,
}

impl ProjectArguments {
    /// These arguments, which stand after the subcommand. Where they say nothing, those `before` it count.
    #[must_use]
    pub fn over(self, before: Self) -> Self {
        Self {
            settings: self.settings.over(before.settings),
            no_enable_browser: self.no_enable_browser || before.no_enable_browser,
            no_seed: self.no_seed || before.no_seed,
            project_root: self.project_root.or(before.project_root),
            manifest_path: self.manifest_path.or(before.manifest_path),
            locked: self.locked || before.locked,
            offline: self.offline || before.offline,
            frozen: self.frozen || before.frozen,
            message_format: self.message_format.or(before.message_format),
            buildx_args: before.buildx_args,
        }
    }

    /// Refuses to be given to a subcommand that needs no project.
    ///
    /// # Errors
    /// When any argument was given.
    pub fn refuse_any(&self, subcommand: &str) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        Err(Error::usage(format!("`{subcommand}` needs no project, and takes no option about one"))
            .hint(format!("`cargo runtime-image help {subcommand}` shows what it takes")))
    }

    /// Whether stdout is to be one JSON object.
    pub fn wants_json(&self) -> bool {
        self.message_format == Some(MessageFormat::Json)
    }

    /// Finds the project, reads it, and gives it to `act` with its names, for each image that is asked for. What `act`
    /// gives goes to stdout.
    ///
    /// # Errors
    /// When the project cannot be read or named, and what `act` fails with.
    pub fn with_each_run(
        mut self,
        terminal: &Terminal,
        started: Instant,
        aim: Aim,
        mut act: impl FnMut(Run<'_>) -> Result<String>,
    ) -> Result<()> {
        let interrupt = Interrupt::on_signals()?;
        if self.no_enable_browser {
            self.settings.enable_browser = Some(false);
        }
        if self.no_seed {
            self.settings.seed = Some(false);
        }
        let call = self.cargo_call();
        let given = self.settings.over(Settings::from_environment(std::env::vars_os(), terminal)?);
        let found = Found::find(given.kind, call, &interrupt)?;
        let options = found.options(given, self.buildx_args, terminal)?;
        let builder = new_builder(&options, terminal, &interrupt)?;
        Run::each(&found, options, &*builder, terminal, &interrupt, started, aim, |run| {
            let result = act(run)?;
            // A signal that came in at the last step is no success either.
            interrupt.check()?;
            terminal.result(&result)
        })
    }

    fn cargo_call(&self) -> CargoCall {
        CargoCall {
            folder: self.project_root.clone(),
            manifest_path: self.manifest_path.clone(),
            locked: self.locked || self.frozen,
            offline: self.offline || self.frozen,
        }
    }
}
