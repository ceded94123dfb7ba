//! What keys of the configuration can hold, where that is more than text. Part of the first step of the way, from
//! arguments, environment and configuration to options.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};
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
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Run as it is.
    Exec(Vec<String>),
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
fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
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
        if value.contains('\n') {
            return Err(Error::usage(format!("`env.{name}` has more than one line: {value:?}")));
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

/// A build argument for the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArg {
    /// Letters, digits and `_`.
    pub name: String,
    /// Any text.
    pub value: String,
}

impl FromStr for BuildArg {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, value)) if is_variable_name(name) => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(Error::usage(format!("invalid build argument {text:?}"))
                .hint("a build argument reads `KEY=VALUE`, `KEY` being letters, digits and `_`")),
        }
    }
}

impl fmt::Display for BuildArg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.value)
    }
}

/// A secret as buildx and podman take it: `id=NAME[,src=PATH|,env=NAME]`, a line of CSV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The file below `/run/secrets/` in which steps find the secret.
    pub id: String,
    fields: Vec<String>,
}

impl Secret {
    /// A secret that is a file of this machine.
    pub fn of_file(id: &str, file: &Utf8Path) -> Self {
        Self { id: id.to_owned(), fields: vec![format!("id={id}"), format!("src={file}")] }
    }

    /// The files that the secret is read from: one at the most, where all is right.
    pub fn files(&self) -> impl Iterator<Item = &Utf8Path> {
        self.fields.iter().filter_map(|field| file_in(field)).map(|(_, file)| Utf8Path::new(file))
    }

    /// With the file's path absolute, seen from `folder`.
    #[must_use]
    pub fn seen_from(mut self, folder: &Utf8Path) -> Self {
        for field in &mut self.fields {
            if let Some((name, file)) = file_in(field) {
                *field = format!("{name}={}", folder.join(file));
            }
        }
        self
    }
}

/// The name of a field, and the file that it names.
fn file_in(field: &str) -> Option<(&str, &str)> {
    let is_file = |name: &str| name.eq_ignore_ascii_case("src") || name.eq_ignore_ascii_case("source");
    field.split_once('=').filter(|(name, _)| is_file(name))
}

/// The fields of a line of CSV: a field in quotes may hold commas, and two quotes for one.
pub(super) fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        let field = fields.len() - 1;
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => fields[field].push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            _ => fields[field].push(character),
        }
    }
    fields
}

/// The fields as a line of CSV.
pub(super) fn csv_line(fields: &[String]) -> String {
    let quoted = |field: &String| {
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.clone() }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

impl FromStr for Secret {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fields = csv_fields(text);
        let id =
            fields.iter().filter_map(|field| field.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("id"));
        match id.map(|(_, id)| id.to_owned()).filter(|id| is_plain(id)) {
            Some(id) => Ok(Self { id, fields }),
            None => Err(Error::usage(format!("invalid secret {text:?}"))
                .hint("a secret reads `id=NAME[,src=PATH|,env=NAME]`, `NAME` being letters, digits and `_ - .`")),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&csv_line(&self.fields))
    }
}

/// An SSH agent's socket or keys as buildx and podman take them: `default`, or `ID[=SOCKET|=KEY[,KEY]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The id by which a build mounts the agent or keys.
    pub id: String,
    files: Vec<Utf8PathBuf>,
}

impl Ssh {
    /// The socket or the keys, where they are named.
    pub fn files(&self) -> impl Iterator<Item = &Utf8Path> {
        self.files.iter().map(Utf8PathBuf::as_path)
    }

    /// With the paths absolute, seen from `folder`.
    #[must_use]
    pub fn seen_from(mut self, folder: &Utf8Path) -> Self {
        self.files.iter_mut().for_each(|file| *file = folder.join(&*file));
        self
    }
}

impl FromStr for Ssh {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, files) = text.split_once('=').unwrap_or((text, ""));
        if !is_plain(id) {
            return Err(Error::usage(format!("invalid SSH agent or key {text:?}"))
                .hint("it reads `default`, or `ID[=SOCKET|=KEY]`, `ID` being letters, digits and `_ - .`"));
        }
        let files = files.split(',').filter(|file| !file.is_empty()).map(Utf8PathBuf::from);
        Ok(Self { id: id.to_owned(), files: files.collect() })
    }
}

impl fmt::Display for Ssh {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.id)?;
        let files: Vec<&str> = self.files.iter().map(|file| file.as_str()).collect();
        if files.is_empty() { Ok(()) } else { write!(formatter, "={}", files.join(",")) }
    }
}

/// Whether a word can stand in a Dockerfile's line without a second meaning.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
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
    #[case("id=token", Some("token"))]
    #[case("type=env,ID=token,env=X", Some("token"))]
    #[case("\"id=token\",src=x", Some("token"))]
    #[case("id=tok touch /PWNED; true ", None)]
    #[case("src=x", None)]
    #[case("id=", None)]
    fn a_secret_has_an_id_that_is_a_word(#[case] text: &str, #[case] id: Option<&str>) {
        assert_eq!(text.parse::<Secret>().ok().map(|secret| secret.id).as_deref(), id);
    }

    #[rstest]
    #[case("id=a,src=b", "id=a,src=/p/b")]
    #[case("id=a,Source=/b", "id=a,Source=/b")]
    #[case("id=a,\"src=b,c\"", "id=a,\"src=/p/b,c\"")]
    #[case("id=a,\"src=b\"\"c\"", "id=a,\"src=/p/b\"\"c\"")]
    #[case("type=env,id=a,env=B", "type=env,id=a,env=B")]
    fn a_file_of_a_secret_is_seen_from_a_folder(#[case] text: &str, #[case] expected: &str) -> Result<()> {
        assert_eq!(text.parse::<Secret>()?.seen_from(Utf8Path::new("/p")).to_string(), expected);
        Ok(())
    }

    #[rstest]
    #[case("default", "default")]
    #[case("a=b,/c", "a=/p/b,/c")]
    fn keys_for_ssh_are_seen_from_a_folder(#[case] text: &str, #[case] expected: &str) -> Result<()> {
        assert_eq!(text.parse::<Ssh>()?.seen_from(Utf8Path::new("/p")).to_string(), expected);
        Ok(())
    }

    #[test]
    fn a_command_reads_as_in_a_dockerfile() {
        assert_eq!(Cmd::from("a b"), Cmd::Shell("a b".to_owned()));
        assert_eq!(Cmd::from(r#"["a", "b"]"#), Cmd::Exec(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Cmd::from("[ -f x ] && y"), Cmd::Shell("[ -f x ] && y".to_owned()));
    }
}
