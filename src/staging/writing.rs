//! How the entries of a build folder come to be on disk: on all cores, and beside what an earlier build folder holds of
//! the sources already.
//!
//! A staged source is the one that was written if the file system says the same of it as then. A tree can bring a build
//! folder with any content and dates, so what was said is kept elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use filetime::FileTime;
use rayon::prelude::*;

use crate::error::{Context as _, Error, Result};
use crate::hash::{ContentDigest, ContentHasher, content_digest};
use crate::staging::index::{Entry, Index};
use crate::staging::own_files::{CODE, FOLDER_TIME, content_time};
use crate::staging::staged::{StagedContent, StagedFile, make_link, set_mode, set_mode_of};
use crate::system::interrupt::Interrupt;
use crate::system::reading;
use crate::system::stat::Stat;

/// What a build folder holds, by part: the folder below it, and the files in that.
pub(super) struct Entries<'a> {
    parts: Vec<(&'static str, &'a [StagedFile])>,
    /// Relative to the build folder, which is the first; each comes after the one around it.
    folders: BTreeSet<Utf8PathBuf>,
    /// What is no folder: the part, and the path in it.
    files: HashSet<(&'static str, &'a str)>,
}

/// The part that a path in a build folder lies in, and the path in that.
fn in_part(path: &Utf8Path) -> (&str, &str) {
    path.as_str().split_once('/').unwrap_or(("", path.as_str()))
}

impl<'a> Entries<'a> {
    /// Of these parts. That of the sources comes last.
    ///
    /// # Errors
    /// When two entries have one place, or one lies in another that is no folder.
    pub fn new(parts: Vec<(&'static str, &'a [StagedFile])>) -> Result<Self> {
        let mut folders = BTreeSet::from([Utf8PathBuf::new(), CODE.into()]);
        let mut files = HashSet::with_capacity(parts.iter().map(|(_, files)| files.len()).sum());
        for (part, of_part) in &parts {
            let part_folder = Utf8Path::new(part);
            let mut last = None;
            for file in *of_part {
                if matches!(file.content, StagedContent::Folder) {
                    folders.extend(part_folder.join(&file.path).ancestors().map(Utf8Path::to_owned));
                } else if !files.insert((*part, file.path.as_str())) {
                    return Err(Error::failed(format!("`{}` would be staged twice", part_folder.join(&file.path))));
                }
                // Files that are sorted have many in the same folder.
                let folder = file.path.parent();
                if last != Some(folder) {
                    let folder = folder.map_or_else(|| part_folder.to_owned(), |folder| part_folder.join(folder));
                    folders.extend(folder.ancestors().map(Utf8Path::to_owned));
                }
                last = Some(folder);
            }
        }
        let entries = Self { parts, folders, files };
        match entries.folders.iter().find(|folder| entries.files.contains(&in_part(folder))) {
            Some(file) => Err(Error::failed(format!(
                "nothing can be staged in `{file}`, which is a file or a link and no folder"
            ))),
            None => Ok(entries),
        }
    }

    /// How many files and links there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The size of all of them, in bytes.
    pub fn size(&self) -> u64 {
        let size = |file: &StagedFile| match &file.content {
            StagedContent::Copy { size, .. } => *size,
            StagedContent::Text(text) => text.len() as u64,
            StagedContent::Link(target) => target.len() as u64,
            StagedContent::Folder => 0,
        };
        self.parts.iter().flat_map(|(_, files)| *files).map(size).sum()
    }

    /// Makes `root` hold these and nothing else. An earlier build folder may be there, which nobody uses. `index` is that of
    /// the sources in it, and becomes that of the new ones.
    ///
    /// # Errors
    /// When anything cannot be written, and when a source file is not any more what was hashed.
    pub fn write(&self, root: &Utf8Path, index: &Index, interrupt: &Interrupt) -> Result<()> {
        let is_earlier = root.exists();
        for folder in &self.folders {
            let path = root.join(folder);
            make_folder(&path).context(|| format!("cannot create `{path}`"))?;
        }
        if is_earlier {
            // Each of them is a folder by now, and no link to one elsewhere.
            self.folders.par_iter().try_for_each(|folder| {
                let path = root.join(folder);
                self.remove_others(&path, folder).context(|| format!("cannot clear `{path}`"))
            })?;
        }
        index.look();
        let mut written = BTreeMap::new();
        for (part, files) in &self.parts {
            let base = root.join(part);
            let write = |file: &StagedFile| {
                interrupt.check()?;
                write_file(file, &base.join(&file.path), &written, interrupt)
            };
            if *part == CODE {
                let write_unless_written =
                    |(number, file): (usize, &StagedFile)| match written_stat(file, index, number) {
                        Some(stat) => Ok(Some(stat)),
                        None => write(file),
                    };
                let stats: Result<Vec<_>> = files.par_iter().enumerate().map(write_unless_written).collect();
                keep(index, files, &stats?, root);
            } else {
                files.iter().try_for_each(|file| write(file).map(drop))?;
                written.extend(files.iter().filter_map(|file| Some((one_file_with(file)?, base.join(&file.path)))));
            }
        }
        self.folders.iter().rev().try_for_each(|folder| finish_folder(&root.join(folder)))
    }

    /// Removes from a folder what is not among these.
    fn remove_others(&self, path: &Utf8Path, folder: &Utf8Path) -> std::io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let place = entry.file_name().to_str().map(|name| folder.join(name));
            let is_own = place.is_some_and(|place| {
                if is_folder { self.folders.contains(&place) } else { self.files.contains(&in_part(&place)) }
            });
            if !is_own {
                if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
            }
        }
        Ok(())
    }
}

