//! What a run keeps for the next one, in files of the user's cache folder, at every step of the way. It spares time and
//! decides nothing: what is missing, broken or of another version counts as nothing, and what cannot be written is not
//! kept.

use std::fs;
use std::io::{BufWriter, Read as _, Result as IoResult, Write};

use camino::{Utf8Path, Utf8PathBuf};

use crate::hash::{ContentDigest, ContentHasher, content_digest, hex};
use crate::system::environment::user_caches_alone;
use crate::system::paths::{ends_outside, make_for_this_user, make_own};
use crate::system::reading;

/// The version of what is kept and how: raised whenever anything of it changes its form.
const VERSION: u32 = 1;

/// A file of what is kept for one folder. It starts with a line that says what it is, and ends with the digest of what
/// is between.
#[derive(Debug)]
pub(crate) struct Kept {
    path: Utf8PathBuf,
    header: String,
}

impl Kept {
    /// The file in which `what` is kept for the project in `root`. None where the user has no cache folder of his own
    /// outside of the project: a tree could bring such a file.
    pub fn of(root: &Utf8Path, what: &str) -> Option<Self> {
        Some(Self::in_folder(&folder_of(root)?, what))
    }

    /// The file in which `what` is kept in `folder`.
    pub fn in_folder(folder: &Utf8Path, what: &str) -> Self {
        Self { path: folder.join(what), header: format!("cargo-runtime-image {VERSION} {what}\n") }
    }

    /// The same file, kept for this alone: with anything else it counts as nothing.
    pub fn only_for(&self, what: &str) -> Self {
        let header = format!("{} {}\n", self.header.trim_end(), hex(&content_digest(what.as_bytes())));
        Self { path: self.path.clone(), header }
    }

    /// Forgets all that is kept for the project in `root`.
    pub fn forget_all(root: &Utf8Path) {
        if let Some(folder) = folder_of(root) {
            // What cannot be removed was not written by this user.
            let _ = fs::remove_dir_all(folder);
        }
    }

    /// What is kept, if it is whole.
    pub fn read(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        reading::open(&self.path).ok()?.read_to_end(&mut bytes).ok()?;
        let (rest, digest) = bytes.split_last_chunk::<{ size_of::<ContentDigest>() }>()?;
        if !rest.starts_with(self.header.as_bytes()) || content_digest(rest) != *digest {
            return None;
        }
        let length = rest.len();
        bytes.truncate(length);
        bytes.drain(..self.header.len());
        Some(bytes)
    }

    /// Keeps what `write` writes, as a whole or not at all.
    pub fn write(&self, write: impl FnOnce(&mut dyn Write) -> IoResult<()>) {
        // Without it the next run takes longer.
        let _ = self.written(write);
    }

    fn written(&self, write: impl FnOnce(&mut dyn Write) -> IoResult<()>) -> IoResult<()> {
        let folder = self.path.parent().unwrap_or(Utf8Path::new("."));
        make_for_this_user(folder)?;
        // Its mode lets this user alone read it.
        let file = tempfile::NamedTempFile::new_in(folder)?;
        let mut writer = BufWriter::new(Hashing { file: file.as_file(), hasher: ContentHasher::default() });
        writer.write_all(self.header.as_bytes())?;
        write(&mut writer)?;
        let Hashing { file: mut all, hasher } = writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        all.write_all(&hasher.finish().0)?;
        file.persist(&self.path)?;
        Ok(())
    }
}

/// The folder of what is kept for the project in `root`. No other user can write there.
fn folder_of(root: &Utf8Path) -> Option<Utf8PathBuf> {
    let caches = user_caches_alone().filter(|caches| caches.is_absolute() && ends_outside(root, caches))?;
    make_own(&caches).ok()?;
    Some(caches.join("projects").join(hex(&content_digest(root.as_str().as_bytes()))))
}

/// Writes to a file, and hashes what it writes.
struct Hashing<'a> {
    file: &'a fs::File,
    hasher: ContentHasher,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_in(folder: &tempfile::TempDir) -> Kept {
        Kept::in_folder(&Utf8Path::from_path(folder.path()).expect("UTF-8").join("folder"), "test")
    }

    #[test]
    fn what_is_kept_is_there_again_for_this_user_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kept = kept_in(&folder);
        assert_eq!(kept.read(), None);
        for text in ["one", "", "another"] {
            kept.write(|file| file.write_all(text.as_bytes()));
            assert_eq!(kept.read().as_deref(), Some(text.as_bytes()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&kept.path).expect("written").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_could_not_be_written_whole_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kept = kept_in(&folder);
        kept.write(|file| file.write_all(b"one"));
        kept.write(|file| file.write_all(b"another").and(Err(std::io::Error::other("full"))));
        assert_eq!(kept.read().as_deref(), Some(&b"one"[..]));
        assert_eq!(fs::read_dir(folder.path().join("folder")).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_broken_cut_off_or_of_another_version_counts_as_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kept = kept_in(&folder);
        kept.write(|file| file.write_all(b"what is kept"));
        let header = kept.header.replace(&VERSION.to_string(), &(VERSION + 1).to_string());
        assert_eq!(Kept { path: kept.path.clone(), header }.read(), None);
        let whole = fs::read(&kept.path).expect("written");
        for length in 0..whole.len() {
            fs::write(&kept.path, &whole[..length]).expect("cut off");
            assert_eq!(kept.read(), None, "cut off after {length}");
            let mut broken = whole.clone();
            broken[length] ^= 1;
            fs::write(&kept.path, broken).expect("broken");
            assert_eq!(kept.read(), None, "broken at {length}");
        }
    }
}
