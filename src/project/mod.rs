//! The project: what is on disk, as what will be staged and hashed. Later steps do not know of kinds.

pub mod cargo;
pub mod custom;
pub mod openhands;

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use serde::Deserialize;

use self::cargo::{CargoCall, Workspace};
use self::custom::Folder;
use self::openhands::Tree;
use crate::build_folder::{StagedContent, StagedFile};
use crate::config::{CONFIG_FILE, Options, Settings};
use crate::error::{Context as _, Error, Result};
use crate::hash::{FieldHasher, md5_hex};
use crate::image_name::{ImageName, runtime_image_repo_and_tag};
use crate::plan::Tiers;
use crate::process::Interrupt;
use crate::source::{SourceFile, SourceKind};
use crate::tags::{Naming, OriginalRules, Tags};
use crate::template::{Parts, Template};
use crate::term::Terminal;

/// What a project is, which decides how its image is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProjectKind {
    /// A Cargo workspace or package
    Cargo,
    /// A tree of OpenHands, with its own template
    Openhands,
    /// Anything that `runtime-image.toml` describes
    Custom,
}

impl ProjectKind {
    /// What the tags of such projects start with.
    pub fn default_prefix(self) -> &'static str {
        match self {
            Self::Cargo | Self::Custom => "rt",
            Self::Openhands => "oh",
        }
    }
}

impl fmt::Display for ProjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cargo => "cargo",
            Self::Openhands => "openhands",
            Self::Custom => "custom",
        })
    }
}

/// A project that was found and not yet read.
#[derive(Debug)]
pub enum Found {
    /// A workspace that Cargo knows.
    Cargo(Box<Workspace>),
    /// A tree of OpenHands.
    Openhands(Tree),
    /// A folder with a configuration file.
    Custom(Folder),
}

impl Found {
    /// Finds the project around the current folder or the one that `call` names: the nearest folder that is one.
    ///
    /// # Errors
    /// When there is none of this kind, or a folder is of several kinds and none was asked for.
    pub fn find(kind: Option<ProjectKind>, call: CargoCall, interrupt: &Interrupt) -> Result<Self> {
        let kind = kind.or(call.manifest_path.is_some().then_some(ProjectKind::Cargo));
        let start = call.folder.as_deref().unwrap_or(Utf8Path::new("."));
        let start = start.canonicalize_utf8().context(|| format!("cannot find the project folder `{start}`"))?;
        let nearest = |is: fn(&Utf8Path) -> bool| start.ancestors().find(|folder| is(folder)).map(Utf8Path::to_owned);
        match kind {
            Some(ProjectKind::Cargo) => Workspace::find(call, interrupt).map(Box::new).map(Self::Cargo),
            Some(ProjectKind::Openhands) => match nearest(Tree::is_at) {
                Some(root) => Tree::at(root).map(Self::Openhands),
                None => Err(Error::usage(format!("there is no OpenHands tree at or above `{start}`"))
                    .hint(format!("such a tree holds `{}`", openhands::TEMPLATE))),
            },
            Some(ProjectKind::Custom) => match nearest(has_config_file) {
                Some(root) => Ok(Self::Custom(Folder::at(root))),
                None => Err(Error::usage(format!("there is no `{CONFIG_FILE}` at or above `{start}`"))
                    .hint("it describes a project of the kind `custom`; the README shows one")),
            },
            None => {
                let is_project =
                    |folder: &Utf8Path| Tree::is_at(folder) || has_manifest(folder) || has_config_file(folder);
                match nearest(is_project) {
                    Some(root) => Self::at(&root, call, interrupt),
                    None => Workspace::find(call, interrupt).map(Box::new).map(Self::Cargo).map_err(|error| {
                        error.hint(format!(
                            "run inside a Cargo project, an OpenHands tree or a folder with `{CONFIG_FILE}`, \
                             or name one with `--project-root`"
                        ))
                    }),
                }
            }
        }
    }

    /// The project whose kind nobody gave on the command line.
    fn at(root: &Utf8Path, call: CargoCall, interrupt: &Interrupt) -> Result<Self> {
        let here = CargoCall { folder: Some(root.to_owned()), ..call.clone() };
        match Settings::kind_in_file(root)? {
            Some(kind) => Self::find(Some(kind), here, interrupt),
            None if has_manifest(root) && Tree::is_at(root) => {
                Err(Error::usage(format!("`{root}` is a Cargo project and an OpenHands tree"))
                    .hint(format!("say which with `--kind`, or `kind` in `{CONFIG_FILE}`")))
            }
            None if Tree::is_at(root) => Tree::at(root.to_owned()).map(Self::Openhands),
            None if has_manifest(root) => {
                let workspace = Workspace::find(call, interrupt)?;
                // A member's folder may belong to a workspace that says to be something else.
                match Settings::kind_in_file(workspace.root())? {
                    None | Some(ProjectKind::Cargo) => Ok(Self::Cargo(Box::new(workspace))),
                    kind => {
                        let call = CargoCall { folder: Some(workspace.root().to_owned()), ..CargoCall::default() };
                        Self::find(kind, call, interrupt)
                    }
                }
            }
            None => Ok(Self::Custom(Folder::at(root.to_owned()))),
        }
    }

