//! Manifests as parsed, and which local packages they name. Part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::staging::source::SourceFile;

pub(super) const MANIFEST: &str = "Cargo.toml";

pub(crate) const DEPENDENCY_TABLES: [&str; 5] =
    ["dependencies", "dev-dependencies", "dev_dependencies", "build-dependencies", "build_dependencies"];

/// A parsed `Cargo.toml`.
#[derive(Debug, Clone)]
pub(super) struct Manifest(pub(super) Table);

impl Manifest {
    /// From a file. `project` is an old name for `package`, which Cargo still takes.
    pub(super) fn new(mut table: Table) -> Self {
        if !table.contains_key("package")
            && let Some(package) = table.remove("project")
        {
            table.insert("package".to_owned(), package);
        }
        Self(table)
    }

    /// `workspace.package.version`.
    pub(super) fn workspace_version(&self) -> Option<String> {
        self.0.get("workspace")?.get("package")?.get("version")?.as_str().map(str::to_owned)
    }

    /// Names and folders of the local packages that `[patch]` and `[replace]` of the manifest in `folder` put in the
    /// place of others.
    pub(super) fn patched_paths(&self, folder: &Utf8Path) -> Vec<(String, Utf8PathBuf)> {
        let replaced = self.0.get("replace").and_then(Value::as_table);
        let replaced = replaced.into_iter().flat_map(|table| paths_in(table, folder));
        paths_of_patches(&self.0, folder).into_iter().chain(replaced).collect()
    }

    /// Whether packages, local or not, stand in the place of others.
    pub(super) fn has_patches(&self) -> bool {
        self.0.contains_key("patch") || self.0.contains_key("replace")
    }

    /// The profile that a profile says it inherits from.
    pub(super) fn inherited_profile(&self, name: &str) -> Option<&str> {
        self.0.get("profile")?.get(name)?.get("inherits")?.as_str()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.0.get("package")?.get("name")?.as_str()
    }

    /// Names and folders, relative to the root, of the local packages that the package in `folder` depends on. With
    /// `for_tests_too` its dev-dependencies are among them: Cargo asks for those of members alone.
    pub(super) fn path_dependencies(
        &self,
        folder: &Utf8Path,
        manifests: &BTreeMap<Utf8PathBuf, Self>,
        for_tests_too: bool,
    ) -> Vec<(String, Utf8PathBuf)> {
        let shared = workspace_of(folder, manifests)
            .and_then(|root| Some((root, manifests.get(root)?.0.get("workspace")?.get("dependencies")?.as_table()?)));
        let inherited_path = |name: &str| {
            let (root, table) = shared?;
            Some(normalised(&root.join(table.get(name)?.get("path")?.as_str()?)))
        };
        dependency_tables(&self.0, for_tests_too)
            .into_iter()
            .flat_map(|table| {
                let inherited = table
                    .iter()
                    .filter(|(_, value)| value.get("workspace").and_then(Value::as_bool) == Some(true))
                    .filter_map(|(name, _)| Some((name.clone(), inherited_path(name)?)));
                paths_in(table, folder).chain(inherited).collect::<Vec<_>>()
            })
            .collect()
    }

    /// The version of the package in `folder`, and the names of the packages that it can never be built without.
    pub(super) fn version_and_needs<'a>(
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

/// A file as TOML.
///
/// # Errors
/// When the file is not valid TOML.
pub(super) fn parse_table(path: &Utf8Path, text: &[u8]) -> Result<Table> {
    toml::from_str(&String::from_utf8_lossy(text))
        .map_err(|error| Error::failed(format!("cannot parse `{path}`")).because(error))
}

/// Names and folders of the local packages that `[patch]`, of a manifest or of Cargo's configuration, puts in the place
/// of others. Its paths start at `base`.
pub(super) fn paths_of_patches(table: &Table, base: &Utf8Path) -> Vec<(String, Utf8PathBuf)> {
    let patches = table.get("patch").and_then(Value::as_table).into_iter().flatten();
    patches.filter_map(|(_, of)| of.as_table()).flat_map(|table| paths_in(table, base)).collect()
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
        .filter(|file| file.path.file_name() == Some(MANIFEST))
        .filter_map(|file| Some((file.path.parent()?, file.text()?)))
        .filter(|(folder, _)| !folder.ancestors().any(|folder| vendored.contains(folder)))
        // A tree may hold broken manifests as test data. If a broken one matters, its lack is an error later.
        .map(|(folder, text)| match parse_table(&folder.join(MANIFEST), text) {
            Ok(table) => Ok(Some((folder.to_owned(), Manifest::new(table)))),
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
        .filter(|file| file.path.is_named(".cargo-checksum.json"))
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

/// Whether a normalised path, seen from the root, lies inside.
pub(super) fn is_inside(path: &Utf8Path) -> bool {
    path.is_relative() && !path.starts_with("..")
}
