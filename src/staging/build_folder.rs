//! Plan and project become a build folder: staged beside its destination, then renamed, so that there is never half
//! of one.
//!
//! BuildKit compares size and mtime of a local context's files, never their content, and knows a context by the
//! folder's base name. So every file's mtime is derived from its path and content: equal content, equal mtime, on any
//! machine; other content, another mtime.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use filetime::FileTime;
use tempfile::TempDir;

use crate::error::{Context as _, Error, Result};
use crate::hash::FieldHasher;
use crate::staging::config_sh::{ConfigSh, write_config_sh};
use crate::staging::index::Index;
use crate::staging::own_files::{
    ASSETS, CODE, DEPS, DOCKERFILE, INPUTS, SEED, STEPS, has_folder_time, is_build_folder, is_own_dockerfile,
};
use crate::staging::staged::{StagedFile, make_link, set_mode};
use crate::staging::tree_path::TreePath;
use crate::staging::writing::{Entries, States, finish_folder};
use crate::system::interrupt::Interrupt;
use crate::system::kept::Kept;
use crate::system::lock::{Lock, Waiting};
use crate::system::paths::{FOR_THIS_USER, folder_for_this_user, own_name};
use crate::system::stat::Stat;

/// The length of the names that stand for a build folder's content, in hexadecimal digits.
const KEY_LENGTH: usize = 16;

fn is_key(name: &str) -> bool {
    name.len() == KEY_LENGTH && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a build folder is to hold.
#[derive(Debug, Clone)]
pub struct BuildFolder<'a> {
    /// The text of `Dockerfile`.
    pub dockerfile: String,
    /// The files below `steps/`.
    pub steps: &'a [StagedFile],
    /// The files below `code/`.
    pub code: &'a [StagedFile],
    /// The files below `deps/`.
    pub deps: &'a [StagedFile],
    /// The files below `assets/`.
    pub assets: &'a [StagedFile],
    /// The files below `inputs/`.
    pub inputs: &'a [StagedFile],
    /// The files below `seed/`.
    pub seed: &'a [StagedFile],
    /// The variables for the folder's `config.sh`, where others use the folder too. Their files at its top stay.
    pub config_sh: Option<&'a ConfigSh>,
}

/// A build folder that can be gone on from.
struct Earlier {
    folder: Utf8PathBuf,
    /// Its own, where it is not that of the new one.
    _lock: Option<Lock>,
}

impl Earlier {
    /// The build folder `name` for another content, in `other`, if no run holds it.
    fn unheld(other: &Utf8Path, name: &str) -> Option<Self> {
        let folder = other.join(name);
        // A tree can bring links, which lead to what is not ours.
        if other.is_symlink() || folder.is_symlink() || !is_build_folder(&folder) {
            return None;
        }
        Some(Self { folder, _lock: Some(Lock::of_unheld(other).ok()??) })
    }

    /// Moves it to `new` and takes out what is not wanted. Gives what is known of the sources that stay. Where it cannot be
    /// moved or cleared, `new` is not there afterwards.
    fn cleared(
        self,
        new: &Utf8Path,
        entries: &Entries<'_>,
        kept: Option<&Kept>,
        interrupt: &Interrupt,
    ) -> Option<States> {
        fs::rename(&self.folder, new).ok()?;
        // Nothing is in the place any more that others may wait for.
        drop(self);
        let cleared = entries.clear(new, &index_of(new, kept, interrupt), interrupt);
        if cleared.is_err() {
            // It goes with the folder that it is in, if it can be removed at all.
            fs::rename(new, new.with_file_name("not-cleared")).ok()?;
        }
        cleared.ok()
    }
}

/// The index of the sources in a build folder, as it is now.
fn index_of(folder: &Utf8Path, kept: Option<&Kept>, interrupt: &Interrupt) -> Index {
    let kept = identity(folder).and_then(|identity| Some(kept?.only_for(&identity)));
    Index::in_file(kept, folder.join(CODE), false, interrupt)
}

