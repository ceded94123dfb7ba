//! The labels that images carry: the OCI ones, and those by which this tool knows its own images.

use std::collections::BTreeMap;

/// What the names of this tool's own labels start with.
pub const OWN: &str = "dev.runtime-image.";

/// What the names of the labels about the base image start with.
pub const BASE: &str = "org.opencontainers.image.base.";

/// The kind of project.
pub const KIND: &str = "dev.runtime-image.kind";

/// What an image holds: `slim` or `full`.
pub const IMAGE: &str = "dev.runtime-image.image";

/// The untruncated hash of base image, system packages, toolchain and the like.
pub const SYSTEM_HASH: &str = "dev.runtime-image.system-hash";

/// The untruncated hash of what the system hash holds and all dependencies.
pub const LOCK_HASH: &str = "dev.runtime-image.lock-hash";

/// The untruncated hash of all sources.
pub const SOURCE_HASH: &str = "dev.runtime-image.source-hash";

/// What the image's dependencies were built from: `scratch` or `versioned`. With a template of one stage, what the
/// image itself was built from, so that `lock` is possible too.
pub const BUILD_FROM: &str = "dev.runtime-image.build-from";

/// The platforms that the image's dependencies were built for together, joined by commas.
pub const PLATFORMS: &str = "dev.runtime-image.platforms";

/// The labels that tell of one build: they can differ for the same sources.
pub const OF_ONE_BUILD: [&str; 2] = [BUILD_FROM, PLATFORMS];

/// The version of what an image holds.
pub const VERSION: &str = "org.opencontainers.image.version";

/// The image that an image starts from: the base image, or the run image of a slim one.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// That image's digest, where it is part of the names.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Labels of an image, by name.
pub type Labels = BTreeMap<&'static str, String>;

/// The labels of a finished image and of its dependency image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageLabels {
    /// The dependency image's labels, which all images built on it have too.
    pub dependencies: Labels,
    /// The finished image's labels.
    pub finished: Labels,
}
