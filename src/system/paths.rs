//! Where paths lead on this machine's disk.

use camino::Utf8Path;

/// Whether `path` ends outside of the folder `root`, be it through links. What ends nowhere does not.
pub fn ends_outside(root: &Utf8Path, path: &Utf8Path) -> bool {
    match (root.canonicalize_utf8(), path.canonicalize_utf8()) {
        (Ok(root), Ok(end)) => !end.starts_with(root),
        _ => false,
    }
}
