//! What one source of configuration says, and how sources are laid over each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::builder::BoolishValueParser;
use serde::Deserialize;

use crate::config::cache::Cache;
use crate::config::options::Options;
use crate::config::passed_on::with_joined_values;
use crate::config::values::{Cmd, Engine, Output, ProjectKind, TagScheme, Version};
use crate::error::{Context as _, Error, Result};
use crate::image::platform::Platform;
use crate::system::cargo::CargoCall;
use crate::system::terminal::Terminal;

/// The table's name in `Cargo.toml` metadata.
pub const METADATA_KEY: &str = "runtime-image";

/// The configuration file in the project root.
pub const CONFIG_FILE: &str = "runtime-image.toml";

const REGISTRY_TIMEOUT: Duration = Duration::from_secs(30);

const DEFAULT_BASE_IMAGE: &str = "rust:1-bookworm";

/// What one source of configuration says; everything is optional. The same fields are flags, `RUNTIME_IMAGE_*`
/// variables and kebab-case keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(rename_all = "kebab-case", default)]
pub struct Settings {
    /// What the project is [default: what its files say]
    #[arg(long, env = "RUNTIME_IMAGE_KIND", hide_env = true, value_name = "KIND", help_heading = "Image")]
    pub kind: Option<ProjectKind>,

