//! A tree of OpenHands, in the step from options to project. What differs from release to release is read from the
//! tree's `runtime_build.py`, as text; nothing of that file is run.

use std::sync::LazyLock;

use camino::{Utf8Path, Utf8PathBuf};
use md5::{Digest as _, Md5};
use regex::Regex;
use serde::Serialize;

use crate::config::options::Options;
use crate::config::settings::Settings;
use crate::config::values::{ProjectKind, TagScheme, Version};
use crate::error::{Context as _, Error, Result};
use crate::hash::{FieldHasher, Hash, content_digest, hex};
use crate::image::naming::OriginalRules;
use crate::project::binaries::Binaries;
use crate::project::kind::{Kind, RustOfImage};
use crate::project::openhands::hashes::{no_name_ends_with, source_hash};
use crate::project::read::{OriginalHashes, Project, below, cached_build_folders};
use crate::staging::secrets::warn_of_secrets;
use crate::staging::source::copied_files;
use crate::staging::staged::{StagedContent, StagedFile, staged_source};
use crate::staging::steps::Steps;
use crate::staging::template::{FileDates, Parts, Template};
use crate::staging::tree_path::TreePath;
use crate::system::cargo::CargoCall;
use crate::system::interrupt::Interrupt;
use crate::system::paths::refuse_outside;
use crate::system::reading;
use crate::system::terminal::Terminal;

/// The template, by which a tree is known.
const TEMPLATE: &str = "openhands/runtime/utils/runtime_templates/Dockerfile.j2";

const RULES: &str = "openhands/runtime/utils/runtime_build.py";

const SOURCES: &str = "openhands";

const LOCK_FILES: [&str; 2] = ["pyproject.toml", "poetry.lock"];

const REPOSITORY_VARIABLE: &str = "OH_RUNTIME_RUNTIME_IMAGE_REPO";

const CHANNEL_VARIABLE: &str = "OH_CONDA_CHANNEL_ALIAS";

const DEFAULT_REPOSITORY: &str = "ghcr.io/openhands/runtime";

const DEFAULT_BASE_IMAGE: &str = "nikolaik/python-nodejs:python3.12-nodejs22";

/// A tree of OpenHands: a checkout, or an unpacked wheel.
#[derive(Debug)]
pub struct Tree {
    root: Utf8PathBuf,
    /// The text of its `runtime_build.py`.
    rules: String,
}

/// The variables that the tree's template sees.
#[derive(Debug, Serialize)]
struct TemplateContext {
    extra_deps: String,
    enable_browser: bool,
    channel_alias: Option<String>,
}

impl Tree {
    /// Whether `folder` is the root of such a tree.
    pub fn is_at(folder: &Utf8Path) -> bool {
        folder.join(TEMPLATE).is_file()
    }

    /// The tree in `root`.
    ///
    /// # Errors
    /// When its `runtime_build.py` cannot be read.
    fn at(root: Utf8PathBuf) -> Result<Self> {
        let rules = text_in(&root, RULES)?;
        Ok(Self { root, rules })
    }

    /// The tree at or above `start`.
    ///
    /// # Errors
    /// When there is none, or its `runtime_build.py` cannot be read.
    pub(crate) fn open(start: &Utf8Path, _: CargoCall, _: &Interrupt) -> Result<Box<dyn Kind>> {
        match start.ancestors().find(|folder| Self::is_at(folder)) {
            Some(root) => Ok(Box::new(Self::at(root.to_owned())?)),
            None => Err(Error::usage(format!("there is no OpenHands tree at or above `{start}`"))
                .hint(format!("such a tree holds `{TEMPLATE}`"))),
        }
    }

    fn default_repository(&self) -> &str {
        self.first(&REPOSITORY).unwrap_or(DEFAULT_REPOSITORY)
    }

    fn first(&self, pattern: &Regex) -> Option<&str> {
        Some(pattern.captures(&self.rules)?.get(1)?.as_str())
    }

    fn knows(&self, word: &str) -> bool {
        self.rules.contains(word)
    }

    /// A lock file, which is in `openhands/` or beside it.
    fn lock_file(&self, name: &'static str) -> Result<(StagedFile, Vec<u8>)> {
        let [inside, beside] = [self.root.join(SOURCES).join(name), self.root.join(name)];
        let path = if inside.exists() { inside } else { beside };
        refuse_outside(&self.root, &path)?;
        let text = reading::bytes(&path).map_err(|error| {
            Error::failed(format!("cannot read `{path}`"))
                .because(error)
                .hint(format!("an OpenHands tree has `{name}` in `{SOURCES}/` or beside it"))
        })?;
        let content = StagedContent::Copy { from: path, digest: content_digest(&text), size: text.len() as u64 };
        Ok((StagedFile { path: TreePath::constant(name), executable: false, content }, text))
    }

