//! The builder for machines with podman alone: `podman build` into podman's own store. Answers the plan's questions,
//! builds, and asks back what was built.

use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::builder::build_log::FailedStep;
use crate::builder::confirm::confirmed;
use crate::builder::engine_cli::{EPOCH_VARIABLE, Engine, EngineCli, FailedBuild, hidden_texts};
use crate::builder::inspect::{ToolVersion, answered_images, without_warnings};
use crate::builder::promise::BuildxMetadata;
use crate::builder::runtime_builder::{BuildRequest, Lacking, RuntimeBuilder, Rust, Target};
use crate::config::build_args::PassedOn;
use crate::config::cache::Cache;
use crate::config::options::Options;
use crate::config::passed_on::shown;
use crate::config::secrets::{CA_BUNDLE_SECRET, Secret, Ssh};
use crate::error::{Context as _, Error, Result};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, joined};
use crate::image::stored::{Confirmed, Purpose, ResultName, Size, Store, StoredImage};
use crate::staging::build_folder::temporary_beside;
use crate::staging::dockerfile::{Added, DEPS_STAGE, bases, is_short};
use crate::staging::template::FileDates;
use crate::system::command::CommandOutput;
use crate::system::environment::variable;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// The oldest podman that this was seen to work with.
const OLDEST_PODMAN: ToolVersion = ToolVersion(4, 3);

const USE_DOCKER: &str = "use docker with its buildx plug-in (`--engine docker`)";

const PODMAN: Engine = Engine {
    program: "podman",
    install: "install podman (package `podman`), add its folder to PATH, or use docker with its buildx plug-in \
        (`--engine docker`)",
    prune: "podman system prune",
    failed_step: FailedStep::of_podman,
};

/// Drives `podman build`.
#[derive(Debug)]
pub struct PodmanBuilder {
    cli: EngineCli,
    options: Options,
    settings: PodmanSettings,
    platform: OnceLock<Platform>,
    warned: OnceLock<()>,
}

/// What is the same for every build of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct PodmanSettings {
    /// Secrets, the CA bundle among them.
    secrets: Vec<Secret>,
    /// SSH sockets or keys.
    ssh: Vec<Ssh>,
    /// The date of a finished image and its files, in seconds since 1970; unused where files keep the dates of their
    /// making.
    epoch: String,
    /// The arguments after `--`.
    extra: Vec<String>,
    /// The user's repository, if it names a registry: a warning says that no registry is asked.
    registry: Option<String>,
}

impl PodmanSettings {
    fn new(options: &Options) -> Self {
        let bundle = options.ca_bundle.iter().map(|path| Secret::of_file(CA_BUNDLE_SECRET, path));
        let epoch = variable(EPOCH_VARIABLE);
        let names_a_registry = options.names_a_registry() && !options.registry_optional;
        Self {
            secrets: options.secrets.iter().cloned().chain(bundle).collect(),
            ssh: options.ssh.clone(),
            epoch: epoch.unwrap_or_else(|| "0".to_owned()),
            extra: options.buildx_args.clone(),
            registry: options.repository.clone().filter(|_| names_a_registry),
        }
    }
}

