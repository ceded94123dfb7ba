//! What the environment says: variables that are set to something, and the folder that this tool keeps things in.

use camino::{Utf8Path, Utf8PathBuf};

/// The value of a variable; an empty one counts as unset.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// This tool's part of the user's cache folder. Where there is none, of the folder for temporary files, or of `root`.
pub(crate) fn user_caches(root: &Utf8Path) -> Utf8PathBuf {
    let caches = variable("XDG_CACHE_HOME")
        .map(Utf8PathBuf::from)
        .or_else(|| variable("HOME").map(|home| Utf8PathBuf::from(home).join(".cache")))
        .or_else(|| Utf8PathBuf::try_from(std::env::temp_dir()).ok())
        .unwrap_or_else(|| root.to_owned());
    caches.join("cargo-runtime-image")
}
