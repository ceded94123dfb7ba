//! The cargo kind: a workspace, its dependencies as a skeleton of manifests and empty targets, its Dockerfile.

mod dates;
mod inputs;
mod lock_file;
mod manifest;
mod masked;
mod toolchain;
pub mod workspace;
