//! The way from options to a confirmed image, one step after the other: the table of contents of all that follows.

mod build_cache;
mod builds;
mod labels;
mod last_name;
mod locks;

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::builder::choose::{with_cross_compiling, with_digests};
use crate::builder::runtime_builder::{BuildRequest, Lacking, RuntimeBuilder};
use crate::config::options::Options;
use crate::config::slim::Slim;
use crate::config::values::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Hash;
use crate::image::labels::{ImageLabels, LOCK_HASH, OF_ONE_BUILD, SOURCE_HASH, SYSTEM_HASH};
use crate::image::name::ImageName;
use crate::image::platform::joined;
use crate::image::stored::{Confirmed, ContentKey, Purpose, ResultName, Size};
use crate::image::tags::{BuildFromImageType, Hashes, Tags};
use crate::plan::{Decision, Plan, PlanInputs, plan};
use crate::project::find::Found;
use crate::project::read::Project;
use crate::report::{Action, Names, Report, SCHEMA, Seconds};
use crate::run::build_cache::BuildCache;
use crate::run::builds::Builds;
use crate::run::last_name::LastName;
use crate::run::locks::{Locks, Since};
use crate::staging::build_folder::{BuildFolder, Staged};
use crate::staging::config_sh::write_config_sh;
use crate::staging::dockerfile::added;
use crate::staging::own_files::DOCKERFILE;
use crate::staging::seed::Seed;
use crate::system::git::WorkTree;
use crate::system::interrupt::Interrupt;
use crate::system::kept::Kept;
use crate::system::lock::{Lock, Waiting};
use crate::system::terminal::Terminal;

/// What helps where a build folder cannot be written.
const ELSEWHERE: &str = "name a folder elsewhere with `--build-folder`";

/// How often a project is read that changes each time before its files are staged.
const MOST_READS: usize = 10;

/// A project with its names: all that can be known without an engine.
pub struct Run<'a> {
    found: &'a Found,
    options: Options,
    last_name: Option<LastName>,
    builder: &'a dyn RuntimeBuilder,
    terminal: &'a Terminal,
    interrupt: &'a Interrupt,
    /// The binary that the image is for, where each gets one of its own.
    binary: Option<String>,
    project: Project,
    hashes: Hashes,
    tags: Tags,
    seconds: Seconds,
}

/// What a run is to do with its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// To tell them; no engine is asked.
    Names,
    /// To ask the builder for their images.
    Images,
}

/// The confirmed images that a run leaves.
#[derive(Debug, Default)]
struct Made {
    /// The image where others find it.
    confirmed: Option<Confirmed>,
    /// The engine's copy of an image that went to a registry.
    loaded: Option<Confirmed>,
    /// The size of the confirmed image.
    size: Option<Size>,
}

impl<'a> Run<'a> {
    /// Reads the project, and gives `act` a run for each image that is asked for: one, or one for each binary in the
    /// order of the manifests.
    ///
    /// # Errors
    /// As [`new`](Self::new), and what `act` fails with.
    #[allow(clippy::too_many_arguments, reason = "all that a run is made of")]
    pub fn each(
        found: &'a Found,
        options: Options,
        builder: &'a dyn RuntimeBuilder,
        terminal: &'a Terminal,
        interrupt: &'a Interrupt,
        mut started: Instant,
        aim: Aim,
        mut act: impl FnMut(Self) -> Result<()>,
    ) -> Result<()> {
        let expected = || LastName::expected(found.root(), &options, builder);
        let mut last_name = if aim == Aim::Images { expected() } else { None };
        let options = with_answers(found, options, builder, terminal)?;
        let read = read(found, &options, builder, terminal, interrupt)?;
        let each_bin = options.slim.as_ref().is_some_and(|slim| slim.each_bin);
        let all = read.binaries.all.clone().filter(|_| each_bin);
        let binaries =
            all.map_or_else(|| vec![None], |all| all.binaries.iter().map(|binary| Some(binary.name.clone())).collect());
        let last = binaries.len().saturating_sub(1);
        let mut read = Some(read);
        for (place, binary) in binaries.into_iter().enumerate() {
            // The last one takes what was read: of many files, nothing is held twice.
            let Some(project) = (if place == last { read.take() } else { read.clone() }) else { break };
            let (project, hashes, tags) = named(project, binary.as_deref(), &options)?;
            let seconds = Seconds { hash: started.elapsed().as_secs_f64(), ..Seconds::default() };
            let (options, last_name) = (options.clone(), last_name.take());
            act(Self {
                found,
                options,
                last_name,
                builder,
                terminal,
                interrupt,
                binary,
                project,
                hashes,
                tags,
                seconds,
            })?;
            started = Instant::now();
        }
        Ok(())
    }

