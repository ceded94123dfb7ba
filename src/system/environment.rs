//! What the environment says: variables that are set to something, and the folder that this tool keeps things in.

use camino::{Utf8Path, Utf8PathBuf};

/// The name of this tool's folders.
const PROGRAM: &str = "cargo-runtime-image";

/// The value of a variable; an empty one counts as unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// This tool's part of the user's cache folder. Where there is none, of the folder for temporary files, or of `root`.
pub(crate) fn user_caches(root: &Utf8Path) -> Utf8PathBuf {
    user_caches_alone().or_else(own_temporary).unwrap_or_else(|| root.join(PROGRAM))
}

/// This tool's part of the user's cache folder, if there is such a folder.
pub(crate) fn user_caches_alone() -> Option<Utf8PathBuf> {
    let caches = variable("XDG_CACHE_HOME")
        .map(Utf8PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Utf8PathBuf::from(home).join(".cache")));
    caches.map(|caches| caches.join(PROGRAM))
}

/// This user's part of the folder for temporary files, if there is such a folder. Others can write to that folder, and
/// each user has a part of its own.
pub(crate) fn own_temporary() -> Option<Utf8PathBuf> {
    #[cfg(unix)]
    let name = format!("{PROGRAM}-{}", rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    let name = PROGRAM;
    let folder = Utf8PathBuf::try_from(std::env::temp_dir()).ok().filter(|folder| folder.is_dir());
    folder.map(|folder| folder.join(name))
}
