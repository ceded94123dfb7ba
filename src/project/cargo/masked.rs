//! Manifests and `Cargo.lock`, reduced to what decides about the dependencies. Part of the step from
//! options to project.
//!
//! A member's version says nothing about the dependencies, so it is masked wherever it stands: in the member's
//! manifest, in `workspace.package`, in other members' requirements, in `Cargo.lock`. Left out are:
//!
//! * keys that only describe a package, and lints, which are about members alone;
//! * `rust-version` of members: Cargo goes by it when it chooses versions, and `Cargo.lock` has chosen;
//! * profiles that no command of `prebuild` builds with, and `default-run` where none runs a program;
//! * what Cargo ignores in a manifest that is not the workspace's, and empty tables.
//!
//! Keys that say which targets there are stay, such as `autobins`: without them Cargo would find others in the
//! skeleton. `workspace.exclude` stays: it decides which local packages are members.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::semver::Version;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::project::cargo::lock_file::parse_lock_file;
use crate::project::cargo::manifest::{DEPENDENCY_TABLES, Manifest};

const MASKED_VERSION: &str = "0.0.0";

/// The keys of a package without a say in how its dependencies are built.
const DESCRIPTIVE_KEYS: [&str; 16] = [
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
    "publish",
    "readme",
    "repository",
    "rust-version",
];

/// The tables that Cargo reads in the workspace's manifest alone.
const TABLES_OF_THE_WORKSPACE: [&str; 3] = ["patch", "profile", "replace"];

/// The lists of targets, whose order says nothing.
const TARGET_LISTS: [&str; 4] = ["bench", "bin", "example", "test"];

/// The lists of members, whose order says nothing.
const MEMBER_LISTS: [&str; 3] = ["default-members", "exclude", "members"];

/// What does not count.
pub(super) struct Masked {
    /// The members whose versions do not count.
    pub(super) versions: BTreeMap<String, String>,
    /// Whether what members inherit is masked too.
    pub(super) inherited: bool,
    /// The profiles that count, if these are known. Then a build is all that is done.
    pub(super) profiles: Option<BTreeSet<String>>,
}

impl Masked {
    /// The manifest of a member or of the workspace, as TOML with its tables sorted.
    pub(super) fn manifest(&self, manifest: &Manifest, is_of_workspace: bool) -> Result<String> {
        let mut table = manifest.0.clone();
        for_each_dependency_table(&mut table, &mut |dependencies| self.mask_requirements(dependencies));
        table.remove("badges");
        table.remove("lints");
        if !is_of_workspace {
            TABLES_OF_THE_WORKSPACE.iter().for_each(|key| drop(table.remove(*key)));
        }
        if let Some(package) = table.get_mut("package").and_then(Value::as_table_mut) {
            mask_package(package);
            if self.profiles.is_some() {
                package.remove("default-run");
            }
        }
        if let Some(used) = &self.profiles
            && let Some(profiles) = table.get_mut("profile").and_then(Value::as_table_mut)
        {
            profiles.retain(|name, _| used.contains(name));
        }
        if let Some(workspace) = table.get_mut("workspace").and_then(Value::as_table_mut) {
            self.mask_workspace(workspace);
        }
        sort_lists(&mut table, &TARGET_LISTS);
        remove_empty_tables(&mut table);
        toml::to_string(&table).map_err(|error| Error::failed("cannot write a manifest").because(error))
    }

    fn mask_workspace(&self, workspace: &mut Table) {
        workspace.remove("metadata");
        if let Some(dependencies) = workspace.get_mut("dependencies").and_then(Value::as_table_mut) {
            self.mask_requirements(dependencies);
        }
        // A whole local dependency inherits from here, and is built as it is.
        if self.inherited {
            workspace.remove("lints");
            workspace.get_mut("package").and_then(Value::as_table_mut).map(mask_package);
        }
        sort_lists(workspace, &MEMBER_LISTS);
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

    /// `Cargo.lock` with the members' versions masked, in Cargo's own order, without comments.
    pub(super) fn lock_file(&self, text: &[u8]) -> Result<String> {
        let mut table = parse_lock_file(text)?;
        let packages = table.get_mut("package").and_then(Value::as_array_mut);
        if let Some(packages) = packages {
            packages.iter_mut().filter_map(Value::as_table_mut).for_each(|package| self.mask_locked(package));
            // Cargo sorts by name and version; a masked version may sort elsewhere among packages of its name.
            packages.sort_by_cached_key(|package| {
                let field = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                (field("name"), Version::parse(&field("version")).ok(), field("source"))
            });
        }
        toml::to_string(&table).map_err(|error| Error::failed("cannot write `Cargo.lock`").because(error))
    }

    fn mask_locked(&self, package: &mut Table) {
        let is_member = |name: &str, version: &str| self.versions.get(name).is_some_and(|member| member == version);
        let field = |name: &str| package.get(name).and_then(Value::as_str);
        if field("source").is_none() && is_member(field("name").unwrap_or(""), field("version").unwrap_or("")) {
            package.insert("version".to_owned(), MASKED_VERSION.into());
        }
        for dependency in package.get_mut("dependencies").and_then(Value::as_array_mut).into_iter().flatten() {
            // Where a name is ambiguous, dependencies are written with their version.
            if let Some((name, version)) = dependency.as_str().and_then(|dependency| dependency.split_once(' '))
                && is_member(name, version)
            {
                *dependency = format!("{name} {MASKED_VERSION}").into();
            }
        }
    }
}

/// The profiles that the commands of `prebuild` build with, and those that these inherit from. Nothing where a command
/// is anything but a build with plain arguments: all profiles count then.
pub(super) fn profiles_of<'a>(
    prebuild: impl IntoIterator<Item = &'a str>,
    inherited: impl Fn(&str) -> Vec<String>,
) -> Option<BTreeSet<String>> {
    let mut waiting = Vec::new();
    for command in prebuild {
        waiting.push(profile_of(command)?.to_owned());
    }
    let mut profiles = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if profiles.insert(name.clone()) {
            waiting.extend(inherited(&name));
            waiting.extend(match name.as_str() {
                "test" => Some("dev".to_owned()),
                "bench" => Some("release".to_owned()),
                _ => None,
            });
        }
    }
    Some(profiles)
}