    /// Reads the project and computes the names. `started` is when the search for the project began. The builder is
    /// asked for the base image's digest, with `--pin-base`, for its own platform where a slim image for given platforms
    /// is made, and for nothing else.
    ///
    /// # Errors
    /// When the project cannot be read or named.
    pub fn new(
        found: &'a Found,
        options: Options,
        builder: &'a dyn RuntimeBuilder,
        terminal: &'a Terminal,
        interrupt: &'a Interrupt,
        started: Instant,
    ) -> Result<Self> {
        let last_name = LastName::expected(found.root(), &options, builder);
        let options = with_answers(found, options, builder, terminal)?;
        let (project, hashes, tags) = named(read(found, &options, builder, terminal, interrupt)?, None, &options)?;
        let seconds = Seconds { hash: started.elapsed().as_secs_f64(), ..Seconds::default() };
        let binary = None;
        Ok(Self { found, options, last_name, builder, terminal, interrupt, binary, project, hashes, tags, seconds })
    }

    /// The names.
    pub fn names(&self) -> Names {
        Names::new(&self.tags)
    }

    /// Decides only: nothing is written or built.
    ///
    /// # Errors
    /// When the builder cannot be asked.
    pub fn plan(mut self) -> Result<Report> {
        let mut plan = self.decide()?;
        self.seed(&mut plan);
        self.warn_of_other_rust(&plan);
        Ok(self.report(&plan, None, Made::default()))
    }

    /// Makes the image exist. A dry run stops when the build folder is ready. A project that changes before its files
    /// are staged is read again.
    ///
    /// # Errors
    /// When a step fails; nothing half-done keeps a name.
    pub fn build(mut self) -> Result<Report> {
        for _ in 1..MOST_READS {
            match self.build_as_read() {
                Err(error) if error.kind() == ErrorKind::Changed => {
                    self.terminal.status("Reading", format!("the project again: {error}"));
                    // Should a file system not have told of a change, what was known would be wrong again.
                    Kept::forget_all(&self.project.root);
                    self.read_again()?;
                }
                Err(error) if error.kind() == ErrorKind::CannotCross => self.compile_under_emulation(&error)?,
                result => return result,
            }
        }
        self.build_as_read()
    }

    /// Turns to the image that each platform compiles for itself.
    fn compile_under_emulation(&mut self, why: &Error) -> Result<()> {
        self.terminal.warning(format!("{why}; each platform compiles for itself, many times slower under emulation"));
        let slim = self.options.slim.take().map(|slim| Slim { cross_compiled: None, ..slim });
        self.options.slim = slim;
        self.read_again()
    }

    fn build_as_read(&mut self) -> Result<Report> {
        let (mut plan, mut locks) = self.decide_locked()?;
        let seed = self.seed(&mut plan);
        match plan.decision.clone() {
            Decision::Reuse(reused) => self.reuse(&plan, &reused),
            Decision::Build { from, image } => self.build_from(&plan, from, &image, seed.as_ref(), &mut locks),
        }
    }

    /// Decides, with the locks of the names that are written.
    fn decide_locked(&mut self) -> Result<(Plan, Locks)> {
        let mut locks = Locks::default();
        loop {
            let plan = self.decide()?;
            let written = self.written_names(&plan);
            let names: Vec<&ImageName> = written.iter().collect();
            match locks.hold(&names, self.waiting())? {
                Since::Nothing => return Ok((plan, locks)),
                Since::OthersMayHaveBuilt => {}
                // Who waited finds what the other run has made, and perhaps another tree.
                Since::Waited => self.read_again()?,
            }
        }
    }

