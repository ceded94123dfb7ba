//! The real builder: `docker buildx build`, and `docker` asked back.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::engine::{self, Driver};
use super::{BuildRequest, BuildxMetadata, Confirmed, RuntimeBuilder, Store, StoredImage};
use crate::config::{Options, Output};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::image_name::ImageName;
use crate::platform::{Platform, joined};
use crate::process::{Capture, Command, Interrupt};
use crate::project::cargo::CA_BUNDLE_SECRET;
use crate::term::{Terminal, Verbosity};

/// A registry that has not answered by then is an error, not an absent image.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(30);
/// Passed on as build arguments by name. BuildKit predefines them, keeps them out of its cache keys and out of images.
const PROXY_VARIABLES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Drives `docker buildx`.
#[derive(Debug)]
pub struct BuildxBuilder {
    docker: OnceLock<PathBuf>,
    settings: BuildxSettings,
    terminal: Terminal,
    interrupt: Interrupt,
    driver: OnceLock<Driver>,
    platform: OnceLock<Platform>,
    registry_failed: OnceLock<()>,
}

/// What is the same for every build of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildxSettings {
    /// Where results go.
    pub output: Output,
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
    /// Further arguments.
    pub extra: Vec<String>,
    /// Whether the repository was configured and names a registry, so that the registry may be asked.
    pub ask_registry: bool,
    /// Whether the registry may fail to answer: the user did not name it.
    pub registry_optional: bool,
}

impl BuildxSettings {
    fn new(options: &Options, quiet: bool) -> Self {
        let bundle = options.ca_bundle.iter().map(|path| format!("id={CA_BUNDLE_SECRET},src={path}"));
        let proxies = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
        let repository = options.repository.as_ref().and_then(|name| name.parse::<ImageName>().ok());
        Self {
            output: options.output,
            builder: options.builder.clone(),
            progress: options.progress.clone().or_else(|| quiet.then(|| "plain".to_owned())),
            cache_from: options.cache_from.clone(),
            cache_to: options.cache_to.clone(),
            secrets: options.secrets.iter().cloned().chain(bundle).collect(),
            ssh: options.ssh.clone(),
            proxies: proxies.filter(|name| std::env::var_os(name).is_some()).collect(),
            extra: options.buildx_args.clone(),
            ask_registry: repository.is_some_and(|name| name.names_a_registry()),
            registry_optional: options.registry_optional && options.output == Output::Load,
        }
    }
}

