//! From a project to a confirmed, ready-to-run container image, rebuilding as little as is right.
//!
//! The way goes in one direction: [`Options`] and a project on disk give [`Tags`] (hashes only); the tags
//! and a [`RuntimeBuilder`] give a [`plan::Plan`] with its reasons; the plan gives a build folder on disk; the builder
//! makes an image of it, and is asked back before the image's name is reported.
//!
//! ```no_run
//! use runtime_image::{BuildxBuilder, Options, build_runtime_image, process::Interrupt, term::Terminal};
//!
//! let options = Options { dry_run: true, ..Options::default() };
//! let builder = BuildxBuilder::new(&options, &Terminal::silent(), &Interrupt::default());
//! let report = build_runtime_image("rust:1-bookworm", &builder, options)?;
//! println!("{}", report.image);
//! # Ok::<(), runtime_image::Error>(())
//! ```

pub mod builder;
pub mod cli;
pub mod commands;
pub mod config;
pub mod error;
pub mod hash;
pub mod image;
pub mod plan;
pub mod project;
pub mod redact;
pub mod report;
pub mod run;
pub mod staging;
pub mod system;

use std::time::Instant;

use crate::project::find::Found;
use crate::run::Run;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

pub use builder::docker::builder::BuildxBuilder;
pub use builder::podman::PodmanBuilder;
pub use builder::promise::BuildxMetadata;
pub use builder::recording::RecordingBuilder;
pub use builder::runtime_builder::RuntimeBuilder;
pub use config::options::Options;
pub use error::{Error, ErrorKind, Result};
pub use hash::truncate_hash;
pub use image::name::ImageName;
pub use image::naming::{Naming, runtime_image_repo_and_tag};
pub use image::platform::Platform;
pub use image::tags::{BuildFromImageType, Tags};
pub use report::Report;
// The modules as version 0.1.0 called them.
pub use builder::cache;
pub use image::{labels, name as image_name, platform, tags};
pub use staging::{build_folder, source, template};
pub use system::{git, lock as image_lock, terminal as term};

/// Processes and signals.
pub mod process {
    pub use crate::system::command::{Capture, Command, CommandOutput, Running};
    pub use crate::system::interrupt::Interrupt;
}

/// Makes the runtime image of the project in the current folder exist, and reports its name.
///
/// This is the reference documentation's `build_runtime_image`. Of `options`, `platforms`, `extra_deps`,
/// `build_folder`, `dry_run`, `force_rebuild` and `extra_build_args` mean what they mean there: with `dry_run` the
/// build folder is made ready and nothing is built; with `force_rebuild` the image is built from the base image
/// whatever exists, and all three tags move to it.
///
/// # Errors
/// When `base_image` is no image reference, the project cannot be read, or the builder fails; see [`ErrorKind`].
pub fn build_runtime_image(base_image: &str, builder: &dyn RuntimeBuilder, options: Options) -> Result<Report> {
    let options = Options { base_image: base_image.parse()?, ..options };
    let (terminal, interrupt) = (Terminal::silent(), Interrupt::default());
    let started = Instant::now();
    let found = Found::find(options.kind, options.cargo.clone(), &interrupt)?;
    Run::new(&found, options, builder, &terminal, &interrupt, started)?.build()
}
