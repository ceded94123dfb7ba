//! The options, checked and with all defaults: the result of the first step of the way, which every later step reads.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::config::build_args::BuildArg;
use crate::config::cache::Cache;
use crate::config::passed_on::{is_about_attestations, is_turned_off};
use crate::config::secrets::{Secret, Ssh};
use crate::config::slim::{CrossCompiled, Slim};
use crate::config::values::{
    BuildTool, Cmd, DebianPackage, Output, Progress, ProjectKind, Provenance, Sbom, TagScheme, User, Version, Workdir,
};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::system::cargo::CargoCall;

/// What stands for a binary's name in the repository of its image.
pub const BIN: &str = "{bin}";

/// All that was decided about what to build, from every source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// The kind of project; `None` leaves it to the project's files.
    pub kind: Option<ProjectKind>,
    /// The image to start from.
    pub base_image: ImageName,
    /// The base image's digest, if the names depend on it.
    pub base_digest: Option<Digest>,
    /// Whether the names depend on the base image's digest.
    pub pin_base: bool,
    /// The requested platforms, normalised and sorted; empty means the engine's own.
    pub platforms: Vec<Platform>,
    /// A shell command for further dependencies.
    pub extra_deps: Option<String>,
    /// Build arguments for the Dockerfile.
    pub extra_build_args: Vec<BuildArg>,
    /// Arguments after `--`, passed on to the builder.
    pub buildx_args: Vec<String>,
    /// The repository, if one was configured.
    pub repository: Option<String>,
    /// Whether the repository's registry may fail to answer, because the user did not name the repository.
    pub registry_optional: bool,
    /// What every tag starts with; `None` for the kind's default.
    pub tag_prefix: Option<String>,
    /// The project's version; `None` leaves it to the project's files.
    pub project_version: Option<Version>,
    /// How the names of an OpenHands tree's images are made.
    pub tag_scheme: TagScheme,
    /// Whether an OpenHands image gets a browser.
    pub enable_browser: bool,
    /// Custom: patterns of the files that decide about the dependencies.
    pub lock_files: Vec<String>,
    /// Custom: patterns of the files that go into the image; empty for all files.
    pub source: Vec<String>,
    /// Custom: the template's path, absolute; `None` for the built-in template.
    pub template: Option<Utf8PathBuf>,
    /// Custom: how many stages the template has; `None` looks for a stage `deps` in it.
    pub stages: Option<u8>,
    /// Build from the base image whatever exists.
    pub force_rebuild: bool,
    /// Make the build folder ready and stop there.
    pub dry_run: bool,
    /// Where to stage; `None` for the kind's default folder.
    pub build_folder: Option<Utf8PathBuf>,
    /// Where the image goes, in this order; never empty.
    pub outputs: Vec<Output>,
    /// Whether what cannot be reproduced is refused.
    pub reproducible: bool,
    /// The provenance to attach.
    pub provenance: Option<Provenance>,
    /// The bill of materials to attach.
    pub sbom: Option<Sbom>,
    /// How long a registry has to answer.
    pub registry_timeout: Duration,
    /// How long the engine and the builder have to answer a question.
    pub engine_timeout: Duration,
    /// How long another run is waited for.
    pub lock_timeout: Duration,
    /// Whether a build goes on from what an earlier one has compiled.
    pub seed: bool,
    /// Where a build cache is kept.
    pub cache: Cache,
    /// Cache sources for buildx.
    pub cache_from: Vec<String>,
    /// Cache destinations for buildx.
    pub cache_to: Vec<String>,
    /// The secrets that the steps that fetch may read.
    pub secrets: Vec<Secret>,
    /// Globs of files that look like secrets and are meant to be in the image.
    pub allow_secrets: Vec<String>,
    /// Whether any other file that looks like a secret is an error.
    pub deny_secrets: bool,
    /// The SSH agents and keys that the steps that fetch may use.
    pub ssh: Vec<Ssh>,
    /// A file of certificates for the steps that fetch.
    pub ca_bundle: Option<Utf8PathBuf>,
    /// What builds; `None` for what this machine has.
    pub engine: Option<BuildTool>,
    /// The builder instance of buildx.
    pub builder: Option<String>,
    /// The digest of BuildKit's source policy, which decides what base images become.
    pub source_policy: Option<String>,
    /// How the progress of the build is shown.
    pub progress: Option<Progress>,
    /// Debian packages.
    pub apt_packages: Vec<DebianPackage>,
    /// Commands that build the project; `None` for the kind's default.
    pub prebuild: Option<Vec<String>>,
    /// Whether binaries go to `/usr/local/bin`.
    pub install_binaries: bool,
    /// Whether binaries are built by `cargo auditable`.
    pub auditable: bool,
    /// The project's folder in the image.
    pub workdir: Workdir,
    /// Environment variables of the build and of the image.
    pub env: BTreeMap<String, String>,
    /// The user that builds and runs.
    pub user: Option<User>,
    /// The default command.
    pub cmd: Option<Cmd>,
    /// What the image starts with, before its command.
    pub entrypoint: Option<Cmd>,
    /// What is made instead of a full image, if it is a slim one.
    pub slim: Option<Slim>,
    /// Which workspace, and how Cargo is called.
    pub cargo: CargoCall,
}