    /// The whole content of a folder that the tree's own build copies. An empty folder takes the place of a missing
    /// one, because the template copies it.
    fn copied_folder(
        &self,
        name: &str,
        build_folder: Option<&TreePath>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Vec<StagedFile>> {
        let folder = self.root.join(name);
        let below = TreePath::new(name)
            .ok_or_else(|| Error::failed(format!("`{RULES}` copies `{name}`, which is no folder of the tree")))?;
        if !folder.is_dir() {
            terminal.warning(format!("`{folder}` is missing; an empty folder takes its place in the image"));
            return Ok(vec![StagedFile { path: below, executable: false, content: StagedContent::Folder }]);
        }
        let files = copied_files(&self.root, &below, build_folder, interrupt)?;
        Ok(files.into_iter().map(|copied| moved_below(&below, staged_source(&folder, copied.file))).collect())
    }

    fn version(&self, options: &Options) -> Result<String> {
        match &options.project_version {
            Some(Version::Text(version)) => return Ok(version.clone()),
            Some(Version::File { .. }) => {
                return Err(Error::usage("the version of an OpenHands tree is given as text: `version = \"0.62.0\"`"));
            }
            None => {}
        }
        let manifests = [LOCK_FILES[0].into(), Utf8Path::new(SOURCES).join(LOCK_FILES[0])];
        let in_manifest = manifests.iter().find_map(|path| {
            let text = text_in(&self.root, path).ok()?;
            let line = text.lines().map(str::trim).find(|line| line.starts_with("version ="))?;
            Some(line.split_once('=')?.1.trim().trim_matches('"').trim_matches('\'').to_owned())
        });
        in_manifest.or_else(|| self.wheel_version()).ok_or_else(|| {
            Error::failed(format!("the OpenHands tree `{}` does not say its version", self.root))
                .hint("give it with `--project-version`")
        })
    }

    fn wheel_version(&self) -> Option<String> {
        let mut entries = self.root.read_dir_utf8().ok()?.filter_map(std::result::Result::ok);
        let folder = entries.find(|entry| {
            entry.file_name().starts_with("openhands_ai-") && entry.file_name().ends_with(".dist-info")
        })?;
        let text = text_in(&self.root, folder.path().join("METADATA")).ok()?;
        Some(text.lines().find_map(|line| line.strip_prefix("Version: "))?.trim().to_owned())
    }

    /// The hash of base image, switched-off browser and lock files, as the original adds them up.
    fn lock_hash<T>(&self, options: &Options, lock_files: &[(T, Vec<u8>)]) -> Hash {
        let base_image = options.base_image.to_string();
        let browser = if !options.enable_browser && self.knows("enable_browser") { "False" } else { "" };
        let (mut name, mut identity) = (Md5::new(), FieldHasher::new("original lock"));
        let lock_files = lock_files.iter().map(|(_, text)| text.as_slice());
        for part in [base_image.as_bytes(), browser.as_bytes()].into_iter().chain(lock_files) {
            name.update(part);
            identity.field("part", part);
        }
        Hash { name: hex(&name.finalize()), ..identity.finish() }
    }
}

impl Kind for Tree {
    fn kind(&self) -> ProjectKind {
        ProjectKind::Openhands
    }

    /// The folder that holds `openhands/`.
    fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The settings in variables that OpenHands itself reads.
    fn environment(&self) -> Settings {
        Settings { repository: set(REPOSITORY_VARIABLE), ..Settings::default() }
    }

    /// The tree's own defaults. Given a build folder, the original builds nothing, so this is a dry run.
    fn usual(&self, given: &Settings) -> Settings {
        Settings {
            base_image: Some(self.first(&BASE_IMAGE).unwrap_or(DEFAULT_BASE_IMAGE).to_owned()),
            repository: Some(self.default_repository().to_owned()),
            dry_run: given.build_folder.as_ref().map(|_| true),
            ..Settings::default()
        }
    }

