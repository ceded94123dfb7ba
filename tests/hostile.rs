//! Trees that name what is not theirs: nothing outside the project is read, written or dated because a file of the
//! project says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::SystemTime;

use rstest::rstest;
use support::Project;

const STAGE: [&str; 2] = ["--dry-run", "--force-rebuild"];
const PRECIOUS: &str = "FROM what-somebody-else-needs\n";

/// A file beside the project, with its date.
fn precious(project: &Project) -> (std::path::PathBuf, SystemTime) {
    let path = project.root.parent().unwrap().join("precious.txt");
    fs::write(&path, PRECIOUS).unwrap();
    let date = fs::metadata(&path).unwrap().modified().unwrap();
    (path, date)
}

fn assert_untouched((path, date): &(std::path::PathBuf, SystemTime)) {
    assert_eq!(fs::read_to_string(path).unwrap(), PRECIOUS);
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), *date, "its date was changed");
}

fn package(project: &Project, more: &str) {
    project
        .write("Cargo.toml", format!("[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}"))
        .write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n")
        .write("src/main.rs", "fn main() {}\n");
}

#[rstest]
#[case::a_bin("bin")]
#[case::an_example("example")]
#[case::a_bench("bench")]
#[case::a_test("test")]
fn a_target_outside_the_project_is_refused_and_not_written_to(#[case] kind: &str) {
    for path in ["../precious.txt", "src/../../precious.txt", "../../../../../../../../../precious.txt"] {
        let project = Project::empty();
        package(&project, &format!("[[{kind}]]\nname = \"x\"\npath = \"{path}\"\n"));
        let precious = precious(&project);
        project.run(&STAGE).fails_with(1, &["lies outside"]);
        assert_untouched(&precious);
    }
}

#[test]
fn a_target_whose_path_goes_a_long_way_round_is_where_it_ends() {
    let project = Project::empty();
    package(&project, "[[bin]]\nname = \"x\"\npath = \"src/../tools/./x.rs\"\n");
    project.write("tools/x.rs", "fn main() { println!(\"x\"); }\n");
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    assert_eq!(project.read("../staged/code/tools/x.rs"), "fn main() { println!(\"x\"); }\n");
    assert!(project.read("../staged/deps/tools/x.rs").starts_with("//! Empty."));
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
}

/// What a file of the project names stays inside, however it is spelt; a link counts as what it points to.
#[rstest]
#[case::a_version("version = { file = \"../precious.txt\" }\n")]
#[case::a_version_by_its_full_path("version = { file = \"PARENT/precious.txt\" }\n")]
#[case::a_version_through_a_link("version = { file = \"link\" }\n")]
#[case::a_template("version = \"1\"\ntemplate = \"../precious.txt\"\n")]
#[case::a_template_by_its_full_path("version = \"1\"\ntemplate = \"PARENT/precious.txt\"\n")]
#[case::a_template_through_a_link("version = \"1\"\ntemplate = \"link\"\n")]
#[case::a_lock_file("version = \"1\"\nlock-files = [\"../precious.txt\"]\n")]
#[case::a_lock_file_a_long_way_round("version = \"1\"\nlock-files = [\"app/../../precious.txt\"]\n")]
#[case::a_ca_bundle("version = \"1\"\nca-bundle = \"../precious.txt\"\n")]
#[case::a_secret("version = \"1\"\nsecret = [\"id=x,src=link\"]\n")]
#[case::a_build_folder("version = \"1\"\nbuild-folder = \"../elsewhere\"\n")]
#[case::a_build_folder_through_a_link("version = \"1\"\nbuild-folder = \"up/elsewhere\"\n")]
#[case::a_cache("version = \"1\"\ncache = \"local=../elsewhere\"\n")]
#[case::a_cache_to_read("version = \"1\"\ncache-from = [\"type=local,src=PARENT\"]\n")]
#[case::a_cache_to_write("version = \"1\"\ncache-to = [\"dest=up/elsewhere,TYPE=local\"]\n")]
#[case::a_cache_in_quotes("version = \"1\"\ncache-to = ['\"type=local\",\"dest=../else,where\"']\n")]
#[case::a_source("version = \"1\"\nsource = [\"../precious.txt\"]\n")]
fn a_key_of_the_project_names_no_file_outside_it(#[case] config: &str) {
    let project = Project::empty();
    let precious = precious(&project);
    let parent = project.root.parent().unwrap();
    let config = config.replace("PARENT", parent.canonicalize().unwrap().to_str().unwrap());
    project.write("runtime-image.toml", &config).write("app/main", "x");
    symlink("../precious.txt", project.root.join("link")).unwrap();
    symlink("..", project.root.join("up")).unwrap();
    project.write(".runtime-image-ignore", "link\nup\n");
    let flags: &[&str] = if config.contains("build-folder") { &[] } else { &["--build-folder", "staged"] };
    let run = project.run(&[&STAGE[..], flags].concat());
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(!run.stderr.contains(PRECIOUS), "the file was read: {}", run.stderr);
    assert!(!project.root.join("staged").exists() && !parent.join("elsewhere").exists());
    assert_untouched(&precious);
}

