//! Manifests and `Cargo.lock`, reduced to what decides about the dependencies.
//!
//! A member's version says nothing about the dependencies, so it is masked wherever it stands: in the member's manifest,
//! in `workspace.package`, in other members' requirements, in `Cargo.lock`. Keys that only describe a package and lints,
//! which are about members alone, are left out.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use cargo_metadata::semver::Version;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::source::SourceFile;

const MASKED_VERSION: &str = "0.0.0";
const DEPENDENCY_TABLES: [&str; 5] =
    ["dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies"];
/// What describes a package without having a say in how it or its dependencies are built.
const DESCRIPTIVE_KEYS: [&str; 14] = [
    "authors",
    "badges",
    "categories",
    "description",
    "documentation",
    "exclude",
    "homepage",
    "include",
    "keywords",
    "license",
    "license-file",
    "metadata",
    "readme",
    "repository",
];

/// A parsed `Cargo.toml`, or Cargo's configuration, whose `[patch]` reads the same.
#[derive(Debug, Clone)]
pub(super) struct Manifest(Table);

impl Manifest {
    /// # Errors
    /// When the file is not valid TOML.
    pub(super) fn parse(file: &SourceFile) -> Result<Self> {
        let text = String::from_utf8_lossy(file.text().unwrap_or_default());
        toml::from_str(&text)
            .map(Self)
            .map_err(|error| Error::failed(format!("cannot parse `{}`", file.path)).because(error))
    }

    /// `workspace.package.version`.
    pub(super) fn workspace_version(&self) -> Option<String> {
        self.0.get("workspace")?.get("package")?.get("version")?.as_str().map(str::to_owned)
    }

    /// Names and folders of the local packages that `[patch]` and `[replace]` put in the place of others, relative to
    /// the root.
    pub(super) fn patched_paths(&self) -> Vec<(String, Utf8PathBuf)> {
        let patches =
            self.0.get("patch").and_then(Value::as_table).into_iter().flatten().filter_map(|(_, of)| of.as_table());
        let replaced = self.0.get("replace").and_then(Value::as_table);
        patches.chain(replaced).flat_map(|table| paths_in(table, Utf8Path::new(""))).collect()
    }

    /// What Cargo's configuration names in the tree: a linker, a wrapper of rustc, the description of a target, a folder of
    /// crates. Any string may be a path; one that is none names no file.
    pub(super) fn named_paths(&self) -> NamedPaths {
        let mut named = NamedPaths::default();
        let mut waiting: Vec<&Value> = self.0.values().collect();
        while let Some(value) = waiting.pop() {
            match value {
                Value::String(text) => drop(named.strings.insert(normalised(Utf8Path::new(text)))),
                Value::Array(values) => waiting.extend(values),
                Value::Table(table) => waiting.extend(table.values()),
                _ => {}
            }
        }
        let sources = self.0.get("source").and_then(Value::as_table).into_iter().flatten();
        named.folders = sources
            .flat_map(|(_, source)| ["directory", "local-registry"].map(|key| source.get(key)))
            .filter_map(|folder| folder?.as_str().map(|folder| normalised(Utf8Path::new(folder))))
            .filter(|folder| !folder.as_str().is_empty())
            .collect();
        named
    }

