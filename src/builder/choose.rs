//! Which builder builds: docker or podman, by the options or by what the machine has.
//! Comes before the plan, which asks this builder.

use crate::builder::docker::builder::BuildxBuilder;
use crate::builder::podman;
use crate::builder::podman::PodmanBuilder;
use crate::builder::runtime_builder::RuntimeBuilder;
use crate::config::options::Options;
use crate::config::values::BuildTool;
use crate::error::Result;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

/// The builder for these options.
///
/// # Errors
/// None today: a builder refuses what its engine cannot do when it is first asked.
pub fn new_builder(options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Result<Box<dyn RuntimeBuilder>> {
    Ok(match options.engine.unwrap_or_else(tool_on_path) {
        BuildTool::Docker => Box::new(BuildxBuilder::new(options, terminal, interrupt)),
        BuildTool::Podman => Box::new(PodmanBuilder::new(options, terminal, interrupt)),
    })
}

/// docker, unless only podman is there, perhaps under docker's name.
fn tool_on_path() -> BuildTool {
    match which::which("docker") {
        Ok(docker) if podman::is_podman(&docker) => BuildTool::Podman,
        Err(_) if which::which("podman").is_ok() => BuildTool::Podman,
        _ => BuildTool::Docker,
    }
}

/// The options with the base image's digest: the one written in its name or, with `--pin-base`, the registry's.
///
/// # Errors
/// When the base image's registry cannot be asked, or has no such image.
pub fn with_base_digest(options: Options, builder: &dyn RuntimeBuilder) -> Result<Options> {
    let base_digest = match (options.base_image.digest(), options.pin_base) {
        (Some(digest), _) => Some(digest.clone()),
        (None, true) => Some(builder.digest(&options.base_image)?),
        (None, false) => None,
    };
    Ok(Options { base_digest, ..options })
}