    /// Image to start from [default: rust:1-bookworm, or what an OpenHands tree says]
    #[arg(
        long,
        alias = "base_image",
        env = "RUNTIME_IMAGE_BASE_IMAGE",
        hide_env = true,
        value_name = "IMAGE",
        help_heading = "Image"
    )]
    pub base_image: Option<String>,

    /// Name the base image by its digest, so that a base image that changed gives another name
    #[arg(long, env = "RUNTIME_IMAGE_PIN_BASE", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Image")]
    pub pin_base: Option<bool>,

    /// Platforms to build for, such as linux/amd64,linux/arm64 [default: the engine's own]
    #[arg(
        long,
        env = "RUNTIME_IMAGE_PLATFORM",
        hide_env = true,
        value_name = "PLATFORM",
        value_delimiter = ',',
        help_heading = "Image"
    )]
    pub platform: Option<Vec<String>>,

    /// Shell command that installs further dependencies, run once in the dependency stage
    #[arg(long, env = "RUNTIME_IMAGE_EXTRA_DEPS", hide_env = true, value_name = "TEXT", help_heading = "Image")]
    pub extra_deps: Option<String>,

    /// Build argument for the stage that builds the sources (repeatable)
    #[arg(
        long,
        env = "RUNTIME_IMAGE_BUILD_ARG",
        hide_env = true,
        value_name = "KEY=VALUE",
        value_delimiter = '\n',
        help_heading = "Image"
    )]
    pub build_arg: Option<Vec<String>>,

    /// Repository of the image [default: localhost/NAME-runtime, which is never looked up elsewhere]
    #[arg(long, env = "RUNTIME_IMAGE_REPOSITORY", hide_env = true, value_name = "REPOSITORY", help_heading = "Image")]
    pub repository: Option<String>,

    /// What every tag starts with [default: rt; oh for OpenHands]
    #[arg(long, env = "RUNTIME_IMAGE_TAG_PREFIX", hide_env = true, value_name = "PREFIX", help_heading = "Image")]
    pub tag_prefix: Option<String>,

    /// The project's version, instead of what its files say
    #[arg(
        long,
        env = "RUNTIME_IMAGE_PROJECT_VERSION",
        hide_env = true,
        value_name = "VERSION",
        help_heading = "Image"
    )]
    #[serde(rename = "version", alias = "project-version")]
    pub project_version: Option<Version>,

    /// OpenHands: names as its own build makes them, or of all that is in the image [default: original]
    #[arg(long, env = "RUNTIME_IMAGE_TAG_SCHEME", hide_env = true, value_name = "SCHEME", help_heading = "Image")]
    pub tag_scheme: Option<TagScheme>,

    /// Whether an OpenHands image gets a browser; see `--no-enable-browser`.
    #[arg(long, alias = "enable_browser", hide = true, env = "RUNTIME_IMAGE_ENABLE_BROWSER", num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub enable_browser: Option<bool>,

    /// Build from the base image whatever exists, and move all tags to the new image
    #[arg(long, alias = "force_rebuild", env = "RUNTIME_IMAGE_FORCE_REBUILD", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Build")]
    pub force_rebuild: Option<bool>,

    /// Make the build folder ready and stop there
    #[arg(long, env = "RUNTIME_IMAGE_DRY_RUN", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Build")]
    pub dry_run: Option<bool>,

    /// Folder to stage into [default: below the target folder, or the user's cache folder]
    #[arg(
        long,
        alias = "build_folder",
        env = "RUNTIME_IMAGE_BUILD_FOLDER",
        hide_env = true,
        value_name = "DIR",
        help_heading = "Build"
    )]
    pub build_folder: Option<Utf8PathBuf>,

    /// Refuse to build what would not have the same digest again from the same sources, base image and dependencies
    #[arg(long, env = "RUNTIME_IMAGE_REPRODUCIBLE", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Build")]
    pub reproducible: Option<bool>,

    /// Attach how the image was built: `true`, `min` or `max` [default: false]
    #[arg(
        long,
        env = "RUNTIME_IMAGE_PROVENANCE",
        hide_env = true,
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        value_name = "MODE",
        help_heading = "Build"
    )]
    pub provenance: Option<String>,

    /// Attach a list of what is in the image: `true`, or `generator=IMAGE` [default: false]
    #[arg(
        long,
        env = "RUNTIME_IMAGE_SBOM",
        hide_env = true,
        num_args = 0..=1,
        default_missing_value = "true",
        require_equals = true,
        value_name = "MODE",
        help_heading = "Build"
    )]
    pub sbom: Option<String>,

    /// Load the image into the engine (default)
    #[arg(long, env = "RUNTIME_IMAGE_LOAD", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Build")]
    pub load: Option<bool>,

    /// Push the image to its registry, and look for earlier images there
    #[arg(long, env = "RUNTIME_IMAGE_PUSH", hide_env = true, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL", value_parser = BoolishValueParser::new(), hide_possible_values = true, help_heading = "Build")]
    pub push: Option<bool>,

    /// Seconds that a registry has to answer [default: 30]
    #[arg(
        long,
        env = "RUNTIME_IMAGE_REGISTRY_TIMEOUT",
        hide_env = true,
        value_name = "SECONDS",
        help_heading = "Build"
    )]
    pub registry_timeout: Option<u32>,

    /// Where to keep a build cache: registry[=REF], local[=DIR], gha, inline or off [default: off]
    #[arg(long, env = "RUNTIME_IMAGE_CACHE", hide_env = true, value_name = "CACHE", help_heading = "Build")]
    pub cache: Option<Cache>,

    /// Cache source, passed on to buildx (repeatable)
    #[arg(
        long,
        env = "RUNTIME_IMAGE_CACHE_FROM",
        hide_env = true,
        value_name = "CACHE",
        value_delimiter = '\n',
        help_heading = "Build"
    )]
    pub cache_from: Option<Vec<String>>,

    /// Cache destination, passed on to buildx (repeatable)
    #[arg(
        long,
        env = "RUNTIME_IMAGE_CACHE_TO",
        hide_env = true,
        value_name = "CACHE",
        value_delimiter = '\n',
        help_heading = "Build"
    )]
    pub cache_to: Option<Vec<String>>,

    /// Secret for the steps that fetch, as `id=NAME[,src=PATH|,env=NAME]`; not part of any name (repeatable)
    #[arg(
        long,
        env = "RUNTIME_IMAGE_SECRET",
        hide_env = true,
        value_name = "SECRET",
        value_delimiter = '\n',
        help_heading = "Build"
    )]
    pub secret: Option<Vec<String>>,

    /// SSH agent socket or key for the steps that fetch; not part of any name (repeatable)
    #[arg(
        long,
        env = "RUNTIME_IMAGE_SSH",
        hide_env = true,
        value_name = "SSH",
        value_delimiter = '\n',
        help_heading = "Build"
    )]
    pub ssh: Option<Vec<String>>,

    /// File of certificates that the steps that fetch trust; not in the image, not part of any name
    #[arg(long, env = "RUNTIME_IMAGE_CA_BUNDLE", hide_env = true, value_name = "FILE", help_heading = "Build")]
    pub ca_bundle: Option<Utf8PathBuf>,

    /// What builds: docker or podman [default: what is there, docker first]
    #[arg(
        long,
        env = "RUNTIME_IMAGE_ENGINE",
        hide_env = true,
        value_name = "ENGINE",
        hide_possible_values = true,
        help_heading = "Build"
    )]
    pub engine: Option<Engine>,

    /// Builder instance of buildx to use
    #[arg(long, env = "RUNTIME_IMAGE_BUILDER", hide_env = true, value_name = "NAME", help_heading = "Build")]
    pub builder: Option<String>,

    /// Progress output of buildx: auto, plain, tty, quiet or rawjson
    #[arg(long, env = "RUNTIME_IMAGE_PROGRESS", hide_env = true, value_name = "TYPE", help_heading = "Build")]
    pub progress: Option<String>,

    /// Custom: the files that decide about the dependencies; paths or globs.
    #[arg(skip)]
    pub lock_files: Option<Vec<String>>,

    /// Custom: the files that go into the image; paths or globs, `!` before one leaves out.
    #[arg(skip)]
    pub source: Option<Vec<String>>,

    /// Custom: the Jinja template of the Dockerfile.
    #[arg(skip)]
    pub template: Option<Utf8PathBuf>,

    /// Custom: 2 where the template has a stage `deps` without sources, 1 where it has not.
    #[arg(skip)]
    pub stages: Option<u8>,

    /// Debian packages to install before the dependencies are built.
    #[arg(skip)]
    pub apt_packages: Option<Vec<String>>,

    /// Cargo commands that build the dependencies and then the workspace.
    #[arg(skip)]
    pub prebuild: Option<Vec<String>>,

    /// Whether binaries are copied to `/usr/local/bin`.
    #[arg(skip)]
    pub install_binaries: Option<bool>,

    /// Folder of the project in the image.
    #[arg(skip)]
    pub workdir: Option<String>,

    /// Environment variables of the image and of the build.
    #[arg(skip)]
    pub env: Option<BTreeMap<String, String>>,

    /// User that builds and runs.
    #[arg(skip)]
    pub user: Option<String>,

    /// What the image runs by default.
    #[arg(skip)]
    pub cmd: Option<Cmd>,
}

