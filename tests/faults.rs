//! What must hold whatever becomes of the run, of other runs and of the engine: a name never leads to another image than
//! the one it says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use support::proxy::{Answer, Proxy};
use support::{Project, Run, image_exists, kill, processes_naming, registry, run_image, runs_at_once, stand_in_docker};

/// Starts the command and waits until its stderr holds `word`.
fn started_until(mut command: std::process::Command, word: &str) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains(word)), "{word:?} was never said");
    thread::spawn(move || lines.for_each(drop));
    child
}

fn killed(mut child: Child) {
    kill("KILL", &child.id().to_string());
    child.wait().unwrap();
}

fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_build_ends_with_a_run_that_is_killed_and_the_next_run_finds_nothing_of_it() {
    let project = Project::small();
    let slow = format!("echo killed-{}; sleep 300", std::process::id());
    let arguments = ["--extra-deps", &slow];
    killed(started_until(project.command(&arguments), " killed-"));
    let words = [&*project.repository, &*project.root.display().to_string()];
    wait_until("an orphan is left", || processes_naming(&words).is_empty());
    for tag in project.tags(&arguments) {
        assert!(!image_exists(&project.name(&tag)), "{tag} is there");
    }
    assert!(run_image(project.ok(&[]).image(), &[]).starts_with("hello from "));
    assert_eq!(project.left_beside_build_folders(), Vec::<String>::new());
}

/// As docker loses a signal at times: this one loses the first that it is sent.
#[test]
fn a_build_ends_with_a_run_that_is_killed_although_a_signal_is_lost() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let loses_one = "trap 'trap \"exit 143\" TERM' TERM; echo started >&2; while :; do sleep 0.1; done";
    let (path, _) = stand_in_docker(folder.path(), &without_images(loses_one));
    let mut command = project.command(&["--platform", "linux/amd64"]);
    command.env("PATH", &path);
    killed(started_until(command, "started"));
    wait_until("an orphan is left", || processes_naming(&[&folder.path().display().to_string()]).is_empty());
}

/// As an OOM killer or a time-out of the caller ends a run: while the base image's registry is slow to answer.
#[test]
fn no_name_leads_to_the_files_of_another_run_after_one_was_killed() {
    let slow = std::sync::Arc::new(AtomicBool::new(true));
    let is_slow = slow.clone();
    let proxy = Proxy::new(&registry(), move |request, _| {
        if request.is_for_manifest() && is_slow.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_secs(2));
        }
        Answer::Forward
    });
    let mut project = Project::small();
    project.base_image = format!("{}/debian:bookworm", proxy.address);
    project.write("app", "echo A\n");
    killed(started_until(project.command(&[]), "load metadata"));
    project.write("app", "echo B\n");
    slow.store(false, Ordering::SeqCst);
    let b = project.ok(&[]).image().to_owned();
    thread::sleep(Duration::from_secs(3));
    project.write("app", "echo A\n");
    let a = project.ok(&[]).image().to_owned();
    assert_eq!((run_image(&a, &[]).as_str(), run_image(&b, &[]).as_str()), ("A\n", "B\n"));
}

#[test]
fn a_lock_is_held_until_the_killed_run_s_build_has_ended() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    // A build that does not end when it is told to.
    let build = "trap '' TERM; echo started >&2; sleep 2; echo ended >>\"$LOG\"";
    let (path, _) = stand_in_docker(folder.path(), &without_images(build));
    let log = folder.path().join("log");
    let command = || {
        let mut command = project.command(&["--platform", "linux/amd64"]);
        command.env("PATH", &path).env("LOG", &log);
        command
    };
    let first = started_until(command(), "started");
    let process = first.id();
    killed(first);
    let run = Run::from(command().output().unwrap());
    let blocking = format!("Blocking waiting for another run (process {process}) to finish with image `");
    assert!(run.stderr.contains(&blocking), "{}", run.stderr);
    assert_eq!(fs::read_to_string(&log).unwrap(), "ended\nended\n");
}

#[test]
fn another_run_is_not_waited_for_for_ever() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = stand_in_docker(folder.path(), &without_images("echo started >&2; exec sleep 60"));
    let command = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("PATH", &path);
        command
    };
    let mut first = started_until(command(&["--platform", "linux/amd64"]), "started");
    let run = Run::from(command(&["--platform", "linux/amd64", "--lock-timeout", "1"]).output().unwrap());
    let cause = format!("waited for 1 s (process {})", first.id());
    run.fails_with(
        1,
        &[
            "error: another run does not finish with image `",
            &cause,
            "hint: end that run if it hangs, or wait longer with `--lock-timeout`",
        ],
    );
    kill("TERM", &first.id().to_string());
    assert_eq!(first.wait().unwrap().code(), Some(143));
}

