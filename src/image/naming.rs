//! What the names of a project's images have in common, and the name that a base image gives its runtime image.

use crate::error::{Error, Result};
use crate::hash::md5_hex;
use crate::image::name::{ImageName, MAX_TAG_LENGTH, fitting_tag, valid_tag, valid_tag_text};

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
    /// Whether `/` stays in the text of an overlong tag, as before 0.58. The tag holds only that text's MD5.
    pub keeps_slashes: bool,
}

impl Naming {
    /// Naming by these parts, which are checked, and without the original's rules.
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
    /// represented by its MD5. Where `_` stands for anything but `+`, a part of the MD5 follows, so that versions which
    /// spell alike have different names. The original has no such part.
    pub fn stem(&self) -> String {
        let version = valid_tag_text(&self.version);
        let is_plain = self.original.is_some() || version.replace('_', "+") == self.version;
        let hash = md5_hex(self.version.as_bytes());
        let version = if version.len() > MAX_VERSION_LENGTH {
            hash
        } else if is_plain {
            version
        } else {
            format!("{version}_{}", &hash[..8])
        };
        format!("{}_v{version}", self.prefix)
    }
}

/// A name as a part of a repository's.
pub(crate) fn local_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> =
        lower.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "project".to_owned() } else { words.join("-") }
}

/// `localhost/<name>-runtime`: a local name that no registry is ever asked for.
pub(crate) fn local_repository(name: &str) -> String {
    let repository = format!("localhost/{}-runtime", local_name(name));
    debug_assert!(repository.parse::<ImageName>().is_ok());
    repository
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

const MAX_REPOSITORY_PART: usize = 32;

const KEPT_REPOSITORY_PART: usize = 24;

/// The repository and tag of the runtime image that belongs to `base_image`.
///
/// A base image that already is a runtime image of the configured repository keeps its repository and tag (`latest` if
/// it has none); with [`Naming::original`], so does any whose name holds the repository's. Any other gives the
/// configured repository and `<prefix>_v<version>_image_<repository with / -> _s_>_tag_<tag>`, where a repository over
/// 32 characters becomes `<first 8 hexadecimal digits of the MD5 of all but its last 24 characters>_<last 24>`, and a
/// tag that would pass 128 characters becomes `<prefix>_v<version>_image_<MD5 of that tag>`.
///
/// ```
/// use runtime_image::{Naming, runtime_image_repo_and_tag};
/// let naming = Naming::new("localhost/demo-runtime", "rt", "1.2.0")?;
/// let (repository, tag) = runtime_image_repo_and_tag("debian:bookworm", &naming)?;
/// assert_eq!((repository.as_str(), tag.as_str()), ("localhost/demo-runtime", "rt_v1.2.0_image_debian_tag_bookworm"));
/// # Ok::<(), runtime_image::Error>(())
/// ```
///
/// # Errors
/// When `base_image` is not a valid image reference.
#[doc(alias = "get_runtime_image_repo_and_tag")]
pub fn runtime_image_repo_and_tag(base_image: &str, naming: &Naming) -> Result<(String, String)> {
    let base: ImageName = base_image.parse()?;
    let is_runtime_image = if naming.original.is_some() {
        base_image.contains(&naming.repository.repository())
    } else {
        base.canonical_repository() == naming.repository.canonical_repository()
    };
    if is_runtime_image {
        return Ok((base.repository(), base.tag.unwrap_or_else(|| "latest".to_owned())));
    }
    let repository = base.repository();
    let is_long = repository.len() > MAX_REPOSITORY_PART;
    let shortened = if is_long {
        let (head, tail) = repository.split_at(repository.len() - KEPT_REPOSITORY_PART);
        format!("{}_{tail}", &md5_hex(head.as_bytes())[..8])
    } else {
        repository
    };
    let base_tag = match (base.tag, base.digest) {
        (Some(tag), Some(digest)) => format!("{tag}_{digest}"),
        (Some(tag), None) => tag,
        (None, Some(digest)) => digest.to_string(),
        (None, None) => "latest".to_owned(),
    };
    let stem = format!("{}_image", naming.stem());
    let with_slashes = format!("{stem}_{shortened}_tag_{base_tag}");
    let keeps_slashes = naming.original.is_some_and(|original| original.keeps_slashes);
    let tag = if is_long && keeps_slashes && with_slashes.len() > MAX_TAG_LENGTH {
        format!("{stem}_{}", md5_hex(with_slashes.as_bytes()))
    } else {
        fitting_tag(valid_tag_text(&with_slashes.replace('/', "_s_")), &stem)
    };
    Ok((naming.repository.repository(), tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[rstest]
    #[case("debian", "rt_v1.0.0_image_debian_tag_latest")]
    #[case("localhost:5000/a/b:c", "rt_v1.0.0_image_localhost_5000_s_a_s_b_tag_c")]
    #[case("x/demo-runtime:1", "rt_v1.0.0_image_x_s_demo-runtime_tag_1")]
    fn other_bases_get_a_tag_that_names_them(#[case] base: &str, #[case] expected: &str) -> Result<()> {
        let naming = Naming::new("localhost/demo-runtime", "rt", "1.0.0")?;
        let (repository, tag) = runtime_image_repo_and_tag(base, &naming)?;
        assert_eq!(repository, "localhost/demo-runtime");
        assert_eq!(tag, expected);
        assert!(valid_tag(&tag));
        Ok(())
    }

    #[test]
    fn a_digest_gives_a_valid_tag() -> Result<()> {
        let naming = Naming::new("localhost/demo-runtime", "rt", "1.0.0")?;
        for base in [format!("x@{DIGEST}"), format!("x:t@{DIGEST}"), format!("a/{}@{DIGEST}", "b".repeat(90))] {
            let (_, tag) = runtime_image_repo_and_tag(&base, &naming)?;
            assert!(valid_tag(&tag), "{base} gave {tag}");
        }
        Ok(())
    }

    #[test]
    fn a_runtime_image_of_the_repository_keeps_its_name() -> Result<()> {
        let naming = Naming::new("ghcr.io/team/runtime", "rt", "1.0.0")?;
        let name = |base| runtime_image_repo_and_tag(base, &naming);
        assert_eq!(name("ghcr.io/team/runtime:rt_x")?, ("ghcr.io/team/runtime".into(), "rt_x".into()));
        assert_eq!(name("ghcr.io/team/runtime")?, ("ghcr.io/team/runtime".into(), "latest".into()));
        // A repository that merely contains the other's name is another repository.
        assert_eq!(name("ghcr.io/team/runtime-base:1")?.1, "rt_v1.0.0_image_ghcr.io_s_team_s_runtime-base_tag_1");
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
    fn a_repository_with_a_tag_is_refused_with_the_right_spelling() {
        let error = Naming::new("ghcr.io/a/b:c", "rt", "1").expect_err("a tag was accepted");
        assert_eq!(error.hint_text(), Some("use `--repository ghcr.io/a/b`"));
    }
}