/// Wherever the command is run: a relative path in a file starts at the project's folder, not at the current one.
#[rstest]
#[case::a_secret("secret = [\"id=x,src=../../../precious.txt\"]\n")]
#[case::a_secret_in_quotes("secret = ['id=x,\"src=../../../precious.txt\"']\n")]
#[case::a_key_for_ssh("ssh = [\"default=../../../precious.txt\"]\n")]
#[case::a_key_for_ssh_by_its_full_path("ssh = [\"default=PARENT/precious.txt\"]\n")]
fn what_a_file_names_is_not_seen_from_the_current_folder(#[case] config: &str) {
    let project = Project::hello();
    let precious = precious(&project);
    let parent = project.root.parent().unwrap().canonicalize().unwrap();
    project.write("runtime-image.toml", config.replace("PARENT", parent.to_str().unwrap()));
    fs::create_dir_all(project.root.join("a/b")).unwrap();
    let mut command = project.command(&STAGE);
    let run = support::Run::from(command.current_dir(project.root.join("a/b")).output().unwrap());
    run.fails_with(2, &["which lies outside of the project"]);
    assert_untouched(&precious);
}

/// The steps hand these words to rustup and find.
#[rstest]
#[case::a_channel("rust-toolchain", "-y\n", "which is no toolchain")]
#[case::a_component("rust-toolchain.toml", "[toolchain]\ncomponents = [\"--help\"]\n", "which is no toolchain")]
#[case::a_target_folder(".cargo/config.toml", "[build]\ntarget-dir = \"-delete\"\n", "sets `build.target-dir`")]
#[case::the_root_as_target_folder(".cargo/config.toml", "[build]\ntarget-dir = \".\"\n", "sets `build.target-dir`")]
fn no_word_of_a_file_is_an_option_of_what_a_step_runs(#[case] path: &str, #[case] text: &str, #[case] told: &str) {
    let project = Project::hello();
    project.write(path, text);
    project.run(&["tags"]).fails_with(1, &[told]);
}

#[test]
fn what_a_project_says_of_itself_is_in_its_own_folder() {
    let project = Project::hello();
    let precious = precious(&project);
    symlink("../precious.txt", project.root.join("runtime-image.toml")).unwrap();
    let run = project.run(&["tags"]);
    run.fails_with(2, &["is a link that leaves the project"]);
    assert!(!run.stderr.contains(PRECIOUS.trim()), "{}", run.stderr);
    assert_untouched(&precious);
}

#[test]
fn what_the_user_names_may_lie_anywhere() {
    let project = Project::empty();
    project.write("../my.j2", "FROM {{ base_image }}\nCOPY code/ /app/\n").write("app/main", "x");
    let flags = ["--kind=custom", "--project-version=1", "--template=../my.j2", "--build-folder=../staged"];
    project.ok(&[&STAGE[..], &flags].concat());
    assert!(project.read("../staged/Dockerfile").contains("COPY code/ /app/"));
}

