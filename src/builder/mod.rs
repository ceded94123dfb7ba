//! What builds, and answers whether an image exists and is the one that was built.

mod buildx;
mod capabilities;
mod engine;
mod metadata;
mod podman;
mod recording;
mod registry;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::Serialize;

pub use self::buildx::{BuildxBuilder, Exporter, build_arguments};
pub use self::capabilities::{Driver, ImageStore, Instance, ToolVersion, Wanted};
pub use self::metadata::BuildxMetadata;
pub use self::podman::PodmanBuilder;
pub use self::recording::RecordingBuilder;
use crate::cache::CacheArguments;
use crate::config::{Engine, Options, Output};
use crate::error::{Error, Result};
use crate::image_name::ImageName;
use crate::labels::Labels;
use crate::platform::Platform;
use crate::process::Interrupt;
use crate::term::Terminal;

/// Where an image was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// The engine's own store.
    #[default]
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

/// One platform's image in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What it is for.
    pub platform: Platform,
    /// `sha256:...`.
    pub digest: String,
}

/// What images are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be run: wherever they are.
    Run,
    /// To be built upon: where builds see them, if they are in several places.
    BuildUpon,
}

/// An image that exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredImage {
    /// Where it was found.
    pub store: Store,
    /// `sha256:...`: the digest of its index or manifest, or, in a classic engine store, of its configuration.
    pub digest: String,
    /// The platforms it can run on.
    pub platforms: Vec<Platform>,
    /// The manifests of its platforms, as far as the store tells them.
    pub manifests: Vec<Manifest>,
    /// In a registry, the descriptors of its manifests, and of the attestations that belong to them.
    pub descriptors: Vec<serde_json::Value>,
    /// Its labels: those that it has for every platform.
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

impl StoredImage {
    /// Whether it can run on every one of these.
    pub fn holds(&self, platforms: &[Platform]) -> bool {
        platforms.iter().all(|platform| self.platforms.contains(platform))
    }

    /// The name by which a build finds this image and no other. An engine may have another image under the name that a
    /// registry has; a digest it does not take from elsewhere.
    pub fn name_for_builds(&self, name: &ImageName) -> ImageName {
        Confirmed::from(self).name_for_builds(name)
    }
}

impl Confirmed {
    /// As [`StoredImage::name_for_builds`].
    pub fn name_for_builds(&self, name: &ImageName) -> ImageName {
        match self.store {
            Store::Engine => name.clone(),
            Store::Registry => name.with_digest(&self.digest),
        }
    }
}

impl From<&StoredImage> for Confirmed {
    fn from(image: &StoredImage) -> Self {
        let mut platforms = image.platforms.clone();
        platforms.sort();
        Self { store: image.store, digest: image.digest.clone(), platforms }
    }
}

/// One call of `docker buildx build` or `podman build`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildRequest {
    /// The build folder.
    pub context: Utf8PathBuf,
    /// The stage to build; the last one if not given.
    pub target: Option<String>,
    /// The stage `deps` taken from this image instead of being built.
    pub deps_image: Option<ImageName>,
    /// The names of the result.
    pub names: Vec<ResultName>,
    /// Where the result goes.
    pub output: Output,
    /// Labels of the result, besides those in the Dockerfile.
    pub labels: Labels,
    /// What to build for; never empty.
    pub platforms: Vec<Platform>,
    /// The build cache, besides what is the same for every build of a run.
    pub cache: CacheArguments,
    /// Whether results of earlier builds are ignored.
    pub no_cache: bool,
    /// `KEY=VALUE`, or `KEY` for a value from the environment.
    pub build_args: Vec<String>,
}

/// A name for the result of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultName {
    /// The name.
    pub name: ImageName,
    /// The label by which an image of the same content is known, and its value.
    pub key: (&'static str, String),
    /// Whether an image without that label is taken for one of the same content.
    pub unlabelled: bool,
    /// Whether the name may be taken from an image of other content.
    pub moves: bool,
}

impl ResultName {
    /// Whether an image that already has the name is of the same content.
    pub fn is_of_same_content(&self, image: &StoredImage) -> bool {
        image.labels.get(self.key.0).map_or(self.unlabelled, |value| *value == self.key.1)
    }

    /// Whether an image that already has the name is of the same content, so that its other platforms stay.
    ///
    /// # Errors
    /// When it is of other content, and the name may not be taken from it.
    pub fn may_be_given_to_what_is_like(&self, image: &StoredImage) -> Result<bool> {
        let same = self.is_of_same_content(image);
        if same || self.moves {
            return Ok(same);
        }
        Err(Error::failed(format!(
            "`{self}` was taken by an image of other content while this one was built: its label `{}` is not `{}`",
            self.key.0, self.key.1
        ))
        .hint("find out who made it, or replace it with `--force-rebuild`"))
    }
}

impl std::fmt::Display for ResultName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(formatter)
    }
}

/// The builder for these options.
///
/// # Errors
/// When the options ask for what the engine cannot do.
pub fn new_builder(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Result<Box<dyn RuntimeBuilder>> {
    Ok(match options.engine.unwrap_or_else(engine_on_path) {
        Engine::Docker => Box::new(BuildxBuilder::new(options, terminal, interrupt)),
        Engine::Podman => Box::new(PodmanBuilder::new(options, terminal, interrupt)),
    })
}

/// docker, unless only podman is there, be it under docker's name.
fn engine_on_path() -> Engine {
    match which::which("docker") {
        Ok(docker) if podman::is_podman(&docker) => Engine::Podman,
        Err(_) if which::which("podman").is_ok() => Engine::Podman,
        _ => Engine::Docker,
    }
}

/// What builds images and knows which exist.
pub trait RuntimeBuilder: Sync {
    /// Which of these images exist, in the order asked; of several, one that holds all of `platforms`. Looks things up
    /// only; nothing is pulled.
    ///
    /// # Errors
    /// When a store cannot be asked: that is not the same as "absent".
    fn find(&self, images: &[&ImageName], platforms: &[Platform], purpose: Purpose)
    -> Result<Vec<Option<StoredImage>>>;

    /// Whether this builder can use `image` for every one of `platforms`.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn image_exists(&self, image: &ImageName, platforms: &[Platform]) -> Result<bool> {
        let found = self.find(&[image], platforms, Purpose::Run)?.into_iter().next().flatten();
        Ok(found.is_some_and(|found| found.holds(platforms)))
    }

    /// Whether a build can start from an image found in `store`.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    fn can_build_from(&self, store: Store) -> Result<bool>;

    /// Whether a build for these platforms can be started at all. What is learnt is kept.
    ///
    /// # Errors
    /// When something is missing, or what is asked for cannot be done here, with what to do about it.
    fn ready(&self, platforms: &[Platform]) -> Result<()>;

    /// The digest, `sha256:...`, that the registry has for `image`: an index's, where it is one.
    ///
    /// # Errors
    /// When the registry cannot be asked, or has no such image.
    fn digest(&self, image: &ImageName) -> Result<String>;

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

    /// Makes an image that a registry has exist in the engine as well, under its name, and asks the engine for it.
    ///
    /// # Errors
    /// When the engine cannot hold it, has an image of other content under that name, or cannot pull it.
    fn load(&self, name: &ResultName, found: &Confirmed, platforms: &[Platform]) -> Result<Confirmed>;
}
