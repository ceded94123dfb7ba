//! The log of a build, beside its build folder: written while the build runs, and kept only when the build fails.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Context as _, Error, Result};

/// How every log starts; a file that starts otherwise is the user's.
const START: &str = "# cargo-runtime-image: ";

/// A log that is removed when it is dropped, unless it is kept.
#[derive(Debug)]
pub struct LogFile {
    path: Utf8PathBuf,
    title: String,
    file: File,
    /// How much of it was read as news.
    read: u64,
    kept: bool,
}

impl LogFile {
    /// Where the log of a build from this folder is: `<folder>.log`.
    pub fn beside(folder: &Utf8Path) -> Utf8PathBuf {
        folder.with_file_name(format!("{}.log", folder.file_name().unwrap_or_default()))
    }

    /// Whether the file at `path` is the log of a build, and not the user's.
    pub fn is_at(path: &Utf8Path) -> bool {
        let mut start = [0; START.len()];
        // A FIFO would be waited for.
        let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        is_file
            && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
            && start == *START.as_bytes()
    }

    /// Starts the log of a build from `folder`, in place of an earlier build's log. `title` is its first line.
    ///
    /// # Errors
    /// When the log cannot be written, and when a file that is no log of this tool is in its place.
    pub fn start(folder: &Utf8Path, title: &str) -> Result<Self> {
        let path = Self::beside(folder);
        let cannot = || format!("cannot write the log `{path}`");
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(cannot),
            // An empty one is of a run that was killed, or had no space.
            Ok(metadata) if metadata.is_file() && (metadata.len() == 0 || Self::is_at(&path)) => {
                fs::remove_file(&path).context(cannot)?;
            }
            Ok(_) => {
                return Err(Error::usage(format!(
                    "`{path}` is no log of this tool, and that of the build belongs there"
                ))
                .hint("name another folder with `--build-folder`, or move this file"));
            }
        }
        let mut file = new_file(&path).context(cannot)?;
        writeln!(file, "{START}{title}").context(cannot)?;
        Ok(Self { path, title: title.to_owned(), file, read: 0, kept: false })
    }

    /// A handle that adds to the log.
    pub(super) fn writer(&self) -> std::io::Result<File> {
        self.file.try_clone()
    }

    /// What was written below the title; empty if the log cannot be read.
    pub fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        text.split_once('\n').map_or_else(String::new, |(_, text)| text.to_owned())
    }

    /// What was written since this was last asked; empty if the log cannot be read.
    pub fn news(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        self.read += read.unwrap_or(0) as u64;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Keeps the log, with `text` below its title, and gives its path; `None` if the log cannot be written. It is a new
    /// file: what the build has left running may still write into the old one.
    pub fn keep(mut self, text: &str) -> Option<Utf8PathBuf> {
        let whole = format!("{START}{}\n{text}", self.title);
        fs::remove_file(&self.path).ok()?;
        let mut file = new_file(&self.path).ok()?;
        file.write_all(whole.as_bytes()).ok()?;
        self.kept = true;
        Some(self.path.clone())
    }
}

fn new_file(path: &Utf8Path) -> std::io::Result<File> {
    for_this_user(File::options().append(true).create_new(true)).open(path)
}

/// A build prints what its steps print, which is for nobody else on this machine.
#[cfg(unix)]
fn for_this_user(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn for_this_user(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if !self.kept {
            // A log that cannot be removed is in nobody's way.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_removed_unless_it_is_kept_and_replaces_no_file_of_the_users() -> Result<()> {
        let folder = tempfile::tempdir().context(|| "no temporary folder".to_owned())?;
        let build_folder = Utf8Path::from_path(folder.path()).expect("its name is UTF-8").join("build");
        let path = LogFile::beside(&build_folder);
        drop(LogFile::start(&build_folder, "one")?);
        assert!(!path.exists());

        let log = LogFile::start(&build_folder, "two")?;
        let mut writer = log.writer().context(|| "no writer".to_owned())?;
        writer.write_all(b"\x1b[1mtext\n").context(|| "not written".to_owned())?;
        assert_eq!(log.text(), "\x1b[1mtext\n");
        assert_eq!(log.keep("text\n").as_deref(), Some(&*path));
        writer.write_all(b"late").context(|| "not written".to_owned())?;
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("# cargo-runtime-image: two\ntext\n"));

        drop(LogFile::start(&build_folder, "three")?);
        fs::write(&path, "").context(|| "not written".to_owned())?;
        drop(LogFile::start(&build_folder, "of nothing")?);
        fs::write(&path, "mine").context(|| "not written".to_owned())?;
        assert!(LogFile::start(&build_folder, "four").is_err());
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("mine"));
        Ok(())
    }
}
