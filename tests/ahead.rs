//! The engine is asked for last time's image while the project is read, and the answer counts only where it is asked for
//! just that. A stand-in for docker records what it is asked: an engine would answer too soon to tell.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::{Project, Run, stand_in_docker};
use tempfile::TempDir;

/// Tells of the images that were put into its folder. While `fails` is there, it is taken away and the call fails.
const DOCKER: &str = r#"echo "$@" >>"$D/log"
if rm "$D/fails" 2>/dev/null; then echo 'no answer' >&2; exit 1; fi
if [ "$1" = buildx ]; then echo 'Driver: docker'; exit; fi
shift 2
for name; do
    if [ -e "$D/${name##*:}" ]; then cat "$D/${name##*:}"; exit; fi
    echo "Error: No such image: $name" >&2
done
echo '[]'
exit 1
"#;

/// Lets a project be read only when docker was asked.
const GIT: &str = r#"for _ in $(seq 100); do [ -s "$D/log" ] && exec "$REAL_GIT" "$@"; sleep 0.1; done
echo 'docker was not asked while the project was read' >&2; exit 1
"#;

struct Asked {
    project: Project,
    folder: TempDir,
    path: String,
}

impl Asked {
    fn new() -> Self {
        let project = Project::bare_custom();
        project.git_init();
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = stand_in_docker(folder.path(), DOCKER);
        let asked = Self { project, folder, path };
        asked.add_image();
        asked
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        command.env("PATH", &self.path).env("D", self.folder.path());
        command
    }

    /// Lets the project's image exist, as it is now.
    fn add_image(&self) {
        let folder = self.folder.path().join("staged/context");
        let chosen = format!("--build-folder={}", folder.display());
        let (report, _) = self.project.json(&["--dry-run", "--force-rebuild", "--platform=linux/amd64", &chosen]);
        let text = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let labels = text.lines().filter_map(|line| line.trim_start_matches("LABEL ").trim().split_once('='));
        let labels: serde_json::Map<String, Value> = labels
            .filter(|(key, _)| key.contains("hash") || key.contains("kind"))
            .map(|(key, value)| (key.to_owned(), value.trim_end_matches([' ', '\\']).trim_matches('"').into()))
            .collect();
        let name = report["image"].as_str().unwrap();
        let image = json!([{
            "Id": format!("sha256:{}", "a".repeat(64)),
            "RepoTags": [name],
            "Os": "linux",
            "Architecture": "amd64",
            "Config": { "Labels": labels },
        }]);
        fs::write(self.folder.path().join(name.rsplit_once(':').unwrap().1), image.to_string()).unwrap();
    }

    /// Plans, and gives the action and the questions that docker was asked.
    fn plan(&self) -> (String, Vec<String>) {
        let _ = fs::remove_file(self.folder.path().join("log"));
        let output = self.command(&["plan", "--platform=linux/amd64", "--message-format=json"]).output().unwrap();
        let run = Run::from(output);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(!run.stderr.contains("no answer"), "{}", run.stderr);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        (report["action"].as_str().unwrap().to_owned(), self.log())
    }

    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn question(&self) -> String {
        format!("image inspect {}", self.project.name(&self.project.tags(&[])[0]))
    }

    /// Lets reading the project wait for docker.
    fn let_git_wait(&self) -> PathBuf {
        let file = self.folder.path().join("git");
        let paths = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&paths).map(|folder| folder.join("git")).find(|path| path.is_file()).unwrap();
        let script = GIT.replace("$REAL_GIT", real.to_str().unwrap());
        fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }
}

#[test]
fn the_engine_is_asked_once_and_while_the_project_is_read() {
    let asked = Asked::new();
    let question = asked.question();
    assert_eq!(asked.plan(), ("reuse".to_owned(), vec![question.clone()]));
    asked.let_git_wait();
    assert_eq!(asked.plan(), ("reuse".to_owned(), vec![question]));
}

#[test]
fn the_answer_for_another_name_does_not_count() {
    let asked = Asked::new();
    let before = asked.question();
    asked.plan();
    asked.project.write("app", "y");
    let (action, questions) = asked.plan();
    assert_eq!(action, "build");
    assert_eq!(questions[..2], [before, asked.question()]);
    asked.add_image();
    assert_eq!(asked.plan().0, "reuse");
}

#[test]
fn where_the_engine_gives_no_answer_it_is_asked_again() {
    let asked = Asked::new();
    asked.plan();
    fs::write(asked.folder.path().join("fails"), "").unwrap();
    let question = asked.question();
    assert_eq!(asked.plan(), ("reuse".to_owned(), vec![question.clone(), question]));
}

#[test]
fn an_image_that_is_gone_is_not_reused() {
    let asked = Asked::new();
    asked.plan();
    fs::remove_file(asked.folder.path().join(asked.project.tags(&[])[0].clone())).unwrap();
    assert_eq!(asked.plan().0, "build");
}

#[test]
fn names_are_told_without_an_engine() {
    let asked = Asked::new();
    asked.plan();
    fs::remove_file(asked.folder.path().join("log")).unwrap();
    assert!(asked.command(&["tags"]).output().unwrap().status.success());
    assert_eq!(asked.log(), Vec::<String>::new());
}
