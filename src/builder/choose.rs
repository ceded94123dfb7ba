//! Which builder builds: docker or podman, by the options or by what the machine has.
//! Comes before the plan, which asks this builder.

use crate::builder::docker::builder::BuildxBuilder;
use crate::builder::podman;
use crate::builder::podman::PodmanBuilder;
use crate::builder::runtime_builder::RuntimeBuilder;
use crate::config::options::Options;
use crate::config::slim::Slim;
use crate::config::values::BuildTool;
use crate::error::Result;
use crate::image::name::ImageName;
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

/// The options with the digests of the base image and the run image: the one written in the name or, with `--pin-base`,
/// the registry's.
///
/// # Errors
/// When an image's registry cannot be asked, or has no such image.
pub fn with_digests(options: Options, builder: &dyn RuntimeBuilder) -> Result<Options> {
    let digest = |image: &ImageName| match (image.digest(), options.pin_base) {
        (Some(digest), _) => Ok(Some(digest.clone())),
        (None, true) => builder.digest(image).map(Some),
        (None, false) => Ok(None),
    };
    let base_digest = digest(&options.base_image)?;
    let slim = options.slim.clone().map(|slim| {
        let run_digest = slim.run_image.image().map(digest).transpose()?.flatten();
        Ok(Slim { run_digest, ..slim })
    });
    Ok(Options { base_digest, slim: slim.transpose()?, ..options })
}
