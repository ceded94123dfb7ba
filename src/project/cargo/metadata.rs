//! What `cargo metadata` says of a workspace. The answer is kept, with what the file system says of all that Cargo read
//! or looked for; while that stays the same Cargo is not asked again. Part of the step from options to project.
//!
//! Too many files count rather than too few. Where it is not sure what Cargo reads, nothing is kept.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::{Metadata, MetadataCommand};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::hash::{content_digest, hex};
use crate::project::cargo::manifest::MANIFEST;
use crate::project::cargo::root::{CARGO_CONFIG_FILES, TOOLCHAIN_FILES};
use crate::system::cargo::CargoCall;
use crate::system::command::Capture;
use crate::system::environment::variable;
use crate::system::interrupt::Interrupt;
use crate::system::kept::Kept;
use crate::system::paths::here;
use crate::system::reading;
use crate::system::stat::Stat;

/// The folders of a package in which Cargo finds targets: files, and folders that hold a `main.rs`.
const TARGET_FOLDERS: [&str; 4] = ["src/bin", "examples", "tests", "benches"];

/// Where globs lead to more folders than these, Cargo is asked.
const MOST_FOLDERS: usize = 10_000;

/// What Cargo says of the workspace; its dependencies are not resolved.
///
/// # Errors
/// Cargo's own, when there is no manifest or the manifest is wrong.
pub(super) fn metadata(call: &CargoCall, interrupt: &Interrupt) -> Result<Metadata> {
    let question = Question::new(call);
    if let Some(metadata) = question.as_ref().and_then(Question::kept_answer) {
        return Ok(metadata);
    }
    let before = question.as_ref().and_then(Question::surroundings);
    let started = SystemTime::now();
    let command = call.command(&["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.run(Capture::Both, interrupt)?;
    if !output.success {
        let error = Error::failed("Cargo cannot read the workspace").because(output.stderr.trim());
        return Err(if output.stderr.contains("could not find `Cargo.toml`") {
            error.hint("run inside a Cargo project, or name one with `--project-root` or `--manifest-path`")
        } else {
            error
        });
    }
    let metadata = MetadataCommand::parse(&output.stdout)
        .map_err(|error| Error::failed("cannot understand the output of `cargo metadata`").because(error))?;
    if let (Some(question), Some(before)) = (question, before) {
        question.keep(&before, &metadata, output.stdout, started);
    }
    Ok(metadata)
}

/// A file or folder, and what the file system says of it; nothing where there is none.
type State = (Utf8PathBuf, Option<Stat>);

/// An answer, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    /// What was asked, of which program, in which environment.
    asked: Vec<String>,
    /// All that Cargo read or looked for.
    states: Vec<State>,
    output: String,
}

/// A question to Cargo.
#[derive(Debug)]
struct Question {
    asked: Vec<String>,
    /// The program, or the proxy that chooses it.
    cargo: Utf8PathBuf,
    /// The folder in which it is asked.
    folder: Utf8PathBuf,
    manifest: Option<Utf8PathBuf>,
    kept: Kept,
}

impl Question {
    /// None where it cannot be told what the answer would depend on.
    fn new(call: &CargoCall) -> Option<Self> {
        let folder = call.folder.clone().or_else(|| here().ok())?;
        let manifest = call.manifest_path.clone();
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let cargo = Utf8PathBuf::try_from(which::which(program).ok()?).ok()?;
        let is_plain = |path: &Utf8Path| path.file_name() == Some(MANIFEST) && path.is_absolute();
        if !cargo.is_absolute() || !folder.is_absolute() || !manifest.as_deref().is_none_or(is_plain) {
            return None;
        }
        let mut asked = vec![format!("{call:?}"), folder.to_string(), cargo.to_string()];
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO") || name.starts_with("RUST") || ["HOME", "PATH"].contains(&&*name) {
                asked.push(format!("{name}={}", value.display()));
            }
        }
        asked.sort();
        let start = manifest.as_deref().and_then(Utf8Path::parent).unwrap_or(&folder);
        // The workspace's folder is one of these.
        let tree = start.ancestors().filter(|folder| folder.join(MANIFEST).exists()).last()?;
        // Started by `cargo`, this program asks another Cargo than by its own name where rustup stands before it.
        let place = hex(&content_digest(format!("{folder}\0{manifest:?}\0{cargo}").as_bytes()));
        let kept = Kept::of(tree, &format!("metadata-{}", &place[..16]))?;
        Some(Self { asked, cargo, folder, manifest, kept })
    }

    /// The answer of last time, if Cargo would give it again.
    fn kept_answer(&self) -> Option<Metadata> {
        let answer: Answer = postcard::from_bytes(&self.kept.read()?).ok()?;
        let now = SystemTime::now();
        let is_same = |(path, before): &State| {
            state(path).is_some_and(|state| state == *before) && before.is_none_or(|stat| stat.is_settled(now))
        };
        let is_current = answer.asked == self.asked && answer.states.iter().all(is_same);
        is_current.then(|| MetadataCommand::parse(&answer.output).ok()).flatten()
    }

    /// Keeps an answer, unless anything changed since Cargo was asked, or may have.
    fn keep(self, before: &[State], metadata: &Metadata, output: String, started: SystemTime) {
        if self.surroundings().is_none_or(|now| now != before) {
            return;
        }
        let Some(paths) = paths_of_members(metadata) else { return };
        let Some(members) = paths.iter().map(|path| Some((path.clone(), state(path)?))).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        let states: Vec<State> = before.iter().cloned().chain(members).collect();
        if states.iter().any(|(_, stat)| stat.is_some_and(|stat| !stat.is_settled(started))) {
            return;
        }
        let answer = Answer { asked: self.asked, states, output };
        if let Ok(bytes) = postcard::to_stdvec(&answer) {
            self.kept.write(|file| file.write_all(&bytes));
        }
    }

    /// What Cargo and rustup read before they know the workspace. None where it is not sure what that is.
    fn surroundings(&self) -> Option<Vec<State>> {
        let cargo_home = home_folder("CARGO_HOME", ".cargo")?;
        let mut paths = BTreeSet::from([self.cargo.clone()]);
        let mut configurations: Vec<Utf8PathBuf> = Vec::new();
        for folder in self.folder.ancestors() {
            configurations.extend(CARGO_CONFIG_FILES.map(|name| folder.join(name)));
            paths.insert(folder.join(MANIFEST));
            for file in TOOLCHAIN_FILES.map(|name| folder.join(name)) {
                // A toolchain by its path can be any program.
                if state(&file)?.is_some() && reading::text(&file).ok()?.contains("path") {
                    return None;
                }
                paths.insert(file);
            }
        }
        configurations.extend(["config.toml", "config"].map(|name| cargo_home.join(name)));
        let manifest = self.manifest.iter().flat_map(|manifest| manifest.ancestors().skip(1));
        paths.extend(manifest.map(|folder| folder.join(MANIFEST)));
        while let Some(file) = configurations.pop() {
            if paths.insert(file.clone()) && state(&file)?.is_some() {
                configurations.extend(included(&file)?);
            }
        }
        paths.extend(paths_of_program(&self.cargo)?);
        paths.into_iter().map(|path| state(&path).map(|stat| (path, stat))).collect()
    }
}

