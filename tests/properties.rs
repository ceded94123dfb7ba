//! What holds for every tree: equal trees have equal names and others have others, what is staged is what is in the
//! tree, and nothing outside of the build folder changes. `PROPTEST_CASES` sets the number of trees.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use filetime::FileTime;
use inotify::{Inotify, WatchMask};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use runtime_image::build_folder::BuildFolder;
use runtime_image::config::settings::Settings;
use runtime_image::config::values::{ProjectKind, Version};
use runtime_image::labels::ImageLabels;
use runtime_image::process::Interrupt;
use runtime_image::project::find::Found;
use runtime_image::system::cargo::CargoCall;
use runtime_image::term::Terminal;
use runtime_image::{BuildFromImageType, Result};
use tempfile::TempDir;

const GITIGNORE: &str = ".gitignore";
const OWN_IGNORE: &str = ".runtime-image-ignore";
const OWN_PREFIX: &str = ".runtime-image-";

/// What is at a path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { content: String, executable: bool },
    Link(String),
    Folder,
}

/// Entries by path. Folders above entries are not listed.
type Tree = BTreeMap<String, Entry>;

/// Tests as many values as `PROPTEST_CASES` says, or `cases`.
fn check<S: Strategy>(cases: u32, values: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { cases };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(values, test) {
        panic!("{error}");
    }
}

/// Says how many were not refused.
#[allow(clippy::print_stdout, reason = "`cargo test -- --nocapture` shows it")]
fn show(what: &str, staged: u32) {
    println!("{what}: {staged} were staged, and the others refused");
}

fn any_name() -> impl Strategy<Value = &'static str> {
    #[rustfmt::skip]
    const NAMES: &[&str] = &[
        "a", "b", "d", "k", "A", "a b", " ", "a ", "-x", "--", ".hidden", "é", "e\u{301}", "new\nline", "tab\t",
        "\\", "a\\b", "*", "[a]", "!a", "#a", "...", "target", "code", "deps", "steps", "Dockerfile", "config.sh",
        ".dockerignore", ".ignore", ".runtime-image-x", ".runtime-image-context.lock", "a.log", ".env",
        "runtime-image.tom", "\u{202e}",
    ];
    prop_oneof![3 => select(&NAMES[..4]), 1 => select(&["Dockerfile", "code"][..]), 3 => select(NAMES)]
}

fn any_path() -> impl Strategy<Value = String> {
    let ignore_file = prop_oneof![Just(GITIGNORE), Just(OWN_IGNORE)];
    let name = prop_oneof![9 => any_name(), 1 => ignore_file];
    (vec(any_name(), 0..3), name).prop_map(|(mut folders, name)| {
        folders.push(name);
        folders.join("/")
    })
}

fn any_target() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const TARGETS: &[&str] = &[
        "a", "./b", "../a", "../d", "..", ".", "k", "k/a", "k/..", "k/../..", "k/a/../../b", "d/../a", "../../a",
        "../precious.txt", "../beside", "../demo/a", "/", "/no/such/file", "nothing", "nothing/../../x",
        "a/nothing", "code", "d/k/../../precious.txt",
    ];
    select(TARGETS).prop_map(str::to_owned)
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let content = select(&["", "x", "y", "xy", "\0", "x\r\n", "FROM a\n", "é"][..]).prop_map(str::to_owned);
    let file = (content, any::<bool>()).prop_map(|(content, executable)| Entry::File { content, executable });
    prop_oneof![6 => file, 2 => any_target().prop_map(Entry::Link), 1 => Just(Entry::Folder)]
}

/// Adds an entry where it does not contradict another. An ignore file gets lines that the model understands.
fn add(tree: &mut Tree, path: &str, entry: Entry) {
    let path_in = |folder: &str, path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let entry = match (path.rsplit('/').next().unwrap(), entry) {
        (GITIGNORE | OWN_IGNORE, Entry::File { content, executable }) => {
            let line = ["a\n", "b/\n", "/d\n", "# a\n"][content.len() % 4];
            Entry::File { content: line.to_owned(), executable }
        }
        (GITIGNORE | OWN_IGNORE, _) => Entry::File { content: "k\n/a\n".to_owned(), executable: false },
        (_, entry) => entry,
    };
    let contradicts = |(other, at): (&String, &Entry)| {
        other == path || path_in(path, other) || (path_in(other, path) && *at != Entry::Folder)
    };
    if !tree.iter().any(contradicts) {
        tree.insert(path.to_owned(), entry);
    }
}

