//! How to call Cargo on this machine.

use camino::Utf8PathBuf;

use crate::system::command::Command;

/// How to call Cargo on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoCall {
    /// Where to start looking for a workspace: a folder.
    pub folder: Option<Utf8PathBuf>,
    /// Or its manifest.
    pub manifest_path: Option<Utf8PathBuf>,
    /// Whether `Cargo.lock` must not change.
    pub locked: bool,
    /// Whether Cargo must not use the network.
    pub offline: bool,
}

impl CargoCall {
    pub(crate) fn command(&self, subcommand: &[&str]) -> Command {
        // Cargo tells a subcommand where it is, which spares rustup's look-up of the toolchain.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo).args(subcommand);
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
