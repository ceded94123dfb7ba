//! Which builder builds: docker or podman, by the options or by what the machine has.
//! Comes before the plan, which asks this builder.

use crate::builder::docker::builder::BuildxBuilder;
use crate::builder::podman;
use crate::builder::podman::PodmanBuilder;
use crate::builder::runtime_builder::RuntimeBuilder;
use crate::config::options::Options;
use crate::config::slim::{Cross, CrossCompiled, Slim};
use crate::config::values::BuildTool;
use crate::error::Result;
use crate::image::name::ImageName;
use crate::image::platform::{Platform, joined};
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

/// The options with where a slim image is compiled. That is the builder's own platform for all, where it would have to
/// emulate one of them. What cannot be compiled so is warned of.
///
/// # Errors
/// When the builder cannot be asked.
pub fn with_cross_compiling(options: Options, builder: &dyn RuntimeBuilder, terminal: &Terminal) -> Result<Options> {
    let is_wanted = |slim: &&Slim| slim.cross == Cross::Auto && !options.platforms.is_empty();
    let Some(slim) = options.slim.as_ref().filter(is_wanted) else { return Ok(options) };
    let native =
        if options.asks_no_engine() { vec![Platform::of_this_machine()] } else { builder.native_platforms()? };
    let emulated = Platform::emulated_by(&native, &options.platforms);
    if emulated.is_empty() {
        return Ok(options);
    }
    let cross_compiled = cross_compiled(&native, &options.platforms).map_err(|why| {
        terminal.warning(format!("{} is compiled under emulation, many times slower: {why}", joined(&emulated)));
    });
    let slim = Slim { cross_compiled: cross_compiled.ok(), ..slim.clone() };
    Ok(Options { slim: Some(slim), ..options })
}

/// How programs for `platforms` are compiled by a builder with machines of the platforms `native`, or why they are not.
fn cross_compiled(native: &[Platform], platforms: &[Platform]) -> std::result::Result<CrossCompiled, String> {
    let Some((on, others)) = native.split_first() else {
        return Err("the builder does not say what platform it is of".to_owned());
    };
    if let Some(other) = others.iter().find(|other| !on.runs(other)) {
        return Err(format!("the builder has machines of several platforms, {on} and {other}"));
    }
    let target = |platform: &Platform| {
        platform.rust_target().ok_or_else(|| format!("there is no cross compiler for {platform}"))
    };
    Ok(CrossCompiled { on: on.clone(), targets: platforms.iter().map(target).collect::<std::result::Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn platforms(text: &str) -> Vec<Platform> {
        text.split_terminator(',').map(|platform| platform.parse().expect("valid")).collect()
    }

    #[rstest]
    #[case("linux/amd64,linux/386", "linux/amd64,linux/arm64", "aarch64-unknown-linux-gnu x86_64-unknown-linux-gnu")]
    #[case("linux/arm64", "linux/arm/v7,linux/riscv64", "armv7-unknown-linux-gnueabihf riscv64gc-unknown-linux-gnu")]
    #[case("linux/amd64", "linux/ppc64le,linux/s390x", "powerpc64le-unknown-linux-gnu s390x-unknown-linux-gnu")]
    fn a_builder_compiles_for_all(#[case] native: &str, #[case] wanted: &str, #[case] targets: &str) {
        let compiled = cross_compiled(&platforms(native), &platforms(wanted)).expect("it can");
        assert_eq!(compiled.on, platforms(native)[0]);
        assert_eq!(compiled.targets.into_iter().collect::<Vec<_>>().join(" "), targets);
    }

    #[rstest]
    #[case("", "linux/arm64", "does not say")]
    #[case("linux/amd64,linux/arm64", "linux/riscv64", "several platforms, linux/amd64 and linux/arm64")]
    #[case("linux/amd64", "linux/arm64,linux/mips64le", "for linux/mips64le")]
    #[case("linux/amd64", "linux/amd64/v3,linux/arm64", "for linux/amd64/v3")]
    fn what_it_cannot_is_told(#[case] native: &str, #[case] wanted: &str, #[case] why: &str) {
        let told = cross_compiled(&platforms(native), &platforms(wanted)).expect_err("it could");
        assert!(told.contains(why), "{told}");
    }
}