    /// The names that a plan's run writes, in the order of their locks.
    fn written_names(&self, plan: &Plan) -> Vec<ImageName> {
        let Tags { source, lock, versioned } = self.tags.clone();
        match plan.build_from() {
            None => Vec::new(),
            Some(_) if self.options.dry_run => Vec::new(),
            Some(BuildFromImageType::Lock) if !plan.lacks_versioned => vec![source],
            Some(_) => vec![source, lock, versioned],
        }
    }

    fn waiting(&self) -> Waiting<'a> {
        Waiting { terminal: self.terminal, interrupt: self.interrupt, longest: self.options.lock_timeout }
    }

    fn read_again(&mut self) -> Result<()> {
        let Self { found, options, builder, terminal, interrupt, binary, .. } = self;
        let named = timed(&mut self.seconds.hash, || {
            let project = read(found, options, *builder, terminal, interrupt)?;
            named(project, binary.as_deref(), options)
        })?;
        (self.project, self.hashes, self.tags) = named;
        Ok(())
    }

    fn reuse(&self, plan: &Plan, reused: &Confirmed) -> Result<Report> {
        self.terminal.status("Reusing", &plan.reason);
        if let Some(folder) = self.options.build_folder.as_ref().filter(|folder| folder.is_dir())
            && let Some(config_sh) = self.project.config_sh(&self.options, &self.tags)?
        {
            write_config_sh(folder, &config_sh)?;
        }
        let mut made = Made { confirmed: Some(reused.clone()), ..Made::default() };
        if self.options.pushes() && self.options.outputs.contains(&Output::Load) && !self.options.dry_run {
            let [.., source] = self.result_names();
            made.loaded = Some(self.builder.load(&source, reused, &plan.platforms)?);
        }
        Ok(self.report(plan, None, made))
    }

    fn build_from(
        &mut self,
        plan: &Plan,
        from: BuildFromImageType,
        image: &ImageName,
        seed: Option<&Seed>,
        locks: &mut Locks,
    ) -> Result<Report> {
        self.warn_of_other_rust(plan);
        self.terminal.status("Planning", format!("a build from {from}: {}", plan.reason));
        let labels = self.labels(plan, from);
        let (staged, _lock) = self.stage(from, image, &labels, seed)?;
        self.terminal.status(
            "Staging",
            format!("{} files, {} in {}", staged.files, size_text(staged.size), shown_path(&staged.path)),
        );
        if self.options.dry_run {
            self.terminal
                .status("Stopping", "the build folder is ready, and nothing is built (`--dry-run=false` builds)");
            return Ok(self.report(plan, Some(staged.path), Made::default()));
        }
        let mut made = self.make(plan, from, image, &staged, &labels, locks)?;
        seed.iter().for_each(|seed| seed.remember());
        made.size = self.size(plan, &staged, &made)?;
        let size = made.size.map(|size| self.told(size));
        for (confirmed, size) in [(&made.confirmed, size), (&made.loaded, None)] {
            let Some(Confirmed { store, digest, platforms }) = confirmed else { continue };
            let text = format!("{digest:.19} in the {store}, for {}", joined(platforms));
            self.terminal.status("Confirmed", text + &size.unwrap_or_default());
        }
        Ok(self.report(plan, Some(staged.path), made))
    }

    /// The size of the confirmed image. One for several platforms has a size for each, and none is asked for.
    fn size(&mut self, plan: &Plan, staged: &Staged, made: &Made) -> Result<Option<Size>> {
        let (Some(confirmed), [platform]) = (&made.confirmed, &*plan.platforms) else { return Ok(None) };
        let dockerfile = self.options.slim.as_ref().map(|_| std::fs::read_to_string(staged.path.join(DOCKERFILE)));
        let added = dockerfile.and_then(|text| added(&text.ok()?));
        let image = confirmed.name_for_builds(&self.tags.source);
        let size = || Ok(self.builder.size(&image, confirmed.store, platform, added));
        let size = timed(&mut self.seconds.confirm, size)?;
        self.interrupt.check()?;
        Ok(size)
    }

    /// A size in words that go on a line.
    fn told(&self, Size { all, own, compressed }: Size) -> String {
        let compressed = if compressed { " compressed" } else { "" };
        let run_image = self.options.slim.as_ref().and_then(|slim| slim.run_image.image());
        let own = own.zip(run_image).map(|(own, image)| format!(", {} of it beside `{image}`", size_text(own)));
        format!(": {}{compressed}{}", size_text(all), own.unwrap_or_default())
    }

    fn decide(&mut self) -> Result<Plan> {
        let inputs = PlanInputs {
            tags: &self.tags,
            hashes: &self.hashes,
            tiers: self.project.tiers,
            dates: self.project.dates,
            members_in_dependencies: &self.project.members_in_dependencies,
            options: &self.options,
        };
        timed(&mut self.seconds.plan, || plan(&inputs, self.builder))
    }

    /// Warns of a base image that has another Rust than the toolchain file wants: without rustup Cargo reads no such
    /// file. An image that the engine lacks is not pulled for that.
    fn warn_of_other_rust(&self, plan: &Plan) {
        let is_asked = plan.reused().is_none() && !self.options.asks_no_engine();
        let Some(wanted) = self.project.wanted_rust.as_ref().filter(|_| is_asked) else { return };
        let base_image = self.options.pinned_base_image();
        if let Ok(Some(rust)) = self.builder.rust_of(&base_image, Lacking::Leave)
            && !rust.has_rustup
            && !rust.is(wanted)
        {
            self.terminal.warning(format!(
                "the toolchain file wants Rust {wanted}, and `{base_image}` has {} and no rustup, which would bring it",
                rust.version
            ));
        }
    }

    /// Stages, and gives the lock of the build folder.
    fn stage(
        &mut self,
        from: BuildFromImageType,
        image: &ImageName,
        labels: &ImageLabels,
        seed: Option<&Seed>,
    ) -> Result<(Staged, Lock)> {
        let (waiting, interrupt) = (self.waiting(), self.interrupt);
        let Project { template, steps, code, deps, assets, binaries, .. } = &self.project;
        // The base name stays the same from build to build, so that BuildKit is sent only what changed.
        let name = self.tags.versioned.tag().unwrap_or("image");
        let chosen = self.options.build_folder.as_ref();
        timed(&mut self.seconds.stage, || {
            let template = template.with_seed(seed.map(Seed::mounts).unwrap_or_default());
            let dockerfile = template.render(from, &image.to_string(), labels)?;
            let config_sh = self.project.config_sh(&self.options, &self.tags)?;
            let (steps, config_sh) = (&steps.staged(), config_sh.as_deref());
            let (inputs, seed) = (&binaries.inputs, seed.map(Seed::staged).unwrap_or_default());
            let content = BuildFolder { dockerfile, steps, code, deps, assets, inputs, seed: &seed, config_sh };
            let Some(chosen) = chosen else {
                return content.stage_below(&self.project.build_folders, name, &self.project.root, waiting);
            };
            let lock = Lock::of_build_folder(chosen, waiting)?;
            Ok((content.stage(chosen, interrupt)?, lock))
        })
        .map_err(|error| error.hint_by_cause(ELSEWHERE))
    }

    /// What the build of a plan may go on from, and tells in the plan how much that is. Several platforms would share one
    /// cache of the builder.
    fn seed(&self, plan: &mut Plan) -> Option<Seed> {
        let Self { options, project, .. } = self;
        let from = plan.build_from()?;
        let platforms = options.compiled_on(&plan.platforms);
        let [platform] = &*platforms else { return None };
        if !options.seed || options.force_rebuild || !self.builder.keeps_seeds() {
            return None;
        }
        let seed = Seed::new(&project.root, &project.packages, &project.code, &self.hashes, &project.steps, platform)?;
        if let Some((changed, all)) = seed.expected().filter(|_| from == BuildFromImageType::Lock) {
            plan.reason = format!("{}; {changed} of {all} packages changed since the last build", plan.reason);
        }
        Some(seed)
    }

    fn labels(&self, plan: &Plan, from: BuildFromImageType) -> ImageLabels {
        let dependencies = labels::of_dependencies(
            &self.project,
            &self.hashes,
            &self.options,
            &from.to_string(),
            &joined(&self.options.compiled_on(&plan.platforms)),
        );
        let git = WorkTree { folder: &self.project.root, interrupt: self.interrupt };
        // Commit and origin can differ for the same sources: a reproducible image is not labelled with them.
        let (revision, origin) = if self.options.reproducible { (None, None) } else { (git.revision(), git.origin()) };
        let mut finished = labels::of_sources(
            &dependencies,
            self.project.version_of_sources(),
            &self.hashes,
            self.options.slim.as_ref(),
            revision,
            origin,
        );
        if self.project.has_deps_stage {
            // The finished image has these labels from the dependency image: built with it or later, it is the same.
            OF_ONE_BUILD.iter().for_each(|label| drop(finished.remove(label)));
        }
        ImageLabels { dependencies, finished }
    }

    /// Builds the dependency image first, where it does not exist. The source tag comes last: its presence means that
    /// all is there.
    fn make(
        &mut self,
        plan: &Plan,
        from: BuildFromImageType,
        image: &ImageName,
        staged: &Staged,
        labels: &ImageLabels,
        locks: &mut Locks,
    ) -> Result<Made> {
        let cache = BuildCache::open(&self.project, &self.options, &self.tags, self.waiting())?;
        let [lock, versioned, source] = self.result_names();
        let builds = Builds {
            project: &self.project,
            options: &self.options,
            plan,
            from,
            staged,
            labels,
            written: self.project.template.variables()?,
            cache: &cache.arguments,
            lock,
            versioned,
            source,
        };
        // The sources are built on the confirmed dependency image, by name. A builder that does not see that image
        // makes the stage again, from its own cache.
        let is_there = from == BuildFromImageType::Lock && self.project.has_deps_stage;
        let mut deps_image = is_there.then(|| image.clone());
        let mut seconds = self.seconds;
        if let Some(request) = builds.of_dependencies() {
            let name = request.names.first().and_then(|name| name.name.tag()).unwrap_or_default();
            self.terminal.status("Building", format!("the dependencies, {name}"));
            let apart = staged.without_code(self.interrupt).map_err(|error| error.hint_by_cause(ELSEWHERE))?;
            let (context, dockerfile) = (apart.context.clone(), apart.dockerfile.clone());
            let request = BuildRequest { context, dockerfile, ..request };
            let made = self.build_confirmed(&request, &cache, &mut seconds)?;
            for confirmed in [made.confirmed, made.loaded].into_iter().flatten() {
                if deps_image.is_none() && self.builder.can_build_from(confirmed.store)? {
                    deps_image = Some(confirmed.name_for_builds(&self.tags.lock));
                }
            }
            locks.release_dependencies();
        }
        let what = if self.project.has_deps_stage { "the sources" } else { "the image" };
        self.terminal.status("Building", format!("{what}, {}", self.tags.source.tag().unwrap_or_default()));
        let made = self.build_confirmed(&builds.of_sources(deps_image), &cache, &mut seconds)?;
        self.seconds = seconds;
        Ok(made)
    }

    /// The lock, versioned and source name, each with the label by which an image of the same content is known.
    fn result_names(&self) -> [ResultName; 3] {
        let named = |name: &ImageName, label: &'static str, hash: &Hash| ResultName {
            name: name.clone(),
            key: ContentKey { label, value: hash.identity.clone(), unlabelled: self.project.tiers.unlabelled },
            moves: self.options.force_rebuild,
        };
        let versioned = named(&self.tags.versioned, SYSTEM_HASH, &self.hashes.system);
        [
            named(&self.tags.lock, LOCK_HASH, &self.hashes.lock),
            ResultName { moves: true, ..versioned },
            named(&self.tags.source, SOURCE_HASH, &self.hashes.source),
        ]
    }

    /// Builds and confirms for each output.
    fn build_confirmed(&self, request: &BuildRequest, cache: &BuildCache<'_>, seconds: &mut Seconds) -> Result<Made> {
        let mut made = Made::default();
        for request in builds::for_each_output(request, &self.options.outputs) {
            let result = timed(&mut seconds.build, || self.builder.build(&request))
                .and_then(|promise| timed(&mut seconds.confirm, || self.builder.confirm(&request, &promise)))
                .map_err(|error| match request.output {
                    Output::Push => self.with_what_is_there(&request, error),
                    Output::Load => error,
                })?;
            cache.keep(&request.cache);
            if made.confirmed.is_none() { made.confirmed = Some(result) } else { made.loaded = Some(result) }
        }
        Ok(made)
    }

    /// The error of a push, with what the registry holds now: some of the names may already lead to new images.
    fn with_what_is_there(&self, request: &BuildRequest, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Interrupted(_)) {
            return error;
        }
        let names = self.result_names();
        let asked = names.each_ref().map(|name| &name.name);
        let compiled_on = self.options.compiled_on(&request.platforms);
        let found = match self.builder.find(&asked, &request.platforms, Purpose::Run) {
            Ok(found) => found,
            Err(problem) => return error.note(format!("what is in the registry is not known: {problem}")),
        };
        let states = names.iter().zip(&found).map(|(name, image)| {
            let tag = name.name.tag().unwrap_or_default();
            let wanted = if name.name == self.tags.source { &request.platforms } else { &compiled_on };
            match image {
                Some(image) if !name.key.is_of(image) => format!("`{tag}` is another image"),
                Some(image) if image.holds(wanted) => format!("`{tag}` is there"),
                Some(image) => format!("`{tag}` is there for {} only", joined(&image.platforms)),
                None => format!("`{tag}` is not there"),
            }
        });
        let states: Vec<String> = states.collect();
        error.note(format!("in `{}`: {}", self.names().repository, states.join(", ")))
    }

    fn report(&self, plan: &Plan, build_folder: Option<Utf8PathBuf>, made: Made) -> Report {
        if plan.reused().is_some() || made.confirmed.is_some() {
            self.last_name.iter().for_each(|last| last.keep(&self.tags.source));
        }
        let Names { image, repository, lock_repository, tags, .. } = self.names();
        let (action, from_image) = match &plan.decision {
            Decision::Reuse(_) => (Action::Reuse, None),
            Decision::Build { image, .. } => (Action::Build, Some(image.to_string())),
        };
        Report {
            schema: SCHEMA,
            action,
            image,
            repository,
            lock_repository,
            tags,
            binary: self.binary.clone(),
            kind: self.project.kind.to_string(),
            version: self.project.version_of_sources().to_owned(),
            version_of: self.project.version_of.clone().filter(|_| self.project.binaries.version.is_none()),
            base_image: self.options.base_image.to_string(),
            base_digest: self.options.base_digest.clone(),
            build_from: plan.build_from(),
            from_image,
            reason: plan.reason.clone(),
            platforms: plan.platforms.clone(),
            build_folder,
            confirmed: made.confirmed,
            loaded: made.loaded,
            size: made.size,
            seconds: self.seconds.rounded(),
        }
    }
}

