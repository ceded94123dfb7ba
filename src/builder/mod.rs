//! What builds, and answers whether an image exists and is the one that was built.

mod buildx;
mod engine;
mod metadata;
mod recording;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

pub use self::buildx::{BuildxBuilder, build_arguments};
pub use self::engine::Driver;
pub use self::metadata::BuildxMetadata;
pub use self::recording::RecordingBuilder;
use crate::error::Result;
use crate::image_name::ImageName;
use crate::labels::Labels;
use crate::platform::Platform;

/// Where an image was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The engine's own store.
    Engine,
    /// The registry that the image's name names.
    Registry,
}

impl std::fmt::Display for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Engine => "engine",
            Self::Registry => "registry",
        })
    }
}

/// An image that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Where it was found.
    pub store: Store,
    /// `sha256:...`: the digest of its index or manifest, or, in a classic engine store, of its configuration.
    pub digest: String,
    /// The platforms it can run on.
    pub platforms: Vec<Platform>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An image that was asked back after it was built, or found before: it is there, under this digest, with these
/// platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// Who answered.
    pub store: Store,
    /// `sha256:...`, as [`StoredImage::digest`].
    pub digest: String,
    /// As in the answer, sorted.
    #[serde(serialize_with = "as_strings")]
    pub platforms: Vec<Platform>,
}

/// Platforms as the strings that image indexes use.
pub(crate) fn as_strings<S: serde::Serializer>(platforms: &[Platform], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(platforms.iter().map(ToString::to_string))
}

impl From<&StoredImage> for Confirmed {
    fn from(image: &StoredImage) -> Self {
        let mut platforms = image.platforms.clone();
        platforms.sort();
        Self { store: image.store, digest: image.digest.clone(), platforms }
    }
}

/// One call of `docker buildx build`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRequest {
    /// The build folder.
    pub context: Utf8PathBuf,
    /// The stage to build; the last one if not given.
    pub target: Option<String>,
    /// The stage `deps` taken from this image instead of being built.
    pub deps_image: Option<ImageName>,
    /// The names of the result.
    pub names: Vec<ImageName>,
    /// Labels of the result, besides those in the Dockerfile.
    pub labels: Labels,
    /// What to build for; never empty.
    pub platforms: Vec<Platform>,
    /// Whether results of earlier builds are ignored.
    pub no_cache: bool,
    /// `KEY=VALUE`, or `KEY` for a value from the environment.
    pub build_args: Vec<String>,
}

/// What builds images and knows which exist.
pub trait RuntimeBuilder: Sync {
    /// Which of these images exist, in the order asked. Looks things up only; nothing is pulled.
    ///
    /// # Errors
    /// When a store cannot be asked: that is not the same as "absent".
    fn find(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>>;

    /// Whether this builder can use `image` for every one of `platforms`.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn image_exists(&self, image: &ImageName, platforms: &[Platform]) -> Result<bool> {
        let found = self.find(&[image])?.into_iter().next().flatten();
        Ok(found.is_some_and(|found| platforms.iter().all(|platform| found.platforms.contains(platform))))
    }

    /// Whether a build can start from an image found in `store`.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    fn can_build_from(&self, store: Store) -> Result<bool>;

    /// Whether a build can be started at all. What is learnt is kept.
    ///
    /// # Errors
    /// When something is missing, with what to do about it.
    fn ready(&self) -> Result<()>;

    /// The platform that is built for when none was requested.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    fn default_platform(&self) -> Result<Platform>;

    /// Builds, and gives what the builder itself says of the result.
    ///
    /// # Errors
    /// When the build fails, or cannot be started.
    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata>;

    /// Asks the store where the result should be now, and compares its answer with what the build promised.
    ///
    /// # Errors
    /// When the image is not there, is another one, or lacks a platform.
    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed>;
}
