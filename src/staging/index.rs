//! The digests of files as they were read last time, each with what the file system said of the file. A file of which
//! it says the same is not read again. Each file is hashed again when it is copied, so that no image is built of other files
//! than its name says.

use std::cmp::Ordering;
use std::sync::OnceLock;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::hash::{ContentDigest, Md5Digest, content_digest, hex};
use crate::staging::tree_path::{TreePath, in_order};
use crate::system::interrupt::Interrupt;
use crate::system::kept::Kept;
use crate::system::stat::{Folder, Stat};

/// What is known of one file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    /// Relative to the folder of the list.
    #[serde(borrow)]
    pub path: &'a str,
    /// What the file system said when the file was read.
    pub stat: Stat,
    /// The digest of the content.
    pub digest: ContentDigest,
    /// The MD5 of the content, where the list has it.
    pub md5: Option<Md5Digest>,
}

/// The index of one list of files.
pub(super) struct Index {
    kept: Option<Kept>,
    folder: Utf8PathBuf,
    /// Whether links are followed.
    follow: bool,
    interrupt: Interrupt,
    known: OnceLock<Known>,
}

/// What an index says, and what the file system says now.
pub(super) struct Known {
    /// The entries, one after the other, sorted by path.
    bytes: Vec<u8>,
    /// Where each entry begins.
    places: Vec<usize>,
    /// What the file system says of each, where any change since then will show.
    states: Vec<Option<Stat>>,
}

impl Index {
    /// The index for the files of the project in `root`, or for those of its folder `below`, in which links are followed.
    /// It is empty where there is none.
    pub fn of(root: &Utf8Path, below: Option<&TreePath>, interrupt: &Interrupt) -> Self {
        let part = below.map(|below| format!("-{}", &hex(&content_digest(below.as_str().as_bytes()))[..16]));
        let kept = Kept::of(root, &format!("index{}", part.unwrap_or_default()));
        let folder = below.map_or_else(|| root.to_owned(), |below| root.join(below));
        Self::in_file(kept, folder, below.is_some(), interrupt)
    }

    /// The index in this file, for the files below `folder`.
    pub fn in_file(kept: Option<Kept>, folder: Utf8PathBuf, follow: bool, interrupt: &Interrupt) -> Self {
        Self { kept, folder, follow, interrupt: interrupt.clone(), known: OnceLock::new() }
    }

    /// Reads the index, and asks the file system of all files that it knows. Nothing is known before that. It can be done
    /// while another program is at work.
    pub fn look(&self) {
        self.look_at(SystemTime::now());
    }

    /// As [`look`](Self::look). A file that is not settled at the moment `now` counts as changed.
    pub fn look_at(&self, now: SystemTime) {
        self.known.get_or_init(|| {
            let bytes = self.kept.as_ref().and_then(Kept::read).unwrap_or_default();
            let places = places(&bytes).unwrap_or_default();
            let folder = Folder::open(&self.folder);
            let state = |place: &usize| {
                self.interrupt.check().ok()?;
                let path = Utf8Path::new(std::str::from_utf8(path(&bytes, *place)?).ok()?);
                folder.as_ref()?.stat(path, self.follow).filter(|stat| stat.is_settled(now))
            };
            Known { states: places.par_iter().map(state).collect(), places, bytes }
        });
    }

    /// What is known of a file that did not change. It is searched from the entry with the number `near` on.
    pub fn unchanged(&self, path: &TreePath, near: usize) -> Option<Entry<'_>> {
        let known = self.known.get()?;
        let number = known.find(path, near)?;
        entry(&known.bytes, *known.places.get(number)?)
            .filter(|entry| known.states.get(number) == Some(&Some(entry.stat)))
    }

    /// Whether there is a file at `path`, changed or not. False where that is not known, or something else is there.
    /// It is searched from the entry with the number `near` on.
    pub fn has_file(&self, path: &TreePath, near: usize) -> bool {
        let state = self.known.get().and_then(|known| known.states.get(known.find(path, near)?)?.as_ref());
        state.is_some_and(Stat::is_file)
    }

    /// How many files are known, changed or not.
    pub fn len(&self) -> usize {
        self.known.get().map_or(0, |known| known.places.len())
    }

    /// Writes the index anew, with these entries, sorted by path.
    pub fn keep<'a>(&self, entries: impl IntoIterator<Item = Entry<'a>>) {
        let Some(kept) = &self.kept else { return };
        kept.write(|file| {
            for entry in entries {
                file.write_all(&postcard::to_stdvec(&entry).map_err(std::io::Error::other)?)?;
            }
            Ok(())
        });
    }
}

impl Known {
    /// The number of the entry for `path`. Mostly that is `near`, else it is searched from there on in steps that double.
    fn find(&self, path: &TreePath, near: usize) -> Option<usize> {
        let order =
            |place: &usize| in_order(self::path(&self.bytes, *place).unwrap_or_default(), path.as_str().as_bytes());
        let near = near.min(self.places.len().checked_sub(1)?);
        let towards = order(&self.places[near]);
        let (mut low, mut high, mut step) = (near, near, 1);
        match towards {
            Ordering::Equal => return Some(near),
            Ordering::Less => {
                while high < self.places.len() && order(&self.places[high]) == Ordering::Less {
                    (low, high, step) = (high, high + step, step * 2);
                }
            }
            Ordering::Greater => {
                while low > 0 && order(&self.places[low]) == Ordering::Greater {
                    (low, high, step) = (low.saturating_sub(step), low, step * 2);
                }
            }
        }
        let high = self.places.len().min(high + 1);
        self.places[low..high].binary_search_by(order).ok().map(|number| low + number)
    }
}

fn entry(bytes: &[u8], place: usize) -> Option<Entry<'_>> {
    postcard::take_from_bytes(bytes.get(place..)?).ok().map(|(entry, _)| entry)
}

/// The path of an entry, with which it begins.
fn path(bytes: &[u8], place: usize) -> Option<&[u8]> {
    postcard::take_from_bytes(bytes.get(place..)?).ok().map(|(path, _)| path)
}

/// Where each entry begins.
fn places(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        places.push(bytes.len() - rest.len());
        rest = postcard::take_from_bytes::<Entry<'_>>(rest).ok()?.1;
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_path_is_found_from_anywhere(paths in prop::collection::btree_set("[ab/-]{1,4}", 0..20), near in 0_usize..25) {
            let paths: std::collections::BTreeSet<TreePath> = paths.into_iter().filter_map(TreePath::new).collect();
            let stat = Stat::default();
            let entries = paths.iter().map(|path| Entry { path: path.as_str(), stat, digest: [0; 32], md5: None });
            let bytes: Vec<u8> = entries.flat_map(|entry| postcard::to_stdvec(&entry).expect("it can be written")).collect();
            let known = Known { places: places(&bytes).expect("whole"), states: Vec::new(), bytes };
            for (number, path) in paths.iter().enumerate() {
                prop_assert_eq!(known.find(path, near), Some(number));
            }
            prop_assert_eq!(known.find(&TreePath::constant("another"), near), None);
        }
    }
}
