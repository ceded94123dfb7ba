//! The labels of the dependency image and of the finished image, from the plan, for the build folder and the build.

use crate::config::options::Options;
use crate::config::slim::Slim;
use crate::image::labels::{
    BASE_DIGEST, BASE_NAME, BUILD_FROM, IMAGE, KIND, LOCK_HASH, Labels, PLATFORMS, SOURCE_HASH, SYSTEM_HASH, VERSION,
};
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
        (VERSION, project.version.clone()),
        (BASE_NAME, options.base_image.to_string()),
        (KIND, project.kind.to_string()),
        (SYSTEM_HASH, hashes.system.identity.clone()),
        (LOCK_HASH, hashes.lock.identity.clone()),
        (BUILD_FROM, build_from.to_owned()),
        (PLATFORMS, platforms.to_owned()),
    ]);
    labels.extend(options.base_digest.as_ref().map(|digest| (BASE_DIGEST, digest.to_string())));
    labels
}

/// The labels of the finished image: those of its dependencies, its version, its source hash, the commit `revision`, and
/// `origin`, where the sources come from. A slim one is based on the run image.
pub fn of_sources(
    of_dependencies: &Labels,
    version: &str,
    hashes: &Hashes,
    slim: Option<&Slim>,
    revision: Option<String>,
    origin: Option<String>,
) -> Labels {
    let mut labels = of_dependencies.clone();
    labels.insert(VERSION, version.to_owned());
    labels.insert(SOURCE_HASH, hashes.source.identity.clone());
    labels.insert(IMAGE, if slim.is_some() { "slim" } else { "full" }.to_owned());
    if let Some(Slim { run_image, run_digest, .. }) = slim {
        [BASE_NAME, BASE_DIGEST].iter().for_each(|label| drop(labels.remove(label)));
        labels.extend(run_image.image().map(|image| (BASE_NAME, image.to_string())));
        labels.extend(run_digest.as_ref().map(|digest| (BASE_DIGEST, digest.to_string())));
    }
    labels.extend(revision.map(|revision| ("org.opencontainers.image.revision", revision)));
    labels.extend(origin.map(|origin| ("org.opencontainers.image.source", origin)));
    labels
}
