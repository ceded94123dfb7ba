//! Options from all their sources: flags > environment > `[package.metadata.runtime-image]` >
//! `[workspace.metadata.runtime-image]` > `runtime-image.toml` > defaults.

pub mod cache;
pub mod options;
pub mod passed_on;
pub mod settings;
pub mod values;
