//! All that was decided about what to build, from every source.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::config::cache::{Cache, is_inline};
use crate::config::passed_on::{is_about_attestations, is_ours, turns_off};
use crate::config::values::{Cmd, Engine, Output, ProjectKind, TagScheme, Version};
use crate::error::{Error, Result};
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::system::cargo::CargoCall;

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

impl Options {
    /// The base image as images are built from it: with its digest, where that is part of the names.
    pub fn pinned_base_image(&self) -> ImageName {
        match &self.base_digest {
            Some(digest) => self.base_image.with_digest(digest),
            None => self.base_image.clone(),
        }
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

    pub(super) fn check(&self) -> Result<()> {
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
