//! What runs know of each other: a file that did not change is not read again, and Cargo is not asked again where nothing
//! changed that it reads. No change is missed. No test here needs an engine.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use filetime::FileTime;
use inotify::{Inotify, WatchMask};
use rstest::rstest;
use support::Project;

/// Files change again unseen for as long after they were written.
const SETTLING: Duration = Duration::from_millis(2_100);

/// A project of each kind, and a file of its sources.
const CUSTOM: (fn() -> Project, &str) = (Project::bare_custom, "app");
const CARGO: (fn() -> Project, &str) = (Project::hello, "hello/src/main.rs");
const OPENHANDS: (fn() -> Project, &str) = (Project::bare_openhands, "openhands/code.py");

/// A project with a source file that the index knows.
struct Known {
    project: Project,
    file: PathBuf,
    names: [String; 3],
}

impl Known {
    fn new((project, file): (fn() -> Project, &str)) -> Self {
        let project = project();
        project.write(file, "fn main() {}\n").write("openhands/beside", "beside");
        symlink(Path::new(file).file_name().unwrap(), project.root.join(file).with_file_name("link")).unwrap();
        fs::hard_link(project.root.join(file), project.root.join("../hard-link")).unwrap();
        project.write("../another", "fn mean() {}\n");
        let file = project.root.join(file);
        filetime::set_file_mtime(project.root.join("../another"), mtime(&file)).unwrap();
        sleep(SETTLING);
        let names = project.tags(&[]);
        Self { project, file, names }
    }

    fn index(&self) -> PathBuf {
        kept(&self.project, "index").unwrap()
    }

    fn changed(&self) {
        let names = self.project.tags(&[]);
        assert_eq!(names, names_read_anew(&self.project));
        assert_ne!(names[0], self.names[0]);
    }
}

/// The file in which this is kept.
fn kept(project: &Project, what: &str) -> Option<PathBuf> {
    let folder = project.caches.join("cargo-runtime-image/projects");
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with(what)).last()
}

/// The names as a run gives them that knows of no other.
fn names_read_anew(project: &Project) -> [String; 3] {
    let caches = tempfile::tempdir().unwrap();
    let output =
        project.command(&["tags", "--message-format=json"]).env("XDG_CACHE_HOME", caches.path()).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    ["source", "lock", "versioned"].map(|name| json["tags"][name].as_str().unwrap().to_owned())
}

fn mtime(file: &Path) -> FileTime {
    FileTime::from_last_modification_time(&fs::metadata(file).unwrap())
}

/// Gives the file at `path` a content of the same size, and its old time.
fn edit_unseen(path: &Path) {
    let time = mtime(path);
    fs::write(path, "fn mean() {}\n").unwrap();
    filetime::set_file_mtime(path, time).unwrap();
}

#[rstest]
#[case::in_its_place(|known: &Known| edit_unseen(&known.file))]
#[case::through_a_link(|known: &Known| edit_unseen(&known.file.with_file_name("link")))]
#[case::through_a_hard_link(|known: &Known| edit_unseen(&known.project.root.join("../hard-link")))]
#[case::another_file_in_its_place(|known: &Known| fs::rename(known.project.root.join("../another"), &known.file).unwrap())]
fn an_edit_that_keeps_size_and_time_is_noticed(
    #[case] edit: fn(&Known),
    #[values(CUSTOM, CARGO, OPENHANDS)] kind: (fn() -> Project, &str),
) {
    let known = Known::new(kind);
    edit(&known);
    known.changed();
}

#[test]
fn a_link_in_the_place_of_a_file_is_noticed() {
    let known = Known::new(CUSTOM);
    fs::rename(&known.file, known.project.root.join("another")).unwrap();
    symlink("another", &known.file).unwrap();
    known.changed();
}

#[rstest]
fn an_executable_bit_is_noticed(#[values(CUSTOM, CARGO)] kind: (fn() -> Project, &str)) {
    let known = Known::new(kind);
    let time = mtime(&known.file);
    fs::set_permissions(&known.file, fs::Permissions::from_mode(0o755)).unwrap();
    filetime::set_file_mtime(&known.file, time).unwrap();
    known.changed();
}

