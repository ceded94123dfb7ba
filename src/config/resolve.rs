//! Settings of all sources become options: texts become values, defaults come in, and what cannot work is refused. The
//! end of the first step of the way.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::build_args::BuildArg;
use crate::config::cache::{Cache, is_inline};
use crate::config::options::{BIN, Options};
use crate::config::passed_on::{is_ours, shown, with_joined_values};
use crate::config::secrets::CA_BUNDLE_SECRET;
use crate::config::settings::Settings;
use crate::config::slim::{RunImage, Slim};
use crate::config::values::{Output, Provenance, Sbom, TagScheme, Variable, Version, Workdir, has_control_characters};
use crate::error::{Error, Result};
use crate::hash::{content_digest, hex};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::redact::{redacted, redacted_pair};
use crate::system::cargo::CargoCall;
use crate::system::environment::variable;

const SOURCE_POLICY: &str = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";

const REGISTRY_TIMEOUT: Duration = Duration::from_secs(30);

const ENGINE_TIMEOUT: Duration = Duration::from_secs(30);

const LOCK_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
const DEFAULT_BASE_IMAGE: &str = "rust:1-bookworm";
const DEFAULT_WORKDIR: &str = "/workspace";
/// Of a slim image.
const DEFAULT_RUN_WORKDIR: &str = "/app";

impl Default for Options {
    /// The defaults, with no project and no environment looked at.
    fn default() -> Self {
        Settings::default().options(Vec::new()).unwrap_or_else(|_| unreachable!("the defaults are valid"))
    }
}

impl Settings {
    /// The options that these settings and the defaults give.
    ///
    /// # Errors
    /// A usage error that names the flag and the value.
    pub fn options(self, buildx_args: Vec<String>) -> Result<Options> {
        let options = self.with_defaults(buildx_args)?;
        refuse_arguments(&options.buildx_args)?;
        options.extra_build_args.iter().try_for_each(BuildArg::refuse_what_would_be_seen)?;
        refuse_what_no_dockerfile_holds(&options)?;
        refuse_two_of_one_id(&options)?;
        refuse_packages_in_nothing(&options)?;
        refuse_a_binary_for_all(&options)?;
        refuse_unfit_outputs(&options)?;
        refuse_what_is_not_the_same_again(&options)?;
        let in_github_actions = std::env::var_os("ACTIONS_RUNTIME_TOKEN").is_some();
        options.cache.refuse_unkept(options.pushes(), options.names_a_registry(), in_github_actions)?;
        if let Some(bundle) = options.ca_bundle.as_ref().filter(|bundle| !bundle.is_file()) {
            return Err(Error::usage(format!("the CA bundle `{bundle}` is not a file")));
        }
        Ok(options)
    }

