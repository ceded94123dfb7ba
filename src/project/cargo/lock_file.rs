//! A parsed `Cargo.lock`, compared with what the manifests say: part of the step from options to project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Dependency;
use cargo_metadata::semver::{Version, VersionReq};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::project::cargo::manifest::Manifest;

/// A parsed `Cargo.lock`: its packages by name, and the patches that no package uses.
pub(super) struct LockFile {
    packages: BTreeMap<String, Vec<Value>>,
    unused: Vec<Value>,
}

impl LockFile {
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let table = parse_lock_file(text)?;
        let list = |packages: Option<&Value>| packages.and_then(Value::as_array).cloned().unwrap_or_default();
        let unused = table.get("patch").and_then(|patch| patch.get("unused"));
        let mut packages: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for package in list(table.get("package")) {
            if let Some(name) = package.get("name").and_then(Value::as_str) {
                packages.entry(name.to_owned()).or_default().push(package);
            }
        }
        Ok(Self { packages, unused: list(unused) })
    }

    fn packages(&self, name: &str) -> &[Value] {
        self.packages.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn local_packages(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.packages(name).iter().filter(|package| package.get("source").is_none())
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

    /// Whether a package of the lock file is what a dependency of a member asks for. Patches may have put another
    /// source in the place of the one that it says.
    pub(super) fn has(&self, dependency: &Dependency, is_patched: bool) -> bool {
        let from = dependency.source.as_ref().map(|source| decoded(&source.repr));
        let from_git = from.filter(|source| source.starts_with("git+") && !is_patched);
        let is_meant = |package: &Value| {
            let field = |key: &str| package.get(key).and_then(Value::as_str);
            let is_allowed = dependency.path.is_some()
                // Said of a dependency without a requirement, which any version will do for, even one before a release.
                || dependency.req == VersionReq::STAR
                || field("version").is_some_and(|text| Version::parse(text).is_ok_and(|it| dependency.req.matches(&it)));
            let source = field("source").map(|source| decoded(source.split('#').next().unwrap_or(source)));
            is_allowed && (from_git.is_none() || source == from_git)
        };
        self.packages(&dependency.name).iter().any(is_meant)
    }
}

/// A source without `%2F` and the like, which some versions of `Cargo.lock` write.
fn decoded(source: &str) -> String {
    let mut parts = source.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                decoded.extend(&part.as_bytes()[2..]);
            }
            None => decoded.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `Cargo.lock` as TOML.
///
/// # Errors
/// When it is not valid TOML.
pub(super) fn parse_lock_file(text: &[u8]) -> Result<Table> {
    toml::from_str(&String::from_utf8_lossy(text)).map_err(|error| {
        Error::failed("cannot parse `Cargo.lock`").because(error).hint("`cargo generate-lockfile` writes it anew")
    })
}

/// The names of the dependencies in an entry of `Cargo.lock`.
fn dependencies_of(package: &Value) -> BTreeSet<&str> {
    let dependencies = package.get("dependencies").and_then(Value::as_array).into_iter().flatten();
    dependencies.filter_map(Value::as_str).filter_map(|entry| entry.split(' ').next()).collect()
}
