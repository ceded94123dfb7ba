//! What the template of the cargo kind sees: the options and the project as its variables. Part of the step from options
//! to project.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::config::options::Options;
use crate::config::slim::{CrossCompiled, Slim};
use crate::config::values::{Cmd, DebianPackage, User};
use crate::error::{Error, Result};
use crate::project::cargo::binaries::Programs;
use crate::project::cargo::configuration::Configuration;
use crate::project::cargo::inputs::DEFAULT_PREBUILD;
use crate::project::cargo::root::Root;
use crate::project::cargo::toolchain::Toolchain;
use crate::staging::steps::{cmd_text, mounts};

/// The version of `cargo auditable` that the dependency stage gets: the newest that Rust 1.85 of Debian 13 builds.
const AUDITABLE: &str = "0.7.1";

/// The variables that the template of the cargo kind sees.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TemplateContext {
    env: BTreeMap<String, String>,
    apt_packages: Vec<String>,
    toolchain: Toolchain,
    cross: Option<CrossContext>,
    /// The version of `cargo auditable` to build with.
    auditable: Option<&'static str>,
    extra_deps: Option<String>,
    user: Option<String>,
    workdir: String,
    target: String,
    /// The workspace's folder below `workdir`.
    folder: String,
    /// `workdir`, seen from the workspace's folder.
    top: String,
    prebuild: Vec<String>,
    build_arguments: Vec<String>,
    binaries: Vec<String>,
    cmd: Option<String>,
    entrypoint: Option<String>,
    slim: Option<SlimContext>,
    mounts: String,
    /// The mounts of what a build goes on from.
    seed: &'static str,
    /// Whether what binaries are compiled from is looked at.
    checks_inputs: bool,
}

impl TemplateContext {
    /// # Errors
    /// When a slim image would be empty.
    pub(super) fn new(
        programs: &Programs<'_>,
        options: &Options,
        toolchain: Toolchain,
        target: String,
        root: &Root,
        configuration: &Configuration,
    ) -> Result<Self> {
        let cross = options.cross_compiled().map(|compiled| CrossContext::new(compiled, configuration));
        let toolchain = toolchain.with_targets(cross.iter().flat_map(|cross| cross.targets.clone()));
        let Programs { workspace, all, usual, default_run } = programs;
        let binaries: BTreeSet<&str> = all.iter().copied().collect();
        let only = usual.first().copied().filter(|_| usual.len() == 1);
        if options.slim.is_some() && binaries.is_empty() {
            return Err(Error::usage(format!("`{workspace}` has no binary: a slim image would be empty"))
                .hint("add a binary target, or leave `--slim` and `--run-image` out"));
        }
        let installs = options.install_binaries || options.slim.is_some();
        let default_cmd = default_run.or(only).filter(|_| installs && options.entrypoint.is_none());
        let default_cmd = default_cmd.map(|binary| Cmd::Exec(vec![binary.to_owned()]));
        Ok(Self {
            env: options.env.clone(),
            apt_packages: options.apt_packages.iter().map(DebianPackage::to_string).collect(),
            toolchain,
            cross,
            auditable: options.auditable.then_some(AUDITABLE),
            extra_deps: options.extra_deps.clone(),
            user: options.user.as_ref().map(User::to_string),
            workdir: options.workdir.to_string(),
            target,
            folder: root.workspace.to_string(),
            top: "../".repeat(root.workspace.components().count()),
            prebuild: options.prebuild.clone().unwrap_or_else(|| vec![DEFAULT_PREBUILD.to_owned()]),
            build_arguments: options.build_argument_names(),
            binaries: binaries.iter().filter(|_| installs).map(|name| (*name).to_owned()).collect(),
            cmd: options.cmd.clone().or(default_cmd).as_ref().map(cmd_text),
            entrypoint: options.entrypoint.as_ref().map(cmd_text),
            slim: options.slim.as_ref().map(|slim| SlimContext::new(slim, options)),
            mounts: mounts(options),
            seed: "",
            checks_inputs: false,
        })
    }
}

/// What the template sees of compiling for other platforms.
#[derive(Debug, Clone, Serialize)]
struct CrossContext {
    /// What the image can be compiled for.
    targets: Vec<&'static str>,
    /// What Cargo is told to compile for; empty where the project chooses.
    built: Vec<&'static str>,
}

impl CrossContext {
    fn new(compiled: &CrossCompiled, configuration: &Configuration) -> Self {
        let targets: Vec<&'static str> = compiled.targets.iter().copied().collect();
        Self { built: if configuration.has_targets() { Vec::new() } else { targets.clone() }, targets }
    }
}

/// What the template sees of a slim image.
#[derive(Debug, Clone, Serialize)]
struct SlimContext {
    /// With its digest, where that counts.
    run_image: String,
    /// As messages call it.
    run_name: String,
    packages: Vec<String>,
    has_assets: bool,
    workdir: String,
    /// The name of a user that the run image may lack.
    user_to_create: Option<String>,
}

impl SlimContext {
    fn new(slim: &Slim, options: &Options) -> Self {
        Self {
            run_image: slim.pinned_run_image().to_string(),
            run_name: slim.run_image.to_string(),
            packages: slim.packages.iter().map(DebianPackage::to_string).collect(),
            has_assets: !slim.assets.is_empty(),
            workdir: slim.workdir.to_string(),
            user_to_create: options.user.as_ref().and_then(User::to_create).map(str::to_owned),
        }
    }
}