impl BuildxBuilder {
    /// A builder for these options. No engine is asked yet, and `docker` need not be there before it is.
    ///
    /// # Errors
    /// When the options ask for what cannot work.
    pub fn new(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Result<Self> {
        let settings = BuildxSettings::new(options, terminal.verbosity() == Verbosity::Quiet);
        if settings.output == Output::Push && !settings.ask_registry {
            return Err(Error::usage("`--push` needs a repository that names a registry")
                .hint("for example `--repository registry.example.com/team/app-runtime`"));
        }
        Ok(Self {
            docker: OnceLock::new(),
            settings,
            terminal: terminal.clone(),
            interrupt: interrupt.clone(),
            driver: OnceLock::new(),
            platform: OnceLock::new(),
            registry_failed: OnceLock::new(),
        })
    }

    fn docker(&self) -> Result<Command> {
        if self.docker.get().is_none() {
            let path = which::which("docker").map_err(|error| {
                Error::failed("cannot find `docker`")
                    .because(error)
                    .hint("install the Docker command line and its buildx plug-in, or add its folder to PATH")
            })?;
            let _ = self.docker.set(path);
        }
        Ok(Command::new(self.docker.get().map_or(Path::new("docker"), PathBuf::as_path)))
    }

    fn answer(&self, command: &Command) -> Result<crate::process::Output> {
        self.terminal.verbose("Running", command.to_string());
        command.run(Capture::Both, &self.interrupt)
    }

    fn find_in_engine(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        let output =
            self.answer(&self.docker()?.args(["image", "inspect"]).args(images.iter().map(ToString::to_string)))?;
        engine::inspected_images(images, &output.stdout, &output.stderr)
    }

    fn find_in_registry(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        let commands = images.iter().map(|image| self.imagetools(image)).collect::<Result<Vec<_>>>()?;
        std::thread::scope(|scope| {
            let look_ups: Vec<_> = images
                .iter()
                .zip(&commands)
                .map(|(image, command)| {
                    self.terminal.verbose("Running", command.to_string());
                    let interrupt = &self.interrupt;
                    scope.spawn(move || ask_registry(image, command, interrupt))
                })
                .collect();
            look_ups
                .into_iter()
                .map(|look_up| look_up.join().unwrap_or_else(|_| Err(Error::failed("a registry look-up panicked"))))
                .collect()
        })
    }

    /// Nothing is found, with one warning, where the registry may fail to answer and does.
    fn find_where_allowed(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        if self.registry_failed.get().is_some() {
            return Ok(vec![None; images.len()]);
        }
        self.find_in_registry(images).or_else(|error| {
            if !self.settings.registry_optional || matches!(error.kind(), ErrorKind::Interrupted(_)) {
                return Err(error);
            }
            let _ = self.registry_failed.set(());
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let cause = cause.lines().next_back().map(|line| format!(": {line}")).unwrap_or_default();
            self.terminal.warning(format!("{error}{cause}; only the engine's own images count"));
            Ok(vec![None; images.len()])
        })
    }

    fn imagetools(&self, image: &ImageName) -> Result<Command> {
        let builder = self.settings.builder.iter().flat_map(|name| ["--builder", name.as_str()]);
        Ok(self
            .docker()?
            .args(["buildx", "imagetools", "inspect", "--format", "{{json .}}"])
            .args(builder)
            .arg(image.to_string())
            .timeout(REGISTRY_TIMEOUT))
    }

    fn driver(&self) -> Result<&Driver> {
        if self.driver.get().is_none() {
            let output = self.answer(&self.docker()?.args(["buildx", "inspect"]).args(&self.settings.builder))?;
            if !output.success {
                return Err(engine::engine_failure("cannot use `docker buildx`", &output.stderr));
            }
            let _ = self.driver.set(Driver::parse(&output.stdout)?);
        }
        self.driver.get().ok_or_else(|| Error::failed("the driver is not known"))
    }

    fn asked_platform(&self) -> Result<Platform> {
        let output = self.answer(&self.docker()?.args(["version", "--format", "{{json .Server}}"]))?;
        if !output.success {
            return Err(engine::engine_failure("cannot ask the engine for its platform", &output.stderr));
        }
        engine::server_platform(&output.stdout)
    }

    /// Asks, after a failure, whether the image that the build starts from is there at all.
    fn missing_base(&self, dockerfile: &Utf8Path) -> Option<String> {
        let text = std::fs::read_to_string(dockerfile).ok()?;
        let base = text.lines().find_map(|line| line.strip_prefix("FROM ")?.split(' ').next())?;
        let name: ImageName = base.parse().ok()?;
        let in_engine = self.find_in_engine(&[&name]).ok()?.into_iter().flatten().next().is_some();
        let local_only = name.repository().starts_with("localhost/");
        let in_registry = || matches!(self.find_in_registry(&[&name]).as_deref(), Ok([Some(_)]) | Err(_));
        (!in_engine && (local_only || !in_registry())).then(|| base.to_owned())
    }
}

fn ask_registry(image: &ImageName, command: &Command, interrupt: &Interrupt) -> Result<Option<StoredImage>> {
    let output = command.run(Capture::Both, interrupt)?;
    if output.success {
        engine::registry_image(&output.stdout).map(Some)
    } else if engine::is_absent(&output.stderr) {
        Ok(None)
    } else {
        Err(engine::registry_failure(image, &output.stderr))
    }
}

impl RuntimeBuilder for BuildxBuilder {
    fn find(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        if self.settings.output == Output::Push {
            return self.find_in_registry(images);
        }
        let mut found = self.find_in_engine(images)?;
        if self.settings.ask_registry && found.first().is_some_and(Option::is_none) {
            let missing: Vec<usize> = (0..images.len()).filter(|index| found[*index].is_none()).collect();
            let names: Vec<&ImageName> = missing.iter().map(|index| images[*index]).collect();
            for (index, image) in missing.into_iter().zip(self.find_where_allowed(&names)?) {
                found[index] = image;
            }
        }
        Ok(found)
    }

    fn can_build_from(&self, store: Store) -> Result<bool> {
        Ok(store == Store::Registry || *self.driver()? == Driver::Docker)
    }

    fn ready(&self) -> Result<()> {
        self.driver().map(drop)
    }