    /// `build.target-dir` of Cargo's configuration in `file`, if it lies inside the project.
    pub(super) fn target_folder(&self, file: &Utf8Path) -> Result<Option<String>> {
        let folder = self.0.get("build").and_then(|build| build.get("target-dir")).and_then(Value::as_str);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte);
        match folder.map(|folder| (folder, normalised(Utf8Path::new(folder)))) {
            None => Ok(None),
            Some((_, path)) if path.is_relative() && !path.starts_with("..") && path.as_str().bytes().all(plain) => {
                Ok(Some(path.into_string()))
            }
            Some((folder, _)) => Err(Error::failed(format!("`{file}` sets `build.target-dir` to `{folder}`")).hint(
                "inside an image it must lie in the workspace; set your own in the environment: CARGO_TARGET_DIR",
            )),
        }
    }

    fn name(&self) -> Option<&str> {
        self.0.get("package")?.get("name")?.as_str()
    }

    /// Names and folders of the local packages that this one, in `folder`, depends on; relative to the root. What only
    /// its own tests need does not count, unless `for_tests_too`: Cargo asks for it in members alone.
    pub(super) fn path_dependencies(
        &self,
        folder: &Utf8Path,
        manifests: &BTreeMap<Utf8PathBuf, Self>,
        for_tests_too: bool,
    ) -> Vec<(String, Utf8PathBuf)> {
        let shared = workspace_of(folder, manifests)
            .and_then(|root| Some((root, manifests.get(root)?.0.get("workspace")?.get("dependencies")?.as_table()?)))
            .map(|(root, table)| paths_in(table, root).collect::<BTreeMap<_, _>>())
            .unwrap_or_default();
        dependency_tables(&self.0, for_tests_too)
            .into_iter()
            .flat_map(|table| {
                let inherited = table
                    .iter()
                    .filter(|(_, value)| value.get("workspace").and_then(Value::as_bool) == Some(true))
                    .filter_map(|(name, _)| Some((name.clone(), shared.get(name)?.clone())));
                paths_in(table, folder).chain(inherited).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The version and the names of the packages that this one, in `folder`, can never do without.
    fn version_and_needs<'a>(
        &'a self,
        folder: &'a Utf8Path,
        manifests: &'a BTreeMap<Utf8PathBuf, Self>,
    ) -> (&'a str, Vec<&'a str>) {
        let shared = workspace_of(folder, manifests).and_then(|root| manifests.get(root)?.0.get("workspace"));
        let inherits = |value: &Value| value.get("workspace").and_then(Value::as_bool) == Some(true);
        let version = match self.0.get("package").and_then(|package| package.get("version")) {
            Some(value) if inherits(value) => shared.and_then(|shared| shared.get("package")?.get("version")),
            value => value,
        };
        let needs = dependency_tables(&self.0, false).into_iter().flatten().filter_map(|(name, value)| {
            let shared = shared.and_then(|shared| shared.get("dependencies")?.get(name)).filter(|_| inherits(value));
            let optional = value.get("optional").and_then(Value::as_bool) == Some(true);
            let package = shared.unwrap_or(value).get("package").and_then(Value::as_str).unwrap_or(name);
            (!optional).then_some(package)
        });
        (version.and_then(Value::as_str).unwrap_or("0.0.0"), needs.collect())
    }
}

/// What Cargo's configuration names in the tree.
#[derive(Debug, Default)]
pub(super) struct NamedPaths {
    strings: BTreeSet<Utf8PathBuf>,
    folders: Vec<Utf8PathBuf>,
}

impl NamedPaths {
    /// Whether `path`, a file relative to the root, is named itself or lies in a folder of crates.
    pub(super) fn holds(&self, path: &Utf8Path) -> bool {
        self.strings.contains(path) || self.folders.iter().any(|folder| path.starts_with(folder))
    }
}

/// The folder of the workspace that the package in `folder` belongs to and may inherit from, if it is in the tree.
pub(super) fn workspace_of<'a>(
    folder: &'a Utf8Path,
    manifests: &'a BTreeMap<Utf8PathBuf, Manifest>,
) -> Option<&'a Utf8Path> {
    let named = manifests.get(folder).and_then(|manifest| manifest.0.get("package")?.get("workspace")?.as_str());
    match named {
        Some(path) => manifests.get_key_value(&normalised(&folder.join(path))).map(|(folder, _)| folder.as_path()),
        None => folder
            .ancestors()
            .find(|folder| manifests.get(*folder).is_some_and(|manifest| manifest.0.contains_key("workspace"))),
    }
}

/// The manifests of all packages and workspaces in the tree, by folder, vendored crates left out.
pub(super) fn local_manifests(sources: &[SourceFile]) -> Result<BTreeMap<Utf8PathBuf, Manifest>> {
    let vendored = vendored_folders(sources);
    sources
        .iter()
        .filter(|file| file.path.file_name() == Some("Cargo.toml") && file.text().is_some())
        .filter_map(|file| Some((file.path.parent()?, file)))
        .filter(|(folder, _)| !folder.ancestors().any(|folder| vendored.contains(folder)))
        // A tree may hold broken manifests as test data; one that matters is missed by its folder later.
        .map(|(folder, file)| match Manifest::parse(file) {
            Ok(manifest) => Ok(Some((folder.to_owned(), manifest))),
            Err(error) if folder.as_str().is_empty() => Err(error),
            Err(_) => Ok(None),
        })
        .filter_map(Result::transpose)
        .collect()
}