/// Refuses what podman cannot do, or would do in another way than the option's name says.
///
/// # Errors
/// When the options ask for such a thing; the error tells it and the ways out.
fn refuse_what_podman_cannot(options: &Options, platforms: &[Platform]) -> Result<()> {
    let refused = |what: &str, instead: &str| {
        Err(Error::failed(format!("{what} with podman")).hint(if instead.is_empty() {
            format!("leave it out, or {USE_DOCKER}")
        } else {
            format!("{instead}, or {USE_DOCKER}")
        }))
    };
    if platforms.len() > 1 {
        let what = format!("an image for several platforms ({}) cannot be made", joined(platforms));
        return refused(&what, "build for one platform");
    }
    if options.pushes() {
        return refused("`--push` does not work", "leave it out and `podman push` the image that is printed");
    }
    if options.reproducible {
        return refused("`--reproducible` does not work", "");
    }
    // Its COPY has no `--link`, without which the layers of a slim image are made anew for each run image.
    if options.slim.is_some() {
        return refused("a slim image cannot be made", "make the full image (`--slim=false`)");
    }
    if options.pin_base && options.base_image.digest().is_none() {
        return refused("`--pin-base` does not work", "name the digest yourself (`NAME@sha256:...`)");
    }
    let refusals = [
        ("--cache", options.cache != Cache::Off),
        ("--cache-from", !options.cache_from.is_empty()),
        ("--cache-to", !options.cache_to.is_empty()),
        ("--provenance", options.provenance.is_some()),
        ("--sbom", options.sbom.is_some()),
        ("--builder", options.builder.is_some()),
    ];
    if let Some((flag, _)) = refusals.iter().find(|(_, asked)| *asked) {
        return refused(&format!("`{flag}` does not work"), "");
    }
    if let Some(argument) = options.buildx_args.iter().find(|argument| is_ours(argument)) {
        let argument = shown(argument);
        return Err(Error::usage(format!("`{argument}` cannot be passed on to podman: it is decided by this tool")));
    }
    Ok(())
}

/// Whether an argument would make another image than the one that is named and confirmed. Those that are refused for
/// buildx as well are not among these.
fn is_ours(argument: &str) -> bool {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    matches!(
        name,
        "--all-platforms"
            | "--arch"
            | "--cache-from"
            | "--cache-to"
            | "--env"
            | "--from"
            | "--ignorefile"
            | "--layers"
            | "--manifest"
            | "--os"
            | "--timestamp"
            | "--variant"
            | "--volume"
    )
}

impl PodmanBuilder {
    /// A builder for these options. Nothing is looked for, or refused, before the first question.
    pub fn new(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Self {
        Self {
            cli: EngineCli::new(PODMAN, options, terminal, interrupt),
            options: options.clone(),
            settings: PodmanSettings::new(options),
            platform: OnceLock::new(),
            warned: OnceLock::new(),
        }
    }

    fn answer(&self, arguments: &[&str]) -> Result<CommandOutput> {
        self.cli.answer(&self.cli.command()?.args(arguments))
    }

    fn find_in_store(&self, images: &[&ImageName]) -> Result<Vec<Option<StoredImage>>> {
        // Names are in full: podman would first look for a short one as `localhost/...`, among its own.
        let names: Vec<String> = images.iter().map(|image| image.canonical()).collect();
        let output =
            self.answer(&[&["image", "inspect"], &*names.iter().map(String::as_str).collect::<Vec<_>>()].concat())?;
        let failure = || podman_failure("cannot ask podman for its images", &output.stderr);
        answered_images(images, &names, &output)?.ok_or_else(failure)
    }

    fn asked_platform(&self) -> Result<Platform> {
        let output = self.answer(&["info", "--format", "{{.Host.OS}}/{{.Host.Arch}}"])?;
        if !output.success {
            return Err(podman_failure("cannot ask podman for its platform", &output.stderr));
        }
        output.stdout.trim().parse()
    }

    /// The short names that the Dockerfile starts from, except those of images that podman has built. To docker and
    /// this tool a short name means Docker Hub; podman asks the user, or fails.
    fn short_names(&self, dockerfile: &Utf8Path) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(dockerfile).context(|| format!("cannot read `{dockerfile}`"))?;
        let mut short = Vec::new();
        for base in bases(&text).iter().filter(|base| is_short(base)) {
            let own = format!("localhost/{base}").parse::<ImageName>()?;
            if self.find_in_store(&[&own])?.iter().all(Option::is_none) {
                short.push(base.clone());
            }
        }
        Ok(short)
    }

