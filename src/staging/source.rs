//! The source files with what they hold, read when a project is read: what is hashed is what is staged. Which files
//! they are is said in `listing.rs`. Each file is hashed once.

use std::collections::BTreeSet;
use std::fs;

use camino::Utf8Path;
use ignore::gitignore::Gitignore;
use md5::{Digest as _, Md5};
use rayon::prelude::*;

use crate::error::{Context as _, Error, Result};
use crate::hash::{ContentDigest, ContentHasher, Md5Digest, content_digest, md5_digest};
use crate::staging::listing::{IGNORE_FILE, Selection, globs_from_root, is_own_name, listing, not_utf8};
use crate::staging::tree_path::TreePath;
use crate::system::interrupt::Interrupt;
use crate::system::paths::{climbs_out, ends_outside};
use crate::system::reading;
use crate::system::terminal::Terminal;

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
    /// A file that this tool makes, because the tree has none or one that does not do.
    Made {
        /// Its content.
        text: Vec<u8>,
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

/// Lists and reads the source files below `root`, sorted by path. A link is the file that it points to where
/// `keep_text` wants to look into it.
///
/// # Errors
/// When git refuses, when a file cannot be read, and for what cannot be staged: FIFOs, sockets, devices, links that
/// leave the tree, names that are not UTF-8. The message names the path.
pub fn source_files(
    root: &Utf8Path,
    selection: &Selection,
    keep_text: KeepText,
    terminal: &Terminal,
    interrupt: &Interrupt,
) -> Result<Vec<SourceFile>> {
    let files: Vec<Option<SourceFile>> = listing(root, selection, terminal, interrupt)?
        .into_par_iter()
        .map(|path| {
            interrupt.check()?;
            read(root, path, keep_text, interrupt)
        })
        .collect::<Result<_>>()?;
    Ok(files.into_iter().flatten().collect())
}

/// The file that a link of the tree points to, in the link's place; what is no link to a file stays as it is.
///
/// # Errors
/// When the file cannot be read.
pub fn read_through(root: &Utf8Path, file: SourceFile, interrupt: &Interrupt) -> Result<SourceFile> {
    let full = root.join(&file.path);
    match (&file.kind, fs::metadata(&full)) {
        (SourceKind::Link { .. }, Ok(metadata)) if metadata.is_file() => {
            Ok(SourceFile { kind: regular_file(&full, &metadata, false, interrupt)?, ..file })
        }
        _ => Ok(file),
    }
}

/// Lists and reads all files of the folder `below` the root, sorted by path, as a copy that follows links would have
/// them: a link to a file or folder stands for what it points to. A link that cannot be followed stays a link: one to
/// nothing, or to a folder around it. Paths are relative to the folder. A build folder in it is left out, with what
/// lies beside it.
///
/// # Errors
/// As [`source_files`], but git is not asked.
pub fn copied_files(
    root: &Utf8Path,
    below: &TreePath,
    build_folder: Option<&TreePath>,
    interrupt: &Interrupt,
) -> Result<Vec<CopiedFile>> {
    let folder = root.join(below);
    let mut paths = BTreeSet::new();
    let is_own = |entry: &walkdir::DirEntry| {
        let path = Utf8Path::from_path(entry.path()).and_then(|path| TreePath::below(root, path));
        path.as_ref().is_some_and(|path| Some(path) == build_folder)
            || entry.file_name().to_str().is_some_and(is_own_name)
    };
    for entry in walkdir::WalkDir::new(&folder).follow_links(true).into_iter().filter_entry(|entry| !is_own(entry)) {
        if let Ok(entry) = &entry
            && entry.path_is_symlink()
            && let Some(path) = Utf8Path::from_path(entry.path()).filter(|path| ends_outside(root, path))
        {
            let target = path.read_link_utf8().unwrap_or_default();
            return Err(leaves_the_project(path.strip_prefix(root).unwrap_or(path), &target)
                .hint("make it point inside the tree, or put what it points to in its place"));
        }
        let path = match &entry {
            Ok(entry) if entry.file_type().is_dir() => continue,
            Ok(entry) => entry.path(),
            Err(error) => match error.path().filter(|path| path.is_symlink()) {
                Some(path) => path,
                None => return entry.map(|_| Vec::new()).context(|| format!("cannot list the files of `{folder}`")),
            },
        };
        let path = Utf8Path::from_path(path).ok_or_else(|| not_utf8(&path.to_string_lossy()))?;
        paths.extend(TreePath::below(&folder, path));
    }
    paths
        .into_par_iter()
        .map(|path| {
            interrupt.check()?;
            read_followed(&folder, path, interrupt)
        })
        .collect()
}

fn read_followed(root: &Utf8Path, path: TreePath, interrupt: &Interrupt) -> Result<CopiedFile> {
    let full = root.join(&path);
    let cannot = || format!("cannot read `{full}`");
    let (kind, md5) = match fs::metadata(&full) {
        Ok(metadata) if metadata.is_file() => {
            let mut md5 = Md5::new();
            let (digest, size) = digest_of(&full, interrupt, |block| md5.update(block))?;
            let executable = is_executable(&metadata);
            (SourceKind::File { executable, size, digest, text: None }, md5.finalize().into())
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

/// Reads one file or link; `None` for a file that git still tracks although it is gone.
fn read(root: &Utf8Path, path: TreePath, keep_text: KeepText, interrupt: &Interrupt) -> Result<Option<SourceFile>> {
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
            return Err(leaves_the_project(&path, Utf8Path::new(&target))
                .hint(format!("make it point inside the project, or name it in `{IGNORE_FILE}`")));
        }
        match fs::metadata(&full).ok().filter(|end| end.is_file() && keep_text(&path)) {
            Some(end) => regular_file(&full, &end, true, interrupt)?,
            None => SourceKind::Link { target },
        }
    } else if metadata.is_file() {
        regular_file(&full, &metadata, keep_text(&path), interrupt)?
    } else {
        return Err(not_a_file(&path));
    };
    Ok(Some(SourceFile { path, kind }))
}

fn regular_file(
    full: &Utf8Path,
    metadata: &fs::Metadata,
    keep_text: bool,
    interrupt: &Interrupt,
) -> Result<SourceKind> {
    let executable = is_executable(metadata);
    Ok(if keep_text {
        let text = reading::bytes(full).context(|| format!("cannot read `{full}`"))?;
        SourceKind::File { executable, size: text.len() as u64, digest: content_digest(&text), text: Some(text) }
    } else {
        let (digest, size) = digest_of(full, interrupt, |_| {})?;
        SourceKind::File { executable, size, digest, text: None }
    })
}

/// The digest and the size of a file, each block of which is shown to `also`.
fn digest_of(full: &Utf8Path, interrupt: &Interrupt, mut also: impl FnMut(&[u8])) -> Result<(ContentDigest, u64)> {
    let mut hasher = ContentHasher::default();
    reading::each_block(full, interrupt, |block| {
        hasher.update(block);
        also(block);
        Ok(())
    })?;
    Ok(hasher.finish())
}

fn leaves_the_project(path: &Utf8Path, target: &Utf8Path) -> Error {
    Error::failed(format!("the link `{path}` leaves the project: it points to `{target}`"))
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

/// Whether a link at `path` with this target, both relative to the root, never climbs above the root.
fn stays_inside(path: &Utf8Path, target: &Utf8Path) -> bool {
    !climbs_out(&path.parent().unwrap_or(Utf8Path::new("")).join(target))
}

impl SourceFile {
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match &self.kind {
            SourceKind::File { text, .. } => text.as_deref(),
            SourceKind::Made { text } => Some(text),
            SourceKind::Link { .. } => None,
        }
    }
}

/// Tells the files that `patterns` select, for the option `key`.
///
/// # Errors
/// When a pattern selects none of `files`, or leads out of the project.
pub fn selector(
    files: &[SourceFile],
    patterns: &[String],
    key: &str,
    interrupt: &Interrupt,
) -> Result<impl Fn(&SourceFile) -> bool + use<>> {
    let is_matched =
        |matcher: &Gitignore, file: &SourceFile| matcher.matched_path_or_any_parents(&file.path, false).is_ignore();
    // First, for it refuses what is too long to be looked at pattern by pattern.
    let all = globs_from_root(patterns, key)?;
    for pattern in patterns.iter().filter(|pattern| !pattern.starts_with('!')) {
        interrupt.check()?;
        if pattern.split('/').any(|name| name == "..") {
            return Err(Error::usage(format!("`{key}`: `{pattern}` leads out of the project"))
                .hint("paths and globs start at the project root, and name what is below it without `..`"));
        }
        let one = globs_from_root(std::slice::from_ref(pattern), key)?;
        if !files.iter().any(|file| is_matched(&one, file)) {
            return Err(Error::usage(format!("`{key}`: `{pattern}` matches no file of the project"))
                .hint("paths and globs start at the project root; ignored files do not count"));
        }
    }
    Ok(move |file: &SourceFile| is_matched(&all, file))
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
}
