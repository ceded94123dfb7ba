//! A workspace as a project: its members, its skeleton of manifests and empty targets, what its template sees. This is
//! the step from options to project for the cargo kind.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, Package, PackageId, Target, TargetKind};

use crate::config::options::Options;
use crate::config::settings::{CONFIG_FILE, Settings};
use crate::config::values::{ProjectKind, Version};
use crate::error::{Error, Result};
use crate::image::naming::local_repository;
use crate::project::cargo::binaries::{Members, Programs, binaries_of, compiled_from};
use crate::project::cargo::configuration::{Configuration, Tree};
use crate::project::cargo::context::TemplateContext;
use crate::project::cargo::inputs::{DependencyInputs, LOCK_FILE, dependency_inputs};
use crate::project::cargo::lock_file::LockFile;
use crate::project::cargo::manifest;
use crate::project::cargo::manifest::{MANIFEST, Manifest};
use crate::project::cargo::metadata::metadata;
use crate::project::cargo::resolving::{LockFileState, resolved};
use crate::project::cargo::root::{CARGO_CONFIG_FILES, Root, TOOLCHAIN_FILES};
use crate::project::cargo::skeleton::{marks, skeleton};
use crate::project::cargo::toolchain::Toolchain;
use crate::project::kind::{Kind, RustOfImage};
use crate::project::read::{Project, below, cached_build_folders, selection};
use crate::staging::listing::{Selection, why_left_out};
use crate::staging::secrets::warn_of_secrets;
use crate::staging::seed::LocalPackage;
use crate::staging::source::{SourceFile, selector, source_files};
use crate::staging::staged::staged_sources;
use crate::staging::steps::Steps;
use crate::staging::template::{FileDates, Template};
use crate::staging::tree_path::TreePath;
use crate::system::cargo::CargoCall;
use crate::system::environment::variable;
use crate::system::interrupt::Interrupt;
use crate::system::paths;
use crate::system::paths::{ends_outside, here, refuse_endless};
use crate::system::terminal::Terminal;

/// A workspace that Cargo found.
#[derive(Debug, Clone)]
pub struct Workspace {
    call: CargoCall,
    metadata: Metadata,
    root: Root,
}

impl Workspace {
    /// Asks Cargo for the workspace; its dependencies are not resolved.
    ///
    /// # Errors
    /// Cargo's own, when there is no manifest or the manifest is wrong.
    pub(crate) fn find(call: CargoCall, interrupt: &Interrupt) -> Result<Self> {
        refuse_endless_files(&call)?;
        let metadata = metadata(&call, interrupt)?;
        let asked = call.folder.as_deref().filter(|_| call.manifest_path.is_some());
        let root = Root::new(&metadata, asked)?;
        Ok(Self { call, metadata, root })
    }

    /// Whether `folder` holds a manifest.
    pub(crate) fn is_at(folder: &Utf8Path) -> bool {
        folder.join(MANIFEST).is_file()
    }