/// What tells a build folder that was staged since this machine started from any other, and from a copy. Files may lack what
/// was written to them where the machine ended without warning. None where that cannot be told.
fn identity(folder: &Utf8Path) -> Option<String> {
    let started = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let code = Stat::of(&fs::symlink_metadata(folder.join(CODE)).ok()?)?;
    Some(format!("{started} {code:?}"))
}

/// A build folder on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Where it is.
    pub path: Utf8PathBuf,
    /// How many files and links were staged.
    pub files: usize,
    /// The size of all of them, in bytes.
    pub size: u64,
}

impl BuildFolder<'_> {
    /// Makes a folder below `parent` that has a name of its own for these files, and in it the build folder `name`. So
    /// what a build was given stays as it is, whatever is staged meanwhile. What earlier runs left there and no run holds
    /// is gone on from, or removed. Gives the lock as well. `project` is the folder whose files these are.
    ///
    /// # Errors
    /// As [`stage`](Self::stage), and when the lock cannot be had.
    pub fn stage_below(
        &self,
        parent: &Utf8Path,
        name: &str,
        project: &Utf8Path,
        waiting: Waiting<'_>,
    ) -> Result<(Staged, Lock)> {
        let own = parent.join(self.key());
        let lock = Lock::of_build_folder(&own, waiting)?;
        // A tree can bring links, which lead to what is not ours.
        if own.is_symlink() {
            fs::remove_file(&own).context(|| format!("cannot remove `{own}`"))?;
        }
        let others = parent.read_dir_utf8().into_iter().flatten().flatten();
        let others: Vec<Utf8PathBuf> = others
            .filter(|entry| is_key(entry.file_name()) && entry.path() != own)
            .map(camino::Utf8DirEntry::into_path)
            .collect();
        let destination = own.join(name);
        let earlier = if destination.exists() {
            Some(Earlier { folder: destination.clone(), _lock: None })
        } else {
            others.iter().find_map(|other| Earlier::unheld(other, name))
        };
        let staged = self.stage_from(earlier, Kept::of(project, "staged").as_ref(), &destination, waiting.interrupt)?;
        // Closed to others here: podman, and its steps that are not root, see the mode of what they mount as a whole.
        set_mode(&own, FOR_THIS_USER)?;
        set_mode(&staged.path, 0o755)?;
        for other in others {
            if let Err(error) = Lock::remove_unheld(&other) {
                // It is in nobody's way, and another run may be able to remove it.
                waiting.terminal.verbose("Leaving", error.to_string());
            }
        }
        Ok((staged, lock))
    }

    /// The folders below, with their files; the sources come last.
    fn parts(&self) -> [(&'static str, &[StagedFile]); 6] {
        [
            (STEPS, self.steps),
            (DEPS, self.deps),
            (INPUTS, self.inputs),
            (SEED, self.seed),
            (ASSETS, self.assets),
            (CODE, self.code),
        ]
    }

    /// A name for the folder's content.
    fn key(&self) -> String {
        let mut hasher = FieldHasher::new("build folder");
        hasher.field("dockerfile", &self.dockerfile);
        for (below, files) in self.parts() {
            hasher.field("folder", below);
            files.iter().for_each(|file| file.hash_into(&mut hasher));
        }
        let mut name = hasher.finish().identity;
        name.truncate(KEY_LENGTH);
        name
    }

    /// Makes `destination` hold exactly these files. An earlier build folder there is replaced.
    ///
    /// # Errors
    /// When `destination` holds anything that this tool did not write, when a source file is not any more what was
    /// hashed, and when a file cannot be written. In each case `destination` is as it was.
    pub fn stage(&self, destination: &Utf8Path, interrupt: &Interrupt) -> Result<Staged> {
        self.stage_from(None, None, destination, interrupt)
    }

    /// As [`stage`](Self::stage). The build folder `earlier` becomes the new one, as far as `kept` knows the sources in it. It
    /// is gone after an error.
    fn stage_from(
        &self,
        earlier: Option<Earlier>,
        kept: Option<&Kept>,
        destination: &Utf8Path,
        interrupt: &Interrupt,
    ) -> Result<Staged> {
        let cannot = || format!("cannot prepare the build folder `{destination}`");
        let files_of_others = self.refuse_foreign(destination)?;
        let dockerfile = [StagedFile::text(TreePath::constant(DOCKERFILE), self.dockerfile.as_bytes())];
        let entries = Entries::new([("", &dockerfile[..])].into_iter().chain(self.parts()).collect())?;
        let parent =
            destination.parent().ok_or_else(|| Error::usage(format!("`{destination}` cannot be a build folder")))?;
        fs::create_dir_all(parent).context(cannot)?;
        remove_left_over(destination).context(cannot)?;
        let temporary = temporary_beside(destination).context(cannot)?;
        let root = utf8(temporary.path())?;
        let new = root.join("new");
        let known = earlier.and_then(|earlier| earlier.cleared(&new, &entries, kept, interrupt));
        let states = entries.write(&new, &known.unwrap_or_default(), interrupt)?;
        index_of(&new, kept, interrupt).keep(entries.known_now(root, &states));
        // Sources that only this user may read stay so on this machine; what is below has the modes that an image gets.
        set_mode(&new, FOR_THIS_USER)?;
        fs_extra::copy_items(&files_of_others, &new, &fs_extra::dir::CopyOptions::new())
            .map_err(|error| Error::failed(cannot()).because(error))?;
        if let Some(config_sh) = self.config_sh {
            write_config_sh(&new, config_sh)?;
        }
        if destination.exists() {
            fs::rename(destination, root.join("old")).context(cannot)?;
        }
        interrupt.check().and_then(|()| fs::rename(&new, destination).context(cannot)).inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::rename(root.join("old"), destination);
        })?;
        Ok(Staged { path: destination.to_owned(), files: entries.count(), size: entries.size() })
    }

    /// Refuses a destination that holds anything this tool did not write, judged by the names at the top and the
    /// folders' mtimes. Gives the files at the top that stay.
    fn refuse_foreign(&self, destination: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
        let foreign = |what: &str| {
            Error::usage(format!("`{destination}` is not a build folder of this tool: {what}"))
                .hint("name another folder with `--build-folder`, or remove this one yourself")
        };
        let metadata = match fs::symlink_metadata(destination) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(|| format!("cannot look at `{destination}`")),
        };
        if !metadata.is_dir() {
            return Err(foreign("it is not a folder"));
        }
        let cannot = || format!("cannot list `{destination}`");
        let (mut own, mut kept) = (Vec::new(), Vec::new());
        for entry in destination.read_dir_utf8().context(cannot)? {
            let entry = entry.context(cannot)?;
            let name = entry.file_name();
            if name == DOCKERFILE || self.parts().iter().any(|(part, _)| *part == name) {
                own.push(entry.into_path());
            } else if self.config_sh.is_some()
                && entry.file_type().context(cannot)?.is_file()
                && !name.ends_with(".dockerignore")
            {
                kept.push(entry.into_path());
            } else {
                return Err(foreign(&format!("it holds `{name}`")));
            }
        }
        // The top of a folder that others use too may change; that of any other must not, like the folders below.
        let mut folders = Vec::new();
        if self.config_sh.is_none() {
            folders.extend((!own.is_empty()).then(|| destination.to_owned()));
        } else {
            for path in own {
                if path.is_dir() {
                    folders.push(path);
                } else if !is_own_dockerfile(&path) {
                    return Err(foreign("it holds a `Dockerfile` that this tool did not write"));
                }
            }
        }
        while let Some(folder) = folders.pop() {
            let cannot = || format!("cannot look at `{folder}`");
            if !has_folder_time(&fs::metadata(&folder).context(cannot)?) {
                return Err(foreign(&format!("something was added to or removed from `{folder}`")));
            }
            for entry in folder.read_dir_utf8().context(cannot)? {
                let entry = entry.context(cannot)?;
                if entry.file_type().context(cannot)?.is_dir() {
                    folders.push(entry.into_path());
                }
            }
        }
        Ok(kept)
    }
}

