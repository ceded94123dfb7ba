//! What stands for the sources of members while their dependencies are built: empty targets, so that Cargo accepts the
//! manifests, and the dates of files. Part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Package;

use crate::project::cargo::dates;
use crate::project::cargo::inputs::DependencyInputs;
use crate::staging::staged::StagedFile;
use crate::staging::steps::COMPILE_SKELETON;
use crate::staging::tree_path::TreePath;

/// The file beside the skeleton with the dates of files in the dependency stage.
const DEPENDENCY_DATES_FILE: &str = ".runtime-image-dates-deps";

/// The file beside the skeleton with the dates of files when the sources are built.
const SOURCE_DATES_FILE: &str = ".runtime-image-dates-code";

/// The file beside the skeleton with the version of Rust that the toolchain file wants.
const TOOLCHAIN_FILE: &str = ".runtime-image-toolchain";

/// The file beside the skeleton that tells steps to build with `cargo auditable`.
const AUDITABLE_FILE: &str = ".runtime-image-auditable";

/// The file beside the skeleton that Cargo runs in place of the compiler for the skeleton's targets.
const SKELETON_COMPILER: &str = ".runtime-image-compile-skeleton";

/// A target of the skeleton, where the real compiler or rustdoc reads it: see [`SKELETON_COMPILER`]. One file can be a
/// program and a library, and a library without a test harness needs a `main`. Lints that flags or Cargo's
/// configuration deny find nothing in it.
const EMPTY_TARGET: &str = "//! Empty.\n#![allow(dead_code, unused_crate_dependencies)]\n\
    fn main() { print!(\"a skeleton of cargo-runtime-image\") }\n";

/// Empty `targets` of the members and the lists of dates. Where Cargo `has_wrapper` of its compiler already, that would
/// be handed another one than it may know.
pub(super) fn skeleton(
    mut targets: BTreeSet<TreePath>,
    members: &BTreeMap<Utf8PathBuf, &Package>,
    whole: &BTreeSet<Utf8PathBuf>,
    inputs: &DependencyInputs,
    has_wrapper: bool,
) -> Vec<StagedFile> {
    let staged: BTreeSet<&Utf8Path> = inputs.locked.iter().map(|file| &*file.path).collect();
    targets.retain(|path| !staged.contains(&**path));
    let members: BTreeSet<&Utf8Path> = members.keys().map(Utf8PathBuf::as_path).collect();
    let local = dates::LocalFiles { targets: &targets, members: &members, whole, whole_files: &inputs.whole };
    let lists = [
        StagedFile::text(TreePath::constant(DEPENDENCY_DATES_FILE), dates::listed(&local.in_dependencies())),
        StagedFile::text(TreePath::constant(SOURCE_DATES_FILE), dates::listed(&local.in_sources())),
    ];
    // Cargo names what it makes of members by whether their compiler was replaced. So a whole member would be
    // compiled again with the sources, and all dependencies that use it.
    let only_empty = !members.iter().any(|folder| whole.contains(*folder));
    let compiler = StagedFile::text(TreePath::constant(SKELETON_COMPILER), COMPILE_SKELETON.text);
    let compiler = (only_empty && !has_wrapper).then_some(StagedFile { executable: true, ..compiler });
    let empty = targets.into_iter().map(|path| StagedFile::text(path, EMPTY_TARGET));
    empty.chain(lists).chain(compiler).collect()
}

/// What tells the steps, beside the skeleton, which Rust the toolchain file wants and that they build with `cargo
/// auditable`.
pub(super) fn marks(wanted_rust: Option<&str>, auditable: bool) -> Vec<StagedFile> {
    let wanted = wanted_rust.map(|version| StagedFile::text(TreePath::constant(TOOLCHAIN_FILE), version));
    let auditable = auditable.then(|| StagedFile::text(TreePath::constant(AUDITABLE_FILE), ""));
    wanted.into_iter().chain(auditable).collect()
}
