//! Paths below a root that cannot lead out of it: all that is listed, hashed, staged, linked or dated has one.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// A path below a root: names alone, without `.` and `..`, never absolute and never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(Utf8PathBuf);

impl TreePath {
    /// `path`, which is relative to the root, with `.` and `..` resolved by name. Nothing where it leads out of the
    /// root, or is the root.
    pub fn new(path: impl AsRef<Utf8Path>) -> Option<Self> {
        let mut names = Vec::new();
        for component in path.as_ref().components() {
            match component {
                Utf8Component::Normal(name) => names.push(name),
                Utf8Component::CurDir => {}
                Utf8Component::ParentDir => drop(names.pop()?),
                Utf8Component::RootDir | Utf8Component::Prefix(_) => return None,
            }
        }
        (!names.is_empty()).then(|| Self(names.iter().collect()))
    }

    /// An absolute path below `root`.
    pub fn below(root: &Utf8Path, path: &Utf8Path) -> Option<Self> {
        Self::new(path.strip_prefix(root).ok()?)
    }

    /// A name that the program itself has.
    pub fn constant(name: &'static str) -> Self {
        Self::new(name).unwrap_or_else(|| unreachable!("`{name}` is a constant that leads nowhere else"))
    }

    /// The same below a folder of the root.
    #[must_use]
    pub fn in_folder(&self, folder: &Self) -> Self {
        Self(folder.0.join(&self.0))
    }
}

impl Deref for TreePath {
    type Target = Utf8Path;

    fn deref(&self) -> &Utf8Path {
        &self.0
    }
}

impl AsRef<Utf8Path> for TreePath {
    fn as_ref(&self) -> &Utf8Path {
        &self.0
    }
}

impl AsRef<std::path::Path> for TreePath {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_std_path()
    }
}

impl PartialEq<str> for TreePath {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl Borrow<Utf8Path> for TreePath {
    fn borrow(&self) -> &Utf8Path {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a/b", Some("a/b"))]
    #[case("./a//b/", Some("a/b"))]
    #[case("a/../b", Some("b"))]
    #[case("a/b/../../c", Some("c"))]
    #[case("", None)]
    #[case(".", None)]
    #[case("a/..", None)]
    #[case("..", None)]
    #[case("../a", None)]
    #[case("a/../../b", None)]
    #[case("/a", None)]
    fn a_path_is_what_its_names_come_to(#[case] path: &str, #[case] expected: Option<&str>) {
        assert_eq!(TreePath::new(path).as_deref().map(Utf8Path::as_str), expected);
    }

    #[test]
    fn a_path_below_a_root_is_seen_from_there() {
        let below = |path: &str| TreePath::below(Utf8Path::new("/projects/demo"), Utf8Path::new(path));
        assert_eq!(below("/projects/demo/src/../a.rs"), TreePath::new("a.rs"));
        assert_eq!(below("/projects/demo/../precious.txt"), None);
        assert_eq!(below("/projects/demonstration/a"), None);
    }

    proptest! {
        #[test]
        fn no_path_leads_out(path in "[a/.]{0,12}") {
            if let Some(path) = TreePath::new(&path) {
                let is_name = |component| matches!(component, Utf8Component::Normal(_));
                prop_assert!(path.components().all(is_name) && !path.as_str().is_empty());
                prop_assert_eq!(TreePath::new(&path), Some(path));
            }
        }
    }
}
