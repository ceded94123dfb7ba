//! The files that Cargo's configuration names, besides those that it includes: they decide about the dependencies too.
//! Part of the step from options to project.
//!
//! The rule errs towards taking a file. What is missing in the dependency stage breaks a build or makes a name lie;
//! what is there without need costs a build of the dependencies when it changes.
//!
//! * Every string is taken for a name, and so is every part of a flag: `-Clink-arg=-Wl,-Tld/app.x` names `ld/app.x`.
//! * A file in a folder brings that folder: a wrapper or a linker script reads the files beside it. A folder is taken
//!   whole.
//! * `[env]` counts where it says `relative = true`, and names exactly: other values are mere words, and what stands
//!   beside a named file is not read because of it. Of `prebuild` and of aliases the arguments of `--config` and
//!   `--target` count.
//! * Sources of members are never taken: Rust files, manifests, the files of targets. Nor is a folder that holds the
//!   target of a member around it, such as `src`, nor a member inside a named folder. Else each edit would build
//!   the dependencies anew.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use toml::Value;

use crate::config::options::Options;
use crate::project::cargo::configuration::{Configuration, ConfigurationFile, Tree};
use crate::project::cargo::manifest::{MANIFEST, Manifest};

/// Tables of the configuration in which no string is the name of a file.
const WITHOUT_NAMES: [&str; 9] =
    ["cache", "cargo-new", "doc", "future-incompat-report", "install", "net", "profile", "resolver", "term"];

/// Variables of `env` that Cargo and the compiler take flags and programs from start with one of these.
const READ_BY_CARGO: [&str; 4] = ["CARGO_", "RUSTC", "RUSTDOC", "RUSTFLAGS"];

/// Keys of `build` that name where Cargo writes.
const WRITTEN_TO: [&str; 3] = ["build-dir", "dep-info-basedir", "target-dir"];

/// Which files belong to which package.
pub(super) struct Packages<'a> {
    /// The workspace's folder.
    pub(super) workspace: &'a Utf8Path,
    /// All manifests in the tree, by folder.
    pub(super) manifests: &'a BTreeMap<Utf8PathBuf, Manifest>,
    /// The folders of the members whose sources the dependency stage lacks.
    pub(super) members: BTreeSet<&'a Utf8Path>,
    /// The files of these members' targets.
    pub(super) targets: BTreeSet<Utf8PathBuf>,
}

impl Packages<'_> {
    /// The folder of the member that the file at `path` belongs to.
    fn member_of<'a>(&self, path: &'a Utf8Path) -> Option<&'a Utf8Path> {
        let folder = path.ancestors().skip(1).find(|folder| self.manifests.contains_key(*folder))?;
        self.members.contains(folder).then_some(folder)
    }

    fn is_source(&self, path: &Utf8Path) -> bool {
        if path.file_name() == Some(MANIFEST) {
            return path.parent().is_some_and(|folder| folder == self.workspace || self.members.contains(folder));
        }
        self.targets.contains(path) || (path.extension() == Some("rs") && self.member_of(path).is_some())
    }

    /// Whether the file at `path` is taken because the folder `named` above it is named.
    fn is_taken_with(&self, named: &Utf8Path, path: &Utf8Path) -> bool {
        if self.is_source(path) {
            return false;
        }
        self.member_of(path).is_none_or(|member| {
            let of_member = |target: &&Utf8PathBuf| self.member_of(target) == Some(member);
            !member.starts_with(named) && !self.targets.iter().filter(of_member).any(|target| target.starts_with(named))
        })
    }
}

/// How much a name brings along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brings {
    /// What it names.
    Itself,
    /// Of a file the others in its folder too.
    ItsFolder,
}

/// What is named.
struct Names<'a> {
    tree: Tree<'a>,
    packages: &'a Packages<'a>,
    /// The folder of the project in the image.
    workdir: &'a Utf8Path,
    files: BTreeSet<Utf8PathBuf>,
    folders: BTreeSet<Utf8PathBuf>,
    /// Folders of crates, which hold the sources of no member.
    crates: BTreeSet<Utf8PathBuf>,
}

/// The files that Cargo's configuration names, as options, variables and the configuration itself do.
pub(super) fn named_files(
    configuration: &Configuration,
    options: &Options,
    tree: Tree<'_>,
    packages: &Packages<'_>,
) -> BTreeSet<Utf8PathBuf> {
    let workdir = options.workdir.to_string();
    let (files, folders, crates) = Default::default();
    let mut names = Names { tree, packages, workdir: Utf8Path::new(&workdir), files, folders, crates };
    for file in &configuration.files {
        names.add_configuration(file);
    }
    let root = [packages.workspace.to_owned()];
    for (name, value) in &options.env {
        if READ_BY_CARGO.iter().any(|start| name.starts_with(start)) && !name.ends_with("_DIR") {
            names.add_text(&root, value);
        }
    }
    for command in options.prebuild.iter().flatten() {
        names.add_arguments(&root, command);
    }
    names.taken()
}

