//! The openhands kind: a tree of OpenHands, whose own template makes the image and whose own rules give its names.

pub mod hashes;
pub mod tree;
