//! The one list of source files: which files below a root belong to a project.
//!
//! In a git work tree these are the tracked files, wherever they lie, and the untracked ones that are not ignored.
//! Elsewhere they are all files but those that a `.gitignore` in the tree names. What this tool itself writes is never
//! among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;

use crate::error::{Context as _, Error, Result};
use crate::staging::index::Index;
use crate::staging::own_files::{DOCKERFILE, is_build_folder};
use crate::staging::tree_path::TreePath;
use crate::system::command::Capture;
use crate::system::git::{git, is_further_work_tree};
use crate::system::interrupt::Interrupt;
use crate::system::log_file::LogFile;
use crate::system::paths::{OWN_PREFIX, refuse_outside};
use crate::system::reading;
use crate::system::terminal::{Terminal, some_of};

/// The user's own ignore file, in the syntax of `.gitignore`.
pub const IGNORE_FILE: &str = ".runtime-image-ignore";

/// The longest pattern of a file name, in bytes: as long as a path can be. What reads patterns goes down as deep as
/// their braces are nested.
const LONGEST_PATTERN: usize = 4096;

/// The most bytes of all patterns of one place: what they are compiled to is many times larger.
const MOST_PATTERNS: usize = 256 << 10;

/// What a project says of its list, besides what git and ignore files say.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The build folder, where it lies below the root: it is never among the files.
    pub build_folder: Option<TreePath>,
    /// Folders of what is built: only what git tracks in them is among the files.
    pub generated: BTreeSet<TreePath>,
    /// Files that are among the sources even where an ignore file names them, as far as they exist.
    pub always: Vec<TreePath>,
    /// Where only a part of what lies below the root belongs to the project, the folders that do, and single files.
    pub only: Option<BTreeSet<TreePath>>,
    /// The folder that the project was found in, relative to the root, where it is another: it may have an ignore file.
    pub folder: Option<TreePath>,
    /// Files that the project is read from. A folder above one that is a link stands for the folder that it points to.
    pub inputs: Vec<TreePath>,
}

/// The listed paths, and whether git tracks them.
type Listed = Vec<(TreePath, bool)>;

/// The files below `root` that belong to the project.
///
/// # Errors
/// When git refuses, a folder cannot be read, or a name is not UTF-8.
pub(super) fn listing(
    root: &Utf8Path,
    selection: &Selection,
    index: &Index,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Vec<TreePath>> {
    let rules = Rules { root: root.to_owned(), selection: selection.clone(), ignored: Ignored::new(root, selection)? };
    let mut paths = rules.listed(index, terminal, interrupt)?;
    rules.leave_out(&mut paths, interrupt)?;
    let mut paths: Vec<TreePath> = paths.into_iter().map(|(path, _)| path).collect();
    let always = selection.always.iter().filter(|path| is_there(&root.join(path)) && !rules.is_never(path));
    paths.extend(always.cloned());
    paths.sort();
    paths.dedup();
    let mut links = Links { root, folders: BTreeMap::new(), last: None };
    paths.retain(|path| !links.lead_to(path));
    open_links(root, &selection.inputs, &mut paths);
    Ok(paths)
}

/// Whether there is anything but a folder: what is no file either is refused by name when it is read.
fn is_there(path: &Utf8Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_dir())
}

/// Why the file at `path`, which a project needs, is not among its files: the rule that leaves it out.
pub fn why_left_out(root: &Utf8Path, selection: &Selection, path: &Utf8Path, interrupt: &Interrupt) -> String {
    if !root.join(path).exists() {
        return "there is no such file".to_owned();
    }
    if Ignored::new(root, selection).is_ok_and(|ignored| ignored.leaves_out(path, false)) {
        return format!("`{IGNORE_FILE}` names it");
    }
    let mut links = Links { root, folders: BTreeMap::new(), last: None };
    if TreePath::new(path).is_some_and(|path| links.lead_to(&path)) {
        return "a folder above it is a link".to_owned();
    }
    let ask = git(root).args(["check-ignore", "--verbose", "--no-index", "--", path.as_str()]);
    let answer = ask.run(Capture::Both, interrupt).ok().filter(|output| output.success);
    // `.gitignore:3:*.lock<TAB>Cargo.lock`
    match answer.as_ref().and_then(|output| output.stdout.split_once('\t')).map(|(rule, _)| rule.splitn(3, ':')) {
        Some(mut rule) => {
            let [file, line, pattern] = [rule.next(), rule.next(), rule.next()].map(Option::unwrap_or_default);
            format!("line {line} of `{file}` leaves out `{pattern}`")
        }
        None => "it lies in a folder that is never among them, such as the target folder, or an ignore file names it"
            .to_owned(),
    }
}

