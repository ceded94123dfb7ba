//! The builder for docker: it answers the plan's questions, runs `docker buildx build`, and asks back what was built.

use std::sync::OnceLock;

use camino::Utf8PathBuf;

use crate::builder::build_log::FailedStep;
use crate::builder::confirm::confirmed;
use crate::builder::docker::arguments::{BuildxSettings, Exporter, build_arguments};
use crate::builder::docker::capabilities::{Driver, ImageStore, Instance, refuse_what_cannot_be_built, too_old};
use crate::builder::docker::engine;
use crate::builder::docker::engine::engine_is_this_machine;
use crate::builder::docker::failure::{Failure, may_be_passed_over, rewrites};
use crate::builder::docker::registry::Registry;
use crate::builder::engine_cli::{EPOCH_VARIABLE, Engine, EngineCli, FailedBuild, hidden_texts};
use crate::builder::inspect::{complains, inspected_images};
use crate::builder::promise::BuildxMetadata;
use crate::builder::runtime_builder::{BuildRequest, Lacking, RuntimeBuilder, Rust};
use crate::config::build_args::PassedOn;
use crate::config::options::Options;
use crate::config::values::Output;
use crate::error::{Context as _, Error, Result};
use crate::image::digest::Digest;
use crate::image::name::{ImageName, fitting_tag};
use crate::image::platform::{Platform, joined};
use crate::image::stored::{Confirmed, Purpose, ResultName, Store, StoredImage, Taken};
use crate::staging::template::FileDates;
use crate::system::command::{Command, CommandOutput};
use crate::system::interrupt::Interrupt;
use crate::system::tee::Show;
use crate::system::terminal::Terminal;

const DOCKER: Engine = Engine {
    program: "docker",
    install: "install the Docker command line and its buildx plug-in, or add its folder to PATH",
    prune: "docker builder prune",
    failed_step: FailedStep::of_buildx,
};

/// Drives `docker buildx`.
#[derive(Debug)]
pub struct BuildxBuilder {
    cli: EngineCli,
    settings: BuildxSettings,
    instance: OnceLock<Instance>,
    platform: OnceLock<Platform>,
    registry_failed: OnceLock<()>,
    warned: OnceLock<()>,
}

impl BuildxBuilder {
    /// A builder for these options. No engine is asked yet; `docker` need not be there before the first question.
    pub fn new(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Self {
        let cli = EngineCli::new(DOCKER, options, terminal, interrupt);
        Self {
            settings: BuildxSettings::new(options, cli.show == Show::Nothing),
            cli,
            instance: OnceLock::new(),
            platform: OnceLock::new(),
            registry_failed: OnceLock::new(),
            warned: OnceLock::new(),
        }
    }

    fn docker(&self) -> Result<Command> {
        self.cli.command()
    }

    fn answer(&self, command: &Command) -> Result<CommandOutput> {
        self.cli.answer(command)
    }

    fn registry(&self) -> Result<Registry<'_>> {
        Ok(Registry {
            docker: self.cli.path()?,
            builder: self.settings.builder.as_deref(),
            timeout: self.settings.registry_timeout,
            terminal: &self.cli.terminal,
            interrupt: &self.cli.interrupt,
        })
    }

    fn find_in_engine(&self, images: &[&ImageName], platforms: &[Platform]) -> Result<Vec<Option<StoredImage>>> {
        let output =
            self.answer(&self.docker()?.args(["image", "inspect"]).args(images.iter().map(ToString::to_string)))?;
        if complains(&output.stderr) {
            return Err(engine::engine_failure("cannot ask the engine for its images", &output.stderr));
        }
        let mut found = inspected_images(images, &output.stdout)?;
        for (name, image) in images.iter().zip(&mut found) {
            let Some(image) = image.as_mut().filter(|image| image.manifests.is_empty()) else { continue };
            for platform in platforms {
                if !image.platforms.contains(platform) && self.engine_has(name, platform)? {
                    image.platforms.push(platform.clone());
                }
            }
        }
        Ok(found)
    }

    /// What the engine has under the names that a result is about to get. A name that may not be taken is an error.
    fn find_to_replace(&self, names: &[ResultName], platforms: &[Platform]) -> Result<Vec<Option<StoredImage>>> {
        let found = self.find_in_engine(&names.iter().map(|name| &name.name).collect::<Vec<_>>(), platforms)?;
        for (name, image) in names.iter().zip(&found) {
            if image.as_ref().is_some_and(|image| name.taken_by(image) == Taken::Refuse) {
                return Err(name.refusal());
            }
        }
        Ok(found)
    }

