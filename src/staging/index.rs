//! The digests of files as they were read last time, each with what the file system said of the file. A file of which
//! it says the same is not read again. A wrong digest leads to no wrong image: each file is hashed again when it is
//! staged.

use std::time::SystemTime;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::hash::{ContentDigest, Md5Digest, content_digest, hex};
use crate::staging::tree_path::TreePath;
use crate::system::kept::Kept;
use crate::system::stat::Stat;

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

/// The index of one list of files, as it lies on disk.
#[derive(Debug)]
pub(super) struct Index {
    kept: Option<Kept>,
    bytes: Vec<u8>,
}

impl Index {
    /// The index for the files of the project in `root`, or for those of its folder `below`. It is empty where there is
    /// none.
    pub fn of(root: &Utf8Path, below: Option<&TreePath>) -> Self {
        let part = below.map(|below| format!("-{}", &hex(&content_digest(below.as_str().as_bytes()))[..16]));
        Self::read(Kept::of(root, &format!("index{}", part.unwrap_or_default())))
    }

    /// The index in this file.
    pub fn read(kept: Option<Kept>) -> Self {
        let bytes = kept.as_ref().and_then(Kept::read).unwrap_or_default();
        Self { kept, bytes }
    }

    /// What it says at this moment.
    pub fn known(&self, now: SystemTime) -> Known<'_> {
        Known { entries: parsed(&self.bytes).unwrap_or_default(), now }
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

/// The entries, one after the other up to the end.
fn parsed(mut bytes: &[u8]) -> postcard::Result<Vec<Entry<'_>>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(bytes)?;
        entries.push(entry);
        bytes = rest;
    }
    Ok(entries)
}

/// What an index says, at the moment at which it is asked.
#[derive(Debug)]
pub(super) struct Known<'a> {
    entries: Vec<Entry<'a>>,
    now: SystemTime,
}

impl Known<'_> {
    /// What says nothing.
    pub fn nothing() -> Self {
        Self { entries: Vec::new(), now: SystemTime::UNIX_EPOCH }
    }

    /// What is known of a file of which the file system says this now.
    pub fn file(&self, path: &TreePath, stat: &Stat) -> Option<&Entry<'_>> {
        let place = self.entries.binary_search_by(|entry| Utf8Path::new(entry.path).cmp(path)).ok()?;
        self.entries.get(place).filter(|entry| entry.stat == *stat && stat.is_settled(self.now))
    }

    /// How many files are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}