#[derive(Clone)]
struct Rules {
    root: Utf8PathBuf,
    selection: Selection,
    ignored: Ignored,
}

/// The user's own ignore files, with the folders that they lie in.
#[derive(Clone)]
struct Ignored(Vec<(Utf8PathBuf, Gitignore)>);

impl Ignored {
    fn new(root: &Utf8Path, selection: &Selection) -> Result<Self> {
        let folders = [Some(Utf8Path::new("")), selection.folder.as_deref()];
        let mut read = Vec::new();
        for folder in folders.into_iter().flatten() {
            let ignored = user_ignores(root, folder)?;
            if !ignored.is_empty() {
                read.push((folder.to_owned(), ignored));
            }
        }
        Ok(Self(read))
    }

    fn leaves_out(&self, path: &Utf8Path, is_folder: bool) -> bool {
        let mut below = self.0.iter().filter_map(|(folder, ignored)| Some((path.strip_prefix(folder).ok()?, ignored)));
        below.any(|(path, ignored)| ignored.matched_path_or_any_parents(path, is_folder).is_ignore())
    }

    /// Whether no pattern takes back what another one names, so that nothing in an ignored folder can be meant.
    fn is_plain(&self) -> bool {
        self.0.iter().all(|(_, ignored)| ignored.num_whitelists() == 0)
    }
}

impl Rules {
    /// The files as git knows them, where it does.
    fn listed(&self, index: &Index, terminal: &Terminal, interrupt: &Interrupt) -> Result<Listed> {
        let mut uninitialised = Vec::new();
        let listed = self.git_listing(None, index, &mut uninitialised, interrupt)?;
        warn_of_empty_submodules(&uninitialised, terminal);
        match listed {
            Some(paths) if !paths.is_empty() => Ok(paths),
            None => self.walk(None, interrupt),
            Some(_) => {
                // A folder that git ignores as a whole, such as one of generated code, has files all the same.
                let paths = self.walk(None, interrupt)?;
                if !paths.is_empty() {
                    terminal
                        .warning(format!("git ignores the folder `{}`: its files are listed without git", self.root));
                }
                Ok(paths)
            }
        }
    }