    /// Whether the engine has an image for this platform. For engines that list no manifests: they create a container
    /// of the image, which is never started, or refuse.
    fn engine_has(&self, image: &ImageName, platform: &Platform) -> Result<bool> {
        let create = ["container", "create", "--pull", "never", "--platform", &platform.to_string()];
        let created = self.answer(&self.docker()?.args(create).args([&image.to_string(), "true"]))?;
        if created.success {
            self.answer(&self.docker()?.args(["container", "rm", created.stdout.trim()]))?;
        } else if !engine::is_for_another_platform(&created.stderr) {
            return Err(engine::engine_failure("cannot ask the engine for its images", &created.stderr));
        }
        Ok(created.success)
    }

    /// Asks the engine and the registry at the same time. The registry is not waited for if the engine has what is
    /// wanted.
    fn find_in_both(
        &self,
        images: &[&ImageName],
        platforms: &[Platform],
        purpose: Purpose,
    ) -> Result<Vec<Option<StoredImage>>> {
        let registry = self.registry()?;
        let look_ups = registry.look_up(images)?;
        let mut found = self.find_in_engine(images, platforms)?;
        let sees_the_engine = || self.instance().is_ok_and(|instance| instance.driver == Driver::Docker);
        let prefers_the_engine = purpose == Purpose::Run || sees_the_engine();
        let holds = |image: &Option<StoredImage>| image.as_ref().is_some_and(|image| image.holds(platforms));
        if prefers_the_engine && found.first().is_some_and(holds) {
            return Ok(found);
        }
        for (found, image) in found.iter_mut().zip(self.where_allowed(look_ups.answers(), images.len())?) {
            let better = image.is_some() && (!holds(found) || !prefers_the_engine);
            if found.is_none() || (better && holds(&image)) {
                *found = image;
            }
        }
        Ok(found)
    }

    /// The registry's answers. If it fails and may do so, there is one warning, and no image counts as found.
    fn where_allowed(
        &self,
        answers: Result<Vec<Option<StoredImage>>>,
        count: usize,
    ) -> Result<Vec<Option<StoredImage>>> {
        answers.or_else(|error| {
            if !self.settings.registry_optional || !may_be_passed_over(&error) {
                return Err(error);
            }
            let _ = self.registry_failed.set(());
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let cause = cause.lines().next_back().map(|line| format!(" ({line})")).unwrap_or_default();
            self.cli.terminal.warning(format!("{error}{cause}; only the engine's own images count"));
            Ok(vec![None; count])
        })
    }

    fn instance(&self) -> Result<&Instance> {
        if self.instance.get().is_none() {
            let output = self.answer(&self.docker()?.args(["buildx", "inspect"]).args(&self.settings.builder))?;
            if !output.success {
                return Err(engine::engine_failure("cannot use `docker buildx`", &output.stderr));
            }
            let _ = self.instance.set(Instance::parse(&output.stdout)?);
        }
        self.instance.get().ok_or_else(|| Error::failed("the driver is not known"))
    }

    fn image_store(&self) -> Result<ImageStore> {
        let output = self.answer(&self.docker()?.args(["info", "--format", "{{json .DriverStatus}}"]))?;
        if !output.success {
            return Err(engine::engine_failure("cannot ask the engine for its image store", &output.stderr));
        }
        Ok(ImageStore::parse(&output.stdout))
    }

    fn asked_platform(&self) -> Result<Platform> {
        let output = self.answer(&self.docker()?.args(["version", "--format", "{{json .Server}}"]))?;
        if !output.success {
            return Err(engine::engine_failure("cannot ask the engine for its platform", &output.stderr));
        }
        engine::server_platform(&output.stdout)
    }

    /// Asks, after a failure, whether something is older than what is supported.
    fn too_old(&self) -> Option<String> {
        let version = |arguments: &[&str]| {
            let output = self.answer(&self.docker().ok()?.args(arguments)).ok()?;
            Some(output.stdout)
        };
        let buildx = version(&["buildx", "version"])?;
        // The engine's version matters only where BuildKit is in the engine.
        let inside = self.instance().is_ok_and(|instance| instance.driver == Driver::Docker);
        let engine = if inside { version(&["version", "--format", "{{.Server.Version}}"])? } else { String::new() };
        too_old(&buildx, &engine)
    }