    /// Asks, after a failure, whether podman has the image that the build starts from: podman gets it before anything
    /// else.
    fn missing_base(&self, failed: &FailedBuild) -> Option<String> {
        let base = failed.base_that_may_be_missing()?;
        let name: ImageName = base.parse().ok()?;
        let own = Some(format!("localhost/{base}")).filter(|_| is_short(&base)).and_then(|own| own.parse().ok());
        let names: Vec<&ImageName> = [&name].into_iter().chain(&own).collect();
        let name = name.canonical();
        self.find_in_store(&names).ok()?.iter().all(Option::is_none).then(|| {
            format!("podman has no image `{name}` and could not get it; check its name, and `podman pull {name}`")
        })
    }

    /// Asks, after a failure, whether podman is older than what is supported.
    fn too_old(&self) -> Option<String> {
        let output = self.answer(&["--version"]).ok()?;
        let version = ToolVersion::parse(&output.stdout).filter(|version| *version < OLDEST_PODMAN)?;
        Some(format!("podman is {version}, and {OLDEST_PODMAN} is the oldest that is supported"))
    }
}

impl RuntimeBuilder for PodmanBuilder {
    /// Finds images in podman's own store; registries are not asked.
    fn find(&self, images: &[&ImageName], platforms: &[Platform], _: Purpose) -> Result<Vec<Option<StoredImage>>> {
        refuse_what_podman_cannot(&self.options, platforms)?;
        self.find_in_store(images)
    }

    fn keeps_seeds(&self) -> bool {
        false
    }

    fn can_build_from(&self, store: Store) -> Result<bool> {
        Ok(store == Store::Engine)
    }

    fn ready(&self, platforms: &[Platform], run_on: &[Platform], _: FileDates) -> Result<()> {
        refuse_what_podman_cannot(&self.options, platforms)?;
        self.cli.command().map(drop)?;
        let native = self.default_platform()?;
        if self.warned.set(()).is_err() {
            return Ok(());
        }
        if let Some(repository) = &self.settings.registry {
            self.cli.terminal.warning(format!(
                "podman's own images count only: the registry of `{repository}` is not asked for any"
            ));
        }
        if let Some(emulated) = run_on.iter().find(|platform| !native.runs(platform)) {
            self.cli.terminal.warning(format!(
                "{emulated} is emulated by podman (package `qemu-user-static`), many times slower than {native}"
            ));
        }
        Ok(())
    }

    fn digest(&self, image: &ImageName) -> Result<Digest> {
        refuse_what_podman_cannot(&self.options, &self.options.platforms)?;
        Err(Error::failed(format!("podman cannot tell the digest of `{image}` without pulling it"))
            .hint(format!("name the digest yourself (`--base-image NAME@sha256:...`), or {USE_DOCKER}")))
    }

    fn rust_of(&self, image: &ImageName, lacking: Lacking) -> Result<Option<Rust>> {
        self.cli.rust_of(image, lacking)
    }

    fn default_platform(&self) -> Result<Platform> {
        if let Some(platform) = self.platform.get() {
            return Ok(platform.clone());
        }
        let platform = if podman_is_here() { Platform::of_this_machine() } else { self.asked_platform()? };
        Ok(self.platform.get_or_init(|| platform).clone())
    }

    fn native_platforms(&self) -> Result<Vec<Platform>> {
        Ok(vec![self.default_platform()?])
    }

    fn build(&self, request: &BuildRequest) -> Result<BuildxMetadata> {
        let folder = temporary_beside(&request.folder)
            .context(|| format!("cannot make a temporary folder beside `{}`", request.folder))?;
        let id_file = Utf8PathBuf::try_from(folder.path().join("id"))
            .context(|| "the temporary folder's name is not UTF-8".to_owned())?;
        let short_names = self.short_names(&request.dockerfile)?;
        let command = self
            .cli
            .command()?
            .args(build_arguments(request, &self.settings, &short_names, &id_file))
            .envs(PassedOn::of(&request.build_args).variables)
            .hiding(hidden_texts(&self.settings.secrets, &request.build_args))
            // podman 4.3, ended by a signal, leaves its step running.
            .ended_from_below();
        if let Some(failed) = self.cli.build(&command, request, |_| None)? {
            let missing_base = self.missing_base(&failed);
            return Err(failed.error(self.too_old(), missing_base));
        }
        let id = std::fs::read_to_string(&id_file)
            .context(|| "podman ended well but wrote no file with the image's ID".to_owned())?;
        let names = request.names.iter().map(|name| name.name.clone()).collect();
        Ok(BuildxMetadata { config_digest: Some(id.trim().parse()?), names, ..BuildxMetadata::default() })
    }

