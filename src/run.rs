//! The way from options to a confirmed image, one step after the other.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use crate::build_folder::{BuildFolder, Staged, write_config};
use crate::builder::{BuildRequest, Confirmed, RuntimeBuilder};
use crate::config::Options;
use crate::error::Result;
use crate::image_lock::Lock;
use crate::labels::{self, Labels};
use crate::plan::{BuildFromImageType, Decision, Plan, plan};
use crate::platform::joined;
use crate::process::{Capture, Command, Interrupt};
use crate::project::{Found, Hashes, Project};
use crate::report::{Action, Names, Report, SCHEMA, Seconds};
use crate::tags::Tags;
use crate::term::Terminal;

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
        Ok(self.report(&plan, None, None))
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
            if !self.options.dry_run {
                builder.ready()?;
            }
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
            return Ok(self.report(&plan, None, Some(reused)));
        }
        let Decision::Build { from, image } = plan.decision.clone() else {
            unreachable!("a plan without a reused image builds one")
        };
        self.terminal.status("Planning", format!("a build from {from}: {}", plan.reason));
        let labels = self.labels(&plan, from);
        let image = image.to_string();
        let staged = self.timed(
            |seconds| &mut seconds.stage,
            |run| {
                let Project { template, code, deps, .. } = &run.project;
                let dockerfile = template.render(from, &image, &labels.finished)?;
                let config = config.as_deref();
                BuildFolder { dockerfile, code, deps, config }.stage(&destination, run.interrupt)
            },
        )?;
        self.terminal.status(
            "Staging",
            format!("{} files, {} in {}", staged.files, size_text(staged.size), shown_path(&staged.path)),
        );
        if self.options.dry_run {
            self.terminal
                .status("Stopping", "the build folder is ready, and nothing is built (`--dry-run=false` builds)");
            return Ok(self.report(&plan, Some(staged.path), None));
        }
        let confirmed = self.make(builder, &plan, from, &staged, labels)?;
        self.terminal.status(
            "Confirmed",
            format!("{:.19} in the {}, for {}", confirmed.digest, confirmed.store, joined(&confirmed.platforms)),
        );
        Ok(self.report(&plan, Some(staged.path), Some(confirmed)))
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
            &self.options.base_image.to_string(),
            &from.to_string(),
            &joined(&plan.platforms),
        );
        let revision = self.git(&["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]);
        let finished = labels::of_sources(&dependencies, &self.hashes, revision, self.origin());
        ImageLabels { dependencies, finished }
    }

    /// The dependency image first, where it does not exist; the source tag last: its presence means that all is there.
    fn make(
        &mut self,
        builder: &dyn RuntimeBuilder,
        plan: &Plan,
        from: BuildFromImageType,
        staged: &Staged,
        labels: ImageLabels,
    ) -> Result<Confirmed> {
        let ImageLabels { dependencies, finished } = labels;
        let request = BuildRequest {
            context: staged.path.clone(),
            platforms: plan.platforms.clone(),
            no_cache: self.options.force_rebuild,
            ..BuildRequest::default()
        };
        let Tags { source, lock, versioned } = self.tags.clone();
        let mut names = Vec::new();
        if from != BuildFromImageType::Lock {
            names.push(lock.clone());
        }
        if from == BuildFromImageType::Scratch {
            names.push(versioned);
        }
        let mut deps_image = None;
        if self.project.has_deps_stage {
            let mut seen = true;
            if !names.is_empty() {
                self.terminal.status("Building", format!("the dependencies, {}", lock.tag().unwrap_or_default()));
                let deps = BuildRequest {
                    target: Some("deps".to_owned()),
                    names: std::mem::take(&mut names),
                    labels: dependencies,
                    build_args: self.project.dependency_args.clone(),
                    ..request.clone()
                };
                let confirmed = self.build_confirmed(builder, &deps)?;
                seen = builder.can_build_from(confirmed.store)?;
            }
            // Started from by name, the image cannot be another one than the confirmed; where the builder does not see
            // it, its cache has to do.
            deps_image = seen.then_some(lock);
        }
        let what = if self.project.has_deps_stage { "the sources" } else { "the image" };
        self.terminal.status("Building", format!("{what}, {}", source.tag().unwrap_or_default()));
        names.push(source);
        let build_args = self.options.extra_build_args.clone();
        let labels = if self.project.template.variables()?.contains("labels") { Labels::new() } else { finished };
        self.build_confirmed(builder, &BuildRequest { deps_image, names, labels, build_args, ..request })
    }

    fn build_confirmed(&mut self, builder: &dyn RuntimeBuilder, request: &BuildRequest) -> Result<Confirmed> {
        let metadata = self.timed(|seconds| &mut seconds.build, |_| builder.build(request))?;
        self.timed(|seconds| &mut seconds.confirm, |_| builder.confirm(request, &metadata))
    }

    fn git(&self, arguments: &[&str]) -> Option<String> {
        let command = Command::new("git").in_folder(&self.project.root).args(arguments);
        let output = command.run(Capture::Both, self.interrupt).ok().filter(|output| output.success)?;
        Some(output.stdout.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Where the sources come from, without credentials.
    fn origin(&self) -> Option<String> {
        let url = self.git(&["remote", "get-url", "origin"])?;
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or(authority);
                Some(format!("{scheme}://{host}/{path}"))
            }
            None => Some(url).filter(|url| url.contains(':')),
        }
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

    fn report(&self, plan: &Plan, build_folder: Option<Utf8PathBuf>, confirmed: Option<Confirmed>) -> Report {
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
            build_from: plan.build_from(),
            from_image,
            reason: plan.reason.clone(),
            platforms: plan.platforms.clone(),
            build_folder,
            confirmed,
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

/// What the image of the dependencies and the finished one are labelled with.
struct ImageLabels {
    dependencies: Labels,
    finished: Labels,
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
