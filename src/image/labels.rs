//! The labels that images carry: the OCI ones, and those by which this tool knows its own images.

use std::collections::BTreeMap;

/// What the names of this tool's own labels start with.
pub const OWN: &str = "dev.runtime-image.";

/// What the names of the labels about the base image start with.
pub const BASE: &str = "org.opencontainers.image.base.";

/// The kind of project.
pub const KIND: &str = "dev.runtime-image.kind";

/// The untruncated hash of base image, system packages, toolchain and the like.
pub const SYSTEM_HASH: &str = "dev.runtime-image.system-hash";

/// The untruncated hash of that and all dependencies.
pub const LOCK_HASH: &str = "dev.runtime-image.lock-hash";

/// The untruncated hash of all sources.
pub const SOURCE_HASH: &str = "dev.runtime-image.source-hash";

/// What its dependencies were built from: `scratch` or `versioned`; for a template of one stage the image itself, and
/// then also `lock`.
pub const BUILD_FROM: &str = "dev.runtime-image.build-from";

/// The platforms that its dependencies were built for together, joined by commas.
pub const PLATFORMS: &str = "dev.runtime-image.platforms";

/// Those that tell of one build, and are not the same for the same sources.
pub const OF_ONE_BUILD: [&str; 2] = [BUILD_FROM, PLATFORMS];

/// The base image's digest, where it is part of the names.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// Labels of an image, by name.
pub type Labels = BTreeMap<&'static str, String>;

/// What an image is labelled with, and the image of its dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageLabels {
    /// The image of the dependencies; all else that is built on it has these too.
    pub dependencies: Labels,
    /// The finished image.
    pub finished: Labels,
}