    fn read(
        &self,
        options: &Options,
        _: RustOfImage<'_>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Project> {
        let folder = self.root.join(SOURCES);
        let build_folder = options.build_folder.as_ref().and_then(|folder| below(&self.root, folder));
        let files = copied_files(&self.root, &TreePath::constant(SOURCES), build_folder.as_ref(), interrupt)?;
        let [manifest, lock_file] = LOCK_FILES.map(|name| self.lock_file(name));
        let lock_files = [manifest?, lock_file?];
        let source = (options.tag_scheme == TagScheme::Original).then(|| source_hash(&files));
        let mut code: Vec<StagedFile> = files
            .into_iter()
            .filter(|copied| is_copied(&copied.file.path))
            .map(|copied| moved_below(&TreePath::constant(SOURCES), staged_source(&folder, copied.file)))
            .collect();
        code.extend(lock_files.iter().map(|(file, _)| file.clone()));
        for name in FOLDERS.captures_iter(&self.rules).map(|captures| captures[1].to_owned()) {
            code.extend(self.copied_folder(&name, build_folder.as_ref(), terminal, interrupt)?);
        }
        warn_of_secrets(code.iter().map(|file| &*file.path), options, terminal)?;

        let context = TemplateContext {
            extra_deps: options.extra_deps.clone().unwrap_or_default(),
            enable_browser: options.enable_browser,
            channel_alias: set(CHANNEL_VARIABLE).filter(|_| self.knows(CHANNEL_VARIABLE)),
        };
        if !options.enable_browser && !self.knows("enable_browser") {
            terminal.warning("`--no-enable-browser` changes nothing: this release always installs the browser");
        }
        let original = source.map(|source| {
            let lock = self.lock_hash(options, &lock_files);
            let rules = OriginalRules { keeps_slashes: KEPT_SLASHES.is_match(&self.rules) };
            OriginalHashes { lock, source, variant: variant(&context, options), rules }
        });
        let template = Template::lenient(TEMPLATE, text_in(&self.root, TEMPLATE)?, &context).ended_by(interrupt);
        Ok(Project {
            kind: ProjectKind::Openhands,
            root: self.root.clone(),
            name: "openhands".to_owned(),
            version: self.version(options)?,
            default_repository: self.default_repository().to_owned(),
            build_folders: cached_build_folders(&self.root),
            code,
            locked: lock_files.into_iter().map(|(file, _)| file).collect(),
            deps: Vec::new(),
            system: Vec::new(),
            hashed: Parts { system: template.hashed(&options.pinned_base_image().to_string())?, ..Parts::default() },
            dates: FileDates::OfTheirMaking,
            has_deps_stage: false,
            version_of: None,
            wanted_rust: None,
            members_in_dependencies: Vec::new(),
            dependency_args: options.extra_build_args.clone(),
            tiers: template.tiers(false, original.is_some())?,
            template,
            assets: Vec::new(),
            packages: Vec::new(),
            binaries: Binaries::default(),
            steps: Steps::default(),
            original,
            config_sh: Some([
                "DOCKER_IMAGE_TAG",
                if self.knows("DOCKER_IMAGE_HASH_TAG") { "DOCKER_IMAGE_HASH_TAG" } else { "DOCKER_IMAGE_SOURCE_TAG" },
            ]),
        })
    }
}

static REPOSITORY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"OH_RUNTIME_RUNTIME_IMAGE_REPO['"]\s*,\s*['"]([^'"]+)['"]"#));

static BASE_IMAGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"--base_image['"][^)]*?default\s*=\s*['"]([^'"]+)['"]"#));

/// Matches in releases that replace slashes in short repositories only.
static KEPT_SLASHES: LazyLock<Regex> = LazyLock::new(|| pattern(r"else:\s+repo = repo\.replace\('/'"));

/// Folders beside `openhands/` that are copied under their own names.
static FOLDERS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"project_root\s*,\s*['"]([\w-]+)['"]\s*\)\s*,\s*Path\(\s*build_folder\s*,\s*['"]code['"]"#)
});

/// The text of a file of the tree.
fn text_in(root: &Utf8Path, path: impl AsRef<Utf8Path>) -> Result<String> {
    let path = root.join(path.as_ref());
    refuse_outside(root, &path)?;
    reading::text(&path).context(|| format!("cannot read `{path}`"))
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|_| unreachable!("a constant pattern"))
}

pub(crate) fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

/// Whether the original copies a file. The original means to leave out hidden folders too, but copies them.
fn is_copied(path: &Utf8Path) -> bool {
    no_name_ends_with(path, &[".pyc", ".md"])
}

/// The hash of inputs that change the image and are in none of the original's hashes; `None` where none is set.
fn variant(context: &TemplateContext, options: &Options) -> Option<String> {
    // A digest that is written in the base image's name is in the original's hashes already.
    let digest = options.base_digest.as_ref().filter(|_| options.base_image.digest().is_none());
    let fields: Vec<(&str, String)> = options
        .extra_deps
        .iter()
        .map(|text| ("extra-deps", text.clone()))
        .chain(options.extra_build_args.iter().map(|argument| ("build argument", argument.to_string())))
        .chain(options.told_to_builder())
        .chain(context.channel_alias.iter().map(|alias| ("channel alias", alias.clone())))
        .chain(digest.map(|digest| ("base digest", digest.to_string())))
        .chain(options.attestations().map(|argument| ("attestation", argument)))
        .chain(options.reproducible.then(|| ("reproducible", String::new())))
        .collect();
    (!fields.is_empty()).then(|| {
        let mut hasher = FieldHasher::new("variant");
        fields.into_iter().for_each(|(name, value)| hasher.field(name, value));
        hasher.finish().name
    })
}

fn moved_below(folder: &TreePath, file: StagedFile) -> StagedFile {
    StagedFile { path: file.path.in_folder(folder), ..file }
}
