//! The builder that drives `docker buildx`.

pub mod arguments;
pub mod builder;
pub mod capabilities;
mod engine;
mod failure;
mod push_watch;
mod registry;

pub use registry::registry_image;