    /// The files of the work tree in the folder `below`, and of the work trees in it.
    fn git_listing(
        &self,
        below: Option<&TreePath>,
        index: &Index,
        uninitialised: &mut Vec<TreePath>,
        interrupt: &Interrupt,
    ) -> Result<Option<Listed>> {
        let folder = below.map_or_else(|| self.root.clone(), |below| self.root.join(below));
        if !folder.ancestors().any(|folder| folder.join(".git").exists()) {
            return Ok(None);
        }
        let output = told_by_git(&folder, index, interrupt)?;
        // `H src/main.rs` is tracked, `? notes.txt` is not.
        let entries: Vec<(&str, &str)> = output.split('\0').filter_map(|entry| entry.split_once(' ')).collect();
        let may_be_lossy = output.contains('\u{FFFD}');
        let listed = entries.into_par_iter().enumerate().map(|(number, (state, name))| {
            interrupt.check()?;
            // Of a submodule that is not initialised git lists the folder itself.
            let Some(path) = TreePath::new(name) else { return Ok(None) };
            let path = match below {
                Some(below) => path.in_folder(below),
                None => path,
            };
            if may_be_lossy && name.contains('\u{FFFD}') && !self.ignored.leaves_out(&path, false) {
                return Err(not_utf8(name));
            }
            let is_file = index.has_file(&path, number);
            Ok(Some((path, state != "?", is_file)))
        });
        let listed: Vec<Result<Option<(TreePath, bool, bool)>>> = listed.collect();
        let mut paths = Listed::with_capacity(listed.len());
        for entry in listed {
            let Some((path, tracked, is_file)) = entry? else { continue };
            if is_file {
                paths.push((path, tracked));
                continue;
            }
            // git lists a submodule as one entry, and so a work tree of its own that is not ignored.
            let folder = self.root.join(&path);
            if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
                paths.push((path, tracked));
            } else if !self.leaves_out_folder(&path, tracked) && (tracked || !is_further_work_tree(&folder)) {
                paths.extend(if folder.join(".git").exists() {
                    self.git_listing(Some(&path), index, uninitialised, interrupt)?.unwrap_or_default()
                } else {
                    uninitialised.push(path.clone());
                    self.walk(Some(&path), interrupt)?
                });
            }
        }
        Ok(Some(paths))
    }

    fn walk(&self, below: Option<&TreePath>, interrupt: &Interrupt) -> Result<Listed> {
        let folder = below.map_or_else(|| self.root.clone(), |below| self.root.join(below));
        // Only `.gitignore` files in the tree decide, so that every machine has the same list.
        let mut walk = ignore::WalkBuilder::new(&folder);
        walk.hidden(false).parents(false).ignore(false).git_global(false).git_exclude(false).require_git(false);
        let rules = self.clone();
        // The walk itself reads the ignore file of each folder that it enters.
        refuse_unreadable_ignores(&folder)?;
        let refused = Arc::new(Mutex::new(None));
        let refusal = refused.clone();
        walk.filter_entry(move |entry| {
            let Some(full) = Utf8Path::from_path(entry.path()) else { return true };
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let is_left_out = |path: TreePath| rules.leaves_out_folder(&path, false);
            if entry.file_name() == ".git" || (is_folder && TreePath::below(&rules.root, full).is_some_and(is_left_out))
            {
                return false;
            }
            let readable = if is_folder { refuse_unreadable_ignores(full) } else { Ok(()) };
            readable.map_err(|error| *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error)).is_ok()
        });
        let mut paths = Listed::new();
        for entry in walk.build() {
            interrupt.check()?;
            let entry = entry.context(|| format!("cannot list the files of `{folder}`"))?;
            if entry.file_type().is_none_or(|kind| kind.is_dir()) {
                continue;
            }
            let path = Utf8Path::from_path(entry.path()).ok_or_else(|| not_utf8(&entry.path().to_string_lossy()))?;
            paths.extend(TreePath::below(&self.root, path).map(|path| (path, false)));
        }
        let refused = refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        refused.map_or(Ok(paths), Err)
    }

    /// Whether nothing in this folder can be among the files, so that nobody has to look into it.
    fn leaves_out_folder(&self, folder: &TreePath, tracked: bool) -> bool {
        self.is_build_folder(folder)
            || (!tracked && self.is_generated(folder))
            || !self.is_meant(folder)
            || (self.ignored.is_plain() && self.ignored.leaves_out(folder, true))
    }

    /// Whether a path is in the part of the tree that belongs to the project, or a folder around that.
    fn is_meant(&self, path: &TreePath) -> bool {
        let is_around =
            |only: &BTreeSet<TreePath>| only.range(path.clone()..).next().is_some_and(|part| part.starts_with(path));
        let meant = |only: &BTreeSet<TreePath>| lies_in_any(path, only) || is_around(only);
        self.selection.only.as_ref().is_none_or(meant)
    }

    fn leave_out(&self, paths: &mut Listed, interrupt: &Interrupt) -> Result<()> {
        let build_folders = self.other_build_folders(paths);
        let mut goes_on = Ok(());
        paths.retain(|(path, tracked)| {
            if goes_on.is_ok() {
                goes_on = interrupt.check();
            }
            if goes_on.is_err() {
                return false;
            }
            let is_own = || {
                self.is_generated(path)
                    || lies_in_any(path, &build_folders)
                    || (path.extension() == Some("log") && LogFile::is_at(&self.root.join(&**path)))
            };
            !self.is_never(path)
                && (*tracked || !is_own())
                && self.is_meant(path)
                && !self.ignored.leaves_out(path, false)
        });
        goes_on
    }

    /// Whether `path` is git's own or in the build folder.
    fn is_never(&self, path: &TreePath) -> bool {
        let is_of_git = path.as_str().contains(".git") && path.as_str().split('/').any(|name| name == ".git");
        is_of_git || self.is_build_folder(path)
    }

    fn is_build_folder(&self, path: &TreePath) -> bool {
        self.selection.build_folder.as_ref().is_some_and(|folder| path.starts_with(folder))
    }

    /// Whether `path` lies in a folder of what is built, or is a lock or a temporary folder of this tool.
    fn is_generated(&self, path: &TreePath) -> bool {
        lies_in_any(path, &self.selection.generated) || path.components().any(|part| is_own_name(part.as_str()))
    }

    /// Folders that earlier runs staged into, which had another build folder.
    fn other_build_folders(&self, paths: &Listed) -> BTreeSet<TreePath> {
        let untracked = paths.iter().filter(|(_, tracked)| !tracked).map(|(path, _)| path);
        let folders = untracked.filter(|path| path.file_name() == Some(DOCKERFILE)).filter_map(|path| path.parent());
        folders.filter(|folder| is_build_folder(&self.root.join(folder))).filter_map(TreePath::new).collect()
    }
}

