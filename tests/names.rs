//! What changes a name, what does not, and that the same tree has the same names anywhere. No engine is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::process::Command;

use rstest::rstest;
use support::{Project, Run, copy};

/// Which of the tags a change must move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    Source,
    SourceAndVersioned,
    LockAndSource,
}
use Expect::{LockAndSource, Nothing, Source, SourceAndVersioned};

/// Changes the project, and gives the arguments of the second run.
type Change = fn(&Project) -> Vec<&'static str>;

#[rstest]
#[case::nothing(|_: &Project| vec![], Nothing)]
#[case::a_source_line(|p: &Project| { p.edit("greeting/src/lib.rs", "hello", "hi"); vec![] }, Source)]
#[case::a_new_file(|p: &Project| { p.write("README.md", "x"); vec![] }, Source)]
#[case::a_comment_in_a_manifest(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "# a comment\n[package]"); vec![] }, Source)]
#[case::a_description(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\ndescription = \"x\""); vec![] }, Source)]
#[case::a_new_binary(|p: &Project| { p.write("hello/src/bin/other.rs", "fn main() {}"); vec![] }, Source)]
#[case::another_default_command(|p: &Project| { p.write("runtime-image.toml", "cmd = [\"true\"]"); vec![] }, Source)]
#[case::a_build_argument(|_: &Project| vec!["--build-arg", "A=1"], Source)]
#[case::the_version_of_all_members(|p: &Project| { p.edit("Cargo.toml", "\"0.1.0\"", "\"0.1.1\""); vec![] }, SourceAndVersioned)]
#[case::the_version_of_one_member(|p: &Project| { p.edit("shout/Cargo.toml", "version.workspace = true", "version = \"0.1.9\""); vec![] }, Source)]
#[case::a_locked_version(|p: &Project| { p.edit("Cargo.lock", "name = \"itoa\"\nversion = \"1.0.", "name = \"itoa\"\nversion = \"1.0.9"); vec![] }, LockAndSource)]
#[case::a_dependency(|p: &Project| {
    p.edit("greeting/Cargo.toml", "ryu.workspace = true", "ryu.workspace = true\nitoa.workspace = true");
    vec!["--offline"]
}, LockAndSource)]
#[case::a_feature_of_a_dependency(|p: &Project| { p.edit("Cargo.toml", "ryu = \"1\"", "ryu = { version = \"1\", features = [] }"); vec![] }, LockAndSource)]
#[case::a_feature_of_a_member(|p: &Project| { p.edit("hello/Cargo.toml", "[dependencies]", "[features]\nfast = []\n[dependencies]"); vec![] }, LockAndSource)]
#[case::a_profile(|p: &Project| { p.edit("Cargo.toml", "[workspace]", "[profile.release]\nlto = true\n[workspace]"); vec![] }, LockAndSource)]
#[case::the_toolchain(|p: &Project| { p.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85.0\""); vec![] }, LockAndSource)]
#[case::cargos_configuration(|p: &Project| { p.write(".cargo/config.toml", "[net]\nretry = 3"); vec![] }, LockAndSource)]
#[case::a_vendored_crate(|p: &Project| { p.write("vendor/x/.cargo-checksum.json", "{\"files\":{}}"); vec![] }, LockAndSource)]
#[case::what_a_build_script_reads(|p: &Project| { p.write("hello/data.txt", "x"); vec![] }, Source)]
#[case::the_base_image(|_: &Project| vec!["--base-image", "rust:1-trixie"], LockAndSource)]
#[case::extra_deps(|_: &Project| vec!["--extra-deps", "apt-get install hello"], LockAndSource)]
#[case::system_packages(|p: &Project| { p.write("runtime-image.toml", "apt-packages = [\"cmake\"]"); vec![] }, LockAndSource)]
#[case::prebuild(|p: &Project| { p.write("runtime-image.toml", "prebuild = [\"build\"]"); vec![] }, LockAndSource)]
#[case::environment(|p: &Project| { p.write("runtime-image.toml", "env = { RUSTFLAGS = \"-g\" }"); vec![] }, LockAndSource)]
#[case::user(|p: &Project| { p.write("runtime-image.toml", "user = \"app\""); vec![] }, LockAndSource)]
#[case::workdir(|p: &Project| { p.write("runtime-image.toml", "workdir = \"/app\""); vec![] }, LockAndSource)]
#[case::an_argument_for_buildx(|_: &Project| vec!["--", "--network=host"], LockAndSource)]
#[case::a_secret(|_: &Project| vec!["--secret", "id=token,src=/dev/null"], Nothing)]
#[case::a_file_that_may_look_like_a_secret(|_: &Project| vec!["--allow-secret", "**/*.pem"], Nothing)]
#[case::ssh(|_: &Project| vec!["--ssh", "default"], Nothing)]
#[case::a_ca_bundle(|p: &Project| { p.write("target/ca.pem", "x"); vec!["--ca-bundle", "target/ca.pem"] }, Nothing)]
#[case::caches(|_: &Project| vec!["--cache-from", "type=local,src=x", "--cache-to", "type=local,dest=x"], Nothing)]
#[case::a_cache(|_: &Project| vec!["--cache", "local", "--registry-timeout", "3"], Nothing)]
#[case::provenance(|_: &Project| vec!["--provenance"], Source)]
#[case::a_list_of_what_is_in_it(|_: &Project| vec!["--sbom"], Source)]
#[case::no_attestation(|_: &Project| vec!["--provenance=false", "--sbom=false"], Nothing)]
#[case::how_it_is_shown(|_: &Project| vec!["--progress", "tty", "-v", "--color", "always"], Nothing)]
#[case::platform(|_: &Project| vec!["--platform", "linux/arm64"], Nothing)]
#[case::ways_to_build(|_: &Project| vec!["--force-rebuild", "--dry-run", "--builder", "x", "--engine", "podman"], Nothing)]
#[case::an_ignored_file(|p: &Project| { p.write("target/x", "y"); vec![] }, Nothing)]
fn a_change_moves_the_right_tags(#[case] change: Change, #[case] expected: Expect) {
    let project = Project::hello();
    let before = project.tags(&[]);
    let arguments = change(&project);
    let after = project.tags(&arguments);
    let moved = [0, 1, 2].map(|index| before[index] != after[index]);
    let base_moved = before[2] != after[2];
    let expected = match expected {
        Nothing => [false, false, false],
        Source => [true, false, false],
        SourceAndVersioned => [true, false, true],
        // The base image alone is in the versioned tag besides.
        LockAndSource => [true, true, base_moved && arguments.contains(&"--base-image")],
    };
    assert_eq!(moved, expected, "source, lock, versioned moved: {before:?} -> {after:?}");
}

