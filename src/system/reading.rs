//! How a file of a project is read, at every step of the way. What is no file is never waited for. A file of any size is
//! read in blocks, between which a signal is obeyed. Whole in memory is only a text, of which the size is bounded.

use std::fs::{File, Metadata};
use std::io::{Error as IoError, ErrorKind, Read as _};

use camino::Utf8Path;

use crate::error::{Context as _, Result};
use crate::system::interrupt::Interrupt;

/// What is read at once: small beside what the program may hold, and large beside the cost of asking for it.
const BLOCK: usize = 128 * 1024;

/// The most that a text may hold, such as a manifest, a lock file or a template. The largest lock files that are known
/// hold a tenth of it.
const LARGEST_TEXT: u64 = 16 << 20;

/// Opens a file, and nothing else: a FIFO would be waited for, and a device may never end.
///
/// # Errors
/// When it cannot be opened, or is no file.
pub fn open(path: &Utf8Path) -> std::io::Result<File> {
    opened(path).map(|(file, _)| file)
}

fn opened(path: &Utf8Path) -> std::io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // Nothing is waited for then, also where a FIFO has just taken the place of a file.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(IoError::new(ErrorKind::InvalidInput, "it is no file, and what is none may be waited for in vain"));
    }
    Ok((file, metadata))
}

/// Reads a file of any size in blocks, and gives each to `act`. Gives what the system said of the file before.
///
/// # Errors
/// When the file cannot be read, when a signal came in, and what `act` fails with.
pub fn each_block(
    path: &Utf8Path,
    interrupt: &Interrupt,
    mut act: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Metadata> {
    let cannot = || format!("cannot read `{path}`");
    let (mut file, metadata) = opened(path).context(cannot)?;
    // Most files are smaller than a block.
    let size = usize::try_from(metadata.len()).unwrap_or(BLOCK);
    let mut block = vec![0; size.saturating_add(1).min(BLOCK)];
    loop {
        interrupt.check()?;
        match file.read(&mut block) {
            Ok(0) => return Ok(metadata),
            Ok(count) => act(&block[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context(cannot),
        }
    }
}

/// What a text holds, of which nobody knows yet whether it is UTF-8.
///
/// # Errors
/// When it cannot be read, is no file, or is larger than any text is.
pub fn bytes(path: &Utf8Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LARGEST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_TEXT {
        let text = format!("it holds more than {} MiB, and is read as a text, which never does", LARGEST_TEXT >> 20);
        return Err(IoError::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// A text.
///
/// # Errors
/// As [`bytes`], and when it is not UTF-8.
pub fn text(path: &Utf8Path) -> std::io::Result<String> {
    let text = String::from_utf8(bytes(path)?);
    text.map_err(|error| IoError::new(ErrorKind::InvalidData, format!("it is not UTF-8: {}", error.utf8_error())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(size: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.as_file().set_len(size).expect("a sparse file");
        file
    }

    fn path(file: &tempfile::NamedTempFile) -> &Utf8Path {
        Utf8Path::from_path(file.path()).expect("UTF-8")
    }

    #[test]
    fn a_text_is_read_whole_up_to_a_size_and_never_beyond_it() {
        let sizes = |size| bytes(path(&file_of(size))).map(|bytes| bytes.len() as u64);
        assert_eq!(sizes(0).ok(), Some(0));
        assert_eq!(sizes(LARGEST_TEXT).ok(), Some(LARGEST_TEXT));
        assert_eq!(sizes(LARGEST_TEXT + 1).map_err(|error| error.kind()), Err(ErrorKind::FileTooLarge));
        assert_eq!(sizes(200 << 30).map_err(|error| error.kind()), Err(ErrorKind::FileTooLarge));
    }

    #[test]
    fn blocks_are_the_whole_file_whatever_its_size() -> Result<()> {
        let block = BLOCK as u64;
        for size in [0, 1, block - 1, block, block + 1, 3 * block] {
            let mut sum = 0;
            each_block(path(&file_of(size)), &Interrupt::default(), |block| {
                sum += block.len() as u64;
                Ok(())
            })?;
            assert_eq!(sum, size);
        }
        Ok(())
    }
}
