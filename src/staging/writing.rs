//! How the entries of a build folder come to be on disk: the sources on all cores, and beside those that an earlier build
//! folder holds as they are wanted.
//!
//! A source is the one that was written if the file system says the same of it as then. A tree can bring a build folder with
//! any content and dates, so what was said is kept elsewhere. All else is written anew.

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
use crate::staging::tree_path::in_order;
use crate::system::interrupt::Interrupt;
use crate::system::reading;
use crate::system::stat::Stat;

/// What a build folder holds, by part: the folder below it, and the files in that.
pub(super) struct Entries<'a> {
    parts: Vec<(&'static str, &'a [StagedFile])>,
    /// Relative to the build folder, which is the first; each comes after the one around it.
    folders: BTreeSet<Utf8PathBuf>,
}

/// What the file system says of each source, in their order; nothing of what is not known.
pub(super) type States = Vec<Option<Stat>>;

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
        match folders.iter().find(|folder| files.contains(&in_part(folder))) {
            Some(file) => Err(Error::failed(format!(
                "nothing can be staged in `{file}`, which is a file or a link and no folder"
            ))),
            None => Ok(Self { parts, folders }),
        }
    }

    /// How many files and links there are.
    pub fn count(&self) -> usize {
        let files = self.parts.iter().flat_map(|(_, files)| *files);
        files.filter(|file| !matches!(file.content, StagedContent::Folder)).count()
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

    /// Takes out of an earlier build folder, which nobody uses, all but folders and the sources that are wanted as `index`
    /// knows them. Gives what the file system says of these.
    ///
    /// # Errors
    /// When anything cannot be removed.
    pub fn clear(&self, root: &Utf8Path, index: &Index, interrupt: &Interrupt) -> Result<States> {
        // In their order: no folder is reached through a link then.
        for folder in self.folders.iter().map(|folder| root.join(folder)) {
            if fs::symlink_metadata(&folder).is_ok_and(|metadata| !metadata.is_dir()) {
                fs::remove_file(&folder).context(|| format!("cannot remove `{folder}`"))?;
            }
        }
        index.look();
        let sources = self.sources();
        let known: States = sources.par_iter().enumerate().map(|(number, file)| known(file, index, number)).collect();
        let stay = sources.iter().zip(&known).filter(|(_, stat)| stat.is_some()).map(|(file, _)| file.path.as_str());
        let stay: HashSet<&str> = stay.collect();
        self.folders.par_iter().try_for_each(|folder| {
            interrupt.check()?;
            let path = root.join(folder);
            self.remove_others(&path, folder, &stay).context(|| format!("cannot remove `{path}`"))
        })?;
        Ok(known)
    }

    /// Makes `root` hold these: it is new, or cleared, which left the sources that are `known`. Gives what the file system
    /// says of the sources.
    ///
    /// # Errors
    /// When anything cannot be written, and when a source file is not any more what was hashed.
    pub fn write(&self, root: &Utf8Path, known: &States, interrupt: &Interrupt) -> Result<States> {
        for folder in self.folders.iter().map(|folder| root.join(folder)) {
            interrupt.check()?;
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(error).context(|| format!("cannot create `{folder}`"));
                }
                _ => {}
            }
        }
        let (mut written, mut states) = (BTreeMap::new(), States::new());
        for (part, files) in &self.parts {
            let base = root.join(part);
            let write = |file: &StagedFile| {
                interrupt.check()?;
                write_file(file, &base.join(&file.path), &written, interrupt)
            };
            if *part == CODE {
                let write_unknown = |(number, file)| match known.get(number) {
                    Some(Some(stat)) => Ok(Some(*stat)),
                    _ => write(file),
                };
                states = files.par_iter().enumerate().map(write_unknown).collect::<Result<_>>()?;
            } else {
                files.iter().try_for_each(|file| write(file).map(drop))?;
                written.extend(files.iter().filter_map(|file| Some((one_file_with(file)?, base.join(&file.path)))));
            }
        }
        self.folders.iter().rev().try_for_each(|folder| finish_folder(&root.join(folder)))?;
        Ok(states)
    }

    /// What an index is to say of the sources in `root`, as far as any change from now on will show.
    pub fn known_now(&self, root: &Utf8Path, states: &States) -> Vec<Entry<'a>> {
        // Whatever changes later has this moment or a later one, in the file system's own time and its steps.
        let now = tempfile::tempfile_in(root).ok().and_then(|file| Stat::of(&file.metadata().ok()?));
        let is_settled = |stat: &Stat| now.is_some_and(|now| stat.changed < now.changed) && stat.tells_of_changes();
        let entry = |(file, stat): (&'a StagedFile, &Option<Stat>)| {
            let stat = stat.filter(is_settled)?;
            Some(Entry { path: file.path.as_str(), stat, digest: digest(file)?, md5: None })
        };
        let mut entries: Vec<Entry<'a>> = self.sources().iter().zip(states).filter_map(entry).collect();
        entries.sort_by(|one, other| in_order(one.path.as_bytes(), other.path.as_bytes()));
        entries
    }

    fn sources(&self) -> &'a [StagedFile] {
        self.parts.iter().find(|(part, _)| *part == CODE).map_or(&[], |(_, files)| files)
    }

    /// Removes from a folder all but the folders that are wanted, and the sources that `stay`.
    fn remove_others(&self, path: &Utf8Path, folder: &Utf8Path, stay: &HashSet<&str>) -> std::io::Result<()> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let is_folder = entry.file_type()?.is_dir();
            let place = entry.file_name().to_str().map(|name| folder.join(name));
            let stays = place.is_some_and(|place| match in_part(&place) {
                _ if is_folder => self.folders.contains(&place),
                (part, path) => part == CODE && stay.contains(path),
            });
            if !stays {
                if is_folder { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
            }
        }
        Ok(())
    }
}

