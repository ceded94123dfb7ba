//! The source files with what they hold, read when a project is read: what is hashed is what is staged. Which files
//! they are is said in `listing.rs`. Each file is hashed once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use camino::Utf8Path;
use ignore::gitignore::Gitignore;
use md5::{Digest as _, Md5};
use rayon::prelude::*;

use crate::error::{Context as _, Error, Result};
use crate::hash::{ContentDigest, ContentHasher, Md5Digest, content_digest, md5_digest};
use crate::staging::index::{Entry, Index};
use crate::staging::listing::{IGNORE_FILE, Selection, globs_from_root, is_own_name, listing, not_utf8};
use crate::staging::tree_path::TreePath;
use crate::system::interrupt::Interrupt;
use crate::system::paths::{climbs_out, ends_outside};
use crate::system::reading;
use crate::system::stat::Stat;
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
pub type KeepText = fn(&TreePath) -> bool;

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
    let index = Index::of(root, None, interrupt);
    let paths = listing(root, selection, &index, terminal, interrupt)?;
    index.look();
    let reader = Reader { root, index: &index, interrupt };
    let read = each(paths, interrupt, |number, path| reader.source(path, number, keep_text))?;
    if reader.learned(&read) {
        index.keep(read.iter().enumerate().filter_map(|(number, read)| {
            let stat = reader.stat(read, &read.what, number)?;
            entry(&read.what, stat, None)
        }));
    }
    drop(index);
    Ok(read.into_iter().map(|read| read.what).collect())
}

/// The file that a link of the tree points to, in the link's place; what is no link to a file stays as it is.
///
/// # Errors
/// When the file cannot be read.
pub fn read_through(root: &Utf8Path, file: SourceFile, interrupt: &Interrupt) -> Result<SourceFile> {
    let full = root.join(&file.path);
    match (&file.kind, fs::metadata(&full)) {
        (SourceKind::Link { .. }, Ok(metadata)) if metadata.is_file() => {
            Ok(SourceFile { kind: regular_file(&full, &metadata, false, interrupt)?.what, ..file })
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
    let mut paths = Vec::new();
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
    paths.sort();
    let index = Index::of(root, Some(below), interrupt);
    index.look();
    let reader = Reader { root: &folder, index: &index, interrupt };
    let read = each(paths, interrupt, |number, path| reader.copied(path, number).map(Some))?;
    if reader.learned(&read) {
        index.keep(read.iter().enumerate().filter_map(|(number, read)| {
            let stat = reader.stat(read, &read.what.file, number)?;
            entry(&read.what.file, stat, Some(read.what.md5))
        }));
    }
    drop(index);
    Ok(read.into_iter().map(|read| read.what).collect())
}

/// What `read` gives for each path and its number, as many at once as there are processors. The results are put into one
/// list at once: of many files, nothing is held twice.
fn each<T: Send>(
    paths: Vec<TreePath>,
    interrupt: &Interrupt,
    read: impl Fn(usize, TreePath) -> Result<Option<T>> + Sync,
) -> Result<Vec<T>> {
    let failed = AtomicBool::new(false);
    let read_unless_failed = |(number, path)| {
        if failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let result = interrupt.check().and_then(|()| read(number, path));
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    };
    let results: Vec<Result<Option<T>>> = paths.into_par_iter().enumerate().map(read_unless_failed).collect();
    results.into_iter().filter_map(Result::transpose).collect()
}

/// What the index is to say of a file next time.
fn entry(file: &SourceFile, stat: Stat, md5: Option<Md5Digest>) -> Option<Entry<'_>> {
    match file.kind {
        SourceKind::File { digest, .. } => Some(Entry { path: file.path.as_str(), stat, digest, md5 }),
        _ => None,
    }
}

/// Reads the files below a folder, or knows what they hold.
struct Reader<'a> {
    root: &'a Utf8Path,
    index: &'a Index,
    interrupt: &'a Interrupt,
}

/// What was read of a file.
struct Read<T> {
    what: T,
    /// What the file system said of a file before it was read, where any change since then shows. Most files are known,
    /// and it is in the index.
    stat: Option<Box<Stat>>,
    /// Whether it was known and not read.
    known: bool,
}