/// The folders of crates that `cargo vendor` wrote.
pub(super) fn vendored_folders(sources: &[SourceFile]) -> BTreeSet<Utf8PathBuf> {
    sources
        .iter()
        .filter(|file| file.path.file_name() == Some(".cargo-checksum.json"))
        .filter_map(|file| file.path.parent().map(Utf8Path::to_owned))
        .collect()
}

fn dependency_tables(table: &Table, for_tests_too: bool) -> Vec<&Table> {
    let names: Vec<&str> =
        DEPENDENCY_TABLES.into_iter().filter(|name| for_tests_too || !name.starts_with("dev")).collect();
    let own = names.iter().filter_map(|name| table.get(*name)?.as_table());
    let targets =
        table.get("target").and_then(Value::as_table).into_iter().flatten().filter_map(|(_, of)| of.as_table());
    let of_targets = targets.flat_map(|target| names.iter().filter_map(|name| target.get(*name)?.as_table()));
    own.chain(of_targets).collect()
}

fn paths_in<'a>(table: &'a Table, folder: &'a Utf8Path) -> impl Iterator<Item = (String, Utf8PathBuf)> + 'a {
    table.iter().filter_map(move |(name, value)| {
        let path = value.get("path")?.as_str()?;
        Some((name.clone(), normalised(&folder.join(path))))
    })
}

/// `path` without `.` and, where they cancel, `..`.
pub(super) fn normalised(path: &Utf8Path) -> Utf8PathBuf {
    path.components().fold(Utf8PathBuf::new(), |mut done, component| {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir if done.file_name().is_some() => {
                done.pop();
            }
            other => done.push(other),
        }
        done
    })
}

/// The members whose versions do not count.
pub(super) struct Masked {
    versions: BTreeMap<String, String>,
    inherited: bool,
}

impl Masked {
    /// `members` are names and versions; `inherited` says whether what members share may be masked too.
    pub(super) fn new(members: impl Iterator<Item = (String, String)>, inherited: bool) -> Self {
        Self { versions: members.collect(), inherited }
    }

    /// The manifest of a member or of the workspace, as TOML with its tables sorted.
    pub(super) fn manifest(&self, manifest: &Manifest) -> Result<String> {
        let mut table = manifest.0.clone();
        for_each_dependency_table(&mut table, &mut |dependencies| self.mask_requirements(dependencies));
        table.remove("badges");
        table.remove("lints");
        if let Some(package) = table.get_mut("package").and_then(Value::as_table_mut) {
            DESCRIPTIVE_KEYS.iter().for_each(|key| drop(package.remove(*key)));
            if package.contains_key("version") {
                package.insert("version".to_owned(), MASKED_VERSION.into());
            }
        }
        if let Some(workspace) = table.get_mut("workspace").and_then(Value::as_table_mut) {
            workspace.remove("metadata");
            if self.inherited {
                workspace.remove("lints");
            }
            if let Some(dependencies) = workspace.get_mut("dependencies").and_then(Value::as_table_mut) {
                self.mask_requirements(dependencies);
            }
            if let Some(package) = workspace.get_mut("package").and_then(Value::as_table_mut) {
                DESCRIPTIVE_KEYS.iter().for_each(|key| drop(package.remove(*key)));
                if self.inherited && package.contains_key("version") {
                    package.insert("version".to_owned(), MASKED_VERSION.into());
                }
            }
        }
        toml::to_string(&table).map_err(|error| Error::failed("cannot write a manifest").because(error))
    }

    fn mask_requirements(&self, dependencies: &mut Table) {
        for (name, value) in dependencies {
            let Some(dependency) = value.as_table_mut().filter(|dependency| dependency.contains_key("path")) else {
                continue;
            };
            let package = dependency.get("package").and_then(Value::as_str).unwrap_or(name);
            if self.versions.contains_key(package) {
                dependency.remove("version");
            }
        }
    }

    /// `Cargo.lock` with the members' versions masked, in Cargo's own format and order.
    pub(super) fn lock_file(&self, text: &[u8]) -> String {
        let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
        let (head, rest) = text.split_once("[[package]]\n").unwrap_or((&text, ""));
        let mut entries: Vec<String> =
            rest.split("[[package]]\n").filter(|entry| !entry.is_empty()).map(|entry| self.lock_entry(entry)).collect();
        // Cargo sorts by name and version; a masked version may sort elsewhere among packages of its name.
        entries.sort_by_cached_key(|entry| {
            let field = |name: &str| lock_field(entry, name).unwrap_or_default().to_owned();
            (field("name"), Version::parse(&field("version")).ok(), field("source"))
        });
        entries
            .iter()
            .fold(head.trim_end().to_owned() + "\n", |text, entry| text + "\n[[package]]\n" + entry.trim_end() + "\n")
    }