#[rstest]
#[case::by_steps_up("a/up", "..", "a/up/../../precious.txt")]
#[case::by_a_link_to_a_link("out", "a/first", "out/x")]
fn a_link_that_leaves_the_tree_through_another_one_is_refused(
    #[case] first: &str,
    #[case] first_target: &str,
    #[case] second_target: &str,
) {
    let project = Project::hello();
    let precious = precious(&project);
    fs::create_dir_all(project.root.join("a")).unwrap();
    symlink("../..", project.root.join("a/first")).unwrap();
    symlink(first_target, project.root.join(first)).unwrap();
    symlink(second_target, project.root.join("second")).unwrap();
    project.run(&STAGE).fails_with(1, &["leaves the project"]);
    assert_untouched(&precious);
}

#[test]
fn a_folder_that_became_a_link_is_the_link() {
    let project = Project::hello();
    project.write("data/one.txt", "one").write("other/one.txt", "other").git_init();
    fs::remove_dir_all(project.root.join("data")).unwrap();
    symlink("other", project.root.join("data")).unwrap();
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    let staged = project.root.join("../staged/code");
    assert_eq!(fs::read_link(staged.join("data")).unwrap().to_str(), Some("other"));
    assert_eq!(fs::read_to_string(staged.join("other/one.txt")).unwrap(), "other");
}

/// `git ls-files` lists the folder itself there.
#[test]
fn a_submodule_that_is_not_initialised_is_an_empty_folder() {
    let library = Project::empty();
    library.write("lib.txt", "x").git_init();
    let project = Project::hello();
    project.git_init();
    let url = library.root.to_str().unwrap();
    project.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "library"]);
    let initialised = project.tags(&[]);
    project.git(&["submodule", "deinit", "-q", "-f", "library"]);
    let started = std::time::Instant::now();
    let [source, lock, _] = project.tags(&[]);
    assert!(started.elapsed().as_secs() < 5, "git was asked again and again");
    let told = project.ok(&["tags"]).stderr;
    assert!(told.contains("warning: submodules that are not initialised are empty in the image: `library` "), "{told}");
    assert_eq!((source != initialised[0], &lock), (true, &initialised[1]));
}

/// A folder of generated code, or a home folder under version control that ignores all that is not added by hand.
#[rstest]
#[case::a_folder_of_generated_code("gen/\n")]
#[case::all_that_is_not_added("*\n")]
fn a_project_that_an_outer_repository_ignores_is_read_without_it(#[case] ignored: &str) {
    let outer = Project::empty();
    outer.write(".gitignore", ignored).write("notes.txt", "x");
    outer.git(&["init", "-q"]);
    outer.git(&["add", "-f", ".gitignore"]);
    support::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello"), &outer.root.join("gen/hello"));
    let tags = || {
        let run = outer.ok(&["tags", "--project-root", "gen/hello"]);
        assert!(run.stderr.contains("warning: git ignores the folder"), "{}", run.stderr);
        run.stdout
    };
    let before = tags();
    outer.edit("gen/hello/hello/src/main.rs", "println!", "print!");
    assert_ne!(tags(), before, "all contents have one name");
}

#[rstest]
#[case::the_root_manifest(
    ".gitignore",
    "/Cargo.toml\n",
    "`Cargo.toml`",
    "line 1 of `.gitignore` leaves out `/Cargo.toml`"
)]
#[case::a_member(".gitignore", "shout\n", "`shout/Cargo.toml`", "line 1 of `.gitignore` leaves out `shout`")]
#[case::the_file_of_a_target(".gitignore", "*.tmp\nmain.rs\n", "`hello/src/main.rs`", "line 2 of `.gitignore`")]
#[case::by_the_users_own_ignores(
    ".runtime-image-ignore",
    "greeting\n",
    "`greeting/Cargo.toml`",
    "`.runtime-image-ignore` names it"
)]
fn a_list_that_lacks_what_the_workspace_needs_names_the_file_and_the_rule(
    #[case] file: &str,
    #[case] rules: &str,
    #[case] missing: &str,
    #[case] why: &str,
) {
    let project = Project::hello();
    project.write(file, rules);
    project.git(&["init", "-q"]);
    project.run(&["tags"]).fails_with(1, &[missing, "is not among the source files", why]);
}

