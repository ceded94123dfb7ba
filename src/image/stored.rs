//! Images that exist: where, under which digest, for which platforms; and the names that results are to get.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;

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

/// The manifest of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformManifest {
    /// The platform.
    pub platform: Platform,
    /// The manifest's digest.
    pub digest: Digest,
}

/// What an image is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be run: any store will do.
    Run,
    /// To be built upon: of several stores, one that builds see.
    BuildUpon,
}

/// An image that exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredImage {
    /// Where it was found.
    pub store: Store,
    /// The digest of its index or manifest; in podman's and docker's classic store, of its configuration.
    pub digest: Digest,
    /// The platforms it can run on.
    pub platforms: Vec<Platform>,
    /// The manifests of its platforms, as far as the store tells them.
    pub manifests: Vec<PlatformManifest>,
    /// In a registry, the descriptors of its manifests, and of the attestations that belong to them.
    pub descriptors: Vec<serde_json::Value>,
    /// In an engine, the digests by which it was pulled or pushed.
    pub in_registries: Vec<Digest>,
    /// The labels that it has for every platform.
    pub labels: BTreeMap<String, String>,
}

/// An image that was asked back after it was built, or found before: it is there, under this digest, with these
/// platforms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmed {
    /// Who answered.
    pub store: Store,
    /// As [`StoredImage::digest`].
    pub digest: Digest,
    /// As in the answer, sorted.
    #[serde(serialize_with = "as_strings")]
    pub platforms: Vec<Platform>,
}

/// How large an image is for one platform, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// All of its layers.
    pub all: u64,
    /// The layers that its run image does not have; none where that is not known.
    pub own: Option<u64>,
    /// Whether the layers are compressed, as registries have them, or unpacked, as in an engine.
    pub compressed: bool,
}

impl Size {
    /// The size of an image with these parts, the newest first. The first `own` of them are not its run image's.
    pub(crate) fn of(parts: &[u64], own: Option<usize>, compressed: bool) -> Self {
        let sum = |parts: &[u64]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
        Self { all: sum(parts), own: own.and_then(|own| parts.get(..own)).map(sum), compressed }
    }
}

/// Platforms as the strings that image indexes use.
pub(crate) fn as_strings<S: serde::Serializer>(platforms: &[Platform], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(platforms.iter().map(ToString::to_string))
}

impl StoredImage {
    /// Whether the image is there for every one of `platforms`.
    pub fn holds(&self, platforms: &[Platform]) -> bool {
        platforms.iter().all(|platform| self.platforms.contains(platform))
    }

    /// Whether this is the image that a registry has under `digest`.
    pub fn is_known_by(&self, digest: &Digest) -> bool {
        self.digest == *digest || self.in_registries.contains(digest)
    }

    /// The name by which a build finds this image and no other. An engine may have another image under the registry's
    /// name; a digest means one image everywhere.
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

/// By what an image of the same content is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentKey {
    /// The label's name.
    pub label: &'static str,
    /// The label's value.
    pub value: String,
    /// Whether an image without the label is taken for one of the same content.
    pub unlabelled: bool,
}

impl ContentKey {
    /// Whether `image` is of the same content.
    pub fn is_of(&self, image: &StoredImage) -> bool {
        image.labels.get(self.label).map_or(self.unlabelled, |value| *value == self.value)
    }
}

/// A name for the result of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultName {
    /// The name.
    pub name: ImageName,
    /// By what an image of the same content is known.
    pub key: ContentKey,
    /// Whether the name may be taken from an image of other content.
    pub moves: bool,
}

/// What happens to a name that an image has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The image is of the same content: its other platforms keep the name.
    Keep,
    /// The image is of other content, and loses the name.
    Replace,
    /// The image is of other content, and the name may not be taken from it.
    Refuse,
}

impl ResultName {
    /// What happens to the name if `image` has it.
    pub fn taken_by(&self, image: &StoredImage) -> Taken {
        match (self.key.is_of(image), self.moves) {
            (true, _) => Taken::Keep,
            (false, true) => Taken::Replace,
            (false, false) => Taken::Refuse,
        }
    }

    /// The error of [`Taken::Refuse`].
    pub fn refusal(&self) -> Error {
        let ContentKey { label, value, .. } = &self.key;
        Error::failed(format!(
            "`{self}` was taken by an image of other content while this one was built: its label `{label}` is not `{value}`"
        ))
        .hint("find out who made it, or replace it with `--force-rebuild`")
    }
}

impl std::fmt::Display for ResultName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.name.fmt(formatter)
    }
}
