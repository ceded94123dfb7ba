//! A project, read from disk: what will be staged and hashed. The result of the step from options to project, and then
//! the step to tags. Later steps do not know of kinds.

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::build_args::BuildArg;
use crate::config::options::Options;
use crate::config::values::{Cmd, ProjectKind};
use crate::error::Result;
use crate::hash::{FieldHasher, Hash, md5_hex};
use crate::image::naming::{Naming, OriginalRules, runtime_image_repo_and_tag};
use crate::image::tags::{Hashes, Tags, Tiers};
use crate::project::binaries::Binaries;
use crate::staging::listing::Selection;
use crate::staging::seed::LocalPackage;
use crate::staging::staged::StagedFile;
use crate::staging::steps::{Steps, cmd_text};
use crate::staging::template::{FileDates, Parts, Template};
use crate::staging::tree_path::TreePath;
use crate::system::environment::user_caches;
use crate::system::paths::resolved;

/// A project, read from disk.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its kind.
    pub kind: ProjectKind,
    /// Its folder, absolute.
    pub root: Utf8PathBuf,
    /// Its name, for titles and the default repository.
    pub name: String,
    /// Its version, as it spells it.
    pub version: String,
    /// What has that version, where that is chosen among several.
    pub version_of: Option<String>,
    /// The version of Rust that it wants to be built with, such as `1.85`, where it says so.
    pub wanted_rust: Option<String>,
    /// The repository of its images where none was configured.
    pub default_repository: String,
    /// The folder below which build folders go.
    pub build_folders: Utf8PathBuf,
    /// All source files, below `code/`.
    pub code: Vec<StagedFile>,
    /// The files that decide about the dependencies.
    pub locked: Vec<StagedFile>,
    /// What the dependencies are built from, below `deps/`.
    pub deps: Vec<StagedFile>,
    /// Files of `locked` after whose change no earlier image can be built on.
    pub system: Vec<StagedFile>,
    /// The files that a slim image gets beside its binaries, below `assets/`.
    pub assets: Vec<StagedFile>,
    /// The binaries for whose images not all sources count; mostly none.
    pub binaries: Binaries,
    /// The packages that a build may have compiled before, where its steps can tell them apart; mostly of the cargo kind.
    pub packages: Vec<LocalPackage>,
    /// What the Dockerfile is rendered from.
    pub template: Template,
    /// What the Dockerfile's RUN lines start.
    pub steps: Steps,
    /// The Dockerfile that builds from the base image, as it is hashed.
    pub hashed: Parts,
    /// Who gives the files of its images their dates.
    pub dates: FileDates,
    /// Whether the Dockerfile has a stage `deps`, whose image holds no sources.
    pub has_deps_stage: bool,
    /// Members of a workspace that are built with the dependencies, because dependencies use them.
    pub members_in_dependencies: Vec<String>,
    /// The build arguments that the dependencies see.
    pub dependency_args: Vec<BuildArg>,
    /// The earlier images that its images can be built on.
    pub tiers: Tiers,
    /// The hashes of an OpenHands tree, as the original computes them.
    pub original: Option<OriginalHashes>,
    /// The variables that the `config.sh` of a build folder gets, by name.
    pub config_sh: Option<[&'static str; 2]>,
}

/// What the original's names are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalHashes {
    /// Of base image and lock files.
    pub lock: Hash,
    /// Of the sources.
    pub source: Hash,
    /// Of inputs that the other two leave out, if any is set: 32 hexadecimal digits.
    pub variant: Option<String>,
    /// How names are made of the hashes.
    pub rules: OriginalRules,
}

impl Project {
    /// The project for an image of the binary `only`, or of all those that have images. Nothing changes where all
    /// sources count.
    ///
    /// # Errors
    /// When the template is wrong.
    pub fn for_binaries(mut self, only: Option<&str>, options: &Options) -> Result<Self> {
        if self.binaries.all.is_none() {
            return Ok(self);
        }
        self.binaries = self.binaries.choose(only, &self.code);
        let names = &self.binaries.chosen;
        let own_cmd = (names.len() == 1 && options.entrypoint.is_none()).then(|| Cmd::Exec(names.clone()));
        let cmd = options.cmd.clone().or(own_cmd).as_ref().map(cmd_text);
        self.template = self.template.of_binaries(names, cmd);
        self.hashed = self.template.hashed_blocks(&options.pinned_base_image().to_string())?;
        Ok(self)
    }

