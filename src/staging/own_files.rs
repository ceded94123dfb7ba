//! What this tool writes as a build folder, and how such a folder is known: it is never a source of a project.

use std::fs;

use camino::Utf8Path;
use filetime::FileTime;

/// The project's files in the build folder.
pub const CODE: &str = "code";

/// What the dependency stage is built from.
pub const DEPS: &str = "deps";

/// What the Dockerfile's RUN lines start.
pub const STEPS: &str = "steps";

/// The Dockerfile's name.
pub const DOCKERFILE: &str = "Dockerfile";

/// The mtime of all folders and links, in seconds after the epoch. A folder whose entries changed has another mtime,
/// which is how a folder that somebody else wrote to is told.
pub(super) const FOLDER_TIME: i64 = 1;

/// Whether `folder` is a build folder, by the date of its part for the sources.
pub(super) fn is_build_folder(folder: &Utf8Path) -> bool {
    let code = fs::symlink_metadata(folder.join(CODE)).ok().filter(fs::Metadata::is_dir);
    code.is_some_and(|code| has_folder_time(&code))
}

/// Whether nobody else added anything to a folder or removed something from it.
pub(super) fn has_folder_time(folder: &fs::Metadata) -> bool {
    FileTime::from_last_modification_time(folder) == FileTime::from_unix_time(FOLDER_TIME, 0)
}