    /// The workspace that `call` names, or the one around the folder that it names.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(crate) fn open(_: &Utf8Path, call: CargoCall, interrupt: &Interrupt) -> Result<Box<dyn Kind>> {
        Ok(Box::new(Self::find(call, interrupt)?))
    }

    /// The members. Cargo was not asked for other packages, and to look each up among the members takes the square of
    /// their number.
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.metadata.packages.iter()
    }

    /// The members that Cargo builds where it is not told which.
    fn default_members(&self) -> impl Iterator<Item = &Package> {
        let told = &self.metadata.workspace_default_members;
        let chosen: Option<BTreeSet<&PackageId>> = told.is_available().then(|| told.iter().collect());
        self.members().filter(move |package| chosen.as_ref().is_none_or(|chosen| chosen.contains(&package.id)))
    }

    /// The members by their folders, relative to the root.
    fn members_by_folder(&self) -> Result<BTreeMap<Utf8PathBuf, &Package>> {
        let folder = |package: &'_ Package| package.manifest_path.parent().unwrap_or(&self.root.path).to_owned();
        self.members().map(|package| Ok((self.relative(&folder(package), package)?, package))).collect()
    }

    fn warn_of_files_above(&self, terminal: &Terminal) {
        if let Some(file) = self.root.file_above() {
            terminal.warning(format!(
                "`{file}` counts here and not in the image; `--project-root DIR --manifest-path Cargo.toml` stages from a \
                 folder around it"
            ));
        }
    }

    fn root_package(&self) -> Option<&Package> {
        let manifest = self.root().join(MANIFEST);
        self.members().find(|package| package.manifest_path == manifest)
    }

    fn name(&self) -> &str {
        self.root_package().map_or_else(|| self.root().file_name().unwrap_or_default(), |package| &package.name)
    }

    /// The project's version: the configured one, else the root package's, else the one that the workspace gives its
    /// members. Else it is that of the member that stands for the workspace, or the highest of the members' versions.
    ///
    /// Where members are chosen from, the chosen one is told too.
    fn version(&self, options: &Options, root_manifest: Option<&Manifest>) -> Result<(String, Option<String>)> {
        match &options.project_version {
            Some(Version::Text(version)) => return Ok((version.clone(), None)),
            Some(Version::File { .. }) => {
                return Err(Error::usage("Cargo's manifests say the version: `version` cannot name a file"));
            }
            None => {}
        }
        let of_root = self.root_package().map(|package| package.version.to_string());
        if let Some(version) = of_root.or_else(|| root_manifest.and_then(Manifest::workspace_version)) {
            return Ok((version, None));
        }
        let members: Vec<&Package> = self.members().collect();
        let of =
            |package: &Package, why: &str| (package.version.to_string(), Some(format!("`{}`, {why}", package.name)));
        let main = main_member(&members, self.name()).map(|(package, why)| of(package, why));
        let highest = || members.iter().max_by_key(|package| &package.version);
        let version = main.or_else(|| highest().map(|package| of(package, "whose version is the highest")));
        Ok(version.unwrap_or_else(|| ("0.0.0".to_owned(), None)))
    }

    fn selection(&self, options: &Options) -> Selection {
        let root = &self.root.path;
        let manifests = self.members().map(|package| &package.manifest_path);
        let manifests = manifests.filter_map(|path| TreePath::below(root, path));
        let targets = self.root.packages.iter().map(|folder| folder.join("target"));
        let targets = targets.chain([self.root.workspace.join("target")]).filter_map(TreePath::new);
        let built = [&self.metadata.target_directory].into_iter().chain(&self.metadata.build_directory);
        Selection {
            generated: targets.chain(built.filter_map(|folder| below(root, folder))).collect(),
            always: vec![self.root.file(LOCK_FILE)],
            only: self.root.parts(),
            folder: TreePath::new(&self.root.workspace),
            inputs: self.root.files_above(&CARGO_CONFIG_FILES).chain(manifests).collect(),
            ..selection(root, options)
        }
    }

    /// Makes the list of files have a lock file that says what the manifests say, with versions that this Rust can
    /// build. The tree keeps what it has.
    fn lock(
        &self,
        sources: &mut Vec<SourceFile>,
        state: LockFileState,
        rust: impl FnOnce() -> Option<String>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let (text, command) = (state.text(), state.subcommand().join(" "));
        if self.call.locked {
            return Err(Error::failed(format!("`{LOCK_FILE}` {text} and `--locked` was given"))
                .hint(format!("run `cargo {command}` and commit the file")));
        }
        terminal.warning(format!(
            "`{LOCK_FILE}` {text}: the dependencies are resolved for this image alone, so that its names change whenever \
             the registry does (`cargo {command}`, and commit the file)"
        ));
        let rust = rust();
        let rust_text = rust.as_ref().map(|version| format!(" for Rust {version}")).unwrap_or_default();
        terminal.status("Locking", format!("the dependencies{rust_text}"));
        let made = resolved(&self.call, &self.root, sources, state, rust.as_deref(), interrupt)?;
        sources.retain(|file| file.path != made.path);
        let place = sources.partition_point(|file| file.path < made.path);
        sources.insert(place, made);
        Ok(())
    }

    /// What is wrong with `Cargo.lock`: it must say of members what their manifests say, and contradict no other local
    /// package's manifest. Resolving would tell as well, but needs every dependency's source on this machine.
    fn wrong_with_lock_file(
        &self,
        sources: &[SourceFile],
        manifests: &BTreeMap<Utf8PathBuf, Manifest>,
        whole: &BTreeSet<Utf8PathBuf>,
        configuration: &Configuration,
    ) -> Result<Option<LockFileState>> {
        let lock_file = Tree { files: sources }.file(&self.root.file(LOCK_FILE));
        let Some(text) = lock_file.and_then(SourceFile::text) else {
            return Ok(Some(LockFileState::Missing));
        };
        let lock = LockFile::parse(text)?;
        let root_manifest = manifests.get(&self.root.workspace);
        let patches = root_manifest.into_iter().flat_map(|manifest| manifest.patched_paths(&self.root.workspace));
        let patches = patches.chain(configuration.patched_paths());
        let patches: BTreeSet<Utf8PathBuf> = patches.map(|(_, folder)| folder).collect();
        let is_patched = root_manifest.is_some_and(Manifest::has_patches) || configuration.has_patches();
        let others_agree = whole.iter().all(|folder| lock.agrees_with(folder, manifests, patches.contains(folder)));
        let agrees = others_agree
            && self.members().all(|package| {
                let dependencies: BTreeSet<&str> =
                    package.dependencies.iter().map(|dependency| &*dependency.name).collect();
                lock.member_dependencies(&package.name, &package.version.to_string()) == Some(dependencies)
                    && package.dependencies.iter().all(|dependency| lock.has(dependency, is_patched))
            });
        Ok((!agrees).then_some(LockFileState::OutOfDate))
    }

    fn relative(&self, path: &Utf8Path, package: &Package) -> Result<Utf8PathBuf> {
        if path == self.root.path {
            return Ok(Utf8PathBuf::new());
        }
        TreePath::below(&self.root.path, path).map(|path| path.to_path_buf()).ok_or_else(|| {
            Error::failed(format!("package `{}` lies outside the workspace, at `{path}`", package.name))
                .hint(self.way_to_a_root())
        })
    }

    /// The target folder in the image, seen from the workspace's folder. There and here, it must be no folder of
    /// sources.
    fn target_folder(&self, configuration: &Configuration, options: &Options) -> Result<String> {
        let commands = options.prebuild.iter().flatten();
        if let Some(command) = commands.into_iter().find(|command| command.contains("--target-dir")) {
            return Err(Error::usage(format!("`prebuild` gives a target folder: {command:?}"))
                .hint("say it with `env = { CARGO_TARGET_DIR = \"...\" }`, where the steps find what was built"));
        }
        let mut sources = BTreeSet::new();
        for package in self.members() {
            let targets = package.targets.iter().map(|target| &target.src_path);
            let files = targets.chain([&package.manifest_path]);
            let files = files.filter_map(|path| TreePath::below(&self.root.path, path));
            sources.extend(files.map(|path| path.to_path_buf()));
        }
        let in_image = configuration.target_folder(&sources)?;
        let here = &self.metadata.target_directory;
        let folder = manifest::normalised(here);
        let is_there = |source: &Utf8PathBuf| self.root.path.join(source).starts_with(&folder);
        if folder.starts_with(&self.root.path) && sources.iter().any(is_there) {
            return Err(Error::failed(format!("Cargo's target folder `{here}` holds sources")).hint(
                "give it a folder of its own: `CARGO_TARGET_DIR`, or `build.target-dir` of Cargo's configuration",
            ));
        }
        Ok(in_image.map_or_else(|| "target".to_owned(), |folder| self.root.seen_from_workspace(&folder)))
    }

    /// Where build folders go: below the target folder, unless a file of the project may have put that elsewhere.
    fn build_folders(&self) -> Utf8PathBuf {
        let target: &Utf8Path = &self.metadata.target_directory;
        let folders = target.join("runtime-image");
        let by_user = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"].into_iter().any(|name| variable(name).is_some());
        let leads_elsewhere = if by_user { folders.is_symlink() } else { ends_outside(&self.root.path, &folders) };
        if leads_elsewhere { cached_build_folders(&self.root.path) } else { folders }
    }

    /// Refuses a list of files that lacks a manifest or the file of a target: Cargo could not build it in the image.
    fn refuse_incomplete_sources(
        &self,
        sources: &[SourceFile],
        members: &BTreeMap<Utf8PathBuf, &Package>,
        selection: &Selection,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let tree = Tree { files: sources };
        let mut needed = vec![(self.root.workspace.join(MANIFEST), self.name())];
        for (folder, package) in members {
            needed.push((folder.join(MANIFEST), &package.name));
            for target in &package.targets {
                needed.push((self.target_path(target, package)?.to_path_buf(), &package.name));
            }
        }
        let Some((path, name)) = needed.iter().find(|(path, _)| tree.file(path).is_none()) else { return Ok(()) };
        Err(Error::failed(format!("`{path}`, which `{name}` needs, is not among the source files"))
            .because(why_left_out(&self.root.path, selection, path, interrupt))
            .hint("the image would be incomplete: have the file tracked, or take it out of the ignore file"))
    }

    /// The file of a target, which Cargo tells as the manifest spells it.
    fn target_path(&self, target: &Target, package: &Package) -> Result<TreePath> {
        TreePath::below(&self.root.path, &target.src_path).ok_or_else(|| {
            Error::failed(format!(
                "the target `{}` of `{}` lies outside the workspace, at `{}`",
                target.name, package.name, target.src_path
            ))
            .hint(self.way_to_a_root())
        })
    }

    /// The local packages that must be in the dependency stage as they are, with all local packages that they need.
    /// These are the members' path dependencies that are no members, and the packages that `[patch]` (in the manifest
    /// or in Cargo's configuration) and the configuration's `paths` give to dependencies.
    fn whole_packages(
        &self,
        members: &BTreeMap<Utf8PathBuf, &Package>,
        manifests: &BTreeMap<Utf8PathBuf, Manifest>,
        configuration: &Configuration,
    ) -> Result<BTreeSet<Utf8PathBuf>> {
        let by = |wanted_by: &str| {
            let wanted_by = wanted_by.to_owned();
            move |(name, folder): (String, Utf8PathBuf)| (name, folder, wanted_by.clone())
        };
        let mut waiting: Vec<(String, Utf8PathBuf, String)> = Vec::new();
        if let Some(root_manifest) = manifests.get(&self.root.workspace) {
            waiting.extend(root_manifest.patched_paths(&self.root.workspace).into_iter().map(by("[patch]")));
        }
        waiting.extend(configuration.patched_paths().into_iter().map(by(CARGO_CONFIG_FILES[0])));
        for folder in configuration.overriding_folders() {
            if !manifest::is_inside(&folder) {
                return Err(self.outside(
                    "paths",
                    &manifest::normalised(&self.root.path.join(&folder)),
                    CARGO_CONFIG_FILES[0],
                ));
            }
            let packages = manifests.iter().filter(|(package, _)| package.starts_with(&folder));
            let named = packages.filter_map(|(package, manifest)| Some((manifest.name()?.to_owned(), package.clone())));
            waiting.extend(named.map(by(CARGO_CONFIG_FILES[0])));
        }
        for package in members.values() {
            for dependency in &package.dependencies {
                let Some(path) = &dependency.path else { continue };
                let outside = |_| self.outside(&dependency.name, path, &package.name);
                let path = path.strip_prefix(&self.root.path).map_err(outside)?;
                if !members.contains_key(path) {
                    waiting.push((dependency.name.clone(), path.to_owned(), package.name.to_string()));
                }
            }
        }
        let mut whole = BTreeSet::new();
        while let Some((name, folder, wanted_by)) = waiting.pop() {
            if !manifest::is_inside(&folder) {
                return Err(self.outside(&name, &manifest::normalised(&self.root.path.join(&folder)), &wanted_by));
            }
            if !whole.insert(folder.clone()) {
                continue;
            }
            let manifest = manifests.get(&folder).ok_or_else(|| {
                Error::failed(format!("the path dependency `{name}` at `{folder}` is not among the source files"))
                    .hint("it is missing or ignored: add it to the project's files")
            })?;
            let for_tests_too = members.contains_key(&folder);
            waiting.extend(manifest.path_dependencies(&folder, manifests, for_tests_too).into_iter().map(by(&name)));
        }
        Ok(whole)
    }

    fn outside(&self, dependency: &str, path: &Utf8Path, wanted_by: &str) -> Error {
        Error::failed(format!(
            "the path dependency `{dependency}` of `{wanted_by}` lies outside the workspace, at `{path}`"
        ))
        .hint(self.way_to_a_root())
    }

    /// What to do about files that the image would lack.
    fn way_to_a_root(&self) -> String {
        format!(
            "only `{}` and what is below it can be in the image: name a folder around both with `--project-root DIR \
             --manifest-path Cargo.toml`, or move or vendor what lies outside",
            self.root.path
        )
    }

    /// The files of the targets whose sources the dependency stage lacks.
    fn empty_targets(
        &self,
        members: &BTreeMap<Utf8PathBuf, &Package>,
        whole: &BTreeSet<Utf8PathBuf>,
    ) -> Result<BTreeSet<TreePath>> {
        let members = members.iter().filter(|(folder, _)| !whole.contains(*folder));
        let targets = members.flat_map(|(_, package)| package.targets.iter().map(move |target| (target, package)));
        targets.map(|(target, package)| self.target_path(target, package)).collect()
    }

    /// The members, as far as each is compiled from what lies in its own folder. None where a target lies in the folder of
    /// another: what was made of it then looks as if it was the other's. None either where a command of `prebuild` may
    /// build one thing or another as the sources say.
    fn local_packages(&self, members: &BTreeMap<Utf8PathBuf, &Package>, options: &Options) -> Vec<LocalPackage> {
        let root = &self.root.path;
        let owner = |path: &Utf8Path| {
            let mut above = path.strip_prefix(root).ok()?.ancestors().skip(1);
            above.find_map(|folder| members.get_key_value(folder).map(|(folder, _)| folder))
        };
        let is_own = |(folder, package): (&Utf8PathBuf, &&Package)| {
            package.targets.iter().all(|target| owner(&target.src_path) == Some(folder))
        };
        if !members.iter().all(is_own) || !options.prebuild.iter().flatten().all(|command| only_compiles(command)) {
            return Vec::new();
        }
        let needs = |package: &Package| {
            let needed = compiled_from(package, root).filter_map(|folder| members.get(folder));
            needed.map(|package| package.name.to_string()).collect()
        };
        // Of one line: the paths are among the source files.
        let targets = |package: &Package| {
            let targets = package.targets.iter();
            let told = targets.map(|target| format!("{:?} {} {}", target.kind, target.name, target.src_path));
            told.collect::<Vec<_>>().join(", ")
        };
        let package = |(folder, package): (&Utf8PathBuf, &&Package)| LocalPackage {
            name: package.name.to_string(),
            folder: folder.clone(),
            needs: needs(package),
            targets: targets(package),
        };
        members.iter().map(package).collect()
    }

    fn programs(&self) -> Programs<'_> {
        Programs {
            workspace: self.name(),
            all: binaries_of(self.members()),
            usual: binaries_of(self.default_members()),
            default_run: self.root_package().and_then(|package| package.default_run.as_deref()),
        }
    }
}