/// What git says of the files in a folder of its work tree: each with its state, ended by a zero.
fn told_by_git(folder: &Utf8Path, index: &Index, interrupt: &Interrupt) -> Result<String> {
    let listed = ["ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard"];
    let running = git(folder).args(listed).start(Capture::Both, interrupt);
    // The files of last time are looked at while git lists those of now.
    index.look();
    match running.and_then(|running| running.wait()) {
        Ok(output) if output.success => Ok(output.stdout),
        Ok(output) => {
            let error = Error::failed(format!("git cannot list the files of `{folder}`"));
            let hint = if output.stderr.contains("safe.directory") {
                format!(
                    "git does not trust a tree of another user: `git config --global --add safe.directory {folder}`"
                )
            } else {
                format!("`git -C {folder} status` says more: mend the repository, or take its `.git` away")
            };
            Err(error.because(output.stderr.trim()).hint(hint))
        }
        Err(error) if which::which("git").is_err() => {
            Err(error.hint("the project is a git work tree: install `git`, which knows its files"))
        }
        Err(error) => Err(error),
    }
}

/// Whether `path` is one of these or lies in one.
fn lies_in_any(path: &TreePath, folders: &BTreeSet<TreePath>) -> bool {
    path.ancestors().any(|folder| folders.contains(folder))
}

/// Whether this tool gives such names to what it puts beside a build folder.
pub(super) fn is_own_name(name: &str) -> bool {
    name.starts_with(OWN_PREFIX) && name != IGNORE_FILE
}

fn warn_of_empty_submodules(uninitialised: &[TreePath], terminal: &Terminal) {
    if !uninitialised.is_empty() {
        terminal.warning(format!(
            "submodules that are not initialised are empty in the image: {} (`git submodule update --init`)",
            some_of(uninitialised)
        ));
    }
}

/// The globs of a key of the configuration as ignore files spell them, each anchored at the root.
///
/// # Errors
/// A usage error that names the key and the glob.
pub(crate) fn globs_from_root(globs: &[String], key: &str) -> Result<Gitignore> {
    let mut builder = GitignoreBuilder::new("");
    refuse_wild_patterns(globs, || format!("the patterns of `{key}`"))?;
    for glob in globs {
        let (not, path) = glob.strip_prefix('!').map_or(("", glob.as_str()), |path| ("!", path));
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let path = if path.is_empty() || path == "." { "**" } else { path };
        builder
            .add_line(None, &format!("{not}/{path}"))
            .map_err(|error| Error::usage(format!("`{key}`: wrong pattern `{glob}`")).because(error))?;
    }
    builder.build().map_err(|error| Error::usage(format!("wrong patterns in `{key}`")).because(error))
}

/// The ignore file in a folder of the tree.
fn user_ignores(root: &Utf8Path, folder: &Utf8Path) -> Result<Gitignore> {
    let file = root.join(folder).join(IGNORE_FILE);
    let mut builder = GitignoreBuilder::new("");
    if is_there(&file) {
        refuse_outside(root, &file)?;
        for line in ignore_lines(&file)?.lines() {
            builder
                .add_line(None, line)
                .map_err(|error| Error::usage(format!("cannot read `{file}`")).because(error))?;
        }
    }
    builder.build().map_err(|error| Error::usage(format!("cannot read `{file}`")).because(error))
}

