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
for context in "$@"; do :; done
[ ! -d "$context" ] || stat -c '%a' "$context" "$context/.." >>"$NOTES/modes"
for argument in "$@"; do printf '%s\n' "$argument"; done >>"$NOTES/arguments"
env >>"$NOTES/environment"
case "$1 $2" in
    "image inspect") echo '[]'; shift 2; for image in "$@"; do echo "Error: No such image: $image" >&2; done; exit 1;;
    "buildx inspect") printf 'Name: default\nDriver: docker\nPlatforms: linux/amd64, linux/arm64\n';;
    "info "*) echo '[["driver-type","io.containerd.snapshotter.v1"]]';;
    "buildx build") echo 'ERROR: failed to solve: this stand-in builds nothing' >&2; exit 1;;
    *) echo "stand-in: $*" >&2; exit 1;;
esac"#;

/// One stage, so that the first build is given the build arguments.
const TEMPLATE: &str = "FROM {{ base_image }}
{%- for name, value in labels|items %}
LABEL {{ name }}={{ value|literal }}
{%- endfor %}
COPY code/ /app/
";

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
            .write("image.j2", TEMPLATE)
            .write(
                "runtime-image.toml",
                format!(
                    "version = \"1.0\"\ntemplate = \"image.j2\"\nlock-files = [\"lock\"]\nsource = [\"app\"]\n\
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
        Run::from(self.command_with_secrets(arguments).output().unwrap())
    }

    fn command_with_secrets(&self, arguments: &[&str]) -> Command {
        let token = format!("id=token,src={}", self.file("own/token").display());
        let (argument, plain) = (format!("API_TOKEN={ARGUMENT}"), format!("GREETING={PLAIN_ARGUMENT}"));
        let file = format!("FILE_PASSWORD={ARGUMENT_IN_FILE}");
        let secrets = ["--secret", &token, "--secret", "id=other,env=A_SECRET"];
        let arguments_of_the_build = ["--build-arg", &argument, "--build-arg", &plain, "--build-arg", &file];
        self.command(&[arguments, &secrets, &arguments_of_the_build].concat())
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

/// A secret that could only be given as docker's own variable, or as an argument that everybody sees.
#[rstest]
#[case("AWS_SECRET_ACCESS_KEY=m4rk")]
#[case("HTTPS_PROXY=http://user:m4rk@proxy.invalid:1")]
fn a_build_argument_that_docker_reads_itself_is_never_seen(#[case] argument: &str) {
    let guarded = Guarded::custom();
    let mut command = guarded.command(&["build", "-v", "--build-arg", argument]);
    let refused = Run::from(command.env_remove("HTTPS_PROXY").output().unwrap());
    refused.fails_with(2, &["cannot be handed on unseen", "hint: ", "--secret"]);
    guarded.assert_hidden(&refused);

    let (name, value) = argument.split_once('=').unwrap();
    let run = Run::from(command.env(name, value).output().unwrap());
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    assert!(guarded.notes("arguments").contains(&format!("\n--build-arg\n{name}\n")), "{}", guarded.notes("arguments"));
    guarded.assert_hidden(&run);
}

#[test]
fn a_build_argument_does_not_change_docker_itself() {
    let guarded = Guarded::custom();
    let arguments = ["--build-arg", "DOCKER_HOST=tcp://nowhere.invalid", "--build-arg", "PATH=/nowhere"];
    let run = Run::from(guarded.command(&[&["build", "-v"], &arguments[..]].concat()).output().unwrap());
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    let (arguments, environment) = (guarded.notes("arguments"), guarded.notes("environment"));
    for pair in ["DOCKER_HOST=tcp://nowhere.invalid", "PATH=/nowhere"] {
        assert!(arguments.contains(&format!("\n--build-arg\n{pair}\n")), "{arguments}");
        assert!(!environment.contains(&format!("\n{pair}\n")), "{environment}");
    }
    assert!(run.stderr.contains("--build-arg 'PATH=***'"), "{}", run.stderr);
}

#[test]
fn a_build_argument_that_is_named_like_a_secret_is_warned_of_once() {
    let run = Guarded::custom().run(&["tags"]);
    let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning: the build arg")).collect();
    assert_eq!(
        warnings,
        ["warning: the build arguments `API_TOKEN`, `FILE_PASSWORD` look like secrets, and their values will be in \
          the image's history; steps that fetch take `--secret`"],
        "{}",
        run.stderr
    );
    let run = Project::hello().ok(&["tags", "--build-arg", "PROFILE=x"]);
    assert_eq!(run.stderr, "", "no secret");
}

/// The host and the path stay, where they are known to be no more than that.
#[rstest]
#[case("https://user:m4rk@git.invalid/team/app.git", Some("https://git.invalid/team/app.git"))]
#[case("https://git.invalid/team/app.git?token=m4rk", Some("https://git.invalid/team/app.git"))]
#[case("https://git.invalid/team/app.git#m4rk", Some("https://git.invalid/team/app.git"))]
#[case("m4rk@git.invalid:team/app.git", Some("git.invalid:team/app.git"))]
#[case("git@git.invalid:team/app.git", Some("git@git.invalid:team/app.git"))]
#[case("ext::sh -c 'echo m4rk %S'", None)]
#[case("codecommit::eu-west-1://m4rk@app", None)]
#[case("/srv/m4rk:x/app.git", None)]
fn the_origin_is_labelled_without_credentials(#[case] origin: &str, #[case] expected: Option<&str>) {
    let guarded = Guarded::custom();
    guarded.project.git(&["remote", "set-url", "origin", origin]);
    let run = guarded.run(&["build", "-v", "--dry-run"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    guarded.assert_hidden(&run);
    let files = files_below(&guarded.file("cache"));
    let dockerfile = fs::read_to_string(files.iter().find(|file| file.ends_with("Dockerfile")).unwrap()).unwrap();
    let label = dockerfile.lines().find_map(|line| line.strip_prefix("LABEL org.opencontainers.image.source="));
    assert_eq!(label, expected.map(|url| format!("\"{url}\"")).as_deref(), "{dockerfile}");
}

#[rstest]
#[case::repository(&["--repository", "https://user:m4rk@registry.invalid/app"])]
#[case::repository_without_a_scheme(&["--repository", "user:m4rk@registry.invalid/app"])]
#[case::base_image(&["--base-image", "m4rk@registry.invalid:5000/rust"])]
#[case::cache(&["--cache", "registry=user:m4rk@registry.invalid/cache"])]
#[case::cache_of_no_type(&["--cache", "gha,token=m4rk"])]
#[case::build_argument_without_a_name(&["--build-arg", "m4rk"])]
#[case::build_argument_with_a_wrong_name(&["--build-arg", "MY-TOKEN=m4rk"])]
#[case::build_argument_after_the_dashes(&["--", "--build-arg", "X=m4rk"])]
#[case::word_after_the_dashes(&["--", "X=m4rk"])]
#[case::build_context_after_the_dashes(&["--", "--build-context", "x=https://user:m4rk@host.invalid/x"])]
#[case::secret(&["--secret", "TOKEN=m4rk"])]
#[case::secret_alone(&["--secret", "m4rk"])]
#[case::ssh(&["--ssh", "-----BEGIN KEY-----\nm4rk"])]
#[case::variable_of_the_image(&["--env", "m4rk"])]
#[case::variable_of_several_lines(&["--env", "A=m4rk\r"])]
#[case::flag_without_a_meaning(&["--registry-token=m4rk"])]
#[case::url_in_the_place_of_a_number(&["--registry-timeout", "https://user:m4rk@registry.invalid"])]
#[case::word_in_the_place_of_a_subcommand(&["API_TOKEN=m4rk"])]
fn a_refused_value_is_not_repeated(#[case] arguments: &[&str]) {
    let guarded = Guarded::custom();
    let run = Run::from(guarded.command(&[&["-v"], arguments].concat()).output().unwrap());
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    guarded.assert_hidden(&run);
    assert!(run.stderr.lines().any(|line| line.starts_with("error: ")), "{}", run.stderr);
}

#[rstest]
#[case("build-arg = \"API_TOKEN=m4rk\"\n")]
#[case("build-arg = [\"API_TOKEN=m4rk\"\n")]
#[case("repository = \"user:m4rk@registry.invalid/x\"\n")]
#[case("secret = [\"TOKEN=m4rk\"]\n")]
fn a_value_of_a_wrong_file_is_not_repeated(#[case] text: &str) {
    let guarded = Guarded::custom();
    guarded.project.write("runtime-image.toml", format!("lock-files = [\"lock\"]\nversion = \"1\"\n{text}"));
    let run = Run::from(guarded.command(&["plan", "-v"]).env_remove("RUNTIME_IMAGE_REPOSITORY").output().unwrap());
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    guarded.assert_hidden(&run);
}

/// These are the user's own words for docker, which is given them. No line shows them.
#[test]
fn keys_of_caches_are_shown_in_no_command() {
    let guarded = Guarded::custom();
    let cache = format!("type=s3,region=x,bucket=y,secret_access_key={CACHE_KEY}");
    let arguments = ["build", "-v", "--cache-to", &cache, "--", "--cache-from", &cache];
    let run = Run::from(guarded.command(&arguments).output().unwrap());
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    assert_no_marker("stderr", &run.stderr);
    assert!(run.stderr.contains("type=s3,region=x,bucket=y,secret_access_key=***"), "{}", run.stderr);
    assert!(guarded.notes("arguments").contains(CACHE_KEY), "docker was not given the key");
}

/// Whatever the umask: a copy of a file is readable for nobody else. What an image gets has its usual mode.
#[rstest]
#[case("000")]
#[case("022")]
#[case("077")]
fn copies_of_sources_are_for_this_user_alone(#[case] umask: &str) {
    let guarded = Guarded::custom();
    // The built-in template has a stage for the dependencies, which is built first.
    guarded.project.edit("runtime-image.toml", "template = \"image.j2\"\n", "");
    fs::set_permissions(guarded.project.root.join("app"), fs::Permissions::from_mode(0o600)).unwrap();
    let tool = guarded.command(&["build", "--cache", "local"]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask {umask}; exec \"$0\" build --cache local \"$@\""), support::COMMAND]);
    for (name, value) in tool.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let run = Run::from(command.current_dir(&guarded.project.root).output().unwrap());
    assert_eq!(run.code, Some(101), "{}", run.stderr);

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let files = files_below(&guarded.file("cache"));
    let log = files.iter().find(|file| file.extension().is_some_and(|of| of == "log")).unwrap();
    let folder = log.with_extension("");
    assert_eq!((mode(log), mode(folder.parent().unwrap())), (0o600, 0o700), "the log, and the folder around");
    for (path, expected) in [("Dockerfile", 0o644), ("code/app", 0o644), ("code", 0o755), ("steps", 0o755)] {
        assert_eq!(mode(&folder.join(path)), expected, "{path}");
    }
    let chosen = guarded.file("tmp/chosen");
    let status = command.arg("--dry-run").arg("--build-folder").arg(&chosen).output().unwrap().status;
    assert!(status.success());
    assert_eq!((mode(&chosen), mode(&chosen.join("code/app"))), (0o700, 0o644), "a build folder of the user's choice");
    assert_eq!(mode(&guarded.file("cache/cargo-runtime-image/build-cache")), 0o700, "the folder of build caches");
    assert_eq!(guarded.notes("modes"), "755\n700\n", "what the dependencies are built from, and the folder around it");
}

#[test]
fn files_that_look_like_secrets_can_be_forbidden() {
    let project = Project::hello();
    project.write(".env", "A=b\n").write("deploy/id_rsa", "x");
    assert!(project.ok(&["tags"]).stderr.contains("warning: 2 files look like secrets"));
    let run = project.run(&["tags", "--deny-secrets"]);
    run.fails_with(1, &["2 files look like secrets", "`.env`", "`deploy/id_rsa`", "`deny-secrets`"]);
    run.fails_with(1, &["hint: name them in `.runtime-image-ignore`, or in `allow-secrets` if they are meant"]);
    project.write("runtime-image.toml", "deny-secrets = true\nallow-secrets = [\".env\"]\n");
    project.run(&["build", "--dry-run"]).fails_with(1, &["`deploy/id_rsa` looks like a secret", "hint: name it in"]);
    assert!(!project.root.join("target").exists(), "something was staged");
    project.write(".runtime-image-ignore", "deploy/\n");
    assert_eq!(project.ok(&["tags"]).stderr, "");
    project.ok(&["tags", "--deny-secrets=false", "--allow-secret", "none"]);
}

/// Names of files can hold all of these: an escape sequence, one of C1, an override of direction, a line break.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r\nerror: forged";

fn assert_harmless(what: &str, text: &str) {
    let obeyed =
        |character: char| (character.is_control() && character != '\n') || matches!(character, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(obeyed), "{what} holds what a terminal obeys: {text:?}");
    assert!(!text.contains("\nerror: forged"), "{what} holds a line of another's making: {text:?}");
}

#[test]
fn no_name_of_a_file_reaches_the_terminal_as_it_is() {
    let project = Project::hello();
    let json = ["--message-format", "json"];
    let folder = format!("../{HOSTILE}");
    project.write(&format!("{HOSTILE}/.env"), "x");
    for arguments in [
        &["tags", "-v"][..],
        &["--dry-run", "--force-rebuild", "-v", "--build-folder", &folder],
        &[&["--dry-run", "--force-rebuild", "--build-folder", &folder], &json[..]].concat(),
        &["--template", &folder],
        &[&folder],
        &["--no-such-flag", &folder],
        &[&format!("--{HOSTILE}")],
        &["--kind", &folder],
        &["--project-root", &folder],
        &["--ca-bundle", &folder],
        &["--build-folder", HOSTILE, "--dry-run", "--force-rebuild"],
        &["man", &format!("{folder}/man")],
        &["--", &folder],
    ] {
        let run = project.run(arguments);
        assert_harmless(&format!("stdout of {arguments:?}"), &run.stdout);
        assert_harmless(&format!("stderr of {arguments:?}"), &run.stderr);
        assert!(!run.stderr.is_empty() || run.stdout.contains("u{1b}"), "{arguments:?} says nothing");
    }
    let folder = format!("../staged/{HOSTILE}");
    let run = project.ok(&[&["--dry-run", "--force-rebuild", "--build-folder", &folder], &json[..]].concat());
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(report["build_folder"].as_str().unwrap().ends_with(HOSTILE), "the JSON names another folder");
}

/// On the engine, through a `docker` that notes its arguments and passes them on: the image is built, and the build sees
/// what it was given.
#[test]
fn no_secret_is_shown_or_written_where_an_image_is_built() {
    let mut guarded = Guarded::custom();
    let bases = support::debian_base();
    let (path, real) = stand_in_docker(
        &guarded.file("bin"),
        r#"for argument in "$@"; do printf '%s\n' "$argument"; done >>"$NOTES/arguments"; exec "$REAL_DOCKER" "$@""#,
    );
    guarded.path = path;
    guarded.project.base_image = bases;
    let template = TEMPLATE.replace(
        "COPY",
        "ARG GREETING API_TOKEN FILE_PASSWORD
RUN --mount=type=secret,id=token --mount=type=secret,id=other \\
    cat /run/secrets/token /run/secrets/other; \\
    echo \"$(printenv GREETING) $API_TOKEN $FILE_PASSWORD $(cat /run/secrets/token /run/secrets/other)\" | md5sum >/seen
COPY",
    );
    guarded.project.write("image.j2", template);
    // The credentials of the test engine's registry stay beside those of the marker.
    let own = guarded.file("own/config");
    let of_engine = std::env::var("DOCKER_CONFIG").unwrap_or_default();
    let plugins = Path::new(&of_engine).join("cli-plugins");
    if plugins.is_dir() {
        std::os::unix::fs::symlink(plugins, own.join("cli-plugins")).unwrap();
    }
    let text = fs::read_to_string(Path::new(&of_engine).join("config.json")).unwrap_or_else(|_| "{}".to_owned());
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["auths"]["registry.invalid"]["identitytoken"] = REGISTRY_PASSWORD.into();
    fs::write(own.join("config.json"), config.to_string()).unwrap();

    let mut command = guarded.command_with_secrets(&["build", "-v", "--message-format", "json"]);
    let run = Run::from(command.env("REAL_DOCKER", real).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    guarded.assert_hidden(&run);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let image = report["image"].as_str().unwrap();
    assert_no_marker("a label", &support::docker(&["image", "inspect", "--format", "{{json .Config}}", image]));
    let seen = format!("{PLAIN_ARGUMENT} {ARGUMENT} {ARGUMENT_IN_FILE} {SECRET_IN_FILE}{SECRET_IN_VARIABLE}\n");
    let expected = runtime_image::hash::md5_hex(seen.as_bytes());
    assert_eq!(support::run_image(image, &["cat", "/seen"]).trim(), format!("{expected}  -"), "{}", run.stderr);
}
