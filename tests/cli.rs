//! The command line itself: help, the ways to call it, sources of configuration, colour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Project, Run, copy};

fn help(flag: &str) -> String {
    let run = Run::from(Command::new(support::COMMAND).arg(flag).output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    run.stdout
}

#[test]
fn it_works_with_and_without_cargo_in_front() {
    let project = Project::hello();
    let expected = project.ok(&["tags"]).stdout;
    assert_eq!(project.ok(&["runtime-image", "tags"]).stdout, expected);
    let folder = Path::new(support::COMMAND).parent().unwrap().display().to_string();
    let through_cargo = |arguments: &[&str]| {
        let plain = project.command(&[]);
        let mut command = Command::new(std::env::var("CARGO").unwrap());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap())).current_dir(&project.root);
        Run::from(command.args(arguments).output().unwrap())
    };
    assert_eq!(through_cargo(&["runtime-image", "tags"]).stdout, expected);
    assert_eq!(through_cargo(&["help", "runtime-image"]).stdout, help("--help"));
}

#[test]
fn a_project_is_named_by_folder_or_manifest() {
    let project = Project::hello();
    let expected = project.ok(&["tags"]).stdout;
    let elsewhere = Project::empty();
    let at = |arguments: &[&str]| {
        let mut command = elsewhere.command(arguments);
        command.env("RUNTIME_IMAGE_REPOSITORY", &project.repository);
        Run::from(command.output().unwrap()).stdout
    };
    let root = project.root.to_str().unwrap();
    assert_eq!(at(&["tags", "--project-root", root]), expected);
    assert_eq!(at(&["tags", "--manifest-path", &format!("{root}/hello/Cargo.toml")]), expected);
}

#[test]
fn flags_win_over_variables_over_package_over_workspace_over_file() {
    let project = Project::empty();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello/hello/src"), &project.root.join("src"));
    project.write("src/main.rs", "fn main() {}\n");
    let manifest = "[package]\nname = \"one\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[workspace]\n";
    project.write("Cargo.toml", manifest);
    let prefix = |variable: Option<&str>, arguments: &[&str]| {
        let mut command = project.command(&[&["tags", "--message-format", "json"], arguments].concat());
        command.envs(variable.map(|value| ("RUNTIME_IMAGE_TAG_PREFIX", value)));
        let run = Run::from(command.output().unwrap());
        let json: serde_json::Value = serde_json::from_str(&run.stdout).expect(&run.stderr);
        json["tags"]["lock"].as_str().unwrap().split('_').next().unwrap().to_owned()
    };
    assert_eq!(prefix(None, &[]), "rt");
    project.write("runtime-image.toml", "tag-prefix = \"file\"\n");
    assert_eq!(prefix(None, &[]), "file");
    let workspace = "[workspace.metadata.runtime-image]\ntag-prefix = \"workspace\"\n";
    project.write("Cargo.toml", format!("{manifest}{workspace}"));
    assert_eq!(prefix(None, &[]), "workspace");
    let package = "[package.metadata.runtime-image]\ntag-prefix = \"package\"\n";
    project.write("Cargo.toml", format!("{manifest}{workspace}{package}"));
    assert_eq!(prefix(None, &[]), "package");
    assert_eq!(prefix(Some("variable"), &[]), "variable");
    assert_eq!(prefix(Some("variable"), &["--tag-prefix", "flag"]), "flag");
}

#[test]
fn the_default_repository_is_local_and_named_for_the_project() {
    let project = Project::hello();
    let mut command = project.command(&["tags"]);
    command.env_remove("RUNTIME_IMAGE_REPOSITORY");
    let run = Run::from(command.output().unwrap());
    assert!(run.stdout.contains(" localhost/demo-runtime:rt_"), "{}", run.stdout);
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let project = Project::hello();
    let stderr = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = project.command(&[&["--dry-run", "--force-rebuild"], arguments].concat());
        command.env_remove("NO_COLOR").env_remove("CARGO_TERM_COLOR").envs(variables.iter().copied());
        Run::from(command.output().unwrap()).stderr
    };
    assert!(!stderr(&[], &[]).contains('\u{1b}'));
    assert!(stderr(&["--color", "always"], &[]).contains('\u{1b}'));
    assert!(stderr(&[], &[("CARGO_TERM_COLOR", "always")]).contains('\u{1b}'));
    assert!(!stderr(&["--color", "never"], &[("CARGO_TERM_COLOR", "always")]).contains('\u{1b}'));
    assert!(!stderr(&[], &[("CARGO_TERM_COLOR", "always"), ("NO_COLOR", "1")]).contains('\u{1b}'));
    assert_eq!(stderr(&["-q"], &[]), "");
}

/// Nothing here can compile with the oldest toolchain; what every dependency says it needs can be compared.
#[test]
fn no_dependency_needs_a_newer_rust_than_the_manifest_promises() {
    let output = Command::new(std::env::var("CARGO").unwrap())
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata = cargo_metadata::MetadataCommand::parse(String::from_utf8(output.stdout).unwrap()).unwrap();
    let ours = metadata.root_package().unwrap().rust_version.clone().unwrap();
    for package in &metadata.packages {
        let needed = package.rust_version.as_ref();
        assert!(needed.is_none_or(|needed| *needed <= ours), "{} needs Rust {needed:?}, not {ours}", package.name);
    }
}
