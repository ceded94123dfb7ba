//! Signals end the build and its child and leave nothing half-done; two runs at once do not harm each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use support::{HELLO, Project, Run, image_exists, kill, processes_naming, run_image};

/// Starts the command in a process group of its own and waits until its stderr holds `word`.
fn started_until(project: &Project, arguments: &[&str], word: &str) -> Child {
    let mut child =
        project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(word)), "{word:?} was never said");
    // Somebody must go on reading, or the child blocks.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[rstest]
#[case::int_to_the_process("INT", false, 130)]
#[case::int_to_the_group_as_from_a_terminal("INT", true, 130)]
#[case::term("TERM", false, 143)]
#[case::hup("HUP", false, 129)]
fn a_signal_ends_the_build_and_leaves_nothing(#[case] signal: &str, #[case] group: bool, #[case] code: i32) {
    let project = Project::hello_on_engine();
    // Different text, so that no build waits for another's step.
    let slow = format!("echo {signal}-{group}-{}; sleep 300", std::process::id());
    let mut child = started_until(&project, &["--extra-deps", &slow], &format!(" {signal}-{group}-"));
    let pid = child.id();
    kill(signal, &if group { format!("-{pid}") } else { pid.to_string() });
    let sent = Instant::now();
    let status = child.wait().unwrap();
    assert!(sent.elapsed() < Duration::from_secs(5), "it took {:?}", sent.elapsed());
    assert_eq!(status.code(), Some(code));

    assert_eq!(
        processes_naming(&[&project.repository, &project.root.display().to_string()]),
        Vec::<String>::new(),
        "an orphan is left"
    );
    let tags = project.tags(&["--extra-deps", &slow]);
    for tag in tags {
        assert!(!image_exists(&project.name(&tag)), "{tag} is there");
    }
    assert_eq!(project.left_beside_build_folders(), Vec::<String>::new());
}

#[test]
fn a_ctrl_c_on_a_terminal_ends_the_build_and_gives_the_cursor_back() {
    let project = Project::hello_on_engine();
    let slow = format!("echo typed-{}; sleep 300", std::process::id());
    let mut command = project.command_on_terminal(100, &["--extra-deps", &slow]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(shown.any(|line| line.contains(" => => # typed-")), "the step never ran");
    child.stdin.take().unwrap().write_all(b"\x03").unwrap();
    let sent = Instant::now();
    let rest: Vec<String> = shown.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:#?}");
    assert!(sent.elapsed() < Duration::from_secs(5), "it took {:?}", sent.elapsed());
    assert!(rest.iter().any(|line| line.contains("\x1b[?25h")), "the cursor is hidden: {rest:#?}");
    assert_eq!(rest.last().map(|line| line.trim_end()), Some("error: interrupted"));
    assert_eq!(project.left_beside_build_folders(), Vec::<String>::new());
}

#[test]
fn a_signal_is_obeyed_while_the_engine_does_not_answer() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = support::stand_in_docker(folder.path(), "echo asked >&2; exec sleep 300");
    let mut command = project.command(&["-v"]);
    let mut child = command.env("PATH", path).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("image inspect")));
    std::thread::sleep(Duration::from_millis(200));
    kill("TERM", &child.id().to_string());
    let sent = Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(sent.elapsed() < Duration::from_secs(5));
    assert!(!project.root.join("target").exists());
}

#[test]
fn an_interrupted_build_succeeds_when_run_again() {
    let project = Project::hello_on_engine();
    let mut child = started_until(&project, &[], "Building the dependencies");
    kill("INT", &child.id().to_string());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(run_image(project.ok(&[]).image(), &[]), HELLO);
}

#[test]
fn two_runs_of_one_image_at_once_build_it_once() {
    let one = Project::hello_on_engine();
    let two = one.cloned();
    let start = |project: &Project| {
        let mut command = project.command(&["--message-format", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // The same folder and another folder with the same tree.
    let runs = [start(&one), start(&one), start(&two)].map(|child| Run::from(child.wait_with_output().unwrap()));
    let mut actions: Vec<String> = runs
        .iter()
        .map(|run| {
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
            assert_eq!(run_image(report["image"].as_str().unwrap(), &[]), HELLO);
            report["action"].as_str().unwrap().to_owned()
        })
        .collect();
    actions.sort();
    assert_eq!(actions, ["build", "reuse", "reuse"]);
}