#[test]
fn the_executable_bit_and_a_link_target_count() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let project = Project::hello();
    let script = project.root.join("run.sh");
    project.write("run.sh", "x");
    symlink("run.sh", project.root.join("link")).unwrap();
    let plain = project.tags(&[]);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let executable = project.tags(&[]);
    std::fs::remove_file(project.root.join("link")).unwrap();
    symlink("Cargo.toml", project.root.join("link")).unwrap();
    let relinked = project.tags(&[]);
    assert!(plain[0] != executable[0] && executable[0] != relinked[0]);
    assert!(plain[1] == executable[1] && executable[1] == relinked[1]);
}

#[test]
fn a_move_of_content_between_files_is_seen() {
    let project = Project::hello();
    project.write("a", "x").write("b", "y");
    let before = project.tags(&[]);
    project.write("a", "y").write("b", "x");
    assert_ne!(before[0], project.tags(&[])[0]);
}

/// Names are MD5, and what they are made of is not.
#[test]
fn contents_with_one_md5_have_different_names_and_dates() {
    let project = Project::hello();
    let [one, other] = support::md5_twins();
    let dated = |content: &[u8]| {
        project.write("hello/src/data", content);
        project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
        let staged = std::fs::metadata(project.root.join("../staged/code/hello/src/data")).unwrap();
        (project.tags(&[])[0].clone(), staged.modified().unwrap())
    };
    let (first, second) = (dated(&one), dated(&other));
    assert_ne!(first.0, second.0, "one name for two contents");
    assert_ne!(first.1, second.1, "the builder would take one for the other");
}