    fn lock_entry(&self, entry: &str) -> String {
        let mut masked = entry.to_owned();
        if lock_field(entry, "source").is_none()
            && let (Some(name), Some(version)) = (lock_field(entry, "name"), lock_field(entry, "version"))
            && self.versions.get(name).is_some_and(|member| member == version)
        {
            masked =
                masked.replacen(&format!("version = \"{version}\"\n"), &format!("version = \"{MASKED_VERSION}\"\n"), 1);
        }
        // Where a name is ambiguous, dependencies are written with their version.
        for (name, version) in &self.versions {
            masked =
                masked.replace(&format!("\n \"{name} {version}\",\n"), &format!("\n \"{name} {MASKED_VERSION}\",\n"));
        }
        masked
    }
}

fn lock_field<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
}

fn for_each_dependency_table(table: &mut Table, change: &mut impl FnMut(&mut Table)) {
    for name in DEPENDENCY_TABLES {
        if let Some(dependencies) = table.get_mut(name).and_then(Value::as_table_mut) {
            change(dependencies);
        }
    }
    if let Some(targets) = table.get_mut("target").and_then(Value::as_table_mut) {
        for target in targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()) {
            for_each_dependency_table(target, change);
        }
    }
}

/// A parsed `Cargo.lock`: its packages, and the patches that nothing uses.
pub(super) struct LockFile {
    packages: Vec<Value>,
    unused: Vec<Value>,
}

impl LockFile {
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let table: Table = toml::from_str(&String::from_utf8_lossy(text)).map_err(|error| {
            Error::failed("cannot parse `Cargo.lock`").because(error).hint("`cargo generate-lockfile` writes it anew")
        })?;
        let list = |packages: Option<&Value>| packages.and_then(Value::as_array).cloned().unwrap_or_default();
        let unused = table.get("patch").and_then(|patch| patch.get("unused"));
        Ok(Self { packages: list(table.get("package")), unused: list(unused) })
    }

    fn local_packages(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.packages.iter().filter(move |package| {
            package.get("source").is_none() && package.get("name").and_then(Value::as_str) == Some(name)
        })
    }

    /// Whether the file says of the local package in `folder` what its manifest says. It may say nothing, unless the
    /// package is there to patch another: it can be a dependency that no feature asks for. For the same reason only what
    /// the package always needs counts.
    pub(super) fn agrees_with(
        &self,
        folder: &Utf8Path,
        manifests: &BTreeMap<Utf8PathBuf, Manifest>,
        is_patch: bool,
    ) -> bool {
        let Some((manifest, name)) = manifests.get(folder).and_then(|manifest| Some((manifest, manifest.name()?)))
        else {
            return true;
        };
        let (version, needs) = manifest.version_and_needs(folder, manifests);
        let is = |package: &Value, key: &str, value: &str| package.get(key).and_then(Value::as_str) == Some(value);
        let mut entries = self.local_packages(name).peekable();
        if entries.peek().is_none() {
            return !is_patch
                || self.unused.iter().any(|package| is(package, "name", name) && is(package, "version", version));
        }
        entries.any(|package| {
            let dependencies = dependencies_of(package);
            is(package, "version", version) && needs.iter().all(|name| dependencies.contains(name))
        })
    }

    /// The names of what a member depends on, or `None` if the file does not know this version of it.
    pub(super) fn member_dependencies(&self, name: &str, version: &str) -> Option<BTreeSet<&str>> {
        let is_version = |package: &&Value| package.get("version").and_then(Value::as_str) == Some(version);
        self.local_packages(name).find(is_version).map(dependencies_of)
    }

    /// All versions of a package.
    pub(super) fn versions_of(&self, name: &str) -> impl Iterator<Item = Version> {
        self.packages
            .iter()
            .filter(move |package| package.get("name").and_then(Value::as_str) == Some(name))
            .filter_map(|package| Version::parse(package.get("version")?.as_str()?).ok())
    }
}

/// The names of what an entry of `Cargo.lock` depends on.
fn dependencies_of(package: &Value) -> BTreeSet<&str> {
    let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    dependencies.filter_map(Value::as_str).filter_map(|entry| entry.split(' ').next()).collect()
}