#[test]
fn different_trees_with_the_same_dependencies_build_these_once() {
    let runs = runs_at_once(&Project::small(), &[0, 1, 2, 3, 4, 5]);
    let built = runs.iter().filter(|run| run.stderr.contains("Building the dependencies")).count();
    assert_eq!(built, 1, "{runs:#?}");
}

#[test]
fn a_run_that_waited_finds_the_tree_as_it_is_then() {
    let project = Project::small();
    let clone = project.cloned();
    project.write("app", "sleep 1; echo first\n");
    let first = started_until(project.command(&[]), "Building the dependencies");
    let second = started_until(clone.command(&[]), "Blocking");
    clone.write("app", "echo edited\n");
    let runs = [first, second].map(|child| Run::from(child.wait_with_output().unwrap()));
    let printed = runs.each_ref().map(|run| run_image(run.image(), &[]));
    assert_eq!(printed, ["first\n", "edited\n"]);
}

#[test]
fn a_tree_that_is_edited_all_the_time_is_read_until_it_holds_still() {
    let project = Project::small();
    project.ok(&[]);
    let ended = AtomicBool::new(false);
    let codes: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                project.write("app", format!("echo {number}\n"));
                thread::sleep(Duration::from_millis(250));
            }
        });
        let runs: Vec<Run> = (0..5).map(|_| project.run(&[])).collect();
        ended.store(true, Ordering::SeqCst);
        runs.iter().map(|run| (run.code, run.stderr.clone())).collect()
    });
    assert!(codes.iter().all(|(code, _)| *code == Some(0)), "{codes:#?}");
}

#[test]
fn an_engine_that_stays_silent_is_an_error_in_time() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || std::io::copy(&mut stream.unwrap(), &mut std::io::sink()));
        }
    });
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        let started = Instant::now();
        (Run::from(command.output().unwrap()), started.elapsed())
    };
    for arguments in [&["plan"][..], &[], &["--dry-run"], &["--force-rebuild"]] {
        let (run, took) = run(&[arguments, &["--engine-timeout", "1"]].concat());
        run.fails_with(
            1,
            &["error: `docker` does not answer", "no answer within 1 s", "hint: `docker info`", "--engine-timeout"],
        );
        assert!(took < Duration::from_secs(4), "{arguments:?} took {took:?}");
    }
    let (run, _) = run(&["plan", "--engine-timeout", "6"]);
    let waiting = run.stderr.lines().find(|line| line.contains("Waiting for `"));
    assert!(
        waiting.is_some_and(|line| line.contains("image inspect") && line.ends_with(" to answer")),
        "{}",
        run.stderr
    );
}

#[test]
fn a_warning_of_docker_is_no_failure() {
    let project = Project::small();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), "{ no JSON").unwrap();
    let own = std::env::var("DOCKER_CONFIG").unwrap_or_else(|_| format!("{}/.docker", std::env::var("HOME").unwrap()));
    symlink(Path::new(&own).join("cli-plugins"), folder.path().join("cli-plugins")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        Run::from(command.env("DOCKER_CONFIG", folder.path()).output().unwrap())
    };
    let built = run(&[]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let again = run(&[]);
    assert!(again.code == Some(0) && again.stderr.contains("Reusing"), "{}", again.stderr);
}

#[test]
fn a_cache_of_the_builder_that_a_killed_build_broke_is_not_used_again() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let build = "case \"$*\" in *--no-cache*) echo 'built anew' >&2;; \
        *) echo '#8 [1/2] RUN x'; echo '#8 CACHED'; echo '#9 exporting to image'; \
          for start in '#9 ERROR' 'ERROR: failed to solve'; do \
            echo \"$start: failed to commit a to b during finalize: failed to stat active key during commit: \
snapshot a does not exist: not found\"; done;; esac";
    let (path, _) = stand_in_docker(folder.path(), &without_images(build));
    let mut command = project.command(&["--platform", "linux/amd64"]);
    let run = Run::from(command.env("PATH", path).output().unwrap());
    assert!(run.stderr.contains("Building again from no cache: the builder's is broken"), "{}", run.stderr);
    assert_eq!(run.stderr.matches("built anew").count(), 2, "shown as it is built, and in the error:\n{}", run.stderr);
}

