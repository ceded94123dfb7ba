//! The real builder: `docker buildx build`, and `docker` asked back.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::capabilities::{Driver, ImageStore, Instance, Wanted, check, too_old};
use super::engine;
use super::registry::{Registry, may_be_passed_over};
use super::{BuildRequest, BuildxMetadata, Confirmed, Purpose, ResultName, RuntimeBuilder, Store, StoredImage};
use crate::cache::is_inline;
use crate::config::{Options, Output, is_about_provenance};
use crate::error::{Context as _, Error, Result};
use crate::image_name::ImageName;
use crate::platform::{Platform, joined};
use crate::process::{Capture, Command, Interrupt};
use crate::project::ProjectKind;
use crate::project::cargo::CA_BUNDLE_SECRET;
use crate::tags::fitting_tag;
use crate::term::{Terminal, Verbosity};

/// Passed on as build arguments by name. BuildKit predefines them, keeps them out of its cache keys and out of images.
const PROXY_VARIABLES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
/// The time that images and what is in them are dated with, in seconds since 1970.
const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// Drives `docker buildx`.
#[derive(Debug)]
pub struct BuildxBuilder {
    docker: OnceLock<PathBuf>,
    settings: BuildxSettings,
    terminal: Terminal,
    interrupt: Interrupt,
    instance: OnceLock<Instance>,
    platform: OnceLock<Platform>,
    registry_failed: OnceLock<()>,
    warned: OnceLock<()>,
}

/// What is the same for every build of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BuildxSettings {
    /// Where results go.
    pub outputs: Vec<Output>,
    /// The builder instance.
    pub builder: Option<String>,
    /// The progress output.
    pub progress: Option<String>,
    /// Cache sources.
    pub cache_from: Vec<String>,
    /// Cache destinations.
    pub cache_to: Vec<String>,
    /// Secrets, the CA bundle among them.
    pub secrets: Vec<String>,
    /// SSH sockets or keys.
    pub ssh: Vec<String>,
    /// Build arguments that are passed on by name, their values being in the environment.
    pub proxies: Vec<String>,
    /// Arguments for what is attached to the image.
    pub attestations: Vec<String>,
    /// Whether anything is, by these or further arguments.
    pub attests: bool,
    /// Whether the exporter dates all files back; what it dates them to is in the environment.
    pub rewrite: bool,
    /// Further arguments.
    pub extra: Vec<String>,
    /// Whether a cache is exported, other than into the image itself.
    pub cache_export: bool,
    /// Whether the repository was configured and names a registry, so that the registry may be asked.
    pub ask_registry: bool,
    /// Whether the registry may fail to answer: the user did not name it.
    pub registry_optional: bool,
    /// How long a registry has to answer.
    pub registry_timeout: Duration,
}

impl BuildxSettings {
    fn new(options: &Options, quiet: bool) -> Self {
        let bundle = options.ca_bundle.iter().map(|path| format!("id={CA_BUNDLE_SECRET},src={path}"));
        let proxies = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
        Self {
            outputs: options.outputs.clone(),
            builder: options.builder.clone(),
            progress: options.progress.clone().or_else(|| quiet.then(|| "plain".to_owned())),
            cache_from: options.cache_from.clone(),
            cache_to: options.cache_to.clone(),
            secrets: options.secrets.iter().cloned().chain(bundle).collect(),
            ssh: options.ssh.clone(),
            proxies: proxies.filter(|name| std::env::var_os(name).is_some()).collect(),
            attestations: options.attestations().collect(),
            attests: options.attests(),
            // Templates of the kind `cargo` date back what they make, whoever builds them.
            rewrite: options.reproducible && options.kind != Some(ProjectKind::Cargo),
            extra: options.buildx_args.clone(),
            cache_export: options.cache.is_exported() || options.cache_exports().any(|export| !is_inline(export)),
            ask_registry: options.names_a_registry(),
            registry_optional: options.registry_optional && !options.pushes(),
            registry_timeout: options.registry_timeout,
        }
    }

    fn pushes(&self) -> bool {
        self.outputs.contains(&Output::Push)
    }

