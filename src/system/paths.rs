//! Where paths lead on this machine's disk.

use camino::{Utf8Component, Utf8Path};

/// Whether `path` ends outside of the folder `root`, be it through links. A path that ends nowhere is told by its names.
pub fn ends_outside(root: &Utf8Path, path: &Utf8Path) -> bool {
    match (root.canonicalize_utf8(), path.canonicalize_utf8()) {
        (Ok(root), Ok(end)) => !end.starts_with(root),
        _ => path.strip_prefix(root).map_or(true, climbs_out),
    }
}

/// Whether a relative path leads, at some place of it, above where it starts.
pub fn climbs_out(path: &Utf8Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Utf8Component::Normal(_) => depth += 1,
            Utf8Component::ParentDir if depth > 0 => depth -= 1,
            Utf8Component::CurDir => {}
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/no/root/a", false)]
    #[case("/no/root/a/../b", false)]
    #[case("/no/root/../a", true)]
    #[case("/no/root/a/../../b", true)]
    #[case("/no/rooted/a", true)]
    fn a_path_that_ends_nowhere_is_told_by_its_names(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(ends_outside(Utf8Path::new("/no/root"), Utf8Path::new(path)), expected);
    }
}
