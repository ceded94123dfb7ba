//! Where paths lead on this machine's disk.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};

/// What the names of all files and folders start with that this tool puts beside others' files, but for what the user
/// looks into.
pub const OWN_PREFIX: &str = ".runtime-image-";

/// The name of a file or folder of this tool beside `folder`.
pub fn own_name(folder: &Utf8Path, ending: &str) -> String {
    format!("{OWN_PREFIX}{}{ending}", folder.file_name().unwrap_or_default())
}

/// Whether `path` ends outside of the folder `root`, be it through links. What is not there yet is told by its names.
pub fn ends_outside(root: &Utf8Path, path: &Utf8Path) -> bool {
    !resolved(path).starts_with(resolved(root))
}

/// Refuses a file of the project in `root` that is not in its folder, because a link leads out.
///
/// # Errors
/// A usage error that names the file.
pub fn refuse_outside(root: &Utf8Path, path: &Utf8Path) -> Result<()> {
    if ends_outside(root, path) {
        return Err(Error::usage(format!("`{path}` is a link that leaves the project"))
            .hint("what a project says of itself is in its own folder: copy the file there"));
    }
    Ok(())
}

/// `path`, which is absolute, without links, `.` and `..`. What is not there yet is told by its names.
pub fn resolved(path: &Utf8Path) -> Utf8PathBuf {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        if let Ok(end) = folder.canonicalize_utf8() {
            return missing.iter().rev().fold(end, |end, name| match name {
                Utf8Component::Normal(name) => end.join(name),
                Utf8Component::ParentDir => end.parent().map(Utf8Path::to_owned).unwrap_or(end),
                _ => end,
            });
        }
        missing.extend(folder.components().next_back());
    }
    path.to_owned()
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