#[rstest]
fn edits_within_the_same_moment_as_a_run_are_noticed(
    #[values(CUSTOM, OPENHANDS)] (project, file): (fn() -> Project, &str),
) {
    let project = project();
    let mut before = None;
    for number in 10..30 {
        project.write(file, number.to_string());
        filetime::set_file_mtime(project.root.join(file), FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
        let names = Some(project.tags(&[]));
        assert_ne!(names, before, "edit {number} was not noticed");
        before = names;
    }
}

/// Whether a run opens the file.
fn is_opened(project: &Project, file: &Path) -> bool {
    let mut inotify = Inotify::init().unwrap();
    inotify.watches().add(file, WatchMask::OPEN).unwrap();
    project.tags(&[]);
    inotify.read_events(&mut [0; 4096]).is_ok_and(|mut events| events.next().is_some())
}

#[rstest]
fn a_file_that_did_not_change_is_not_opened_again(#[values(CUSTOM, CARGO, OPENHANDS)] kind: (fn() -> Project, &str)) {
    let known = Known::new(kind);
    assert!(!is_opened(&known.project, &known.file));
    assert_eq!(known.project.tags(&[]), known.names);
    edit_unseen(&known.file);
    assert!(is_opened(&known.project, &known.file));
}

#[rstest]
fn touched_files_keep_their_names_and_are_known_again_when_they_have_settled(
    #[values(CUSTOM, CARGO, OPENHANDS)] kind: (fn() -> Project, &str),
) {
    let known = Known::new(kind);
    filetime::set_file_mtime(&known.file, FileTime::from_unix_time(1_000_000_000, 0)).unwrap();
    assert_eq!(known.project.tags(&[]), known.names);
    sleep(SETTLING);
    assert_eq!(known.project.tags(&[]), known.names);
    assert!(!is_opened(&known.project, &known.file));
}

#[rstest]
fn an_index_is_written_only_where_it_changes(#[values(CUSTOM, CARGO, OPENHANDS)] kind: (fn() -> Project, &str)) {
    let known = Known::new(kind);
    let index = fs::metadata(known.index()).unwrap();
    assert_eq!(index.mode() & 0o777, 0o600);
    known.project.tags(&[]);
    assert_eq!(fs::metadata(known.index()).unwrap().ino(), index.ino());
    fs::remove_file(known.project.root.join("openhands/beside")).unwrap();
    known.project.tags(&[]);
    assert_ne!(fs::metadata(known.index()).unwrap().ino(), index.ino());
}

#[rstest]
#[case::broken(|index: &Path| {
    let mut bytes = fs::read(index).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(index, bytes).unwrap();
})]
#[case::truncated(|index: &Path| {
    let bytes = fs::read(index).unwrap();
    fs::write(index, &bytes[..bytes.len() / 2]).unwrap();
})]
#[case::of_another_version(|index: &Path| {
    let bytes = fs::read(index).unwrap();
    let text = bytes.iter().map(|byte| if *byte == b'1' { b'9' } else { *byte }).collect::<Vec<_>>();
    fs::write(index, text).unwrap();
})]
#[case::empty(|index: &Path| fs::write(index, "").unwrap())]
#[case::a_folder(|index: &Path| {
    fs::remove_file(index).unwrap();
    fs::create_dir(index).unwrap();
})]
#[case::a_fifo(|index: &Path| {
    fs::remove_file(index).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(index).status().unwrap().success());
})]
fn an_index_that_is_not_whole_counts_as_none(
    #[case] spoil: fn(&Path),
    #[values(CUSTOM, OPENHANDS)] kind: (fn() -> Project, &str),
) {
    let known = Known::new(kind);
    spoil(&known.index());
    let run = known.project.ok(&["tags"]);
    assert!(!run.stderr.contains("index"), "{}", run.stderr);
    assert_eq!(known.project.tags(&[]), known.names);
    edit_unseen(&known.file);
    known.changed();
}

