//! Names of images and what is known of images: values, and nothing that asks anybody.

pub mod digest;
pub mod labels;
pub mod name;
pub mod naming;
pub mod platform;
pub mod stored;
pub mod tags;
