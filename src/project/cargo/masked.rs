//! Manifests and `Cargo.lock`, reduced to what decides about the dependencies. Part of the step from
//! options to project.
//!
//! A member's version says nothing about the dependencies, so it is masked wherever it stands: in the member's
//! manifest, in `workspace.package`, in other members' requirements, in `Cargo.lock`. Keys that only describe a package
//! and lints, which are about members alone, are left out.

use std::collections::BTreeMap;

use cargo_metadata::semver::Version;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::project::cargo::manifest::{DEPENDENCY_TABLES, Manifest};

const MASKED_VERSION: &str = "0.0.0";

/// The keys that describe a package without a say in how it or its dependencies are built.
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

/// The members whose versions do not count.
pub(super) struct Masked {
    versions: BTreeMap<String, String>,
    inherited: bool,
}

impl Masked {
    /// `members` are names and versions; `inherited` says whether what members inherit is masked too.
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