    /// Hashes everything that decides about the image: same inputs, same hashes, on any machine.
    pub fn hashes(&self, options: &Options) -> Hashes {
        let mut system = FieldHasher::new("system");
        system.field("dockerfile", &self.hashed.system);
        for step in self.steps.system {
            system.field(step.name, step.text);
        }
        for (what, value) in options.told_to_builder() {
            system.field(what, value);
        }
        for argument in &self.dependency_args {
            system.field("build argument", argument.to_string());
        }
        if options.reproducible && self.dates == FileDates::OfTheirMaking {
            // The builder then dates all files, which makes another image.
            system.field("reproducible", "");
        }
        self.system.iter().for_each(|file| file.hash_into(&mut system));
        let system = system.finish();
        if let Some(OriginalHashes { lock, source, .. }) = &self.original {
            return Hashes { system, lock: lock.clone(), source: source.clone() };
        }

        let mut lock = FieldHasher::new("lock");
        lock.field("system", &system.identity);
        lock.field("dockerfile", &self.hashed.dependencies);
        for step in self.steps.dependencies {
            lock.field(step.name, step.text);
        }
        self.locked.iter().for_each(|file| file.hash_into(&mut lock));

        let mut source = FieldHasher::new("source");
        source.field("dockerfile", &self.hashed.runtime);
        let slim = self.steps.slim.iter().filter(|_| options.slim.is_some());
        for step in self.steps.runtime.iter().chain(slim) {
            source.field(step.name, step.text);
        }
        for argument in &options.extra_build_args {
            source.field("build argument", argument.to_string());
        }
        for argument in options.attestations() {
            source.field("attestation", argument);
        }
        for asset in &self.assets {
            source.field("asset", asset.path.as_str());
            if !self.binaries.counts(&asset.path) {
                asset.hash_into(&mut source);
            }
        }
        self.code.iter().filter(|file| self.binaries.counts(&file.path)).for_each(|file| file.hash_into(&mut source));

        Hashes { system, lock: lock.finish(), source: source.finish() }
    }

    /// The parts that the names of the project's images have in common.
    ///
    /// # Errors
    /// When the repository or the prefix is not valid.
    pub fn naming(&self, options: &Options) -> Result<Naming> {
        let repository = self.binaries.lock_repository(self.asked_repository(options));
        let prefix = options.tag_prefix.as_deref().unwrap_or(self.kind.default_prefix());
        let naming = Naming::new(&repository, prefix, &self.version)?;
        Ok(Naming { original: self.original.as_ref().map(|original| original.rules), ..naming })
    }

    fn asked_repository<'a>(&'a self, options: &'a Options) -> &'a str {
        options.repository.as_ref().unwrap_or(&self.default_repository)
    }

    /// The version of what the finished image holds.
    pub fn version_of_sources(&self) -> &str {
        self.binaries.version.as_ref().unwrap_or(&self.version)
    }

    /// The names of the project's images.
    ///
    /// # Errors
    /// When the repository or the prefix is not valid.
    pub fn tags(&self, options: &Options, hashes: &Hashes) -> Result<Tags> {
        let naming = self.naming(options)?;
        let base_image = options.base_image.to_string();
        match &self.original {
            None => {
                let tags = |naming: &Naming| Tags::new(naming, &base_image, &hashes.lock.name, &hashes.source.name);
                let repository = self.binaries.repository(self.asked_repository(options)).parse()?;
                let own = Naming { repository, version: self.version_of_sources().to_owned(), ..naming.clone() };
                Ok(Tags { source: tags(&own)?.source, ..tags(&naming)? })
            }
            Some(original) => {
                let (repository, _) = runtime_image_repo_and_tag(&base_image, &naming)?;
                let naming = Naming { repository: repository.parse()?, ..naming };
                Tags::original(
                    &naming,
                    &base_image,
                    &hashes.lock.name,
                    &hashes.source.name,
                    original.variant.as_deref(),
                )
            }
        }
    }

    /// The variables for the `config.sh` of a build folder, if it gets any, with their values.
    ///
    /// # Errors
    /// As [`tags`](Self::tags).
    pub fn config_sh(&self, options: &Options, tags: &Tags) -> Result<Option<Vec<(&'static str, String)>>> {
        let Some([image, source]) = self.config_sh.filter(|_| options.build_folder.is_some()) else { return Ok(None) };
        let (_, tag) = runtime_image_repo_and_tag(&options.base_image.to_string(), &self.naming(options)?)?;
        Ok(Some(vec![(image, tag), (source, tags.source.tag().unwrap_or_default().to_owned())]))
    }
}

/// Where the build folders of a project without a target folder go.
pub(crate) fn cached_build_folders(root: &Utf8Path) -> Utf8PathBuf {
    let name = root.file_name().unwrap_or("root");
    user_caches(root).join(format!("{name}-{}", &md5_hex(root.as_str().as_bytes())[..8]))
}

/// The project's list of files with what `options` say: the build folder is never in it.
pub(crate) fn selection(root: &Utf8Path, options: &Options) -> Selection {
    let build_folder = options.build_folder.as_ref().and_then(|folder| below(root, folder));
    Selection { build_folder, ..Selection::default() }
}

/// The part of a folder's path below `root`, wherever links lead on the way.
pub(crate) fn below(root: &Utf8Path, folder: &Utf8Path) -> Option<TreePath> {
    TreePath::below(&resolved(root), &resolved(folder))
}
