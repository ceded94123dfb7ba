//! One run at a time for an image, a build folder or the folder of a build cache, whoever starts it from wherever on
//! this machine. Taken between plan and build folder.

use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::hash::md5_hex;
use crate::image::name::ImageName;
use crate::system::environment::{own_temporary, user_caches};
use crate::system::interrupt::Interrupt;
use crate::system::paths::{make_for_this_user, make_own, own_name};
use crate::system::terminal::Terminal;

const POLL: Duration = Duration::from_millis(50);

/// The ending of the names of lock files for pushes, which hold the image's name.
const PUSH_ENDING: &str = ".push";

/// The ending of a lock file's name.
const ENDING: &str = ".lock";

/// A lock, released when it is dropped or when the process dies. Children that are bound to this program keep it as
/// long as one of them lives: see [`Command::bound`](crate::system::command::Command::bound).
#[derive(Debug)]
pub struct Lock {
    _file: Arc<File>,
    path: Utf8PathBuf,
    /// Whether another run held the lock first.
    pub waited: bool,
}

/// How a run waits for others.
#[derive(Debug, Clone, Copy)]
pub struct Waiting<'a> {
    /// Where the waiting is told of.
    pub terminal: &'a Terminal,
    /// Ends it at a signal.
    pub interrupt: &'a Interrupt,
    /// How long another run is waited for.
    pub longest: Duration,
}

impl Lock {
    /// The lock of an image name.
    ///
    /// # Errors
    /// When the lock file cannot be made, when another run holds the lock for too long, and when a signal ends the
    /// waiting.
    pub fn of_image(image: &ImageName, waiting: Waiting<'_>) -> Result<Self> {
        let file = folder_of_locks()?.join(format!("{}{ENDING}", md5_hex(image.canonical().as_bytes())));
        Self::of_file(&file, &format!("image `{image}`"), waiting)
    }

    /// The lock of a build folder, which lies beside it.
    ///
    /// # Errors
    /// As [`of_image`](Self::of_image).
    pub fn of_build_folder(folder: &Utf8Path, waiting: Waiting<'_>) -> Result<Self> {
        Self::of_file(&beside(folder)?, &format!("build folder `{folder}`"), waiting)
    }

    /// The lock of the folder of a build cache, which lies beside it.
    ///
    /// # Errors
    /// As [`of_image`](Self::of_image).
    pub fn of_cache(folder: &Utf8Path, waiting: Waiting<'_>) -> Result<Self> {
        Self::of_file(&beside(folder)?, &format!("build cache `{folder}`"), waiting)
    }

    /// The lock of a name that an image has only while it is pushed. A run that is killed leaves the lock's file, and
    /// perhaps the name.
    ///
    /// # Errors
    /// As [`of_image`](Self::of_image).
    pub(crate) fn of_push(image: &ImageName, interrupt: &Interrupt) -> Result<Self> {
        let path = folder_of_locks()?.join(format!("{}{PUSH_ENDING}", md5_hex(image.canonical().as_bytes())));
        let waiting = Waiting { terminal: &Terminal::silent(), interrupt, longest: Duration::from_secs(1) };
        Self::of_file_with(&path, &image.to_string(), &format!("the push of `{image}`"), waiting)
    }

    /// The names of images that runs were pushing which are gone, with their locks.
    pub(crate) fn left_over_pushes() -> Vec<(ImageName, Self)> {
        let Ok(folder) = folder_of_locks() else { return Vec::new() };
        let entries = folder.read_dir_utf8().into_iter().flatten().filter_map(std::result::Result::ok);
        let paths = entries.map(camino::Utf8DirEntry::into_path).filter(|path| path.as_str().ends_with(PUSH_ENDING));
        let left_over = |path: Utf8PathBuf| {
            let Ok(Attempt::Taken(file)) = attempt(&path) else { return None };
            // A run that was killed before it wrote the name has pushed nothing.
            let name = fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok()?;
            Some((name, Self { _file: Arc::new(file), path, waited: false }))
        };
        paths.filter_map(left_over).collect()
    }

    /// Releases the lock for good: its file is removed.
    pub(crate) fn finish(self) {
        // A file that cannot be removed is in nobody's way.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes a folder with a lock beside it that no run holds, and the lock; false if one does.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub(crate) fn remove_unheld(folder: &Utf8Path) -> Result<bool> {
        let cannot = || format!("cannot remove `{folder}`");
        let Some(lock) = Self::of_unheld(folder)? else { return Ok(false) };
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context(cannot),
            _ => {}
        }
        fs::remove_file(&lock.path).context(cannot).map(|()| true)
    }

    /// The lock beside a folder, if no run holds it now.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub(crate) fn of_unheld(folder: &Utf8Path) -> Result<Option<Self>> {
        let path = beside(folder)?;
        match attempt(&path).context(|| format!("cannot lock `{path}`"))? {
            Attempt::Taken(file) => Ok(Some(Self { _file: Arc::new(file), path, waited: false })),
            Attempt::Held(_) => Ok(None),
        }
    }

    fn of_file(path: &Utf8Path, what: &str, waiting: Waiting<'_>) -> Result<Self> {
        Self::of_file_with(path, &std::process::id().to_string(), what, waiting)
    }

    /// The lock of a file, with a note in it for other runs.
    fn of_file_with(path: &Utf8Path, note: &str, what: &str, waiting: Waiting<'_>) -> Result<Self> {
        let Waiting { terminal, interrupt, longest } = waiting;
        let started = Instant::now();
        let mut waited = false;
        loop {
            interrupt.check()?;
            let mut file = match attempt(path).context(|| format!("cannot lock `{path}`"))? {
                Attempt::Taken(mut file) => {
                    // The lock counts without the note.
                    let _ = file.set_len(0).and_then(|()| writeln!(file, "{note}"));
                    let file = Arc::new(file);
                    interrupt.lend(&file);
                    return Ok(Self { _file: file, path: path.to_owned(), waited });
                }
                Attempt::Held(file) => file,
            };
            if started.elapsed() >= longest {
                let holder = holder(&mut file);
                return Err(Error::failed(format!("another run does not finish with {what}"))
                    .because(format!("waited for {} s{holder}", longest.as_secs()))
                    .hint("end that run if it hangs, or wait longer with `--lock-timeout`"));
            }
            if !waited {
                let holder = holder(&mut file);
                terminal.status("Blocking", format!("waiting for another run{holder} to finish with {what}"));
            }
            waited = true;
            std::thread::sleep(POLL);
        }
    }
}

