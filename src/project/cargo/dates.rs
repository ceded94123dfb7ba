//! The dates that the files of local packages have while Cargo builds them.
//!
//! Cargo compiles a target again if a file of it is newer than what was made of it. Where a build script says nothing of
//! what it reads, Cargo writes down the time and the name of the package's newest file, and runs the script again when
//! they are others. So the dates are constant, and of each package the manifest alone is the newest. They are whole
//! seconds, because a layer that was pulled knows no others.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

/// The date of all that the dependency stage leaves, given by the step `build-dependencies`: the first of January 1980, in
/// seconds after the epoch.
const LEFT: u64 = 315_532_800;

/// The date of the skeleton and of local dependencies in that stage, their manifests a second later. Newer than what an
/// earlier image holds, so that Cargo compiles a local dependency, its build script above all, whenever the stage is built.
const DEPENDENCIES: u64 = LEFT + DAY;

/// The date of the members' targets when they are built, their manifests a second later. Newer than what was built of the
/// skeleton, or Cargo would link the empty ones.
const TARGETS: u64 = BUILT - DAY;

/// The date of all that is built of the sources, given by the steps `build-sources` and `install-binaries`.
const BUILT: u64 = LEFT + 3 * DAY;

const DAY: u64 = 24 * 60 * 60;

const MANIFEST: &str = "Cargo.toml";

/// The dates of files that do not keep those of the build folder, which are older, by path.
pub(super) type Dates = BTreeMap<Utf8PathBuf, u64>;

/// The files of local packages, as far as they get dates.
pub(super) struct LocalFiles<'a> {
    /// The members' targets, which are empty in the skeleton.
    pub(super) targets: &'a BTreeSet<Utf8PathBuf>,
    /// The folders of the members.
    pub(super) members: &'a BTreeSet<&'a Utf8Path>,
    /// The folders of the packages that are dependencies as they are.
    pub(super) whole: &'a BTreeSet<Utf8PathBuf>,
    /// The files of these.
    pub(super) whole_files: &'a BTreeSet<Utf8PathBuf>,
}

impl LocalFiles<'_> {
    /// In the dependency stage.
    pub(super) fn in_dependencies(&self) -> Dates {
        let files = self.targets.iter().chain(self.whole_files).map(|path| (path.clone(), DEPENDENCIES));
        let folders = self.members.iter().copied().chain(self.whole.iter().map(Utf8PathBuf::as_path));
        files.chain(folders.map(|folder| (folder.join(MANIFEST), DEPENDENCIES + 1))).collect()
    }

    /// When the sources are built. A dependency's manifest is dated as in the dependency stage, so that what Cargo wrote
    /// down there is still true.
    pub(super) fn in_sources(&self) -> Dates {
        let targets = self.targets.iter().map(|path| (path.clone(), TARGETS));
        let own = self.members.iter().map(|folder| (folder.join(MANIFEST), TARGETS + 1));
        // Last, because a member may be a dependency as it is.
        let whole = self.whole.iter().map(|folder| (folder.join(MANIFEST), DEPENDENCIES + 1));
        targets.chain(own).chain(whole).collect()
    }
}

/// The dates as the steps read them: date and path, a file a line.
pub(super) fn listed(dates: &Dates) -> String {
    dates.iter().fold(String::new(), |list, (path, date)| list + &format!("{date} {path}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staging::steps::Steps;

    #[test]
    fn the_steps_give_the_dates_that_stand_here() {
        let steps = [Steps::CARGO.dependencies, Steps::CARGO.runtime].concat();
        for (name, line) in [
            ("build-dependencies", format!("# `LEFT` in dates.rs.\nfinish {LEFT}\n")),
            ("build-sources", format!("# `BUILT` in dates.rs.\nfinish {BUILT}\n")),
            ("install-binaries", format!("# `BUILT` in dates.rs.\n    touch -d @{BUILT} ")),
        ] {
            let step = steps.iter().find(|step| step.name == name).expect("a step of this name");
            assert!(step.text.contains(&line), "{name} lacks {line:?}");
        }
    }
}
