//! The custom kind: whatever `runtime-image.toml` describes, in any language. One of the kinds in the step from options
//! to project.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::config::build_args::BuildArg;
use crate::config::options::Options;
use crate::config::settings::{CONFIG_FILE, Settings};
use crate::config::values::{DebianPackage, ProjectKind, User, Version, has_control_characters};
use crate::error::{Context as _, Error, Result};
use crate::image::naming::local_repository;
use crate::image::platform::Platform;
use crate::project::binaries::Binaries;
use crate::project::kind::{Kind, RustOfImage};
use crate::project::read::{Project, cached_build_folders, selection};
use crate::staging::dockerfile::Dockerfile;
use crate::staging::listing::Selection;
use crate::staging::secrets::warn_of_secrets;
use crate::staging::source::{SourceFile, read_through, selector, source_files};
use crate::staging::staged::staged_sources;
use crate::staging::steps::{Steps, cmd_text, mounts, trust};
use crate::staging::template::{FileDates, Parts, Template};
use crate::staging::tree_path::TreePath;
use crate::system::cargo::CargoCall;
use crate::system::interrupt::Interrupt;
use crate::system::paths::refuse_outside;
use crate::system::reading;
use crate::system::terminal::Terminal;

const VERSION_EXAMPLE: &str =
    "`version = \"1.0.0\"`, or `version = { file = \"pyproject.toml\", key = \"project.version\" }`";

/// A folder that `runtime-image.toml` describes, or that flags alone do.
#[derive(Debug)]
pub struct Folder {
    root: Utf8PathBuf,
}

/// The variables that a template of this kind sees, besides those that change from tier to tier.
#[derive(Debug, Serialize)]
struct TemplateContext {
    kind: String,
    version: String,
    platforms: Vec<String>,
    lock_files: Vec<String>,
    extra_deps: String,
    enable_browser: bool,
    env: BTreeMap<String, String>,
    apt_packages: Vec<String>,
    prebuild: Vec<String>,
    build_arguments: Vec<String>,
    workdir: String,
    user: Option<String>,
    user_to_create: Option<String>,
    cmd: Option<String>,
    entrypoint: Option<String>,
    mounts: String,
    trust: String,
}

impl Folder {
    /// Whether `folder` holds a `runtime-image.toml`.
    pub(crate) fn is_at(folder: &Utf8Path) -> bool {
        folder.join(CONFIG_FILE).is_file()
    }

    /// The project at or above `start`, or else `start`: flags alone can describe it.
    ///
    /// # Errors
    /// None.
    #[allow(clippy::unnecessary_wraps, reason = "as the other kinds are opened")]
    pub(crate) fn open(start: &Utf8Path, _: CargoCall, _: &Interrupt) -> Result<Box<dyn Kind>> {
        let root = start.ancestors().find(|folder| Self::is_at(folder)).unwrap_or(start);
        Ok(Box::new(Self { root: root.to_owned() }))
    }

    fn missing(&self, key: &str, flag: &str, example: &str) -> Error {
        Error::usage(format!("the project in `{}` has no `{key}`", self.root))
            .hint(format!("add it to `{CONFIG_FILE}`: {example}; or give it with {flag}"))
    }

