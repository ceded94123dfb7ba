//! The entries of a build folder: what each holds and what is hashed of it. They are listed when a project is read, and
//! written when its build folder is staged.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;

use crate::error::{Context as _, Result};
use crate::hash::{ContentDigest, FieldHasher, content_digest};
use crate::staging::source::{SourceFile, SourceKind};
use crate::staging::tree_path::TreePath;

/// One entry of the build folder.
#[derive(Debug, Clone)]
pub struct StagedFile {
    /// Relative to `code`, `deps` or `steps`.
    pub path: TreePath,
    /// Whether it may be executed: mode 0755, else 0644.
    pub executable: bool,
    /// What is in it.
    pub content: StagedContent,
}

/// Where a staged file's content comes from.
#[derive(Debug, Clone)]
pub enum StagedContent {
    /// Copied from a file that must still have this digest when it is copied.
    Copy {
        /// Absolute path.
        from: Utf8PathBuf,
        /// The digest under which it was hashed.
        digest: ContentDigest,
        /// In bytes.
        size: u64,
    },
    /// Written by this tool.
    Text(Vec<u8>),
    /// A symbolic link to this target.
    Link(String),
    /// A folder with nothing in it.
    Folder,
}

impl StagedFile {
    /// A file with this text, not executable.
    pub fn text(path: TreePath, text: impl Into<Vec<u8>>) -> Self {
        Self { path, executable: false, content: StagedContent::Text(text.into()) }
    }

    /// Adds all that the build will see of the entry to a hash: path, kind, executable bit, content.
    pub fn hash_into(&self, hasher: &mut FieldHasher) {
        hasher.field("path", self.path.as_str());
        match &self.content {
            StagedContent::Link(target) => hasher.field("link", target),
            StagedContent::Folder => hasher.field("folder", ""),
            StagedContent::Copy { digest, .. } => hasher.field(self.kind(), digest),
            StagedContent::Text(text) => hasher.field(self.kind(), content_digest(text)),
        }
    }

    fn kind(&self) -> &'static str {
        if self.executable { "executable" } else { "file" }
    }
}

/// The source files as entries of a build folder.
pub(crate) fn staged_sources(root: &Utf8Path, sources: Vec<SourceFile>) -> Vec<StagedFile> {
    sources.into_par_iter().map(|file| staged_source(root, file)).collect()
}

pub(crate) fn staged_source(root: &Utf8Path, file: SourceFile) -> StagedFile {
    let (executable, content) = match file.kind {
        SourceKind::File { executable, size, digest, .. } => {
            // Of many files, each is as long as need be.
            let mut from = Utf8PathBuf::with_capacity(root.as_str().len() + 1 + file.path.as_str().len());
            from.push(root);
            from.push(&*file.path);
            (executable, StagedContent::Copy { from, digest, size })
        }
        SourceKind::Made { text } => (false, StagedContent::Text(text)),
        SourceKind::Link { target } => (false, StagedContent::Link(target)),
    };
    StagedFile { path: file.path, executable, content }
}

#[cfg(unix)]
pub(crate) fn make_link(target: &str, path: &Utf8Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
pub(crate) fn make_link(target: &str, path: &Utf8Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

#[cfg(unix)]
pub(crate) fn set_mode(path: &Utf8Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context(|| format!("cannot set the mode of `{path}`"))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_: &Utf8Path, _: u32) -> Result<()> {
    Ok(())
}

/// The same for a file that is open.
#[cfg(unix)]
pub(crate) fn set_mode_of(file: &fs::File, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn set_mode_of(_: &fs::File, _: u32) -> std::io::Result<()> {
    Ok(())
}