impl Settings {
    /// These settings, with `lower` wherever they say nothing. A list replaces a lower list.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        macro_rules! first_of_each {
            ($($field:ident),+ $(,)?) => {{
                // Destructured, so that a new field cannot be forgotten.
                let Self { $($field),+ } = self;
                Self { $($field: $field.or(lower.$field)),+ }
            }};
        }
        first_of_each!(
            kind,
            base_image,
            pin_base,
            platform,
            extra_deps,
            build_arg,
            repository,
            tag_prefix,
            project_version,
            tag_scheme,
            enable_browser,
            force_rebuild,
            dry_run,
            build_folder,
            reproducible,
            provenance,
            sbom,
            load,
            push,
            registry_timeout,
            cache,
            cache_from,
            cache_to,
            secret,
            ssh,
            ca_bundle,
            engine,
            builder,
            progress,
            lock_files,
            source,
            template,
            stages,
            apt_packages,
            prebuild,
            install_binaries,
            workdir,
            env,
            user,
            cmd,
        )
    }

    /// With the paths made absolute, seen from `folder`.
    #[must_use]
    pub fn seen_from(mut self, folder: &Utf8Path) -> Self {
        if let Some(Cache::Local(Some(path))) = &mut self.cache {
            *path = folder.join(&path);
        }
        for path in [&mut self.build_folder, &mut self.ca_bundle, &mut self.template].into_iter().flatten() {
            *path = folder.join(&path);
        }
        self
    }

    /// A table of `Cargo.toml` metadata. Unknown keys are warned of by name.
    ///
    /// # Errors
    /// When a key has the wrong type.
    pub fn from_metadata(metadata: &serde_json::Value, table: &str, terminal: &Terminal) -> Result<Self> {
        match metadata.get(METADATA_KEY) {
            Some(value) => Self::checked(value, &format!("[{table}.{METADATA_KEY}]"), terminal),
            None => Ok(Self::default()),
        }
    }

    /// The file `runtime-image.toml` in `root`, if there is one. Unknown keys are warned of by name.
    ///
    /// # Errors
    /// When it cannot be read or parsed, or a key has the wrong type.
    pub fn from_file(root: &Utf8Path, terminal: &Terminal) -> Result<Self> {
        match table_in(root)? {
            Some(table) => Self::checked(table, root.join(CONFIG_FILE).as_str(), terminal),
            None => Ok(Self::default()),
        }
    }

    fn checked<'de, D>(value: D, place: &str, terminal: &Terminal) -> Result<Self>
    where
        D: serde::Deserializer<'de>,
        D::Error: Send + Sync + 'static,
    {
        let mut unknown = BTreeSet::new();
        let settings = serde_ignored::deserialize(value, |key| {
            unknown.insert(key.to_string());
        })
        .map_err(|error| wrong(place, error))?;
        for key in unknown {
            terminal.warning(format!("unknown key `{key}` in {place}"));
        }
        Ok(settings)
    }

    /// The kind that the file `runtime-image.toml` in `root` gives, if it gives one.
    ///
    /// # Errors
    /// When it cannot be read or parsed, or gives no kind there is.
    pub fn kind_in_file(root: &Utf8Path) -> Result<Option<ProjectKind>> {
        let kind = table_in(root)?.and_then(|mut table| table.remove("kind"));
        kind.map(toml::Value::try_into).transpose().map_err(|error| wrong(root.join(CONFIG_FILE).as_str(), error))
    }

    /// Refuses what has no meaning for a project of this kind, rather than leave it out without a word.
    ///
    /// # Errors
    /// A usage error that names the key.
    pub fn check_applies_to(&self, kind: ProjectKind) -> Result<()> {
        use ProjectKind::{Cargo, Custom, Openhands};
        let keys: [(&str, bool, &[ProjectKind]); 14] = [
            ("tag-scheme", self.tag_scheme.is_some(), &[Openhands]),
            ("enable-browser", self.enable_browser.is_some(), &[Openhands, Custom]),
            ("lock-files", self.lock_files.is_some(), &[Custom]),
            ("source", self.source.is_some(), &[Custom]),
            ("template", self.template.is_some(), &[Custom]),
            ("stages", self.stages.is_some(), &[Custom]),
            ("apt-packages", self.apt_packages.is_some(), &[Cargo, Custom]),
            ("prebuild", self.prebuild.is_some(), &[Cargo, Custom]),
            ("install-binaries", self.install_binaries.is_some(), &[Cargo]),
            ("workdir", self.workdir.is_some(), &[Cargo, Custom]),
            ("env", self.env.is_some(), &[Cargo, Custom]),
            ("user", self.user.is_some(), &[Cargo, Custom]),
            ("cmd", self.cmd.is_some(), &[Cargo, Custom]),
            ("ca-bundle", self.ca_bundle.is_some(), &[Cargo, Custom]),
        ];
        match keys.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
            None => Ok(()),
            Some((key, _, kinds)) => {
                let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
                Err(Error::usage(format!("`{key}` means nothing for a project of kind `{kind}`"))
                    .hint(format!("it is for projects of kind {}; take it out, or set `kind`", kinds.join(" or "))))
            }
        }
    }

    /// The options that these settings and the defaults give, checked.
    ///
    /// # Errors
    /// A usage error that names the flag and the value.
    pub fn options(self, buildx_args: Vec<String>) -> Result<Options> {
        let Self {
            kind,
            base_image,
            pin_base,
            platform,
            extra_deps,
            build_arg,
            repository,
            tag_prefix,
            project_version,
            tag_scheme,
            enable_browser,
            force_rebuild,
            dry_run,
            build_folder,
            reproducible,
            provenance,
            sbom,
            load,
            push,
            registry_timeout,
            cache,
            cache_from,
            cache_to,
            secret,
            ssh,
            ca_bundle,
            engine,
            builder,
            progress,
            lock_files,
            source,
            template,
            stages,
            apt_packages,
            prebuild,
            install_binaries,
            workdir,
            env,
            user,
            cmd,
        } = self;
        let outputs = outputs(load, push)?;
        let reproducible = reproducible.unwrap_or(false);
        let platforms: BTreeSet<Platform> =
            platform.unwrap_or_default().iter().map(|text| text.parse()).collect::<Result<_>>()?;
        let options = Options {
            kind,
            base_image: base_image.as_deref().unwrap_or(DEFAULT_BASE_IMAGE).parse()?,
            base_digest: None,
            // Another base image is another image: what is to be the same again starts from the same one.
            pin_base: pin_base.unwrap_or(false) || reproducible,
            platforms: platforms.into_iter().collect(),
            extra_deps: extra_deps.filter(|text| !text.trim().is_empty()),
            extra_build_args: build_arg.unwrap_or_default(),
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
            outputs,
            reproducible,
            provenance: provenance.filter(|mode| mode != "false"),
            sbom: sbom.filter(|mode| mode != "false"),
            registry_timeout: registry_timeout.map_or(REGISTRY_TIMEOUT, |seconds| Duration::from_secs(seconds.into())),
            cache: cache.unwrap_or_default(),
            cache_from: cache_from.unwrap_or_default(),
            cache_to: cache_to.unwrap_or_default(),
            secrets: secret.unwrap_or_default(),
            ssh: ssh.unwrap_or_default(),
            ca_bundle,
            engine,
            builder,
            progress,
            apt_packages: apt_packages.unwrap_or_default(),
            prebuild,
            install_binaries: install_binaries.unwrap_or(true),
            workdir: workdir.unwrap_or_else(|| "/workspace".to_owned()),
            env: env.unwrap_or_default(),
            user,
            cmd,
            cargo: CargoCall::default(),
        };
        options.check()?;
        Ok(options)
    }
}