    /// All files of the project, and its lock files.
    fn files(
        &self,
        options: &Options,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<(Vec<SourceFile>, Vec<SourceFile>)> {
        let always = options.lock_files.iter().filter_map(TreePath::new).collect();
        let selection = Selection { always, ..selection(&self.root, options) };
        let all = source_files(&self.root, &selection, |_| false, terminal, interrupt)?;
        let is_selected = selector(&all, &options.lock_files, "lock-files", interrupt)?;
        let locked = all.iter().filter(|file| is_selected(file)).cloned();
        let locked = locked.map(|file| read_through(&self.root, file, interrupt)).collect::<Result<_>>()?;
        Ok((all, locked))
    }

    /// The project's own template, or the built-in one, with what it sees.
    fn template(
        &self,
        options: &Options,
        version: &str,
        locked: &[SourceFile],
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Template> {
        let context = TemplateContext {
            kind: ProjectKind::Custom.to_string(),
            version: version.to_owned(),
            platforms: options.platforms.iter().map(Platform::to_string).collect(),
            lock_files: locked.iter().map(|file| file.path.to_string()).collect(),
            extra_deps: options.extra_deps.clone().unwrap_or_default(),
            enable_browser: options.enable_browser,
            env: options.env.clone(),
            apt_packages: options.apt_packages.iter().map(DebianPackage::to_string).collect(),
            prebuild: options.prebuild.clone().unwrap_or_default(),
            build_arguments: options.build_argument_names(),
            workdir: options.workdir.to_string(),
            user: options.user.as_ref().map(User::to_string),
            user_to_create: options.user.as_ref().and_then(User::to_create).map(str::to_owned),
            cmd: options.cmd.as_ref().map(cmd_text),
            entrypoint: options.entrypoint.as_ref().map(cmd_text),
            mounts: mounts(options),
            trust: if options.ca_bundle.is_some() { trust() } else { String::new() },
        };
        let Some(path) = &options.template else { return Ok(Template::custom(&context)) };
        let text = reading::text(path).context(|| format!("cannot read the template `{path}`"))?;
        let name = path.strip_prefix(&self.root).unwrap_or(path);
        let template = Template::strict(name.as_str(), text, &context).ended_by(interrupt);
        warn_of_unused(options, &template, terminal)?;
        Ok(template)
    }

    fn version(&self, options: &Options) -> Result<String> {
        let (file, key) = match &options.project_version {
            Some(Version::Text(version)) => return Ok(version.clone()),
            Some(Version::File { file, key }) => (file, key),
            None => return Err(self.missing("version", "`--project-version`", VERSION_EXAMPLE)),
        };
        let path = self.root.join(file);
        refuse_outside(&self.root, &path)?;
        let text = reading::text(&path).context(|| format!("cannot read the version from `{path}`"))?;
        let wrong = |what: String| Error::usage(format!("cannot read the version from `{path}`")).because(what);
        let version = match key {
            None => text.trim().to_owned(),
            Some(key) => {
                let value: serde_json::Value = if file.extension() == Some("json") {
                    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
                } else {
                    toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
                };
                let found = key.split('.').try_fold(&value, |value, name| value.get(name));
                found
                    .and_then(serde_json::Value::as_str)
                    .ok_or_else(|| wrong(format!("it has no text at `{key}`")))?
                    .to_owned()
            }
        };
        if version.is_empty() || has_control_characters(&version) {
            return Err(wrong("it is not one line".to_owned()).hint("name the value's place with `key`"));
        }
        Ok(version)
    }
}

impl Kind for Folder {
    fn kind(&self) -> ProjectKind {
        ProjectKind::Custom
    }

    fn root(&self) -> &Utf8Path {
        &self.root
    }

    fn refuse_incomplete(&self, settings: &Settings) -> Result<()> {
        if settings.base_image.is_none() {
            return Err(self.missing("base-image", "`--base-image`", "`base-image = \"debian:bookworm\"`"));
        }
        if settings.project_version.is_none() {
            return Err(self.missing("version", "`--project-version`", VERSION_EXAMPLE));
        }
        Ok(())
    }

    fn read(
        &self,
        options: &Options,
        _: RustOfImage<'_>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Project> {
        let root = &self.root;
        let (mut files, locked) = self.files(options, terminal, interrupt)?;
        if !options.source.is_empty() {
            let is_selected = selector(&files, &options.source, "source", interrupt)?;
            files.retain(is_selected);
        }
        if files.is_empty() {
            return Err(Error::failed(format!("the project in `{root}` has no files"))
                .hint("add some, or see whether an ignore file names them all"));
        }
        warn_of_secrets(files.iter().map(|file| &*file.path), options, terminal)?;
        let version = self.version(options)?;
        let template = self.template(options, &version, &locked, terminal, interrupt)?;
        let dockerfile = template.hashed(&options.pinned_base_image().to_string())?;
        let (dependencies, sources) = stages(&dockerfile, options.stages, &template)?;
        let has_deps_stage = sources.is_some();
        let dependency_args = if has_deps_stage {
            let stage = Dockerfile::parse(template.name(), dependencies)?;
            let declared = |argument: &&BuildArg| stage.declares(&argument.name);
            options.extra_build_args.iter().filter(declared).cloned().collect()
        } else {
            options.extra_build_args.clone()
        };
        Ok(Project {
            kind: ProjectKind::Custom,
            root: root.clone(),
            name: root.file_name().unwrap_or_default().to_owned(),
            version,
            default_repository: local_repository(root.file_name().unwrap_or_default()),
            build_folders: cached_build_folders(root),
            code: staged_sources(root, files),
            deps: staged_sources(root, locked.clone()),
            locked: staged_sources(root, locked),
            system: Vec::new(),
            hashed: Parts {
                system: format!("{}\0{dependencies}", template.text()),
                dependencies: String::new(),
                runtime: sources.unwrap_or_default().to_owned(),
            },
            dates: FileDates::OfTheirMaking,
            has_deps_stage,
            version_of: None,
            wanted_rust: None,
            members_in_dependencies: Vec::new(),
            dependency_args,
            tiers: template.tiers(has_deps_stage, false)?,
            template,
            assets: Vec::new(),
            packages: Vec::new(),
            binaries: Binaries::default(),
            steps: if options.template.is_none() { Steps::CUSTOM } else { Steps::default() },
            original: None,
            config_sh: None,
        })
    }
}

/// Warns of keys that are set, but not used by the user's template.
fn warn_of_unused(options: &Options, template: &Template, terminal: &Terminal) -> Result<()> {
    let keys = [
        ("extra-deps", "extra_deps", options.extra_deps.is_some()),
        ("apt-packages", "apt_packages", !options.apt_packages.is_empty()),
        ("prebuild", "prebuild", options.prebuild.is_some()),
        ("env", "env", !options.env.is_empty()),
        ("user", "user", options.user.is_some()),
        ("cmd", "cmd", options.cmd.is_some()),
        ("entrypoint", "entrypoint", options.entrypoint.is_some()),
        ("enable-browser", "enable_browser", !options.enable_browser),
        ("ca-bundle", "trust", options.ca_bundle.is_some()),
    ];
    let variables = template.variables()?;
    for (key, variable, is_set) in keys {
        if is_set && !variables.contains(variable) {
            terminal.warning(format!("`{key}` changes nothing: `{}` does not use `{variable}`", template.name()));
        }
    }
    Ok(())
}

/// The Dockerfile up to the end of its stage `deps` and the rest, or all of it where there is one stage.
fn stages<'a>(dockerfile: &'a str, wanted: Option<u8>, template: &Template) -> Result<(&'a str, Option<&'a str>)> {
    let name = template.name();
    if wanted == Some(1) {
        return Ok((dockerfile, None));
    }
    let Some((dependencies, sources)) = Dockerfile::parse(name, dockerfile)?.split_after_deps() else {
        return match wanted {
            None => Ok((dockerfile, None)),
            Some(_) => Err(Error::usage(format!("`{name}` has no stage `deps`, but `stages` is 2"))
                .hint("write `FROM {{ base_image }} AS deps` for the dependencies, and `FROM deps` for the sources")),
        };
    };
    if sources.is_empty() {
        return Err(Error::usage(format!("`{name}` has no stage after `deps`"))
            .hint("write `FROM deps` for the sources, or name the only stage otherwise"));
    }
    if Dockerfile::parse(name, dependencies)?.copies_code() {
        return Err(Error::usage(format!(
            "the stage `deps` of `{name}` copies sources: its image would not be what its name says"
        ))
        .hint("copy from `deps/` there, and from `code/` in a later stage"));
    }
    Ok((dependencies, Some(sources)))
}