impl Kind for Workspace {
    fn kind(&self) -> ProjectKind {
        ProjectKind::Cargo
    }

    fn root(&self) -> &Utf8Path {
        &self.metadata.workspace_root
    }

    /// The settings in the metadata tables of the root manifest.
    fn configured(&self, terminal: &Terminal) -> Result<Settings> {
        let package = match self.root_package() {
            Some(package) => Settings::from_metadata(&package.metadata, "package.metadata", terminal)?,
            None => Settings::default(),
        };
        let workspace = Settings::from_metadata(&self.metadata.workspace_metadata, "workspace.metadata", terminal)?;
        let settings = package.over(workspace);
        match settings.kind {
            None | Some(ProjectKind::Cargo) => Ok(settings),
            Some(kind) => Err(Error::usage(format!("`{}/Cargo.toml` gives the kind `{kind}`", self.root()))
                .hint(format!("say it in `{CONFIG_FILE}`, or with `--kind {kind}`"))),
        }
    }

    fn read(
        &self,
        options: &Options,
        rust_of_image: RustOfImage<'_>,
        terminal: &Terminal,
        interrupt: &Interrupt,
    ) -> Result<Project> {
        let (root, selection) = (&self.root.path, self.selection(options));
        let mut sources = source_files(root, &selection, decides_about_dependencies, terminal, interrupt)?;
        warn_of_secrets(sources.iter().map(|file| &*file.path), options, terminal)?;
        self.warn_of_files_above(terminal);
        let manifests = manifest::local_manifests(&sources)?;
        let members = self.members_by_folder()?;
        let configuration = Configuration::read(&self.root, &sources, &selection, interrupt)?;
        let target = self.target_folder(&configuration, options)?;
        self.refuse_incomplete_sources(&sources, &members, &selection, interrupt)?;
        let whole = self.whole_packages(&members, &manifests, &configuration)?;
        let toolchain = Toolchain::of(&sources, &self.root)?;
        if let Some(state) = self.wrong_with_lock_file(&sources, &manifests, &whole, &configuration)? {
            self.lock(&mut sources, state, || toolchain.version().or_else(rust_of_image), terminal, interrupt)?;
        }
        let inputs = dependency_inputs(&self.root, &sources, &manifests, &members, &whole, &configuration, options)?;
        let skeleton =
            skeleton(self.empty_targets(&members, &whole)?, &members, &whole, &inputs, configuration.has_wrapper());
        let programs = self.programs();
        let binaries = Members {
            root: &self.root,
            sources: &sources,
            manifests: &manifests,
            by_folder: &members,
            inputs: &inputs,
        };
        let binaries = binaries.binaries(&programs, options, interrupt)?;
        let DependencyInputs { locked, system, .. } = inputs;
        let members_in_dependencies = members.iter().filter(|(folder, _)| whole.contains(*folder));
        let wanted_rust = toolchain.numbered_channel().map(str::to_owned);
        let marks = marks(wanted_rust.as_deref(), options.auditable);
        let (version, version_of) = self.version(options, manifests.get(&self.root.workspace))?;
        let template = TemplateContext::new(&programs, options, toolchain, target, &self.root, &configuration)?;
        let template = Template::cargo(&template);
        Ok(Project {
            kind: ProjectKind::Cargo,
            root: root.to_owned(),
            name: self.name().to_owned(),
            version,
            version_of,
            wanted_rust,
            default_repository: local_repository(self.name()),
            build_folders: self.build_folders(),
            binaries,
            packages: self.local_packages(&members, options),
            assets: staged_sources(root, assets(options, &sources, interrupt)?),
            code: staged_sources(root, sources),
            deps: locked.iter().cloned().chain(skeleton).chain(marks).collect(),
            locked,
            system,
            hashed: template.hashed_blocks(&options.pinned_base_image().to_string())?,
            dates: FileDates::Constant,
            has_deps_stage: true,
            members_in_dependencies: members_in_dependencies.map(|(_, package)| package.name.to_string()).collect(),
            dependency_args: Vec::new(),
            tiers: template.tiers(true, false)?,
            template,
            steps: Steps::CARGO,
            original: None,
            config_sh: None,
        })
    }
}