fn profile_of(command: &str) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" -_=.,:/+".contains(&byte);
    let mut words = command.split(' ').filter(|word| !word.is_empty());
    if words.next() != Some("build") || !command.bytes().all(is_plain) {
        return None;
    }
    let mut profile = "dev";
    while let Some(word) = words.next() {
        match word {
            "-r" | "--release" => profile = "release",
            "--profile" => profile = words.next()?,
            // Configuration may change what profiles inherit from; several short flags may hide `-r`.
            _ if word.starts_with("--config") => return None,
            _ if word.starts_with('-') && !word.starts_with("--") && word.len() > 2 => return None,
            _ => profile = word.strip_prefix("--profile=").unwrap_or(profile),
        }
    }
    Some(profile)
}

fn mask_package(package: &mut Table) {
    DESCRIPTIVE_KEYS.iter().for_each(|key| drop(package.remove(*key)));
    if package.contains_key("version") {
        package.insert("version".to_owned(), MASKED_VERSION.into());
    }
}

fn sort_lists(table: &mut Table, lists: &[&str]) {
    for list in lists {
        if let Some(values) = table.get_mut(*list).and_then(Value::as_array_mut) {
            values.sort_by_cached_key(Value::to_string);
        }
    }
}

/// Removes the tables that say nothing where they are empty. An empty `[workspace]` or `[lib]` does say something.
fn remove_empty_tables(table: &mut Table) {
    if let Some(targets) = table.get_mut("target").and_then(Value::as_table_mut) {
        targets.iter_mut().filter_map(|(_, target)| target.as_table_mut()).for_each(remove_empty_tables);
        targets.retain(|_, target| !is_empty(target));
    }
    for name in DEPENDENCY_TABLES.into_iter().chain(["features", "target"]).chain(TABLES_OF_THE_WORKSPACE) {
        if table.get(name).is_some_and(is_empty) {
            table.remove(name);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_table().is_some_and(Table::is_empty)
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none("build", Some("dev"))]
    #[case::a_flag("build --release --locked", Some("release"))]
    #[case::a_short_flag("build -r -p app", Some("release"))]
    #[case::a_name("build --profile dist", Some("dist"))]
    #[case::a_name_with_an_equals_sign("build --profile=dist --features a,b", Some("dist"))]
    #[case::hidden_in_short_flags("build -vr", None)]
    #[case::changed_by_configuration("build --release --config x.toml", None)]
    #[case::a_variable("build $FLAGS", None)]
    #[case::two_commands("build && cargo build --release", None)]
    #[case::two_lines("build\ncargo test", None)]
    #[case::something_else("run --release", None)]
    fn the_profile_of_a_command_is_known_or_not_guessed(#[case] command: &str, #[case] expected: Option<&str>) {
        assert_eq!(profile_of(command), expected);
    }

    #[test]
    fn a_profile_counts_with_all_that_it_inherits_from() {
        let inherited = |name: &str| match name {
            "dist" => vec!["test".to_owned()],
            _ => Vec::new(),
        };
        let profiles = profiles_of(["build --profile dist"], inherited).unwrap_or_default();
        assert_eq!(profiles.into_iter().collect::<Vec<_>>(), ["dev", "dist", "test"]);
        assert_eq!(profiles_of(["build --release", "test"], inherited), None);
    }

    #[test]
    fn members_are_masked_in_the_lock_file_and_nothing_else_is() {
        let versions = [("app", "0.3.0"), ("lib", "0.2.0")].map(|(name, version)| (name.into(), version.into()));
        let masked = Masked { versions: versions.into(), inherited: true, profiles: None };
        let head = "version = 3\n\n[[package]]\nname = \"lib\"\nversion = \"1.0.0\"\nsource = \"registry\"\n\n";
        let tail = "\n[[patch.unused]]\nname = \"app\"\nversion = \"0.3.0\"\n\n[metadata]\n\"checksum lib 1.0.0 (registry)\" = \"x\"\n";
        let members = |app: &str, lib: &str| {
            format!(
                "[[package]]\nname = \"lib\"\nversion = \"{lib}\"\n\n[[package]]\nname = \"app\"\nversion = \"{app}\"\n\
                 dependencies = [\"lib {lib}\", \"lib 1.0.0\", \"other\"]\n"
            )
        };
        let text = |members: &str| format!("{head}{members}{tail}");
        let as_table = |text: &str| toml::from_str::<Table>(text).unwrap_or_default();
        let result = as_table(&masked.lock_file(text(&members("0.3.0", "0.2.0")).as_bytes()).unwrap_or_default());
        let mut expected = as_table(&text(&members("0.0.0", "0.0.0")));
        let packages = expected.get_mut("package").and_then(Value::as_array_mut);
        packages.into_iter().for_each(|packages| packages.reverse());
        assert!(!result.is_empty());
        assert_eq!(result, expected, "in the order of names and versions");
    }
}
