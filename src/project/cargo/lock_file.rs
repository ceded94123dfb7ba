//! A parsed `Cargo.lock`, compared with what the manifests say: part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::semver::Version;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::project::cargo::manifest::Manifest;

/// A parsed `Cargo.lock`: its packages, and the patches that no package uses.
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

    /// Whether the lock file says of the local package in `folder` what its manifest says. A package that patches no
    /// other may be missing: perhaps no feature asks for it. For the same reason only dependencies that the package
    /// always needs are compared.
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

    /// The names of a member's dependencies, or `None` if the lock file lacks this version of the member.
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

/// The names of the dependencies in an entry of `Cargo.lock`.
fn dependencies_of(package: &Value) -> BTreeSet<&str> {
    let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    dependencies.filter_map(Value::as_str).filter_map(|entry| entry.split(' ').next()).collect()
}
