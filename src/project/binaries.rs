//! The binaries for whose images not all sources count, and what an image of some of them has of its own. Part of the
//! step from options to project.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::options::BIN;
use crate::image::name::ImageName;
use crate::image::naming::local_name;
use crate::staging::staged::StagedFile;
use crate::staging::tree_path::TreePath;

/// The file below `inputs/`: the paths of the sources that do not count, a line each.
const OUTSIDE: &str = "outside";

/// A binary, with what it is compiled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Its name.
    pub name: String,
    /// The version of its package, where that is not configured for all.
    pub version: Option<String>,
    /// The source files that count for the names of its images.
    pub counted: BTreeSet<TreePath>,
}

/// The binaries of a workspace that images are made of by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBinaries {
    /// In the order of the manifests.
    pub binaries: Vec<Binary>,
    /// The first binary, whichever are wanted: in its repository the dependencies are, where each has one of its own.
    pub first: String,
    /// The source files that count for all names, as dependencies do.
    pub locked: BTreeSet<TreePath>,
}

/// The binaries that images are made of by their names, and what the image at hand has of its own.
#[derive(Debug, Clone, Default)]
pub struct Binaries {
    /// None where all sources count.
    pub all: Option<Arc<NamedBinaries>>,
    /// The names of those that are in the image.
    pub chosen: Vec<String>,
    /// The sources that count for its name, where that is not all.
    counted: Option<BTreeSet<TreePath>>,
    /// What tells which sources the binaries must not be compiled from, below `inputs/`.
    pub inputs: Vec<StagedFile>,
    /// The version of the only binary in it.
    pub version: Option<String>,
    /// The parts of the repositories' names for the binary and for the first one, where each gets an image of its own.
    parts: Option<[String; 2]>,
}

impl Binaries {
    /// These binaries, before images are chosen.
    pub fn new(all: NamedBinaries) -> Self {
        Self { all: Some(Arc::new(all)), ..Self::default() }
    }

    /// The same binaries, for an image of `only` this one, or of all. `code` are the sources. Nothing changes where all
    /// sources count.
    #[must_use]
    pub fn choose(self, only: Option<&str>, code: &[StagedFile]) -> Self {
        let Some(all) = self.all else { return self };
        let chosen: Vec<&Binary> =
            all.binaries.iter().filter(|binary| only.is_none_or(|only| binary.name == only)).collect();
        let counted: BTreeSet<TreePath> = chosen.iter().flat_map(|binary| binary.counted.iter().cloned()).collect();
        // Cargo, which lists what compilers read, has no name with a line break in its list.
        let is_outside =
            |path: &&TreePath| !counted.contains(*path) && !all.locked.contains(*path) && !path.as_str().contains('\n');
        let outside = code.iter().map(|file| &file.path).filter(is_outside);
        let lines: Vec<&str> = outside.flat_map(|path| [path.as_str(), "\n"]).collect();
        Self {
            inputs: vec![StagedFile::text(TreePath::constant(OUTSIDE), lines.concat())],
            version: chosen.first().filter(|_| chosen.len() == 1).and_then(|binary| binary.version.clone()),
            chosen: chosen.iter().map(|binary| binary.name.clone()).collect(),
            counted: Some(counted),
            parts: only.map(|only| [only, &all.first].map(part)),
            all: Some(all),
        }
    }

    /// Whether a source counts for the name of the image.
    pub fn counts(&self, path: &TreePath) -> bool {
        self.counted.as_ref().is_none_or(|counted| counted.contains(path))
    }

    /// The repository of the image, from the one that was asked for.
    pub fn repository(&self, asked: &str) -> String {
        match &self.parts {
            None => asked.to_owned(),
            Some([own, _]) if asked.contains(BIN) => asked.replace(BIN, own),
            Some([own, _]) => format!("{asked}-{own}"),
        }
    }

    /// The repository of the dependencies, which are one image for all binaries.
    pub fn lock_repository(&self, asked: &str) -> String {
        self.parts.as_ref().map_or_else(|| asked.to_owned(), |[_, first]| asked.replace(BIN, first))
    }
}

/// The name of a binary as a part of a repository's: as it is, in lower case, where a repository can have that.
fn part(binary: &str) -> String {
    let lower = binary.to_lowercase();
    let is_part = format!("x/{lower}").parse::<ImageName>().is_ok_and(|name| name.repository() == format!("x/{lower}"));
    if is_part && !lower.contains('/') { lower } else { local_name(binary) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("api", "team/x", "team/x-api")]
    #[case("my_bin", "team/{bin}", "team/my_bin")]
    #[case("My.Bin-2", "team/{bin}/image", "team/my.bin-2/image")]
    #[case("_a__b_", "team/{bin}", "team/a-b")]
    fn a_binary_has_a_repository(#[case] binary: &str, #[case] asked: &str, #[case] expected: &str) {
        let binaries = Binaries { parts: Some([binary, "First"].map(part)), ..Binaries::default() };
        assert_eq!(binaries.repository(asked), expected);
        assert!(expected.parse::<ImageName>().is_ok());
        assert_eq!(binaries.lock_repository("team/{bin}"), "team/first");
        assert_eq!(Binaries::default().repository(asked), asked);
    }
}
