//! The one list of source files, made when a project is read: what is hashed is what is staged.
//!
//! In a git work tree the source files are the tracked files and the untracked ones that are not ignored. Elsewhere
//! they are all files but those that a `.gitignore` in the tree names. Each file is hashed once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;

use crate::error::{Context as _, Error, Result};
use crate::hash::{ContentDigest, Md5Digest, content_digest, md5_digest, reader_digest};
use crate::staging::tree_path::TreePath;
use crate::system::command::Capture;
use crate::system::git::git;
use crate::system::interrupt::Interrupt;
use crate::system::paths::{climbs_out, ends_outside};
use crate::system::terminal::Terminal;

/// The user's own ignore file, in the syntax of `.gitignore`.
pub const IGNORE_FILE: &str = ".runtime-image-ignore";

/// How many of several paths a warning names.
const NAMED_IN_A_WARNING: usize = 3;

/// A file or link of the project.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Relative to the project root, with `/`.
    pub path: TreePath,
    /// Whether it is a file or a link, and what it holds.
    pub kind: SourceKind,
}

/// What a source file is.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its size in bytes.
        size: u64,
        /// The digest of its content.
        digest: ContentDigest,
        /// The content itself, kept for the few files that decide about dependencies.
        text: Option<Vec<u8>>,
    },
    /// A symbolic link that stays inside the tree.
    Link {
        /// Where it points, as written.
        target: String,
    },
}

/// A file or link as [`copied_files`] lists it.
#[derive(Debug, Clone)]
pub struct CopiedFile {
    /// The file or link.
    pub file: SourceFile,
    /// The MD5 of the file's content, or of the link's target.
    pub md5: Md5Digest,
}

/// Which files a project's kind wants to look into, by file name or path.
pub type KeepText = fn(&Utf8Path) -> bool;

/// Lists and reads the source files below `root`, sorted by path.
///
/// Folders in `left_out`, relative to `root`, never belong to the sources. Files in `always` do where they exist, even
/// ignored ones.
///
/// # Errors
/// When git refuses, when a file cannot be read, and for what cannot be staged: FIFOs, sockets, devices, links that
/// leave the tree, names that are not UTF-8. The message names the path.
pub fn source_files(
    root: &Utf8Path,
    left_out: &[Utf8PathBuf],
    always: &[&str],
    keep_text: KeepText,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Vec<SourceFile>> {
    let mut paths = listing(root, terminal, interrupt)?;
    let ignored = user_ignores(root)?;
    paths.retain(|path| {
        path.components().all(|part| part.as_str() != ".git")
            && !left_out.iter().any(|folder| path.starts_with(folder))
            && !ignored.matched_path_or_any_parents(path, false).is_ignore()
    });
    paths.extend(always.iter().filter_map(TreePath::new).filter(|path| root.join(path).is_file()));
    let mut folders = BTreeMap::new();
    paths.retain(|path| !lies_behind_a_link(root, path, &mut folders));
    let files: Vec<Option<SourceFile>> = paths
        .into_par_iter()
        .map(|path| {
            interrupt.check()?;
            read(root, path, keep_text)
        })
        .collect::<Result<_>>()?;
    Ok(files.into_iter().flatten().collect())
}

/// Lists and reads all files below `root`, sorted by path, as a copy that follows links would have them: a link to a
/// file or folder stands for what it points to. A link that cannot be followed stays a link: one to nothing, or to a
/// folder around it. Paths are relative to `root`.
///
/// # Errors
/// As [`source_files`], but links may leave the tree, and git is not asked.
pub fn copied_files(root: &Utf8Path, interrupt: &Interrupt) -> Result<Vec<CopiedFile>> {
    let mut paths = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root).follow_links(true).min_depth(1) {
        let path = match &entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => entry.path(),
            Err(error) => match error.path().filter(|path| path.is_symlink()) {
                Some(path) => path,
                None => return entry.map(|_| Vec::new()).context(|| format!("cannot list the files of `{root}`")),
            },
        };
        let path = Utf8Path::from_path(path).ok_or_else(|| not_utf8(&path.to_string_lossy()))?;
        paths.extend(TreePath::below(root, path));
    }
    paths
        .into_par_iter()
        .map(|path| {
            interrupt.check()?;
            read_followed(root, path)
        })
        .collect()
}

fn read_followed(root: &Utf8Path, path: TreePath) -> Result<CopiedFile> {
    let full = root.join(&path);
    let cannot = || format!("cannot read `{full}`");
    let (kind, md5) = match fs::metadata(&full) {
        Ok(metadata) if metadata.is_file() => {
            let text = fs::read(&full).context(cannot)?;
            let (executable, size, digest) = (is_executable(&metadata), text.len() as u64, content_digest(&text));
            (SourceKind::File { executable, size, digest, text: None }, md5_digest(&text))
        }
        // The walk entered every folder but one around the link.
        Ok(metadata) if !metadata.is_dir() => return Err(not_a_file(&path)),
        _ => {
            let target = fs::read_link(&full).context(cannot)?;
            let target = target.to_str().ok_or_else(|| not_utf8(path.as_str()))?.to_owned();
            let md5 = md5_digest(target.as_bytes());
            (SourceKind::Link { target }, md5)
        }
    };
    Ok(CopiedFile { file: SourceFile { path, kind }, md5 })
}