/// The registry first: what it holds, every later build can start from.
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

pub(crate) fn wrong(place: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::usage(format!("wrong configuration in {place}")).because(error)
}

/// What the file `runtime-image.toml` in `root` holds, if there is one.
fn table_in(root: &Utf8Path) -> Result<Option<toml::Table>> {
    let path = root.join(CONFIG_FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(|| format!("cannot read `{path}`")),
    };
    let table = toml::from_str(&text).map_err(|error| Error::usage(format!("cannot parse `{path}`")).because(error))?;
    Ok(Some(table))
}

impl Default for Options {
    /// The defaults, with no project and no environment looked at.
    fn default() -> Self {
        Settings::default().options(Vec::new()).unwrap_or_else(|_| unreachable!("the defaults are valid"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_higher_source_wins_and_lists_replace() {
        let high = Settings { base_image: Some("a".into()), prebuild: Some(vec!["test".into()]), ..Default::default() };
        let low = Settings {
            base_image: Some("b".into()),
            prebuild: Some(vec!["build".into(), "doc".into()]),
            user: Some("app".into()),
            ..Default::default()
        };
        let merged = high.over(low);
        assert_eq!(merged.base_image.as_deref(), Some("a"));
        assert_eq!(merged.prebuild, Some(vec!["test".to_owned()]));
        assert_eq!(merged.user.as_deref(), Some("app"));
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let options = Options::default();
        assert_eq!(options.base_image.to_string(), "rust:1-bookworm");
        assert_eq!((options.workdir.as_str(), options.install_binaries), ("/workspace", true));
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
        assert_eq!(Options { reproducible: true, ..options }.check().is_err(), expected);
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
    #[case(r#"user = "a b""#)]
    #[case(r#"env = { "A B" = "x" }"#)]
    #[case(r#"ca-bundle = "/no/such/file""#)]
    #[case("load = false")]
    #[case("registry-timeout = 0")]
    #[case("push = true")]
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