/// A terminal obeys control characters, and a name can hold any.
#[test]
fn no_name_speaks_to_the_terminal() {
    let project = Project::hello();
    project.write("\u{1b}]0;title\u{7}\n/.env", "x");
    let run = project.ok(&["tags"]);
    assert!(run.stderr.contains("warning: `\\u{1b}]0;title\\u{7}\\n/.env` looks like a secret"), "{:?}", run.stderr);
    symlink("/etc/\u{1b}c", project.root.join("link\r")).unwrap();
    let run = project.run(&["tags"]);
    assert_eq!(run.code, Some(1));
    assert!(!run.stderr.contains(['\u{1b}', '\r']) && run.stderr.contains("`link\\r` leaves"), "{:?}", run.stderr);
}

#[test]
fn an_empty_project_is_an_error() {
    let project = Project::empty();
    project.write(".gitignore", "*\n");
    project.git(&["init", "-q"]);
    project.run(&["tags", "--kind=custom", "--project-version=1"]).fails_with(1, &["has no files"]);
}

#[test]
fn no_variable_of_git_changes_names() {
    let project = Project::hello();
    project.git_init();
    let other = Project::empty();
    other.write("notes.txt", "x").git_init();
    let expected = project.ok(&["tags"]).stdout;
    let other = other.root.to_str().unwrap();
    for (name, value) in [
        ("GIT_WORK_TREE", other.to_owned()),
        ("GIT_DIR", format!("{other}/.git")),
        ("GIT_INDEX_FILE", format!("{other}/.git/index")),
        ("GIT_COMMON_DIR", format!("{other}/.git")),
        ("GIT_LITERAL_PATHSPECS", "1".to_owned()),
        ("GIT_CEILING_DIRECTORIES", project.root.parent().unwrap().display().to_string()),
    ] {
        let run = support::Run::from(project.command(&["tags"]).env(name, value).output().unwrap());
        assert_eq!((run.stdout.as_str(), run.code), (expected.as_str(), Some(0)), "{name}: {}", run.stderr);
    }
}