/// Warns of files that look like secrets which somebody committed by accident.
pub fn warn_of_secrets<'a>(files: impl IntoIterator<Item = &'a SourceFile>, terminal: &Terminal) {
    for file in files.into_iter().filter(|file| looks_secret(&file.path)) {
        terminal.warning(format!(
            "`{}` looks like a secret and would be in the image; name it in `{IGNORE_FILE}` to keep it out",
            file.path
        ));
    }
}

fn looks_secret(path: &Utf8Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let in_folder = |folder: &str| path.parent().and_then(Utf8Path::file_name) == Some(folder);
    let example = [".example", ".sample", ".template", ".dist"].iter().any(|ending| name.ends_with(ending));
    matches!(name, ".env" | ".netrc" | ".npmrc" | ".pypirc" | "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519")
        || (name.starts_with(".env.") && !example)
        || (matches!(name, "credentials" | "credentials.toml") && (in_folder(".cargo") || in_folder(".aws")))
        || (path.extension() == Some("pem") && (name.contains("key") || name.contains("priv")))
        || path.extension().is_some_and(|extension| ["key", "p12", "pfx", "keystore"].contains(&extension))
}

/// The files below `root`, as git knows them where it does.
fn listing(root: &Utf8Path, terminal: &Terminal, interrupt: &Interrupt) -> Result<BTreeSet<TreePath>> {
    let mut uninitialised = Vec::new();
    let listed = git_listing(root, &mut uninitialised, interrupt)?;
    if !uninitialised.is_empty() {
        let first = uninitialised.iter().take(NAMED_IN_A_WARNING).map(|path| format!("`{path}`"));
        let names = first.collect::<Vec<_>>().join(", ");
        let more = uninitialised.len().saturating_sub(NAMED_IN_A_WARNING);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        terminal.warning(format!(
            "submodules that are not initialised are empty in the image: {names}{more} (`git submodule update --init`)"
        ));
    }
    match listed {
        Some(paths) if !paths.is_empty() => Ok(paths),
        None => walk(root),
        Some(_) => {
            // A folder that git ignores as a whole, such as one of generated code, has files all the same.
            let paths = walk(root)?;
            if !paths.is_empty() {
                terminal.warning(format!("git ignores the folder `{root}`: its files are listed without git"));
            }
            Ok(paths)
        }
    }
}