    fn wanted<'a>(&self, platforms: &'a [Platform]) -> Wanted<'a> {
        Wanted {
            platforms,
            load: self.outputs.contains(&Output::Load),
            cache_export: self.cache_export,
            attestations: self.attests,
            rewrite: self.rewrite,
        }
    }
}

impl BuildxBuilder {
    /// A builder for these options. No engine is asked yet, and `docker` need not be there before it is.
    pub fn new(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Self {
        Self {
            docker: OnceLock::new(),
            settings: BuildxSettings::new(options, terminal.verbosity() == Verbosity::Quiet),
            terminal: terminal.clone(),
            interrupt: interrupt.clone(),
            instance: OnceLock::new(),
            platform: OnceLock::new(),
            registry_failed: OnceLock::new(),
            warned: OnceLock::new(),
        }
    }

    fn docker_path(&self) -> Result<&PathBuf> {
        if self.docker.get().is_none() {
            let path = which::which("docker").map_err(|error| {
                Error::failed("cannot find `docker`")
                    .because(error)
                    .hint("install the Docker command line and its buildx plug-in, or add its folder to PATH")
            })?;
            let _ = self.docker.set(path);
        }
        self.docker.get().ok_or_else(|| Error::failed("cannot find `docker`"))
    }

    fn docker(&self) -> Result<Command> {
        Ok(Command::new(self.docker_path()?))
    }

    fn answer(&self, command: &Command) -> Result<crate::process::Output> {
        self.terminal.verbose("Running", command.to_string());
        command.run(Capture::Both, &self.interrupt)
    }

    fn registry(&self) -> Result<Registry<'_>> {
        Ok(Registry {
            docker: self.docker_path()?,
            builder: self.settings.builder.as_deref(),
            timeout: self.settings.registry_timeout,
            terminal: &self.terminal,
            interrupt: &self.interrupt,
        })
    }

    fn find_in_engine(&self, images: &[&ImageName], platforms: &[Platform]) -> Result<Vec<Option<StoredImage>>> {
        let output =
            self.answer(&self.docker()?.args(["image", "inspect"]).args(images.iter().map(ToString::to_string)))?;
        let mut found = engine::inspected_images(images, &output.stdout, &output.stderr)?;
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

    /// What the engine has under the names of a result that is about to come there.
    fn find_to_replace(&self, names: &[ResultName], platforms: &[Platform]) -> Result<Vec<Option<StoredImage>>> {
        let found = self.find_in_engine(&names.iter().map(|name| &name.name).collect::<Vec<_>>(), platforms)?;
        for (name, image) in names.iter().zip(&found) {
            image.iter().try_for_each(|image| name.may_be_given_to_what_is_like(image).map(drop))?;
        }
        Ok(found)
    }

    /// Whether the engine has what this platform needs of an image, asked of engines that list no manifests: such a one
    /// makes a container of it, which is never started, or refuses.
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

    /// Asks the engine and the registry at the same time, and does not wait for the registry where the engine has what is
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

    /// Nothing is found, with one warning, where the registry may fail to answer and does.
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
            self.terminal.warning(format!("{error}{cause}; only the engine's own images count"));
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
        // BuildKit elsewhere is no engine.
        let inside = self.instance().is_ok_and(|instance| instance.driver == Driver::Docker);
        let engine = if inside { version(&["version", "--format", "{{.Server.Version}}"])? } else { String::new() };
        too_old(&buildx, &engine)
    }

    /// Asks, after a failure, whether the image that the build starts from is there at all.
    fn missing_base(&self, dockerfile: &Utf8Path) -> Option<String> {
        let text = std::fs::read_to_string(dockerfile).ok()?;
        let base = text.lines().find_map(|line| line.strip_prefix("FROM ")?.split(' ').next())?;
        let name: ImageName = base.parse().ok()?;
        let in_engine = self.find_in_engine(&[&name], &[]).ok()?.into_iter().flatten().next().is_some();
        let local_only = name.repository().starts_with("localhost/");
        let in_registry = || {
            let found = self.registry().and_then(|registry| registry.find(&[&name]));
            matches!(found.as_deref(), Ok([Some(_)]) | Err(_))
        };
        (!in_engine && (local_only || !in_registry())).then(|| base.to_owned())
    }