/// A repository in the tree can be anybody's, and git runs what its configuration names.
#[test]
fn no_program_of_a_nested_repository_is_run() {
    let project = Project::hello();
    project.git_init();
    let ran = project.root.parent().unwrap().join("ran");
    project.write("nested/hook", format!("#!/bin/sh\ntouch {}\n", ran.display())).write("nested/a.txt", "x");
    let nested = |arguments: &[&str]| project.git(&[&["-C", "nested"], arguments].concat());
    nested(&["init", "-q"]);
    nested(&["add", "-A"]);
    fs::set_permissions(project.root.join("nested/hook"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    nested(&["config", "core.fsmonitor", project.root.join("nested/hook").to_str().unwrap()]);
    nested(&["status", "--short"]);
    assert!(ran.exists(), "git itself does not run it, so that the test shows nothing");
    fs::remove_file(&ran).unwrap();
    project.ok(&["tags"]);
    assert!(!ran.exists());
}

/// A link in the place of a file that the project is read from stands for what it points to.
#[rstest]
#[case::the_lock_file(
    "Cargo.lock",
    "locks/main",
    "name = \"itoa\"\nversion = \"1.0.",
    "name = \"itoa\"\nversion = \"1.0.9",
    true
)]
#[case::the_root_manifest(
    "Cargo.toml",
    "manifests/root",
    "[workspace]",
    "[profile.release]\nlto = true\n[workspace]",
    true
)]
#[case::a_members_manifest(
    "hello/Cargo.toml",
    "manifests/hello",
    "[dependencies]",
    "[features]\nx = []\n[dependencies]",
    true
)]
#[case::the_toolchain("rust-toolchain.toml", "toolchains/one.toml", "1.85.0", "1.86.0", true)]
#[case::cargos_configuration(".cargo/config.toml", "config/cargo", "retry = 3", "retry = 4", true)]
#[case::the_folder_of_cargos_configuration(".cargo", "config", "retry = 3", "retry = 4", true)]
#[case::a_members_folder("hello", "elsewhere/hello", "println!", "print!", false)]
fn a_link_that_is_an_input_is_read_through(
    #[case] link: &str,
    #[case] target: &str,
    #[case] from: &str,
    #[case] to: &str,
    #[case] of_dependencies: bool,
    #[values(false, true)] in_git: bool,
) {
    let project = Project::hello();
    project.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85.0\"\n");
    project.write(".cargo/config.toml", "[net]\nretry = 3\n");
    let plain = project.tags(&[]);
    let (moved, place) = (project.root.join(target), project.root.join(link));
    fs::create_dir_all(moved.parent().unwrap()).unwrap();
    fs::rename(&place, &moved).unwrap();
    let up = "../".repeat(Path::new(link).components().count() - 1);
    symlink(format!("{up}{target}"), &place).unwrap();
    if in_git {
        project.git_init();
    }
    let run = project.ok(&["tags"]);
    assert!(!run.stderr.contains("Locking"), "{}", run.stderr);
    let [_, lock, _] = project.tags(&[]);
    assert_eq!(lock, plain[1], "the dependencies are the same");

    let inside = match link {
        ".cargo" => "config/config.toml".to_owned(),
        "hello" => "elsewhere/hello/src/main.rs".to_owned(),
        _ => target.to_owned(),
    };
    let before = project.tags(&[]);
    project.edit(&inside, from, to);
    let after = project.tags(&[]);
    assert_ne!(before[0], after[0]);
    assert_eq!(before[1] != after[1], of_dependencies, "the lock tag");

    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    if link != "hello" {
        let staged =
            project.root.join("../staged/deps").join(if link == ".cargo" { ".cargo/config.toml" } else { link });
        assert!(!staged.is_symlink() && fs::metadata(staged).unwrap().len() > 0);
    }
}

#[test]
fn what_git_tracks_counts_wherever_it_lies() {
    let project = Project::hello();
    project.write(".gitignore", "/target\n").write("target/kept.txt", "x").write("out/kept.txt", "x");
    project.git(&["init", "-q"]);
    project.git(&["add", "-f", "."]);
    let tags = || {
        let mut command = project.command(&["tags"]);
        let run = support::Run::from(command.env("CARGO_TARGET_DIR", "out").output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    let before = tags();
    project.write("target/built.txt", "x").write("out/built.txt", "x");
    assert_eq!(tags(), before, "what is built counts");
    project.write("target/kept.txt", "y");
    let after = tags();
    assert_ne!(after, before);
    project.write("out/kept.txt", "y");
    assert_ne!(tags(), after);
}

#[test]
fn what_cargo_builds_is_no_source_wherever_its_configuration_has_it_built() {
    let project = Project::hello();
    project.write(".cargo/config.toml", "[build]\ntarget-dir = \"made\"\nbuild-dir = \"parts\"\n");
    let before = project.tags(&[]);
    project.write("made/x", "x").write("parts/x", "x");
    assert_eq!(project.tags(&[]), before);
}

#[test]
fn a_repository_cannot_say_that_its_files_lie_elsewhere() {
    let project = Project::hello();
    project.git_init();
    let expected = project.tags(&[]);
    let other = Project::empty();
    other.write("notes.txt", "x");
    project.git(&["config", "core.worktree", other.root.to_str().unwrap()]);
    assert_eq!(project.tags(&[]), expected);
    project.git(&["config", "--unset", "core.worktree"]);
    project.git(&["config", "core.bare", "true"]);
    assert_eq!(project.tags(&[]), expected);
}

#[test]
fn a_further_work_tree_in_the_project_is_another_state_of_it() {
    let project = Project::hello();
    project.git_init();
    let expected = project.tags(&[]);
    project.git(&["worktree", "add", "-q", "trees/next"]);
    assert_eq!(project.tags(&[]), expected);
    let inside = project.json(&["tags", "--project-root", "trees/next"]).0;
    assert_eq!(inside["tags"]["source"].as_str().unwrap(), expected[0], "it is a project of its own");
}

/// Its own folder of git is called as its path.
#[rstest]
#[case("library")]
#[case("worktrees/library")]
fn the_files_of_a_submodule_count(#[case] path: &str) {
    let library = Project::empty();
    library.write("lib.txt", "x").git_init();
    let project = Project::hello();
    project.git_init();
    let url = library.root.to_str().unwrap();
    project.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, path]);
    let before = project.tags(&[]);
    project.write(&format!("{path}/lib.txt"), "y");
    let after = project.tags(&[]);
    assert_ne!(before[0], after[0]);
    project.write(&format!("{path}/new.txt"), "z");
    assert_ne!(project.tags(&[])[0], after[0]);
}