    #[allow(clippy::too_many_lines, reason = "a line for each key, which the compiler asks for")]
    fn with_defaults(self, buildx_args: Vec<String>) -> Result<Options> {
        // Destructured, so that a new key cannot be forgotten.
        let Self {
            kind,
            base_image,
            platform,
            apt_packages,
            extra_deps,
            prebuild,
            build_arg,
            env,
            cmd,
            entrypoint,
            user,
            workdir,
            install_binaries,
            seed,
            auditable,
            slim,
            run_image,
            run_packages,
            assets,
            bins,
            each_bin,
            bin_inputs,
            cross,
            repository,
            tag_prefix,
            pin_base,
            project_version,
            force_rebuild,
            dry_run,
            load,
            push,
            cache,
            secret,
            allow_secrets,
            deny_secrets,
            ssh,
            ca_bundle,
            reproducible,
            provenance,
            sbom,
            build_folder,
            registry_timeout,
            engine_timeout,
            lock_timeout,
            cache_from,
            cache_to,
            engine,
            builder,
            progress,
            lock_files,
            source,
            template,
            stages,
            tag_scheme,
            enable_browser,
        } = self;
        let reproducible = reproducible.unwrap_or(false);
        let platforms: BTreeSet<Platform> = parsed(platform)?.into_iter().collect();
        let base_image: ImageName = base_image
            .as_deref()
            .unwrap_or(DEFAULT_BASE_IMAGE)
            .parse()
            .map_err(|error: Error| error.in_key("base-image"))?;
        let workdir = workdir.as_deref().map(str::parse::<Workdir>).transpose()?;
        let each_bin = each_bin.unwrap_or(false);
        let slim = if slim.unwrap_or(run_image.is_some() || each_bin || bins.is_some()) {
            let run_image =
                run_image.as_deref().map(|image| image.parse::<RunImage>().map_err(|error| error.in_key("run-image")));
            Some(Slim {
                run_image: run_image.unwrap_or_else(|| RunImage::beside(&base_image))?,
                run_digest: None,
                packages: parsed(run_packages).map_err(|error| error.in_key("run-packages"))?,
                assets: assets.unwrap_or_default(),
                workdir: workdir.clone().map_or_else(|| DEFAULT_RUN_WORKDIR.parse(), Ok)?,
                bins: bins.unwrap_or_default(),
                each_bin,
                bin_inputs: bin_inputs.unwrap_or_default(),
                cross: cross.unwrap_or_default(),
                cross_compiled: None,
            })
        } else {
            None
        };
        let env = env.unwrap_or_default();
        env.iter().try_for_each(Variable::refuse_what_cannot_be_set)?;
        Ok(Options {
            kind,
            base_image,
            base_digest: None,
            // A reproducible image starts from the same base image each time.
            pin_base: pin_base.unwrap_or(false) || reproducible,
            platforms: platforms.into_iter().collect(),
            extra_deps: extra_deps.filter(|text| !text.trim().is_empty()),
            extra_build_args: parsed(build_arg)?,
            buildx_args: with_joined_values(buildx_args),
            repository,
            registry_optional: false,
            tag_prefix,
            project_version,
            tag_scheme: tag_scheme.unwrap_or(TagScheme::Original),
            enable_browser: enable_browser.unwrap_or(true),
            lock_files: lock_files.unwrap_or_default(),
            source: source.unwrap_or_default(),
            template,
            stages,
            force_rebuild: force_rebuild.unwrap_or(false),
            dry_run: dry_run.unwrap_or(false),
            build_folder,
            outputs: outputs(load, push)?,
            reproducible,
            provenance: provenance.as_deref().map(Provenance::parse).transpose()?.flatten(),
            sbom: sbom.as_deref().map(Sbom::parse).transpose()?.flatten(),
            registry_timeout: seconds("registry-timeout", registry_timeout, REGISTRY_TIMEOUT)?,
            engine_timeout: seconds("engine-timeout", engine_timeout, ENGINE_TIMEOUT)?,
            lock_timeout: seconds("lock-timeout", lock_timeout, LOCK_TIMEOUT)?,
            cache: cache.unwrap_or_default(),
            cache_from: cache_from.unwrap_or_default(),
            cache_to: cache_to.unwrap_or_default(),
            secrets: parsed(secret)?,
            allow_secrets: allow_secrets.unwrap_or_default(),
            deny_secrets: deny_secrets.unwrap_or(false),
            ssh: parsed(ssh)?,
            ca_bundle,
            engine,
            builder,
            source_policy: source_policy()?,
            progress,
            apt_packages: parsed(apt_packages).map_err(|error| error.in_key("apt-packages"))?,
            prebuild: prebuild.map(|commands| commands.iter().map(|command| command.trim().to_owned()).collect()),
            install_binaries: install_binaries.unwrap_or(true),
            seed: seed.unwrap_or(true),
            auditable: auditable.unwrap_or(false),
            workdir: workdir.map_or_else(|| DEFAULT_WORKDIR.parse(), Ok)?,
            env: env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
            user: user.as_deref().map(str::parse).transpose()?,
            cmd,
            entrypoint,
            slim,
            cargo: CargoCall::default(),
        })
    }
}

/// The digest of the file that the variable of BuildKit's source policies names.
fn source_policy() -> Result<Option<String>> {
    let Some(path) = variable(SOURCE_POLICY) else { return Ok(None) };
    let text = std::fs::read(&path).map_err(|error| {
        Error::usage(format!("cannot read the source policy `{path}`"))
            .because(error)
            .hint(format!("unset {SOURCE_POLICY}, or name a file with it"))
    })?;
    Ok(Some(hex(&content_digest(&text))))
}

