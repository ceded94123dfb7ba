//! Image references, parsed: registry with port, path, tag and digest.
//!
//! The grammar is that of the distribution project's `reference` package, which Docker uses.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::hash::md5_hex;
use crate::image::digest::Digest;
use crate::redact::redacted_reference;

pub(crate) const MAX_TAG_LENGTH: usize = 128;

const MAX_NAME_LENGTH: usize = 255;

const DEFAULT_REGISTRY: &str = "docker.io";

/// An image reference as the user wrote it: `[registry[:port]/]path[:tag][@digest]`.
///
/// Two names are equal when they mean the same image: `debian` equals `docker.io/library/debian:latest`.
#[derive(Debug, Clone)]
pub struct ImageName {
    pub(super) registry: Option<String>,
    pub(super) path: String,
    pub(super) tag: Option<String>,
    pub(super) digest: Option<Digest>,
}

impl ImageName {
    /// The repository as written: registry and path, without tag and digest.
    pub fn repository(&self) -> String {
        match &self.registry {
            Some(registry) => format!("{registry}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// The registry: the default one if none was written.
    pub fn registry(&self) -> &str {
        self.registry.as_deref().unwrap_or(DEFAULT_REGISTRY)
    }

    /// The tag, if one was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same repository with another tag and no digest.
    ///
    /// # Errors
    /// When `tag` is not a valid tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self> {
        if !valid_tag(tag) {
            return Err(invalid(tag, "it is not a valid tag"));
        }
        Ok(Self { registry: self.registry.clone(), path: self.path.clone(), tag: Some(tag.to_owned()), digest: None })
    }

    /// The same name and tag with this digest.
    #[must_use]
    pub fn with_digest(&self, digest: &Digest) -> Self {
        Self { digest: Some(digest.clone()), ..self.clone() }
    }

    /// The same name and tag, with the digest if there is one.
    #[must_use]
    pub fn pinned(&self, digest: Option<&Digest>) -> Self {
        digest.map_or_else(|| self.clone(), |digest| self.with_digest(digest))
    }

    /// Whether the name says which registry holds it. `localhost/` without a port is a local name: no registry is
    /// ever asked for it.
    pub fn names_a_registry(&self) -> bool {
        self.registry.as_deref().is_some_and(|registry| registry != "localhost")
    }

    /// The full form that engines and metadata files use: `debian` becomes `docker.io/library/debian:latest`.
    pub fn canonical(&self) -> String {
        let tag = match (&self.tag, &self.digest) {
            (Some(tag), _) => format!(":{tag}"),
            (None, Some(_)) => String::new(),
            (None, None) => ":latest".to_owned(),
        };
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}{tag}{digest}", self.canonical_repository())
    }

    pub(super) fn canonical_repository(&self) -> String {
        match self.registry.as_deref() {
            None | Some(DEFAULT_REGISTRY | "index.docker.io") if !self.path.contains('/') => {
                format!("{DEFAULT_REGISTRY}/library/{}", self.path)
            }
            None | Some("index.docker.io") => format!("{DEFAULT_REGISTRY}/{}", self.path),
            Some(registry) => format!("{registry}/{}", self.path),
        }
    }
}

impl PartialEq for ImageName {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for ImageName {}

impl fmt::Display for ImageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(invalid(text, "it is empty"));
        }
        if let Some(character) = text.chars().find(|character| !character.is_ascii_graphic()) {
            return Err(invalid(text, &format!("it holds {character:?}")));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let path_start = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[path_start..].rfind(':') {
            Some(colon) => (&name[..path_start + colon], Some(&name[path_start + colon + 1..])),
            None => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry(first) => (Some(first), path),
            _ => (None, name),
        };
        if path.chars().any(|character| character.is_ascii_uppercase()) {
            return Err(invalid(text, "a repository is written in lower case"));
        }
        if !path.split('/').all(valid_path_component) {
            return Err(invalid(text, "its repository is not made of parts like `my-app_1.x` joined by `/`"));
        }
        if registry.is_some_and(|registry| !valid_registry(registry)) {
            return Err(invalid(text, "its registry is not `host` or `host:port`"));
        }
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(invalid(
                text,
                "a tag is 1 to 128 characters of `A-Z a-z 0-9 _ . -`, not starting with `.` or `-`",
            ));
        }
        let digest = digest.map(Digest::from_str).transpose();
        let digest = digest.map_err(|_| invalid(text, "a digest is `sha256:` and 64 hexadecimal digits"))?;
        let name =
            Self { registry: registry.map(str::to_owned), path: path.to_owned(), tag: tag.map(str::to_owned), digest };
        // Engines count the registry that a short name stands for.
        if name.canonical_repository().len() > MAX_NAME_LENGTH {
            return Err(invalid(text, "its repository is longer than 255 characters"));
        }
        Ok(name)
    }
}

fn is_registry(first: &str) -> bool {
    // An upper-case first part cannot be a path, so Docker takes it for a host.
    first == "localhost" || first.contains(['.', ':']) || first.chars().any(|character| character.is_ascii_uppercase())
}