    /// Asks, after a failure, whether the image that the build starts from is there at all.
    fn missing_base(&self, failed: &FailedBuild) -> Option<String> {
        let base = failed.base_that_may_be_missing()?;
        let name: ImageName = base.parse().ok()?;
        let in_engine = self.find_in_engine(&[&name], &[]).ok()?.into_iter().flatten().next().is_some();
        let local_only = name.repository().starts_with("localhost/");
        let in_registry = || {
            let found = self.registry().and_then(|registry| registry.find(&[&name]));
            matches!(found.as_deref(), Ok([Some(_)]) | Err(_))
        };
        (!in_engine && (local_only || !in_registry()))
            .then(|| format!("the image `{base}` was found neither in the engine nor in its registry; check its name"))
    }

    /// Builds. The engine asks a registry once: a push that fails in a way that may pass is tried again here, with what
    /// is built already.
    fn run_build(&self, request: &BuildRequest, exporter: &Exporter) -> Result<BuildxMetadata> {
        let mut request = request.clone();
        let mut rewrites = rewrites();
        let failed = loop {
            let failed = match self.build_once(&request, exporter)? {
                Ok(metadata) => return Ok(metadata),
                Err(failed) => failed,
            };
            let may_pass = failed.push_error().is_some_and(|error| Failure::of(error) == Failure::Server);
            let Some(delay) = rewrites.next().filter(|_| may_pass) else { break failed };
            self.cli.terminal.status("Pushing", "again: the registry answered with a fault of its own");
            self.cli.interrupt.sleep(delay)?;
            request.no_cache = false;
        };
        if failed.step.is_none() && failed.text.contains("Cannot connect") {
            return Err(engine::engine_failure("cannot build", &failed.text));
        }
        let missing_base = self.missing_base(&failed);
        Err(failed.error(self.too_old(), missing_base))
    }

    /// Builds: the inner error is that of a build which ran and failed.
    fn build_once(
        &self,
        request: &BuildRequest,
        exporter: &Exporter,
    ) -> Result<std::result::Result<BuildxMetadata, FailedBuild>> {
        // buildx does not remove an earlier metadata file: a fresh path each time.
        let folder = tempfile::tempdir().context(|| "cannot make a temporary folder".to_owned())?;
        let metadata_file = Utf8PathBuf::try_from(folder.path().join("metadata.json"))
            .context(|| "the temporary folder's name is not UTF-8".to_owned())?;
        let mut command = self
            .docker()?
            .args(build_arguments(request, exporter, &self.settings, &metadata_file))
            .envs(PassedOn::of(&request.build_args).variables)
            .hiding(hidden_texts(&self.settings.secrets, &request.build_args))
            // Fetching provenance after a push can fail a command whose image is complete.
            .env("BUILDX_METADATA_PROVENANCE", "disabled")
            .without_env("DOCKER_DEFAULT_PLATFORM");
        // Without the clock, tomorrow's build gives the same image.
        if std::env::var_os(EPOCH_VARIABLE).is_none_or(|value| value.is_empty()) {
            command = command.env(EPOCH_VARIABLE, "0");
        }
        if let Some(failed) = self.cli.build(&command, request)? {
            return Ok(Err(failed));
        }
        let text = std::fs::read_to_string(&metadata_file)
            .context(|| "buildx ended well but wrote no metadata file".to_owned())?;
        BuildxMetadata::parse(&text).map(Ok)
    }

    /// Pushes the result, and adds it to what the names hold for other platforms. Names are read and written after the
    /// build, so that machines that build other platforms at the same time keep theirs.
    fn push(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        // A name that does not move: no other build gives it to other content.
        let mut names = request.names.iter().rev();
        let own = names.clone().find(|name| !name.moves).or_else(|| names.next());
        let own = own.ok_or_else(|| Error::failed("a result without a name cannot be pushed"))?;
        if self.instance()?.driver != Driver::Docker {
            let metadata = self.run_build(request, &Exporter::ByDigest(own.name.repository()))?;
            return self.registry()?.add_to_indexes(&request.names, &request.platforms, metadata);
        }
        // The engine cannot push without a name.
        let platforms = joined(&request.platforms).replace(['/', ','], "-");
        let tag = format!("{}_{platforms}", own.name.tag().unwrap_or_default());
        let on_the_way = own.name.with_tag(&fitting_tag(tag, "rt"))?;
        let metadata = self.run_build(request, &Exporter::Push(on_the_way.clone()))?;
        let metadata = self.registry()?.add_to_indexes(&request.names, &request.platforms, metadata)?;
        // The engine keeps what it pushed, from now on under the result's names.
        for name in &request.names {
            self.answer(&self.docker()?.args(["image", "tag", &on_the_way.to_string(), &name.to_string()]))?;
        }
        self.answer(&self.docker()?.args(["image", "rm", &on_the_way.to_string()]))?;
        Ok(metadata)
    }
}

