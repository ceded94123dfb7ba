//! The builds of a run: requests made of what was planned and staged, for the build step. Pure.

use std::collections::HashSet;

use crate::builder::cache::CacheArguments;
use crate::builder::runtime_builder::{BuildRequest, Target};
use crate::config::options::Options;
use crate::config::values::Output;
use crate::image::labels::{ImageLabels, Labels, OF_ONE_BUILD};
use crate::image::name::ImageName;
use crate::image::stored::ResultName;
use crate::image::tags::BuildFromImageType;
use crate::plan::Plan;
use crate::project::read::Project;
use crate::staging::build_folder::Staged;
use crate::staging::own_files::DOCKERFILE;

/// What the requests are made of.
pub(super) struct Builds<'a> {
    pub(super) project: &'a Project,
    pub(super) options: &'a Options,
    pub(super) plan: &'a Plan,
    pub(super) from: BuildFromImageType,
    pub(super) staged: &'a Staged,
    pub(super) labels: &'a ImageLabels,
    /// The variables that the template uses. Labels that the template does not write are given by the builder.
    pub(super) written: HashSet<String>,
    pub(super) cache: &'a CacheArguments,
    pub(super) lock: ResultName,
    pub(super) versioned: ResultName,
    pub(super) source: ResultName,
}

impl Builds<'_> {
    /// The request for the dependency image, if it is a stage of its own and this run makes one of its names.
    pub(super) fn of_dependencies(&self) -> Option<BuildRequest> {
        let names = self.names_of_dependencies();
        if !self.project.has_deps_stage || names.is_empty() {
            return None;
        }
        let labels =
            if self.written.contains("deps_labels") { Labels::new() } else { self.labels.dependencies.clone() };
        Some(BuildRequest {
            target: Target::Dependencies,
            platforms: self.options.compiled_on(&self.plan.platforms),
            names,
            labels,
            build_args: self.project.dependency_args.clone(),
            cache: self.cache.clone(),
            ..self.common()
        })
    }

    /// The request for the finished image, with the stage `deps` taken from `deps_image`, if there is one.
    pub(super) fn of_sources(&self, deps_image: Option<ImageName>) -> BuildRequest {
        let has_deps_stage = self.project.has_deps_stage;
        let mut names = if has_deps_stage { Vec::new() } else { self.names_of_dependencies() };
        names.push(self.source.clone());
        let mut labels = if self.written.contains("labels") { Labels::new() } else { self.labels.finished.clone() };
        // A slim image is not built upon, and does not tell of its dependencies.
        if deps_image.is_none() && self.options.slim.is_none() {
            let of_dependencies = &self.labels.dependencies;
            let of_one_build = OF_ONE_BUILD.iter().filter_map(|label| of_dependencies.get_key_value(label));
            labels.extend(of_one_build.map(|(label, value)| (*label, value.clone())));
        }
        let cache = match (has_deps_stage, &deps_image) {
            (false, _) => self.cache.clone(),
            // The build of the dependencies has exported the cache.
            (true, None) => CacheArguments { to: Vec::new(), ..self.cache.clone() },
            (true, Some(_)) => CacheArguments::default(),
        };
        let build_args = self.options.extra_build_args.clone();
        BuildRequest { deps_image, names, labels, cache, build_args, ..self.common() }
    }

    /// The lock and versioned names, as far as this run makes them.
    fn names_of_dependencies(&self) -> Vec<ResultName> {
        let lock = (self.from != BuildFromImageType::Lock).then(|| self.lock.clone());
        let is_new = self.from == BuildFromImageType::Scratch;
        let is_missing = self.plan.lacks_versioned && self.project.has_deps_stage;
        let versioned = (is_new || is_missing).then(|| self.versioned.clone());
        lock.into_iter().chain(versioned).collect()
    }

    fn common(&self) -> BuildRequest {
        BuildRequest {
            folder: self.staged.path.clone(),
            context: self.staged.path.clone(),
            dockerfile: self.staged.path.join(DOCKERFILE),
            platforms: self.plan.platforms.clone(),
            dates: self.project.dates,
            no_cache: self.options.force_rebuild,
            ..BuildRequest::default()
        }
    }
}

/// A request for each output. Later ones repeat the first build, so that they take its results from the builder's
/// cache.
pub(super) fn for_each_output(request: &BuildRequest, outputs: &[Output]) -> Vec<BuildRequest> {
    let mut requests = Vec::new();
    for output in outputs {
        let again = !requests.is_empty();
        requests.push(BuildRequest {
            output: *output,
            no_cache: request.no_cache && !again,
            cache: if again { CacheArguments::default() } else { request.cache.clone() },
            ..request.clone()
        });
    }
    requests
}
