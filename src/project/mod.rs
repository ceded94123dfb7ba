//! The project: what is on disk, as what will be staged and hashed. The step from options to project; later steps do
//! not know of kinds.

pub mod binaries;
pub mod cargo;
pub mod custom;
pub mod find;
pub mod kind;
pub mod openhands;
pub mod read;
