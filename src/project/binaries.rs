//! The binaries for whose images not all sources count, and what an image of some of them has of its own. Part of the
//! step from options to project.

use std::collections::BTreeSet;

use crate::config::options::BIN;
use crate::image::name::ImageName;
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
    /// Further source files, which count for the names as dependencies do.
    pub locked: BTreeSet<TreePath>,
}

/// The binaries that images are made of by their names, and what the image at hand has of its own.
#[derive(Debug, Clone, Default)]
pub struct Binaries {
    /// In the order of the manifests. None where all sources count.
    pub all: Vec<Binary>,
    /// The binary in whose repository the dependencies are, where each has one of its own.
    first: String,
    /// The names of those that are in the image.
    pub chosen: Vec<String>,
    /// The sources that count for its name, where that is not all.
    counted: Option<BTreeSet<TreePath>>,
    /// What tells which sources the binaries must not be compiled from, below `inputs/`.
    pub inputs: Vec<StagedFile>,
    /// The version of the only binary in it.
    pub version: Option<String>,
    /// The part of the repository's name for the binary, where each gets an image of its own.
    part: Option<String>,
}

impl Binaries {
    /// These binaries, in the order of the manifests, before images are chosen. `first` is the workspace's first one,
    /// whichever are wanted.
    pub fn new(all: Vec<Binary>, first: &str) -> Self {
        Self { all, first: first.to_owned(), ..Self::default() }
    }

    /// The same binaries, for an image of `only` this one, or of all. `code` are the sources.
    #[must_use]
    pub fn choose(self, only: Option<&str>, code: &[StagedFile]) -> Self {
        let chosen: Vec<&Binary> =
            self.all.iter().filter(|binary| only.is_none_or(|only| binary.name == only)).collect();
        let counted: BTreeSet<TreePath> = chosen.iter().flat_map(|binary| binary.counted.iter().cloned()).collect();
        let is_outside =
            |path: &TreePath| !counted.contains(path) && !chosen.iter().any(|binary| binary.locked.contains(path));
        // Cargo, which lists what compilers read, has no name with a line break in its list.
        let outside =
            code.iter().map(|file| &file.path).filter(|path| is_outside(path) && !path.as_str().contains('\n'));
        let lines: Vec<&str> = outside.flat_map(|path| [path.as_str(), "\n"]).collect();
        Self {
            inputs: vec![StagedFile::text(TreePath::constant(OUTSIDE), lines.concat())],
            version: chosen.first().filter(|_| chosen.len() == 1).and_then(|binary| binary.version.clone()),
            chosen: chosen.iter().map(|binary| binary.name.clone()).collect(),
            counted: Some(counted),
            part: only.map(part),
            all: self.all,
            first: self.first,
        }
    }

    /// Whether a source counts for the name of the image.
    pub fn counts(&self, path: &TreePath) -> bool {
        self.counted.as_ref().is_none_or(|counted| counted.contains(path))
    }

    /// The repository of the image, from the one that was asked for.
    pub fn repository(&self, asked: &str) -> String {
        match &self.part {
            None => asked.to_owned(),
            Some(part) if asked.contains(BIN) => asked.replace(BIN, part),
            Some(part) => format!("{asked}-{part}"),
        }
    }

    /// The repository of the dependencies, which are one image for all binaries.
    pub fn lock_repository(&self, asked: &str) -> String {
        if self.part.is_some() { asked.replace(BIN, &part(&self.first)) } else { asked.to_owned() }
    }
}

/// The name of a binary as a part of a repository's: as it is, in lower case, where a repository can have that.
fn part(binary: &str) -> String {
    let lower = binary.to_lowercase();
    let is_part = format!("x/{lower}").parse::<ImageName>().is_ok_and(|name| name.repository() == format!("x/{lower}"));
    if is_part && !lower.contains('/') { lower } else { local_name(binary) }
}

/// A name as a part of a repository's.
pub(super) fn local_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> =
        lower.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.is_empty() { "project".to_owned() } else { words.join("-") }
}

/// `localhost/<name>-runtime`: a local name that no registry is ever asked for.
pub(crate) fn local_repository(name: &str) -> String {
    let repository = format!("localhost/{}-runtime", local_name(name));
    debug_assert!(repository.parse::<ImageName>().is_ok());
    repository
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
        let binaries = Binaries { part: Some(part(binary)), ..Binaries::new(Vec::new(), "First") };
        assert_eq!(binaries.repository(asked), expected);
        assert!(expected.parse::<ImageName>().is_ok());
        assert_eq!(binaries.lock_repository("team/{bin}"), "team/first");
        assert_eq!(Binaries::default().repository(asked), asked);
    }
}
