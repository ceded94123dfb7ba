//! The three names of an image: source tag, lock tag, versioned tag. Hashes only; no engine is asked.

use crate::error::{Error, Result};
use crate::hash::{md5_hex, truncate_hash};
use crate::image_name::{ImageName, valid_tag};

const MAX_SLUG_LENGTH: usize = 96;
const MAX_PREFIX_LENGTH: usize = 32;
const MAX_VERSION_LENGTH: usize = 64;

/// What the names of a project's images have in common.
#[derive(Debug, Clone)]
pub struct Naming {
    /// The repository that holds the images, without a tag.
    pub repository: ImageName,
    /// What every tag starts with: `rt`, or `oh` for OpenHands trees.
    pub prefix: String,
    /// The project's version, as the project spells it.
    pub version: String,
    /// The rules of the original, where these make the names.
    pub original: Option<OriginalRules>,
}

/// What differs from release to release in the original's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginalRules {
    /// Before 0.58: `/` stays in a long repository. What an engine takes of such names is an MD5 only.
    pub keeps_slashes: bool,
}

impl Naming {
    /// Checks the parts.
    ///
    /// # Errors
    /// When `repository` is not a valid repository or `prefix` cannot start a tag.
    pub fn new(repository: &str, prefix: &str, version: &str) -> Result<Self> {
        let name: ImageName = repository.parse()?;
        if name.tag().is_some() || name.digest().is_some() {
            return Err(Error::usage(format!("the repository `{repository}` must not carry a tag or digest"))
                .hint(format!("use `--repository {}`", name.repository())));
        }
        if !valid_tag(prefix) || prefix.len() > MAX_PREFIX_LENGTH {
            return Err(Error::usage(format!("invalid tag prefix {prefix:?}"))
                .hint("a prefix is 1 to 32 characters of `A-Z a-z 0-9 _ . -`, not starting with `.` or `-`"));
        }
        Ok(Self { repository: name, prefix: prefix.to_owned(), version: version.to_owned(), original: None })
    }

    /// `<prefix>_v<version>`, with what a tag cannot hold (`+`) replaced by `_`; a version of over 64 characters is
    /// represented by its MD5.
    pub fn stem(&self) -> String {
        let version = valid_tag_text(&self.version);
        let version = if version.len() > MAX_VERSION_LENGTH { md5_hex(self.version.as_bytes()) } else { version };
        format!("{}_v{version}", self.prefix)
    }
}

/// The three names an image gets, from the most to the least specific.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// Everything is the same: base image, dependencies, sources.
    pub source: ImageName,
    /// The dependencies are the same.
    pub lock: ImageName,
    /// The base image and the project's version are the same.
    pub versioned: ImageName,
}

impl Tags {
    /// The tags as the original makes them, digit for digit, wherever these are valid: `<prefix>_v<version>_<lock>_<source>`,
    /// `<prefix>_v<version>_<lock>` and `<prefix>_v<version>_<base slug>`. `variant`, the hash of what the original's hashes
    /// leave out, adds `_x<hash>` to the first two.
    ///
    /// # Errors
    /// When a hash is not hexadecimal.
    pub fn original(
        naming: &Naming,
        base_image: &str,
        lock_hash: &str,
        source_hash: &str,
        variant: Option<&str>,
    ) -> Result<Self> {
        let stem = naming.stem();
        let [lock, source] = [truncate_hash(lock_hash)?, truncate_hash(source_hash)?];
        let suffix = variant.map(truncate_hash).transpose()?.map(|hash| format!("_x{hash}")).unwrap_or_default();
        let tag = |text: String| naming.repository.with_tag(&fitting_tag(text, &naming.prefix));
        Ok(Self {
            source: tag(format!("{stem}_{lock}_{source}{suffix}"))?,
            lock: tag(format!("{stem}_{lock}{suffix}"))?,
            versioned: tag(format!("{stem}_{}", base_slug(base_image).0))?,
        })
    }