/// What the file system says of a file or folder, through links. The outer none: it does not say all.
#[allow(clippy::option_option, reason = "what is not there is an answer, and what cannot be asked is none")]
fn state(path: &Utf8Path) -> Option<Option<Stat>> {
    match fs::metadata(path) {
        Ok(metadata) => Stat::of(&metadata).map(Some),
        Err(error) if matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory) => Some(None),
        Err(_) => None,
    }
}

/// The folder that a variable names, or the usual one in the user's home folder.
fn home_folder(name: &str, usual: &str) -> Option<Utf8PathBuf> {
    let folder =
        variable(name).map(Utf8PathBuf::from).or_else(|| Some(Utf8PathBuf::from(variable("HOME")?).join(usual)));
    folder.filter(|folder| folder.is_absolute())
}

/// The files that a file of Cargo's configuration includes. None where that is not sure.
fn included(file: &Utf8Path) -> Option<Vec<Utf8PathBuf>> {
    let table: Table = toml::from_str(&reading::text(file).ok()?).ok()?;
    let folder = file.parent()?;
    let path = |value: &Value| Some(folder.join(value.as_str().or_else(|| value.get("path")?.as_str())?));
    match table.get("include") {
        None => Some(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(path).collect(),
        Some(value) => Some(vec![path(value)?]),
    }
}

/// What decides which Cargo the program is. None where that is not sure, as for a script.
fn paths_of_program(cargo: &Utf8Path) -> Option<Vec<Utf8PathBuf>> {
    let mut start = [0; 2];
    std::io::Read::read_exact(&mut reading::open(cargo).ok()?, &mut start).ok()?;
    if &start == b"#!" {
        return None;
    }
    let end = cargo.canonicalize_utf8().ok()?;
    if end.file_stem() != Some("rustup") && !cargo.with_file_name("rustup").exists() {
        return Some(Vec::new());
    }
    // The proxy chooses one of these toolchains.
    let rustup = home_folder("RUSTUP_HOME", ".rustup")?;
    let toolchains = rustup.join("toolchains");
    let mut paths = vec![rustup.join("settings.toml"), "/etc/rustup/settings.toml".into(), toolchains.clone()];
    for toolchain in toolchains.read_dir_utf8().ok()? {
        paths.push(toolchain.ok()?.path().join("bin/cargo"));
    }
    Some(paths)
}

/// What Cargo reads of a workspace whose surroundings it knows. None where it is not sure what that is.
fn paths_of_members(metadata: &Metadata) -> Option<BTreeSet<Utf8PathBuf>> {
    let root: &Utf8Path = &metadata.workspace_root;
    let mut paths = folders_of_globs(root)?;
    let mut folders = BTreeSet::from([root]);
    for package in &metadata.packages {
        let folder = package.manifest_path.parent()?;
        folders.insert(folder);
        // A dependency outside of the workspace may say that it is a member.
        folders.extend(package.dependencies.iter().filter_map(|dependency| dependency.path.as_deref()));
        paths.extend([folder.to_owned(), folder.join("src")]);
        for targets in TARGET_FOLDERS.map(|name| folder.join(name)) {
            paths.extend(folders_in(&targets)?);
            paths.insert(targets);
        }
    }
    // Cargo looks for the workspace of each in all folders above it.
    let mut known = BTreeSet::new();
    for folder in folders {
        for above in folder.ancestors().take_while(|above| known.insert(above.to_path_buf())) {
            paths.insert(above.join(MANIFEST));
        }
    }
    Some(paths)
}

/// The folders in a folder, if there is one. None where it cannot be read.
fn folders_in(folder: &Utf8Path) -> Option<Vec<Utf8PathBuf>> {
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory) => {
            return Some(Vec::new());
        }
        Err(_) => return None,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.ok()?.into_path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Some(folders)
}

