//! What a build goes on from: what Cargo made of the local packages in an earlier build on the same dependencies. The
//! builder keeps it, and it changes no name and no byte of an image. The steps in `seed.sh` use it; here is what they are
//! given, for the build folder and the Dockerfile, and what is expected of it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use camino::{Utf8Path, Utf8PathBuf};

use crate::hash::FieldHasher;
use crate::image::platform::Platform;
use crate::image::tags::Hashes;
use crate::staging::own_files::SEED;
use crate::staging::staged::StagedFile;
use crate::staging::steps::Steps;
use crate::staging::tree_path::TreePath;
use crate::system::kept::Kept;

/// The file below `seed/`: the digest and the path of each source, a line each.
const FILES: &str = "files";

/// The file below `seed/`: name and folder of each local package, the packages that it needs, and its targets.
const PACKAGES: &str = "packages";

/// The name under which this user's secret is kept.
const SECRET: &str = "seeds";

/// The length of a seed's name, in hexadecimal digits.
const ID_LENGTH: usize = 32;

/// A local package, whose folder is relative to the project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPackage {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: Utf8PathBuf,
    /// The names of the local packages that it is compiled from.
    pub needs: Vec<String>,
    /// What says which programs, libraries and tests it has.
    pub targets: String,
}

/// What a build may go on from.
#[derive(Debug)]
pub struct Seed {
    packages: Vec<LocalPackage>,
    /// The digest and the path of each source, a line each.
    files: String,
    id: String,
    /// The list of files of the last build.
    last: Option<Kept>,
}

impl Seed {
    /// The seed for what is built from `root` on dependencies of this hash, on one platform. None where the packages cannot
    /// be told apart. Whoever can change what is built from `root` can change what it goes on from.
    pub fn new(
        root: &Utf8Path,
        packages: &[LocalPackage],
        code: &[StagedFile],
        hashes: &Hashes,
        steps: &Steps,
        platform: &Platform,
    ) -> Option<Self> {
        // Each has a line, whose parts tabs part.
        let is_odd = |file: &StagedFile| file.path.as_str().contains(['\n', '\t', '\u{1}']);
        if packages.is_empty() || code.iter().any(is_odd) {
            return None;
        }
        let line = |file: &StagedFile| {
            let mut content = FieldHasher::new("seed");
            file.hash_into(&mut content);
            format!("{} {}\n", content.finish().identity, file.path)
        };
        let mut name = FieldHasher::new("seed");
        name.field("user", own_secret(root));
        name.field("root", root.as_str());
        name.field("lock", &hashes.lock.identity);
        name.field("platform", platform.to_string());
        for step in steps.runtime {
            name.field(step.name, step.text);
        }
        let mut id = name.finish().identity;
        id.truncate(ID_LENGTH);
        let last = Kept::of(root, &format!("seed-{id}"));
        Some(Self { packages: packages.to_vec(), files: code.iter().map(line).collect(), id, last })
    }

    /// What the steps are given, below `seed/`.
    pub fn staged(&self) -> Vec<StagedFile> {
        let packages = self.packages.iter().map(|LocalPackage { name, folder, needs, targets }| {
            let folder = if folder.as_str().is_empty() { "." } else { folder.as_str() };
            format!("{name}\t{folder}\t{}\t{targets}\n", needs.join(" "))
        });
        let packages: String = packages.collect();
        let file = |name, text: &str| StagedFile::text(TreePath::constant(name), text);
        vec![file(FILES, &self.files), file(PACKAGES, &packages)]
    }

    /// The mounts of the step that builds the sources: the builder's cache, which no other run has at the same time, and
    /// the lists.
    pub fn mounts(&self) -> String {
        format!(
            "--mount=type=cache,id=seed-{},target=/run/seed,sharing=private,mode=0777 \
             --mount=type=bind,source={SEED},target=/run/seed-lists ",
            self.id
        )
    }

    /// How many packages are compiled anew, of how many, if the builder still has what the last build left. None where
    /// nothing is known of one.
    pub fn expected(&self) -> Option<(usize, usize)> {
        let before = String::from_utf8(self.last.as_ref()?.read()?).ok()?;
        Some((changed_packages(&self.packages, &before, &self.files), self.packages.len()))
    }

    /// Keeps the list of files of a build that went well. Without it, less is told of the next one.
    pub fn remember(&self) {
        if let Some(last) = &self.last {
            last.write(|file| file.write_all(self.files.as_bytes()));
        }
    }
}

/// How many packages have other files than before, or need one that has. All of them where a file belongs to none.
fn changed_packages(packages: &[LocalPackage], before: &str, now: &str) -> usize {
    let [before, now] = [before, now].map(|files| files.lines().collect::<BTreeSet<_>>());
    let by_folder: BTreeMap<&Utf8Path, &str> =
        packages.iter().map(|package| (package.folder.as_path(), package.name.as_str())).collect();
    let mut changed: BTreeSet<&str> = BTreeSet::new();
    for (_, path) in before.symmetric_difference(&now).filter_map(|line| line.split_once(' ')) {
        match Utf8Path::new(path).ancestors().skip(1).find_map(|folder| by_folder.get(folder)) {
            Some(name) => drop(changed.insert(name)),
            None => return packages.len(),
        }
    }
    loop {
        let needs = |package: &&LocalPackage| package.needs.iter().any(|name| changed.contains(name.as_str()));
        let more: Vec<&str> = packages.iter().filter(needs).map(|package| package.name.as_str()).collect();
        let count = changed.len();
        changed.extend(more);
        if changed.len() == count {
            return count;
        }
    }
}

/// A text that this user alone knows, so that nobody else's build on the same builder writes what this user's goes on from.
/// Where none can be kept, each run has one of its own.
fn own_secret(root: &Utf8Path) -> Vec<u8> {
    let kept = Kept::of(root, SECRET);
    kept.as_ref().and_then(Kept::read).unwrap_or_else(|| {
        let random = || RandomState::new().build_hasher().finish().to_le_bytes();
        let new = [random(), random()].concat();
        if let Some(kept) = kept {
            kept.write(|file| file.write_all(&new));
        }
        new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_other_files_and_those_that_need_them_are_expected() {
        let package = |name: &str, folder: &str, needs: &[&str]| LocalPackage {
            name: name.to_owned(),
            folder: folder.into(),
            needs: needs.iter().map(|name| (*name).to_owned()).collect(),
            targets: String::new(),
        };
        let packages = [
            package("app", "app", &["mid"]),
            package("base", "libs/base", &[]),
            package("mid", "libs/mid", &["base"]),
            package("inner", "libs/mid/inner", &[]),
        ];
        let before = "1 app/a\n2 libs/base/b c\n3 libs/mid/m\n4 libs/mid/inner/i\n5 README\n";
        for (now, expected) in [
            (before.to_owned(), 0),
            (before.replace("1 app", "9 app"), 1),
            (before.replace("2 libs", "9 libs"), 3),
            (before.replace("4 libs", "9 libs"), 1),
            (before.replace("3 libs/mid/m\n", ""), 2),
            (format!("{before}6 libs/mid/new\n"), 2),
            (before.replace("5 README", "9 README"), 4),
        ] {
            assert_eq!(changed_packages(&packages, before, &now), expected, "{now}");
        }
    }
}