/// A folder that this run has alone. It is removed when it is dropped, or by a later run where this one is killed.
#[derive(Debug)]
pub struct RunFolder {
    /// Where it is.
    pub path: Utf8PathBuf,
    lock: Lock,
}

impl RunFolder {
    /// Makes one below `parent`, and removes those of runs that were killed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn below(parent: &Utf8Path, interrupt: &Interrupt) -> Result<Self> {
        for entry in parent.read_dir_utf8().into_iter().flatten().filter_map(std::result::Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                // What cannot be removed is in nobody's way.
                let _ = Lock::remove_unheld(entry.path());
            }
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = parent.join(format!("{}-{}", std::process::id(), now.subsec_nanos()));
        let waiting = Waiting { terminal: &Terminal::silent(), interrupt, longest: Duration::from_secs(5) };
        let lock = Lock::of_build_folder(&path, waiting)?;
        make_for_this_user(&path).context(|| format!("cannot create `{path}`"))?;
        Ok(Self { path, lock })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock.path);
    }
}

/// What came of trying to lock a file.
enum Attempt {
    /// The lock, held as long as the file is open.
    Taken(File),
    /// Another run's lock file.
    Held(File),
}

fn attempt(path: &Utf8Path) -> std::io::Result<Attempt> {
    loop {
        let Some(file) = open(path)? else { continue };
        match file.try_lock() {
            // Whoever removed the file meanwhile had the lock, and the next one takes that of a new file.
            Ok(()) if !is_at(&file, path) => {}
            Ok(()) => return Ok(Attempt::Taken(file)),
            Err(TryLockError::WouldBlock) => return Ok(Attempt::Held(file)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The lock file, made where it is missing; none if its folder was removed at this moment.
fn open(path: &Utf8Path) -> std::io::Result<Option<File>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let opened = match of_no_link(File::options().create(true).append(true).read(true)).open(path) {
        // Another user's lock file: reading is enough to lock.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            of_no_link(File::options().read(true)).open(path)
        }
        other => other,
    };
    let file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => above_those_of_shells(&other?)?,
    };
    if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(std::io::Error::other("it is no file")) }
}

/// The file under a number that no script gives to a file of its own: bound children have it too.
#[cfg(unix)]
fn above_those_of_shells(file: &File) -> std::io::Result<File> {
    Ok(rustix::io::fcntl_dupfd_cloexec(file, 10)?.into())
}

#[cfg(not(unix))]
fn above_those_of_shells(file: &File) -> std::io::Result<File> {
    file.try_clone()
}

/// Whether the file is the one at `path` now.
#[cfg(unix)]
fn is_at(file: &File, path: &Utf8Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let own = file.metadata().map(place).ok();
    own.is_some() && own == fs::symlink_metadata(path).map(place).ok()
}

/// An open file cannot be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Utf8Path) -> bool {
    true
}

/// Who holds the lock, as it wrote there, in brackets; empty if that cannot be read.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    let process = text.trim().parse::<u32>().ok().filter(|_| read.is_ok());
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

/// A link in the place of a lock file is an error, or a file of a project could have another file made. A FIFO there is
/// not waited for.
#[cfg(unix)]
fn of_no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed())
}

#[cfg(not(unix))]
fn of_no_link(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// The lock file of a folder, beside it.
fn beside(folder: &Utf8Path) -> Result<Utf8PathBuf> {
    folder.file_name().ok_or_else(|| Error::usage(format!("`{folder}` cannot be written anew")))?;
    let parent = folder.parent().unwrap_or(Utf8Path::new("."));
    Ok(parent.join(own_name(folder, ENDING)))
}

/// The folder for the locks of image names, which this user alone can write: in the user's cache folder or, where that
/// cannot be written, among the temporary files.
fn folder_of_locks() -> Result<Utf8PathBuf> {
    let caches = user_caches(Utf8Path::new("."));
    let folder = caches.join("locks");
    let Err(error) = make_own(&caches).and_then(|()| make_own(&folder)) else { return Ok(folder) };
    let other = own_temporary().filter(|other| make_own(other).is_ok());
    other.ok_or_else(|| {
        Error::failed(format!("cannot make the folder `{folder}` for locks"))
            .because(error)
            .hint("name a folder for caches with XDG_CACHE_HOME, one that you own and can write to")
    })
}
