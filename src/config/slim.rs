//! What a slim image starts from and holds. Part of the first step of the way, from settings to options.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer};

use crate::config::values::{DebianPackage, Workdir};
use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;

/// The name that stands for an image without a file.
const NOTHING: &str = "scratch";

/// Releases of Debian, with their numbers.
const RELEASES: [(&str, &str); 5] =
    [("10", "buster"), ("11", "bullseye"), ("12", "bookworm"), ("13", "trixie"), ("14", "forky")];

/// What a slim image starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunImage {
    /// Nothing: the image holds no more than what is copied into it.
    Nothing,
    /// An image.
    Image(ImageName),
}

impl RunImage {
    /// The slim image of the Debian release that a base image is of, where its name says the release. It comes from
    /// beside the base image if that is one of Docker's official images or a copy of one.
    ///
    /// # Errors
    /// A usage error when the name says no release.
    pub fn beside(base_image: &ImageName) -> Result<Self> {
        let repository = base_image.repository();
        let (folder, name) = repository.rsplit_once('/').unwrap_or(("", &repository));
        let tag = base_image.tag().unwrap_or_default();
        let words = || tag.split(|character: char| !character.is_ascii_alphanumeric());
        let names = || name.split(|character: char| !character.is_ascii_alphanumeric()).chain(words());
        let by_name = RELEASES.iter().find(|(_, release)| names().any(|word| word == *release));
        let by_number = || RELEASES.iter().find(|(number, _)| name == "debian" && words().next() == Some(number));
        let Some((_, release)) = by_name.or_else(by_number) else {
            return Err(Error::usage(format!("the base image `{base_image}` says no release of Debian in its name"))
                .hint(
                    "name the image that the slim image is to start from, such as `--run-image debian:bookworm-slim`",
                ));
        };
        let is_official = matches!(name, "rust" | "debian") && !folder.is_empty();
        let folder = if is_official { format!("{folder}/") } else { String::new() };
        format!("{folder}debian:{release}-slim").parse()
    }

    /// The image, if it is one.
    pub fn image(&self) -> Option<&ImageName> {
        match self {
            Self::Nothing => None,
            Self::Image(image) => Some(image),
        }
    }
}

impl FromStr for RunImage {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == NOTHING { Ok(Self::Nothing) } else { text.parse().map(Self::Image) }
    }
}

impl fmt::Display for RunImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str(NOTHING),
            Self::Image(image) => image.fmt(formatter),
        }
    }
}

/// A slim image: the binaries on a run image, without what built them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slim {
    /// What it starts from.
    pub run_image: RunImage,
    /// The run image's digest, if the names depend on it.
    pub run_digest: Option<Digest>,
    /// Debian packages that are installed in it.
    pub packages: Vec<DebianPackage>,
    /// Patterns of the source files that are copied into `workdir`.
    pub assets: Vec<String>,
    /// The folder that it runs in.
    pub workdir: Workdir,
    /// The binaries that it holds; empty for all.
    pub bins: Vec<String>,
    /// Whether each binary gets an image of its own.
    pub each_bin: bool,
    /// What binaries are compiled from besides the packages that they need.
    pub bin_inputs: Vec<BinInput>,
    /// Whether it is compiled on the builder's own platform for others.
    pub cross: Cross,
    /// How that is done, where the builder would have to emulate a platform.
    pub cross_compiled: Option<CrossCompiled>,
}

/// Files that a binary is compiled from and that are in none of the packages that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinInput {
    /// The binary.
    pub bin: String,
    /// A path or a glob, as git would list it.
    pub pattern: String,
}

impl FromStr for BinInput {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (bin, pattern) =
            text.split_once('=').ok_or_else(|| Error::usage("an input of a binary reads `BIN=PATH`"))?;
        Ok(Self { bin: bin.to_owned(), pattern: pattern.to_owned() })
    }
}

/// The inputs in a table of lists, the form that `bin-inputs` has in files.
pub(super) fn bin_inputs<'de, D: Deserializer<'de>>(table: D) -> Result<Option<Vec<BinInput>>, D::Error> {
    let table = BTreeMap::<String, Vec<String>>::deserialize(table)?;
    let inputs = table
        .into_iter()
        .flat_map(|(bin, patterns)| patterns.into_iter().map(move |pattern| BinInput { bin: bin.clone(), pattern }));
    Ok(Some(inputs.collect()))
}

/// Whether slim images are compiled on the builder's own platform for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Cross {
    /// Where the builder would have to emulate a platform.
    #[default]
    Auto,
    /// Never: each platform compiles for itself.
    Off,
}

/// Compiling on one platform for all those of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossCompiled {
    /// The builder's own platform, which the image of the dependencies is for.
    pub on: Platform,
    /// Rust's names of the platforms of the image.
    pub targets: BTreeSet<&'static str>,
}

impl Slim {
    /// Whether only what its binaries are compiled from counts for its name.
    pub fn is_by_binary(&self) -> bool {
        self.each_bin || !self.bins.is_empty()
    }

    /// The run image as builds start from it: with its digest, where the names depend on the digest.
    pub fn pinned_run_image(&self) -> RunImage {
        match &self.run_image {
            RunImage::Nothing => RunImage::Nothing,
            RunImage::Image(image) => RunImage::Image(image.pinned(self.run_digest.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("rust:1-bookworm", "debian:bookworm-slim")]
    #[case("rust:1.85-slim-trixie", "debian:trixie-slim")]
    #[case("rust:trixie", "debian:trixie-slim")]
    #[case("docker.io/library/rust:bullseye", "docker.io/library/debian:bullseye-slim")]
    #[case("127.0.0.1:5000/mirror/rust:1-bookworm", "127.0.0.1:5000/mirror/debian:bookworm-slim")]
    #[case("debian:12.5", "debian:bookworm-slim")]
    #[case("debian:13-slim", "debian:trixie-slim")]
    #[case("ghcr.io/team/rust-bookworm:2024", "debian:bookworm-slim")]
    #[case("ghcr.io/team/ci:trixie-12", "debian:trixie-slim")]
    fn a_base_image_says_its_release(#[case] base_image: &str, #[case] run_image: &str) -> Result<()> {
        assert_eq!(RunImage::beside(&base_image.parse()?)?.to_string(), run_image);
        Ok(())
    }

    #[rstest]
    #[case("rust")]
    #[case("rust:1")]
    #[case("rust:12")]
    #[case("rust:alpine")]
    #[case("ubuntu:24.04")]
    #[case("bookworm.example.com/rust:1")]
    fn a_release_is_not_guessed(#[case] base_image: &str) -> Result<()> {
        let error = RunImage::beside(&base_image.parse()?).expect_err("it says no release");
        assert_eq!(error.exit_code(), 2);
        Ok(())
    }
}
