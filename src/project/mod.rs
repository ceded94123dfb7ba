//! The project: what is on disk, as what will be staged and hashed. Later steps do not know of kinds.

pub mod cargo;
pub mod custom;
pub mod find;
pub mod openhands;
pub mod read;
