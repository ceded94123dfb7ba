//! The hashes of an OpenHands tree, as the original computes them. They are computed when the project is read, and
//! names are made of them in the step to tags.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::hash::{FieldHasher, Hash, Md5Digest, content_digest, hex, md5_hex};
use crate::staging::source::{CopiedFile, SourceKind};

/// The part of a file that [`tree_hash`] hashes besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// A file whose content has this MD5.
    Data(&'a Md5Digest),
    /// A link that cannot be followed, with its target; `dirhash` has no word for it.
    Link(&'a str),
}

/// The MD5 of a folder of files, by path, as version 0.5 of the Python package `dirhash` computes it with its defaults:
/// names and contents count, times and modes do not, a folder without files does not exist.
///
/// An entry is described by two strings, joined by NUL: `data:<MD5>` or `dirhash:<MD5>`, and `name:<name>`. A folder's
/// hash is the MD5 of its entries' descriptions, sorted and joined by two NULs. Gives 32 hexadecimal digits.
pub fn tree_hash<'a>(files: impl IntoIterator<Item = (&'a Utf8Path, Leaf<'a>)>) -> String {
    let mut entries: Vec<String> = Vec::new();
    let mut folders: BTreeMap<&str, Vec<(&Utf8Path, Leaf<'_>)>> = BTreeMap::new();
    for (path, leaf) in files {
        let mut components = path.components();
        let name = components.next().map_or("", |name| name.as_str());
        match (components.as_path(), leaf) {
            (below, _) if !below.as_str().is_empty() => folders.entry(name).or_default().push((below, leaf)),
            (_, Leaf::Data(digest)) => entries.push(format!("data:{}\0name:{name}", hex(digest))),
            (_, Leaf::Link(target)) => entries.push(format!("link:{target}\0name:{name}")),
        }
    }
    entries.extend(folders.into_iter().map(|(name, files)| format!("dirhash:{}\0name:{name}", tree_hash(files))));
    entries.sort_unstable();
    md5_hex(entries.join("\0\0").as_bytes())
}

pub(crate) fn no_name_ends_with(path: &Utf8Path, endings: &[&str]) -> bool {
    path.components().all(|name| !endings.iter().any(|ending| name.as_str().ends_with(ending)))
}

/// The hash of the sources as the original computes it: without hidden folders, `__pycache__` folders and `*.pyc`. What
/// the image is known by is made of the same files.
pub(crate) fn source_hash(files: &[CopiedFile]) -> Hash {
    let is_hashed = |path: &Utf8Path| {
        let folders = path.parent().into_iter().flat_map(Utf8Path::components).map(|name| name.as_str());
        folders.into_iter().all(|name| !name.starts_with('.') && name != "__pycache__")
            && no_name_ends_with(path, &[".pyc"])
    };
    let mut hasher = FieldHasher::new("original source");
    let counted: Vec<&CopiedFile> = files.iter().filter(|copied| is_hashed(&copied.file.path)).collect();
    for CopiedFile { file, .. } in &counted {
        hasher.field("path", file.path.as_str());
        match &file.kind {
            SourceKind::File { digest, .. } => hasher.field("file", digest),
            SourceKind::Made { text } => hasher.field("file", content_digest(text)),
            SourceKind::Link { target } => hasher.field("link", target),
        }
    }
    let name = tree_hash(counted.iter().map(|copied| {
        let leaf = match &copied.file.kind {
            SourceKind::File { .. } | SourceKind::Made { .. } => Leaf::Data(&copied.md5),
            SourceKind::Link { target } => Leaf::Link(target),
        };
        (&*copied.file.path, leaf)
    }));
    Hash { name, ..hasher.finish() }
}
