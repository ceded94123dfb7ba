//! What the file system says of a file, by which it is known whether the file changed since it was read, at every step
//! of the way.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// How much older than the moment at which it is read a file must be. A change after that moment then shows, also where
/// the file system counts time in coarse steps.
const SETTLING: Duration = Duration::from_secs(2);

/// What a file system says of a file. All of it is the same only where the file is the same and did not change: each
/// change of the content, the mode or the name sets the second time, and nobody can set it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Stat {
    /// In bytes.
    pub size: u64,
    /// When the content changed, or what somebody set instead: nanoseconds since 1970.
    pub modified: i64,
    /// When anything of the file changed: nanoseconds since 1970.
    pub changed: i64,
    device: u64,
    inode: u64,
    mode: u32,
}

impl Stat {
    /// From what the system answered. None where it does not say all that is needed.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        Some(Self {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec())?,
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec())?,
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: metadata.mode(),
        })
    }

    /// From what the system answered. None where it does not say all that is needed.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Option<Self> {
        None
    }

    /// Whether the second time tells of changes, of a file whose first time was set. Some file systems give the first for
    /// both.
    pub fn tells_of_changes(&self) -> bool {
        self.changed != self.modified
    }

    /// Whether it is a file, and no folder or link.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    /// Whether it may be read, written and executed by whom `mode` says, and by nobody else.
    pub fn has_permissions(&self, mode: u32) -> bool {
        self.mode & 0o7777 == mode
    }

    /// Whether its owner may execute the file.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    /// Whether any change after `moment` shows. A file from the future, as a clock leaves it that went back, never
    /// settles.
    pub fn is_settled(&self, moment: SystemTime) -> bool {
        let Ok(since) = moment.duration_since(SystemTime::UNIX_EPOCH) else { return false };
        let latest = since.checked_sub(SETTLING).and_then(|latest| i64::try_from(latest.as_nanos()).ok());
        latest.is_some_and(|latest| self.modified <= latest && self.changed <= latest)
    }
}

/// A folder, of whose files the system is asked: the way to it is gone once.
#[derive(Debug)]
pub(crate) struct Folder {
    #[cfg(unix)]
    opened: rustix::fd::OwnedFd,
}

#[cfg(unix)]
impl Folder {
    /// Opens a folder, if it can be read.
    pub fn open(path: &Utf8Path) -> Option<Self> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        rustix::fs::open(path.as_std_path(), flags, Mode::empty()).ok().map(|opened| Self { opened })
    }

    /// What the system says of what is at `path` below the folder: of what a link there leads to, or of the link itself.
    pub fn stat(&self, path: &Utf8Path, follow: bool) -> Option<Stat> {
        use rustix::fs::AtFlags;
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let stat = rustix::fs::statat(&self.opened, path.as_std_path(), flags).ok()?;
        // The types of these differ from system to system.
        Some(Stat {
            size: number(stat.st_size)?,
            modified: nanoseconds(number(stat.st_mtime)?, number(stat.st_mtime_nsec)?)?,
            changed: nanoseconds(number(stat.st_ctime)?, number(stat.st_ctime_nsec)?)?,
            device: number(stat.st_dev)?,
            inode: number(stat.st_ino)?,
            mode: number(stat.st_mode)?,
        })
    }
}

#[cfg(unix)]
fn nanoseconds(seconds: i64, rest: i64) -> Option<i64> {
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

#[cfg(unix)]
fn number<From, To: TryFrom<From>>(number: From) -> Option<To> {
    number.try_into().ok()
}

#[cfg(not(unix))]
impl Folder {
    /// None: the system does not say all that is needed.
    pub fn open(_: &Utf8Path) -> Option<Self> {
        None
    }

    /// None, as above.
    pub fn stat(&self, _: &Utf8Path, _: bool) -> Option<Stat> {
        None
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use rstest::rstest;

    const NOW: i64 = 1_000_000_000_000_000_000;

    #[test]
    fn a_folder_says_of_its_files_what_the_whole_path_says() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        std::fs::create_dir(root.join("inner")).expect("made");
        std::fs::write(root.join("inner/file"), "content").expect("written");
        std::os::unix::fs::symlink("inner", root.join("link")).expect("linked");
        let opened = Folder::open(root).expect("it can be read");
        for path in ["inner", "inner/file", "link", "link/file"] {
            let of = |metadata: std::io::Result<Metadata>| Stat::of(&metadata.expect("there")).expect("all is told");
            assert_eq!(opened.stat(path.into(), true), Some(of(std::fs::metadata(root.join(path)))));
            assert_eq!(opened.stat(path.into(), false), Some(of(std::fs::symlink_metadata(root.join(path)))));
        }
        assert_eq!(opened.stat("nothing".into(), true), None);
        assert!(Folder::open(&root.join("nothing")).is_none());
    }

    #[rstest]
    #[case::older(-2_000_000_000, -2_000_000_000, true)]
    #[case::just_modified(-1_999_999_999, -9_000_000_000, false)]
    #[case::just_changed(-9_000_000_000, -1_999_999_999, false)]
    #[case::modified_in_the_future(1, -9_000_000_000, false)]
    #[case::changed_in_the_future(-9_000_000_000, 1, false)]
    fn what_changed_just_now_or_in_the_future_may_change_again_unseen(
        #[case] modified: i64,
        #[case] changed: i64,
        #[case] settled: bool,
    ) {
        let (modified, changed) = (NOW + modified, NOW + changed);
        let stat = Stat { size: 1, modified, changed, device: 1, inode: 1, mode: 0o100_644 };
        assert_eq!(stat.is_settled(SystemTime::UNIX_EPOCH + Duration::from_nanos(NOW.unsigned_abs())), settled);
        assert!(!stat.is_settled(SystemTime::UNIX_EPOCH));
    }
}