fn any_tree(size: std::ops::Range<usize>) -> impl Strategy<Value = Tree> {
    vec((any_path(), any_entry()), size).prop_map(|entries| {
        let mut tree = Tree::new();
        entries.into_iter().for_each(|(path, entry)| add(&mut tree, &path, entry));
        tree
    })
}

#[derive(Debug, Clone)]
enum Edit {
    Content(Index, String),
    Lengthless(Index),
    Mode(Index),
    Rename(Index, String),
    Retarget(Index, String),
    Swap(Index, Index),
    Delete(Index),
    Add(String, Entry),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let index = any::<Index>;
    prop_oneof![
        (index(), select(&["", "x", "z"][..])).prop_map(|(at, text)| Edit::Content(at, text.to_owned())),
        index().prop_map(Edit::Lengthless),
        index().prop_map(Edit::Mode),
        (index(), any_path()).prop_map(|(at, path)| Edit::Rename(at, path)),
        (index(), any_target()).prop_map(|(at, target)| Edit::Retarget(at, target)),
        (index(), index()).prop_map(|(one, other)| Edit::Swap(one, other)),
        index().prop_map(Edit::Delete),
        (any_path(), any_entry()).prop_map(|(path, entry)| Edit::Add(path, entry)),
    ]
}

fn edited(tree: &Tree, edit: Edit) -> Tree {
    let mut tree = tree.clone();
    if tree.is_empty() {
        return tree;
    }
    let at = |tree: &Tree, index: Index| tree.keys().nth(index.index(tree.len())).unwrap().clone();
    let is_ignore_file = |path: &str| path.ends_with(GITIGNORE) || path.ends_with(OWN_IGNORE);
    let mut change = |index: Index, change: &dyn Fn(&mut Entry)| {
        let path = at(&tree, index);
        if !is_ignore_file(&path) {
            change(tree.get_mut(&path).unwrap());
        }
    };
    match edit {
        Edit::Content(index, text) => change(index, &|entry| {
            if let Entry::File { content, .. } = entry {
                content.clone_from(&text);
            }
        }),
        Edit::Lengthless(index) => change(index, &|entry| {
            if let Entry::File { content, .. } = entry {
                *content = content.replace('x', "w").replace('y', "x");
            }
        }),
        Edit::Mode(index) => change(index, &|entry| {
            if let Entry::File { executable, .. } = entry {
                *executable = !*executable;
            }
        }),
        Edit::Retarget(index, to) => change(index, &|entry| {
            if let Entry::Link(target) = entry {
                target.clone_from(&to);
            }
        }),
        Edit::Rename(index, path) => {
            let entry = tree.remove(&at(&tree, index)).unwrap();
            add(&mut tree, &path, entry);
        }
        Edit::Swap(one, other) => {
            let [one, other] = [one, other].map(|index| at(&tree, index));
            let is_fixed = |path: &String| is_ignore_file(path) || tree[path] == Entry::Folder;
            if !is_fixed(&one) && !is_fixed(&other) {
                let [first, second] = [tree[&one].clone(), tree[&other].clone()];
                tree.insert(one, second);
                tree.insert(other, first);
            }
        }
        Edit::Delete(index) => drop(tree.remove(&at(&tree, index))),
        Edit::Add(path, entry) => add(&mut tree, &path, entry),
    }
    tree
}

/// Whether a line of the ignore file in `folder` names `path`, an entry below, or a folder above it.
fn is_ignored_by(folder: &str, lines: &str, path: &str) -> bool {
    let Some(below) = (if folder.is_empty() { Some(path) } else { path.strip_prefix(&format!("{folder}/")) }) else {
        return false;
    };
    let names: Vec<&str> = below.split('/').collect();
    lines.lines().filter(|line| !line.starts_with('#')).any(|line| {
        match (line.strip_prefix('/'), line.strip_suffix('/')) {
            (Some(name), _) => names[0] == name,
            (_, Some(name)) => names[..names.len() - 1].contains(&name),
            _ => names.contains(&line),
        }
    })
}