impl RuntimeBuilder for BuildxBuilder {
    fn find(
        &self,
        images: &[&ImageName],
        platforms: &[Platform],
        purpose: Purpose,
    ) -> Result<Vec<Option<StoredImage>>> {
        if self.settings.pushes() {
            self.registry()?.find(images)
        } else if self.settings.ask_registry && self.registry_failed.get().is_none() {
            self.find_in_both(images, platforms, purpose)
        } else {
            self.find_in_engine(images, platforms)
        }
    }

    fn can_build_from(&self, store: Store) -> Result<bool> {
        Ok(store == Store::Registry || self.instance()?.driver == Driver::Docker)
    }

    fn ready(&self, platforms: &[Platform], dates: FileDates) -> Result<()> {
        let wanted = self.settings.wanted(platforms, dates);
        let store = if wanted.depends_on_the_store() { Some(self.image_store()?) } else { None };
        let instance = self.instance()?;
        refuse_what_cannot_be_built(instance, store, &wanted)?;
        let emulated = instance.emulated(platforms);
        if !emulated.is_empty() && self.warned.set(()).is_ok() {
            self.cli.terminal.warning(format!(
                "{} is emulated by the builder `{}`, many times slower than a node of that architecture \
                 (`docker buildx create --append`)",
                joined(&emulated),
                instance.name
            ));
        }
        Ok(())
    }

    fn digest(&self, image: &ImageName) -> Result<Digest> {
        let found = self.registry()?.find(&[image])?.into_iter().next().flatten();
        found.map(|image| image.digest).ok_or_else(|| {
            Error::failed(format!("cannot pin the base image: its registry has no `{image}`"))
                .hint("check its name; an image that only the engine has cannot be pinned")
        })
    }

    fn rust_of(&self, image: &ImageName, lacking: Lacking) -> Result<Option<Rust>> {
        self.cli.rust_of(image, lacking)
    }

    fn default_platform(&self) -> Result<Platform> {
        if let Some(platform) = self.platform.get() {
            return Ok(platform.clone());
        }
        let platform = if engine_is_this_machine() { Platform::of_this_machine() } else { self.asked_platform()? };
        Ok(self.platform.get_or_init(|| platform).clone())
    }

    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        match request.output {
            Output::Load => {
                if self.settings.pushes() {
                    // When the image is also pushed, the plan has looked at the registry only.
                    self.find_to_replace(&request.names, &request.platforms)?;
                }
                self.run_build(request, &Exporter::Load)
            }
            Output::Push => self.push(request),
        }
    }

    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed> {
        let names: Vec<&ImageName> = request.names.iter().map(|name| &name.name).collect();
        let found = match request.output {
            Output::Load => self.find_in_engine(&names, &request.platforms)?,
            Output::Push => self.registry()?.find(&names)?,
        };
        confirmed(request, promised, found, "`docker buildx inspect`")
    }

    fn load(&self, name: &ResultName, found: &Confirmed, platforms: &[Platform]) -> Result<Confirmed> {
        // A pulled image keeps its dates: no exporter has to rewrite them.
        self.ready(platforms, FileDates::Constant)?;
        let held = |images: Vec<Option<StoredImage>>| images.into_iter().flatten().find(|image| image.holds(platforms));
        let names = std::slice::from_ref(name);
        if let Some(image) = held(self.find_to_replace(names, platforms)?) {
            return Ok(Confirmed::from(&image));
        }
        let exact = name.name.with_digest(&found.digest).to_string();
        for platform in platforms {
            self.cli.terminal.status("Pulling", format!("{name} for {platform}"));
            let pull = ["image", "pull", "--quiet", "--platform", &platform.to_string(), &exact];
            let pulled = self.answer(&self.docker()?.args(pull))?;
            if !pulled.success {
                return Err(engine::engine_failure(&format!("cannot load `{name}`"), &pulled.stderr));
            }
        }
        self.answer(&self.docker()?.args(["image", "tag", &exact, &name.to_string()]))?;
        let image = held(self.find_to_replace(names, platforms)?);
        image.as_ref().map(Confirmed::from).ok_or_else(|| {
            Error::failed(format!("`{name}` was pulled, but the engine does not have it for {}", joined(platforms)))
                .hint("something removed it meanwhile: run again")
        })
    }
}
