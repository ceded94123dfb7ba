//! What keys of the configuration can hold, where that is more than text.

use std::fmt;

use camino::Utf8PathBuf;
use clap::ValueEnum;
use serde::Deserialize;

/// What a project is, which decides how its image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProjectKind {
    /// A Cargo workspace or package
    Cargo,
    /// A tree of OpenHands, with its own template
    Openhands,
    /// Anything that `runtime-image.toml` describes
    Custom,
}

impl ProjectKind {
    /// What the tags of such projects start with.
    pub fn default_prefix(self) -> &'static str {
        match self {
            Self::Cargo | Self::Custom => "rt",
            Self::Openhands => "oh",
        }
    }
}

impl fmt::Display for ProjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cargo => "cargo",
            Self::Openhands => "openhands",
            Self::Custom => "custom",
        })
    }
}

/// What builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `docker buildx`.
    Docker,
    /// `podman build`.
    Podman,
}

/// A version, or where to read it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a version is text, or a table with `file` and perhaps `key`")]
pub enum Version {
    /// The version itself.
    Text(String),
    /// A file of the project that says it.
    File {
        /// Relative to the project root.
        file: Utf8PathBuf,
        /// In a TOML or JSON file, the way to the value: `project.version`. Without one, the version is all of the file.
        key: Option<String>,
    },
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How the names of an OpenHands tree's images are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TagScheme {
    /// As the tree's own build makes them.
    Original,
    /// Of everything that is in the image, as for the other kinds.
    Content,
}

/// A default command: a line for a shell, or program and arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(untagged, expecting = "a command is a line of text, or a list of words")]
pub enum Cmd {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Run as it is.
    Exec(Vec<String>),
}

/// Where a built image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    #[default]
    /// Into the engine's own store.
    Load,
    /// To the registry that the repository names.
    Push,
}
