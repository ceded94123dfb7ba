//! What decides about the dependencies: what the lock hash is made of and the dependency stage built from. Part of the
//! step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Package, TargetKind};

use crate::config::options::Options;
use crate::error::{Error, Result};
use crate::project::cargo::configuration::{Configuration, Tree};
use crate::project::cargo::manifest::{self, MANIFEST, Manifest, parse_table};
use crate::project::cargo::masked::{Masked, profiles_of};
use crate::project::cargo::named::{Packages, named_files};
use crate::project::cargo::root::{Root, TOOLCHAIN_FILES};
use crate::staging::source::{SourceFile, SourceKind};
use crate::staging::staged::{StagedFile, staged_source};
use crate::staging::tree_path::TreePath;

pub(crate) const LOCK_FILE: &str = "Cargo.lock";

/// The file beside the skeleton that tells which targets have dependencies of their own.
const UNITS_FILE: &str = ".runtime-image-units";

/// What is built where `prebuild` does not say it.
pub(crate) const DEFAULT_PREBUILD: &str = "build --release";

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
/// files that it includes or names; the toolchain file.
pub(crate) fn dependency_inputs(
    root: &Root,
    sources: &[SourceFile],
    manifests: &BTreeMap<Utf8PathBuf, Manifest>,
    members: &BTreeMap<Utf8PathBuf, &Package>,
    whole: &BTreeSet<Utf8PathBuf>,
    configuration: &Configuration,
    options: &Options,
) -> Result<DependencyInputs> {
    let masked = masked(root, manifests, members, whole, configuration, options);
    let vendored = manifest::vendored_folders(sources);
    let is_whole = |path: &Utf8Path| {
        // The nearest package decides: a member inside a whole package is still a member.
        path.ancestors()
            .skip(1)
            .find(|folder| whole.contains(*folder) || members.contains_key(*folder))
            .is_some_and(|folder| whole.contains(folder))
    };
    let is_vendored = |path: &Utf8Path| path.ancestors().skip(1).any(|folder| vendored.contains(folder));
    // Of many files, most lie beside the one before them.
    let mut last = None;
    let mut vendored_and_whole = |path: &TreePath| {
        let folder = path.folder();
        match last.as_ref().filter(|(of, _)| *of == folder) {
            Some((_, known)) => *known,
            None => last.insert((folder.to_owned(), (is_vendored(path), is_whole(path)))).1,
        }
    };
    let inherited: BTreeSet<&Utf8Path> =
        whole.iter().filter_map(|folder| manifest::workspace_of(folder, manifests)).collect();
    let is_inherited = |path: &TreePath| {
        path.is_named(MANIFEST)
            && path.parent().is_some_and(|folder| *folder != root.workspace && inherited.contains(folder))
    };
    let packages = packages(root, manifests, members, whole);
    let lock_file = root.file(LOCK_FILE);
    let named = named_files(configuration, options, Tree { files: sources }, &packages);
    let led_to = led_to(sources, is_whole);
    let (mut inputs, mut system) = (Vec::new(), Vec::new());
    let mut whole_files = BTreeSet::new();
    for file in sources {
        let path: &Utf8Path = &file.path;
        let (is_vendored, is_whole) = vendored_and_whole(&file.path);
        let is_of_whole = is_whole && !is_vendored;
        if is_of_whole && matches!(file.kind, SourceKind::File { .. }) {
            whole_files.insert(path.to_owned());
        }
        if file.path == lock_file {
            inputs.push(StagedFile::text(file.path.clone(), masked.lock_file(file.text().unwrap_or_default())?));
        } else if let Some(staged) = system_file(file, root, configuration)? {
            system.push(staged);
        } else if is_vendored || named.contains(path) || configuration.links.contains(path) {
            system.push(staged_source(&root.path, file.clone()));
        } else if is_of_whole || is_inherited(&file.path) || led_to.contains(path) {
            inputs.push(staged_source(&root.path, file.clone()));
        } else if file.path.is_named(MANIFEST)
            && let Some(folder) = path.parent()
            && (*folder == root.workspace || members.contains_key(folder))
            && let Some(manifest) = manifests.get(folder)
        {
            inputs.push(StagedFile::text(file.path.clone(), masked.manifest(manifest, *folder == root.workspace)?));
        }
    }
    inputs.push(StagedFile::text(TreePath::constant(UNITS_FILE), units(members, whole, options)));
    inputs.extend(system.iter().cloned());
    inputs.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(DependencyInputs { locked: inputs, system, whole: whole_files })
}

