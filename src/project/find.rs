//! Finding the project: the list of kinds, and the nearest folder that is of one.

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::options::Options;
use crate::config::settings::{CONFIG_FILE, Settings};
use crate::config::values::ProjectKind;
use crate::error::{Context as _, Error, Result};
use crate::project::cargo::workspace::Workspace;
use crate::project::custom::Folder;
use crate::project::openhands::tree::{TEMPLATE, Tree, environment};
use crate::project::read::Project;
use crate::system::cargo::CargoCall;
use crate::system::interrupt::Interrupt;
use crate::system::terminal::Terminal;

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
                    .hint(format!("such a tree holds `{TEMPLATE}`"))),
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
            Self::Openhands(_) => given.over(environment()),
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