    fn run_build(&self, request: &BuildRequest, exporter: &Exporter) -> Result<BuildxMetadata> {
        // buildx does not remove an earlier metadata file: a fresh path each time.
        let folder = tempfile::tempdir().context(|| "cannot make a temporary folder".to_owned())?;
        let metadata_file = Utf8PathBuf::try_from(folder.path().join("metadata.json"))
            .context(|| "the temporary folder's name is not UTF-8".to_owned())?;
        let mut command = self
            .docker()?
            .args(build_arguments(request, exporter, &self.settings, &metadata_file))
            // Fetching provenance after a push can fail a command whose image is complete.
            .env("BUILDX_METADATA_PROVENANCE", "disabled")
            .without_env("DOCKER_DEFAULT_PLATFORM");
        // The same image tomorrow: no clock in it.
        if std::env::var_os(EPOCH_VARIABLE).is_none_or(|value| value.is_empty()) {
            command = command.env(EPOCH_VARIABLE, "0");
        }
        self.terminal.verbose("Running", command.to_string());
        let quiet = self.terminal.verbosity() == Verbosity::Quiet;
        let output = command.run(if quiet { Capture::Both } else { Capture::Shown }, &self.interrupt)?;
        if !output.success {
            if output.stderr.contains("Cannot connect") {
                return Err(engine::engine_failure("cannot build", &output.stderr));
            }
            let name = request.names.first().map(ToString::to_string).unwrap_or_default();
            let error = Error::build(format!("the build of `{name}` failed"));
            let error = if output.stderr.is_empty() { error } else { error.because(output.stderr.trim().to_owned()) };
            let error = self.too_old().into_iter().fold(error, Error::note);
            return Err(match self.missing_base(&request.context.join(crate::build_folder::DOCKERFILE)) {
                Some(base) => error.hint(format!(
                    "the image `{base}` was found neither in the engine nor in its registry; check its name"
                )),
                None => error.hint(format!(
                    "the engine's output says why; the build folder `{}` is still there to look at",
                    request.context
                )),
            });
        }
        let text = std::fs::read_to_string(&metadata_file)
            .context(|| "buildx ended well but wrote no metadata file".to_owned())?;
        BuildxMetadata::parse(&text)
    }

    /// Pushes, and adds to what the names hold for other platforms. The names are read and written when the build is over:
    /// machines that make the same image for other platforms at the same time do not take it from each other.
    fn push(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        // The one that others do not use at the same time, with other content.
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
        // It keeps what it pushes, from now on under the names.
        for name in &request.names {
            self.answer(&self.docker()?.args(["image", "tag", &on_the_way.to_string(), &name.to_string()]))?;
        }
        self.answer(&self.docker()?.args(["image", "rm", &on_the_way.to_string()]))?;
        Ok(metadata)
    }
}

