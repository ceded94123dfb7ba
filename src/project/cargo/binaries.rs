//! What each binary of a workspace is compiled from, so that an image of it alone keeps its name when other members
//! change. Part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{DependencyKind, Package, TargetKind};

use crate::config::options::Options;
use crate::error::{Error, Result};
use crate::project::binaries::{Binaries, Binary, NamedBinaries};
use crate::project::cargo::inputs::{DependencyInputs, LOCK_FILE};
use crate::project::cargo::manifest::{MANIFEST, Manifest};
use crate::project::cargo::root::Root;
use crate::staging::source::{SourceFile, selector};
use crate::staging::tree_path::TreePath;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::some_of;

/// The folders below `root` of the local packages that a package needs, except for tests.
pub(super) fn compiled_from<'a>(package: &'a Package, root: &'a Utf8Path) -> impl Iterator<Item = &'a Utf8Path> {
    let built = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    built.filter_map(move |dependency| dependency.path.as_ref()?.strip_prefix(root).ok())
}

/// What the binaries of a workspace are chosen and read from.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    pub(super) root: &'a Root,
    pub(super) sources: &'a [SourceFile],
    pub(super) manifests: &'a BTreeMap<Utf8PathBuf, Manifest>,
    /// By their folders.
    pub(super) by_folder: &'a BTreeMap<Utf8PathBuf, &'a Package>,
    pub(super) inputs: &'a DependencyInputs,
}

/// The binaries of a workspace, by their names, each list in the order of the manifests.
pub(super) struct Programs<'a> {
    /// The workspace's name.
    pub(super) workspace: &'a str,
    pub(super) all: Vec<&'a str>,
    /// Those that Cargo builds where it is not told which.
    pub(super) usual: Vec<&'a str>,
    /// The one that `cargo run` runs, where a manifest says so.
    pub(super) default_run: Option<&'a str>,
}

/// The binaries of these `packages`, in their order. A name can be that of several.
pub(super) fn binaries_of<'a>(packages: impl Iterator<Item = &'a Package>) -> Vec<&'a str> {
    let targets = packages.flat_map(|package| &package.targets);
    let mut names: Vec<&str> = Vec::new();
    for target in targets.filter(|target| target.kind.contains(&TargetKind::Bin)) {
        if !names.contains(&target.name.as_str()) {
            names.push(&target.name);
        }
    }
    names
}

impl<'a> Members<'a> {
    /// The binaries that images are made of by their names, each with what it is compiled from: those that were asked for,
    /// or else the usual ones. A version that is configured is that of all.
    ///
    /// # Errors
    /// When there is no binary of a name, or none at all, and when an input leads nowhere.
    pub(super) fn binaries(
        self,
        Programs { all, usual, .. }: &Programs<'_>,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<Binaries> {
        let Some(slim) = options.slim.as_ref().filter(|slim| slim.is_by_binary()) else {
            return Ok(Binaries::default());
        };
        let named = slim.bins.iter().map(|name| ("bins", name));
        let mut named = named.chain(slim.bin_inputs.iter().map(|input| ("bin-inputs", &input.bin)));
        let which = || format!("its binaries are {}", some_of(all));
        if let Some((key, name)) = named.find(|(_, name)| !all.contains(&name.as_str())) {
            return Err(
                Error::usage(format!("`{key}` names `{name}`, and the workspace has no such binary")).hint(which())
            );
        }
        let is_asked = |name: &str| slim.bins.iter().any(|asked| asked == name);
        let is_chosen = |name: &&&str| if slim.bins.is_empty() { usual.contains(*name) } else { is_asked(name) };
        let chosen: Vec<&str> = all.iter().filter(is_chosen).copied().collect();
        if chosen.is_empty() {
            return Err(Error::usage("the workspace builds no binary by default")
                .hint(format!("name them with `bins` (`--bin NAME`), and build them with `prebuild`: {}", which())));
        }
        let sources: Vec<(&SourceFile, Option<&Utf8Path>)> =
            self.sources.iter().map(|file| (file, self.package_of(&file.path))).collect();
        let manifest = self.root.file(MANIFEST);
        let binary = |name: &str| {
            let inputs = slim.bin_inputs.iter().filter(|input| input.bin == name);
            let patterns: Vec<String> = inputs.map(|input| input.pattern.clone()).collect();
            let is_input = selector(self.sources, &patterns, "bin-inputs", interrupt)?;
            let own = self.own_packages(name);
            let version = own
                .first()
                .and_then(|folder| self.by_folder.get(*folder))
                .filter(|_| options.project_version.is_none());
            let version = version.map(|package| package.version.to_string());
            let needed = self.needed_by(own);
            let is_counted = |file: &SourceFile, package: Option<&Utf8Path>| {
                file.path == manifest || is_input(file) || package.is_some_and(|folder| needed.contains(folder))
            };
            let counted = sources.iter().filter(|(file, package)| is_counted(file, *package));
            Ok(Binary { name: name.to_owned(), version, counted: counted.map(|(file, _)| file.path.clone()).collect() })
        };
        let binaries = chosen.into_iter().map(binary).collect::<Result<_>>()?;
        let first = usual.first().or(all.first()).copied().unwrap_or_default().to_owned();
        Ok(Binaries::new(NamedBinaries { binaries, first, locked: self.locked() }))
    }

    /// The folders of the members that have a binary of this name: mostly one.
    fn own_packages(self, binary: &str) -> Vec<&'a Utf8Path> {
        let is_own = |package: &Package| binaries_of(std::iter::once(package)).contains(&binary);
        let own = self.by_folder.iter().filter(|(_, package)| is_own(package));
        own.map(|(folder, _)| folder.as_path()).collect()
    }

    /// The folders of these members and of those that they depend on, except for tests.
    fn needed_by(self, mut waiting: Vec<&'a Utf8Path>) -> BTreeSet<&'a Utf8Path> {
        let mut needed = BTreeSet::new();
        while let Some(folder) = waiting.pop() {
            let Some(package) = self.by_folder.get(folder).filter(|_| needed.insert(folder)) else { continue };
            let paths = compiled_from(package, &self.root.path);
            waiting.extend(
                paths.filter_map(|path| self.by_folder.get_key_value(path).map(|(folder, _)| folder.as_path())),
            );
        }
        needed
    }

    /// The folder of the package that a file belongs to: of the nearest one above it.
    fn package_of(self, path: &Utf8Path) -> Option<&Utf8Path> {
        path.ancestors().skip(1).find(|folder| self.manifests.contains_key(*folder))
    }

    /// The source files that are wholly in the lock hash. Of manifests and the lock file, only a part is.
    fn locked(self) -> BTreeSet<TreePath> {
        let is_masked = |path: &TreePath| {
            matches!(path.file_name(), Some(MANIFEST | LOCK_FILE)) && !self.inputs.whole.contains(&**path)
        };
        self.inputs.locked.iter().map(|file| file.path.clone()).filter(|path| !is_masked(path)).collect()
    }
}
