//! What builds, and answers whether an image exists and is the one that was built.

pub mod build_log;
pub mod cache;
pub mod choose;
pub mod confirm;
pub mod docker;
pub mod engine_cli;
pub mod inspect;
pub mod podman;
pub mod promise;
pub mod recording;
pub mod runtime_builder;