/// The folders that Cargo looks through for members that the manifest in `root` gives by globs, and the manifests that
/// may be in them. None where that is not sure.
fn folders_of_globs(root: &Utf8Path) -> Option<BTreeSet<Utf8PathBuf>> {
    let manifest: Table = toml::from_str(&reading::text(&root.join(MANIFEST)).ok()?).ok()?;
    let workspace = manifest.get("workspace").and_then(Value::as_table);
    let lists =
        ["members", "default-members"].map(|key| workspace.and_then(|workspace| workspace.get(key)?.as_array()));
    let mut paths = BTreeSet::new();
    for pattern in lists.into_iter().flatten().flatten() {
        let pattern = pattern.as_str().filter(|pattern| !pattern.contains("**"))?;
        let mut folders = vec![root.to_owned()];
        for part in Utf8Path::new(pattern).components() {
            let is_glob = part.as_str().contains(['*', '?', '[']);
            let mut next = Vec::new();
            for folder in folders {
                if is_glob {
                    next.extend(folders_in(&folder)?);
                    paths.insert(folder);
                } else {
                    next.push(folder.join(part));
                }
            }
            folders = next;
        }
        paths.extend(folders.into_iter().map(|folder| folder.join(MANIFEST)));
        if paths.len() > MOST_FOLDERS {
            return None;
        }
    }
    Some(paths)
}