/// What a build does with its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exporter {
    /// Into the engine's store under the request's names.
    Load,
    /// To the registry under this name.
    Push(ImageName),
    /// To this repository, without a name.
    ByDigest(String),
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

    fn ready(&self, platforms: &[Platform]) -> Result<()> {
        let wanted = self.settings.wanted(platforms);
        let store = if wanted.depends_on_the_store() { Some(self.image_store()?) } else { None };
        let instance = self.instance()?;
        check(instance, store, &wanted)?;
        let emulated = instance.emulated(platforms);
        if !emulated.is_empty() && self.warned.set(()).is_ok() {
            self.terminal.warning(format!(
                "{} is emulated by the builder `{}`, many times slower than a node of that architecture \
                 (`docker buildx create --append`)",
                joined(&emulated),
                instance.name
            ));
        }
        Ok(())
    }

    fn digest(&self, image: &ImageName) -> Result<String> {
        let found = self.registry()?.find(&[image])?.into_iter().next().flatten();
        found.map(|image| image.digest).ok_or_else(|| {
            Error::failed(format!("cannot pin the base image: its registry has no `{image}`"))
                .hint("check its name; an image that only the engine has cannot be pinned")
        })
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
                    // The plan has looked at the registry.
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
        self.ready(platforms)?;
        let held = |images: Vec<Option<StoredImage>>| images.into_iter().flatten().find(|image| image.holds(platforms));
        let names = std::slice::from_ref(name);
        if let Some(image) = held(self.find_to_replace(names, platforms)?) {
            return Ok(Confirmed::from(&image));
        }
        let exact = name.name.with_digest(&found.digest).to_string();
        for platform in platforms {
            self.terminal.status("Pulling", format!("{name} for {platform}"));
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

/// What was found under the names of a request, compared with what the build promised. `who_tells_more` is a command to
/// run if nothing was found.
pub(super) fn confirmed(
    request: &BuildRequest,
    promised: &BuildxMetadata,
    found: Vec<Option<StoredImage>>,
    who_tells_more: &str,
) -> Result<Confirmed> {
    let mut confirmed = None;
    for (name, image) in request.names.iter().zip(found) {
        let image = image.ok_or_else(|| {
            Error::failed(format!("the build ended well, but `{name}` is not there"))
                .hint(format!("something removed it meanwhile, or the output went elsewhere: {who_tells_more}"))
        })?;
        if !promised.is_in(&image) {
            return Err(Error::failed(format!(
                "`{name}` is {}, but the build promised {}",
                image.digest,
                promised.digest.as_deref().unwrap_or("nothing")
            ))
            .hint("somebody else moved the name meanwhile; run again"));
        }
        if !image.holds(&request.platforms) {
            let missing: Vec<Platform> =
                request.platforms.iter().filter(|platform| !image.platforms.contains(platform)).cloned().collect();
            return Err(Error::failed(format!(
                "`{name}` lacks {}: it is for {}",
                joined(&missing),
                joined(&image.platforms)
            )));
        }
        confirmed = Some(Confirmed::from(&image));
    }
    confirmed.ok_or_else(|| Error::failed("a build without a name cannot be confirmed"))
}

/// The arguments of `docker` for a build; pure, so that it can be tested without an engine.
pub fn build_arguments(
    request: &BuildRequest,
    exporter: &Exporter,
    settings: &BuildxSettings,
    metadata_file: &Utf8Path,
) -> Vec<OsString> {
    // Destructured, so that a new field cannot be forgotten.
    let BuildRequest { context, target, deps_image, names, output: _, labels, platforms, cache, no_cache, build_args } =
        request;
    let BuildxSettings {
        outputs: _,
        builder,
        progress,
        cache_from,
        cache_to,
        secrets,
        ssh,
        proxies,
        attestations,
        attests: _,
        rewrite,
        extra,
        cache_export: _,
        ask_registry: _,
        registry_optional: _,
        registry_timeout: _,
    } = settings;
    let mut arguments: Vec<String> = vec!["buildx".into(), "build".into()];
    let mut add = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
    builder.iter().for_each(|name| add("--builder", name));
    add("--platform", &joined(platforms));
    match exporter {
        Exporter::Load => names.iter().for_each(|name| add("--tag", &name.to_string())),
        Exporter::Push(name) => add("--tag", &name.to_string()),
        Exporter::ByDigest(_) => {}
    }
    labels.iter().for_each(|(name, value)| add("--label", &format!("{name}={value}")));
    target.iter().for_each(|stage| add("--target", stage));
    deps_image.iter().for_each(|image| add("--build-context", &format!("deps=docker-image://{image}")));
    build_args.iter().for_each(|argument| add("--build-arg", argument));
    proxies.iter().for_each(|name| add("--build-arg", name));
    secrets.iter().for_each(|secret| add("--secret", secret));
    ssh.iter().for_each(|ssh| add("--ssh", ssh));
    cache.from.iter().chain(cache_from).for_each(|cache| add("--cache-from", cache));
    cache.to.iter().chain(cache_to).for_each(|cache| add("--cache-to", cache));
    progress.iter().for_each(|progress| add("--progress", progress));
    add("--metadata-file", metadata_file.as_str());
    let rewritten = if *rewrite { ",rewrite-timestamp=true" } else { "" };
    match exporter {
        Exporter::Load => arguments.push("--load".to_owned()),
        Exporter::Push(_) if !rewrite => arguments.push("--push".to_owned()),
        Exporter::Push(_) => add("--output", &format!("type=registry{rewritten}")),
        Exporter::ByDigest(repository) => add(
            "--output",
            &format!("type=image,name={repository},push-by-digest=true,name-canonical=true,push=true{rewritten}"),
        ),
    }
    // Provenance holds times: with it the digest is another one at every build.
    if !attestations.iter().chain(extra).any(|argument| is_about_provenance(argument)) {
        arguments.push("--provenance=false".to_owned());
    }
    arguments.extend(attestations.iter().cloned());
    if *no_cache {
        arguments.push("--no-cache".to_owned());
    }
    arguments.extend(extra.iter().cloned());
    arguments.push(context.to_string());
    arguments.into_iter().map(OsString::from).collect()
}

/// Whether the engine surely has this machine's architecture: reached by a local socket on Linux, with no context in
/// between. Anything else may be a virtual machine or another host, and is asked.
fn engine_is_this_machine() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if !cfg!(target_os = "linux") {
        return false;
    }
    match set("DOCKER_HOST") {
        Some(host) => host.starts_with("unix://"),
        None => set("DOCKER_CONTEXT").is_none() && !names_a_context(),
    }
}

/// Whether docker's configuration selects a context.
fn names_a_context() -> bool {
    let folder = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let text = folder.and_then(|folder| std::fs::read_to_string(folder.join("config.json")).ok());
    let config: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    config
        .as_ref()
        .and_then(|config| config.get("currentContext")?.as_str())
        .is_some_and(|context| !context.is_empty() && context != "default")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Manifest;
    use crate::cache::CacheArguments;
    use rstest::rstest;

    fn settings() -> BuildxSettings {
        BuildxSettings { proxies: Vec::new(), ..BuildxSettings::new(&Options::default(), false) }
    }

    fn line(request: &BuildRequest, exporter: &Exporter, settings: &BuildxSettings) -> String {
        let arguments = build_arguments(request, exporter, settings, Utf8Path::new("/tmp/m.json"));
        Command::new("docker").args(arguments).to_string()
    }

    fn request() -> BuildRequest {
        BuildRequest {
            context: "/build/context".into(),
            platforms: vec![Platform::new("linux", "amd64", None)],
            ..BuildRequest::default()
        }
    }

    #[test]
    fn a_plain_build_loads_without_provenance() {
        assert_eq!(
            line(&request(), &Exporter::Load, &settings()),
            "docker buildx build --platform linux/amd64 --metadata-file /tmp/m.json --load --provenance=false \
             /build/context"
        );
    }

    #[test]
    fn everything_asked_for_is_passed_on() -> Result<()> {
        let one = |text: &str| vec![text.to_owned()];
        let request = BuildRequest {
            target: Some("deps".to_owned()),
            deps_image: Some("localhost/x:rt_1".parse()?),
            platforms: vec![Platform::new("linux", "amd64", None), Platform::new("linux", "arm64", None)],
            no_cache: true,
            build_args: vec!["A=b c".to_owned()],
            cache: CacheArguments { from: one("type=local,src=x"), ..CacheArguments::default() },
            ..request()
        };
        let settings = BuildxSettings {
            builder: Some("team".to_owned()),
            progress: Some("plain".to_owned()),
            cache_from: one("type=gha"),
            cache_to: one("type=gha,mode=max"),
            secrets: one("id=token"),
            ssh: one("default"),
            proxies: one("http_proxy"),
            attestations: one("--sbom=true"),
            extra: one("--network=host"),
            ..settings()
        };
        assert_eq!(
            line(&request, &Exporter::Push("r:1/x:b_linux-amd64".parse()?), &settings),
            "docker buildx build --builder team --platform linux/amd64,linux/arm64 --tag r:1/x:b_linux-amd64 \
             --target deps --build-context deps=docker-image://localhost/x:rt_1 --build-arg 'A=b c' \
             --build-arg http_proxy --secret id=token --ssh default --cache-from type=local,src=x \
             --cache-from type=gha --cache-to type=gha,mode=max --progress plain --metadata-file /tmp/m.json --push \
             --provenance=false --sbom=true --no-cache --network=host /build/context"
        );
        Ok(())
    }

    #[test]
    fn an_image_is_pushed_without_a_name_and_with_all_its_times_the_same() {
        let settings =
            BuildxSettings { rewrite: true, attestations: vec!["--provenance=mode=max".into()], ..settings() };
        assert_eq!(
            line(&request(), &Exporter::ByDigest("r:1/x".to_owned()), &settings),
            "docker buildx build --platform linux/amd64 --metadata-file /tmp/m.json --output \
             type=image,name=r:1/x,push-by-digest=true,name-canonical=true,push=true,rewrite-timestamp=true \
             --provenance=mode=max /build/context"
        );
    }

    /// The files as buildx wrote them, and under which of its keys the store's own answer is. With a classic store and
    /// `--load` that is the configuration's digest, everywhere else the manifest's or the index's.
    #[rstest]
    #[case::classic_load("docker-26-classic_buildx-0.13_load_one", "containerimage.config.digest")]
    #[case::classic_push("docker-26-classic_buildx-0.13_push_one", "containerimage.digest")]
    #[case::classic_both_the_engine("docker-26-classic_buildx-0.13_load_and_push", "containerimage.config.digest")]
    #[case::classic_both_the_registry("docker-26-classic_buildx-0.13_load_and_push", "containerimage.digest")]
    #[case::containerd_load("docker-26-containerd_buildx-0.13_load_one", "containerimage.digest")]
    #[case::containerd_load_attested("docker-26-containerd_buildx-0.13_load_one_provenance", "containerimage.digest")]
    #[case::containerd_load_two("docker-26-containerd_buildx-0.13_load_two", "containerimage.digest")]
    #[case::containerd_push("docker-26-containerd_buildx-0.13_push_one", "containerimage.digest")]
    #[case::containerd_push_two("docker-26-containerd_buildx-0.13_push_two", "containerimage.digest")]
    #[case::newer_load("docker-28-containerd_buildx-0.29_load_one", "containerimage.digest")]
    #[case::newer_load_attested("docker-28-containerd_buildx-0.29_load_one_provenance", "containerimage.digest")]
    #[case::newer_load_two("docker-28-containerd_buildx-0.29_load_two", "containerimage.digest")]
    #[case::newer_push("docker-28-containerd_buildx-0.29_push_one", "containerimage.digest")]
    #[case::newer_push_two("docker-28-containerd_buildx-0.29_push_two", "containerimage.digest")]
    #[case::container_load("container-0.23_buildx-0.13_load_one", "containerimage.digest")]
    #[case::container_load_into_a_classic_store("container-0.23_buildx-0.13_load_one", "containerimage.config.digest")]
    #[case::container_load_two("container-0.23_buildx-0.13_load_two", "containerimage.digest")]
    #[case::container_push("container-0.23_buildx-0.13_push_one", "containerimage.digest")]
    #[case::container_push_attested("container-0.23_buildx-0.13_push_one_provenance", "containerimage.digest")]
    #[case::container_push_two("container-0.23_buildx-0.13_push_two", "containerimage.digest")]
    #[case::container_push_with_cache("container-0.23_buildx-0.13_push_cache", "containerimage.digest")]
    fn an_answer_is_confirmed_if_the_build_promised_it(#[case] file: &str, #[case] key: &str) -> Result<()> {
        let text = metadata_file(file);
        let json: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
        let promised = BuildxMetadata::parse(&text)?;
        let digest = json[key].as_str().expect("the file has this key");
        let request = request_for(&promised.names);
        assert_eq!(confirm(&request, &promised, answers(&request, digest))?.digest, digest);

        let other = format!("sha256:{}", "0".repeat(64));
        let error =
            confirm(&request, &promised, answers(&request, &other)).expect_err("another image was taken for it");
        assert!(error.to_string().contains("but the build promised sha256:"), "{error}");
        let absent = vec![None; request.names.len()];
        assert!(confirm(&request, &promised, absent).expect_err("nothing was taken for it").hint_text().is_some());
        Ok(())
    }

    #[test]
    fn every_file_that_buildx_wrote_has_its_test() {
        let source = include_str!("buildx.rs");
        for entry in std::fs::read_dir(METADATA_FILES).expect("listed") {
            let name = entry.expect("listed").file_name().into_string().expect("UTF-8");
            assert!(source.contains(&format!("\"{}\"", name.trim_end_matches(".json"))), "{name} has no test");
        }
    }

    #[test]
    fn a_build_without_output_promises_nothing_and_is_not_confirmed() -> Result<()> {
        let promised = BuildxMetadata::parse(&metadata_file("container-0.23_buildx-0.13_no-output"))?;
        let request = request_for(&["localhost/rec:a".parse()?]);
        let digest = format!("sha256:{}", "1".repeat(64));
        let error = confirm(&request, &promised, answers(&request, &digest)).expect_err("it was confirmed");
        assert!(error.to_string().ends_with("but the build promised nothing"), "{error}");
        Ok(())
    }

    #[test]
    fn the_metadata_of_several_nodes_is_a_digest_alone() -> Result<()> {
        let digest = format!("sha256:{}", "2".repeat(64));
        let promised = BuildxMetadata::parse(&format!("{{\"containerimage.digest\": \"{digest}\"}}"))?;
        let request = request_for(&["r.example/x:a".parse()?]);
        assert_eq!(confirm(&request, &promised, answers(&request, &digest))?.digest, digest);
        Ok(())
    }

    #[test]
    fn an_image_that_lacks_a_platform_is_not_confirmed() -> Result<()> {
        let digest = format!("sha256:{}", "3".repeat(64));
        let promised = BuildxMetadata { digest: Some(digest.clone()), ..BuildxMetadata::default() };
        let mut request = request_for(&["r.example/x:a".parse()?]);
        let found = answers(&request, &digest);
        request.platforms.push("linux/riscv64".parse()?);
        let error = confirm(&request, &promised, found).expect_err("it was confirmed");
        assert_eq!(error.to_string(), "`r.example/x:a` lacks linux/riscv64: it is for linux/amd64,linux/arm64");
        Ok(())
    }

    #[test]
    fn an_image_that_was_added_to_an_index_is_looked_for_in_it() -> Result<()> {
        let manifest = |platform: &str, digit: &str| Manifest {
            platform: platform.parse().expect("valid"),
            digest: format!("sha256:{}", digit.repeat(64)),
        };
        let own = manifest("linux/arm64", "4");
        let promised = BuildxMetadata { manifests: vec![own.clone()], ..BuildxMetadata::default() };
        let request = request_for(&["r.example/x:a".parse()?]);
        let mut found = answers(&request, "sha256:index");
        for (manifests, expected) in
            [(vec![manifest("linux/amd64", "5"), own], true), (vec![manifest("linux/arm64", "6")], false)]
        {
            found[0].as_mut().expect("there").manifests = manifests;
            assert_eq!(confirm(&request, &promised, found.clone()).is_ok(), expected);
        }
        Ok(())
    }

    fn confirm(
        request: &BuildRequest,
        promised: &BuildxMetadata,
        found: Vec<Option<StoredImage>>,
    ) -> Result<Confirmed> {
        confirmed(request, promised, found, "ask again")
    }

    const METADATA_FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/buildx-metadata");

    fn metadata_file(name: &str) -> String {
        std::fs::read_to_string(format!("{METADATA_FILES}/{name}.json")).expect("the file is there")
    }

    fn request_for(names: &[ImageName]) -> BuildRequest {
        let with_key = |name: &ImageName| ResultName {
            name: name.clone(),
            key: ("key", String::new()),
            unlabelled: false,
            moves: false,
        };
        BuildRequest {
            names: names.iter().map(with_key).collect(),
            platforms: vec![Platform::new("linux", "amd64", None), Platform::new("linux", "arm64", None)],
            ..BuildRequest::default()
        }
    }

    fn answers(request: &BuildRequest, digest: &str) -> Vec<Option<StoredImage>> {
        let platforms = request.platforms.clone();
        let image = StoredImage { digest: digest.to_owned(), platforms, ..StoredImage::default() };
        vec![Some(image); request.names.len()]
    }
}