    /// The tags of the cargo and custom kinds, from the untruncated hashes:
    /// `<prefix>_v<version>_<lock>_<source>`, `<prefix>_<lock>` and `<prefix>_v<version>_<base slug>`.
    ///
    /// # Errors
    /// When a hash is not hexadecimal.
    pub fn new(naming: &Naming, base_image: &str, lock_hash: &str, source_hash: &str) -> Result<Self> {
        let stem = naming.stem();
        let lock = truncate_hash(lock_hash)?;
        let source = truncate_hash(source_hash)?;
        let (slug, lost) = base_slug(base_image);
        let slug = if lost { format!("{slug}_{}", &md5_hex(base_image.as_bytes())[..8]) } else { slug };
        let tag = |text: String| naming.repository.with_tag(&fitting_tag(text, &naming.prefix));
        Ok(Self {
            source: tag(format!("{stem}_{lock}_{source}"))?,
            lock: tag(format!("{}_{lock}", naming.prefix))?,
            versioned: tag(format!("{stem}_{slug}"))?,
        })
    }
}

/// The base image's name as part of a tag: `/` -> `_s_`, `:` -> `_t_`, lower case, the last 96 characters; and whether
/// that spelling lost something, so that another name could be spelled the same.
pub fn base_slug(base_image: &str) -> (String, bool) {
    let spelled = valid_tag_text(&base_image.replace('/', "_s_").replace(':', "_t_").to_lowercase());
    let start = spelled.len().saturating_sub(MAX_SLUG_LENGTH);
    let slug = spelled[start..].to_owned();
    let lost = slug.replace("_s_", "/").replace("_t_", ":") != base_image;
    (slug, lost)
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
    use proptest::prelude::*;
    use rstest::rstest;

    const LOCK: &str = "b08f254d76b1c6a7ad924708c0032251";
    const SOURCE: &str = "102aecc0cea025253c0278f54ebef078";

    fn tags(version: &str, base: &str) -> Result<[String; 3]> {
        let naming = Naming::new("localhost/app-runtime", "rt", version)?;
        let tags = Tags::new(&naming, base, LOCK, SOURCE)?;
        Ok([tags.source, tags.lock, tags.versioned].map(|name| name.tag().unwrap_or_default().to_owned()))
    }

    #[test]
    fn the_three_tags_have_the_documented_form() -> Result<()> {
        assert_eq!(
            tags("1.2.0", "rust:1-bookworm")?,
            ["rt_v1.2.0_pma2wc71uq3c9a85_4titk6gquia3taj5", "rt_pma2wc71uq3c9a85", "rt_v1.2.0_rust_t_1-bookworm"]
        );
        Ok(())
    }

    #[test]
    fn build_metadata_in_a_version_stays_valid() -> Result<()> {
        assert_eq!(tags("1.0.0-rc.1+build.5", "debian")?[2], "rt_v1.0.0-rc.1_build.5_debian");
        Ok(())
    }

    #[rstest]
    #[case("ubuntu:24.04", "ubuntu_t_24.04", false)]
    #[case("ghcr.io/a/b:c", "ghcr.io_s_a_s_b_t_c", false)]
    #[case("x:Tag", "x_t_tag", true)]
    #[case("a_s_b", "a_s_b", true)]
    #[case("x@sha256:aa", "x_sha256_t_aa", true)]
    fn a_slug_knows_whether_it_lost_something(#[case] base: &str, #[case] slug: &str, #[case] lost: bool) {
        assert_eq!(base_slug(base), (slug.to_owned(), lost));
    }

    #[test]
    fn bases_that_spell_alike_get_different_versioned_tags() -> Result<()> {
        assert_ne!(tags("1.0.0", "x:Tag")?[2], tags("1.0.0", "x:tag")?[2]);
        assert_ne!(tags("1.0.0", "a/b")?[2], tags("1.0.0", "a_s_b")?[2]);
        Ok(())
    }

    #[test]
    fn a_repository_with_a_tag_is_refused_with_the_right_spelling() {
        let error = Naming::new("ghcr.io/a/b:c", "rt", "1").expect_err("a tag was accepted");
        assert_eq!(error.hint_text(), Some("use `--repository ghcr.io/a/b`"));
    }

    proptest! {
        #[test]
        fn every_tag_is_valid_whatever_the_input(version in ".{0,200}", base in ".{0,300}") {
            for tag in tags(&version, &base).map_err(|error| TestCaseError::fail(error.to_string()))? {
                prop_assert!(valid_tag(&tag), "{tag}");
            }
        }
    }
}
