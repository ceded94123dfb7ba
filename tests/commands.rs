//! The subcommands: where their options may stand, what they take, completion in a shell, manual pages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::process::Command;

use support::{Project, Run};

#[test]
fn options_stand_before_or_after_the_subcommand_and_the_later_one_wins() {
    let project = Project::hello();
    let expected = project.ok(&["tags", "--tag-prefix", "a", "--message-format", "json"]).stdout;
    assert_ne!(project.ok(&["tags", "--message-format", "json"]).stdout, expected);
    assert_eq!(project.ok(&["--tag-prefix", "a", "tags", "--message-format", "json"]).stdout, expected);
    assert_eq!(
        project.ok(&["--tag-prefix", "b", "--message-format", "json", "tags", "--tag-prefix", "a"]).stdout,
        expected
    );
    let mut command = project.command(&["--tag-prefix", "a", "tags", "--message-format", "json"]);
    let run = Run::from(command.env("RUNTIME_IMAGE_TAG_PREFIX", "c").output().unwrap());
    assert_eq!(run.stdout, expected, "a variable won over a flag");
}

#[test]
fn build_is_what_is_done_when_no_command_is_named() {
    let project = Project::hello();
    let dry = |arguments: &[&str]| project.ok(&[&["--dry-run", "--force-rebuild", "-q"], arguments].concat()).stdout;
    assert_eq!(dry(&[]), dry(&["build"]));
    project.run(&["biuld"]).fails_with(2, &["unrecognized subcommand 'biuld'", "'build'"]);
}

#[test]
fn the_same_options_serve_build_plan_and_tags() {
    let project = Project::hello();
    let options = ["--dry-run", "--load", "--cache-from", "type=gha", "--progress", "plain", "--registry-timeout=5"];
    assert_eq!(project.ok(&[&["tags"], &options[..]].concat()).stdout, project.ok(&["tags"]).stdout);
    let help = Run::from(Command::new(support::COMMAND).args(["tags", "--help"]).output().unwrap()).stdout;
    assert!(!help.contains("--cache-from") && help.contains("--tag-prefix"), "{help}");
}

#[test]
fn help_and_version_need_no_project() {
    let nowhere = Project::empty();
    for arguments in [&["help", "build"][..], &["plan", "-h"], &["--version"], &["help", "completions"]] {
        assert_eq!(nowhere.ok(arguments).stderr, "");
    }
    assert_eq!(nowhere.ok(&["help", "plan"]).stdout, nowhere.ok(&["plan", "--help"]).stdout);
}

#[test]
fn completions_and_pages_need_neither_project_nor_engine_nor_options() {
    let nowhere = Project::empty();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = nowhere.ok(&["completions", shell]).stdout;
        assert!(script.contains("apt-package") && script.contains("completions"), "{shell}");
    }
    nowhere.run(&["completions", "tcsh"]).fails_with(2, &["bash, zsh, fish, powershell"]);
    nowhere.run(&["--push", "completions", "bash"]).fails_with(2, &["needs no project"]);
    nowhere.run(&["man", "--push"]).fails_with(2, &["--push"]);

    let page = nowhere.ok(&["man"]).stdout;
    assert!(page.contains(".TH cargo-runtime-image 1") && page.contains("apt\\-package"), "{page}");
    let written = nowhere.ok(&["man", "pages"]).stdout;
    assert_eq!(written.lines().next(), Some("pages/cargo-runtime-image-build.1"));
    for file in written.lines() {
        assert!(nowhere.read(file).contains(".SH NAME"), "{file}");
    }
}

/// bash is run as a user would run it: what `cargo` completed before stays.
#[test]
fn bash_completes_the_command_also_through_cargo() {
    let project = Project::empty();
    project.write("script.bash", project.ok(&["completions", "bash"]).stdout);
    let completed = |words: &[&str], before: &str| -> Vec<String> {
        let script = r#"
            source script.bash; source script.bash
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
            [[ $(complete -p "$1") =~ -F\ ([^ ]+) ]]
            "${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let mut command = Command::new("bash");
        command.args(["--norc", "-c", &format!("{before}{script}"), "bash"]).args(words).current_dir(&project.root);
        let run = Run::from(command.output().unwrap());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        run.stdout.lines().map(str::to_owned).collect()
    };
    let all = completed(&["cargo", "runtime-image", ""], "");
    for word in ["build", "plan", "tags", "completions", "man", "help", "--apt-package", "--quiet"] {
        assert!(all.iter().any(|completed| completed == word), "{word} is not in {all:?}");
    }
    assert_eq!(completed(&["cargo-runtime-image", "pl"], ""), ["plan"]);
    assert_eq!(completed(&["cargo", "runtime-image", "plan", "--base-i"], ""), ["--base-image"]);
    assert_eq!(completed(&["cargo", "runtime-image", "--kind", ""], ""), ["cargo", "openhands", "custom"]);
    assert_eq!(completed(&["cargo", "runtime-image", "completions", "f"], ""), ["fish"]);
    assert_eq!(completed(&["cargo", "runt"], ""), ["runtime-image"]);
    let of_cargo = "_of_cargo() { COMPREPLY=(\"bench of $2\"); }; complete -F _of_cargo cargo;";
    assert_eq!(completed(&["cargo", "b"], of_cargo), ["bench of b"]);
    assert_eq!(completed(&["cargo", "runtime-image", "pl"], of_cargo), ["plan"]);
}

/// Nothing is written into somebody else's tree: flags say all that its image needs.
#[test]
fn a_foreign_project_is_described_by_flags_alone() {
    let project = Project::empty();
    project.write("app/main.py", "print('hello')\n").write("requirements.txt", "\n");
    let flags = [
        "--kind=custom",
        "--project-version=1.0",
        "--lock-file=requirements.txt",
        "--source=app",
        "--apt-package=python3",
        "--apt-package=git",
        "--env=MODE=test",
        "--env=LEVEL=a=b",
        "--user=app",
        "--workdir=/srv/app",
        "--prebuild=python3 -m compileall app",
        "--cmd=[\"python3\", \"-m\", \"app\"]",
        "--build-folder=../staged",
        "--dry-run",
        "--force-rebuild",
    ];
    project.ok(&flags);
    let dockerfile = project.read("../staged/Dockerfile");
    for part in
        ["python3", "git", "ENV MODE=\"test\"", "ENV LEVEL=\"a=b\"", "USER app", "WORKDIR /srv/app", "compileall app"]
    {
        assert!(dockerfile.contains(part), "{part} is not in {dockerfile}");
    }
    assert!(dockerfile.contains("CMD [\"python3\",\"-m\",\"app\"]"), "{dockerfile}");
    assert!(project.root.join("../staged/code/app/main.py").is_file());
    project.run(&["tags", "--kind=custom"]).fails_with(2, &["has no `version`", "`--project-version`"]);
}

#[test]
fn variables_that_mean_nothing_are_warned_of_and_wrong_ones_are_named() {
    let project = Project::hello();
    let with = |name: &str, value: &str| Run::from(project.command(&["tags"]).env(name, value).output().unwrap());
    let run = with("RUNTIME_IMAGE_BASE_IMGAE", "x");
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("warning: the variable `RUNTIME_IMAGE_BASE_IMGAE` means nothing"), "{}", run.stderr);
    with("RUNTIME_IMAGE_PUSH", "perhaps")
        .fails_with(2, &["wrong value in the variable `RUNTIME_IMAGE_PUSH`", "perhaps"]);
    assert_eq!(with("RUNTIME_IMAGE_TAG_PREFIX", "").stdout, project.ok(&["tags"]).stdout);
}