/// The options with what the builder is asked for before there are names.
fn with_answers(found: &Found, options: Options, builder: &dyn RuntimeBuilder, terminal: &Terminal) -> Result<Options> {
    let options = with_digests(Options { kind: Some(found.kind()), ..options }, builder)?;
    with_cross_compiling(options, builder, terminal)
}

/// The project as it is for the image of this binary, if it is for one, with its names.
fn named(project: Project, binary: Option<&str>, options: &Options) -> Result<(Project, Hashes, Tags)> {
    let project = project.for_binaries(binary, options)?;
    let hashes = project.hashes(options);
    let tags = project.tags(options, &hashes)?;
    Ok((project, hashes, tags))
}

/// Reads the project.
fn read(
    found: &Found,
    options: &Options,
    builder: &dyn RuntimeBuilder,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Project> {
    let rust_of_image = || {
        let rust = builder.rust_of(&options.pinned_base_image(), Lacking::Pull).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let cause = cause.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
            terminal.warning(format!("this machine's Rust stands for that of the image: {error}{cause}"));
            None
        });
        rust.map(|rust| rust.version)
    };
    found.read(options, &rust_of_image, terminal, interrupt)
}

/// Adds the time that `action` takes to `seconds`.
fn timed<T>(seconds: &mut f64, action: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let result = action();
    *seconds += started.elapsed().as_secs_f64();
    result
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