fn parsed<T: std::str::FromStr<Err = Error>>(texts: Option<Vec<String>>) -> Result<Vec<T>> {
    texts.unwrap_or_default().iter().map(|text| text.parse()).collect()
}

fn seconds(key: &str, given: Option<u32>, otherwise: Duration) -> Result<Duration> {
    match given {
        Some(0) => Err(Error::usage(format!("invalid `{key}` 0")).hint("it is a number of seconds, 1 or more")),
        Some(seconds) => Ok(Duration::from_secs(seconds.into())),
        None => Ok(otherwise),
    }
}

/// The outputs, the registry first: every later build can start from what a registry holds.
fn outputs(load: Option<bool>, push: Option<bool>) -> Result<Vec<Output>> {
    let push = push.unwrap_or(false);
    let outputs = [push.then_some(Output::Push), load.unwrap_or(!push).then_some(Output::Load)];
    let outputs: Vec<Output> = outputs.into_iter().flatten().collect();
    if outputs.is_empty() {
        return Err(Error::usage("with `--load=false` and no `--push` the image would be nowhere")
            .hint("leave `--load=false` out, or add `--push`"));
    }
    Ok(outputs)
}

/// Refuses arguments after `--` that would make another image than the one that is named.
fn refuse_arguments(arguments: &[String]) -> Result<()> {
    // buildx would take a word without `--` for another build context.
    if let Some(argument) = arguments.iter().find(|argument| !argument.starts_with("--")) {
        let argument = redacted_pair(argument);
        return Err(Error::usage(format!("`{argument}` cannot be passed on to buildx: it is no option"))
            .hint("what follows `--` are long options, such as `--network=host`"));
    }
    if let Some(argument) = arguments.iter().find(|argument| is_ours(argument)) {
        let argument = shown(argument);
        return Err(Error::usage(format!(
            "`{argument}` cannot be passed on to buildx: the result would not be what its name says"
        ))
        .hint("see `cargo runtime-image --help` for the options that set it"));
    }
    Ok(())
}

/// Refuses values that a line of a Dockerfile or of a step cannot hold.
fn refuse_what_no_dockerfile_holds(options: &Options) -> Result<()> {
    for command in options.prebuild.iter().flatten() {
        if command.is_empty() || has_control_characters(command) {
            return Err(Error::usage(format!("invalid command {:?} in `prebuild`", redacted(command)))
                .hint("a command is one line, for Cargo without the word `cargo`, such as \"build --release\""));
        }
    }
    if let Some(Version::Text(version)) = &options.project_version
        && (version.is_empty() || has_control_characters(version))
    {
        return Err(Error::usage(format!("invalid `version` {version:?}")).hint("it is one line, and not empty"));
    }
    let commands = [("cmd", &options.cmd), ("entrypoint", &options.entrypoint)];
    let commands = commands.into_iter().filter_map(|(key, command)| Some((key, command.as_ref()?.words())));
    let commands = commands.flat_map(|(key, words)| words.iter().map(move |word| (key, word)));
    let texts = options.extra_deps.iter().map(|text| ("extra-deps", text)).chain(commands);
    if let Some((key, _)) = texts.into_iter().find(|(_, text)| text.contains('\0')) {
        return Err(Error::usage(format!("`{key}` holds a zero byte, which no program is given")));
    }
    if let Some(stages) = options.stages.filter(|stages| !(1..=2).contains(stages)) {
        return Err(Error::usage(format!("invalid `stages` {stages}"))
            .hint("2 for a template with a stage `deps` that holds no sources, 1 for any other"));
    }
    Ok(())
}

/// Refuses secrets, or agents and keys, of which steps would see only one.
fn refuse_two_of_one_id(options: &Options) -> Result<()> {
    let bundle = options.ca_bundle.iter().map(|_| CA_BUNDLE_SECRET);
    let secrets: Vec<&str> = options.secrets.iter().map(|secret| &*secret.id).chain(bundle).collect();
    let ssh: Vec<&str> = options.ssh.iter().map(|ssh| &*ssh.id).collect();
    for (what, ids) in [("secrets", secrets), ("SSH agents or keys", ssh)] {
        let mut seen = BTreeSet::new();
        if let Some(id) = ids.into_iter().find(|id| !seen.insert(*id)) {
            return Err(Error::usage(format!("two {what} have the id `{id}`"))
                .hint("give each its own; `ca-bundle` is the id of the file of that key"));
        }
    }
    Ok(())
}

