//! The builder for docker: it answers the plan's questions, runs `docker buildx build`, and asks back what was built.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use camino::Utf8PathBuf;

use crate::builder::build_log::FailedStep;
use crate::builder::confirm::confirmed;
use crate::builder::docker::arguments::{BuildxSettings, Exporter, build_arguments};
use crate::builder::docker::capabilities::{Driver, ImageStore, Instance, refuse_what_cannot_be_built, too_old};
use crate::builder::docker::engine;
use crate::builder::docker::engine::engine_is_this_machine;
use crate::builder::docker::failure::{Doing, Failure, may_be_passed_over, rewrites};
use crate::builder::docker::push_watch::PushWatch;
use crate::builder::docker::registry::Registry;
use crate::builder::engine_cli::{EPOCH_VARIABLE, Engine, EngineCli, FailedBuild, hidden_texts};
use crate::builder::inspect::answered_images;
use crate::builder::promise::BuildxMetadata;
use crate::builder::runtime_builder::{BuildRequest, Lacking, RuntimeBuilder, Rust};
use crate::config::build_args::PassedOn;
use crate::config::options::Options;
use crate::config::values::Output;
use crate::error::{Context as _, Error, Result};
use crate::image::digest::Digest;
use crate::image::name::{ImageName, fitting_tag};
use crate::image::platform::{Platform, joined};
use crate::image::stored::{Confirmed, Purpose, ResultName, Size, Store, StoredImage, Taken};
use crate::staging::build_folder::temporary_beside;
use crate::staging::dockerfile::Added;
use crate::staging::template::FileDates;
use crate::system::command::{Command, CommandOutput, Running};
use crate::system::interrupt::Interrupt;
use crate::system::lock::Lock;
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
    /// A question that was asked before it was sure that it would be.
    asked_ahead: Mutex<Option<(Command, Running)>>,
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
            asked_ahead: Mutex::new(None),
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
            docker: self.docker()?,
            builder: self.settings.builder.as_deref(),
            timeout: self.settings.registry_timeout,
            terminal: &self.cli.terminal,
            interrupt: &self.cli.interrupt,
        })
    }

    fn find_in_engine(&self, images: &[&ImageName], platforms: &[Platform]) -> Result<Vec<Option<StoredImage>>> {
        let names: Vec<String> = images.iter().map(ToString::to_string).collect();
        let command = self.inspect(&names)?;
        let output = self.answer_ahead(&command)?.map_or_else(|| self.answer(&command), Ok)?;
        let failure = || engine::engine_failure("cannot ask the engine for its images", &output.stderr);
        let mut found = answered_images(images, &names, &output)?.ok_or_else(failure)?;
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

    fn inspect(&self, names: &[String]) -> Result<Command> {
        Ok(self.docker()?.args(["image", "inspect"]).args(names))
    }

    /// The answer to a question that was asked ahead, if it is this one, and the engine had one. Any question takes that
    /// away: it is as old as what was known then.
    fn answer_ahead(&self, command: &Command) -> Result<Option<CommandOutput>> {
        let asked = self.asked_ahead.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((_, running)) = asked.filter(|(asked, _)| asked == command) else { return Ok(None) };
        Ok(Some(self.cli.awaited(command, &running)?).filter(|output| output.success))
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

    /// Builds. A push that fails in a way that may pass is tried again, with what is built already.
    fn run_build(&self, request: &BuildRequest, exporter: &Exporter) -> Result<BuildxMetadata> {
        let mut request = request.clone();
        let mut rewrites = rewrites(self.settings.registry_timeout);
        let failed = loop {
            let failed = match self.build_once(&request, exporter)? {
                Ok(metadata) => return Ok(metadata),
                Err(failed) => failed,
            };
            if !request.no_cache && engine::has_a_broken_cache(failed.last_error()) {
                self.cli.terminal.status("Building", "again from no cache: the builder's is broken");
                request.no_cache = true;
                continue;
            }
            let why = failed.still.as_deref().map(|_| Failure::Silent);
            let Some(failure) = why.or_else(|| failed.push_error().map(Failure::of)) else { break failed };
            let Some(delay) = rewrites.delay_after(failure) else {
                let cause = failed.still.as_deref().or(failed.push_error()).unwrap_or_default().to_owned();
                let own = request.own_name().ok_or_else(without_a_name)?;
                return Err(failed.with_log(failure.error(Doing::Push, &own.name, rewrites.tries, cause)));
            };
            self.cli.terminal.status("Pushing", format!("again, because of the registry: {}", failure.what()));
            self.cli.interrupt.sleep(delay)?;
            request.no_cache = false;
        };
        if let Some(cause) = failed.engine_error(engine::is_gone) {
            let name = request.names.first().map(ToString::to_string).unwrap_or_default();
            return Err(failed.with_log(engine::gone(&name, cause)));
        }
        if let Some(why) = failed.cannot_cross() {
            return Err(failed.with_log(Error::cannot_cross(format!("cannot cross-compile: {why}"))));
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
        // buildx does not remove an earlier metadata file: a fresh path each time. What a killed run leaves beside its
        // build folder, the next one removes.
        let folder = temporary_beside(&request.folder)
            .context(|| format!("cannot make a temporary folder beside `{}`", request.folder))?;
        let metadata_file = Utf8PathBuf::try_from(folder.path().join("metadata.json"))
            .context(|| "the temporary folder's name is not UTF-8".to_owned())?;
        let mut command = self
            .docker()?
            .args(build_arguments(request, exporter, &self.settings, &metadata_file))
            .envs(PassedOn::of(&request.build_args).variables)
            .hiding(hidden_texts(&self.settings.secrets, &request.build_args))
            // Fetching provenance after a push can fail a command whose image is complete.
            .env("BUILDX_METADATA_PROVENANCE", "disabled");
        // Without the clock, tomorrow's build gives the same image.
        if std::env::var_os(EPOCH_VARIABLE).is_none_or(|value| value.is_empty()) {
            command = command.env(EPOCH_VARIABLE, "0");
        }
        let mut watch = PushWatch::new(self.settings.registry_timeout);
        let stands_still = |news: &str| watch.stands_still(news, Instant::now()).filter(|_| exporter.pushes());
        if let Some(failed) = self.cli.build(&command, request, stands_still)? {
            return Ok(Err(failed));
        }
        let text =
            std::fs::read(&metadata_file).context(|| "buildx ended well but wrote no metadata file".to_owned())?;
        let metadata = BuildxMetadata::parse(&text)?;
        match exporter {
            Exporter::Load => request.names.iter().try_for_each(|name| metadata.expect_name(&name.name))?,
            Exporter::Push(name) => metadata.expect_name(name)?,
            Exporter::ByDigest(_) => {}
        }
        Ok(Ok(metadata))
    }

    /// Pushes the result, and adds it to what the names hold for other platforms. Names are read and written after the
    /// build, so that machines that build other platforms at the same time keep theirs.
    fn push(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        let own = request.own_name().ok_or_else(without_a_name)?;
        if self.instance()?.driver != Driver::Docker {
            let metadata = self.run_build(request, &Exporter::ByDigest(own.name.repository()))?;
            return self.registry()?.add_to_indexes(&request.names, &request.platforms, metadata);
        }
        // The engine cannot push without a name.
        let platforms = joined(&request.platforms).replace(['/', ','], "-");
        let tag = format!("{}_{platforms}", own.name.tag().unwrap_or_default());
        let on_the_way = own.name.with_tag(&fitting_tag(tag, "rt"))?;
        for (name, lock) in Lock::left_over_pushes() {
            self.remove_on_the_way(&name, lock)?;
        }
        let lock = Lock::of_push(&on_the_way, &self.cli.interrupt)?;
        let built = self.run_build(request, &Exporter::Push(on_the_way.clone()));
        if built.is_ok() {
            self.keep_in_engine(&request.names, &on_the_way)?;
        }
        self.cli.interrupt.check()?;
        let removed = self.remove_on_the_way(&on_the_way, lock);
        // Why the build failed tells more than what came of it.
        let metadata = built?;
        removed?;
        self.registry()?.add_to_indexes(&request.names, &request.platforms, metadata)
    }

    /// Lets the engine keep what it pushed, under the result's names. An image that somebody else made keeps its name.
    fn keep_in_engine(&self, names: &[ResultName], pushed: &ImageName) -> Result<()> {
        let asked: Vec<&ImageName> = names.iter().map(|name| &name.name).collect();
        for (name, image) in names.iter().zip(self.find_in_engine(&asked, &[])?) {
            let is_strange = |image: &StoredImage| !image.labels.contains_key(name.key.label);
            let is_kept = |image: &StoredImage| is_strange(image) || name.taken_by(image) == Taken::Refuse;
            if image.as_ref().is_none_or(|image| !is_kept(image)) {
                self.answer(&self.docker()?.args(["image", "tag", &pushed.to_string(), &name.to_string()]))?;
            }
        }
        Ok(())
    }

    /// Takes the name from an image that it had on its way to a registry. Where that fails, a later run does it.
    fn remove_on_the_way(&self, name: &ImageName, lock: Lock) -> Result<()> {
        let removed = self.answer(&self.docker()?.args(["image", "rm", &name.to_string()]))?;
        if removed.success || engine::is_for_another_platform(&removed.stderr) {
            lock.finish();
        }
        Ok(())
    }
}

fn without_a_name() -> Error {
    Error::failed("a result without a name cannot be pushed")
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

    fn expect(&self, image: &ImageName) {
        if self.settings.pushes() {
            return;
        }
        // Should it fail, it is asked again.
        let asked = self.inspect(&[image.to_string()]).and_then(|command| Ok((self.cli.started(&command)?, command)));
        let asked = asked.ok().map(|(running, command)| (command, running));
        *self.asked_ahead.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    fn can_build_from(&self, store: Store) -> Result<bool> {
        Ok(store == Store::Registry || self.instance()?.driver == Driver::Docker)
    }

    fn ready(&self, platforms: &[Platform], run_on: &[Platform], dates: FileDates) -> Result<()> {
        let wanted = self.settings.wanted(platforms, run_on, dates);
        let store = if wanted.depends_on_the_store() { Some(self.image_store()?) } else { None };
        let instance = self.instance()?;
        refuse_what_cannot_be_built(instance, store, &wanted)?;
        let emulated = instance.emulated(run_on);
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
            Error::failed(format!("cannot pin `{image}`: its registry has no such image"))
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

    fn native_platforms(&self) -> Result<Vec<Platform>> {
        Ok(self.instance()?.native.clone())
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

    fn size(&self, image: &ImageName, store: Store, platform: &Platform, added: Option<Added>) -> Option<Size> {
        match store {
            Store::Engine => {
                let history = ["image", "history", "--human=false", "--format", "{{.Size}}", &image.to_string()];
                let output = self.answer(&self.docker().ok()?.args(history)).ok().filter(|output| output.success)?;
                let parts = output.stdout.lines().map(|line| line.parse().ok()).collect::<Option<Vec<u64>>>()?;
                Some(Size::of(&parts, added.map(|added| added.entries), false))
            }
            Store::Registry => self.registry().ok()?.size(image, platform, added),
        }
    }

    fn load(&self, name: &ResultName, found: &Confirmed, platforms: &[Platform]) -> Result<Confirmed> {
        // A pulled image keeps its dates: no exporter has to rewrite them.
        self.ready(platforms, &[], FileDates::Constant)?;
        let held = |images: Vec<Option<StoredImage>>| images.into_iter().flatten().find(|image| image.holds(platforms));
        let names = std::slice::from_ref(name);
        if let Some(image) = held(self.find_to_replace(names, platforms)?) {
            return Ok(Confirmed::from(&image));
        }
        let exact = name.name.with_digest(&found.digest).to_string();
        for platform in platforms {
            self.cli.terminal.status("Pulling", format!("{name} for {platform}"));
            let pull = ["image", "pull", "--quiet", "--platform", &platform.to_string(), &exact];
            let pulled = self.cli.fetched(self.docker()?.args(pull))?;
            if !pulled.success {
                return Err(engine::engine_failure(&format!("cannot load `{name}`"), &pulled.stderr));
            }
        }
        self.answer(&self.docker()?.args(["image", "tag", &exact, &name.to_string()]))?;
        let image = held(self.find_to_replace(names, platforms)?).filter(|image| image.is_known_by(&found.digest));
        image.as_ref().map(Confirmed::from).ok_or_else(|| {
            Error::failed(format!("`{name}` was pulled, but the engine has no such image for {}", joined(platforms)))
                .hint("something removed it meanwhile: run again")
        })
    }
}
