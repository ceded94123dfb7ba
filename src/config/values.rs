//! What keys of the configuration can hold, where that is more than text. Part of the first step of the way, from
//! arguments, environment and configuration to options.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::ValueEnum;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};

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
pub enum BuildTool {
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
    /// A file of the project that holds the version.
    File {
        /// Relative to the project root.
        file: Utf8PathBuf,
        /// The value's place in a TOML or JSON file, such as `project.version`. Without it, the file is the version.
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
    /// Run by `/bin/sh -c`, whatever `SHELL` the base image has.
    Shell(String),
    /// Run as it is.
    Exec(Vec<String>),
}

impl Cmd {
    /// The line, or the words.
    pub fn words(&self) -> &[String] {
        match self {
            Self::Shell(line) => std::slice::from_ref(line),
            Self::Exec(words) => words,
        }
    }
}

impl From<&str> for Cmd {
    /// As in a Dockerfile: a JSON list of words is run as it is, anything else is a line for a shell.
    fn from(text: &str) -> Self {
        serde_json::from_str(text).map_or_else(|_| Self::Shell(text.to_owned()), Self::Exec)
    }
}

/// How buildx shows the progress of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// As suits where it is shown.
    Auto,
    /// Line by line.
    Plain,
    /// Redrawn on a terminal.
    Tty,
    /// Not at all.
    Quiet,
    /// As JSON objects.
    Rawjson,
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Tty => "tty",
            Self::Quiet => "quiet",
            Self::Rawjson => "rawjson",
        })
    }
}

/// Whether a word turns something off, as Go's `strconv.ParseBool` reads it, which buildx uses.
pub fn turns_off(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "false" | "f" | "0")
}

fn turns_on(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "true" | "t" | "1")
}

/// How much is attached about an image's build: the value of buildx's `--provenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance(String);

impl Provenance {
    /// Reads `true`, `min`, `max`, or fields such as `mode=max`; gives `None` for `false`.
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let value = match text {
            _ if turns_off(text) => return Ok(None),
            _ if turns_on(text) => "true".to_owned(),
            "min" | "max" => format!("mode={text}"),
            _ if text.contains('=') => text.to_owned(),
            _ => {
                return Err(Error::usage(format!("invalid provenance {text:?}"))
                    .hint("provenance is `true`, `false`, `min` or `max`"));
            }
        };
        Ok(Some(Self(value)))
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which list of an image's content is attached: the value of buildx's `--sbom`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom(String);

impl Sbom {
    /// Reads `true`, or `generator=IMAGE`; gives `None` for `false`.
    ///
    /// # Errors
    /// When `text` is none of these.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        match text {
            _ if turns_off(text) => Ok(None),
            _ if turns_on(text) => Ok(Some(Self("true".to_owned()))),
            _ if text.contains('=') => Ok(Some(Self(text.to_owned()))),
            _ => Err(Error::usage(format!("invalid bill of materials {text:?}"))
                .hint("`sbom` is `true`, `false` or `generator=IMAGE`")),
        }
    }
}

impl fmt::Display for Sbom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `name` can name a variable: letters, digits and `_`, not starting with a digit.
pub(super) fn is_variable_name(name: &str) -> bool {
    is_word(name, b"") && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether a word stands for itself wherever it is written: letters, digits, `_` and `further`, of which none begins
/// it.
pub fn is_word(word: &str, further: &[u8]) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    word.bytes().next().is_some_and(is_letter) && word.bytes().all(|byte| is_letter(byte) || further.contains(&byte))
}

/// Whether a text holds anything but what is seen of it, such as a line break; a tab is allowed.
pub fn has_control_characters(text: &str) -> bool {
    text.chars().any(|character| character.is_control() && character != '\t')
}

/// A Debian package as `apt-get install` takes it: `NAME[:ARCHITECTURE][=VERSION|/RELEASE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianPackage(String);

impl FromStr for DebianPackage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // To apt, `NAME-` is a package to remove.
        if is_word(text, b"+-.:=~/*") && !text.ends_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::usage(format!("invalid package name {text:?}"))
            .hint("each entry is one package, such as \"libssl-dev\" or \"cmake=3.25.1-1\""))
    }
}