impl Options {
    /// The base image that builds start from: with its digest, where the names depend on the digest.
    pub fn pinned_base_image(&self) -> ImageName {
        self.base_image.pinned(self.base_digest.as_ref())
    }

    /// What is told to the builder beside the Dockerfile and changes what it builds, with what each is.
    pub fn told_to_builder(&self) -> impl Iterator<Item = (&'static str, String)> {
        let arguments = self.buildx_args.iter().map(|argument| ("buildx argument", argument.clone()));
        arguments.chain(self.source_policy.iter().map(|policy| ("source policy", policy.clone())))
    }

    /// Whether no engine is asked, so that none is needed: a forced dry run.
    pub fn asks_no_engine(&self) -> bool {
        self.force_rebuild && self.dry_run
    }

    /// Whether the image goes to a registry.
    pub fn pushes(&self) -> bool {
        self.outputs.contains(&Output::Push)
    }

    /// Whether the repository was configured and names a registry, so that the registry may be asked.
    pub fn names_a_registry(&self) -> bool {
        let repository = self.repository.as_ref().map(|name| name.replace(BIN, "bin"));
        let repository = repository.and_then(|name| name.parse::<ImageName>().ok());
        repository.is_some_and(|name| name.names_a_registry())
    }

    /// The builder's arguments for the attestations that `provenance` and `sbom` ask for.
    pub fn attestations(&self) -> impl Iterator<Item = String> {
        let provenance = self.provenance.iter().map(|value| format!("--provenance={value}"));
        provenance.chain(self.sbom.iter().map(|value| format!("--sbom={value}")))
    }

    /// Whether an attestation is attached, by these arguments or by those after `--`.
    pub fn attests(&self) -> bool {
        let further = |argument: &String| is_about_attestations(argument) && !is_turned_off(argument);
        self.attestations().next().is_some() || self.buildx_args.iter().any(further)
    }

    /// The values of `--cache-to`, including those after `--`.
    pub fn cache_exports(&self) -> impl Iterator<Item = &str> {
        let further = self.buildx_args.iter().filter_map(|argument| argument.strip_prefix("--cache-to="));
        self.cache_to.iter().map(String::as_str).chain(further)
    }

    /// How a slim image is compiled on one platform for all of its own, if it is.
    pub fn cross_compiled(&self) -> Option<&CrossCompiled> {
        self.slim.as_ref()?.cross_compiled.as_ref()
    }

    /// The platforms that the dependencies of an image for `platforms` are compiled on.
    pub fn compiled_on(&self, platforms: &[Platform]) -> Vec<Platform> {
        self.cross_compiled().map_or_else(|| platforms.to_vec(), |compiled| vec![compiled.on.clone()])
    }

    /// The platforms that an image for `platforms` needs to be run while it is built.
    pub fn run_on(&self, platforms: &[Platform]) -> Vec<Platform> {
        let runs_packages = self.slim.as_ref().is_some_and(|slim| !slim.packages.is_empty());
        if runs_packages { platforms.to_vec() } else { self.compiled_on(platforms) }
    }

    /// The names of the build arguments.
    pub fn build_argument_names(&self) -> Vec<String> {
        self.extra_build_args.iter().map(|argument| argument.name.clone()).collect()
    }
}
