//! The labels of the dependency image and of the finished image, from the plan, for the build folder and the build.

use crate::config::options::Options;
use crate::image::labels::{BASE_DIGEST, BUILD_FROM, KIND, LOCK_HASH, Labels, PLATFORMS, SOURCE_HASH, SYSTEM_HASH};
use crate::image::tags::Hashes;
use crate::project::read::Project;

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
        (SYSTEM_HASH, hashes.system.identity.clone()),
        (LOCK_HASH, hashes.lock.identity.clone()),
        (BUILD_FROM, build_from.to_owned()),
        (PLATFORMS, platforms.to_owned()),
    ]);
    labels.extend(options.base_digest.as_ref().map(|digest| (BASE_DIGEST, digest.to_string())));
    labels
}

/// The labels of the finished image: those of its dependencies, its source hash, the commit `revision`, and `origin`,
/// where the sources come from.
pub fn of_sources(
    of_dependencies: &Labels,
    hashes: &Hashes,
    revision: Option<String>,
    origin: Option<String>,
) -> Labels {
    let mut labels = of_dependencies.clone();
    labels.insert(SOURCE_HASH, hashes.source.identity.clone());
    labels.extend(revision.map(|revision| ("org.opencontainers.image.revision", revision)));
    labels.extend(origin.map(|origin| ("org.opencontainers.image.source", origin)));
    labels
}
