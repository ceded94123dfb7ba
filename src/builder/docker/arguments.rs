//! The arguments of `docker buildx build`, from a request and what is the same for every build of a run.
//! Part of the build step, and pure.

use std::ffi::OsString;
use std::time::Duration;

use camino::Utf8Path;

use crate::builder::docker::capabilities::Wanted;
use crate::builder::engine_cli::proxies_set;
use crate::builder::runtime_builder::BuildRequest;
use crate::config::build_args::PassedOn;
use crate::config::cache::is_inline;
use crate::config::options::Options;
use crate::config::passed_on::is_about_provenance;
use crate::config::secrets::{CA_BUNDLE_SECRET, Secret, Ssh};
use crate::config::values::{Output, Progress};
use crate::image::name::ImageName;
use crate::image::platform::{Platform, joined};
use crate::staging::dockerfile::DEPS_STAGE;
use crate::staging::template::FileDates;

/// What is the same for every build of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct BuildxSettings {
    /// Where results go.
    pub outputs: Vec<Output>,
    /// The builder instance; buildx's current one if none.
    pub builder: Option<String>,
    /// The form of the progress output; buildx decides if none.
    pub progress: Option<Progress>,
    /// The user's cache sources.
    pub cache_from: Vec<String>,
    /// The user's cache destinations.
    pub cache_to: Vec<String>,
    /// Secrets, the CA bundle among them.
    pub secrets: Vec<Secret>,
    /// SSH sockets or keys.
    pub ssh: Vec<Ssh>,
    /// Build arguments that are passed on by name; their values are in the environment.
    pub proxies: Vec<String>,
    /// `--provenance` and `--sbom`, with their values.
    pub attestations: Vec<String>,
    /// Whether anything is attached, by these arguments or those after `--`.
    pub attests: bool,
    /// Whether the exporter dates back files that have the dates of their making. `SOURCE_DATE_EPOCH` says to when.
    pub rewrite: bool,
    /// The arguments after `--`.
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
    pub(super) fn new(options: &Options, quiet: bool) -> Self {
        let bundle = options.ca_bundle.iter().map(|path| Secret::of_file(CA_BUNDLE_SECRET, path));
        Self {
            outputs: options.outputs.clone(),
            builder: options.builder.clone(),
            // Output that is not shown is still read, for the step that failed.
            progress: if quiet { Some(Progress::Plain) } else { options.progress },
            cache_from: options.cache_from.clone(),
            cache_to: options.cache_to.clone(),
            secrets: options.secrets.iter().cloned().chain(bundle).collect(),
            ssh: options.ssh.clone(),
            proxies: proxies_set().collect(),
            attestations: options.attestations().collect(),
            attests: options.attests(),
            rewrite: options.reproducible,
            extra: options.buildx_args.clone(),
            cache_export: options.cache.is_exported() || options.cache_exports().any(|export| !is_inline(export)),
            ask_registry: options.names_a_registry(),
            registry_optional: options.registry_optional && !options.pushes(),
            registry_timeout: options.registry_timeout,
        }
    }

    pub(super) fn pushes(&self) -> bool {
        self.outputs.contains(&Output::Push)
    }

    /// Whether the exporter must date back the files of such a result.
    fn rewrites(&self, dates: FileDates) -> bool {
        self.rewrite && dates == FileDates::OfTheirMaking
    }

    pub(super) fn wanted<'a>(&self, platforms: &'a [Platform], run_on: &'a [Platform], dates: FileDates) -> Wanted<'a> {
        Wanted {
            platforms,
            run_on,
            load: self.outputs.contains(&Output::Load),
            cache_export: self.cache_export,
            attestations: self.attests,
            rewrite: self.rewrites(dates),
        }
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

impl Exporter {
    pub(super) fn pushes(&self) -> bool {
        !matches!(self, Self::Load)
    }
}

/// The arguments of `docker` for a build; pure, so that it can be tested without an engine.
#[allow(clippy::too_many_lines, reason = "a line for each field, which the compiler asks for")]
pub fn build_arguments(
    request: &BuildRequest,
    exporter: &Exporter,
    settings: &BuildxSettings,
    metadata_file: &Utf8Path,
) -> Vec<OsString> {
    // Destructured, so that a new field cannot be forgotten.
    let BuildRequest {
        folder: _,
        context,
        dockerfile,
        target,
        deps_image,
        names,
        output: _,
        labels,
        platforms,
        dates,
        cache,
        no_cache,
        build_args,
    } = request;
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
        rewrite: _,
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
    add("--file", dockerfile.as_str());
    match exporter {
        Exporter::Load => names.iter().for_each(|name| add("--tag", &name.to_string())),
        Exporter::Push(name) => add("--tag", &name.to_string()),
        Exporter::ByDigest(_) => {}
    }
    labels.iter().for_each(|(name, value)| add("--label", &format!("{name}={value}")));
    target.stage().iter().for_each(|stage| add("--target", stage));
    deps_image.iter().for_each(|image| add("--build-context", &format!("{DEPS_STAGE}=docker-image://{image}")));
    PassedOn::of(build_args).flags.iter().for_each(|argument| add("--build-arg", argument));
    // What the user gives for the build wins over the surroundings of this program.
    let is_given = |name: &&String| build_args.iter().any(|argument| argument.name == **name);
    proxies.iter().filter(|name| !is_given(name)).for_each(|name| add("--build-arg", name));
    secrets.iter().for_each(|secret| add("--secret", &secret.to_string()));
    ssh.iter().for_each(|ssh| add("--ssh", &ssh.to_string()));
    cache.from.iter().chain(cache_from).for_each(|cache| add("--cache-from", cache));
    cache.to.iter().chain(cache_to).for_each(|cache| add("--cache-to", cache));
    progress.iter().for_each(|progress| add("--progress", &progress.to_string()));
    add("--metadata-file", metadata_file.as_str());
    let rewrite = settings.rewrites(*dates);
    let rewritten = if rewrite { ",rewrite-timestamp=true" } else { "" };
    match exporter {
        Exporter::Load => arguments.push("--load".to_owned()),
        Exporter::Push(_) if !rewrite => arguments.push("--push".to_owned()),
        Exporter::Push(_) => add("--output", &format!("type=registry{rewritten}")),
        Exporter::ByDigest(repository) => add(
            "--output",
            &format!("type=image,name={repository},push-by-digest=true,name-canonical=true,push=true{rewritten}"),
        ),
    }
    // Provenance holds times, so that every build with it has another digest.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::cache::CacheArguments;
    use crate::builder::runtime_builder::Target;
    use crate::error::Result;
    use crate::system::command::Command;

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
            dockerfile: "/build/Dockerfile".into(),
            platforms: vec![Platform::new("linux", "amd64", None)],
            ..BuildRequest::default()
        }
    }

    #[test]
    fn a_plain_build_loads_without_provenance() {
        assert_eq!(
            line(&request(), &Exporter::Load, &settings()),
            "docker buildx build --platform linux/amd64 --file /build/Dockerfile --metadata-file /tmp/m.json --load \
             --provenance=false /build/context"
        );
    }

    #[test]
    fn everything_asked_for_is_passed_on() -> Result<()> {
        let one = |text: &str| vec![text.to_owned()];
        let request = BuildRequest {
            target: Target::Dependencies,
            deps_image: Some("localhost/x:rt_1".parse()?),
            platforms: vec![Platform::new("linux", "amd64", None), Platform::new("linux", "arm64", None)],
            no_cache: true,
            build_args: vec!["A=b c".parse()?],
            cache: CacheArguments { from: one("type=local,src=x"), ..CacheArguments::default() },
            ..request()
        };
        let settings = BuildxSettings {
            builder: Some("team".to_owned()),
            progress: Some(Progress::Plain),
            cache_from: one("type=gha"),
            cache_to: one("type=gha,mode=max"),
            secrets: vec!["id=token".parse()?],
            ssh: vec!["default".parse()?],
            proxies: one("http_proxy"),
            attestations: one("--sbom=true"),
            extra: one("--network=host"),
            ..settings()
        };
        assert_eq!(
            line(&request, &Exporter::Push("r:1/x:b_linux-amd64".parse()?), &settings),
            "docker buildx build --builder team --platform linux/amd64,linux/arm64 --file /build/Dockerfile \
             --tag r:1/x:b_linux-amd64 --target deps --build-context deps=docker-image://localhost/x:rt_1 --build-arg A \
             --build-arg http_proxy --secret id=token --ssh default --cache-from type=local,src=x \
             --cache-from type=gha --cache-to type=gha,mode=max --progress plain --metadata-file /tmp/m.json --push \
             --provenance=false --sbom=true --no-cache --network=host /build/context"
        );
        Ok(())
    }

    #[test]
    fn an_image_is_pushed_without_a_name_and_with_all_its_times_the_same() {
        let request = BuildRequest { dates: FileDates::OfTheirMaking, ..request() };
        let settings =
            BuildxSettings { rewrite: true, attestations: vec!["--provenance=mode=max".into()], ..settings() };
        assert_eq!(
            line(&request, &Exporter::ByDigest("r:1/x".to_owned()), &settings),
            "docker buildx build --platform linux/amd64 --file /build/Dockerfile --metadata-file /tmp/m.json --output \
             type=image,name=r:1/x,push-by-digest=true,name-canonical=true,push=true,rewrite-timestamp=true \
             --provenance=mode=max /build/context"
        );
    }
}