impl Read<SourceKind> {
    /// What an index says of a file that did not change.
    fn known(entry: &Entry<'_>) -> Self {
        let (stat, digest) = (entry.stat, entry.digest);
        let kind = SourceKind::File { executable: stat.is_executable(), size: stat.size, digest, text: None };
        Self { what: kind, stat: None, known: true }
    }
}

impl<T> Read<T> {
    /// What no index knows.
    fn unknown(what: T) -> Self {
        Self { what, stat: None, known: false }
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        Read { what: change(self.what), stat: self.stat, known: self.known }
    }
}

impl Reader<'_> {
    /// Whether the index would say something else now.
    fn learned<T>(&self, read: &[Read<T>]) -> bool {
        let known = read.iter().filter(|read| read.known).count();
        known != self.index.len() || read.iter().any(|read| read.stat.is_some() && !read.known)
    }

    /// What the file system said of a file that the index is to know.
    fn stat<T>(&self, read: &Read<T>, file: &SourceFile, number: usize) -> Option<Stat> {
        if read.known { Some(self.index.unchanged(&file.path, number)?.stat) } else { read.stat.as_deref().copied() }
    }

    /// Reads one file or link; `None` for a file that git still tracks although it is gone.
    /// The index is searched from its entry `number` on.
    fn source(&self, path: TreePath, number: usize, keep_text: KeepText) -> Result<Option<Read<SourceFile>>> {
        let keep_text = keep_text(&path);
        if !keep_text && let Some(entry) = self.index.unchanged(&path, number) {
            return Ok(Some(Read::known(&entry).map(|kind| SourceFile { path, kind })));
        }
        let full = self.root.join(&path);
        let cannot = || format!("cannot read `{full}`");
        let metadata = match fs::symlink_metadata(&full) {
            Ok(metadata) => metadata,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context(cannot),
        };
        let read = if metadata.is_symlink() {
            let target = fs::read_link(&full).context(cannot)?;
            let target = target.to_str().ok_or_else(|| not_utf8(path.as_str()))?.to_owned();
            if !stays_inside(&path, Utf8Path::new(&target)) || ends_outside(self.root, &full) {
                return Err(leaves_the_project(&path, Utf8Path::new(&target))
                    .hint(format!("make it point inside the project, or name it in `{IGNORE_FILE}`")));
            }
            match fs::metadata(&full).ok().filter(|end| end.is_file() && keep_text) {
                Some(end) => regular_file(&full, &end, true, self.interrupt)?,
                None => Read::unknown(SourceKind::Link { target }),
            }
        } else if metadata.is_file() {
            regular_file(&full, &metadata, keep_text, self.interrupt)?
        } else {
            return Err(not_a_file(&path));
        };
        Ok(Some(read.map(|kind| SourceFile { path, kind })))
    }

    /// Reads one file, wherever links lead to it, or a link that cannot be followed.
    /// The index is searched from its entry `number` on.
    fn copied(&self, path: TreePath, number: usize) -> Result<Read<CopiedFile>> {
        if let Some(entry) = self.index.unchanged(&path, number)
            && let Some(md5) = entry.md5
        {
            return Ok(Read::known(&entry).map(|kind| CopiedFile { file: SourceFile { path, kind }, md5 }));
        }
        let full = self.root.join(&path);
        let cannot = || format!("cannot read `{full}`");
        let read = match fs::metadata(&full) {
            Ok(metadata) if metadata.is_file() => {
                let mut md5 = Md5::new();
                let read = hashed(&full, self.interrupt, |block| md5.update(block))?;
                read.map(|hashed| (hashed.kind(is_executable(&metadata)), md5.finalize().into()))
            }
            // The walk entered every folder but one around the link.
            Ok(metadata) if !metadata.is_dir() => return Err(not_a_file(&path)),
            _ => {
                let target = fs::read_link(&full).context(cannot)?;
                let target = target.to_str().ok_or_else(|| not_utf8(path.as_str()))?.to_owned();
                let md5 = md5_digest(target.as_bytes());
                Read::unknown((SourceKind::Link { target }, md5))
            }
        };
        Ok(read.map(|(kind, md5)| CopiedFile { file: SourceFile { path, kind }, md5 }))
    }
}

