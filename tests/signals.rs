//! A signal is obeyed while the program works and waits for nobody, and what is no file is never waited for. No test
//! here needs an engine; each ends by itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use support::{Project, kill};

/// A second on a machine that does nothing else.
const SOON: Duration = Duration::from_secs(3);
/// After this the program reads, hashes or renders.
const AT_WORK: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(60);
const GIB: u64 = 1 << 30;
const STAGE: [&str; 2] = ["--dry-run", "--force-rebuild"];

fn fifo(project: &Project, path: &str) {
    let path = project.root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
}

fn started(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end, and gives the exit code and what was said; a child that goes on is killed, which is a failure.
fn ended(mut child: Child, within: Duration) -> (Option<i32>, String) {
    let end = Instant::now() + within;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it still ran after {within:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// Sends the signal to the command at work, and expects its end with this code.
fn ends_by(signal: &str, code: i32, command: Command) {
    let child = started(command);
    std::thread::sleep(AT_WORK);
    kill(signal, &child.id().to_string());
    let (found, said) = ended(child, SOON);
    assert_eq!((found, &*said), (Some(code), "error: interrupted\n"));
}

#[rstest]
#[case::custom(Project::bare_custom(), "huge")]
#[case::a_workspace(Project::hello(), "huge")]
#[case::a_tree_of_openhands(Project::bare_openhands(), "openhands/huge")]
fn a_signal_is_obeyed_while_a_huge_file_is_read(#[case] project: Project, #[case] path: &str) {
    project.write_sparse(path, 200 * GIB);
    ends_by("TERM", 143, project.command(&["tags"]));
    ends_by("HUP", 129, project.command(&STAGE));
}

/// It was read to its end, and the names were told with success.
#[test]
fn a_signal_during_the_last_file_is_not_lost() {
    let project = Project::bare_custom();
    project.write_sparse("app", 3 * GIB);
    ends_by("INT", 130, project.command(&["tags"]));
}

#[test]
fn a_signal_is_obeyed_while_a_large_file_is_staged_and_nothing_is_left() {
    let project = Project::bare_custom();
    project.write_sparse("app", 2 * GIB);
    let parent = project.root.parent().unwrap().join("staged");
    let mut command = project.command(&STAGE);
    command.arg("--build-folder").arg(parent.join("context"));
    let child = started(command);
    let end = Instant::now() + LONG;
    let is_staging = || {
        let entries = fs::read_dir(&parent).into_iter().flatten().map(Result::unwrap);
        entries.map(|entry| entry.path()).any(|path| path.join("new/code/app").exists())
    };
    while !is_staging() {
        assert!(Instant::now() < end, "nothing was ever staged");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill("TERM", &child.id().to_string());
    assert_eq!(ended(child, SOON).0, Some(143));
    let left: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("new-")), "{left:?}");
    assert!(!parent.join("context").exists());
}

/// Each `~` makes the parser put together again what stands before it.
#[test]
fn a_signal_is_obeyed_while_a_template_is_read() {
    let project = Project::bare_custom();
    project.write("my.j2", format!("FROM {{{{ base_image }}}}\nRUN {{{{ 1{} }}}}\n", "~1".repeat(60_000)));
    ends_by("TERM", 143, project.command(&["tags", "--template", "my.j2"]));
}

#[rstest]
#[case::git("git", "PATH")]
#[case::cargo("cargo", "CARGO")]
fn a_signal_is_obeyed_while_a_program_is_waited_for(#[case] program: &str, #[case] variable: &str) {
    let project = Project::hello();
    project.git_init();
    let folder = tempfile::tempdir().unwrap();
    support::stand_in_docker(folder.path(), "exec sleep 300");
    let path = folder.path().join(program);
    fs::rename(folder.path().join("docker"), &path).unwrap();
    let mut command = project.command(&["tags"]);
    match variable {
        "PATH" => command.env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap())),
        _ => command.env(variable, &path),
    };
    ends_by("TERM", 143, command);
}

/// As `nohup` does it.
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let project = Project::bare_custom();
    project.write_sparse("app", 200 * GIB);
    let tags = project.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" tags", support::COMMAND]).current_dir(&project.root);
    command.envs(tags.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = started(command);
    std::thread::sleep(AT_WORK);
    kill("HUP", &child.id().to_string());
    std::thread::sleep(AT_WORK);
    assert!(child.try_wait().unwrap().is_none(), "HUP ended it");
    kill("TERM", &child.id().to_string());
    assert_eq!(ended(child, SOON).0, Some(143));
}

#[rstest]
#[case::loops(
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}"
)]
#[case::output("{% for a in range(9999) %}{% for b in range(9999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}")]
#[case::a_text_that_doubles(
    "{% set n = namespace(x='abc') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
)]
fn a_template_that_would_never_end_is_an_error_that_names_it(#[case] text: &str) {
    let project = Project::bare_custom();
    project.write("my.j2", format!("FROM {{{{ base_image }}}}\n{text}\n"));
    let child = started(project.command(&["tags", "--template", "my.j2"]));
    let (code, said) = ended(child, LONG);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.starts_with("error: `my.j2`, line 2: the template does more than a Dockerfile can need\n"), "{said}");
}

#[rstest]
#[case::a_lock_file(Project::bare_custom(), &["tags", "--lock-file", "pipe"], "pipe")]
#[case::a_source(Project::bare_custom(), &["tags"], "pipe")]
#[case::a_template(Project::bare_custom(), &["tags", "--template", "../pipe"], "../pipe")]
#[case::an_ignore_file(Project::bare_custom(), &["tags"], ".runtime-image-ignore")]
#[case::an_ignore_file_of_git(Project::bare_custom(), &["tags"], ".gitignore")]
#[case::an_ignore_file_of_git_in_a_folder(Project::bare_custom(), &["tags"], "a/.gitignore")]
#[case::the_configuration(Project::bare_custom(), &["tags", "--kind=custom"], "runtime-image.toml")]
#[case::the_configuration_of_a_workspace(Project::hello(), &["tags"], "runtime-image.toml")]
#[case::cargo_lock(Project::hello(), &["tags"], "Cargo.lock")]
#[case::cargos_configuration(Project::hello(), &["tags"], ".cargo/config.toml")]
#[case::a_toolchain_file(Project::hello(), &["tags"], "rust-toolchain.toml")]
#[case::a_lock_file_of_openhands(Project::bare_openhands(), &["tags"], "poetry.lock")]
#[case::rules_of_openhands(Project::bare_openhands(), &["tags"], "openhands/runtime/utils/runtime_build.py")]
#[case::a_source_of_openhands(Project::bare_openhands(), &["tags"], "openhands/pipe")]
fn a_fifo_is_refused_by_name_and_never_waited_for(
    #[case] project: Project,
    #[case] arguments: &[&str],
    #[case] path: &str,
) {
    fifo(&project, path);
    let (code, said) = ended(started(project.command(arguments)), LONG);
    assert!(matches!(code, Some(1 | 2)), "{code:?}: {said}");
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    assert!(said.starts_with("error: ") && said.contains(name), "{said}");
}

/// git does not list it, and the lock file is not made anew in silence.
#[test]
fn a_fifo_for_a_lock_file_is_refused_in_a_git_work_tree_too() {
    let project = Project::hello();
    project.git_init();
    fifo(&project, "Cargo.lock");
    let (code, said) = ended(started(project.command(&["tags"])), LONG);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Cargo.lock"), "{said}");
}
