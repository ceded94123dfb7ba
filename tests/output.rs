//! What a user sees, as whole texts: help, plans, and an error of each class. What differs from machine to machine is
//! replaced by names. `INSTA_UPDATE=always cargo test --test output` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use insta::assert_snapshot;
use support::{Project, Run, stand_in_docker};

/// With the parts that a run makes up itself replaced.
fn shown(project: &Project, run: &Run) -> String {
    let mut text = format!("exit code: {:?}\n", run.code.unwrap());
    for (stream, output) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !output.is_empty() {
            text = text + "--- " + stream + "\n" + output;
        }
    }
    let [source, lock, _] = if run.stdout.contains(":rt_") { project.tags(&[]) } else { Default::default() };
    for (part, name) in [
        (source.rsplit('_').next().unwrap_or_default(), "[SOURCE]"),
        (lock.rsplit('_').next().unwrap_or_default(), "[LOCK]"),
        (project.root.canonicalize().unwrap().to_str().unwrap(), "[PROJECT]"),
        (project.root.to_str().unwrap(), "[PROJECT]"),
        (&*project.repository, "[REPOSITORY]"),
        (&*std::env::var("CARGO").unwrap_or_default(), "cargo"),
    ] {
        if !part.is_empty() {
            text = text.replace(part, name);
        }
    }
    text
}

fn of(project: &Project, arguments: &[&str]) -> String {
    shown(project, &project.run(arguments))
}

/// A stand-in for `docker` that knows no image and has an engine.
const NO_IMAGES: &str = r#"case "$1 $2" in
    "image inspect") echo '[]'; shift 2; for image in "$@"; do echo "Error: No such image: $image" >&2; done; exit 1;;
    "buildx inspect") printf 'Name: default\nDriver: docker\nPlatforms: linux/amd64, linux/arm64\n';;
    "info "*) echo '[["driver-type","io.containerd.snapshotter.v1"]]';;
    *) echo "stand-in: $*" >&2; exit 1;;
esac"#;

fn with_docker(project: &Project, script: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = stand_in_docker(folder.path(), script);
    let arguments = [&["--platform", "linux/amd64"], arguments].concat();
    shown(project, &Run::from(project.command(&arguments).env("PATH", path).output().unwrap()))
}

#[test]
fn help() {
    let project = Project::empty();
    assert_snapshot!("help", of(&project, &["-h"]));
    assert_snapshot!("help_of_completions", of(&project, &["completions", "--help"]));
    assert_snapshot!("help_of_man", of(&project, &["help", "man"]));
}

#[test]
fn names() {
    let project = Project::hello();
    assert_snapshot!("names", of(&project, &["tags"]));
}

#[test]
fn plans() {
    let project = Project::hello();
    assert_snapshot!("plan_from_scratch", with_docker(&project, NO_IMAGES, &["plan"]));
    project.edit("Cargo.toml", "version = \"0.1.0\"", "authors = []");
    for (member, version) in [("greeting", "0.1.0"), ("shout", "0.1.0"), ("hello", "3.0.0")] {
        project.edit(&format!("{member}/Cargo.toml"), "version.workspace = true", &format!("version = \"{version}\""));
    }
    let plan = with_docker(&project, NO_IMAGES, &["plan"]);
    assert!(plan.contains("version        3.0.0, of `hello`, the only member with a program\n"), "{plan}");
    let project = Project::hello();
    assert_snapshot!("plan_of_a_forced_rebuild", with_docker(&project, NO_IMAGES, &["plan", "--force-rebuild"]));
}

#[test]
fn wrong_usage() {
    let project = Project::hello();
    for (name, arguments) in [
        ("an_unknown_option", &["--no-such-option"][..]),
        ("an_unknown_command", &["biuld"]),
        ("a_wrong_reference", &["--base-image", "Rust:1"]),
        ("a_wrong_choice", &["--kind", "cargoo"]),
        ("a_wrong_build_argument", &["--build-arg", "x"]),
        ("push_to_nowhere", &["--push"]),
        ("what_is_not_passed_on", &["--", "--tag=x"]),
        ("a_key_of_another_kind", &["--stages", "2"]),
    ] {
        assert_snapshot!(format!("usage_{name}"), of(&project, arguments));
    }
    project.write("runtime-image.toml", "base-imgae = \"x\"\ninstall-binaries = \"perhaps\"\n");
    assert_snapshot!("usage_a_wrong_key", of(&project, &["tags"]));
}

#[test]
fn failures_before_a_build() {
    let project = Project::hello();
    let nowhere = Project::empty();
    let missing = nowhere.root.join("no");
    assert_snapshot!("no_project", shown(&nowhere, &nowhere.run(&["--project-root", missing.to_str().unwrap()])));
    let mut without = project.command(&[]);
    without.env("PATH", "/nonexistent").env("CARGO", std::env::var("CARGO").unwrap());
    assert_snapshot!("no_docker", shown(&project, &Run::from(without.output().unwrap())));
    let mut without = project.command(&[]);
    without.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    assert_snapshot!("no_engine", shown(&project, &Run::from(without.output().unwrap())));
    let no_buildx =
        NO_IMAGES.replace("printf 'Name", "echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1; '");
    assert_snapshot!("no_buildx", with_docker(&project, &no_buildx, &["plan"]));
    let classic = NO_IMAGES.replace("io.containerd.snapshotter.v1", "overlay2");
    let both = ["--platform", "linux/arm64", "plan"];
    assert_snapshot!("several_platforms_on_a_classic_store", with_docker(&project, &classic, &both));
}