/// What a user's own environment tells docker and buildx must not make two images of one name.
#[test]
fn variables_that_decide_what_is_built_do_not_reach_docker() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let script = format!("env | grep -E '^(BUILDX_|DOCKER_DEFAULT|LC_ALL)' >>\"$LOG\"; {}", without_images(":"));
    let (path, _) = stand_in_docker(folder.path(), &script);
    let log = folder.path().join("log");
    let mut command = project.command(&["--platform", "linux/amd64"]);
    for (name, value) in [
        ("BUILDX_GIT_LABELS", "1"),
        ("BUILDX_NO_DEFAULT_ATTESTATIONS", "0"),
        ("BUILDX_METADATA_PROVENANCE", "max"),
        ("DOCKER_DEFAULT_PLATFORM", "linux/arm64"),
        ("BUILDX_BUILDER", "mine"),
        ("LC_ALL", "de_DE.UTF-8"),
    ] {
        command.env(name, value);
    }
    command.env("PATH", path).env("LOG", &log).output().unwrap();
    let seen: std::collections::BTreeSet<String> =
        fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    let expected = ["BUILDX_BUILDER=mine", "BUILDX_METADATA_PROVENANCE=disabled", "LC_ALL=C"].map(str::to_owned);
    assert_eq!(seen, expected.into());
}

#[test]
fn an_image_that_was_pulled_must_be_the_one_that_was_found() {
    let project = Project::small().in_registry();
    project.ok(&["--push"]);
    project.remove_from_engine();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "case \"$1 $2\" in \
         'image pull') touch \"$D/pulled\"; exec \"$REAL_DOCKER\" \"$@\";; \
         'image inspect') [ -e \"$D/pulled\" ] || exec \"$REAL_DOCKER\" \"$@\"; \
           \"$REAL_DOCKER\" \"$@\" | sed -E 's/sha256:[0-9a-f]{{64}}/{OTHER}/g';; \
         *) exec \"$REAL_DOCKER\" \"$@\";; esac"
    );
    let (path, real) = stand_in_docker(folder.path(), &script);
    let mut command = project.command(&["--push", "--load"]);
    command.env("PATH", path).env("REAL_DOCKER", real).env("D", folder.path());
    Run::from(command.output().unwrap()).fails_with(1, &["was pulled, but the engine has no such image for linux/"]);
    project.ok(&["--push", "--load"]);
}

/// The command in a mount namespace of its own, after `mounts`.
fn run_with_mounts(project: &Project, mounts: &str, arguments: &[&str]) -> Run {
    let mut command = std::process::Command::new("unshare");
    command.args([
        "--mount",
        "--map-root-user",
        "sh",
        "-ec",
        &format!("{mounts}; exec \"$@\""),
        "sh",
        support::COMMAND,
    ]);
    let own = project.command(arguments);
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Run::from(command.args(arguments).current_dir(&project.root).stdin(Stdio::null()).output().unwrap())
}

