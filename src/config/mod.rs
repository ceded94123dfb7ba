//! The first step of the way: options from all their sources. Flags > environment >
//! `[package.metadata.runtime-image]` > `[workspace.metadata.runtime-image]` > `runtime-image.toml` > defaults.

pub mod build_args;
pub mod cache;
mod csv;
pub mod options;
pub mod passed_on;
mod resolve;
pub mod secrets;
pub mod settings;
pub mod slim;
pub mod values;
