//! The way from options to a confirmed image, one step after the other.

mod labels;

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::builder::cache::{CacheArguments, CachePlace};
use crate::builder::runtime_builder::{BuildRequest, RuntimeBuilder};
use crate::config::cache::Cache;
use crate::config::options::Options;
use crate::config::values::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::image::labels::{ImageLabels, LOCK_HASH, Labels, OF_ONE_BUILD, SOURCE_HASH, SYSTEM_HASH};
use crate::image::name::ImageName;
use crate::image::platform::joined;
use crate::image::stored::{Confirmed, Purpose, ResultName};
use crate::image::tags::{BuildFromImageType, Hashes, Tags};
use crate::plan::{Decision, Plan, plan};
use crate::project::find::Found;
use crate::project::read::Project;
use crate::report::{Action, Names, Report, SCHEMA, Seconds};
use crate::staging::build_folder::{BuildFolder, Staged};
use crate::staging::config_sh::write_config;
use crate::system::environment::user_caches;
use crate::system::git::WorkTree;
use crate::system::interrupt::Interrupt;
use crate::system::lock::Lock;
use crate::system::terminal::Terminal;

/// A project with its names: all that can be known without an engine.
#[derive(Debug)]
pub struct Run<'a> {
    options: &'a Options,
    terminal: &'a Terminal,
    interrupt: &'a Interrupt,
    project: Project,
    hashes: Hashes,
    tags: Tags,
    seconds: Seconds,
}

impl<'a> Run<'a> {
    /// Reads the project and computes the names. `started` is when the search for the project began.
    ///
    /// # Errors
    /// When the project cannot be read or named.
    pub fn new(
        found: &Found,
        options: &'a Options,
        terminal: &'a Terminal,
        interrupt: &'a Interrupt,
        started: Instant,
    ) -> Result<Self> {
        let project = found.read(options, terminal, interrupt)?;
        let hashes = project.hashes(options);
        let tags = project.tags(options, &hashes)?;
        let seconds = Seconds { hash: started.elapsed().as_secs_f64(), ..Seconds::default() };
        Ok(Self { options, terminal, interrupt, project, hashes, tags, seconds })
    }

    /// The names.
    pub fn names(&self) -> Names {
        Names::new(&self.tags)
    }

