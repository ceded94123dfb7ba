//! The build folder: which files, what the Dockerfile says, and how both come to be on disk.

pub mod build_folder;
pub mod config_sh;
pub mod dockerfile;
pub mod source;
pub mod staged;
pub mod steps;
pub mod template;
