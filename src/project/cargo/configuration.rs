//! Cargo's configuration of the workspace: its file, the files that this one includes, and what they say of packages
//! and of the target folder. Part of the step from options to project.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use toml::{Table, Value};

use crate::config::values::is_word;
use crate::error::{Context as _, Error, Result};
use crate::project::cargo::manifest::{is_inside, normalised, parse_table, paths_of_patches};
use crate::project::cargo::root::{CARGO_CONFIG_FILES, Root};
use crate::staging::listing::{Selection, why_left_out};
use crate::staging::source::{SourceFile, SourceKind};
use crate::system::interrupt::Interrupt;
use crate::system::reading;

/// Links that follow each other, after which a path leads nowhere: what Linux allows.
const LINKS_IN_A_PATH: usize = 40;

/// The project's files, as a path finds them.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a> {
    /// Sorted by path.
    pub(super) files: &'a [SourceFile],
}

impl<'a> Tree<'a> {
    pub(super) fn file(self, path: &Utf8Path) -> Option<&'a SourceFile> {
        let at = self.files.binary_search_by(|file| (*file.path).cmp(path)).ok()?;
        self.files.get(at)
    }

    pub(super) fn has_folder(&self, path: &Utf8Path) -> bool {
        let at = self.files.partition_point(|file| &*file.path < path);
        self.files.get(at).is_some_and(|file| file.path.starts_with(path) && &*file.path != path)
    }

    /// Where a path leads, which is relative to the root: links are followed as the system does. The links on the way
    /// are added to `passed`. Nothing where the path leads out of the root.
    pub(super) fn follow(&self, path: &Utf8Path, passed: &mut BTreeSet<Utf8PathBuf>) -> Option<Utf8PathBuf> {
        let reversed = |path: &Utf8Path| path.components().map(|part| part.as_str().to_owned()).rev().collect();
        let mut waiting: Vec<String> = reversed(path);
        let mut reached = Utf8PathBuf::new();
        let mut links = 0;
        while let Some(name) = waiting.pop() {
            match Utf8Path::new(&name).components().next() {
                Some(Utf8Component::Normal(name)) => reached.push(name),
                Some(Utf8Component::ParentDir) if reached.pop() => continue,
                Some(Utf8Component::CurDir) | None => continue,
                Some(_) => return None,
            }
            if let Some(SourceKind::Link { target }) = self.file(&reached).map(|file| &file.kind) {
                passed.insert(reached.clone());
                reached.pop();
                links += 1;
                if links > LINKS_IN_A_PATH {
                    return None;
                }
                waiting.extend::<Vec<String>>(reversed(Utf8Path::new(target)));
            }
        }
        Some(reached)
    }
}

/// A file of Cargo's configuration.
#[derive(Debug)]
pub(super) struct ConfigurationFile {
    /// Its path, relative to the root.
    pub(super) path: Utf8PathBuf,
    /// The folder, relative to the root and perhaps with `..`, that Cargo sees the file in.
    pub(super) folder: Utf8PathBuf,
    /// What it says.
    pub(super) table: Table,
}

impl ConfigurationFile {
    /// The folder that Cargo takes relative paths in the file from, spelled as Cargo does: the parent of the file's.
    pub(super) fn base(&self) -> &Utf8Path {
        self.folder.parent().unwrap_or(Utf8Path::new(""))
    }

    /// The file as the dependency stage gets it: without comments, its tables sorted.
    pub(super) fn normalised(&self) -> Result<String> {
        toml::to_string(&self.table)
            .map_err(|error| Error::failed(format!("cannot write `{}`", self.path)).because(error))
    }
}

/// Where configuration is looked for.
#[derive(Clone, Copy)]
struct Place<'a> {
    root: &'a Utf8Path,
    tree: Tree<'a>,
    selection: &'a Selection,
    interrupt: &'a Interrupt,
}

/// Cargo's configuration of the workspace.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    /// The files that Cargo reads, in the order in which each has precedence over those before it.
    pub(super) files: Vec<ConfigurationFile>,
    /// The links on the way to these.
    pub(super) links: BTreeSet<Utf8PathBuf>,
}

impl Configuration {
    /// # Errors
    /// When a file is not valid TOML, or includes a file that the image would lack.
    pub(super) fn read(
        root: &Root,
        sources: &[SourceFile],
        selection: &Selection,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut configuration = Self::default();
        let tree = Tree { files: sources };
        let place = Place { root: &root.path, tree, selection, interrupt };
        let folders: Vec<&Utf8Path> = root.folders().collect();
        for folder in folders.into_iter().rev() {
            let mut paths = CARGO_CONFIG_FILES.iter().rev().map(|path| folder.join(path));
            if let Some(path) = paths.find(|path| tree.file(path).is_some()) {
                configuration.add(place, &path)?;
            }
        }
        Ok(configuration)
    }