    /// Decides, and writes and builds nothing.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    pub fn plan(mut self, builder: &dyn RuntimeBuilder) -> Result<Report> {
        let plan = self.timed(|seconds| &mut seconds.plan, |run| run.decide(builder))?;
        Ok(self.report(&plan, None, Vec::new()))
    }

    /// Makes the image exist. A dry run stops when the build folder is ready.
    ///
    /// # Errors
    /// When a step fails; nothing half-done keeps a name.
    pub fn build(mut self, builder: &dyn RuntimeBuilder) -> Result<Report> {
        let mut plan = self.timed(|seconds| &mut seconds.plan, |run| run.decide(builder))?;
        let destination = self.build_folder();
        let mut locks = Vec::new();
        if plan.reused().is_none() {
            locks.push(Lock::of_image(&self.tags.source, self.terminal, self.interrupt)?);
            locks.push(Lock::of_build_folder(&destination, self.terminal, self.interrupt)?);
            if locks.iter().any(|lock| lock.waited) {
                // Whoever was first may have made the image, or a better one to build from.
                plan = self.timed(|seconds| &mut seconds.plan, |run| run.decide(builder))?;
            }
        }
        let config = self.project.config(self.options, &self.tags)?;
        if let Some(reused) = plan.reused().cloned() {
            self.terminal.status("Reusing", &plan.reason);
            if let Some(config) = config.filter(|_| destination.is_dir()) {
                write_config(&destination, &config)?;
            }
            let mut confirmed = vec![reused];
            if self.options.outputs == [Output::Push, Output::Load] && !self.options.dry_run {
                let [.., source] = self.result_names();
                confirmed.push(builder.load(&source, &confirmed[0], &plan.platforms)?);
            }
            return Ok(self.report(&plan, None, confirmed));
        }
        let Decision::Build { from, image } = plan.decision.clone() else {
            unreachable!("a plan without a reused image builds one")
        };
        self.terminal.status("Planning", format!("a build from {from}: {}", plan.reason));
        let labels = self.labels(&plan, from);
        let staged = self.timed(
            |seconds| &mut seconds.stage,
            |run| {
                let Project { template, steps, code, deps, .. } = &run.project;
                let dockerfile = template.render(from, &image.to_string(), &labels)?;
                let config = config.as_deref();
                BuildFolder { dockerfile, steps: &steps.staged(), code, deps, config }
                    .stage(&destination, run.interrupt)
            },
        )?;
        self.terminal.status(
            "Staging",
            format!("{} files, {} in {}", staged.files, size_text(staged.size), shown_path(&staged.path)),
        );
        if self.options.dry_run {
            self.terminal
                .status("Stopping", "the build folder is ready, and nothing is built (`--dry-run=false` builds)");
            return Ok(self.report(&plan, Some(staged.path), Vec::new()));
        }
        let confirmed = self.make(builder, &plan, (from, &image), &staged, labels)?;
        for confirmed in &confirmed {
            self.terminal.status(
                "Confirmed",
                format!("{:.19} in the {}, for {}", confirmed.digest, confirmed.store, joined(&confirmed.platforms)),
            );
        }
        Ok(self.report(&plan, Some(staged.path), confirmed))
    }

    fn decide(&self, builder: &dyn RuntimeBuilder) -> Result<Plan> {
        plan(&self.tags, &self.hashes, self.project.tiers, self.options, builder)
    }

    /// The folder's base name stays the same from build to build, so that BuildKit is sent only what changed.
    fn build_folder(&self) -> Utf8PathBuf {
        let name = self.tags.versioned.tag().unwrap_or("image");
        self.options.build_folder.clone().unwrap_or_else(|| self.project.build_folders.join(name))
    }

    fn labels(&self, plan: &Plan, from: BuildFromImageType) -> ImageLabels {
        let dependencies = labels::of_dependencies(
            &self.project,
            &self.hashes,
            self.options,
            &from.to_string(),
            &joined(&plan.platforms),
        );
        let git = self.work_tree();
        // Other commits, and other ways to fetch them, can have the same sources.
        let (revision, origin) = if self.options.reproducible { (None, None) } else { (git.revision(), git.origin()) };
        let mut finished = labels::of_sources(&dependencies, &self.hashes, revision, origin);
        if self.project.has_deps_stage {
            // Those of the image of the dependencies stay: made with it or later, it is the same image.
            OF_ONE_BUILD.iter().for_each(|label| drop(finished.remove(label)));
        }
        ImageLabels { dependencies, finished }
    }

    /// The dependency image first, where it does not exist; the source tag last: its presence means that all is there.
    fn make(
        &mut self,
        builder: &dyn RuntimeBuilder,
        plan: &Plan,
        (from, image): (BuildFromImageType, &ImageName),
        staged: &Staged,
        labels: ImageLabels,
    ) -> Result<Vec<Confirmed>> {
        let ImageLabels { dependencies, mut finished } = labels;
        // buildx gives those that the template does not write.
        let written = self.project.template.variables()?;
        let (cache, _locks) = self.cache()?;
        let request = BuildRequest {
            context: staged.path.clone(),
            platforms: plan.platforms.clone(),
            no_cache: self.options.force_rebuild,
            cache: CacheArguments { to: Vec::new(), ..cache.clone() },
            ..BuildRequest::default()
        };
        let [lock, versioned, source] = self.result_names();
        let mut names = Vec::new();
        if from != BuildFromImageType::Lock {
            names.push(lock);
        }
        if from == BuildFromImageType::Scratch || (plan.lacks_versioned && self.project.has_deps_stage) {
            names.push(versioned);
        }
        let mut deps_image = None;
        if self.project.has_deps_stage {
            // Started from by name, the image cannot be another one than the confirmed; where the builder does not see
            // it, its cache has to do.
            if from == BuildFromImageType::Lock {
                deps_image = Some(image.clone());
            }
            if let Some(first) = names.first() {
                let tag = first.name.tag().unwrap_or_default();
                self.terminal.status("Building", format!("the dependencies, {tag}"));
                let deps = BuildRequest {
                    target: Some("deps".to_owned()),
                    names: std::mem::take(&mut names),
                    labels: if written.contains("deps_labels") { Labels::new() } else { dependencies.clone() },
                    build_args: self.project.dependency_args.clone(),
                    cache: cache.clone(),
                    ..request.clone()
                };
                for confirmed in self.build_confirmed(builder, &deps)? {
                    if deps_image.is_none() && builder.can_build_from(confirmed.store)? {
                        deps_image = Some(confirmed.name_for_builds(&self.tags.lock));
                    }
                }
            }
        }
        let what = if self.project.has_deps_stage { "the sources" } else { "the image" };
        self.terminal.status("Building", format!("{what}, {}", self.tags.source.tag().unwrap_or_default()));
        names.push(source);
        if written.contains("labels") {
            finished.clear();
        }
        if deps_image.is_none() {
            let of_one_build = OF_ONE_BUILD.iter().filter_map(|label| dependencies.get_key_value(label));
            finished.extend(of_one_build.map(|(label, value)| (*label, value.clone())));
        }
        let finished = BuildRequest {
            names,
            labels: finished,
            build_args: self.options.extra_build_args.clone(),
            cache: match (self.project.has_deps_stage, &deps_image) {
                (false, _) => cache,
                (true, None) => request.cache.clone(),
                (true, Some(_)) => CacheArguments::default(),
            },
            deps_image,
            ..request
        };
        self.build_confirmed(builder, &finished)
    }

    /// Lock, versioned and source name, and by what an image of the same content is known.
    fn result_names(&self) -> [ResultName; 3] {
        let named = |name: &ImageName, label: &'static str, hash: &str| ResultName {
            name: name.clone(),
            key: (label, hash.to_owned()),
            unlabelled: self.project.tiers.unlabelled,
            moves: self.options.force_rebuild,
        };
        let versioned = named(&self.tags.versioned, SYSTEM_HASH, &self.hashes.system);
        [
            named(&self.tags.lock, LOCK_HASH, &self.hashes.lock),
            ResultName { moves: true, ..versioned },
            named(&self.tags.source, SOURCE_HASH, &self.hashes.source),
        ]
    }

    /// Builds and confirms for each output. Where several builds make one result, only the first can find anything new.
    fn build_confirmed(&mut self, builder: &dyn RuntimeBuilder, request: &BuildRequest) -> Result<Vec<Confirmed>> {
        let mut confirmed = Vec::new();
        for output in self.options.outputs.clone() {
            let mut request = BuildRequest { output, ..request.clone() };
            if !confirmed.is_empty() {
                (request.no_cache, request.cache) = (false, CacheArguments::default());
            }
            let result = self
                .timed(|seconds| &mut seconds.build, |_| builder.build(&request))
                .and_then(|metadata| {
                    self.timed(|seconds| &mut seconds.confirm, |_| builder.confirm(&request, &metadata))
                })
                .map_err(|error| {
                    if output == Output::Push { self.with_what_is_there(builder, &request, error) } else { error }
                })?;
            if let Err(error) = request.cache.finish() {
                self.warn_of_the_cache(&error);
            }
            confirmed.push(result);
        }
        Ok(confirmed)
    }

    /// The error of a push, with what the registry holds now: some of the names may be there.
    fn with_what_is_there(&self, builder: &dyn RuntimeBuilder, request: &BuildRequest, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Interrupted(_)) {
            return error;
        }
        let names = self.result_names();
        let found = match builder.find(&names.each_ref().map(|name| &name.name), &request.platforms, Purpose::Run) {
            Ok(found) => found,
            Err(problem) => return error.note(format!("what is in the registry is not known: {problem}")),
        };
        let states = names.iter().zip(&found).map(|(name, image)| {
            let tag = name.name.tag().unwrap_or_default();
            match image {
                Some(image) if !name.is_of_same_content(image) => format!("`{tag}` is another image"),
                Some(image) if image.holds(&request.platforms) => format!("`{tag}` is there"),
                Some(image) => format!("`{tag}` is there for {} only", joined(&image.platforms)),
                None => format!("`{tag}` is not there"),
            }
        });
        let states: Vec<String> = states.collect();
        error.note(format!(
            "in `{}`: {}; another run makes what is missing",
            self.names().repository,
            states.join(", ")
        ))
    }

    fn work_tree(&self) -> WorkTree<'_> {
        WorkTree { folder: &self.project.root, interrupt: self.interrupt }
    }

    /// The build cache, with what keeps other runs from it until the end. One that cannot be used fails no build.
    fn cache(&self) -> Result<(CacheArguments, Vec<Lock>)> {
        let cache = &self.options.cache;
        if *cache == Cache::Off {
            return Ok(Default::default());
        }
        let git = self.work_tree();
        let (branch, default_branch) = (git.branch(), git.default_branch());
        let mut arguments = CachePlace {
            repository: &self.names().repository.parse()?,
            prefix: self.options.tag_prefix.as_deref().unwrap_or(self.project.kind.default_prefix()),
            base_image: &self.options.base_image.to_string(),
            branch: branch.as_deref(),
            default_branch: Some(&default_branch),
            versioned: &self.tags.versioned,
            caches: &user_caches(&self.project.root),
        }
        .arguments(cache)?;
        let locked = self.locks_of(&arguments).and_then(|locks| arguments.prepare().map(|()| locks));
        match locked {
            Ok(locks) => Ok((arguments, locks)),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted(_)) => Err(error),
            Err(error) => {
                self.warn_of_the_cache(&error);
                Ok(Default::default())
            }
        }
    }

    /// In the order of their names, so that no two runs wait for each other.
    fn locks_of(&self, cache: &CacheArguments) -> Result<Vec<Lock>> {
        let local = cache.local.iter();
        let mut folders: Vec<_> =
            local.flat_map(|local| [Some(&local.folder), local.default.as_ref()]).flatten().collect();
        folders.sort();
        folders.iter().map(|folder| Lock::of_cache(folder, self.terminal, self.interrupt)).collect()
    }

    fn warn_of_the_cache(&self, error: &Error) {
        let cause = std::error::Error::source(error).map(|cause| format!(" ({cause})")).unwrap_or_default();
        self.terminal.warning(format!("{error}{cause}; this build goes on without it"));
    }

    fn timed<T>(
        &mut self,
        step: impl Fn(&mut Seconds) -> &mut f64,
        action: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let result = action(self);
        *step(&mut self.seconds) += started.elapsed().as_secs_f64();
        result
    }

    fn report(&self, plan: &Plan, build_folder: Option<Utf8PathBuf>, confirmed: Vec<Confirmed>) -> Report {
        let mut confirmed = confirmed.into_iter();
        let Names { image, repository, tags, .. } = self.names();
        let (action, from_image) = match &plan.decision {
            Decision::Reuse(_) => (Action::Reuse, None),
            Decision::Build { image, .. } => (Action::Build, Some(image.to_string())),
        };
        let thousandths = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let Seconds { hash, plan: planning, stage, build, confirm } = self.seconds;
        Report {
            schema: SCHEMA,
            action,
            image,
            repository,
            tags,
            kind: self.project.kind.to_string(),
            version: self.project.version.clone(),
            base_image: self.options.base_image.to_string(),
            base_digest: self.options.base_digest.clone(),
            build_from: plan.build_from(),
            from_image,
            reason: plan.reason.clone(),
            platforms: plan.platforms.clone(),
            build_folder,
            confirmed: confirmed.next(),
            loaded: confirmed.next(),
            seconds: Seconds {
                hash: thousandths(hash),
                plan: thousandths(planning),
                stage: thousandths(stage),
                build: thousandths(build),
                confirm: thousandths(confirm),
            },
        }
    }
}

/// A path as seen from the current folder, where it is below it.
fn shown_path(path: &Utf8Path) -> &Utf8Path {
    let here = std::env::current_dir().ok().and_then(|here| Utf8PathBuf::try_from(here).ok());
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

#[allow(clippy::cast_precision_loss, reason = "a size for people, of at most one decimal")]
fn size_text(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