/// What the image of the dependencies is built from: what is in a build folder besides the sources, and the Dockerfile
/// apart from it. Whatever a Dockerfile copies or mounts, it finds no source there. Removed when it is dropped.
#[derive(Debug)]
pub struct WithoutCode {
    /// Holds `deps/` and `steps/`. Its name stays the same from build to build, and is not that of the build folder.
    pub context: Utf8PathBuf,
    /// The Dockerfile, alone in its folder: its labels tell of the sources.
    pub dockerfile: Utf8PathBuf,
    _folder: TempDir,
}

impl Staged {
    /// A folder beside the build folder that holds what a build may see that must not see the sources.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn without_code(&self, interrupt: &Interrupt) -> Result<WithoutCode> {
        let cannot = || format!("cannot prepare the build of the dependencies beside `{}`", self.path);
        let folder = temporary_beside(&self.path).context(cannot)?;
        let root = utf8(folder.path())?;
        let context = root.join(format!("{}.deps", self.path.file_name().unwrap_or_default()));
        let alone = root.join("dockerfile");
        let dockerfile = alone.join(DOCKERFILE);
        [&context, &alone].into_iter().try_for_each(fs::create_dir).context(cannot)?;
        same_file(&self.path.join(DOCKERFILE), &dockerfile).context(cannot)?;
        let mut folders = vec![context.clone()];
        for below in [DEPS, STEPS].map(|below| self.path.join(below)).iter().filter(|below| below.is_dir()) {
            for entry in walkdir::WalkDir::new(below).sort_by_file_name() {
                interrupt.check()?;
                let entry = entry.map_err(std::io::Error::from).context(cannot)?;
                let from = utf8(entry.path())?;
                let to = context.join(from.strip_prefix(&self.path).unwrap_or(from));
                if entry.file_type().is_dir() {
                    fs::create_dir(&to).context(cannot)?;
                    folders.push(to);
                } else {
                    same_file(from, &to).context(cannot)?;
                }
            }
        }
        folders.iter().rev().try_for_each(|folder| finish_folder(folder))?;
        Ok(WithoutCode { context, dockerfile, _folder: folder })
    }
}

