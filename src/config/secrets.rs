//! What steps may use and no image holds: secrets, SSH agents and keys. Part of the first step of the way, from
//! arguments, environment and configuration to options.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::csv::{csv_fields, csv_line};
use crate::config::values::{has_control_characters, is_word};
use crate::error::{Error, Result};
use crate::redact::{HIDDEN, redacted_pair, redacted_wrong_pair};
use crate::system::environment::variable;

/// The id of the secret that the steps take for the CA bundle.
pub const CA_BUNDLE_SECRET: &str = "ca-bundle";

/// Of a secret that is larger, in bytes, lines are not looked for in what a build shows.
const LARGEST: u64 = 1 << 14;

/// Shorter lines of a secret, such as a bracket, tell nothing.
const SHORTEST_LINE: usize = 6;

/// A secret, read as buildx reads it and written so that buildx and podman understand it:
/// `id=NAME[,src=PATH|,env=NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The file below `/run/secrets/` in which steps find the secret.
    pub id: String,
    from: SecretSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SecretSource {
    File(Utf8PathBuf),
    Variable(String),
    /// The builder looks for a variable, then for a file, that is called as the secret is.
    Unsaid,
}

impl Secret {
    /// A secret that is a file of this machine.
    pub fn of_file(id: &str, file: &Utf8Path) -> Self {
        Self { id: id.to_owned(), from: SecretSource::File(file.to_owned()) }
    }

    /// The file that the secret is read from, where it is named.
    pub fn file(&self) -> Option<&Utf8Path> {
        match &self.from {
            SecretSource::File(file) => Some(file),
            SecretSource::Variable(_) | SecretSource::Unsaid => None,
        }
    }

    /// What a build must not show of the secret: its lines, as far as they tell anything.
    pub fn texts(&self) -> Vec<String> {
        let text = match &self.from {
            SecretSource::File(file) => small_text(file),
            SecretSource::Variable(name) => variable(name),
            SecretSource::Unsaid => variable(&self.id),
        };
        let lines = text.iter().flat_map(|text| text.lines()).map(str::trim);
        lines.filter(|line| line.len() >= SHORTEST_LINE).map(str::to_owned).collect()
    }

    /// With the file's path absolute, seen from `folder`. Where nothing is said, the file is called as the secret is,
    /// unless a variable is.
    #[must_use]
    pub fn seen_from(mut self, folder: &Utf8Path) -> Self {
        match &mut self.from {
            SecretSource::File(file) => *file = folder.join(&*file),
            SecretSource::Unsaid if variable(&self.id).is_none() => {
                self.from = SecretSource::File(folder.join(&self.id));
            }
            SecretSource::Unsaid | SecretSource::Variable(_) => {}
        }
        self
    }

    /// Reads a line of CSV, in which each field is said once, and names of fields may be in capitals.
    fn read(text: &str) -> Option<Self> {
        let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
        for field in csv_fields(text)? {
            let (name, value) = field.split_once('=').filter(|(_, value)| !value.is_empty())?;
            let place = match name.to_ascii_lowercase().as_str() {
                "id" => &mut id,
                "src" | "source" => &mut file,
                "env" => &mut variable,
                "type" => &mut kind,
                _ => return None,
            };
            if place.replace(value.to_owned()).is_some() {
                return None;
            }
        }
        let from = match (kind.as_deref(), file, variable) {
            (None | Some("file"), Some(file), None) => SecretSource::File(file.into()),
            (None | Some("env"), None, Some(variable)) | (Some("env"), Some(variable), None) => {
                SecretSource::Variable(variable)
            }
            (None | Some("file" | "env"), None, None) => SecretSource::Unsaid,
            _ => return None,
        };
        Some(Self { id: id.filter(|id| is_word(id, b"-."))?, from })
    }
}

impl FromStr for Secret {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::read(text).filter(|_| !has_control_characters(text)).ok_or_else(|| {
            Error::usage(format!("invalid secret {:?}", told(text)))
                .hint("a secret reads `id=NAME[,src=PATH|,env=NAME]`, `NAME` being letters, digits and `_ - .`")
        })
    }
}