fn is_ignored_by_gits_files(tree: &Tree, path: &str) -> bool {
    tree.iter().any(|(file, entry)| match entry {
        Entry::File { content, .. } if file == GITIGNORE => is_ignored_by("", content, path),
        Entry::File { content, .. } => {
            let folder = file.strip_suffix(GITIGNORE).and_then(|folder| folder.strip_suffix('/'));
            // A file in an ignored folder is not looked for.
            folder.is_some_and(|folder| is_ignored_by(folder, content, path))
        }
        _ => false,
    })
}

/// What of a tree is in an image: the tracked files, and the others that nothing ignores.
fn counted(tree: &Tree, tracked: &BTreeSet<String>) -> Tree {
    let own_lines = match tree.get(OWN_IGNORE) {
        Some(Entry::File { content, .. }) => content.clone(),
        _ => String::new(),
    };
    let is_of_this_tool = |path: &str| path.split('/').any(|name| name.starts_with(OWN_PREFIX) && name != OWN_IGNORE);
    let counts = |(path, entry): &(&String, &Entry)| {
        **entry != Entry::Folder
            && !is_ignored_by("", &own_lines, path)
            && (tracked.contains(*path) || (!is_ignored_by_gits_files(tree, path) && !is_of_this_tool(path)))
    };
    tree.iter().filter(counts).map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

/// Where a path of a tree leads; nothing where it leads out. What is not there is told by its names.
fn end_of(tree: &Tree, path: &str, links: &mut u8) -> Option<Vec<String>> {
    let mut at: Vec<String> = Vec::new();
    let mut waiting: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    if path.starts_with('/') {
        return None;
    }
    while let Some(name) = waiting.pop() {
        match name.as_str() {
            "" | "." => {}
            ".." => drop(at.pop()?),
            _ => {
                at.push(name);
                if let Some(Entry::Link(target)) = tree.get(&at.join("/")) {
                    *links = links.checked_sub(1)?;
                    if target.starts_with('/') {
                        return None;
                    }
                    at.pop();
                    waiting.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
    }
    Some(at)
}

/// Whether a link leads out of the tree, as it is written or as it is followed.
fn leads_out(tree: &Tree, path: &str, target: &str) -> bool {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let written = format!("{folder}/{target}");
    let as_written = || end_of(&Tree::new(), written.trim_start_matches('/'), &mut 0).is_none();
    let mut links = 40;
    target.starts_with('/') || as_written() || (end_of(tree, path, &mut links).is_none() && links > 0)
}

/// A project in a folder with other files beside it, and the place of a build folder elsewhere.
struct Place {
    folder: TempDir,
    elsewhere: TempDir,
}

/// What differs between two places that hold the same.
#[derive(Debug, Clone)]
struct Circumstances {
    backwards: bool,
    further_mode: u32,
    date: i64,
}

fn any_circumstances() -> impl Strategy<Value = Circumstances> {
    (any::<bool>(), select(&[0o000, 0o044, 0o066][..]), select(&[0_i64, 1, 2, 1_700_000_000, 4_000_000_000][..]))
        .prop_map(|(backwards, further_mode, date)| Circumstances { backwards, further_mode, date })
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), elsewhere: tempfile::tempdir().unwrap() };
        fs::create_dir_all(place.root()).unwrap();
        fs::create_dir_all(place.beside().join("beside")).unwrap();
        fs::write(place.beside().join("precious.txt"), "precious").unwrap();
        fs::write(place.beside().join("beside/file"), "precious").unwrap();
        place
    }

    fn beside(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    fn root(&self) -> Utf8PathBuf {
        self.beside().join("demo")
    }

    fn build_folder(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.elsewhere.path()).unwrap().join("context")
    }

    fn write(&self, tree: &Tree, how: &Circumstances) {
        let root = self.root();
        let mut entries: Vec<_> = tree.iter().collect();
        if how.backwards {
            entries.reverse();
        }
        for (path, entry) in entries {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match entry {
                Entry::Folder => fs::create_dir_all(&path).unwrap(),
                Entry::Link(target) => symlink(target, &path).unwrap(),
                Entry::File { content, executable } => {
                    fs::write(&path, content).unwrap();
                    let mode = if *executable {
                        0o700 | how.further_mode | how.further_mode >> 2
                    } else {
                        0o600 | how.further_mode
                    };
                    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                }
            }
        }
        for path in everything_below(root.as_std_path()).into_iter().rev() {
            let date = FileTime::from_unix_time(how.date, 0);
            filetime::set_symlink_file_times(root.as_std_path().join(path), date, date).unwrap();
        }
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command
            .args(["-c", "core.excludesFile=", "-c", "core.autocrlf=false"])
            .args(arguments)
            .current_dir(self.root());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The three tags and what is staged, or why the project is refused. Nothing that was there before may change.
    fn stage(&self, kind: ProjectKind) -> Result<([String; 3], Tree)> {
        let before = snapshot(self.beside().as_std_path());
        let mut watch = watched(self.beside().as_std_path());
        let result = staged(&self.root(), kind, &self.build_folder());
        let mut buffer = [0; 4096];
        if let Ok(events) = watch.read_events(&mut buffer) {
            let seen: Vec<_> = events.map(|event| format!("{:?} {:?}", event.mask, event.name)).collect();
            assert!(seen.is_empty(), "something happened outside of the build folder: {seen:?}");
        }
        assert_eq!(snapshot(self.beside().as_std_path()), before);
        if result.is_err() {
            let left: Vec<_> = fs::read_dir(self.elsewhere.path()).unwrap().collect();
            assert!(left.is_empty(), "a refused project left {left:?}");
        }
        Ok((result?, read_tree(&self.build_folder().join("code"))))
    }
}

/// Makes a build folder, and gives the tags.
fn staged(root: &Utf8Path, kind: ProjectKind, build_folder: &Utf8Path) -> Result<[String; 3]> {
    let (terminal, interrupt) = (Terminal::silent(), Interrupt::default());
    let call = CargoCall { folder: Some(root.to_owned()), offline: true, ..CargoCall::default() };
    let found = Found::find(Some(kind), call, &interrupt)?;
    let settings = Settings {
        base_image: Some("debian:bookworm".to_owned()),
        project_version: (kind == ProjectKind::Custom).then(|| Version::from("1")),
        build_folder: Some(build_folder.to_owned()),
        ..Settings::default()
    };
    let options = found.options(settings, Vec::new(), &terminal)?;
    let project = found.read(&options, &|| None, &terminal, &interrupt)?;
    let tags = project.tags(&options, &project.hashes(&options))?;
    let image = options.base_image.to_string();
    let dockerfile = project.template.render(BuildFromImageType::Scratch, &image, &ImageLabels::default())?;
    let steps = &project.steps.staged();
    BuildFolder {
        dockerfile,
        steps,
        code: &project.code,
        deps: &project.deps,
        assets: &[],
        seed: &[],
        inputs: &[],
        config_sh: None,
    }
    .stage(build_folder, &interrupt)?;
    Ok([tags.source, tags.lock, tags.versioned].map(|name| name.to_string()))
}

/// All paths below a folder, each behind the folder it is in.
fn everything_below(root: &Path) -> Vec<std::path::PathBuf> {
    let walk = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name();
    walk.into_iter().map(|entry| entry.unwrap().path().strip_prefix(root).unwrap().to_owned()).collect()
}

/// Everything below a folder, with dates, modes and contents.
fn snapshot(root: &Path) -> Vec<String> {
    let of = |path: std::path::PathBuf| {
        let full = root.join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let content = if metadata.is_file() { fs::read(&full).unwrap() } else { Vec::new() };
        let target = fs::read_link(&full).ok();
        let (mode, seconds, nanoseconds) = (metadata.mode(), metadata.mtime(), metadata.mtime_nsec());
        format!("{} {mode:o} {seconds} {nanoseconds} {target:?} {content:?}", path.display())
    };
    everything_below(root).into_iter().map(of).collect()
}

fn watched(root: &Path) -> Inotify {
    let inotify = Inotify::init().unwrap();
    let changes = WatchMask::CREATE | WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::MOVE | WatchMask::DELETE;
    let folders = everything_below(root).into_iter().map(|path| root.join(path));
    for folder in folders.filter(|path| !path.is_symlink() && path.is_dir()).chain([root.to_owned()]) {
        inotify.watches().add(&folder, changes).unwrap();
    }
    inotify
}

/// The files and links below a folder.
fn read_tree(root: &Utf8Path) -> Tree {
    let mut tree = Tree::new();
    for path in everything_below(root.as_std_path()) {
        let full = root.as_std_path().join(&path);
        let metadata = fs::symlink_metadata(&full).unwrap();
        let entry = if metadata.is_symlink() {
            Entry::Link(fs::read_link(&full).unwrap().into_os_string().into_string().unwrap())
        } else if metadata.is_file() {
            let mode = metadata.mode() & 0o7777;
            assert!(mode == 0o644 || mode == 0o755, "{} has the mode {mode:o}", path.display());
            Entry::File { content: fs::read_to_string(&full).unwrap(), executable: mode == 0o755 }
        } else {
            continue;
        };
        tree.insert(path.into_os_string().into_string().unwrap(), entry);
    }
    tree
}

/// Stages a tree, and compares what is staged with the model. Gives the tags, or nothing where the tree is refused.
fn staged_as_modelled(place: &Place, tree: &Tree, tracked: &BTreeSet<String>) -> Option<[String; 3]> {
    let expected = counted(tree, tracked);
    let refused = expected.is_empty()
        || expected.iter().any(|(path, entry)| matches!(entry, Entry::Link(target) if leads_out(tree, path, target)));
    match place.stage(ProjectKind::Custom) {
        Ok((tags, staged)) => {
            assert!(!refused, "it is not refused");
            assert_eq!(staged, expected, "other files are staged");
            Some(tags)
        }
        Err(error) => {
            assert!(refused, "it is refused: {error}");
            None
        }
    }
}

#[test]
fn a_tree_has_the_same_name_wherever_and_however_it_was_made_and_another_after_what_counts_changed() {
    let inputs = (any_tree(1..10), any_circumstances(), any_circumstances(), vec(any_edit(), 1..3));
    let count = Cell::new(0);
    check(150, &inputs, |(tree, one, other, edits)| {
        let first = Place::new();
        first.write(&tree, &one);
        let tags = staged_as_modelled(&first, &tree, &BTreeSet::new());

        let second = Place::new();
        second.write(&tree, &other);
        prop_assert_eq!(&staged_as_modelled(&second, &tree, &BTreeSet::new()), &tags);

        let changed = edits.into_iter().fold(tree.clone(), |tree, edit| edited(&tree, edit));
        let third = Place::new();
        third.write(&changed, &one);
        let changed_tags = staged_as_modelled(&third, &changed, &BTreeSet::new());
        count.set(count.get() + u32::from(tags.is_some()));
        if let (Some([source, lock, versioned]), Some([changed_source, changed_lock, changed_versioned])) =
            (tags, changed_tags)
        {
            let same = counted(&tree, &BTreeSet::new()) == counted(&changed, &BTreeSet::new());
            prop_assert_eq!(source == changed_source, same);
            prop_assert_eq!((lock, versioned), (changed_lock, changed_versioned));
        }
        Ok(())
    });
    show("trees", count.get());
}

#[test]
fn what_git_tracks_is_in_the_image_and_so_is_what_nothing_ignores() {
    let inputs = (any_tree(1..8), any_circumstances(), vec((any_path(), any_entry()), 0..5));
    check(12, &inputs, |(mut tree, how, untracked)| {
        let place = Place::new();
        place.write(&tree, &how);
        place.git(&["init", "-q"]);
        place.git(&["add", "-A"]);
        let is_tracked = |path: &&String| tree[*path] != Entry::Folder && !is_ignored_by_gits_files(&tree, path);
        let tracked: BTreeSet<String> = tree.keys().filter(is_tracked).cloned().collect();
        let mut later = tree.clone();
        untracked.into_iter().for_each(|(path, entry)| add(&mut later, &path, entry));
        let new: Tree = later
            .iter()
            .filter(|(path, _)| !tree.contains_key(*path))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        place.write(&new, &how);
        tree.extend(new);
        staged_as_modelled(&place, &tree, &tracked);
        Ok(())
    });
}

/// A manifest of a package with these targets and dependencies.
fn manifest(name: &str, targets: &[(&str, String)], dependencies: &[String], members: &[String]) -> String {
    let mut parts = vec![format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")];
    parts.extend(targets.iter().enumerate().map(|(index, (kind, path))| match *kind {
        "lib" => format!("[lib]\npath = \"{path}\"\n"),
        _ => format!("[[{kind}]]\nname = \"t{index}\"\npath = \"{path}\"\n"),
    }));
    parts.extend(dependencies.iter().map(|path| {
        let number = path.chars().last().filter(char::is_ascii_digit).unwrap_or('2');
        format!("[dependencies.p{number}]\npath = \"{path}\"\n")
    }));
    let text = parts.concat();
    if members.is_empty() { text } else { format!("{text}[workspace]\nmembers = {members:?}\n") }
}

#[test]
fn a_workspace_of_any_paths_is_refused_or_staged_and_nothing_outside_changes() {
    #[rustfmt::skip]
    const PATHS: &[&str] = &[
        "src/main.rs", "./src/x.rs", "src/../x.rs", "../precious.rs", "src/../../precious.rs", "BESIDE/precious.rs",
        "-x", "l/main.rs", "l/../x.rs", "up/precious.rs", "p1/src/lib.rs", "file-link.rs", "../demo/x.rs",
        "target/x.rs", ".runtime-image-x.rs", "BESIDE/demo/x.rs",
    ];
    #[rustfmt::skip]
    const FOLDERS: &[&str] = &[
        "p1", "./p2", "p1/../p2", "../p3", "l", "BESIDE/p3", "up/p3", "BESIDE/demo/p1", "pl", "p*", "../demo/p2",
        "target/p1", "p2/-p",
    ];
    let target = (select(&["bin", "example", "test", "bench", "lib"][..]), select(PATHS).prop_map(str::to_owned));
    let dependencies = vec(select(FOLDERS).prop_map(str::to_owned), 0..2);
    let members = option::of(vec(select(FOLDERS).prop_map(str::to_owned), 1..3)).prop_map(Option::unwrap_or_default);
    let patch = option::weighted(0.2, select(FOLDERS));
    let count = Cell::new(0);
    check(10, &(vec(target, 0..3), dependencies, members, patch), |(targets, dependencies, members, patch)| {
        let place = Place::new();
        let (root, beside) = (place.root(), place.beside());
        let here = |path: &str| path.replace("BESIDE", beside.as_str());
        let targets: Vec<_> = targets.iter().map(|(kind, path)| (*kind, here(path))).collect();
        let dependencies: Vec<_> = dependencies.iter().map(|path| here(path)).collect();
        let members: Vec<_> = members.iter().map(|path| here(path)).collect();
        let patch = patch.map(|path| format!("[patch.crates-io.p1]\npath = \"{}\"\n", here(path)));
        let text = manifest("app", &targets, &dependencies, &members) + &patch.unwrap_or_default();
        for (folder, name) in [("p1", "p1"), ("p2", "p2"), ("p2/-p", "p4"), ("../p3", "p3"), ("target/p1", "p1")] {
            fs::create_dir_all(root.join(folder).join("src")).unwrap();
            fs::write(root.join(folder).join("Cargo.toml"), manifest(name, &[], &[], &[])).unwrap();
            fs::write(root.join(folder).join("src/lib.rs"), "// precious\n").unwrap();
        }
        fs::create_dir(root.join("src")).unwrap();
        for file in ["src/main.rs", "src/x.rs", "x.rs", "-x", "../precious.rs", "target/x.rs", ".runtime-image-x.rs"] {
            fs::write(root.join(file), "fn main() {}\n").unwrap();
        }
        if text.contains("\"up/") {
            symlink("..", root.join("up")).unwrap();
        }
        fs::write(root.join("Cargo.toml"), text).unwrap();
        let links = [("src", "l"), ("p2", "pl"), ("x.rs", "file-link.rs")];
        links.iter().for_each(|(to, name)| symlink(to, root.join(name)).unwrap());
        if let Ok((_, staged)) = place.stage(ProjectKind::Cargo) {
            count.set(count.get() + 1);
            for (path, entry) in staged.iter().filter(|(path, _)| *path != "Cargo.lock") {
                match entry {
                    Entry::File { content, .. } => {
                        prop_assert_eq!(content, &fs::read_to_string(root.join(path)).unwrap());
                    }
                    Entry::Link(target) => prop_assert!(links.contains(&(&**target, &**path)), "{} is staged", path),
                    Entry::Folder => {}
                }
            }
            prop_assert!(targets.iter().all(|(_, path)| !path.contains("precious")), "a target outside was staged");
        }
        Ok(())
    });
    show("workspaces", count.get());
}
