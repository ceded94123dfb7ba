//! The cargo kind: a workspace, its dependencies as a skeleton of manifests and empty targets, its Dockerfile. One of
//! the kinds in the step from options to project.

mod binaries;
mod configuration;
mod context;
mod dates;
mod inputs;
mod lock_file;
mod manifest;
mod masked;
mod metadata;
mod named;
mod resolving;
mod root;
mod skeleton;
mod toolchain;
pub mod workspace;