    fn confirm(&self, request: &BuildRequest, promised: &BuildxMetadata) -> Result<Confirmed> {
        let names: Vec<&ImageName> = request.names.iter().map(|name| &name.name).collect();
        confirmed(request, promised, self.find_in_store(&names)?, "`podman info`")
    }

    fn size(&self, image: &ImageName, _: Store, _: &Platform, _: Option<Added>) -> Option<Size> {
        // Its other forms have rounded sizes.
        let output = self.answer(&["image", "history", "--format", "json", &image.canonical()]).ok()?;
        let history: Vec<Value> = serde_json::from_str(&output.stdout).ok()?;
        let parts = history.iter().map(|entry| entry.get("size")?.as_u64()).collect::<Option<Vec<u64>>>()?;
        Some(Size::of(&parts, None, false))
    }

    fn load(&self, name: &ResultName, _: &Confirmed, _: &[Platform]) -> Result<Confirmed> {
        Err(Error::failed(format!("`{name}` is not loaded: podman's own images count only")).hint(USE_DOCKER))
    }
}

/// The arguments of `podman` for a build; pure, so that it can be tested without podman.
fn build_arguments(
    request: &BuildRequest,
    settings: &PodmanSettings,
    short_names: &[String],
    id_file: &Utf8Path,
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
        cache: _,
        no_cache: _,
        build_args,
    } = request;
    let PodmanSettings { secrets, ssh, epoch, extra, registry: _ } = settings;
    let mut arguments: Vec<String> = vec!["build".into()];
    let mut add = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
    add("--platform", &joined(platforms));
    add("--file", dockerfile.as_str());
    names.iter().for_each(|name| add("--tag", &name.name.canonical()));
    labels.iter().for_each(|(name, value)| add("--label", &format!("{name}={value}")));
    target.stage().iter().for_each(|stage| add("--target", stage));
    for name in short_names {
        let full = name.parse().map_or_else(|_| name.clone(), |name: ImageName| name.canonical());
        add("--build-context", &format!("{name}=docker-image://{full}"));
    }
    deps_image
        .iter()
        .for_each(|image| add("--build-context", &format!("{DEPS_STAGE}=docker-image://{}", image.canonical())));
    PassedOn::of(build_args).flags.iter().for_each(|argument| add("--build-arg", argument));
    secrets.iter().for_each(|secret| add("--secret", &secret.to_string()));
    ssh.iter().for_each(|ssh| add("--ssh", &ssh.to_string()));
    add("--iidfile", id_file.as_str());
    match dates {
        // podman dates all files of a layer, which does no harm where their dates are constant anyway. What is built
        // upon must look older than every source, whatever date was asked for. An OCI image with a constant date has
        // the same ID for the same inputs.
        FileDates::Constant => {
            add("--timestamp", if *target == Target::Dependencies { "0" } else { epoch });
            add("--format", "oci");
        }
        // Docker's format holds all that a Dockerfile can say; OCI's lacks health check, shell and trigger.
        FileDates::OfTheirMaking => add("--format", "docker"),
    }
    // buildah takes a step with `--mount=type=bind` from its cache even if the mounted files have changed (seen with
    // 1.28). The image of the old sources would get the name of the new ones.
    arguments.push("--layers=false".to_owned());
    // The label with buildah's version would change the ID.
    arguments.push("--identity-label=false".to_owned());
    arguments.extend(extra.iter().cloned());
    arguments.push(context.to_string());
    arguments.into_iter().map(OsString::from).collect()
}