/// Refuses packages where nothing can install them.
fn refuse_packages_in_nothing(options: &Options) -> Result<()> {
    let from_nothing = options.slim.as_ref().filter(|slim| slim.run_image == RunImage::Nothing);
    if from_nothing.is_some_and(|slim| !slim.packages.is_empty()) {
        return Err(Error::usage("`run-packages` cannot be installed in `scratch`, which holds no program")
            .hint("name a `--run-image` of Debian, or leave the packages out"));
    }
    Ok(())
}

/// Refuses a repository that is named for a binary where no image is for one.
fn refuse_a_binary_for_all(options: &Options) -> Result<()> {
    let each_bin = options.slim.as_ref().is_some_and(|slim| slim.each_bin);
    if !each_bin && options.repository.as_ref().is_some_and(|repository| repository.contains(BIN)) {
        return Err(Error::usage(format!("`repository` holds `{BIN}`, which stands for the binary of an image"))
            .hint("make an image for each binary (`--each-bin`), or write the name out"));
    }
    Ok(())
}

fn refuse_unfit_outputs(options: &Options) -> Result<()> {
    if options.pushes() && !options.names_a_registry() {
        return Err(Error::usage("`--push` needs a repository that names a registry")
            .hint("for example `--repository registry.example.com/team/app-runtime`"));
    }
    Ok(())
}