impl Names<'_> {
    fn add_configuration(&mut self, file: &ConfigurationFile) {
        // Cargo takes a path from `base`. A program that is told one takes it from where it runs.
        let workspace = self.packages.workspace;
        let bases = [file.base().to_owned(), file.folder.clone(), workspace.to_owned(), workspace.join(".cargo")];
        for (key, value) in file.table.iter().filter(|(key, _)| !WITHOUT_NAMES.contains(&key.as_str())) {
            let table = value.as_table().into_iter().flatten();
            match key.as_str() {
                "include" | "patch" | "paths" => {}
                "source" => table.for_each(|(_, source)| self.add_crates(file.base(), source)),
                "env" => {
                    for (_, variable) in table {
                        if variable.get("relative").and_then(Value::as_bool) == Some(true)
                            && let Some(path) = variable.get("value").and_then(Value::as_str)
                        {
                            self.add(&bases[..1], path, Brings::Itself);
                        }
                    }
                }
                "alias" => each_string(value, &mut |text| self.add_arguments(&bases, text)),
                "build" => {
                    for (_, value) in table.filter(|(key, _)| !WRITTEN_TO.contains(&key.as_str())) {
                        each_string(value, &mut |text| self.add_text(&bases, text));
                    }
                }
                _ => each_string(value, &mut |text| self.add_text(&bases, text)),
            }
        }
    }

    fn add_crates(&mut self, base: &Utf8Path, source: &Value) {
        for folder in ["directory", "local-registry"].into_iter().filter_map(|key| source.get(key)?.as_str()) {
            if let Some(folder) = self.tree.follow(&base.join(folder), &mut self.files)
                && !folder.as_str().is_empty()
            {
                self.crates.insert(folder);
            }
        }
    }

    /// Adds what a text names as a whole, and what its words and the parts of these name.
    fn add_text(&mut self, bases: &[Utf8PathBuf], text: &str) {
        self.add(bases, text, Brings::ItsFolder);
        for part in text.split(|character: char| character.is_whitespace() || "=,\"'\u{1f}".contains(character)) {
            self.add(bases, part, Brings::ItsFolder);
            let short_flag = part.strip_prefix('-').filter(|flag| !flag.starts_with('-'));
            if let Some(value) = short_flag.and_then(|flag| flag.get(1..)).or_else(|| part.strip_prefix('@')) {
                self.add(bases, value, Brings::ItsFolder);
            }
        }
    }

    /// Adds the files that a call of Cargo names as configuration and as the description of a target.
    fn add_arguments(&mut self, bases: &[Utf8PathBuf], call: &str) {
        let words: Vec<&str> = call.split_whitespace().collect();
        for flag in ["--config", "--target"] {
            for (at, word) in words.iter().enumerate() {
                let value = word.strip_prefix(flag).and_then(|rest| {
                    rest.strip_prefix('=').or_else(|| words.get(at + 1).copied().filter(|_| rest.is_empty()))
                });
                if let Some(value) = value {
                    self.add(bases, value.trim_matches(['"', '\'']), Brings::Itself);
                }
            }
        }
    }

    fn add(&mut self, bases: &[Utf8PathBuf], name: &str, brings: Brings) {
        let name = Utf8Path::new(name);
        if matches!(name.as_str(), "" | "." | "./") {
            return;
        }
        // In the image, the project is the working directory.
        let (bases, name) = match name.strip_prefix(self.workdir) {
            Ok(inside) => (&[Utf8PathBuf::new()][..], inside),
            Err(_) if name.is_absolute() => return,
            Err(_) => (bases, name),
        };
        for base in bases {
            let mut links = BTreeSet::new();
            let Some(path) = self.tree.follow(&base.join(name), &mut links) else { continue };
            let is_folder = self.tree.has_folder(&path) && !path.as_str().is_empty();
            let is_file = self.tree.file(&path).is_some();
            if is_file || is_folder {
                self.files.extend(links);
            }
            if is_folder {
                self.folders.insert(path);
            } else if is_file {
                let folder = path.parent().filter(|folder| brings == Brings::ItsFolder && !folder.as_str().is_empty());
                self.folders.extend(folder.map(Utf8Path::to_owned));
                self.files.insert(path);
            }
        }
    }

    fn taken(self) -> BTreeSet<Utf8PathBuf> {
        let is_taken = |path: &Utf8Path| {
            self.crates.iter().any(|folder| path.starts_with(folder))
                || (self.files.contains(path) && !self.packages.is_source(path))
                || self
                    .folders
                    .iter()
                    .any(|folder| path.starts_with(folder) && self.packages.is_taken_with(folder, path))
        };
        self.tree.files.iter().map(|file| &*file.path).filter(|path| is_taken(path)).map(Utf8Path::to_owned).collect()
    }
}

fn each_string(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(values) => {
            // Flags may be a list, and an option of a call stands before its value.
            let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            found(&words.join(" "));
            values.iter().for_each(|value| each_string(value, found));
        }
        Value::Table(table) => table.iter().for_each(|(_, value)| each_string(value, found)),
        _ => {}
    }
}