/// Makes a folder where an earlier build folder has none, be it that something else is there.
fn make_folder(path: &Utf8Path) -> std::io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                Ok(())
            } else {
                fs::remove_file(path).and_then(|()| fs::create_dir(path))
            }
        }
        made => made,
    }
}

/// Gives a staged folder its mode and its time, when all is in it.
///
/// # Errors
/// When that cannot be done.
pub(super) fn finish_folder(folder: &Utf8Path) -> Result<()> {
    set_mode(folder, 0o755)?;
    filetime::set_file_mtime(folder, folder_time()).context(|| format!("cannot set the time of `{folder}`"))
}

fn folder_time() -> FileTime {
    FileTime::from_unix_time(FOLDER_TIME, 0)
}

/// What copied files have in common that can be one file.
type Same<'a> = (&'a Utf8Path, &'a ContentDigest, bool);

fn one_file_with(file: &StagedFile) -> Option<Same<'_>> {
    match &file.content {
        StagedContent::Copy { digest, .. } => Some((&file.path, digest, file.executable)),
        _ => None,
    }
}

fn mode(file: &StagedFile) -> u32 {
    if file.executable { 0o755 } else { 0o644 }
}

/// What the file system says of a source that an earlier build folder has as it is wanted.
fn written_stat(file: &StagedFile, index: &Index, number: usize) -> Option<Stat> {
    let wanted = match &file.content {
        StagedContent::Copy { digest, .. } => *digest,
        StagedContent::Text(text) => content_digest(text),
        StagedContent::Link(_) | StagedContent::Folder => return None,
    };
    let entry = index.unchanged(&file.path, number)?;
    (entry.digest == wanted && entry.stat.has_permissions(mode(file))).then_some(entry.stat)
}

/// Has the index say what the sources are now, as far as any change from now on will show.
fn keep(index: &Index, files: &[StagedFile], stats: &[Option<Stat>], root: &Utf8Path) {
    // Whatever changes later has this moment or a later one, in the file system's own time and its steps.
    let Some(now) = tempfile::tempfile_in(root).ok().and_then(|file| Stat::of(&file.metadata().ok()?)) else { return };
    index.keep(files.iter().zip(stats).filter_map(|(file, stat)| {
        let stat = stat.filter(|stat| stat.changed < now.changed)?;
        let digest = match &file.content {
            StagedContent::Copy { digest, .. } => *digest,
            StagedContent::Text(text) => content_digest(text),
            StagedContent::Link(_) | StagedContent::Folder => return None,
        };
        Some(Entry { path: file.path.as_str(), stat, digest, md5: None })
    }));
}

/// Writes one entry in the place of what is there, and gives what the file system says of a file. One that is in another
/// part as well is written once, with two names: nobody edits it.
fn write_file(
    file: &StagedFile,
    path: &Utf8Path,
    written: &BTreeMap<Same<'_>, Utf8PathBuf>,
    interrupt: &Interrupt,
) -> Result<Option<Stat>> {
    let cannot = || format!("cannot write `{path}`");
    if matches!(file.content, StagedContent::Folder) {
        return Ok(None);
    }
    if let Some(same) = one_file_with(file).and_then(|key| written.get(&key))
        && new_at(path, || fs::hard_link(same, path)).is_ok()
    {
        return Ok(None);
    }
    if let StagedContent::Link(target) = &file.content {
        new_at(path, || make_link(target, path)).context(cannot)?;
        return filetime::set_symlink_file_times(path, folder_time(), folder_time()).context(cannot).map(|()| None);
    }
    let mut copy = new_at(path, || File::create_new(path)).context(cannot)?;
    let digest = match &file.content {
        StagedContent::Copy { from, digest, .. } => {
            copy_unchanged(from, &mut copy, path, digest, interrupt)?;
            *digest
        }
        StagedContent::Text(text) => {
            copy.write_all(text).context(cannot)?;
            content_digest(text)
        }
        StagedContent::Link(_) | StagedContent::Folder => return Ok(None),
    };
    set_mode_of(&copy, mode(file)).context(cannot)?;
    filetime::set_file_handle_times(&copy, None, Some(content_time(&file.path, &digest))).context(cannot)?;
    Ok(Stat::of(&copy.metadata().context(cannot)?))
}

/// What `make` makes at `path`, where nothing is or what an earlier build folder had there.
fn new_at<T>(path: &Utf8Path, make: impl Fn() -> std::io::Result<T>) -> std::io::Result<T> {
    match make() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::remove_file(path).and_then(|()| make()),
        result => result,
    }
}

/// Copies a file whose content must still have this digest. Blocks of zeros become holes, as those of a sparse file were.
fn copy_unchanged(
    from: &Utf8Path,
    copy: &mut File,
    to: &Utf8Path,
    expected: &ContentDigest,
    interrupt: &Interrupt,
) -> Result<()> {
    let cannot = || format!("cannot write `{to}`");
    let mut hasher = ContentHasher::default();
    let mut ends_with_hole = false;
    reading::each_block(from, interrupt, |block| {
        hasher.update(block);
        // Each byte is like the one before it, and the first is zero.
        ends_with_hole = block.first() == Some(&0) && block[1..] == block[..block.len() - 1];
        if ends_with_hole {
            let length = i64::try_from(block.len()).unwrap_or_default();
            copy.seek(SeekFrom::Current(length)).map(drop).context(cannot)
        } else {
            copy.write_all(block).context(cannot)
        }
    })?;
    let (digest, size) = hasher.finish();
    if digest != *expected {
        return Err(Error::changed(format!("`{from}` changed while the build folder was prepared"))
            .hint("nothing was built; run again when the tree is at rest"));
    }
    if ends_with_hole { copy.set_len(size).context(cannot) } else { Ok(()) }
}
