//! From a project to a confirmed, ready-to-run container image, rebuilding as little as is right.
//!
//! The way goes in one direction: [`config::Options`] and a project on disk give [`tags::Tags`] (hashes only); the tags
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

pub mod build_folder;
pub mod builder;
pub mod cache;
pub mod cli;
pub mod config;
pub mod error;
pub mod git;
pub mod hash;
pub mod image_lock;
pub mod image_name;
pub mod labels;
pub mod plan;
pub mod platform;
pub mod process;
pub mod project;
pub mod report;
pub mod run;
pub mod source;
pub mod tags;
pub mod template;
pub mod term;

use std::time::Instant;

pub use builder::{BuildxBuilder, BuildxMetadata, PodmanBuilder, RecordingBuilder, RuntimeBuilder};
pub use config::Options;
pub use error::{Error, ErrorKind, Result};
pub use hash::truncate_hash;
pub use image_name::{ImageName, runtime_image_repo_and_tag};
pub use plan::BuildFromImageType;
pub use platform::Platform;
pub use report::Report;
pub use tags::{Naming, Tags};

/// Makes the runtime image of the project in the current folder exist, and reports its name.
///
/// This is the reference documentation's `build_runtime_image`. Of `options`, `platforms`, `extra_deps`, `build_folder`,
/// `dry_run`, `force_rebuild` and `extra_build_args` mean what they mean there: with `dry_run` the build folder is made
/// ready and nothing is built; with `force_rebuild` the image is built from the base image whatever exists, and all three
/// tags move to it.
///
/// # Errors
/// When `base_image` is no image reference, the project cannot be read, or the builder fails; see [`ErrorKind`].
pub fn build_runtime_image(base_image: &str, builder: &dyn RuntimeBuilder, options: Options) -> Result<Report> {
    let options = Options { base_image: base_image.parse()?, ..options }.with_base_digest(builder)?;
    let (terminal, interrupt) = (term::Terminal::silent(), process::Interrupt::default());
    let started = Instant::now();
    let found = project::Found::find(options.kind, options.cargo.clone(), &interrupt)?;
    run::Run::new(&found, &options, &terminal, &interrupt, started)?.build(builder)
}