/// git runs filters to tell whether a file differs from what was committed.
#[test]
fn no_filter_that_the_repository_names_is_run() {
    let project = Project::hello();
    project.write(".gitattributes", "*.txt filter=x\n").write("a.txt", "hi").git_init();
    let ran = project.root.parent().unwrap().join("ran");
    project.git(&["config", "filter.x.clean", &format!("touch {}; cat", ran.display())]);
    project.write("a.txt", "ho");
    let context = project.root.join("../staged");
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    let dockerfile = fs::read_to_string(context.join("Dockerfile")).unwrap();
    let commit = project.git(&["rev-parse", "HEAD"]);
    assert!(dockerfile.contains(&format!("revision=\"{}-dirty\"", commit.trim())), "{dockerfile}");
    assert!(!ran.exists());
}

/// A link in the place of a lock, or a target folder that leads out: a file elsewhere would be made.
#[test]
fn nothing_is_made_where_a_link_or_configuration_of_the_project_leads() {
    let project = Project::hello();
    let parent = project.root.parent().unwrap().to_owned();
    project.write(".runtime-image-ignore", ".runtime-image-*.lock\n.cargo\n");
    symlink("../made", project.root.join(".runtime-image-ctx.lock")).unwrap();
    project.run(&[&STAGE[..], &["--build-folder", "ctx"]].concat()).fails_with(1, &["cannot lock"]);
    project.write(".cargo/config.toml", "[build]\ntarget-dir = \"../made\"\n");
    project.ok(&STAGE);
    assert!(!parent.join("made").exists());
}

#[rstest]
#[case::a_pipe_as_configuration("runtime-image.toml", 2)]
#[case::a_pipe_as_a_lock(".runtime-image-ctx.lock", 1)]
fn nobody_waits_for_a_pipe(#[case] name: &str, #[case] code: i32) {
    let project = Project::hello();
    let made = std::process::Command::new("mkfifo").arg(project.root.join(name)).status().unwrap();
    assert!(made.success());
    let started = std::time::Instant::now();
    let run = project.run(&[&STAGE[..], &["--build-folder", "ctx"]].concat());
    assert!(started.elapsed().as_secs() < 5 && run.code == Some(code), "{}", run.stderr);
}

