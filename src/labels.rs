//! The labels that images carry: the OCI ones, and those by which this tool knows its own images.

use std::collections::BTreeMap;

use crate::config::Options;
use crate::project::{Hashes, Project};

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

/// The labels of the image that holds the dependencies.
pub fn of_dependencies(
    project: &Project,
    hashes: &Hashes,
    options: &Options,
    build_from: &str,
    platforms: &str,
) -> Labels {
    let mut labels = Labels::from([
        ("org.opencontainers.image.title", project.name.clone()),
        ("org.opencontainers.image.version", project.version.clone()),
        ("org.opencontainers.image.base.name", options.base_image.to_string()),
        (KIND, project.kind.to_string()),
        (SYSTEM_HASH, hashes.system.clone()),
        (LOCK_HASH, hashes.lock.clone()),
        (BUILD_FROM, build_from.to_owned()),
        (PLATFORMS, platforms.to_owned()),
    ]);
    labels.extend(options.base_digest.clone().map(|digest| (BASE_DIGEST, digest)));
    labels
}

/// The labels of the finished image: those of its dependencies and these. `revision` is the commit, if there is one,
/// `origin` where the sources come from.
pub fn of_sources(
    of_dependencies: &Labels,
    hashes: &Hashes,
    revision: Option<String>,
    origin: Option<String>,
) -> Labels {
    let mut labels = of_dependencies.clone();
    labels.insert(SOURCE_HASH, hashes.source.clone());
    labels.extend(revision.map(|revision| ("org.opencontainers.image.revision", revision)));
    labels.extend(origin.map(|origin| ("org.opencontainers.image.source", origin)));
    labels
}