impl fmt::Display for DebianPackage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A user of the image, by name or number: `USER[:GROUP]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User(String);

impl User {
    /// The name of a user that the image may lack: without the group, unless it is a number or root.
    pub fn to_create(&self) -> Option<&str> {
        let name = self.0.split(':').next().unwrap_or_default();
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        (!is_number && name != "root").then_some(name)
    }
}

impl FromStr for User {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.split(':').count() <= 2 && text.split(':').all(|name| is_word(name, b"-.")) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::usage(format!("invalid `user` {text:?}")).hint("it is a name or number, optionally with `:group`"))
    }
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The project's folder in the image: an absolute path below `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workdir(String);

impl FromStr for Workdir {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        let is_below_the_root = text.starts_with('/') && !text.trim_end_matches('/').is_empty();
        let leads_elsewhere = text.split('/').any(|name| matches!(name, "." | ".."));
        if is_below_the_root && !leads_elsewhere && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::usage(format!("invalid `workdir` {text:?}"))
            .hint("it is an absolute path below `/`, of letters, digits and `/ _ - .`, without `.` and `..`"))
    }
}

impl fmt::Display for Workdir {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A variable of the image and of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Letters, digits and `_`, which is checked when options are made.
    pub name: String,
    /// One line, which is checked when options are made.
    pub value: String,
}

impl Variable {
    /// Refuses what a Dockerfile could not set.
    ///
    /// # Errors
    /// When the name is not a variable name, or the value has more than one line.
    pub fn refuse_what_cannot_be_set(&self) -> Result<()> {
        let Self { name, value } = self;
        if !is_variable_name(name) {
            return Err(Error::usage(format!("invalid variable name {name:?} in `env`"))
                .hint("a name is letters, digits and `_`, not starting with a digit"));
        }
        if has_control_characters(value) {
            return Err(Error::usage(format!("`env.{name}` has more than one line, or control characters")));
        }
        Ok(())
    }
}

impl FromStr for Variable {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, value) = text.split_once('=').ok_or_else(|| Error::usage("a variable reads `NAME=VALUE`"))?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// The variables of a table, the form that `env` has in files.
pub(super) fn variables<'de, D: Deserializer<'de>>(table: D) -> Result<Option<Vec<Variable>>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(table)?;
    Ok(Some(table.into_iter().map(|(name, value)| Variable { name, value }).collect()))
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("false", None)]
    #[case("0", None)]
    #[case("F", None)]
    #[case("true", Some("true"))]
    #[case("1", Some("true"))]
    #[case("max", Some("mode=max"))]
    #[case("mode=max,builder-id=x", Some("mode=max,builder-id=x"))]
    fn provenance_is_what_buildx_understands(#[case] text: &str, #[case] expected: Option<&str>) -> Result<()> {
        assert_eq!(Provenance::parse(text)?.map(|provenance| provenance.to_string()).as_deref(), expected);
        assert!(Provenance::parse("maximal").is_err() && Sbom::parse("spdx").is_err());
        Ok(())
    }

    #[rstest]
    #[case("app", Some("app"))]
    #[case("www-data:www-data", Some("www-data"))]
    #[case("root:0", None)]
    #[case("1000:1000", None)]
    fn a_user_that_the_image_may_lack_is_known_by_name(
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) -> Result<()> {
        assert_eq!(text.parse::<User>()?.to_create(), expected);
        Ok(())
    }

    #[test]
    fn packages_and_folders_are_what_debian_and_docker_take() -> Result<()> {
        for package in ["g++", "libstdc++-12-dev:arm64=12.2.0-14", "cmake/bookworm-backports", "0ad", "linux-image-*"] {
            assert_eq!(package.parse::<DebianPackage>()?.to_string(), package);
        }
        for folder in ["/workspace", "/srv/my.app/", "/a//b", "/..a"] {
            assert_eq!(folder.parse::<Workdir>()?.to_string(), folder);
        }
        Ok(())
    }

    #[test]
    fn a_command_reads_as_in_a_dockerfile() {
        assert_eq!(Cmd::from("a b"), Cmd::Shell("a b".to_owned()));
        assert_eq!(Cmd::from(r#"["a", "b"]"#), Cmd::Exec(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Cmd::from("[ -f x ] && y"), Cmd::Shell("[ -f x ] && y".to_owned()));
    }
}