#[test]
fn a_full_disk_and_a_folder_that_cannot_be_written_are_told_with_the_way_out() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = stand_in_docker(folder.path(), &without_images(":"));
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    let build_folder = full.join("context").display().to_string();
    let arguments = ["--platform", "linux/amd64", "--dry-run", "--build-folder", &build_folder];
    let set_path = format!("export PATH='{path}'");
    let mounts = format!("{set_path}; mount -t tmpfs -o size=16k none {}", full.display());
    run_with_mounts(&project, &mounts, &arguments).fails_with(1, &["no space is left there", "`--build-folder`"]);
    let root = project.root.display();
    let mounts = format!("{set_path}; mount --bind {root} {root}; mount -o remount,bind,ro {root}; cd {root}");
    run_with_mounts(&project, &mounts, &["--platform", "linux/amd64"])
        .fails_with(1, &["hint: name a folder elsewhere with `--build-folder`"]);
    // The folder for temporary files is not needed.
    let mounts = format!(
        "{set_path}; mount -t tmpfs -o size=4k none {0}; head -c 9999 /dev/zero >{0}/x || :; export TMPDIR={0}",
        full.display()
    );
    let elsewhere = ["--platform", "linux/amd64", "--dry-run"];
    let run = run_with_mounts(&project, &mounts, &elsewhere);
    assert!(run.code == Some(0), "{}", run.stderr);
    // The caches are elsewhere, and the build folder can be.
    let mounts = format!("{set_path}; mount --bind {root} {root}; mount -o remount,bind,ro {root}; cd {root}");
    fs::remove_dir(&full).unwrap();
    let run = run_with_mounts(&project, &mounts, &arguments);
    assert!(run.code == Some(0) && full.join("context/Dockerfile").is_file(), "{}", run.stderr);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn locks_lie_where_nobody_else_can_write() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = stand_in_docker(folder.path(), &without_images(":"));
    let run = |environment: &[(&str, &Path)]| {
        let mut command = project.command(&["--platform", "linux/amd64"]);
        let run = Run::from(command.env("PATH", &path).envs(environment.iter().copied()).output().unwrap());
        assert!(run.stderr.contains("the build of `") || run.code == Some(1), "{}", run.stderr);
        run
    };
    let own = project.caches.join("cargo-runtime-image");
    fs::create_dir_all(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
    run(&[]);
    assert_eq!((mode(&own), mode(&own.join("locks"))), (0o700, 0o700));

    // A link in the place of the folder is not followed.
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(own.join("locks")).unwrap();
    symlink(&elsewhere, own.join("locks")).unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    run(&[("TMPDIR", &temporary)]);
    let below = fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    assert!(below.file_name().unwrap().to_str().unwrap().starts_with("cargo-runtime-image-"));
    assert_eq!(mode(&below), 0o700);

    // A folder for temporary files that is not there is not made.
    let missing = folder.path().join("missing");
    run(&[("TMPDIR", &missing)])
        .fails_with(1, &["cannot make the folder `", "is a link, or no folder", "XDG_CACHE_HOME"]);
    assert!(!missing.exists());
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

/// A `docker` that has no image, and builds like this before it fails.
fn without_images(build: &str) -> String {
    format!(
        "case \"$1 $2\" in \
         'image inspect') echo '[]'; shift 2; for name; do echo \"Error: No such image: $name\" >&2; done; exit 1;; \
         'buildx inspect') echo 'Driver: docker';; \
         'buildx build') {build}; exit 1;; \
         *) exit 1;; esac"
    )
}

/// What an engine answers that lies: what buildx writes of its build, and the image that the engine then has.
#[rstest]
#[case::no_metadata(None, MADE, "buildx ended well but wrote no metadata file")]
#[case::empty(Some(&b""[..]), MADE, "cannot understand the metadata file of buildx")]
#[case::cut_off(Some(&b"{\"containerimage.digest\": \"sha256:1"[..]), MADE, "cannot understand the metadata file of buildx")]
#[case::not_utf8(Some(&b"{\"image.name\": \"\xff\"}"[..]), MADE, "cannot understand the metadata file of buildx")]
#[case::a_list(Some(&b"[]"[..]), MADE, "the metadata file of buildx is not a JSON object")]
#[case::nothing_said(Some(&b"{}"[..]), MADE, "its metadata names no digest: what it made is not known")]
#[case::other_types(Some(&b"{\"containerimage.digest\": 7, \"image.name\": {}}"[..]), MADE, "its metadata names no digest")]
#[case::another_tag(Some(&b"{\"image.name\": \"localhost/x:1\", \"containerimage.digest\": \"MADE\"}"[..]), MADE, "its metadata is about `localhost/x:1`")]
#[case::another_image(Some(&b"{\"containerimage.digest\": \"MADE\"}"[..]), OTHER, "but the build promised sha256:1111")]
#[case::gone(Some(&b"{\"containerimage.digest\": \"MADE\"}"[..]), "", "` is not there")]
#[case::no_json(Some(&b"{\"containerimage.digest\": \"MADE\"}"[..]), "no digest", "cannot understand the engine's `image inspect`")]
fn an_answer_that_lies_is_never_success(#[case] metadata: Option<&[u8]>, #[case] has: &str, #[case] error: &str) {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "case \"$1 $2\" in \
         'image inspect') shift 2; first=; echo '['; for name; do \
           if [ -e \"$D/built\" ] && [ -n '{has}' ]; then \
             echo \"$first{{\\\"Id\\\": \\\"{has}\\\", \\\"RepoTags\\\": [\\\"$name\\\"], \\\"Os\\\": \\\"linux\\\", \\\"Architecture\\\": \\\"amd64\\\"}}\"; first=,; \
           else echo \"Error: No such image: $name\" >&2; fi; done; echo ']';; \
         'buildx inspect') echo 'Driver: docker';; \
         'buildx build') before=; for word; do [ \"$before\" = --metadata-file ] && file=$word; before=$word; done; \
           [ ! -e \"$D/metadata\" ] || cp \"$D/metadata\" \"$file\"; touch \"$D/built\";; \
         *) exit 1;; esac"
    );
    let (path, _) = stand_in_docker(folder.path(), &script);
    if let Some(metadata) = metadata {
        let text: Vec<u8> = match std::str::from_utf8(metadata) {
            Ok(text) => text.replace("MADE", MADE).into(),
            Err(_) => metadata.to_vec(),
        };
        fs::write(folder.path().join("metadata"), text).unwrap();
    }
    let mut command = project.command(&["--platform", "linux/amd64"]);
    let run = Run::from(command.env("PATH", path).env("D", folder.path()).output().unwrap());
    run.fails_with(1, &[error]);
    assert_eq!(run.stderr.contains("run again"), has == OTHER, "{}", run.stderr);
}

const MADE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