#[test]
fn nobody_waits_for_a_pipe_that_a_key_names() {
    let project = Project::empty();
    project.write("app", "x").write("runtime-image.toml", "version = { file = \"pipe\" }\nsource = [\"app\"]\n");
    let made = std::process::Command::new("mkfifo").arg(project.root.join("pipe")).status().unwrap();
    assert!(made.success());
    project.write(".runtime-image-ignore", "pipe\n");
    let started = std::time::Instant::now();
    project.run(&["tags"]).fails_with(2, &["pipe` is no file"]);
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn manifests_of_others_are_read_below_the_work_tree_alone_and_never_through_a_link_out_of_it() {
    let project = Project::empty();
    package(&project, "[dependencies]\nx = { path = \"x\" }\n[workspace]\nexclude = [\"x\"]\n");
    fs::create_dir(project.root.join("x")).unwrap();
    symlink("/dev/zero", project.root.join("x/Cargo.toml")).unwrap();
    project.git(&["init", "-q"]);
    project.run(&["tags"]).fails_with(1, &["leaves the project"]);
}

#[test]
fn lock_files_are_never_of_git() {
    let project = Project::empty();
    project.write("app", "x").git_init();
    let flags = ["tags", "--kind=custom", "--project-version=1", "--lock-file=.git/HEAD"];
    project.run(&flags).fails_with(2, &["matches no file"]);
}

#[test]
fn a_name_that_is_not_utf8_may_be_left_out() {
    use std::os::unix::ffi::OsStrExt as _;
    let project = Project::hello();
    project.git_init();
    fs::create_dir(project.root.join("data")).unwrap();
    fs::write(project.root.join("data").join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "x").unwrap();
    project.run(&["tags"]).fails_with(1, &["not UTF-8"]);
    project.write(".runtime-image-ignore", "data/\n");
    project.ok(&["tags"]);
}

#[test]
fn nobody_looks_into_a_folder_that_the_users_file_names() {
    let project = Project::hello();
    project.git_init();
    project.write("nested/x", "x").git(&["-C", "nested", "init", "-q"]);
    // git fails there as soon as it is asked.
    project.write("nested/.git/config", "[core]\nrepositoryformatversion = 99\n");
    project.run(&["tags"]).fails_with(1, &["repo version"]);
    project.write(".runtime-image-ignore", "nested/\n");
    project.ok(&["tags"]);
}

/// A build folder in the project, however it is spelt, with its lock and what a killed run left.
#[rstest]
#[case::by_its_name("ctx")]
#[case::a_long_way_round("../demo/./ctx")]
#[case::through_a_link("link/ctx")]
fn what_this_tool_writes_into_the_project_is_never_a_source(#[case] folder: &str, #[values(false, true)] in_git: bool) {
    let project = Project::hello();
    symlink(".", project.root.join("link")).unwrap();
    if in_git {
        project.git_init();
    }
    let expected = project.tags(&[]);
    let build_folder = ["--build-folder", folder];
    project.ok(&[&STAGE[..], &build_folder].concat());
    assert_eq!(project.tags(&build_folder), expected);
    assert_eq!(project.tags(&[]), expected, "a build folder of an earlier run, and its lock");

    let left = ".runtime-image-ctx.new-aB3dEf";
    project.write(&format!("{left}/new/code/src/lib.rs"), "x");
    let of_another_run = ".runtime-image-other.new-aB3dEf";
    project.write(&format!("{of_another_run}/new/code/src/lib.rs"), "x");
    assert_eq!(project.tags(&[]), expected, "a temporary folder");
    project.ok(&[&STAGE[..], &build_folder].concat());
    assert!(!project.root.join(left).exists(), "what a killed run left is still there");
    assert!(project.root.join(of_another_run).exists(), "another run may be at work there");
}

/// As a package manager's store or an archive may give to all files.
#[test]
fn a_folder_is_no_build_folder_because_its_files_have_the_date_of_one() {
    let project = Project::empty();
    project
        .write("runtime-image.toml", "version = \"1\"\n")
        .write("app/Dockerfile", "FROM x\n")
        .write("app/code/main", "x");
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    for path in ["app/code/main", "app/code", "app/Dockerfile", "app"] {
        filetime::set_file_mtime(project.root.join(path), filetime::FileTime::from_unix_time(1, 0)).unwrap();
    }
    project.ok(&[&STAGE[..], &["--build-folder", "../staged"]].concat());
    assert_eq!(project.read("../staged/code/app/code/main"), "x");
}
