//! Where paths lead on this machine's disk.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::error::{Context as _, Error, Result};

/// What the names of all files and folders start with that this tool puts beside others' files, but for what the user
/// looks into.
pub const OWN_PREFIX: &str = ".runtime-image-";

/// The mode of a folder that holds copies of what only this user may be able to read, whatever the umask.
pub const FOR_THIS_USER: u32 = 0o700;

/// How many links are followed on the way to what is not there, as Linux has it.
const MOST_LINKS: u8 = 40;

/// The name of a file or folder of this tool beside `folder`.
pub fn own_name(folder: &Utf8Path, ending: &str) -> String {
    format!("{OWN_PREFIX}{}{ending}", folder.file_name().unwrap_or_default())
}

/// A new folder in `parent` with that mode, removed when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn folder_for_this_user(prefix: &str, parent: &Utf8Path) -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(FOR_THIS_USER));
    }
    builder.tempdir_in(parent)
}

/// Makes `folder`, and those above it, with that mode. What is there stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn make_for_this_user(folder: &Utf8Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(FOR_THIS_USER);
    }
    builder.create(folder)
}

/// Makes a folder that this user alone can write, or makes sure that it is one.
#[cfg(unix)]
pub(crate) fn make_own(folder: &Utf8Path) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    make_for_this_user(folder)?;
    // Looked at and changed as one folder, whatever is put in its place meanwhile.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NONBLOCK;
    let opened = rustix::fs::open(folder.as_std_path(), flags | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty());
    let opened =
        std::fs::File::from(opened.map_err(|_| std::io::Error::other(format!("`{folder}` is a link, or no folder")))?);
    let metadata = opened.metadata()?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other(format!("`{folder}` is another user's")));
    }
    if metadata.mode() & 0o077 != 0 {
        opened.set_permissions(std::fs::Permissions::from_mode(FOR_THIS_USER))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn make_own(folder: &Utf8Path) -> std::io::Result<()> {
    make_for_this_user(folder)
}

/// Whether `path` ends outside of the folder `root`, be it through links. What is not there yet is told by its names.
pub fn ends_outside(root: &Utf8Path, path: &Utf8Path) -> bool {
    !resolved(path).starts_with(resolved(root))
}

/// Whether a file of the project in `root` can be read: it is a file, which ends, and no link leads out of the project.
pub fn is_file_inside(root: &Utf8Path, path: &Utf8Path) -> bool {
    path.is_file() && !ends_outside(root, path)
}

/// Refuses to read what is not in the folder of the project in `root`, because a link leads out, or is there and no
/// file: a FIFO would be waited for.
///
/// # Errors
/// A usage error that names the file.
pub fn refuse_outside(root: &Utf8Path, path: &Utf8Path) -> Result<()> {
    if ends_outside(root, path) {
        return Err(Error::usage(format!("`{path}` is a link that leaves the project"))
            .hint("what a project says of itself is in its own folder: copy the file there"));
    }
    if path.is_dir() { Err(no_file(path)) } else { refuse_endless(path) }
}

/// Refuses what is there and neither a file nor a folder, before another program waits for it.
///
/// # Errors
/// A usage error that names it.
pub fn refuse_endless(path: &Utf8Path) -> Result<()> {
    if path.exists() && !path.is_file() && !path.is_dir() { Err(no_file(path)) } else { Ok(()) }
}

fn no_file(path: &Utf8Path) -> Error {
    Error::usage(format!("`{path}` is no file"))
        .hint("a folder, FIFO or device cannot stand for a file of the project: put a file in its place")
}

/// `path`, which is absolute, without links, `.` and `..`. What is not there yet is told by its names, also where a
/// link names it.
pub fn resolved(path: &Utf8Path) -> Utf8PathBuf {
    if let Ok(end) = path.canonicalize_utf8() {
        return end;
    }
    let mut end = Utf8PathBuf::new();
    let mut waiting: Vec<Utf8PathBuf> = parts(path);
    let mut links = 0;
    while let Some(part) = waiting.pop() {
        match part.components().next() {
            Some(Utf8Component::Normal(name)) => match end.join(name).read_link_utf8() {
                // A link to itself leads nowhere: it is where it is.
                Ok(_) if links == MOST_LINKS => {
                    let here = path.parent().zip(path.file_name());
                    return here.map_or_else(|| path.to_owned(), |(folder, name)| resolved(folder).join(name));
                }
                Ok(target) => {
                    links += 1;
                    waiting.extend(parts(&target));
                }
                Err(_) => end.push(name),
            },
            Some(Utf8Component::ParentDir) => drop(end.pop()),
            Some(Utf8Component::CurDir) | None => {}
            // A root takes the place of all that was before it.
            Some(Utf8Component::RootDir | Utf8Component::Prefix(_)) => end.push(part),
        }
    }
    end
}

/// The parts of a path, the first one last.
fn parts(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    path.components().rev().map(|part| Utf8PathBuf::from(part.as_str())).collect()
}

/// The current folder.
///
/// # Errors
/// When there is none, or its name is not UTF-8.
pub fn here() -> Result<Utf8PathBuf> {
    let here = std::env::current_dir().context(|| "cannot tell the current folder".to_owned())?;
    Utf8PathBuf::try_from(here).context(|| "the current folder's name is not UTF-8".to_owned())
}

/// Whether a relative path leads, at some place of it, above where it starts.
pub fn climbs_out(path: &Utf8Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Utf8Component::Normal(_) => depth += 1,
            Utf8Component::ParentDir if depth > 0 => depth -= 1,
            Utf8Component::CurDir => {}
            _ => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("/no/root/a", false)]
    #[case("/no/root/a/../b", false)]
    #[case("/no/root/../a", true)]
    #[case("/no/root/a/../../b", true)]
    #[case("/no/rooted/a", true)]
    fn a_path_that_ends_nowhere_is_told_by_its_names(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(ends_outside(Utf8Path::new("/no/root"), Utf8Path::new(path)), expected);
    }

    #[cfg(unix)]
    #[rstest]
    #[case("here/nothing", false)]
    #[case("here/folder/../nothing", false)]
    #[case("here/folder/../../nothing", true)]
    #[case("here/missing/../../nothing", true)]
    #[case("folder/../nothing", false)]
    #[case("link/nothing", false)]
    #[case("link", false)]
    #[case("link/..", false)]
    fn a_link_to_nothing_is_followed_through_other_links(#[case] target: &str, #[case] expected: bool) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8").join("root");
        std::fs::create_dir_all(root.join("folder")).expect("created");
        std::os::unix::fs::symlink(".", root.join("here")).expect("linked");
        std::os::unix::fs::symlink(target, root.join("link")).expect("linked");
        assert_eq!(ends_outside(&root, &root.join("link")), expected);
    }
}