/// Why the file at `path`, which is there, is not among the sources: the rule that leaves it out.
pub fn why_left_out(root: &Utf8Path, path: &Utf8Path, interrupt: &Interrupt) -> String {
    if !root.join(path).exists() {
        return "there is no such file".to_owned();
    }
    if user_ignores(root).is_ok_and(|ignored| ignored.matched_path_or_any_parents(path, false).is_ignore()) {
        return format!("`{IGNORE_FILE}` names it");
    }
    if lies_behind_a_link(root, path, &mut BTreeMap::new()) {
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

fn git_listing(
    root: &Utf8Path,
    uninitialised: &mut Vec<TreePath>,
    interrupt: &Interrupt,
) -> Result<Option<BTreeSet<TreePath>>> {
    if !root.ancestors().any(|folder| folder.join(".git").exists()) {
        return Ok(None);
    }
    let command = git(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
    let output = match command.run(Capture::Both, interrupt) {
        Ok(output) if output.success => output,
        Ok(output) if output.stderr.contains("safe.directory") => {
            return Err(command.failure(&output).hint(format!(
                "git does not trust a tree of another user: `git config --global --add safe.directory {root}`"
            )));
        }
        Ok(output) => return Err(command.failure(&output)),
        Err(error) if which::which("git").is_err() => {
            return Err(error.hint("the project is a git work tree: install `git`, which knows its files"));
        }
        Err(error) => return Err(error),
    };
    if output.stdout.contains('\u{FFFD}') {
        let name = output.stdout.split('\0').find(|name| name.contains('\u{FFFD}')).unwrap_or_default();
        return Err(not_utf8(name));
    }
    let mut paths = BTreeSet::new();
    for name in output.stdout.split('\0').filter(|name| !name.is_empty()) {
        // Of a submodule that is not initialised git lists the folder itself.
        let Some(path) = TreePath::new(name) else { continue };
        // git lists a submodule as one entry, and so a work tree of its own that is not ignored.
        if fs::symlink_metadata(root.join(&path)).is_ok_and(|metadata| metadata.is_dir()) {
            let folder = root.join(&path);
            let mut inside = Vec::new();
            let inner = if folder.join(".git").exists() {
                git_listing(&folder, &mut inside, interrupt)?.unwrap_or_default()
            } else {
                uninitialised.push(path.clone());
                walk(&folder)?
            };
            uninitialised.extend(inside.into_iter().map(|inside| inside.in_folder(&path)));
            paths.extend(inner.into_iter().map(|inner| inner.in_folder(&path)));
        } else {
            paths.insert(path);
        }
    }
    Ok(Some(paths))
}

fn walk(root: &Utf8Path) -> Result<BTreeSet<TreePath>> {
    // Only `.gitignore` files in the tree decide, so that every machine has the same list.
    let walk = ignore::WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    let mut paths = BTreeSet::new();
    for entry in walk {
        let entry = entry.context(|| format!("cannot list the files of `{root}`"))?;
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        let path = Utf8Path::from_path(entry.path()).ok_or_else(|| not_utf8(&entry.path().to_string_lossy()))?;
        paths.extend(TreePath::below(root, path));
    }
    Ok(paths)
}

fn user_ignores(root: &Utf8Path) -> Result<Gitignore> {
    let file = root.join(IGNORE_FILE);
    let mut builder = GitignoreBuilder::new(root);
    if file.is_file()
        && let Some(error) = builder.add(&file)
    {
        return Err(Error::usage(format!("cannot read `{file}`")).because(error));
    }
    builder.build().map_err(|error| Error::usage(format!("cannot read `{file}`")).because(error))
}

/// Reads one file or link; `None` for a file that git still tracks although it is gone.
fn read(root: &Utf8Path, path: TreePath, keep_text: KeepText) -> Result<Option<SourceFile>> {
    let full = root.join(&path);
    let cannot = || format!("cannot read `{full}`");
    let metadata = match fs::symlink_metadata(&full) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).context(cannot),
    };
    let kind = if metadata.is_symlink() {
        let target = fs::read_link(&full).context(cannot)?;
        let target = target.to_str().ok_or_else(|| not_utf8(path.as_str()))?.to_owned();
        if !stays_inside(&path, Utf8Path::new(&target)) || ends_outside(root, &full) {
            return Err(Error::failed(format!("the link `{path}` leaves the project: it points to `{target}`"))
                .hint(format!("make it point inside the project, or name it in `{IGNORE_FILE}`")));
        }
        SourceKind::Link { target }
    } else if metadata.is_file() {
        regular_file(&full, &metadata, keep_text(&path))?
    } else {
        return Err(not_a_file(&path));
    };
    Ok(Some(SourceFile { path, kind }))
}

fn regular_file(full: &Utf8Path, metadata: &fs::Metadata, keep_text: bool) -> Result<SourceKind> {
    let cannot = || format!("cannot read `{full}`");
    let executable = is_executable(metadata);
    Ok(if keep_text {
        let text = fs::read(full).context(cannot)?;
        SourceKind::File { executable, size: text.len() as u64, digest: content_digest(&text), text: Some(text) }
    } else {
        let (digest, size) = fs::File::open(full).and_then(reader_digest).context(cannot)?;
        SourceKind::File { executable, size, digest, text: None }
    })
}

fn not_a_file(path: &Utf8Path) -> Error {
    Error::failed(format!("`{path}` is neither a file, a folder nor a link"))
        .hint(format!("FIFOs, sockets and devices cannot be in an image: name it in `{IGNORE_FILE}`"))
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// Whether `path` is reached through a link: the link stands for what is there. `known` are the folders that were looked at.
fn lies_behind_a_link(root: &Utf8Path, path: &Utf8Path, known: &mut BTreeMap<Utf8PathBuf, bool>) -> bool {
    let Some(folder) = path.parent().filter(|folder| !folder.as_str().is_empty()) else { return false };
    if let Some(behind) = known.get(folder) {
        return *behind;
    }
    let behind = root.join(folder).is_symlink() || lies_behind_a_link(root, folder, known);
    known.insert(folder.to_owned(), behind);
    behind
}

/// Whether a link at `path` with this target, both relative to the root, never climbs above the root.
fn stays_inside(path: &Utf8Path, target: &Utf8Path) -> bool {
    !climbs_out(&path.parent().unwrap_or(Utf8Path::new("")).join(target))
}

fn not_utf8(name: &str) -> Error {
    Error::failed(format!("the name of `{name}` is not UTF-8"))
        .hint(format!("rename it, or name its folder in `{IGNORE_FILE}`"))
}

impl SourceFile {
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match &self.kind {
            SourceKind::File { text, .. } => text.as_deref(),
            SourceKind::Link { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a", "b", true)]
    #[case("d/a", "../b", true)]
    #[case("a", "../b", false)]
    #[case("d/a", "../../b", false)]
    #[case("a", "/etc/passwd", false)]
    #[case("d/a", "../x/../y", true)]
    #[case("a", "x/../../y", false)]
    fn links_may_not_climb_out(#[case] path: &str, #[case] target: &str, #[case] expected: bool) {
        assert_eq!(stays_inside(Utf8Path::new(path), Utf8Path::new(target)), expected);
    }

    #[rstest]
    #[case(".env", true)]
    #[case("app/.env.production", true)]
    #[case(".env.example", false)]
    #[case(".cargo/credentials.toml", true)]
    #[case("deploy/id_rsa", true)]
    #[case("deploy/id_rsa.pub", false)]
    #[case("tls/server-key.pem", true)]
    #[case("tls/ca.pem", false)]
    #[case("src/main.rs", false)]
    fn secrets_are_known_by_name(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(looks_secret(Utf8Path::new(path)), expected);
    }
}
