//! What a build goes on from: what Cargo made of the local packages in an earlier build on the same dependencies. The
//! builder keeps it, and it changes no name and no byte of an image. The steps in `seed.sh` use it; here is what they are
//! given, for the build folder and the Dockerfile.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::hash::FieldHasher;
use crate::image::platform::{Platform, joined};
use crate::image::tags::Hashes;
use crate::staging::own_files::SEED;
use crate::staging::staged::StagedFile;
use crate::staging::steps::Steps;
use crate::staging::tree_path::TreePath;
use crate::system::environment::user_caches;
use crate::system::reading;

/// The file below `seed/`: the digest and the path of each source, a line each.
const FILES: &str = "files";

/// The file below `seed/`: name and folder of each local package, and the packages that it needs.
const PACKAGES: &str = "packages";

/// The length of a cache's name, in hexadecimal digits.
const ID_LENGTH: usize = 32;

/// A local package, whose folder is relative to the project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPackage {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: Utf8PathBuf,
    /// The names of the local packages that it is compiled from.
    pub needs: Vec<String>,
}

/// What the steps are given, below `seed/`; nothing where a path would not be one line.
pub fn seed_files(packages: &[LocalPackage], code: &[StagedFile]) -> Vec<StagedFile> {
    let is_odd = |text: &str| text.contains(['\n', '\t', '\u{1}']);
    if packages.is_empty() || code.iter().any(|file| is_odd(file.path.as_str())) {
        return Vec::new();
    }
    let line = |file: &StagedFile| {
        let mut content = FieldHasher::new("seed");
        file.hash_into(&mut content);
        format!("{} {}\n", content.finish().identity, file.path)
    };
    let files: String = code.iter().map(line).collect();
    let packages = packages.iter().map(|LocalPackage { name, folder, needs }| {
        let folder = if folder.as_str().is_empty() { "." } else { folder.as_str() };
        format!("{name}\t{folder}\t{}\n", needs.join(" "))
    });
    let packages: String = packages.collect();
    vec![StagedFile::text(TreePath::constant(FILES), files), StagedFile::text(TreePath::constant(PACKAGES), packages)]
}

/// The mounts of the step that builds the sources: the builder's cache for these dependencies, which a run at the same
/// time does not share, and the lists. Whoever can change what is built from `root`, can change what it goes on from.
pub fn seed_mounts(root: &Utf8Path, hashes: &Hashes, steps: &Steps, platforms: &[Platform]) -> String {
    let mut name = FieldHasher::new("seed");
    name.field("user", own_secret());
    name.field("root", root.as_str());
    name.field("lock", &hashes.lock.identity);
    name.field("platforms", joined(platforms));
    for step in steps.runtime {
        name.field(step.name, step.text);
    }
    let mut id = name.finish().identity;
    id.truncate(ID_LENGTH);
    format!(
        "--mount=type=cache,id=seed-{id},target=/run/seed,sharing=private,mode=0777 \
         --mount=type=bind,source={SEED},target=/run/seed-lists "
    )
}

/// A text that this user alone knows, so that nobody else's build on the same builder writes what this user's goes on from.
/// Where none can be kept, each run has one of its own.
fn own_secret() -> String {
    let path = user_caches(Utf8Path::new(".")).join("seeds");
    if let Ok(known) = reading::text(&path)
        && !known.is_empty()
    {
        return known;
    }
    let random = || RandomState::new().build_hasher().finish();
    let new = format!("{:016x}{:016x}", random(), random());
    // Another run may be first.
    match keep(&path, &new) {
        Ok(()) => new,
        Err(_) => reading::text(&path).ok().filter(|known| !known.is_empty()).unwrap_or(new),
    }
}

/// Writes a file that is there as a whole or not at all, and that only this user reads.
fn keep(path: &Utf8Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(path)?;
    Ok(())
}
