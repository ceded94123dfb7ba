//! What each kind of project knows of itself; the list of kinds is in `find.rs`. Later steps do not know of kinds.

use std::fmt;

use camino::Utf8Path;

use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values::ProjectKind;
use crate::error::Result;
use crate::project::read::Project;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// A project that was found and not yet read.
pub trait Kind: fmt::Debug {
    /// Which kind it is.
    fn kind(&self) -> ProjectKind;

    /// Its folder, absolute.
    fn root(&self) -> &Utf8Path;

    /// What its files say besides `runtime-image.toml`, which they win over.
    ///
    /// # Errors
    /// When a configuration cannot be understood.
    fn configured(&self, _: &Terminal) -> Result<Settings> {
        Ok(Settings::default())
    }

    /// What the environment says by names of the kind's own, which flags and this tool's variables win over.
    fn environment(&self) -> Settings {
        Settings::default()
    }

    /// What holds where neither the user nor a file says something; `given` is what they say.
    fn usual(&self, _given: &Settings) -> Settings {
        Settings::default()
    }

    /// Refuses settings that lack what has no default.
    ///
    /// # Errors
    /// A usage error that names the key and shows it.
    fn refuse_incomplete(&self, _: &Settings) -> Result<()> {
        Ok(())
    }

    /// Reads the project.
    ///
    /// # Errors
    /// When a file cannot be read or staged, or does not say what it must.
    fn read(&self, options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Result<Project>;
}
