//! The three names of an image: source tag, lock tag, versioned tag. Made of hashes only, before the plan; no engine is
//! asked.

use std::fmt;

use serde::Serialize;

use crate::error::Result;
use crate::hash::{Hash, md5_hex, truncate_hash};
use crate::image::name::{ImageName, fitting_tag};
use crate::image::naming::{Naming, base_slug};

/// What an image is built from: how much of an earlier image is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildFromImageType {
    /// From the base image: slowest.
    Scratch,
    /// From the newest image with the same base image and project version; its compiled dependencies are reused.
    Versioned,
    /// From an image with exactly the same dependencies: fastest.
    Lock,
}

impl fmt::Display for BuildFromImageType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Scratch => "scratch",
            Self::Versioned => "versioned",
            Self::Lock => "lock",
        })
    }
}

/// Which earlier images a project can be built on, and which it knows as its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// Whether its template can start from an image with the same dependencies.
    pub lock: bool,
    /// Whether its template can start from an image with other dependencies.
    pub versioned: bool,
    /// Whether an image without this tool's labels counts: one that the original made.
    pub unlabelled: bool,
}

/// The untruncated hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Base image, system packages, toolchain, and whatever else needs a build from scratch when it changes.
    pub system: Hash,
    /// What `system` holds, and all dependencies.
    pub lock: Hash,
    /// All staged files and how they are built.
    pub source: Hash,
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
    /// The tags as the original makes them, digit for digit, wherever these are valid:
    /// `<prefix>_v<version>_<lock>_<source>`, `<prefix>_v<version>_<lock>` and `<prefix>_v<version>_<base slug>`.
    /// `variant`, the hash of what the original's hashes leave out, adds `_x<hash>` to the first two.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::name::valid_tag;
    use proptest::prelude::*;

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

    #[test]
    fn bases_that_spell_alike_get_different_versioned_tags() -> Result<()> {
        assert_ne!(tags("1.0.0", "x:Tag")?[2], tags("1.0.0", "x:tag")?[2]);
        assert_ne!(tags("1.0.0", "a/b")?[2], tags("1.0.0", "a_s_b")?[2]);
        Ok(())
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
