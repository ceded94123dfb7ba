//! What each kind of project knows of itself, in the step from options to project. The list of kinds is in `find.rs`;
//! later steps do not know of kinds.

use std::fmt;

use camino::Utf8Path;

use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values::ProjectKind;
use crate::error::Result;
use crate::project::read::Project;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// Tells the version of Rust that the base image has, such as `1.85.1`, if it has one. It is asked only where that
/// decides something.
pub type RustOfImage<'a> = &'a dyn Fn() -> Option<String>;

/// A project that was found and not yet read.
pub trait Kind: fmt::Debug {
    /// Which kind it is.
    fn kind(&self) -> ProjectKind;

    /// Its folder, absolute.
    fn root(&self) -> &Utf8Path;

    /// The settings in its files other than `runtime-image.toml`, over which they win.
    ///
    /// # Errors
    /// When a configuration cannot be understood.
    fn configured(&self, _: &Terminal) -> Result<Settings> {
        Ok(Settings::default())
    }

    /// The settings in variables that only this kind knows. Flags and this tool's own variables win over them.
    fn environment(&self) -> Settings {
        Settings::default()
    }

    /// The kind's defaults, for keys that neither the user nor a file gives; `given` is what they give.
    fn usual(&self, _given: &Settings) -> Settings {
        Settings::default()
    }

    /// Refuses settings that lack what has no default.
    ///
    /// # Errors
    /// A usage error that names the missing key and shows an example.
    fn refuse_incomplete(&self, _: &Settings) -> Result<()> {
        Ok(())
    }

    /// Reads the project.
    ///
    /// # Errors
    /// When a file cannot be read or staged, or lacks what it must say.
    fn read(
        &self,
        options: &Options,
        rust_of_image: RustOfImage<'_>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Project>;
}
