//! Names of images and what is known of images: plain values. Nothing here asks an engine or a registry.

pub mod digest;
pub mod labels;
pub mod name;
pub mod naming;
pub mod platform;
pub mod stored;
pub mod tags;
