//! Options from all their sources: flags > environment > `[package.metadata.runtime-image]` >
//! `[workspace.metadata.runtime-image]` > `runtime-image.toml` > defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use serde::Deserialize;

use crate::builder::RuntimeBuilder;
use crate::cache::{Cache, is_inline};
use crate::error::{Context as _, Error, Result};
use crate::image_name::ImageName;
use crate::labels;
use crate::platform::Platform;
use crate::project::ProjectKind;
use crate::project::cargo::CargoCall;
use crate::term::Terminal;

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

/// What builds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `docker buildx`.
    Docker,
    /// `podman build`.
    Podman,
}

/// A version, or where to read it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a version is text, or a table with `file` and perhaps `key`")]
pub enum Version {
    /// The version itself.
    Text(String),
    /// A file of the project that says it.
    File {
        /// Relative to the project root.
        file: Utf8PathBuf,
        /// In a TOML or JSON file, the way to the value: `project.version`. Without one, the version is all of the file.
        key: Option<String>,
    },
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// How the names of an OpenHands tree's images are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TagScheme {
    /// As the tree's own build makes them.
    Original,
    /// Of everything that is in the image, as for the other kinds.
    Content,
}

/// A default command: a line for a shell, or program and arguments.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(untagged, expecting = "a command is a line of text, or a list of words")]
pub enum Cmd {
    /// Run by `/bin/sh -c`.
    Shell(String),
    /// Run as it is.
    Exec(Vec<String>),
}

/// All that was decided about what to build, from every source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// What the project is, if its files need not say.
    pub kind: Option<ProjectKind>,
    /// The image to start from.
    pub base_image: ImageName,
    /// The base image's digest, `sha256:...`, if it is part of the names.
    pub base_digest: Option<String>,
    /// Whether the base image is to be named by its digest.
    pub pin_base: bool,
    /// The requested platforms, normalised and sorted; empty means the engine's own.
    pub platforms: Vec<Platform>,
    /// A shell command for further dependencies.
    pub extra_deps: Option<String>,
    /// `KEY=VALUE` build arguments for the runtime stage.
    pub extra_build_args: Vec<String>,
    /// Further arguments for `docker buildx build`.
    pub buildx_args: Vec<String>,
    /// The repository, if one was configured.
    pub repository: Option<String>,
    /// Whether the registry that the repository names may fail to answer: the user did not name it.
    pub registry_optional: bool,
    /// What every tag starts with, if not what is usual for the kind.
    pub tag_prefix: Option<String>,
    /// The project's version, if its files need not say.
    pub project_version: Option<Version>,
    /// How the names of an OpenHands tree's images are made.
    pub tag_scheme: TagScheme,
    /// Whether an OpenHands image gets a browser.
    pub enable_browser: bool,
    /// Custom: what decides about the dependencies.
    pub lock_files: Vec<String>,
    /// Custom: what goes into the image; everything if empty.
    pub source: Vec<String>,
    /// Custom: the template, absolute.
    pub template: Option<Utf8PathBuf>,
    /// Custom: how many stages the template has, if it need not say itself.
    pub stages: Option<u8>,
    /// Build from the base image whatever exists.
    pub force_rebuild: bool,
    /// Make the build folder ready and stop there.
    pub dry_run: bool,
    /// Where to stage, if not below the target folder.
    pub build_folder: Option<Utf8PathBuf>,
    /// Where the image goes, in this order; never empty.
    pub outputs: Vec<Output>,
    /// Whether what cannot be reproduced is refused.
    pub reproducible: bool,
    /// The provenance to attach: buildx's word for it.
    pub provenance: Option<String>,
    /// The bill of materials to attach: buildx's word for it.
    pub sbom: Option<String>,
    /// How long a registry has to answer.
    pub registry_timeout: Duration,
    /// Where a build cache is kept.
    pub cache: Cache,
    /// Cache sources for buildx.
    pub cache_from: Vec<String>,
    /// Cache destinations for buildx.
    pub cache_to: Vec<String>,
    /// Secrets for buildx.
    pub secrets: Vec<String>,
    /// SSH sockets or keys for buildx.
    pub ssh: Vec<String>,
    /// A file of certificates for the steps that fetch.
    pub ca_bundle: Option<Utf8PathBuf>,
    /// What builds, if it is not to be found out.
    pub engine: Option<Engine>,
    /// The builder instance of buildx.
    pub builder: Option<String>,
    /// The progress output of buildx.
    pub progress: Option<String>,
    /// Debian packages.
    pub apt_packages: Vec<String>,
    /// Commands that build the project, if not what is usual for the kind.
    pub prebuild: Option<Vec<String>>,
    /// Whether binaries go to `/usr/local/bin`.
    pub install_binaries: bool,
    /// The project's folder in the image, absolute.
    pub workdir: String,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The user that builds and runs.
    pub user: Option<String>,
    /// The default command.
    pub cmd: Option<Cmd>,
    /// Which workspace, and how Cargo is called.
    pub cargo: CargoCall,
}