#[test]
fn no_run_fails_where_nothing_can_be_kept() {
    let project = Project::bare_custom();
    for caches in ["/proc", "/dev/null", "", "relative"] {
        let output = project.command(&["tags"]).env("XDG_CACHE_HOME", caches).env("HOME", "/proc").output().unwrap();
        assert!(output.status.success(), "{caches:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!project.root.join("relative").exists());
}

#[test]
fn a_folder_of_caches_in_the_tree_is_not_believed() {
    let project = Project::bare_custom();
    sleep(SETTLING);
    let output = project.command(&["tags"]).env("XDG_CACHE_HOME", project.root.join("cache")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!project.root.join("cache").exists());
}

/// A workspace with a bit of all that `cargo metadata` tells of.
fn workspace() -> Project {
    let project = Project::empty();
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"crates/*\", \"app\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", package("app"))
        .write("app/src/main.rs", "fn main() {}\n")
        .write("app/src/bin/second/main.rs", "fn main() {}\n")
        .write("app/src/bin/third/part.rs", "")
        .write("app/examples/shown.rs", "fn main() {}\n")
        .write("app/tests/whole/main.rs", "")
        .write("crates/one/Cargo.toml", package("one"))
        .write("crates/one/src/lib.rs", "")
        .write("crates/other/Cargo.toml", package("other"))
        .write("crates/other/src/lib.rs", "")
        .write(".cargo/config.toml", "include = [\"more.toml\"]\n")
        .write(".cargo/more.toml", "[term]\nquiet = false\n");
    lock(&project, &["app", "one", "other"]);
    project.git_init();
    project
}

fn lock(project: &Project, names: &[&str]) {
    let packages = names.iter().map(|name| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n"));
    project.write("Cargo.lock", format!("version = 4\n{}", packages.collect::<String>()));
}

/// Lets a run keep what Cargo says, and gives the number of the file that holds it. Another number says that Cargo was
/// asked again.
fn asked(project: &Project) -> u64 {
    sleep(SETTLING);
    project.tags(&[]);
    fs::metadata(kept(project, "metadata").unwrap()).unwrap().ino()
}

#[test]
fn cargo_is_asked_once_where_nothing_changes() {
    let project = workspace();
    let before = asked(&project);
    for source in ["app/src/main.rs", "crates/one/src/lib.rs", "app/tests/whole/main.rs"] {
        project.write(source, "// Another text.\n");
    }
    assert_eq!(asked(&project), before);
}

/// As where rustup stands before Cargo: a program that `cargo` starts is told of the latter.
#[test]
fn what_two_cargos_say_is_kept_side_by_side() {
    let project = workspace();
    let other = project.root.parent().unwrap().join("cargo");
    symlink(env!("CARGO"), &other).unwrap();
    sleep(SETTLING);
    let run = |cargo: &Path| {
        assert!(project.command(&["tags"]).env("CARGO", cargo).output().unwrap().status.success());
        let folder = kept(&project, "metadata").unwrap().parent().unwrap().to_owned();
        let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let answers = files.filter(|file| file.file_name().to_str().unwrap().starts_with("metadata"));
        let mut numbers: Vec<u64> = answers.map(|file| file.metadata().unwrap().ino()).collect();
        numbers.sort_unstable();
        numbers
    };
    let cargo = Path::new(env!("CARGO"));
    assert_eq!(run(cargo).len(), 1);
    let both = run(&other);
    assert_eq!((both.len(), run(cargo), run(&other)), (2, both.clone(), both));
}

#[rstest]
#[case::a_new_program(|project: &Project| { project.write("app/src/bin/new.rs", "fn main() {}\n"); })]
#[case::a_program_in_a_folder(|project: &Project| { project.write("app/src/bin/third/main.rs", "fn main() {}\n"); })]
#[case::a_library(|project: &Project| { project.write("app/src/lib.rs", ""); })]
#[case::a_build_script(|project: &Project| { project.write("app/build.rs", "fn main() {}\n"); })]
#[case::the_first_benchmark(|project: &Project| { project.write("app/benches/speed.rs", "fn main() {}\n"); })]
#[case::a_removed_example(|project: &Project| fs::remove_file(project.root.join("app/examples/shown.rs")).unwrap())]
#[case::a_removed_test(|project: &Project| fs::remove_file(project.root.join("app/tests/whole/main.rs")).unwrap())]
#[case::a_member_in_a_new_folder(|project: &Project| {
    project.write("crates/two/Cargo.toml", project.read("crates/one/Cargo.toml").replace("one", "two"));
    project.write("crates/two/src/lib.rs", "");
    lock(project, &["app", "one", "other", "two"]);
})]
#[case::a_removed_member(|project: &Project| {
    fs::remove_dir_all(project.root.join("crates/one")).unwrap();
    lock(project, &["app", "other"]);
})]
#[case::a_manifest(|project: &Project| { project.edit("app/Cargo.toml", "2021", "2018"); })]
#[case::a_manifest_of_the_same_size_and_time(|project: &Project| {
    let time = mtime(&project.root.join("app/Cargo.toml"));
    project.edit("app/Cargo.toml", "2021", "2018");
    filetime::set_file_mtime(project.root.join("app/Cargo.toml"), time).unwrap();
})]
#[case::the_manifest_of_the_workspace(|project: &Project| {
    project.edit("Cargo.toml", "\"crates/*\", ", "");
    lock(project, &["app"]);
})]
#[case::an_included_configuration(|project: &Project| {
    project.write(".cargo/more.toml", "[build]\ntarget-dir = \"elsewhere\"\n");
})]
#[case::a_configuration(|project: &Project| {
    project.write(".cargo/config.toml", "[build]\ntarget-dir = \"elsewhere\"\n");
})]
#[case::a_configuration_above(|project: &Project| {
    project.write("../.cargo/config.toml", "[build]\ntarget-dir = \"elsewhere\"\n");
})]
#[case::a_toolchain_file_above(|project: &Project| {
    project.write("../rust-toolchain.toml", "[toolchain]\nprofile = \"minimal\"\n");
})]
fn cargo_is_asked_again_after(#[case] change: fn(&Project)) {
    let project = workspace();
    let before = asked(&project);
    change(&project);
    assert_eq!(project.tags(&[]), names_read_anew(&project));
    assert_ne!(asked(&project), before);
    assert_eq!(project.tags(&[]), names_read_anew(&project));
}

