//! Paths below a root that cannot lead out of it: all that is listed, hashed, staged, linked or dated has one.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

/// A path below a root: names alone, without `.` and `..`, never absolute and never empty.
#[derive(Debug, Clone, Eq)]
pub struct TreePath(Utf8PathBuf);

/// Whether a text has the form of such a path already.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Each name but the usual ones starts with another letter.
    let is_usual = |start: usize| bytes.get(start).is_some_and(|first| !b"/.".contains(first));
    let is_name =
        |start: usize| is_usual(start) || !matches!(text[start..].split('/').next(), None | Some("" | "." | ".."));
    cfg!(unix) && is_name(0) && (0..bytes.len()).all(|at| bytes[at] != b'/' || is_name(at + 1))
}

/// The order of such paths, name by name: `a/b` comes before `a-b`.
pub(super) fn in_order(one: &[u8], other: &[u8]) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    // A slash ends a name, and a shorter name comes first.
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    differ.map_or_else(|| one.len().cmp(&other.len()), |(one, other)| rank(one).cmp(&rank(other)))
}

/// One path has one spelling.
impl PartialEq for TreePath {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Hash for TreePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        in_order(self.0.as_str().as_bytes(), other.0.as_str().as_bytes())
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl TreePath {
    /// `path`, which is relative to the root, with `.` and `..` resolved by name. Nothing where it leads out of the
    /// root, or is the root.
    pub fn new(path: impl AsRef<Utf8Path>) -> Option<Self> {
        let path = path.as_ref();
        if is_plain(path.as_str()) {
            return Some(Self(path.to_owned()));
        }
        let mut names = Vec::new();
        for component in path.components() {
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

    /// The folder that it lies in, empty at the root. As a text, which is quicker than a path to look at.
    pub fn folder(&self) -> &str {
        self.0.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether it ends with this name, or these names.
    pub fn is_named(&self, name: &str) -> bool {
        self.0.as_str().strip_suffix(name).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
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
        fn paths_have_the_order_of_their_names(one in "[a/.-]{1,6}", other in "[a/.-]{1,6}") {
            if let (Some(one), Some(other)) = (TreePath::new(one), TreePath::new(other)) {
                prop_assert_eq!(one.cmp(&other), Utf8Path::cmp(&one, &other));
            }
        }

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
