//! The folder that is staged for a workspace: its own, or the nearest one around it that holds all its local packages.
//! Part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Metadata;

use crate::error::{Error, Result};
use crate::project::cargo::manifest::{MANIFEST, Manifest, parse_table};
use crate::staging::tree_path::TreePath;
use crate::system::git::work_tree_of;
use crate::system::paths::is_file_inside;
use crate::system::reading;

/// Where Cargo looks for configuration. Where both files are there, it takes the second alone.
pub(super) const CARGO_CONFIG_FILES: [&str; 2] = [".cargo/config.toml", ".cargo/config"];

/// Where rustup looks for a toolchain.
pub(super) const TOOLCHAIN_FILES: [&str; 2] = ["rust-toolchain.toml", "rust-toolchain"];

/// The folder that is staged for a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The folder, absolute.
    pub path: Utf8PathBuf,
    /// The workspace's folder, relative to it; empty if it is the same.
    pub workspace: Utf8PathBuf,
    /// Local packages outside of the workspace's folder, relative to the root.
    pub packages: BTreeSet<Utf8PathBuf>,
}

impl Root {
    /// The folder that was `asked` for, or else the workspace's own. If local packages lie outside of that, in the same
    /// git work tree, it is the nearest folder that holds them too.
    ///
    /// # Errors
    /// When the workspace is not in the folder that was asked for.
    pub(super) fn new(metadata: &Metadata, asked: Option<&Utf8Path>) -> Result<Self> {
        let workspace: &Utf8Path = &metadata.workspace_root;
        let work_tree = work_tree_of(workspace);
        let within = asked.or(work_tree).unwrap_or(workspace);
        let outside: BTreeSet<Utf8PathBuf> =
            local_packages(metadata, within).into_iter().filter(|folder| !folder.starts_with(workspace)).collect();
        let path = match (asked, work_tree) {
            (Some(asked), _) => asked.to_owned(),
            (None, Some(work_tree)) if outside.iter().all(|folder| folder.starts_with(work_tree)) => {
                let holds_all = |folder: &&Utf8Path| outside.iter().all(|package| package.starts_with(folder));
                workspace.ancestors().find(holds_all).unwrap_or(workspace).to_owned()
            }
            (None, _) => workspace.to_owned(),
        };
        let Ok(below) = workspace.strip_prefix(&path) else {
            return Err(Error::usage(format!("the workspace `{workspace}` does not lie in `{path}`"))
                .hint("with `--manifest-path`, `--project-root` names a folder around the workspace"));
        };
        let workspace = below.to_owned();
        let packages = outside.iter().filter_map(|folder| Some(folder.strip_prefix(&path).ok()?.to_owned())).collect();
        Ok(Self { path, workspace, packages })
    }