    /// Adds the file that is found at `spelled`, after the files that it includes.
    fn add(&mut self, place: Place<'_>, spelled: &Utf8Path) -> Result<()> {
        let Place { root, tree, selection, interrupt } = place;
        let Some(path) = tree.follow(spelled, &mut self.links) else { return Ok(()) };
        let Some(file) = tree.file(&path).filter(|_| !self.holds(&path)) else { return Ok(()) };
        let text = match file.text() {
            Some(text) => text.to_vec(),
            None => reading::bytes(&root.join(&path)).context(|| format!("cannot read `{path}`"))?,
        };
        let table = parse_table(&path, &text)?;
        let folder = spelled.parent().unwrap_or(Utf8Path::new("")).to_owned();
        let at = self.files.len();
        self.files.push(ConfigurationFile { path: path.clone(), folder: folder.clone(), table });
        for (included, optional) in includes(&self.files[at].table) {
            let spelled = folder.join(&included);
            let inside = if spelled.is_absolute() { None } else { tree.follow(&spelled, &mut BTreeSet::new()) };
            match inside {
                Some(inside) if tree.file(&inside).is_some() => self.add(place, &spelled)?,
                // The image lacks it, as a machine may that has no such file.
                _ if optional => {}
                Some(inside) => {
                    return Err(Error::failed(format!(
                        "`{inside}`, which `{path}` needs, is not among the source files"
                    ))
                    .because(why_left_out(root, selection, &inside, interrupt))
                    .hint("have the file tracked, take it out of the ignore file, or say `optional = true`"));
                }
                None => {
                    return Err(Error::failed(format!("`{path}` includes `{included}`, which is not in the project"))
                        .hint(
                            "an image has the project's files alone: move the file there, or say `optional = true`",
                        ));
                }
            }
        }
        self.files[at..].rotate_left(1);
        Ok(())
    }

    fn holds(&self, path: &Utf8Path) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// The file at `path`, if Cargo reads it.
    pub(super) fn file(&self, path: &Utf8Path) -> Option<&ConfigurationFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Names and folders, relative to the root, of the local packages that `[patch]` puts in the place of others.
    pub(super) fn patched_paths(&self) -> Vec<(String, Utf8PathBuf)> {
        self.files.iter().flat_map(|file| paths_of_patches(&file.table, file.base())).collect()
    }

    /// Whether a wrapper of the compiler is set.
    pub(super) fn has_wrapper(&self) -> bool {
        let build = self.files.iter().filter_map(|file| file.table.get("build")?.as_table());
        build.flat_map(Table::keys).any(|key| key.ends_with("rustc-wrapper") || key.ends_with("workspace-wrapper"))
    }

    /// Whether the targets that are compiled for are chosen.
    pub(super) fn has_targets(&self) -> bool {
        self.files.iter().any(|file| file.table.get("build").is_some_and(|build| build.get("target").is_some()))
    }

    /// Whether packages, local or not, stand in the place of others.
    pub(super) fn has_patches(&self) -> bool {
        self.files.iter().any(|file| file.table.contains_key("patch"))
    }

    /// The folders, relative to the root, whose packages `paths` puts in the place of others of their names.
    pub(super) fn overriding_folders(&self) -> Vec<Utf8PathBuf> {
        let mut folders = Vec::new();
        for file in &self.files {
            let paths = file.table.get("paths").and_then(Value::as_array).into_iter().flatten();
            folders.extend(paths.filter_map(Value::as_str).map(|path| normalised(&file.base().join(path))));
        }
        folders
    }

    /// `build.target-dir`, relative to the root, if it is set.
    ///
    /// # Errors
    /// When it does not lie inside the project, or holds one of `sources`.
    pub(super) fn target_folder(&self, sources: &BTreeSet<Utf8PathBuf>) -> Result<Option<String>> {
        let set = self.files.iter().rev().find_map(|file| {
            Some((file, file.table.get("build").and_then(|build| build.get("target-dir")).and_then(Value::as_str)?))
        });
        let Some((file, folder)) = set else { return Ok(None) };
        let path = normalised(&file.base().join(folder));
        let is_plain = is_word(path.as_str().trim_start_matches('.'), b"/-.");
        let hint = if !is_inside(&path) || (!is_plain && !path.as_str().is_empty()) {
            "inside an image it must lie in the workspace; set your own in the environment: CARGO_TARGET_DIR"
        } else if sources.iter().any(|source| source.starts_with(&path)) {
            "sources lie there: give what Cargo builds a folder of its own, such as `target`"
        } else {
            return Ok(Some(path.into_string()));
        };
        Err(Error::failed(format!("`{}` sets `build.target-dir` to `{folder}`", file.path)).hint(hint))
    }

    /// The names of the profiles that a profile of the configuration inherits from.
    pub(super) fn inherited_profile(&self, name: &str) -> impl Iterator<Item = &str> {
        self.files.iter().filter_map(move |file| file.table.get("profile")?.get(name)?.get("inherits")?.as_str())
    }
}

/// The paths that `include` names, and whether each may be missing.
fn includes(table: &Table) -> Vec<(String, bool)> {
    let listed = match table.get("include") {
        Some(Value::Array(listed)) => listed.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let mut includes = Vec::new();
    for value in listed {
        if let Some(path) = value.as_str().or_else(|| value.get("path")?.as_str()) {
            includes.push((path.to_owned(), value.get("optional").and_then(Value::as_bool) == Some(true)));
        }
    }
    includes
}
