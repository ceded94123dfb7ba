//! What the environment says.

use camino::{Utf8Path, Utf8PathBuf};

/// This tool's part of the user's folder for caches.
pub(crate) fn user_caches(root: &Utf8Path) -> Utf8PathBuf {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let caches = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .or_else(|| Utf8PathBuf::try_from(std::env::temp_dir()).ok())
        .unwrap_or_else(|| root.to_owned());
    caches.join("cargo-runtime-image")
}