    /// The workspace's folder and those around it up to the root, relative to the root: Cargo looks for its
    /// configuration, and rustup for the toolchain file, in all of them. The nearest comes first.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Utf8Path> {
        self.workspace.ancestors()
    }

    /// The files of these names in all these folders.
    pub(super) fn files_above(&self, names: &'static [&'static str]) -> impl Iterator<Item = TreePath> {
        self.folders().flat_map(move |folder| names.iter().filter_map(move |name| TreePath::new(folder.join(name))))
    }

    /// Where a file of the workspace's folder lies, relative to the root.
    pub(super) fn file(&self, name: &'static str) -> TreePath {
        let file = TreePath::constant(name);
        TreePath::new(&self.workspace).map_or_else(|| file.clone(), |folder| file.in_folder(&folder))
    }

    /// The part of what lies below the root that belongs to the workspace, where that is not all: the workspace, its
    /// packages, and what Cargo reads above them.
    pub(super) fn parts(&self) -> Option<BTreeSet<TreePath>> {
        let is_all = self.workspace.as_str().is_empty() || self.packages.contains(Utf8Path::new(""));
        let folders = || self.packages.iter().chain([&self.workspace]);
        (!is_all).then(|| {
            let above = self.files_above(&CARGO_CONFIG_FILES).chain(self.files_above(&TOOLCHAIN_FILES));
            let manifests = folders().flat_map(|folder| folder.ancestors().map(|above| above.join(MANIFEST)));
            let named = self.workspace.ancestors().skip(1).flat_map(|folder| self.named_in(folder));
            let named = named.filter(|path| !self.workspace.starts_with(path));
            folders().cloned().chain(manifests).chain(named).filter_map(TreePath::new).chain(above).collect()
        })
    }

    /// What Cargo's configuration in `folder`, above the workspace, names in the tree: folders, and of files their
    /// folders.
    fn named_in(&self, folder: &Utf8Path) -> Vec<Utf8PathBuf> {
        let mut named = Vec::new();
        for file in CARGO_CONFIG_FILES.map(|name| self.path.join(folder).join(name)) {
            let text = is_file_inside(&self.path, &file).then(|| reading::text(&file).ok()).flatten();
            // Whatever stands between quotes, and each part of it, may be a path.
            for word in
                text.unwrap_or_default().split(|letter: char| letter.is_whitespace() || "=,\"'[]{}".contains(letter))
            {
                let Some(path) = TreePath::new(folder.join(word)) else { continue };
                let here = self.path.join(&path);
                if here.is_dir() {
                    named.push(path.to_path_buf());
                } else if here.is_file() {
                    let around = path.parent().filter(|around| !self.workspace.starts_with(around));
                    named.push(around.unwrap_or(&path).to_owned());
                }
            }
        }
        named
    }

    /// A file above the root, in the same work tree, that Cargo or rustup reads here and the image lacks.
    pub(super) fn file_above(&self) -> Option<Utf8PathBuf> {
        let work_tree = work_tree_of(&self.path)?;
        let home = std::env::home_dir();
        let above = self.path.ancestors().skip(1).take_while(|folder| folder.starts_with(work_tree));
        // The user's own configuration lies in the home folder, which may be a work tree.
        let above = above.filter(|folder| home.as_deref() != Some(folder.as_std_path()));
        let mut files =
            above.flat_map(|folder| CARGO_CONFIG_FILES.iter().chain(&TOOLCHAIN_FILES).map(|name| folder.join(name)));
        files.find(|file| file.is_file())
    }

    /// A folder below the root, seen from the workspace's folder.
    pub(super) fn seen_from_workspace(&self, folder: &str) -> String {
        match Utf8Path::new(folder).strip_prefix(&self.workspace) {
            Ok(below) => below.to_string(),
            Err(_) => "../".repeat(self.workspace.components().count()) + folder,
        }
    }
}

/// The folders of all packages of this machine that the workspace needs, absolute. Manifests are read below `within`
/// alone.
fn local_packages(metadata: &Metadata, within: &Utf8Path) -> BTreeSet<Utf8PathBuf> {
    let root: &Utf8Path = &metadata.workspace_root;
    let read = |folder: &Utf8Path| {
        let path = folder.join(MANIFEST);
        let is_readable = folder.starts_with(within) && is_file_inside(within, &path);
        let text = is_readable.then(|| reading::bytes(&path).ok()).flatten()?;
        parse_table(&path, &text).ok().map(Manifest::new)
    };
    let patches = read(root).map(|manifest| manifest.patched_paths(root)).unwrap_or_default();
    let mut waiting: Vec<Utf8PathBuf> = patches.into_iter().map(|(_, folder)| folder).collect();
    let mut manifests = BTreeMap::new();
    let mut known = BTreeSet::new();
    // Cargo was asked for members alone.
    for package in &metadata.packages {
        known.extend(package.manifest_path.parent().map(Utf8Path::to_owned));
        waiting.extend(package.dependencies.iter().filter_map(|dependency| dependency.path.clone()));
    }
    while let Some(folder) = waiting.pop() {
        if !known.insert(folder.clone()) {
            continue;
        }
        // What a package inherits is said above it.
        for above in folder.ancestors() {
            if !manifests.contains_key(above)
                && let Some(manifest) = read(above)
            {
                manifests.insert(above.to_owned(), manifest);
            }
        }
        if let Some(manifest) = manifests.get(&folder) {
            waiting.extend(manifest.path_dependencies(&folder, &manifests, false).into_iter().map(|(_, path)| path));
        }
    }
    known
}
