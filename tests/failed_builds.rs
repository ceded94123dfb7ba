//! A failed build ends with its cause: the step, the lines of its output that tell why, the log and what helps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use regex::Regex;
use support::{Project, Run, image_exists, stand_in_docker};

/// What the steps of the cargo kind go by.
const BUILD_DEPENDENCIES: &str = "build-dependencies";
const BUILD_SOURCES: &str = "build-sources";
const INSTALL_EXTRA_DEPS: &str = "install-extra-deps";

const FOLDER_HINT: &str = "hint: the build folder `FOLDER` is still there to look at\n";

const BROKEN: &str = "fn main() {\n    no_such_macro!(1);\n}\n";

const BROKEN_IS_TOLD: &str = "  error: cannot find macro `no_such_macro` in this scope
   --> src/main.rs:2:5
    |
  2 |     no_such_macro!(1);
    |     ^^^^^^^^^^^^^

  error: could not compile `app` (bin \"app\") due to 1 previous error
";

/// Where a failed build says that its log is.
fn log_of(run: &Run) -> PathBuf {
    run.stderr.split("note: the whole log is in `").nth(1).unwrap().split('`').next().unwrap().into()
}

/// The lines from the tool's own error on, without what differs from run to run.
fn told(run: &Run) -> String {
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    let log = log_of(run);
    assert!(log.is_file(), "{}", run.stderr);
    let start = run.stderr.find("error: the build of").unwrap();
    let mut told = run.stderr[start..].replace(&*log.to_string_lossy(), "LOG");
    told = told.replace(&*log.with_extension("").to_string_lossy(), "FOLDER");
    for (pattern, replacement) in
        [("the build of `[^`]*`", "the build of `IMAGE`"), ("(?m)= note: +(LC_ALL=|\"cc\").*$", "= note: COMMAND")]
    {
        told = Regex::new(pattern).unwrap().replace_all(&told, replacement).into_owned();
    }
    Regex::new(r"rustc 1\.\d+\.\d+").unwrap().replace_all(&told, "rustc VERSION").into_owned()
}

fn expected(step: &str, lines: &str, hints: &str) -> String {
    format!("error: the build of `IMAGE` failed in step \"{step}\"\n{lines}note: the whole log is in `LOG`\n{hints}")
}

#[test]
fn a_compile_error_in_a_member_is_told_and_its_log_goes_when_it_is_mended() {
    let project = Project::program(BROKEN);
    let run = project.run(&[]);
    let first = told(&run);
    assert_eq!(first, expected(BUILD_SOURCES, BROKEN_IS_TOLD, FOLDER_HINT));
    let log = fs::read_to_string(log_of(&run)).unwrap();
    assert!(log.starts_with("# cargo-runtime-image: the build of "), "{log}");
    let shown = run.stderr.split("Building the sources").nth(1).unwrap();
    let mut shown = shown.lines().skip(1).map(str::trim_end);
    assert!(log.lines().skip(1).all(|line| shown.next() == Some(line)) && log.contains(" error: cannot"), "{log}");

    let quiet = project.run(&["-q"]);
    assert_eq!(told(&quiet), first);
    assert!(quiet.stderr.starts_with("error: "), "more is said with `-q`:\n{}", quiet.stderr);

    project.edit("src/main.rs", "no_such_macro!", "drop");
    assert!(image_exists(project.ok(&[]).image()));
    assert!(!log_of(&run).exists());
}

#[test]
fn a_compile_error_in_a_dependency_is_told() {
    let project = Project::program("fn main() {}\n");
    project
        .edit("Cargo.toml", "2021\"\n", "2021\"\n[dependencies]\nbroken = \"1\"\n")
        .write("vendor/broken/Cargo.toml", "[package]\nname = \"broken\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
        .write("vendor/broken/src/lib.rs", "pub fn f() -> u8 { \"text\" }\n")
        .write("vendor/broken/.cargo-checksum.json", "{\"files\":{}}")
        .write(
            ".cargo/config.toml",
            "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n",
        );
    let lines = "  error[E0308]: mismatched types
   --> /workspace/vendor/broken/src/lib.rs:1:20
    |
  1 | pub fn f() -> u8 { \"text\" }
    |               --   ^^^^^^ expected `u8`, found `&str`
    |               |
    |               expected `u8` because of return type

  For more information about this error, try `rustc --explain E0308`.
  error: could not compile `broken` (lib) due to 1 previous error
";
    assert_eq!(told(&project.run(&["-q"])), expected(BUILD_DEPENDENCIES, lines, FOLDER_HINT));
}

#[test]
fn a_missing_library_of_the_system_is_named_and_so_is_the_key_for_its_package() {
    let project = Project::program(
        "#[link(name = \"no_such_library\")]
unsafe extern \"C\" {
    fn f();
}
fn main() {
    unsafe { f() }
}
",
    );
    let lines = "  error: linking with `cc` failed: exit status: 1
    |
    = note: COMMAND
    = note: some arguments are omitted. use `--verbose` to show all linker arguments
    = note: /usr/bin/ld: cannot find -lno_such_library: No such file or directory
            collect2: error: ld returned 1 exit status


  error: could not compile `app` (bin \"app\") due to 1 previous error
";
    let hint = "hint: a library, header or tool of the system is missing: name its package in `apt-packages`\n";
    assert_eq!(told(&project.run(&["-q"])), expected(BUILD_SOURCES, lines, hint));
}

#[test]
fn a_compiler_that_is_too_old_is_told() {
    let project = Project::program("fn main() {}\n");
    project.edit("Cargo.toml", "2021\"\n", "2021\"\nrust-version = \"1.999\"\n");
    let lines = "  error: rustc VERSION is not supported by the following package:
    app@0.1.0 requires rustc 1.999
";
    let hint = "hint: the compiler is too old for this: take a newer `--base-image`, or name a newer one in \
        `rust-toolchain.toml`\n";
    // What a member requires says nothing of its dependencies, and is not there when they are built.
    assert_eq!(told(&project.run(&["-q"])), expected(BUILD_SOURCES, lines, hint));
}

#[test]
fn failing_extra_deps_are_told() {
    let project = Project::program("fn main() {}\n");
    let command = "echo one >&2; no-such-command --x";
    let lines = "  one\n  sh: 1: no-such-command: not found\n";
    let run = project.run(&["-q", "--extra-deps", command]);
    assert_eq!(told(&run), expected(INSTALL_EXTRA_DEPS, lines, FOLDER_HINT));
}

#[test]
fn no_network_for_crates_is_told() {
    let project = Project::hello_on_engine();
    project.write(".cargo/config.toml", "[net]\nretry = 0\n");
    let run = project.run(&["-q", "--", "--network=none"]);
    let told = told(&run);
    let (error, rest) = told.split_once('\n').unwrap();
    assert_eq!(error, expected(BUILD_DEPENDENCIES, "", "").lines().next().unwrap());
    // Which crate is asked for first, and in what words, is Cargo's.
    assert!(rest.starts_with("  error: failed to "), "{told}");
    assert!(rest.contains("Could not resolve host"), "{told}");
    let hint = "note: the whole log is in `LOG`\n\
        hint: the step could not fetch something: check the network, and HTTPS_PROXY where there is a proxy\n";
    assert!(rest.ends_with(hint), "{told}");
    assert!(rest.lines().count() <= 22, "{told}");
}

#[test]
fn no_space_left_is_told() {
    let project = Project::program("fn main() {}\n");
    // A file system in memory, and a small one.
    let command = "cat /dev/zero >/dev/shm/x";
    let run = project.run(&["-q", "--extra-deps", command]);
    let hint = "hint: `docker system df` tells what takes the space, and `docker builder prune` frees some\n";
    let lines = "  cat: write error: No space left on device\n";
    assert_eq!(told(&run), expected(INSTALL_EXTRA_DEPS, lines, hint));
}

#[test]
fn on_a_terminal_the_display_of_buildx_is_seen_and_the_same_lines_follow() {
    let project = Project::program(BROKEN);
    let plain = told(&project.run(&[]));
    let shown = project.command_on_terminal(97, &[]).output().expect("this test needs `script` (package `bsdutils`)");
    let shown = Run { stdout: String::new(), stderr: Run::from(shown).stdout.replace("\r\n", "\n"), code: Some(101) };
    assert!(shown.stderr.contains("\x1b[1A"), "the cursor never moved:\n{}", shown.stderr);
    assert_eq!(told(&shown), plain);

    let log = fs::read_to_string(log_of(&shown)).unwrap();
    assert!(!log.contains('\x1b') && log.contains(" error: cannot find macro"), "{log}");
    let head = log.lines().find(|line| line.starts_with("[+] Building")).unwrap();
    assert_eq!(head.chars().count(), 96, "the display is not as wide as the terminal: {head:?}");
}

#[test]
fn raw_json_stays_raw_and_a_quiet_build_says_errors_only() {
    let project = Project::program(BROKEN);
    let json = project.run(&["--progress", "rawjson"]);
    let first = told(&json);
    assert_eq!(first, expected(BUILD_SOURCES, BROKEN_IS_TOLD, FOLDER_HINT));
    assert!(json.stderr.contains("\"vertexes\"") && !json.stderr.contains("#1 "), "{}", json.stderr);
    let quiet = project.run(&["--progress", "quiet"]);
    assert_eq!(told(&quiet), first);
    assert!(!quiet.stderr.contains("[internal]"), "{}", quiet.stderr);
}

#[test]
fn a_step_goes_by_the_file_that_it_runs() {
    let project = Project::small();
    project
        .write("runtime-image.toml", "version = \"1\"\ntemplate = \"Dockerfile.j2\"\n")
        .write("fail", "exit 7\n")
        .write(
            "Dockerfile.j2",
            "FROM {{ base_image }}\nRUN --mount=type=bind,source=code,target=/run/steps sh /run/steps/fail now\n",
        );
    assert_eq!(told(&project.run(&["-q"])), expected("fail", "  exit code: 7\n", FOLDER_HINT));
}

#[test]
fn a_log_in_the_project_moves_no_name_and_replaces_no_file() {
    let project = Project::program(BROKEN);
    project.git_init();
    let arguments = ["--build-folder", "out/context"];
    let before = project.tags(&arguments);
    told(&project.run(&arguments));
    assert!(project.root.join("out/context.log").is_file());
    assert_eq!(project.tags(&arguments), before);

    project.write("out/context.log", "mine");
    project.run(&arguments).fails_with(2, &["out/context.log` is no log of this tool", "hint: "]);
    assert_eq!(project.read("out/context.log"), "mine");
}

#[test]
fn what_a_failed_build_leaves_running_is_not_waited_for() {
    let project = Project::program(BROKEN);
    let folder = tempfile::tempdir().unwrap();
    let script = "[ \"$1 $2\" = 'buildx build' ] || exec \"$REAL_DOCKER\" \"$@\"
        sleep 30 &
        echo 'ERROR: failed to solve: it is broken' >&2; exit 1";
    let (path, real) = stand_in_docker(folder.path(), script);
    let started = Instant::now();
    let output = project.command(&[]).env("PATH", path).env("REAL_DOCKER", real).output();
    // The pipe of this test is not kept open: the child that is left has that of the tool.
    let run = Run::from(output.unwrap());
    assert!(started.elapsed() < Duration::from_secs(15), "it took {:?}", started.elapsed());
    run.fails_with(101, &["\n  failed to solve: it is broken\n", "note: the whole log is in "]);
}