/// Gives a staged folder its mode and its time, when all is in it.
///
/// # Errors
/// When that cannot be done.
pub(super) fn finish_folder(folder: &Utf8Path) -> Result<()> {
    set_mode(folder, 0o755)?;
    filetime::set_file_mtime(folder, FileTime::from_unix_time(FOLDER_TIME, 0))
        .context(|| format!("cannot set the time of `{folder}`"))
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
fn known(file: &StagedFile, index: &Index, number: usize) -> Option<Stat> {
    let entry = index.unchanged(&file.path, number)?;
    (Some(entry.digest) == digest(file) && entry.stat.has_permissions(mode(file))).then_some(entry.stat)
}

/// The digest of a file's content.
fn digest(file: &StagedFile) -> Option<ContentDigest> {
    match &file.content {
        StagedContent::Copy { digest, .. } => Some(*digest),
        StagedContent::Text(text) => Some(content_digest(text)),
        StagedContent::Link(_) | StagedContent::Folder => None,
    }
}

/// Writes one entry, and gives what the file system says of a file. One that is in another part as well is written once,
/// with two names: nobody edits it.
fn write_file(
    file: &StagedFile,
    path: &Utf8Path,
    written: &BTreeMap<Same<'_>, Utf8PathBuf>,
    interrupt: &Interrupt,
) -> Result<Option<Stat>> {
    let cannot = || format!("cannot write `{path}`");
    let digest = match &file.content {
        StagedContent::Folder => return Ok(None),
        StagedContent::Link(target) => {
            make_link(target, path).context(cannot)?;
            let time = FileTime::from_unix_time(FOLDER_TIME, 0);
            return filetime::set_symlink_file_times(path, time, time).context(cannot).map(|()| None);
        }
        StagedContent::Copy { .. }
            if one_file_with(file)
                .and_then(|key| written.get(&key))
                .is_some_and(|same| fs::hard_link(same, path).is_ok()) =>
        {
            return Ok(None);
        }
        StagedContent::Copy { digest, .. } => *digest,
        StagedContent::Text(text) => content_digest(text),
    };
    let mut copy = File::create_new(path).context(cannot)?;
    match &file.content {
        StagedContent::Copy { from, .. } => copy_unchanged(from, &mut copy, path, &digest, interrupt)?,
        StagedContent::Text(text) => copy.write_all(text).context(cannot)?,
        StagedContent::Link(_) | StagedContent::Folder => {}
    }
    set_mode_of(&copy, mode(file)).context(cannot)?;
    filetime::set_file_handle_times(&copy, None, Some(content_time(&file.path, &digest))).context(cannot)?;
    Ok(Stat::of(&copy.metadata().context(cannot)?))
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