    fn default_platform(&self) -> Result<Platform> {
        if let Some(platform) = self.platform.get() {
            return Ok(platform.clone());
        }
        let platform = if engine_is_this_machine() { Platform::of_this_machine() } else { self.asked_platform()? };
        Ok(self.platform.get_or_init(|| platform).clone())
    }

    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        // buildx does not remove an earlier metadata file: a fresh path each time.
        let folder = tempfile::tempdir().context(|| "cannot make a temporary folder".to_owned())?;
        let metadata_file = Utf8PathBuf::try_from(folder.path().join("metadata.json"))
            .context(|| "the temporary folder's name is not UTF-8".to_owned())?;
        let command = self
            .docker()?
            .args(build_arguments(request, &self.settings, &metadata_file))
            // Fetching provenance after a push can fail a command whose image is complete.
            .env("BUILDX_METADATA_PROVENANCE", "disabled")
            .without_env("DOCKER_DEFAULT_PLATFORM");
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

    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed> {
        let names: Vec<&ImageName> = request.names.iter().collect();
        let found = match self.settings.output {
            Output::Load => self.find_in_engine(&names)?,
            Output::Push => self.find_in_registry(&names)?,
        };
        let mut confirmed = None;
        for (name, image) in request.names.iter().zip(found) {
            let image = image.ok_or_else(|| {
                Error::failed(format!("the build ended well, but `{name}` is not there")).hint(
                    "something removed it meanwhile, or the builder's output went elsewhere: `docker buildx inspect`",
                )
            })?;
            if !promised.promises(&image.digest) {
                return Err(Error::failed(format!(
                    "`{name}` is {}, but the build promised {}",
                    image.digest,
                    promised.digest.as_deref().unwrap_or("nothing")
                ))
                .hint("somebody else moved the name meanwhile; run again"));
            }
            if let Some(missing) = request.platforms.iter().find(|platform| !image.platforms.contains(platform)) {
                return Err(Error::failed(format!("`{name}` lacks {missing}: it is for {}", joined(&image.platforms))));
            }
            confirmed = Some(Confirmed::from(&image));
        }
        confirmed.ok_or_else(|| Error::failed("a build without a name cannot be confirmed"))
    }
}

/// The arguments of `docker` for a build; pure, so that it can be tested without an engine.
pub fn build_arguments(request: &BuildRequest, settings: &BuildxSettings, metadata_file: &Utf8Path) -> Vec<OsString> {
    // Destructured, so that a new field cannot be forgotten.
    let BuildRequest { context, target, deps_image, names, labels, platforms, no_cache, build_args } = request;
    let BuildxSettings {
        output,
        builder,
        progress,
        cache_from,
        cache_to,
        secrets,
        ssh,
        proxies,
        extra,
        ask_registry: _,
        registry_optional: _,
    } = settings;
    let mut arguments: Vec<String> = vec!["buildx".into(), "build".into()];
    let mut add = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
    builder.iter().for_each(|name| add("--builder", name));
    add("--platform", &joined(platforms));
    names.iter().for_each(|name| add("--tag", &name.to_string()));
    labels.iter().for_each(|(name, value)| add("--label", &format!("{name}={value}")));
    target.iter().for_each(|stage| add("--target", stage));
    deps_image.iter().for_each(|image| add("--build-context", &format!("deps=docker-image://{image}")));
    build_args.iter().for_each(|argument| add("--build-arg", argument));
    proxies.iter().for_each(|name| add("--build-arg", name));
    secrets.iter().for_each(|secret| add("--secret", secret));
    ssh.iter().for_each(|ssh| add("--ssh", ssh));
    cache_from.iter().for_each(|cache| add("--cache-from", cache));
    cache_to.iter().for_each(|cache| add("--cache-to", cache));
    progress.iter().for_each(|progress| add("--progress", progress));
    add("--metadata-file", metadata_file.as_str());
    // Provenance holds times: with it the digest is another one at every build.
    let attests =
        |argument: &String| ["--provenance", "--sbom", "--attest"].iter().any(|flag| argument.starts_with(flag));
    if !extra.iter().any(attests) {
        arguments.push("--provenance=false".to_owned());
    }
    if *no_cache {
        arguments.push("--no-cache".to_owned());
    }
    arguments.push(match output {
        Output::Load => "--load".to_owned(),
        Output::Push => "--push".to_owned(),
    });
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

    fn settings() -> BuildxSettings {
        BuildxSettings { proxies: Vec::new(), ..BuildxSettings::new(&Options::default(), false) }
    }

    fn line(request: &BuildRequest, settings: &BuildxSettings) -> String {
        Command::new("docker").args(build_arguments(request, settings, Utf8Path::new("/tmp/m.json"))).to_string()
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
            line(&request(), &settings()),
            "docker buildx build --platform linux/amd64 --metadata-file /tmp/m.json --provenance=false --load /build/context"
        );
    }

    #[test]
    fn everything_asked_for_is_passed_on() -> Result<()> {
        let request = BuildRequest {
            target: Some("deps".to_owned()),
            deps_image: Some("localhost/x:rt_1".parse()?),
            names: vec!["r:1/x:a".parse()?, "r:1/x:b".parse()?],
            platforms: vec![Platform::new("linux", "amd64", None), Platform::new("linux", "arm64", None)],
            no_cache: true,
            build_args: vec!["A=b c".to_owned()],
            ..request()
        };
        let one = |text: &str| vec![text.to_owned()];
        let settings = BuildxSettings {
            output: Output::Push,
            builder: Some("team".to_owned()),
            progress: Some("plain".to_owned()),
            cache_from: one("type=gha"),
            cache_to: one("type=gha,mode=max"),
            secrets: one("id=token"),
            ssh: one("default"),
            proxies: one("http_proxy"),
            extra: one("--sbom=true"),
            ask_registry: true,
            registry_optional: false,
        };
        assert_eq!(
            line(&request, &settings),
            "docker buildx build --builder team --platform linux/amd64,linux/arm64 --tag r:1/x:a --tag r:1/x:b \
             --target deps --build-context deps=docker-image://localhost/x:rt_1 --build-arg 'A=b c' \
             --build-arg http_proxy --secret id=token --ssh default --cache-from type=gha \
             --cache-to type=gha,mode=max --progress plain --metadata-file /tmp/m.json --no-cache --push --sbom=true \
             /build/context"
        );
        Ok(())
    }
}