fn refuse_what_is_not_the_same_again(options: &Options) -> Result<()> {
    if !options.reproducible {
        return Ok(());
    }
    if options.attests() {
        return Err(Error::usage("`--reproducible` and attestations (`--provenance`, `--sbom`) exclude each other")
            .hint("an attestation says when it was made, which is never the same again"));
    }
    if options.cache == Cache::Inline || options.cache_exports().any(is_inline) {
        return Err(Error::usage("`--reproducible` and an inline cache exclude each other")
            .hint("a cache in the image says when each step was made; `--cache registry` is beside it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn defaults_are_the_documented_ones() {
        let options = Options::default();
        assert_eq!(options.base_image.to_string(), "rust:1-bookworm");
        assert_eq!((&*options.workdir.to_string(), options.install_binaries), ("/workspace", true));
        assert_eq!(options.outputs, [Output::Load]);
    }

    fn with_arguments(arguments: &[&str]) -> Result<Options> {
        Settings::default().options(arguments.iter().map(|argument| (*argument).to_owned()).collect())
    }

    #[test]
    fn further_arguments_are_the_same_however_they_are_written() -> Result<()> {
        let joined = with_arguments(&["--cache-to=type=local,dest=x", "--pull", "--network=host"])?.buildx_args;
        assert_eq!(
            with_arguments(&["--cache-to", "type=local,dest=x", "--pull", "--network", "host"])?.buildx_args,
            joined
        );
        Ok(())
    }

    #[rstest]
    #[case(&["--provenance", "max"], true)]
    #[case(&["--attest=type=sbom"], true)]
    #[case(&["--sbom"], true)]
    #[case(&["--provenance", "false"], false)]
    #[case(&["--provenance=0"], false)]
    #[case(&["--provenance=False"], false)]
    #[case(&["--attest", "type=provenance,disabled=true"], false)]
    #[case(&["--pull"], false)]
    fn attestations_of_the_users_own_are_known(#[case] arguments: &[&str], #[case] expected: bool) -> Result<()> {
        let options = with_arguments(arguments)?;
        assert_eq!(options.attests(), expected);
        assert_eq!(refuse_what_is_not_the_same_again(&Options { reproducible: true, ..options }).is_err(), expected);
        Ok(())
    }

    #[rstest]
    #[case(&["--build-context=assets=../assets"])]
    #[case(&["--build-context", "deps=docker-image://x"])]
    #[case(&["--label", "dev.runtime-image.lock-hash=x"])]
    #[case(&["--label=org.opencontainers.image.base.digest=x"])]
    #[case(&["--check"])]
    #[case(&["--call=lint"])]
    #[case(&["../other", "--label"])]
    #[case(&["-Dt", "x"])]
    #[case(&["-tx"])]
    fn what_would_make_a_name_lie_is_not_passed_on(#[case] arguments: &[&str]) {
        assert_eq!(with_arguments(arguments).expect_err("it was allowed").exit_code(), 2);
        assert!(with_arguments(&["--label", "team=x"]).is_ok());
    }

    #[test]
    fn platforms_are_normalised_sorted_and_deduplicated() -> Result<()> {
        let platform = ["linux/arm64", "amd64", "linux/amd64"].map(str::to_owned).to_vec();
        let options = Settings { platform: Some(platform), ..Default::default() }.options(Vec::new())?;
        assert_eq!(crate::image::platform::joined(&options.platforms), "linux/amd64,linux/arm64");
        Ok(())
    }

    #[rstest]
    #[case(r#"build-arg = ["novalue"]"#)]
    #[case(r#"build-arg = ["1A=x"]"#)]
    #[case(r#"apt-packages = ["a b"]"#)]
    #[case(r#"apt-packages = ["-y"]"#)]
    #[case(r#"prebuild = ["build\nrm"]"#)]
    #[case(r#"workdir = "relative""#)]
    #[case(r#"workdir = "/""#)]
    #[case(r#"workdir = "/..""#)]
    #[case(r#"workdir = "/a/../..""#)]
    #[case(r#"workdir = "/.""#)]
    #[case(r#"user = "a b""#)]
    #[case(r#"user = "-o""#)]
    #[case(r#"user = "app:-R""#)]
    #[case(r#"user = "a:b:c""#)]
    #[case(r#"user = ":group""#)]
    #[case(r#"user = "app:""#)]
    #[case(r#"apt-packages = ["-oDebug=1"]"#)]
    #[case(r#"apt-packages = ["git-"]"#)]
    #[case(r#"apt-packages = ["./a.deb"]"#)]
    #[case(r#"apt-packages = [""]"#)]
    #[case(r#"prebuild = ["build\rrm"]"#)]
    #[case(r#"prebuild = [" "]"#)]
    #[case(r#"env = { A = "x\rUSER root" }"#)]
    #[case(r#"env = { A = "x\nUSER root" }"#)]
    #[case(r#"cmd = "a\u0000b""#)]
    #[case(r#"cmd = ["a\u0000b"]"#)]
    #[case(r#"extra-deps = "a\u0000b""#)]
    #[case(r#"build-arg = ["A=a\u0000b"]"#)]
    #[case(r#"build-arg = ["A B=x"]"#)]
    #[case(r#"version = "1\nUSER root""#)]
    #[case(r#"base-image = "a\nUSER root""#)]
    #[case(r#"secret = ["id=a", "id=a,env=B"]"#)]
    #[case(r#"ssh = ["default", "default=/x"]"#)]
    #[case(r#"ssh = ["-x"]"#)]
    #[case(r#"ssh = ["\"id=a\""]"#)]
    #[case(r#"env = { "A B" = "x" }"#)]
    #[case(r#"ca-bundle = "/no/such/file""#)]
    #[case("load = false")]
    #[case("registry-timeout = 0")]
    #[case("push = true")]
    #[case("provenance = \"maximal\"")]
    #[case("secret = [\"id=a b\"]")]
    #[case("reproducible = true\nprovenance = \"max\"")]
    fn a_wrong_value_is_a_usage_error(#[case] text: &str) {
        let settings: Settings = toml::from_str(text).expect("the test's TOML is valid");
        assert_eq!(settings.options(Vec::new()).expect_err(text).exit_code(), 2);
    }

    #[rstest]
    #[case("--tag=x")]
    #[case("-t")]
    #[case("--output")]
    fn buildx_arguments_that_would_make_the_name_a_lie_are_refused(#[case] argument: &str) {
        let error = Settings::default().options(vec![argument.to_owned()]).expect_err(argument);
        assert_eq!(error.exit_code(), 2);
    }
}