    /// The project's kind.
    pub fn kind(&self) -> ProjectKind {
        match self {
            Self::Cargo(_) => ProjectKind::Cargo,
            Self::Openhands(_) => ProjectKind::Openhands,
            Self::Custom(_) => ProjectKind::Custom,
        }
    }

    fn root(&self) -> &Utf8Path {
        match self {
            Self::Cargo(workspace) => workspace.root(),
            Self::Openhands(tree) => tree.root(),
            Self::Custom(folder) => folder.root(),
        }
    }

    /// The options that come of `given` (flags and environment) over what the project configures and what is usual for
    /// its kind.
    ///
    /// # Errors
    /// When a configuration cannot be parsed, says what means nothing for the kind, or a value is wrong.
    pub fn options(&self, given: Settings, buildx_args: Vec<String>, terminal: &Terminal) -> Result<Options> {
        let here =
            Utf8PathBuf::try_from(std::env::current_dir().context(|| "cannot tell the current folder".to_owned())?)
                .context(|| "the current folder's name is not UTF-8".to_owned())?;
        let file = Settings::from_file(self.root(), terminal)?;
        let configured = match self {
            Self::Cargo(workspace) => workspace.metadata_settings(terminal)?.over(file),
            Self::Openhands(_) | Self::Custom(_) => file,
        };
        let given = match self {
            Self::Openhands(_) => given.over(openhands::environment()),
            Self::Cargo(_) | Self::Custom(_) => given,
        };
        let settings = given.seen_from(&here).over(configured.seen_from(self.root()));
        settings.check_applies_to(self.kind())?;
        let options = match self {
            Self::Cargo(_) => settings.options(buildx_args)?,
            Self::Openhands(tree) => {
                let registry_optional = settings.repository.is_none();
                let usual = tree.usual(&settings);
                Options { registry_optional, ..settings.over(usual).options(buildx_args)? }
            }
            Self::Custom(folder) => {
                folder.check(&settings)?;
                settings.options(buildx_args)?
            }
        };
        Ok(Options { kind: Some(self.kind()), ..options })
    }

    /// Reads the project.
    ///
    /// # Errors
    /// When a file cannot be read or staged, or does not say what it must.
    pub fn read(&self, options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Result<Project> {
        match self {
            Self::Cargo(workspace) => workspace.read(options, terminal, interrupt),
            Self::Openhands(tree) => tree.read(options, terminal, interrupt),
            Self::Custom(folder) => folder.read(options, terminal, interrupt),
        }
    }
}

fn has_manifest(folder: &Utf8Path) -> bool {
    folder.join("Cargo.toml").is_file()
}

fn has_config_file(folder: &Utf8Path) -> bool {
    folder.join(CONFIG_FILE).is_file()
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
    /// The repository of its images where none was configured.
    pub default_repository: String,
    /// Build folders go below this.
    pub build_folders: Utf8PathBuf,
    /// All source files.
    pub code: Vec<StagedFile>,
    /// What decides about the dependencies.
    pub locked: Vec<StagedFile>,
    /// What the dependencies are built from, below `deps/`.
    pub deps: Vec<StagedFile>,
    /// Those of `locked` whose change leaves nothing of an earlier image to build on.
    pub system: Vec<StagedFile>,
    /// What the Dockerfile is rendered from.
    pub template: Template,
    /// The Dockerfile that builds from the base image, as it is hashed.
    pub hashed: Parts,
    /// Whether it has a stage `deps`, whose image holds no sources.
    pub has_deps_stage: bool,
    /// The build arguments that the dependencies see.
    pub dependency_args: Vec<String>,
    /// On what its images can be built.
    pub tiers: Tiers,
    /// The hashes of an OpenHands tree, as the original computes them.
    pub original: Option<OriginalHashes>,
    /// The variables that the `config.sh` of a build folder gets, by name.
    pub config: Option<[&'static str; 2]>,
}

/// What the original's names are made of; hashes are 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalHashes {
    /// Of base image and lock files.
    pub lock: String,
    /// Of the sources.
    pub source: String,
    /// Of inputs that these leave out, if there are any.
    pub variant: Option<String>,
    /// How names are made of them.
    pub rules: OriginalRules,
}

/// The untruncated hashes, 32 hexadecimal digits each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Base image, system packages, toolchain, and whatever else needs a build from scratch when it changes.
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
        system.field("dockerfile", &self.hashed.system);
        for argument in &options.buildx_args {
            system.field("buildx argument", argument);
        }
        for argument in &self.dependency_args {
            system.field("build argument", argument);
        }
        if options.reproducible && self.kind != ProjectKind::Cargo {
            // The builder dates all files.
            system.field("reproducible", "");
        }
        self.system.iter().for_each(|file| file.hash_into(&mut system));
        let system = system.finish();
        if let Some(OriginalHashes { lock, source, .. }) = &self.original {
            return Hashes { system, lock: lock.clone(), source: source.clone() };
        }

