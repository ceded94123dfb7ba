//! One run at a time for an image, a build folder or the folder of a build cache, whoever starts it from wherever on
//! this machine. Taken between plan and build folder.

use std::fs;
use std::fs::{File, OpenOptions, TryLockError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Context as _, Error, Result};
use crate::hash::md5_hex;
use crate::image::name::ImageName;
use crate::system::interrupt::Interrupt;
use crate::system::paths::own_name;
use crate::system::terminal::Terminal;

const POLL: Duration = Duration::from_millis(50);

/// A lock, released when it is dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// Whether another run held the lock first.
    pub waited: bool,
}

impl Lock {
    /// The lock of an image name.
    ///
    /// # Errors
    /// When the lock file cannot be made, or a signal ends the waiting.
    pub fn of_image(image: &ImageName, terminal: &Terminal, interrupt: &Interrupt) -> Result<Self> {
        let folder = Utf8PathBuf::try_from(std::env::temp_dir())
            .context(|| "the folder for temporary files is not UTF-8".to_owned())?
            .join("cargo-runtime-image");
        make_shared(&folder)?;
        let file = folder.join(format!("{}.lock", md5_hex(image.canonical().as_bytes())));
        Self::of_file(&file, &format!("image `{image}`"), terminal, interrupt)
    }

    /// The lock of a build folder, which lies beside it.
    ///
    /// # Errors
    /// As [`of_image`](Self::of_image).
    pub fn of_build_folder(folder: &Utf8Path, terminal: &Terminal, interrupt: &Interrupt) -> Result<Self> {
        Self::of_file(&beside(folder)?, &format!("build folder `{folder}`"), terminal, interrupt)
    }

    /// The lock of the folder of a build cache, which lies beside it.
    ///
    /// # Errors
    /// As [`of_image`](Self::of_image).
    pub fn of_cache(folder: &Utf8Path, terminal: &Terminal, interrupt: &Interrupt) -> Result<Self> {
        Self::of_file(&beside(folder)?, &format!("build cache `{folder}`"), terminal, interrupt)
    }

    fn of_file(path: &Utf8Path, what: &str, terminal: &Terminal, interrupt: &Interrupt) -> Result<Self> {
        let cannot = || format!("cannot lock `{path}`");
        let file = match of_no_link(File::options().create(true).append(true)).open(path) {
            // Another user's lock file: reading is enough to lock.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                of_no_link(File::options().read(true)).open(path)
            }
            other => other,
        }
        .context(cannot)?;
        if !file.metadata().context(cannot)?.is_file() {
            return Err(Error::failed(cannot()).because("it is no file"));
        }
        let mut waited = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file, waited }),
                Err(TryLockError::WouldBlock) => {
                    if !waited {
                        terminal.status("Blocking", format!("waiting for another run to finish with {what}"));
                    }
                    waited = true;
                    interrupt.check()?;
                    std::thread::sleep(POLL);
                }
                Err(TryLockError::Error(error)) => return Err(error).context(cannot),
            }
        }
    }
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
    fs::create_dir_all(parent).context(|| format!("cannot create `{parent}`"))?;
    Ok(parent.join(own_name(folder, ".lock")))
}

/// A folder that every user of the machine may put lock files into.
fn make_shared(folder: &Utf8Path) -> Result<()> {
    if !folder.is_dir() {
        fs::create_dir_all(folder).context(|| format!("cannot create `{folder}`"))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o1777))
                .context(|| format!("cannot share `{folder}`"))?;
        }
    }
    Ok(())
}