fn valid_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("ipv6", port.strip_prefix(':')),
        Some(_) => return false,
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let valid_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(valid_label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn valid_path_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !bytes.first().is_some_and(alphanumeric) || !bytes.last().is_some_and(alphanumeric) {
        return false;
    }
    component
        .split(|character: char| character.is_ascii_lowercase() || character.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

pub(crate) fn valid_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAX_TAG_LENGTH).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn invalid(text: &str, why: &str) -> Error {
    Error::usage(format!("invalid image reference {:?}: {why}", redacted_reference(text)))
        .hint("a reference reads `[registry[:port]/]repository[:tag][@sha256:...]`, for example `rust:1-bookworm`")
}

/// `text` with every character that a tag cannot hold replaced by `_`. All of the result is ASCII.
pub(crate) fn valid_tag_text(text: &str) -> String {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    text.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
}

/// `tag`, or `<stem>_<MD5 of tag>` where it is too long to be one.
pub(crate) fn fitting_tag(tag: String, stem: &str) -> String {
    if valid_tag(&tag) { tag } else { format!("{stem}_{}", md5_hex(tag.as_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case("debian", "debian", None, "docker.io/library/debian:latest")]
    #[case("rust:1-bookworm", "rust", Some("1-bookworm"), "docker.io/library/rust:1-bookworm")]
    #[case("team/app", "team/app", None, "docker.io/team/app:latest")]
    #[case("docker.io/debian:12", "docker.io/debian", Some("12"), "docker.io/library/debian:12")]
    #[case("localhost:5000/a/b:c", "localhost:5000/a/b", Some("c"), "localhost:5000/a/b:c")]
    #[case("localhost:5000/a/b", "localhost:5000/a/b", None, "localhost:5000/a/b:latest")]
    #[case("localhost/x:1", "localhost/x", Some("1"), "localhost/x:1")]
    #[case("[::1]:5000/x:1", "[::1]:5000/x", Some("1"), "[::1]:5000/x:1")]
    #[case("a__b/c--d.e:T_1", "a__b/c--d.e", Some("T_1"), "docker.io/a__b/c--d.e:T_1")]
    fn parts_are_told_apart(
        #[case] text: &str,
        #[case] repository: &str,
        #[case] tag: Option<&str>,
        #[case] canonical: &str,
    ) -> Result<()> {
        let name: ImageName = text.parse()?;
        assert_eq!((name.repository().as_str(), name.tag()), (repository, tag));
        assert_eq!(name.canonical(), canonical);
        assert_eq!(name.to_string(), text);
        Ok(())
    }

    #[test]
    fn digests_are_kept_beside_the_tag() -> Result<()> {
        let name: ImageName = format!("x:t@{DIGEST}").parse()?;
        assert_eq!((name.tag(), name.digest()), (Some("t"), Some(&DIGEST.parse()?)));
        let name: ImageName = format!("x@{DIGEST}").parse()?;
        assert_eq!((name.tag(), name.digest()), (None, Some(&DIGEST.parse()?)));
        Ok(())
    }

    #[rstest]
    #[case("")]
    #[case("a b")]
    #[case("a\nb")]
    #[case("Mixed/CASE:Tag.1")]
    #[case("UPPER")]
    #[case("a//b")]
    #[case("-a")]
    #[case("a:")]
    #[case("a:-x")]
    #[case("a@sha256:12")]
    #[case("a___b")]
    #[case("host:port/a")]
    #[case("naïve")]
    #[case("--help")]
    fn what_is_no_reference_is_refused_as_a_usage_error(#[case] text: &str) {
        let error = text.parse::<ImageName>().expect_err(text);
        assert_eq!(error.exit_code(), 2, "{text:?}");
        assert!(error.hint_text().is_some());
    }

    #[rstest]
    #[case("https://user:hunter2@registry.example/x")]
    #[case("user:hunter2@registry.example:5000/x")]
    #[case("hunter2@registry.example/x")]
    #[case("https://registry.example/x?token=hunter2")]
    fn credentials_in_what_is_no_reference_are_not_told(#[case] text: &str) {
        let error = text.parse::<ImageName>().expect_err(text);
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains("registry.example"), "{error}");
    }

    #[test]
    fn a_repository_is_as_long_as_its_full_form() -> Result<()> {
        let full_form = "docker.io/library/".len();
        for (before, most) in [("", 255 - full_form), ("team/", 255 - "docker.io/team/".len()), ("r.example/", 245)] {
            let name: ImageName = format!("{before}{}:t", "a".repeat(most)).parse()?;
            assert_eq!(name.canonical().len(), 255 + ":t".len());
            assert_eq!(name.canonical().parse::<ImageName>()?, name);
            assert!(format!("{before}{}", "a".repeat(most + 1)).parse::<ImageName>().is_err());
        }
        Ok(())
    }

    #[rstest]
    #[case("localhost/x", false)]
    #[case("x", false)]
    #[case("team/x", false)]
    #[case("localhost:5000/x", true)]
    #[case("ghcr.io/team/x", true)]
    fn only_a_named_registry_is_asked(#[case] text: &str, #[case] expected: bool) -> Result<()> {
        assert_eq!(text.parse::<ImageName>()?.names_a_registry(), expected);
        Ok(())
    }
}