fn regular_file(
    full: &Utf8Path,
    metadata: &fs::Metadata,
    keep_text: bool,
    interrupt: &Interrupt,
) -> Result<Read<SourceKind>> {
    let executable = is_executable(metadata);
    if keep_text {
        let text = reading::bytes(full).context(|| format!("cannot read `{full}`"))?;
        let (size, digest) = (text.len() as u64, content_digest(&text));
        return Ok(Read::unknown(SourceKind::File { executable, size, digest, text: Some(text) }));
    }
    Ok(hashed(full, interrupt, |_| {})?.map(|hashed| hashed.kind(executable)))
}

/// What a file holds, by digest and size.
struct Hashed {
    digest: ContentDigest,
    size: u64,
}

impl Hashed {
    fn kind(self, executable: bool) -> SourceKind {
        SourceKind::File { executable, size: self.size, digest: self.digest, text: None }
    }
}

/// Reads a file, each block of which is shown to `also`.
fn hashed(full: &Utf8Path, interrupt: &Interrupt, mut also: impl FnMut(&[u8])) -> Result<Read<Hashed>> {
    let started = SystemTime::now();
    let mut hasher = ContentHasher::default();
    let metadata = reading::each_block(full, interrupt, |block| {
        hasher.update(block);
        also(block);
        Ok(())
    })?;
    let (digest, size) = hasher.finish();
    let stat = Stat::of(&metadata).filter(|stat| stat.is_settled(started)).map(Box::new);
    Ok(Read { what: Hashed { digest, size }, stat, known: false })
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
    Ok(move |file: &SourceFile| !all.is_empty() && is_matched(&all, file))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::system::kept::Kept;

    const MADE_UP: ContentDigest = [7; 32];

    /// The digest of a file after the index said something else of it, at `now`.
    fn digest_besides_an_index(change: fn(&mut Stat), known: &'static str, now: SystemTime) -> Result<ContentDigest> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let path = TreePath::constant("folder/file");
        fs::create_dir(root.join("folder")).expect("made");
        fs::write(root.join(&path), "content").expect("written");
        let metadata = fs::symlink_metadata(root.join(&path)).expect("there");
        let mut stat = Stat::of(&metadata).expect("all is told on Unix");
        change(&mut stat);
        let entry = Entry { path: known, stat, digest: MADE_UP, md5: None };
        let kept = Kept::in_folder(&root.join("cache"), "index");
        let interrupt = Interrupt::default();
        let index = Index::in_file(Some(kept), root.to_owned(), false, &interrupt);
        index.keep([entry]);
        index.look_at(now);
        let reader = Reader { root, index: &index, interrupt: &interrupt };
        match reader.source(path, 0, |_| false)?.map(|read| read.what.kind) {
            Some(SourceKind::File { digest, .. }) => Ok(digest),
            other => panic!("it is no file but {other:?}"),
        }
    }

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_which_the_system_says_the_same_is_not_read() -> Result<()> {
        assert_eq!(digest_besides_an_index(|_| {}, "folder/file", later())?, MADE_UP);
        Ok(())
    }

    #[cfg(unix)]
    #[rstest]
    #[case::another_size(|stat: &mut Stat| stat.size += 1, "folder/file", later())]
    #[case::another_time(|stat: &mut Stat| stat.modified -= 1, "folder/file", later())]
    #[case::another_time_of_change(|stat: &mut Stat| stat.changed -= 1, "folder/file", later())]
    #[case::another_path(|_: &mut Stat| {}, "folder/another", later())]
    #[case::changed_just_now(|_: &mut Stat| {}, "folder/file", SystemTime::now())]
    #[case::from_the_future(|_: &mut Stat| {}, "folder/file", SystemTime::now() - Duration::from_secs(60))]
    fn a_file_of_which_anything_differs_is_read(
        #[case] change: fn(&mut Stat),
        #[case] known: &'static str,
        #[case] now: SystemTime,
    ) -> Result<()> {
        assert_eq!(digest_besides_an_index(change, known, now)?, content_digest(b"content"));
        Ok(())
    }

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
