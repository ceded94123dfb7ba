//! What decides about the dependencies: what the lock hash is made of and the dependency stage built from. Part of the
//! step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Package;

use crate::error::Result;
use crate::project::cargo::manifest;
use crate::project::cargo::manifest::Manifest;
use crate::project::cargo::masked::Masked;
use crate::project::cargo::toolchain::TOOLCHAIN_FILES;
use crate::staging::source::{SourceFile, SourceKind};
use crate::staging::staged::{StagedFile, staged_source};

pub(crate) const LOCK_FILE: &str = "Cargo.lock";

pub(crate) const CARGO_CONFIG_FILES: [&str; 2] = [".cargo/config.toml", ".cargo/config"];

/// See [`dependency_inputs`].
pub(crate) struct DependencyInputs {
    /// All inputs.
    pub(super) locked: Vec<StagedFile>,
    /// The toolchain, vendored crates, Cargo's configuration and the files that it names. Where these change, Cargo may
    /// take for fresh what was compiled before. Of a vendored crate Cargo compares the version, of a wrapper or linker
    /// the name.
    pub(super) system: Vec<StagedFile>,
    /// The paths of the files of whole local dependencies.
    pub(super) whole: BTreeSet<Utf8PathBuf>,
}

/// The files that the lock hash is made of and the dependency stage is built from: manifests and lock file, masked;
/// whole local dependencies and the manifests that they inherit from; vendored crates; Cargo's configuration and the
/// files that it names; the toolchain file.
pub(crate) fn dependency_inputs(
    root: &Utf8Path,
    sources: &[SourceFile],
    manifests: &BTreeMap<Utf8PathBuf, Manifest>,
    members: &BTreeMap<Utf8PathBuf, &Package>,
    whole: &BTreeSet<Utf8PathBuf>,
    cargo_config: Option<&Manifest>,
) -> Result<DependencyInputs> {
    let masked = Masked::new(
        members
            .iter()
            .filter(|(folder, _)| !whole.contains(*folder))
            .map(|(_, package)| (package.name.to_string(), package.version.to_string())),
        members.keys().all(|folder| !whole.contains(folder)),
    );
    let vendored = manifest::vendored_folders(sources);
    let is_whole = |path: &Utf8Path| {
        // The nearest package decides: a member inside a whole package is still a member.
        path.ancestors()
            .skip(1)
            .find(|folder| whole.contains(*folder) || members.contains_key(*folder))
            .is_some_and(|folder| whole.contains(folder))
    };
    let is_vendored = |path: &Utf8Path| path.ancestors().skip(1).any(|folder| vendored.contains(folder));
    let inherited: BTreeSet<&Utf8Path> =
        whole.iter().filter_map(|folder| manifest::workspace_of(folder, manifests)).collect();
    let is_inherited = |path: &Utf8Path| {
        path.file_name() == Some("Cargo.toml")
            && path.parent().is_some_and(|folder| !folder.as_str().is_empty() && inherited.contains(folder))
    };
    let named = cargo_config.map(Manifest::named_paths).unwrap_or_default();
    let (mut inputs, mut system) = (Vec::new(), Vec::new());
    let mut whole_files = BTreeSet::new();
    for file in sources {
        let path: &Utf8Path = &file.path;
        if path == LOCK_FILE {
            inputs.push(StagedFile::text(file.path.clone(), masked.lock_file(file.text().unwrap_or_default())));
        } else if is_vendored(path)
            || named.holds(path)
            || TOOLCHAIN_FILES.contains(&path.as_str())
            || CARGO_CONFIG_FILES.contains(&path.as_str())
        {
            system.push(staged_source(root, file));
            inputs.push(staged_source(root, file));
        } else if is_whole(path) || is_inherited(path) {
            inputs.push(staged_source(root, file));
            if is_whole(path) && matches!(file.kind, SourceKind::File { .. }) {
                whole_files.insert(path.to_owned());
            }
        } else if path.file_name() == Some("Cargo.toml")
            && let Some(folder) = path.parent()
            && (folder.as_str().is_empty() || members.contains_key(folder))
            && let Some(manifest) = manifests.get(folder)
        {
            inputs.push(StagedFile::text(file.path.clone(), masked.manifest(manifest)?));
        }
    }
    Ok(DependencyInputs { locked: inputs, system, whole: whole_files })
}