        let mut lock = FieldHasher::new("lock");
        lock.field("system", &system);
        lock.field("dockerfile", &self.hashed.dependencies);
        self.locked.iter().for_each(|file| file.hash_into(&mut lock));

        let mut source = FieldHasher::new("source");
        source.field("dockerfile", &self.hashed.runtime);
        for argument in &options.extra_build_args {
            source.field("build argument", argument);
        }
        for argument in options.attestations() {
            source.field("attestation", argument);
        }
        self.code.iter().for_each(|file| file.hash_into(&mut source));

        Hashes { system, lock: lock.finish(), source: source.finish() }
    }

    /// What the names of the project's images have in common.
    ///
    /// # Errors
    /// When the repository or the prefix is not valid.
    pub fn naming(&self, options: &Options) -> Result<Naming> {
        let repository = options.repository.as_ref().unwrap_or(&self.default_repository);
        let prefix = options.tag_prefix.as_deref().unwrap_or(self.kind.default_prefix());
        let naming = Naming::new(repository, prefix, &self.version)?;
        Ok(Naming { original: self.original.as_ref().map(|original| original.rules), ..naming })
    }

    /// The names of the project's images.
    ///
    /// # Errors
    /// When the repository or the prefix is not valid.
    pub fn tags(&self, options: &Options, hashes: &Hashes) -> Result<Tags> {
        let naming = self.naming(options)?;
        let base_image = options.base_image.to_string();
        match &self.original {
            None => Tags::new(&naming, &base_image, &hashes.lock, &hashes.source),
            Some(original) => {
                let (repository, _) = runtime_image_repo_and_tag(&base_image, &naming)?;
                let naming = Naming { repository: repository.parse()?, ..naming };
                Tags::original(&naming, &base_image, &hashes.lock, &hashes.source, original.variant.as_deref())
            }
        }
    }

    /// The variables for the `config.sh` of a build folder, if it gets any, with their values.
    ///
    /// # Errors
    /// As [`tags`](Self::tags).
    pub fn config(&self, options: &Options, tags: &Tags) -> Result<Option<Vec<(&'static str, String)>>> {
        let Some([image, source]) = self.config.filter(|_| options.build_folder.is_some()) else { return Ok(None) };
        let (_, tag) = runtime_image_repo_and_tag(&options.base_image.to_string(), &self.naming(options)?)?;
        Ok(Some(vec![(image, tag), (source, tags.source.tag().unwrap_or_default().to_owned())]))
    }
}

/// `localhost/<name>-runtime`: a local name that no registry is ever asked for.
fn local_repository(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> =
        lower.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "project".to_owned() } else { words.join("-") };
    let repository = format!("localhost/{name}-runtime");
    debug_assert!(repository.parse::<ImageName>().is_ok());
    repository
}

/// This tool's part of the user's folder for caches.
pub(crate) fn user_caches(root: &Utf8Path) -> Utf8PathBuf {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let caches = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .or_else(|| Utf8PathBuf::try_from(std::env::temp_dir()).ok())
        .unwrap_or_else(|| root.to_owned());
    caches.join("cargo-runtime-image")
}

/// Where the build folders of a project without a target folder go.
fn cached_build_folders(root: &Utf8Path) -> Utf8PathBuf {
    let name = root.file_name().unwrap_or("root");
    user_caches(root).join(format!("{name}-{}", &md5_hex(root.as_str().as_bytes())[..8]))
}

/// Those of `folders` that lie below `root`, relative to it.
fn below<'a>(root: &Utf8Path, folders: impl IntoIterator<Item = &'a Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    let relative = folders.into_iter().filter_map(|folder| folder.strip_prefix(root).ok());
    relative.filter(|folder| !folder.as_str().is_empty()).map(Utf8Path::to_owned).collect()
}

/// The source files as what is staged in `code/`.
fn staged_sources(root: &Utf8Path, sources: &[SourceFile]) -> Vec<StagedFile> {
    sources.iter().map(|file| staged_source(root, file)).collect()
}

fn staged_source(root: &Utf8Path, file: &SourceFile) -> StagedFile {
    let (executable, content) = match &file.kind {
        SourceKind::File { executable, size, digest, .. } => {
            (*executable, StagedContent::Copy { from: root.join(&file.path), digest: *digest, size: *size })
        }
        SourceKind::Link { target } => (false, StagedContent::Link(target.clone())),
    };
    StagedFile { path: file.path.clone(), executable, content }
}