#[test]
fn versions_that_spell_alike_have_different_names() {
    let project = Project::empty();
    project.write("app", "x");
    let versioned = ["1.0.0+a", "1.0.0_a", "1.0.0/a", "1.0.0 a", "1.0.0-a"].map(|version| {
        let [source, _, versioned] = project.tags(&["--kind=custom", "--project-version", version]);
        let stem = versioned.strip_suffix("_rust_t_1-bookworm").unwrap().to_owned();
        assert!(source.starts_with(&format!("{stem}_")), "{source} is of another version than {versioned}");
        stem
    });
    assert_eq!(versioned[0], "rt_v1.0.0_a", "what Cargo can have as a version reads as ever");
    let different: std::collections::BTreeSet<&String> = versioned.iter().collect();
    assert_eq!(different.len(), versioned.len(), "{versioned:?}");
}

/// A workspace without a root package in the folder `demo`.
#[rstest]
#[case::one_that_the_workspace_gives(&["[workspace.package]\nversion = \"7.0.0\""], &["demo 1.0.0 bin", "other 2.0.0"], "7.0.0")]
#[case::the_member_named_like_the_folder(&[], &["demo 1.0.0", "demo-macros 2.5.0", "tool 3.0.0 bin"], "1.0.0")]
#[case::the_only_member_with_a_program(&[], &["macros 2.5.0", "tool 1.0.0 bin", "z 0.1.0"], "1.0.0")]
#[case::the_highest_of_several(&[], &["a 1.0.0 bin", "b 1.2.0 bin", "c 1.10.0"], "1.10.0")]
fn a_workspace_without_a_root_package_has_the_version(
    #[case] root: &[&str],
    #[case] members: &[&str],
    #[case] expected: &str,
) {
    let project = Project::empty();
    project.write("Cargo.toml", format!("[workspace]\nmembers = [\"members/*\"]\nresolver = \"2\"\n{}", root.concat()));
    for member in members {
        let words: Vec<&str> = member.split(' ').collect();
        let file = if words.contains(&"bin") { "main.rs" } else { "lib.rs" };
        project.write(&format!("members/{}/src/{file}", words[0]), "").write(
            &format!("members/{}/Cargo.toml", words[0]),
            format!("[package]\nname = \"{}\"\nversion = \"{}\"\nedition = \"2021\"\n", words[0], words[1]),
        );
    }
    let [source, _, versioned] = project.tags(&[]);
    assert_eq!(versioned, format!("rt_v{expected}_rust_t_1-bookworm"));
    assert!(source.starts_with(&format!("rt_v{expected}_")), "{source}");
    assert_eq!(project.tags(&["--project-version", "9.9.9"])[2], "rt_v9.9.9_rust_t_1-bookworm");
}

fn names(run: Run) -> String {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

#[test]
fn the_same_tree_has_the_same_names_anywhere() {
    let project = Project::hello();
    project.write("bin/run", "#!/bin/sh\n");
    let expected = names(project.run(&["tags"]));

    let elsewhere = project.root.parent().unwrap().join("else/where/demo");
    copy(&project.root, &elsewhere);
    let at = |folder: &std::path::Path| {
        let mut command = project.command(&["tags"]);
        command.current_dir(folder);
        command
    };
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "another path");
    assert_eq!(names(Run::from(at(&elsewhere.join("hello/src")).output().unwrap())), expected, "from a sub-folder");

    let mut elder = at(&elsewhere);
    elder.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "C").env("TZ", "Pacific/Chatham").env("SOURCE_DATE_EPOCH", "1");
    assert_eq!(names(Run::from(elder.output().unwrap())), expected, "another locale, zone and clock");

    for (path, time) in
        [("Cargo.toml", "199901010000"), ("Cargo.lock", "203501010000"), ("hello/src/main.rs", "197001020000")]
    {
        let status = Command::new("touch").args(["-t", time]).arg(elsewhere.join(path)).status().unwrap();
        assert!(status.success());
    }
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "other times");

    let status = Command::new("chmod").args(["-R", "go-rwx,u+w"]).arg(&elsewhere).status().unwrap();
    assert!(status.success());
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "the modes that another umask gives");

    project.git_init();
    assert_eq!(names(project.run(&["tags"])), expected, "in a git work tree");
    let clone = project.root.parent().unwrap().join("clone");
    let status = Command::new("git").args(["clone", "-q"]).arg(&project.root).arg(&clone).status().unwrap();
    assert!(status.success());
    assert_eq!(names(Run::from(at(&clone).output().unwrap())), expected, "a fresh clone");
}

