//! The build folder: which files, what the Dockerfile says, and how both come to be on disk. The step from plan and
//! project to a build folder; its entries are listed and hashed when a project is read.

pub mod build_folder;
pub mod config_sh;
pub mod dockerfile;
mod index;
pub mod listing;
pub mod own_files;
pub mod secrets;
pub mod seed;
pub mod source;
pub mod staged;
pub mod steps;
pub mod template;
pub mod tree_path;
mod writing;
