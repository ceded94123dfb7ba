//! Finding the project: the list of kinds, and the nearest folder that is of one. It comes before the
//! options, because a project's files are one source of options.

use camino::Utf8Path;

use crate::config::build_args::warn_of_secrets;
use crate::config::options::Options;
use crate::config::settings::{CONFIG_FILE, Settings};
use crate::config::values::ProjectKind;
use crate::error::{Error, Result};
use crate::project::cargo::workspace::Workspace;
use crate::project::custom::Folder;
use crate::project::kind::{Kind, RustOfImage};
use crate::project::openhands::tree::Tree;
use crate::project::read::Project;
use crate::system::cargo::CargoCall;
use crate::system::interrupt::Interrupt;
use crate::system::paths::here;
use crate::system::terminal::Terminal;

/// How the projects of a kind are found.
struct Row {
    kind: ProjectKind,
    /// Whether a folder is a project of this kind, by the files in it.
    is_at: fn(&Utf8Path) -> bool,
    /// Finds the project at or above a folder.
    open: fn(&Utf8Path, CargoCall, &Interrupt) -> Result<Box<dyn Kind>>,
}

/// All kinds. A folder that is of no other kind is of the last one.
const KINDS: [Row; 3] = [
    Row { kind: ProjectKind::Cargo, is_at: Workspace::is_at, open: Workspace::open },
    Row { kind: ProjectKind::Openhands, is_at: Tree::is_at, open: Tree::open },
    Row { kind: ProjectKind::Custom, is_at: Folder::is_at, open: Folder::open },
];

/// A project that was found and not yet read.
#[derive(Debug)]
pub struct Found(Box<dyn Kind>);

impl Found {
    /// Finds the nearest project at or above the current folder, or the folder that `call` names.
    ///
    /// # Errors
    /// When there is no project of this kind, or a folder is of several kinds and none was asked for.
    pub fn find(kind: Option<ProjectKind>, call: CargoCall, interrupt: &Interrupt) -> Result<Self> {
        let start = call.folder.as_deref().unwrap_or(Utf8Path::new("."));
        let start = start.canonicalize_utf8().map_err(|error| {
            Error::failed(format!("cannot find the project folder `{start}`"))
                .because(error)
                .hint("`--project-root` names a folder that is there")
        })?;
        let call = CargoCall {
            folder: call.folder.as_ref().map(|_| start.clone()),
            manifest_path: call.manifest_path.map(|path| Ok::<_, Error>(here()?.join(path))).transpose()?,
            ..call
        };
        let open = |kind: ProjectKind, start: &Utf8Path, call: CargoCall| {
            let row = KINDS.iter().find(|row| row.kind == kind);
            let row = row.ok_or_else(|| Error::failed(format!("there is no kind `{kind}`")))?;
            (row.open)(start, call, interrupt)
        };
        if let Some(kind) = kind.or(call.manifest_path.is_some().then_some(ProjectKind::Cargo)) {
            return open(kind, &start, call).map(Self);
        }
        let Some(root) = start.ancestors().find(|folder| KINDS.iter().any(|row| (row.is_at)(folder))) else {
            return open(ProjectKind::Cargo, &start, call).map(Self).map_err(|error| {
                error.hint(format!(
                    "run inside a Cargo project, an OpenHands tree or a folder with `{CONFIG_FILE}`, \
                     or name one with `--project-root`"
                ))
            });
        };
        let found = match Settings::kind_in_file(root)? {
            Some(kind) => return open(kind, root, at(root)).map(Self),
            None => open(kind_of(root)?, root, call)?,
        };
        // A member's folder may belong to a workspace whose `runtime-image.toml` gives another kind.
        match Settings::kind_in_file(found.root())? {
            Some(kind) if kind != found.kind() => open(kind, found.root(), at(found.root())).map(Self),
            _ => Ok(Self(found)),
        }
    }

    /// The project's kind.
    pub fn kind(&self) -> ProjectKind {
        self.0.kind()
    }

    /// The project's folder, absolute.
    pub fn root(&self) -> &Utf8Path {
        self.0.root()
    }

    /// The options: `given` (flags and environment) over what the project configures, over the defaults of its kind.
    ///
    /// # Errors
    /// When a configuration cannot be parsed, has a key that means nothing for the kind, or has a wrong value.
    pub fn options(&self, given: Settings, buildx_args: Vec<String>, terminal: &Terminal) -> Result<Options> {
        let Self(found) = self;
        let here = here()?;
        let file = Settings::from_file(found.root(), terminal)?;
        let configured = found.configured(terminal)?.over(file).seen_from(found.root());
        configured.refuse_files_outside(found.root())?;
        let settings = given.over(found.environment()).seen_from(&here).over(configured);
        settings.refuse_keys_of_other_kinds(found.kind())?;
        found.refuse_incomplete(&settings)?;
        let usual = found.usual(&settings);
        // The user did not ask for a repository that only the project's kind names.
        let registry_optional = settings.repository.is_none() && usual.repository.is_some();
        let options = settings.over(usual).options(buildx_args)?;
        warn_of_secrets(&options.extra_build_args, terminal);
        Ok(Options { kind: Some(found.kind()), registry_optional, ..options })
    }

    /// Reads the project.
    ///
    /// # Errors
    /// When a file cannot be read or staged, or lacks what it must say.
    pub fn read(
        &self,
        options: &Options,
        rust_of_image: RustOfImage<'_>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Project> {
        self.0.read(options, rust_of_image, terminal, interrupt)
    }
}

fn at(root: &Utf8Path) -> CargoCall {
    CargoCall { folder: Some(root.to_owned()), ..CargoCall::default() }
}

/// The kind of the project in `root`, by the files in it.
fn kind_of(root: &Utf8Path) -> Result<ProjectKind> {
    let [known @ .., otherwise] = &KINDS;
    let mut kinds = known.iter().filter(|row| (row.is_at)(root)).map(|row| row.kind);
    match (kinds.next(), kinds.next()) {
        (None, _) => Ok(otherwise.kind),
        (Some(kind), None) => Ok(kind),
        (Some(_), Some(_)) => Err(Error::usage(format!("`{root}` is a Cargo project and an OpenHands tree"))
            .hint(format!("say which with `--kind`, or `kind` in `{CONFIG_FILE}`"))),
    }
}