#[test]
fn another_user_gets_the_same_names() {
    let project = Project::hello();
    let expected = names(project.run(&["tags"]));
    // In a user namespace this process has another user and group id and sees the same files.
    let run = |arguments: &[&str]| {
        let command = project.command(&["tags"]);
        let mut other = Command::new("unshare");
        other.args(["--user", "--map-user=1234", "--map-group=1234"]).args(arguments).arg(support::COMMAND).arg("tags");
        other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&project.root);
        Run::from(other.output().unwrap())
    };
    assert_eq!(names(run(&["--"])), expected);
}

#[test]
fn a_tree_of_another_user_is_named_or_refused_with_the_way_out() {
    let project = Project::hello();
    project.git_init();
    let status = Command::new("chown").args(["-R", "65534:65534"]).arg(&project.root).status().unwrap();
    assert!(status.success(), "this test needs to run as root");
    project.run(&["tags"]).fails_with(1, &["dubious ownership", "hint: ", "safe.directory"]);
}

#[test]
fn git_decides_what_belongs_to_the_sources_and_the_users_file_removes_more() {
    let project = Project::hello();
    project.write(".gitignore", "/target\n*.log\n").write("tracked.txt", "x").git_init();
    let before = project.tags(&[]);
    project.write("debug.log", "x").write(".git/info/x", "y");
    assert_eq!(project.tags(&[]), before, "ignored files do not count");
    project.write("notes.txt", "x");
    assert_ne!(project.tags(&[])[0], before[0], "untracked files that are not ignored count");
    project.write(".runtime-image-ignore", "notes.txt\n.runtime-image-ignore\n");
    assert_eq!(project.tags(&[])[0], before[0], "what the user's file names does not count");
    std::fs::remove_file(project.root.join("tracked.txt")).unwrap();
    assert_ne!(project.tags(&[])[0], before[0], "a deleted file that is still tracked does not count");
}

#[test]
fn without_git_the_ignore_files_in_the_tree_decide() {
    let project = Project::hello();
    let before = project.tags(&[]);
    project.write("target/debug/x", "y");
    assert_eq!(project.tags(&[]), before);
    project.write(".hidden", "x");
    assert_ne!(project.tags(&[])[0], before[0], "hidden files count");
}

#[test]
fn an_ignored_lock_file_still_counts() {
    let project = Project::hello();
    let before = project.tags(&[]);
    project.write(".gitignore", "/target\nCargo.lock\n").git_init();
    assert_eq!(project.tags(&[])[1], before[1]);
}

#[test]
fn names_need_no_docker_at_all() {
    let project = Project::hello();
    let cargo = std::env::var("CARGO").unwrap();
    let mut command = project.command(&["tags"]);
    command.env("PATH", "/nonexistent").env("CARGO", &cargo);
    assert_eq!(Run::from(command.output().unwrap()).code, Some(0));
    let mut command = project.command(&["--force-rebuild", "--dry-run"]);
    command.env("PATH", "/nonexistent").env("CARGO", &cargo);
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(project.root.join("target/runtime-image").is_dir());

    std::fs::remove_file(project.root.join("Cargo.lock")).unwrap();
    let tools = std::env::var("PATH").unwrap();
    let no_docker = project.root.join("../bin");
    std::fs::create_dir(&no_docker).unwrap();
    for tool in ["rustc", "sh", "cat"] {
        let path = std::env::split_paths(&tools).map(|folder| folder.join(tool)).find(|path| path.is_file()).unwrap();
        std::os::unix::fs::symlink(path, no_docker.join(tool)).unwrap();
    }
    let mut command = project.command(&["tags"]);
    let run = Run::from(command.env("PATH", &no_docker).env("CARGO", cargo).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("warning: this machine's Rust stands for that of the image: "), "{}", run.stderr);
}