fn podman_failure(doing: &str, stderr: &str) -> Error {
    let error = Error::failed(doing).because(without_warnings(stderr));
    error.hint(format!("`podman info` tells whether podman works for this user; otherwise {USE_DOCKER}"))
}

/// Whether podman surely runs on this machine, neither in a virtual one nor on another host.
fn podman_is_here() -> bool {
    let remote = ["CONTAINER_HOST", "CONTAINER_CONNECTION"];
    cfg!(target_os = "linux")
        && !remote.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Whether a program called `docker` is podman: a link to it, or the script of the package `podman-docker`.
pub(super) fn is_podman(docker: &Path) -> bool {
    if docker.canonicalize().is_ok_and(|path| path.file_name().is_some_and(|name| name == "podman")) {
        return true;
    }
    // Docker's own program is some megabytes, and not read.
    let is_small = std::fs::metadata(docker).is_ok_and(|metadata| metadata.len() < 4096);
    let runs_podman = |text: &str| text.starts_with("#!") && text.contains("exec ") && text.contains("/podman \"$@\"");
    is_small && std::fs::read_to_string(docker).is_ok_and(|text| runs_podman(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Settings;
    use crate::system::command::{Command, CommandOutput};
    use rstest::rstest;
    use std::os::unix::fs::symlink;

    fn options(toml: &str, arguments: &[&str]) -> Options {
        let settings: Settings = toml::from_str(toml).expect("the test's TOML is valid");
        settings.options(arguments.iter().map(ToString::to_string).collect()).expect("the test's options are valid")
    }

    fn line(request: &BuildRequest, settings: &PodmanSettings, short_names: &[&str]) -> String {
        let short_names: Vec<String> = short_names.iter().map(ToString::to_string).collect();
        let arguments = build_arguments(request, settings, &short_names, Utf8Path::new("/tmp/id"));
        Command::new("podman").args(arguments).to_string()
    }

    fn request() -> BuildRequest {
        BuildRequest {
            context: "/build/context".into(),
            dockerfile: "/build/Dockerfile".into(),
            platforms: vec![Platform::new("linux", "amd64", None)],
            ..BuildRequest::default()
        }
    }

    #[rstest]
    #[case::several_platforms("platform = ['linux/amd64', 'linux/arm64']", "linux/amd64,linux/arm64")]
    #[case("push = true\nrepository = 'r.example/x'", "--push")]
    #[case("load = true\npush = true\nrepository = 'r.example/x'", "--push")]
    #[case("reproducible = true", "--reproducible")]
    #[case("slim = true\nbase-image = 'rust:1-bookworm'", "slim")]
    #[case("pin-base = true", "--pin-base")]
    #[case("cache = 'local'", "--cache")]
    #[case("cache-from = ['type=gha']", "--cache-from")]
    #[case("cache-to = ['type=gha']", "--cache-to")]
    #[case("provenance = 'max'", "--provenance")]
    #[case("sbom = 'true'", "--sbom")]
    #[case("builder = 'team'", "--builder")]
    fn what_podman_cannot_do_is_refused_with_a_way_out(#[case] toml: &str, #[case] what: &str) {
        let options = options(toml, &[]);
        let error = refuse_what_podman_cannot(&options, &options.platforms).expect_err(toml);
        assert!(error.to_string().contains(what) && error.to_string().contains("podman"), "{error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--engine docker")));
    }

    #[rstest]
    #[case("platform = ['linux/arm64']")]
    #[case("pin-base = true\nbase-image = 'x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'")]
    #[case("provenance = 'false'\nsbom = 'false'\ncache = 'off'\nprogress = 'plain'")]
    #[case("repository = 'r.example/x'\nsecret = ['id=a']\nssh = ['default']\nbuild-arg = ['A=b']")]
    fn what_podman_can_do_is_not_refused(#[case] toml: &str) -> Result<()> {
        let options = options(toml, &["--network", "host"]);
        refuse_what_podman_cannot(&options, &options.platforms)
    }

    #[rstest]
    #[case("--layers")]
    #[case("--layers=true")]
    #[case("--manifest=x")]
    #[case("--timestamp=1")]
    #[case("--arch")]
    fn arguments_that_would_make_the_name_a_lie_are_a_usage_error(#[case] argument: &str) {
        let error = refuse_what_podman_cannot(&options("", &[argument]), &[]).expect_err(argument);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_dependency_image_is_dated_1970_and_nothing_is_taken_from_a_cache() -> Result<()> {
        let settings = PodmanSettings { epoch: "1700000000".to_owned(), ..PodmanSettings::default() };
        let request = BuildRequest { target: Target::Dependencies, ..request() };
        assert_eq!(
            line(&request, &settings, &["rust:1"]),
            "podman build --platform linux/amd64 --file /build/Dockerfile --target deps --build-context \
             rust:1=docker-image://docker.io/library/rust:1 --iidfile /tmp/id --timestamp 0 --format oci --layers=false \
             --identity-label=false /build/context"
        );
        let request =
            BuildRequest { target: Target::Finished, deps_image: Some("localhost/x:rt_1".parse()?), ..request };
        assert_eq!(
            line(&request, &settings, &[]),
            "podman build --platform linux/amd64 --file /build/Dockerfile \
             --build-context deps=docker-image://localhost/x:rt_1 --iidfile /tmp/id --timestamp 1700000000 --format oci --layers=false --identity-label=false /build/context"
        );
        Ok(())
    }

    #[test]
    fn everything_asked_for_is_passed_on() -> Result<()> {
        let one = |text: &str| vec![text.to_owned()];
        let settings = PodmanSettings {
            secrets: vec!["id=token".parse()?],
            ssh: vec!["default".parse()?],
            extra: one("--network=host"),
            ..PodmanSettings::default()
        };
        let request = BuildRequest {
            dates: FileDates::OfTheirMaking,
            build_args: vec!["A=b c".parse()?],
            no_cache: true,
            ..request()
        };
        assert_eq!(
            line(&request, &settings, &[]),
            "podman build --platform linux/amd64 --file /build/Dockerfile --build-arg A --secret id=token \
             --ssh default --iidfile /tmp/id \
             --format docker --layers=false --identity-label=false --network=host /build/context"
        );
        Ok(())
    }

    #[test]
    fn absent_images_are_an_answer_and_warnings_are_no_complaint() -> Result<()> {
        let names: [ImageName; 2] = ["localhost/a:1".parse()?, "localhost/b:1".parse()?];
        let answered = |stderr: &str| {
            let stdout = r#"[{"Id":"1212121212121212121212121212121212121212121212121212121212121212","RepoTags":["localhost/b:1"],"Os":"linux","Architecture":"amd64"}]"#;
            let output = CommandOutput { success: false, stdout: stdout.to_owned(), stderr: stderr.to_owned() };
            answered_images(&[&names[0], &names[1]], &names.each_ref().map(ToString::to_string), &output)
        };
        let absent = "time=\"x\" level=warning msg=\"y\"\nError: inspecting object: localhost/a:1: image not known\n";
        let digests =
            answered(absent)?.map(|found| found.into_iter().map(|image| Some(image?.digest.to_string())).collect());
        assert_eq!(digests, Some(vec![None, Some(format!("sha256:{}", "12".repeat(32)))]));
        assert_eq!(answered("Error: creating runtime: permission denied\n")?, None);
        Ok(())
    }

    #[test]
    fn podman_under_the_name_of_docker_is_told_from_docker() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("podman"), "")?;
        symlink(path("podman"), path("link"))?;
        std::fs::write(path("script"), "#!/bin/sh\nexec /usr/bin/podman \"$@\"\n")?;
        std::fs::write(path("docker"), "#!/bin/sh\nexec /usr/bin/docker.real \"$@\"\n")?;
        assert_eq!(
            ["link", "script", "docker", "absent"].map(|name| is_podman(&path(name))),
            [true, true, false, false]
        );
        Ok(())
    }
}
