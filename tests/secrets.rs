//! What is secret is kept from everything that this tool shows, writes or starts: each secret is a marker, and after a
//! run no marker is anywhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use support::{Project, Run, stand_in_docker};
use tempfile::TempDir;

const ARGUMENT: &str = "m4rk-argument";
const PLAIN_ARGUMENT: &str = "m4rk-plainly named";
const ARGUMENT_IN_FILE: &str = "m4rk-argument-in-file";
const SECRET_IN_FILE: &str = "m4rk-secret-in-file";
const SECRET_IN_VARIABLE: &str = "m4rk-secret-in-variable";
const PROXY_PASSWORD: &str = "m4rk-proxy";
const REGISTRY_PASSWORD: &str = "m4rk-registry";
const ORIGIN_PASSWORD: &str = "m4rk-origin";
const ORIGIN_QUERY: &str = "m4rk-query";
const CACHE_KEY: &str = "m4rk-cache-key";
/// What every marker holds.
const ANY_MARKER: &str = "m4rk";

/// Knows no image, has an engine, and fails to build. Notes how it was called, and with which environment.
const DOCKER: &str = r#"
for argument in "$@"; do printf '%s\n' "$argument"; done >>"$NOTES/arguments"
env >>"$NOTES/environment"
case "$1 $2" in
    "image inspect") echo '[]'; shift 2; for image in "$@"; do echo "Error: No such image: $image" >&2; done; exit 1;;
    "buildx inspect") printf 'Name: default\nDriver: docker\nPlatforms: linux/amd64, linux/arm64\n';;
    "info "*) echo '[["driver-type","io.containerd.snapshotter.v1"]]';;
    "buildx build") echo 'ERROR: failed to solve: this stand-in builds nothing' >&2; exit 1;;
    *) echo "stand-in: $*" >&2; exit 1;;
esac"#;

/// A project with a secret wherever one can be, and the folders that a run may write to.
struct Guarded {
    project: Project,
    /// Holds `cache` and `tmp`, which runs write to, and what the user keeps secret.
    folder: TempDir,
    path: String,
}