/// A wrong secret as it is told of: what stands where no value should be may be the secret itself.
fn told(text: &str) -> String {
    let is_place = |name: &str| ["id", "src", "source", "env", "type"].iter().any(|of| name.eq_ignore_ascii_case(of));
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) if is_place(name) => field.to_owned(),
        _ => redacted_wrong_pair(field),
    };
    text.split(',').map(field).collect::<Vec<_>>().join(",")
}

/// The text of a file that is as small as a secret is.
fn small_text(file: &Utf8Path) -> Option<String> {
    let is_small = std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() <= LARGEST);
    std::fs::read_to_string(file).ok().filter(|_| is_small)
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = vec![format!("id={}", self.id)];
        match &self.from {
            SecretSource::File(file) => fields.push(format!("src={file}")),
            SecretSource::Variable(name) => fields.push(format!("env={name}")),
            SecretSource::Unsaid => {}
        }
        formatter.write_str(&csv_line(&fields))
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
        if !is_word(id, b"-.") || has_control_characters(text) {
            // What is given in the place of a key's path may be the key.
            let told = if is_word(id, b"-.") && text.contains('=') { redacted_pair(text) } else { HIDDEN.to_owned() };
            return Err(Error::usage(format!("invalid SSH agent or key {told:?}"))
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("id=token", Some("token"))]
    #[case("type=env,ID=token,env=X", Some("token"))]
    #[case("\"id=token\",src=x", Some("token"))]
    #[case("id=tok touch /PWNED; true ", None)]
    #[case("src=x", None)]
    #[case("id=", None)]
    #[case("id=..", None)]
    #[case("id=-x", None)]
    #[case("id=a,id=b", None)]
    #[case("id=a,src=b,source=c", None)]
    #[case("id=a,src=b,env=C", None)]
    #[case("id=a,src=b,", None)]
    #[case("id=a,src=b,mode=0400", None)]
    #[case("id=a,type=vault", None)]
    #[case("id=a,src=\"b\"", None)]
    #[case("id=a,\"src=b\"c", None)]
    #[case("id=a,\"src=b", None)]
    #[case("id=a,src=b\nc", None)]
    fn a_secret_has_an_id_that_is_a_word(#[case] text: &str, #[case] id: Option<&str>) {
        assert_eq!(text.parse::<Secret>().ok().map(|secret| secret.id).as_deref(), id);
    }

    #[rstest]
    #[case("hunter2", "***")]
    #[case("TOKEN=hunter2", "TOKEN=***")]
    #[case("id=a,src=b,value=hunter2", "id=a,src=b,value=***")]
    fn what_is_no_secrets_place_may_be_the_secret_and_is_not_told(#[case] text: &str, #[case] told: &str) {
        let error = text.parse::<Secret>().expect_err(text);
        assert_eq!(error.to_string(), format!("invalid secret {told:?}"));
    }

    #[rstest]
    #[case("-----BEGIN KEY\nhunter2=", "***")]
    #[case("a=-----BEGIN KEY\nhunter2", "a=***")]
    #[case("*", "***")]
    fn what_is_no_path_of_a_key_may_be_the_key_and_is_not_told(#[case] text: &str, #[case] told: &str) {
        let error = text.parse::<Ssh>().expect_err(text);
        assert_eq!(error.to_string(), format!("invalid SSH agent or key {told:?}"));
    }

    #[rstest]
    #[case("id=a,src=b", "id=a,src=/p/b")]
    #[case("id=a,Source=/b", "id=a,src=/b")]
    #[case("TYPE=file,\"ID=a\",\"SRC=b\"", "id=a,src=/p/b")]
    #[case("type=env,id=a,src=B", "id=a,env=B")]
    #[case("type=file,id=a", "id=a,src=/p/a")]
    #[case("id=a,\"src=b,c\"", "id=a,\"src=/p/b,c\"")]
    #[case("\"src=b\"\"\"\"c\",id=a", "id=a,\"src=/p/b\"\"\"\"c\"")]
    #[case("type=env,id=a,env=B", "id=a,env=B")]
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
}
