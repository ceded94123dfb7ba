//! The project: what is on disk, as what will be staged and hashed. Later steps do not know of kinds.

pub mod cargo;

use std::fmt;

use camino::Utf8PathBuf;

use crate::build_folder::{StagedContent, StagedFile};
use crate::config::Options;
use crate::error::Result;
use crate::hash::FieldHasher;
use crate::image_name::ImageName;
use crate::source::{SourceFile, SourceKind};
use crate::tags::{Naming, Tags};
use crate::template::Dockerfile;

/// What a project is, which decides how its image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectKind {
    /// A Cargo workspace or package.
    Cargo,
}

impl fmt::Display for ProjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cargo => "cargo",
        })
    }
}

/// A project, read from disk.
#[derive(Debug, Clone)]
pub struct Project {
    /// What it is.
    pub kind: ProjectKind,
    /// Its folder, absolute.
    pub root: Utf8PathBuf,
    /// Its name, for titles and the default repository.
    pub name: String,
    /// Its version, as it spells it.
    pub version: String,
    /// Where build artifacts go on this machine; build folders go below it.
    pub target_folder: Utf8PathBuf,
    /// All source files.
    pub code: Vec<StagedFile>,
    /// What decides about the dependencies.
    pub locked: Vec<StagedFile>,
    /// What the dependency stage needs besides, without saying anything about the dependencies.
    pub skeleton: Vec<StagedFile>,
    /// What decides about the toolchain; also in `locked`.
    pub toolchain: Vec<StagedFile>,
    /// The Dockerfile that builds from the base image, as it is run.
    pub dockerfile: Dockerfile,
    /// The same without what names no input: which secrets the steps can read.
    pub hashed_dockerfile: Dockerfile,
}

/// The untruncated hashes, 32 hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Base image, system packages, toolchain.
    pub system: String,
    /// That and all dependencies.
    pub lock: String,
    /// All staged files and how they are built.
    pub source: String,
}

impl Project {
    /// Hashes everything that decides about the image: same inputs, same hashes, on any machine.
    pub fn hashes(&self, options: &Options) -> Hashes {
        let mut system = FieldHasher::new("system");
        system.field("dockerfile", &self.hashed_dockerfile.system);
        for argument in &options.buildx_args {
            system.field("buildx argument", argument);
        }
        self.toolchain.iter().for_each(|file| file.hash_into(&mut system));
        let system = system.finish();

        let mut lock = FieldHasher::new("lock");
        lock.field("system", &system);
        lock.field("dockerfile", &self.hashed_dockerfile.dependencies);
        self.locked.iter().for_each(|file| file.hash_into(&mut lock));

        let mut source = FieldHasher::new("source");
        source.field("dockerfile", &self.hashed_dockerfile.runtime);
        for argument in &options.extra_build_args {
            source.field("build argument", argument);
        }
        self.code.iter().for_each(|file| file.hash_into(&mut source));

        Hashes { system, lock: lock.finish(), source: source.finish() }
    }

    /// The names of the project's images.
    ///
    /// # Errors
    /// When the repository or the prefix is not valid.
    pub fn tags(&self, options: &Options, hashes: &Hashes) -> Result<Tags> {
        let repository = options.repository.clone().unwrap_or_else(|| self.default_repository());
        let naming = Naming::new(&repository, &options.tag_prefix, &self.version)?;
        Tags::new(&naming, &options.base_image.to_string(), &hashes.lock, &hashes.source)
    }

    /// `localhost/<name>-runtime`: a local name that no registry is ever asked for.
    fn default_repository(&self) -> String {
        let lower = self.name.to_lowercase();
        let words: Vec<&str> =
            lower.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let name = if words.is_empty() { "project".to_owned() } else { words.join("-") };
        let repository = format!("localhost/{name}-runtime");
        debug_assert!(repository.parse::<ImageName>().is_ok());
        repository
    }
}

/// The source files as what is staged in `code/`.
fn staged_sources(root: &camino::Utf8Path, sources: &[SourceFile]) -> Vec<StagedFile> {
    sources.iter().map(|file| staged_source(root, file)).collect()
}

fn staged_source(root: &camino::Utf8Path, file: &SourceFile) -> StagedFile {
    let (executable, content) = match &file.kind {
        SourceKind::File { executable, size, digest, .. } => {
            (*executable, StagedContent::Copy { from: root.join(&file.path), digest: *digest, size: *size })
        }
        SourceKind::Link { target } => (false, StagedContent::Link(target.clone())),
    };
    StagedFile { path: file.path.clone(), executable, content }
}
