//! Folders that the environment names: a project's build folders and build caches go below them.

use camino::{Utf8Path, Utf8PathBuf};

/// This tool's part of the user's cache folder. Where there is none, of the folder for temporary files, or of `root`.
pub(crate) fn user_caches(root: &Utf8Path) -> Utf8PathBuf {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let caches = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .or_else(|| Utf8PathBuf::try_from(std::env::temp_dir()).ok())
        .unwrap_or_else(|| root.to_owned());
    caches.join("cargo-runtime-image")
}