/// Refuses what Cargo and rustup would wait for, in the folder that they start from and in those above it.
fn refuse_endless_files(call: &CargoCall) -> Result<()> {
    let manifest = call.manifest_path.as_deref().and_then(Utf8Path::parent);
    let start = paths::resolved(&here()?.join(manifest.or(call.folder.as_deref()).unwrap_or(Utf8Path::new(""))));
    let names = CARGO_CONFIG_FILES.iter().chain(&TOOLCHAIN_FILES).chain(&[MANIFEST, LOCK_FILE]);
    let mut files = names.flat_map(|name| start.ancestors().map(move |folder| folder.join(name)));
    files.try_for_each(|file| refuse_endless(&file))
}

/// The member that stands for a workspace without a root package: the one with the workspace's name, else the only one
/// with a program. Also tells which of both it is.
fn main_member<'a>(members: &[&'a Package], workspace: &str) -> Option<(&'a Package, &'static str)> {
    let is_program = |package: &&&Package| package.targets.iter().any(|target| target.kind.contains(&TargetKind::Bin));
    let programs: Vec<&&Package> = members.iter().filter(is_program).collect();
    let named = members.iter().find(|package| *package.name == workspace);
    let named = named.map(|package| (*package, "the member with the name of the workspace's folder"));
    let only = programs.first().filter(|_| programs.len() == 1);
    named.or_else(|| only.map(|package| (**package, "the only member with a program")))
}

/// Whether a command of Cargo compiles the targets that it names, and does nothing else.
fn only_compiles(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| word.starts_with(['+', '-']));
    let is_plain = |character: char| character.is_ascii_alphanumeric() || " -_+=.,:/@'\"".contains(character);
    words.next().is_some_and(|word| {
        ["build", "b", "test", "t", "check", "c", "clippy", "bench", "doc", "rustc"].contains(&word)
    }) && command.chars().all(is_plain)
}

/// The source files that a slim image gets beside its binaries.
fn assets(options: &Options, sources: &[SourceFile], interrupt: &Interrupt) -> Result<Vec<SourceFile>> {
    let patterns = options.slim.as_ref().map_or(&[][..], |slim| &slim.assets);
    let is_selected = selector(sources, patterns, "assets", interrupt)?;
    Ok(sources.iter().filter(|file| is_selected(file)).cloned().collect())
}

fn decides_about_dependencies(path: &TreePath) -> bool {
    let mut names = [MANIFEST, LOCK_FILE].into_iter().chain(TOOLCHAIN_FILES).chain(CARGO_CONFIG_FILES);
    names.any(|name| path.is_named(name))
}