/// Makes `to` the same file or link as `from`: another name for it, or a copy where the file system has no such names.
fn same_file(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let time = FileTime::from_last_modification_time(&metadata);
    if metadata.is_symlink() {
        make_link(from.read_link_utf8()?.as_str(), to)?;
        filetime::set_symlink_file_times(to, time, time)
    } else if fs::hard_link(from, to).is_ok() {
        Ok(())
    } else {
        fs::copy(from, to)?;
        filetime::set_file_mtime(to, time)
    }
}

/// A new folder beside `destination` that is removed when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_beside(destination: &Utf8Path) -> std::io::Result<TempDir> {
    let parent = destination.parent().unwrap_or(Utf8Path::new("."));
    folder_for_this_user(&temporary_prefix(destination), parent)
}

fn temporary_prefix(destination: &Utf8Path) -> String {
    own_name(destination, ".new-")
}

fn utf8(path: &std::path::Path) -> Result<&Utf8Path> {
    Utf8Path::from_path(path).ok_or_else(|| Error::failed(format!("the name of `{}` is not UTF-8", path.display())))
}

/// Removes the temporary folders of runs that were killed. Each of these held the lock of the build folder, and now
/// this run holds it.
fn remove_left_over(destination: &Utf8Path) -> std::io::Result<()> {
    let prefix = temporary_prefix(destination);
    for entry in destination.parent().unwrap_or(Utf8Path::new(".")).read_dir_utf8()? {
        let entry = entry?;
        if entry.file_name().starts_with(&prefix) && entry.file_type()?.is_dir() {
            // What cannot be removed is in nobody's way: no name is used again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::content_digest;
    use crate::staging::staged::StagedContent;

    #[test]
    fn a_file_that_changed_since_it_was_hashed_is_an_error_and_the_folder_stays_as_it_was() -> Result<()> {
        let folder = tempfile::tempdir().context(|| "no temporary folder".to_owned())?;
        let root = Utf8Path::from_path(folder.path()).expect("a temporary folder's name is UTF-8");
        let source = root.join("source");
        fs::write(&source, "old").context(|| "cannot write".to_owned())?;
        let copied = |digest| StagedFile {
            path: TreePath::constant("a"),
            executable: false,
            content: StagedContent::Copy { from: source.clone(), digest, size: 3 },
        };
        let stage = |file: StagedFile| {
            BuildFolder {
                dockerfile: "FROM x\n".to_owned(),
                steps: &[],
                code: &[file],
                deps: &[],
                inputs: &[],
                seed: &[],
                assets: &[],
                config_sh: None,
            }
            .stage(&root.join("context"), &Interrupt::default())
        };
        stage(copied(content_digest(b"old")))?;
        fs::write(&source, "new").context(|| "cannot write".to_owned())?;
        let error = stage(copied(content_digest(b"old"))).expect_err("other bytes were staged");
        assert!(error.to_string().contains("changed while"), "{error}");
        assert_eq!(fs::read(root.join("context/code/a")).ok().as_deref(), Some(&b"old"[..]));
        assert_eq!(root.read_dir_utf8().map(Iterator::count).ok(), Some(2), "something was left behind");
        Ok(())
    }

    #[test]
    fn what_the_dependencies_are_built_from_is_the_same_without_the_sources_and_goes_away() -> Result<()> {
        let folder = tempfile::tempdir().context(|| "no temporary folder".to_owned())?;
        let root = Utf8Path::from_path(folder.path()).expect("a temporary folder's name is UTF-8");
        let text = |path, text: &str| StagedFile::text(TreePath::constant(path), text);
        let link = StagedFile { content: StagedContent::Link("b".to_owned()), ..text("a/link", "") };
        let deps = [StagedFile { executable: true, ..text("a/b", "x") }, link];
        let (steps, code) = ([text("step", "y")], [text("main", "z")]);
        let folder = BuildFolder {
            dockerfile: "FROM x\n".to_owned(),
            steps: &steps,
            code: &code,
            deps: &deps,
            inputs: &[],
            seed: &[],
            assets: &[],
            config_sh: None,
        };
        let (destination, interrupt) = (root.join("context"), Interrupt::default());
        let staged = folder.stage(&destination, &interrupt)?;
        let apart = staged.without_code(&interrupt)?;
        let listed = |root: &Utf8Path| -> Vec<_> {
            let entries =
                walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(|entry| entry.expect("an entry"));
            let entry = |entry: walkdir::DirEntry| {
                let metadata = entry.metadata().expect("it is there");
                let path = entry.path().strip_prefix(root).expect("it is below").to_owned();
                (path, FileTime::from_last_modification_time(&metadata), metadata.permissions(), metadata.is_symlink())
            };
            entries.map(entry).collect()
        };
        let mut expected = listed(&destination);
        expected.retain(|(path, ..)| !path.starts_with(CODE) && !path.starts_with(DOCKERFILE));
        // The one is closed to other users itself, and the other by the folder around it.
        expected[0].2 = fs::metadata(&apart.context).expect("it is there").permissions();
        assert_eq!(listed(&apart.context), expected);
        assert_eq!((apart.context.file_name(), expected.len()), (Some("context.deps"), 7));
        assert_eq!(fs::read(&apart.dockerfile).ok().as_deref(), Some(&b"FROM x\n"[..]));
        // Of a run that was killed: the next one removes it.
        std::mem::forget(apart);
        folder.stage(&destination, &interrupt)?;
        drop(staged.without_code(&interrupt)?);
        assert_eq!(root.read_dir_utf8().map(Iterator::count).ok(), Some(1), "something was left behind");
        Ok(())
    }
}
