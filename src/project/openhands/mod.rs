//! The openhands kind: a tree of OpenHands, whose own template makes the image and whose own rules give its names. One
//! of the kinds in the step from options to project.

pub mod hashes;
pub mod tree;