/// The lines of an ignore file.
fn ignore_lines(file: &Utf8Path) -> Result<String> {
    let bytes = reading::bytes(file).context(|| format!("cannot read `{file}`"))?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    refuse_wild_patterns(text.lines(), || format!("the patterns in `{file}`"))?;
    Ok(text.to_owned())
}

/// Refuses an ignore file in `folder` that would be waited for in vain, or be more than can be read.
fn refuse_unreadable_ignores(folder: &Utf8Path) -> Result<()> {
    let file = folder.join(".gitignore");
    let is_read = fs::metadata(&file).is_ok_and(|metadata| !metadata.is_dir());
    if is_read { ignore_lines(&file).map(drop) } else { Ok(()) }
}

/// Refuses patterns that cannot be compiled in reasonable time and space. `what` they are starts the message.
fn refuse_wild_patterns(
    patterns: impl IntoIterator<Item = impl AsRef<str>>,
    what: impl FnOnce() -> String,
) -> Result<()> {
    let lengths: Vec<usize> = patterns.into_iter().map(|pattern| pattern.as_ref().len()).collect();
    if lengths.iter().all(|length| *length <= LONGEST_PATTERN) && lengths.iter().sum::<usize>() <= MOST_PATTERNS {
        return Ok(());
    }
    let most = MOST_PATTERNS >> 10;
    Err(Error::usage(format!("{} are too long", what())).hint(format!(
        "one has at most {LONGEST_PATTERN} bytes, and all together have {most} KiB: name folders instead"
    )))
}

/// Which folders below `root` are links, or are reached through one.
struct Links<'a> {
    root: &'a Utf8Path,
    folders: BTreeMap<Utf8PathBuf, bool>,
    /// The folder that was asked for last: paths that are sorted have many in the same one.
    last: Option<(Utf8PathBuf, bool)>,
}

impl Links<'_> {
    /// Whether `path` is reached through a link: the link stands for what is there.
    fn lead_to(&mut self, path: &TreePath) -> bool {
        let folder = path.folder();
        match &self.last {
            Some((last, behind)) if last.as_str() == folder => *behind,
            _ => {
                let behind = self.is_one(Utf8Path::new(folder));
                self.last = Some((folder.into(), behind));
                behind
            }
        }
    }

    fn is_one(&mut self, folder: &Utf8Path) -> bool {
        let Some(above) = folder.parent() else { return false };
        if let Some(behind) = self.folders.get(folder) {
            return *behind;
        }
        let behind = self.root.join(folder).is_symlink() || self.is_one(above);
        self.folders.insert(folder.to_owned(), behind);
        behind
    }
}

/// Puts the files of a folder in the place of a link to it, where an input is reached through the link.
fn open_links(root: &Utf8Path, inputs: &[TreePath], paths: &mut Vec<TreePath>) {
    let Ok(real_root) = root.canonicalize_utf8() else { return };
    let links: BTreeSet<TreePath> = inputs.iter().filter_map(|input| link_above(root, input)).collect();
    for link in links {
        let end = root.join(&link).canonicalize_utf8().ok();
        let Some(end) = end.and_then(|end| TreePath::below(&real_root, &end)) else { continue };
        // A link to a folder around it would hold itself.
        if !link.starts_with(&end)
            && let Ok(place) = paths.binary_search(&link)
        {
            paths.remove(place);
            let inside: Vec<TreePath> = paths.iter().filter_map(|path| TreePath::below(&end, path)).collect();
            paths.extend(inside.into_iter().map(|path| path.in_folder(&link)));
            paths.sort();
            paths.dedup();
        }
    }
}

/// The first folder above `path` that is a link.
fn link_above(root: &Utf8Path, path: &TreePath) -> Option<TreePath> {
    let folders: Vec<&Utf8Path> = path.ancestors().skip(1).filter(|folder| !folder.as_str().is_empty()).collect();
    folders.into_iter().rev().find(|folder| root.join(folder).is_symlink()).and_then(TreePath::new)
}

pub(super) fn not_utf8(name: &str) -> Error {
    Error::failed(format!("the name of `{name}` is not UTF-8"))
        .hint(format!("rename it, or name its folder in `{IGNORE_FILE}`"))
}