impl Guarded {
    fn new(project: Project) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["cache", "tmp", "bin", "notes", "own/config"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let own = |name: &str| folder.path().join("own").join(name);
        fs::write(own("token"), SECRET_IN_FILE).unwrap();
        let auths = format!(r#"{{"auths":{{"registry.invalid":{{"identitytoken":"{REGISTRY_PASSWORD}"}}}}}}"#);
        fs::write(own("config/config.json"), auths).unwrap();
        let (path, _) = stand_in_docker(&folder.path().join("bin"), DOCKER);
        Self { project, folder, path }
    }

    /// A custom project: its configuration is not among its sources.
    fn custom() -> Self {
        let project = Project::empty();
        project
            .write("app", "hello\n")
            .write("lock", "x\n")
            .write(
                "runtime-image.toml",
                format!(
                    "version = \"1.0\"\nlock-files = [\"lock\"]\nsource = [\"app\"]\n\
                     build-arg = [\"FILE_PASSWORD={ARGUMENT_IN_FILE}\"]\n"
                ),
            )
            .git_init()
            .git(&["remote", "add", "origin", &origin()]);
        Self::new(project)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        let proxy = format!("http://user:{PROXY_PASSWORD}@proxy.invalid:3128");
        command
            .env("RUNTIME_IMAGE_PLATFORM", "linux/amd64")
            .env("PATH", &self.path)
            .env("NOTES", self.file("notes"))
            .env("XDG_CACHE_HOME", self.file("cache"))
            .env("TMPDIR", self.file("tmp"))
            .env("DOCKER_CONFIG", self.file("own/config"))
            .env("HTTPS_PROXY", &proxy)
            .env("http_proxy", &proxy)
            .env("A_SECRET", SECRET_IN_VARIABLE);
        command
    }

    /// Runs a subcommand with all kinds of secrets.
    fn run(&self, arguments: &[&str]) -> Run {
        let token = format!("id=token,src={}", self.file("own/token").display());
        let (argument, plain) = (format!("API_TOKEN={ARGUMENT}"), format!("GREETING={PLAIN_ARGUMENT}"));
        let file = format!("FILE_PASSWORD={ARGUMENT_IN_FILE}");
        let secrets = ["--secret", &token, "--secret", "id=other,env=A_SECRET"];
        let arguments_of_the_build = ["--build-arg", &argument, "--build-arg", &plain, "--build-arg", &file];
        Run::from(self.command(&[arguments, &secrets, &arguments_of_the_build].concat()).output().unwrap())
    }

    fn notes(&self, name: &str) -> String {
        fs::read_to_string(self.file("notes").join(name)).unwrap_or_default()
    }

    /// No marker is in what was shown, in what was written, or in what docker was given as arguments.
    fn assert_hidden(&self, run: &Run) {
        assert_no_marker("stdout", &run.stdout);
        assert_no_marker("stderr", &run.stderr);
        assert_no_marker("the arguments of docker", &self.notes("arguments"));
        for folder in [self.file("cache"), self.file("tmp"), self.project.root.join("target")] {
            files_below(&folder).iter().for_each(|file| assert_no_marker_in(file));
        }
    }
}

fn origin() -> String {
    format!("https://user:{ORIGIN_PASSWORD}@git.invalid/team/app.git?private_token={ORIGIN_QUERY}#{ORIGIN_QUERY}")
}

fn assert_no_marker(what: &str, text: &str) {
    let found: Vec<&str> = text.lines().filter(|line| line.contains(ANY_MARKER)).collect();
    assert!(found.is_empty(), "{what} shows a secret:\n{}", found.join("\n"));
}

fn assert_no_marker_in(file: &Path) {
    let name = file.display().to_string();
    assert_no_marker("a file's name", &name);
    assert_no_marker(&name, &String::from_utf8_lossy(&fs::read(file).unwrap()));
}

/// All files below a folder, which need not be there.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}

#[rstest]
#[case::tags(&["tags"], 0)]
#[case::tags_as_json(&["tags", "--message-format", "json"], 0)]
#[case::plan(&["plan"], 0)]
#[case::plan_told_in_full(&["plan", "-v", "--message-format", "json"], 0)]
#[case::dry_run(&["build", "-v", "--dry-run"], 0)]
#[case::failing_build(&["build", "-v"], 101)]
#[case::failing_build_told_briefly(&["build", "-q", "--message-format", "json"], 101)]
fn no_secret_is_shown_or_written(#[case] arguments: &[&str], #[case] code: i32) {
    let guarded = Guarded::custom();
    let run = guarded.run(arguments);
    assert_eq!(run.code, Some(code), "{}", run.stderr);
    guarded.assert_hidden(&run);
    if code == 101 || arguments.contains(&"--dry-run") {
        let staged = files_below(&guarded.file("cache"));
        assert!(staged.iter().any(|file| file.ends_with("Dockerfile")), "nothing was staged: {staged:?}");
    }
}

#[test]
fn build_arguments_reach_docker_by_name() {
    let guarded = Guarded::custom();
    let run = guarded.run(&["build", "-v"]);
    let (arguments, environment) = (guarded.notes("arguments"), guarded.notes("environment"));
    for (name, value) in [("API_TOKEN", ARGUMENT), ("GREETING", PLAIN_ARGUMENT), ("FILE_PASSWORD", ARGUMENT_IN_FILE)] {
        assert!(arguments.contains(&format!("\n--build-arg\n{name}\n")), "{arguments}");
        assert!(environment.contains(&format!("\n{name}={value}\n")), "{name}");
        assert!(run.stderr.contains(&format!(" --build-arg {name} ")), "{}", run.stderr);
    }
}
