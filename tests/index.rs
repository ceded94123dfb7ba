//! What runs know of each other: a file that did not change is not read again, and no change is missed. No test here
//! needs an engine.

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

    /// The file of the index.
    fn index(&self) -> PathBuf {
        let folder = self.project.caches.join("cargo-runtime-image/projects");
        let files = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.unwrap().into_path());
        files.filter(|file| file.file_name().unwrap().to_string_lossy().starts_with("index")).last().unwrap()
    }

    /// The names as a run gives them that knows of no other.
    fn names_read_anew(&self) -> [String; 3] {
        let caches = tempfile::tempdir().unwrap();
        let mut command = self.project.command(&["tags", "--message-format=json"]);
        let output = command.env("XDG_CACHE_HOME", caches.path()).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ["source", "lock", "versioned"].map(|name| json["tags"][name].as_str().unwrap().to_owned())
    }

    fn changed(&self) {
        let names = self.project.tags(&[]);
        assert_eq!(names, self.names_read_anew());
        assert_ne!(names[0], self.names[0]);
    }
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
#[case::a_link_in_its_place(|known: &Known| {
    known.project.write("another", "fn mean() {}\n");
    filetime::set_file_mtime(known.project.root.join("another"), mtime(&known.file)).unwrap();
    fs::remove_file(&known.file).unwrap();
    symlink(known.project.root.join("another"), &known.file).unwrap();
})]
fn an_edit_that_keeps_size_and_time_is_noticed(
    #[case] edit: fn(&Known),
    #[values(CUSTOM, CARGO, OPENHANDS)] kind: (fn() -> Project, &str),
) {
    let known = Known::new(kind);
    edit(&known);
    if kind.1 == CUSTOM.1 || !fs::symlink_metadata(&known.file).unwrap().is_symlink() {
        known.changed();
    }
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
