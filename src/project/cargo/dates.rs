//! The dates that the files of local packages have while Cargo builds them. They are decided when a project is read,
//! and given by the steps in the image.
//!
//! Cargo compiles a target again if a file of it is newer than what was made of it. If a build script does not say what
//! it reads, Cargo writes down time and name of the package's newest file. The script runs again when either changes.
//! So the dates are constant, and of each package the manifest alone is the newest. Dates are whole seconds, because
//! layers that were pulled hold no fractions.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::staging::tree_path::TreePath;

/// The date of all that the dependency stage leaves, given by the step `build-dependencies`: the first of January 1980,
/// in seconds after the epoch.
const LEFT: u64 = 315_532_800;

/// The date of the skeleton and of local dependencies in the dependency stage; manifests are a second newer. All are
/// newer than what an earlier image holds. So Cargo compiles local dependencies, above all their build scripts, at each
/// build of the stage.
const DEPENDENCIES: u64 = LEFT + DAY;

/// The date of the members' targets when the sources are built; their manifests are a second newer. Targets must be
/// newer than what was built of the skeleton, or Cargo would link the empty ones.
const TARGETS: u64 = BUILT - DAY;

/// The date of all that is built of the sources, given by the steps `build-sources` and `install-binaries`.
const BUILT: u64 = LEFT + 3 * DAY;

const DAY: u64 = 24 * 60 * 60;

const MANIFEST: &str = "Cargo.toml";

/// Dates by path, of files that do not keep the older date that they have in the build folder.
pub(super) type Dates = BTreeMap<Utf8PathBuf, u64>;

/// The files of local packages, as far as they get dates.
pub(super) struct LocalFiles<'a> {
    /// The members' targets, which are empty in the skeleton.
    pub(super) targets: &'a BTreeSet<TreePath>,
    /// The folders of the members.
    pub(super) members: &'a BTreeSet<&'a Utf8Path>,
    /// The folders of whole local dependencies, which are staged as they are.
    pub(super) whole: &'a BTreeSet<Utf8PathBuf>,
    /// The files of whole local dependencies.
    pub(super) whole_files: &'a BTreeSet<Utf8PathBuf>,
}

impl LocalFiles<'_> {
    /// The dates in the dependency stage.
    pub(super) fn in_dependencies(&self) -> Dates {
        let targets = self.targets.iter().map(|path| path.to_path_buf());
        let files = targets.chain(self.whole_files.iter().cloned()).map(|path| (path, DEPENDENCIES));
        let folders = self.members.iter().copied().chain(self.whole.iter().map(Utf8PathBuf::as_path));
        files.chain(folders.map(|folder| (folder.join(MANIFEST), DEPENDENCIES + 1))).collect()
    }

    /// The dates when the sources are built. A dependency's manifest is dated as in the dependency stage, so that what
    /// Cargo wrote down there is still true.
    pub(super) fn in_sources(&self) -> Dates {
        let targets = self.targets.iter().map(|path| (path.to_path_buf(), TARGETS));
        let own = self.members.iter().map(|folder| (folder.join(MANIFEST), TARGETS + 1));
        // Last, so as to win: a member may also be a whole local dependency.
        let whole = self.whole.iter().map(|folder| (folder.join(MANIFEST), DEPENDENCIES + 1));
        targets.chain(own).chain(whole).collect()
    }
}

/// The dates as the steps read them: date and path, with a NUL after each file. A path may hold anything else.
pub(super) fn listed(dates: &Dates) -> String {
    dates.iter().fold(String::new(), |list, (path, date)| list + &format!("{date} {path}\0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::steps::Steps;

    #[test]
    fn the_steps_give_the_dates_that_stand_here() {
        let Steps { system, dependencies, runtime, .. } = Steps::CARGO;
        let steps = [system, dependencies, runtime].concat();
        for (name, line) in [
            ("build-dependencies", format!("# `LEFT` in dates.rs.\nfinish {LEFT}\n")),
            ("seed.sh", format!("-newermt @{LEFT} ")),
            ("build-sources", format!("# `BUILT` in dates.rs.\nfinish {BUILT}\n")),
            ("install-binaries", format!("# `BUILT` in dates.rs.\n    touch -d @{BUILT} ")),
            (
                "common.sh",
                format!("`BUILT` in dates.rs.\ndate_slim() {{ find /slim -exec touch -h -d @{BUILT} {{}} +; }}\n"),
            ),
        ] {
            let step = steps.iter().find(|step| step.name == name).expect("a step of this name");
            assert!(step.text.contains(&line), "{name} lacks {line:?}");
        }
    }
}