/// What links of whole local packages lead to, and the links on the way.
fn led_to(sources: &[SourceFile], is_whole: impl Fn(&Utf8Path) -> bool) -> BTreeSet<Utf8PathBuf> {
    let tree = Tree { files: sources };
    let mut led_to = BTreeSet::new();
    for link in sources.iter().filter(|file| matches!(file.kind, SourceKind::Link { .. }) && is_whole(&file.path)) {
        if let Some(end) = tree.follow(&link.path, &mut led_to) {
            let below = sources.iter().map(|file| &*file.path).filter(|path| path.starts_with(&end));
            led_to.extend(below.map(Utf8Path::to_owned));
        }
    }
    led_to
}

/// Which members have a build script, and tests and the like where `prebuild` may build these: that there are such
/// targets decides which dependencies are compiled, and manifests need not say it.
fn units(members: &BTreeMap<Utf8PathBuf, &Package>, whole: &BTreeSet<Utf8PathBuf>, options: &Options) -> String {
    let for_tests = ["test", "bench", "example", "all-targets"];
    let commands = options.prebuild.iter().flatten();
    let builds_tests = commands
        .into_iter()
        .any(|command| !command.starts_with("build") || for_tests.iter().any(|word| command.contains(word)));
    let is_for_tests = |kind: &TargetKind| matches!(kind, TargetKind::Test | TargetKind::Bench | TargetKind::Example);
    let mut lines = Vec::new();
    for (folder, package) in members.iter().filter(|(folder, _)| !whole.contains(*folder)) {
        let mut kinds = package.targets.iter().flat_map(|target| &target.kind);
        if kinds.clone().any(|kind| *kind == TargetKind::CustomBuild) {
            lines.push(format!("build script: {folder}\n"));
        }
        if builds_tests && kinds.any(is_for_tests) {
            lines.push(format!("tests: {folder}\n"));
        }
    }
    lines.concat()
}

/// What of manifests and lock file does not count.
fn masked(
    root: &Root,
    manifests: &BTreeMap<Utf8PathBuf, Manifest>,
    members: &BTreeMap<Utf8PathBuf, &Package>,
    whole: &BTreeSet<Utf8PathBuf>,
    configuration: &Configuration,
    options: &Options,
) -> Masked {
    let inherits = |profile: &str| {
        let of_workspace = manifests.get(&root.workspace).and_then(|manifest| manifest.inherited_profile(profile));
        configuration.inherited_profile(profile).chain(of_workspace).map(str::to_owned).collect()
    };
    let prebuild = match &options.prebuild {
        Some(commands) => commands.iter().map(String::as_str).collect(),
        None => vec![DEFAULT_PREBUILD],
    };
    // A variable may have one profile inherit from another.
    let is_told_by_variables = options.env.keys().any(|name| name.starts_with("CARGO_PROFILE_"));
    let versions = members.iter().filter(|(folder, _)| !whole.contains(*folder));
    Masked {
        versions: versions.map(|(_, package)| (package.name.to_string(), package.version.to_string())).collect(),
        inherited: members.keys().all(|folder| !whole.contains(folder)),
        profiles: profiles_of(prebuild, inherits).filter(|_| !is_told_by_variables),
    }
}

/// The members whose sources the dependency stage lacks.
fn packages<'a>(
    root: &'a Root,
    manifests: &'a BTreeMap<Utf8PathBuf, Manifest>,
    members: &'a BTreeMap<Utf8PathBuf, &Package>,
    whole: &BTreeSet<Utf8PathBuf>,
) -> Packages<'a> {
    let mut packages =
        Packages { workspace: &root.workspace, manifests, members: BTreeSet::new(), targets: BTreeSet::new() };
    for (folder, package) in members.iter().filter(|(folder, _)| !whole.contains(*folder)) {
        packages.members.insert(folder);
        let targets = package.targets.iter().filter_map(|target| TreePath::below(&root.path, &target.src_path));
        packages.targets.extend(targets.map(|target| target.to_path_buf()));
    }
    packages
}

/// The toolchain file, or a file of Cargo's configuration, without what cannot change what it says.
fn system_file(file: &SourceFile, root: &Root, configuration: &Configuration) -> Result<Option<StagedFile>> {
    if let Some(configured) = configuration.file(&file.path) {
        return Ok(Some(StagedFile::text(file.path.clone(), configured.normalised()?)));
    }
    let text = match file.text() {
        Some(text) if root.files_above(&TOOLCHAIN_FILES).any(|path| path == file.path) => text,
        _ => return Ok(None),
    };
    let text = match parse_table(&file.path, text) {
        Ok(table) => toml::to_string(&table)
            .map_err(|error| Error::failed(format!("cannot write `{}`", file.path)).because(error))?,
        // The older form is the name of a toolchain alone.
        Err(_) => String::from_utf8_lossy(text).trim().to_owned() + "\n",
    };
    Ok(Some(StagedFile::text(file.path.clone(), text)))
}
