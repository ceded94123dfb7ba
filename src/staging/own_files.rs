//! What this tool writes as a build folder, and how such a folder is known: it is never a source of a project.

use std::fs;

use camino::Utf8Path;
use filetime::FileTime;

use crate::hash::{ContentDigest, content_digest};
use crate::system::reading;

/// The project's files in the build folder.
pub const CODE: &str = "code";

/// What the dependency stage is built from.
pub const DEPS: &str = "deps";

/// The files that a slim image gets beside its binaries.
pub const ASSETS: &str = "assets";

/// What tells which source files a binary's name does not count.
pub const INPUTS: &str = "inputs";

/// What tells what a build can go on from.
pub const SEED: &str = "seed";

/// What the Dockerfile's RUN lines start.
pub const STEPS: &str = "steps";

/// The Dockerfile's name.
pub const DOCKERFILE: &str = "Dockerfile";

/// The mtime of all folders and links, in seconds after the epoch. A folder whose entries changed has another mtime,
/// which is how a folder that somebody else wrote to is told.
pub(super) const FOLDER_TIME: i64 = 1;

const FILE_TIME_SECONDS: u128 = 1 << 20;

/// Whether `folder` is a build folder: by the date of its part for the sources, which others may give to all files, and
/// by that of its Dockerfile, which tells the content.
pub(super) fn is_build_folder(folder: &Utf8Path) -> bool {
    let code = fs::symlink_metadata(folder.join(CODE)).ok().filter(fs::Metadata::is_dir);
    code.is_some_and(|code| has_folder_time(&code)) && is_own_dockerfile(&folder.join(DOCKERFILE))
}

/// Whether nobody else added anything to a folder or removed something from it.
pub(super) fn has_folder_time(folder: &fs::Metadata) -> bool {
    FileTime::from_last_modification_time(folder) == FileTime::from_unix_time(FOLDER_TIME, 0)
}

/// The mtime of a staged file: up to twelve days after the epoch and all nine digits of nanoseconds, from the hash of
/// its path and content.
pub(super) fn content_time(path: &Utf8Path, digest: &ContentDigest) -> FileTime {
    let hash = content_digest(&[path.as_str().as_bytes(), &[0], digest].concat());
    let number = u128::from_le_bytes(hash.first_chunk().copied().unwrap_or_default());
    let nanoseconds = u32::try_from(number % 1_000_000_000).unwrap_or_default();
    let seconds = i64::try_from(number / 1_000_000_000 % FILE_TIME_SECONDS).unwrap_or_default();
    FileTime::from_unix_time(FOLDER_TIME + 1 + seconds, nanoseconds)
}

/// Whether a Dockerfile has the date that this tool gives to one of its content.
pub(super) fn is_own_dockerfile(path: &Utf8Path) -> bool {
    let own = || {
        let time = FileTime::from_last_modification_time(&fs::symlink_metadata(path).ok()?);
        Some(time == content_time(Utf8Path::new(DOCKERFILE), &content_digest(&reading::bytes(path).ok()?)))
    };
    own().unwrap_or(false)
}
