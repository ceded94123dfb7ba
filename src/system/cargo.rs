//! The one place that makes command lines for Cargo, for the step from options to project.

use camino::Utf8PathBuf;

use crate::system::command::Command;

/// How to call Cargo: for which workspace, and with which of Cargo's own flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoCall {
    /// Where to start looking for a workspace: a folder.
    pub folder: Option<Utf8PathBuf>,
    /// The workspace's manifest, instead of a search for it.
    pub manifest_path: Option<Utf8PathBuf>,
    /// Whether `Cargo.lock` must not change.
    pub locked: bool,
    /// Whether Cargo must not use the network.
    pub offline: bool,
}

impl CargoCall {
    pub(crate) fn command(&self, subcommand: &[&str]) -> Command {
        // Cargo gives subcommands its own path, which spares rustup's look-up of the toolchain.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // What it says is read or told again, also where the environment asks for colour.
        let mut command = Command::new(cargo).args(subcommand).env("CARGO_TERM_COLOR", "never");
        if let Some(folder) = &self.folder {
            command = command.in_folder(folder);
        }
        if let Some(path) = &self.manifest_path {
            command = command.arg("--manifest-path").arg(path);
        }
        if self.locked {
            command = command.arg("--locked");
        }
        if self.offline {
            command = command.arg("--offline");
        }
        command
    }
}