#[test]
fn a_workspace_around_the_package_is_noticed() {
    let caches = tempfile::tempdir().unwrap();
    let mut project = Project::empty();
    project.caches = caches.path().to_owned();
    project
        .write("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\n")
        .write("src/main.rs", "fn main() {}\n");
    lock(&project, &["app"]);
    asked(&project);
    let before = project.tags(&[]);
    project.write("../Cargo.toml", "[workspace]\nmembers = [\"demo\"]\n");
    project.write("../Cargo.lock", project.read("Cargo.lock"));
    assert_eq!(project.tags(&[]), names_read_anew(&project));
    assert_ne!(project.tags(&[]), before);
}

#[test]
fn cargo_is_asked_again_in_another_environment() {
    let project = workspace();
    let mut numbers = vec![asked(&project)];
    for (name, value) in [("RUSTUP_TOOLCHAIN", "none"), ("CARGO_X", "1"), ("PATH", "/")] {
        let output = project.command(&["tags"]).env(name, value).output().unwrap();
        assert!(output.status.success() || name == "PATH", "{name}: {}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() {
            numbers.push(fs::metadata(kept(&project, "metadata").unwrap()).unwrap().ino());
            assert_ne!(numbers.last(), numbers.get(numbers.len() - 2), "{name} was not noticed");
        }
    }
}

#[test]
fn what_a_script_in_the_place_of_cargo_says_is_not_kept() {
    let project = workspace();
    sleep(SETTLING);
    project.write("../cargo", format!("#!/bin/sh\nexec '{}' \"$@\"\n", std::env::var("CARGO").unwrap()));
    fs::set_permissions(project.root.join("../cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = project.command(&["tags"]).env("CARGO", project.root.join("../cargo")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(kept(&project, "metadata"), None);
}

#[rstest]
#[case::a_pattern_of_any_depth("deep/**/x*", None)]
#[case::a_toolchain_by_its_path("", Some(("rust-toolchain.toml", "[toolchain]\npath = \"/nowhere\"\n")))]
fn cargo_is_always_asked_where_it_is_not_sure_what_it_reads(#[case] member: &str, #[case] file: Option<(&str, &str)>) {
    let project = workspace();
    if !member.is_empty() {
        project.edit("Cargo.toml", "\"app\"]", &format!("\"app\", \"{member}\"]"));
        project.write("deep/x/Cargo.toml", project.read("crates/one/Cargo.toml").replace("one", "x"));
        project.write("deep/x/src/lib.rs", "");
        lock(&project, &["app", "one", "other", "x"]);
    }
    if let Some((path, text)) = file {
        project.write(&format!("../{path}"), text);
    }
    sleep(SETTLING);
    project.tags(&[]);
    assert_eq!(kept(&project, "metadata"), None);
}