/// Where a built image goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Output {
    #[default]
    /// Into the engine's own store.
    Load,
    /// To the registry that the repository names.
    Push,
}

impl Default for Options {
    /// The defaults, with no project and no environment looked at.
    fn default() -> Self {
        Settings::default().options(Vec::new()).unwrap_or_else(|_| unreachable!("the defaults are valid"))
    }
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

fn wrong(place: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
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

impl Options {
    /// The base image as images are built from it: with its digest, where that is part of the names.
    pub fn pinned_base_image(&self) -> ImageName {
        match &self.base_digest {
            Some(digest) => self.base_image.with_digest(digest),
            None => self.base_image.clone(),
        }
    }

    /// With the base image's digest, where it was asked for, as the builder finds it.
    ///
    /// # Errors
    /// When the base image's registry cannot be asked, or has no such image.
    pub fn with_base_digest(mut self, builder: &dyn RuntimeBuilder) -> Result<Self> {
        self.base_digest = match (self.base_image.digest(), self.pin_base) {
            (Some(digest), _) => Some(digest.to_owned()),
            (None, true) => Some(builder.digest(&self.base_image)?),
            (None, false) => None,
        };
        Ok(self)
    }

    /// Whether the image goes to a registry.
    pub fn pushes(&self) -> bool {
        self.outputs.contains(&Output::Push)
    }

    /// Whether the repository was configured and names a registry, so that the registry may be asked.
    pub fn names_a_registry(&self) -> bool {
        let repository = self.repository.as_ref().and_then(|name| name.parse::<ImageName>().ok());
        repository.is_some_and(|name| name.names_a_registry())
    }

    /// What is attached to the image besides what it runs.
    pub fn attestations(&self) -> impl Iterator<Item = String> {
        let provenance = self.provenance.iter().map(|mode| match mode.as_str() {
            "min" | "max" => format!("--provenance=mode={mode}"),
            mode => format!("--provenance={mode}"),
        });
        provenance.chain(self.sbom.iter().map(|mode| format!("--sbom={mode}")))
    }

    /// Whether anything is attached, be it by an argument of the user's own.
    pub fn attests(&self) -> bool {
        let further = |argument: &String| is_about_attestations(argument) && !turns_off(argument);
        self.attestations().next().is_some() || self.buildx_args.iter().any(further)
    }

    /// Values of `--cache-to`, those after `--` among them.
    pub fn cache_exports(&self) -> impl Iterator<Item = &str> {
        let further = self.buildx_args.iter().filter_map(|argument| argument.strip_prefix("--cache-to="));
        self.cache_to.iter().map(String::as_str).chain(further)
    }

    /// The names of the build arguments.
    pub fn build_argument_names(&self) -> Vec<String> {
        let name = |argument: &String| argument.split_once('=').map(|(name, _)| name.to_owned());
        self.extra_build_args.iter().filter_map(name).collect()
    }

    fn check(&self) -> Result<()> {
        for argument in &self.extra_build_args {
            if !argument.split_once('=').is_some_and(|(name, _)| is_variable_name(name)) {
                return Err(Error::usage(format!("invalid build argument {argument:?}"))
                    .hint("a build argument reads `KEY=VALUE`, `KEY` being letters, digits and `_`"));
            }
        }
        // A word of its own would be another build context.
        if let Some(argument) = self.buildx_args.iter().find(|argument| !argument.starts_with("--")) {
            return Err(Error::usage(format!("`{argument}` cannot be passed on to buildx: it is no option"))
                .hint("what follows `--` are long options, such as `--network=host`"));
        }
        if let Some(argument) = self.buildx_args.iter().find(|argument| is_ours(argument)) {
            return Err(Error::usage(format!(
                "`{argument}` cannot be passed on to buildx: the result would not be what its name says"
            ))
            .hint("see `cargo runtime-image --help` for the options that set it"));
        }
        if let Some(name) = self.env.keys().find(|name| !is_variable_name(name)) {
            return Err(Error::usage(format!("invalid variable name {name:?} in `env`"))
                .hint("a name is letters, digits and `_`, not starting with a digit"));
        }
        if let Some((name, value)) = self.env.iter().find(|(_, value)| value.contains('\n')) {
            return Err(Error::usage(format!("`env.{name}` has more than one line: {value:?}")));
        }
        for package in &self.apt_packages {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:=~/*_".contains(&byte);
            if package.starts_with('-') || package.is_empty() || !package.bytes().all(allowed) {
                return Err(Error::usage(format!("invalid package name {package:?} in `apt-packages`")));
            }
        }
        for command in self.prebuild.iter().flatten() {
            if command.trim().is_empty() || command.contains('\n') {
                return Err(Error::usage(format!("invalid command {command:?} in `prebuild`"))
                    .hint("a command is one line, for Cargo without the word `cargo`, such as \"build --release\""));
            }
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        if !self.workdir.starts_with('/')
            || self.workdir.trim_end_matches('/').is_empty()
            || !self.workdir.bytes().all(plain)
        {
            return Err(Error::usage(format!("invalid `workdir` {:?}", self.workdir))
                .hint("it is an absolute path below `/`, of letters, digits and `/ _ - .`"));
        }
        if let Some(user) = &self.user
            && (user.is_empty() || !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte)))
        {
            return Err(Error::usage(format!("invalid `user` {user:?}"))
                .hint("it is a name or number, optionally with `:group`"));
        }
        if let Some(stages) = self.stages.filter(|stages| !(1..=2).contains(stages)) {
            return Err(Error::usage(format!("invalid `stages` {stages}"))
                .hint("2 for a template with a stage `deps` that holds no sources, 1 for any other"));
        }
        if self.pushes() && !self.names_a_registry() {
            return Err(Error::usage("`--push` needs a repository that names a registry")
                .hint("for example `--repository registry.example.com/team/app-runtime`"));
        }
        let in_github_actions = std::env::var_os("ACTIONS_RUNTIME_TOKEN").is_some();
        self.cache.check(self.pushes(), self.names_a_registry(), in_github_actions)?;
        if self.registry_timeout.is_zero() {
            return Err(Error::usage("invalid `registry-timeout` 0").hint("it is a number of seconds, 1 or more"));
        }
        if self.reproducible && self.attests() {
            return Err(Error::usage(
                "`--reproducible` and attestations (`--provenance`, `--sbom`) exclude each other",
            )
            .hint("an attestation says when it was made, which is never the same again"));
        }
        if self.reproducible && (self.cache == Cache::Inline || self.cache_exports().any(is_inline)) {
            return Err(Error::usage("`--reproducible` and an inline cache exclude each other")
                .hint("a cache in the image says when each step was made; `--cache registry` is beside it"));
        }
        if let Some(bundle) = self.ca_bundle.as_ref().filter(|bundle| !bundle.is_file()) {
            return Err(Error::usage(format!("the CA bundle `{bundle}` is not a file")));
        }
        Ok(())
    }
}

fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}

/// Arguments with their values, `--flag=value`, however they were written.
fn with_joined_values(arguments: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut may_have_value = false;
    for argument in arguments {
        if may_have_value
            && !argument.starts_with('-')
            && let Some(flag) = joined.last_mut()
        {
            *flag = format!("{flag}={argument}");
            may_have_value = false;
        } else {
            may_have_value = argument.starts_with("--") && !argument.contains('=');
            joined.push(argument);
        }
    }
    joined
}

/// Whether an argument for buildx turns provenance on or off.
pub(crate) fn is_about_provenance(argument: &str) -> bool {
    argument.starts_with("--provenance") || (argument.starts_with("--attest") && argument.contains("type=provenance"))
}

/// Whether the value of an attestation's argument says that it is not to be made.
fn turns_off(argument: &str) -> bool {
    let value = argument.split_once('=').map_or(String::new(), |(_, value)| value.to_lowercase());
    let disabled = ["disabled=true", "disabled=t", "disabled=1"];
    ["false", "f", "0"].contains(&value.as_str()) || value.split(',').any(|field| disabled.contains(&field))
}

/// Whether an argument for buildx turns an attestation on or off.
fn is_about_attestations(argument: &str) -> bool {
    ["--provenance", "--sbom", "--attest"].iter().any(|flag| argument.starts_with(flag))
}

/// What buildx must be told by this tool alone: otherwise the result is not what was named and confirmed, or there is none.
fn is_ours(argument: &str) -> bool {
    let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
    matches!(
        name,
        "--tag"
            | "--file"
            | "--metadata-file"
            | "--iidfile"
            | "--target"
            | "--output"
            | "--load"
            | "--push"
            | "--platform"
            | "--builder"
            | "--build-arg"
            | "--build-context"
            | "--call"
            | "--check"
            | "--invoke"
            | "--print"
            | "--quiet"
            | "--help"
    ) || (name == "--label" && [labels::OWN, labels::BASE].iter().any(|prefix| value.starts_with(prefix)))
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
        assert_eq!(crate::platform::joined(&options.platforms), "linux/amd64,linux/arm64");
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
