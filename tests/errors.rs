//! What goes wrong is told in one error with a hint and the right exit code, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::process::Command;

use rstest::rstest;
use support::{Project, Run, image_exists, stand_in_docker};

#[rstest]
#[case::an_unknown_flag(&["--no-such-flag"], "--no-such-flag")]
#[case::an_unknown_action(&["destroy"], "destroy")]
#[case::a_newline_in_the_base(&["--base-image", "rust\n:1"], "`base-image`: invalid image reference")]
#[case::a_space_in_the_base(&["--base-image", "rust :1"], "invalid image reference")]
#[case::upper_case_in_the_base(&["--base-image", "Rust:1"], "lower case")]
#[case::a_flag_for_a_base(&["--base-image=--privileged"], "invalid image reference")]
#[case::a_bad_repository(&["--repository", "Team/App"], "lower case")]
#[case::a_tag_in_the_repository(&["--repository", "team/app:1"], "must not carry a tag")]
#[case::a_bad_prefix(&["--tag-prefix=.x"], "tag prefix")]
#[case::a_bad_platform(&["--platform", "linux/amd65/7/8"], "platform")]
#[case::a_bad_build_argument(&["--build-arg", "x"], "KEY=VALUE")]
#[case::our_own_arguments_for_buildx(&["--", "--tag=x"], "--tag=x")]
#[case::push_without_a_registry(&["--push"], "names a registry")]
#[case::quiet_and_verbose(&["-q", "-v"], "cannot be used with")]
fn wrong_usage_ends_with_2(#[case] arguments: &[&str], #[case] word: &str) {
    let project = Project::hello();
    let run = project.run(arguments);
    run.fails_with(2, &[word]);
    assert!(run.stderr.contains("hint: ") || run.stderr.contains("--help"), "{}", run.stderr);
    assert!(!project.root.join("target").exists());
}

#[test]
fn an_unknown_key_is_warned_of_and_a_wrong_type_is_an_error() {
    let project = Project::hello();
    project.write("runtime-image.toml", "base-imgae = \"x\"\n[env]\nA = \"1\"\n");
    let run = project.ok(&["tags"]);
    assert!(run.stderr.contains("warning: unknown key `base-imgae` in "), "{}", run.stderr);
    project.write("runtime-image.toml", "install-binaries = \"perhaps\"\n");
    project.run(&["tags"]).fails_with(2, &["runtime-image.toml"]);
    project.write("runtime-image.toml", "= nonsense");
    project.run(&["tags"]).fails_with(2, &["runtime-image.toml"]);
}

#[test]
fn a_folder_without_a_project_is_told_from_a_broken_one() {
    let project = Project::empty();
    project.run(&["tags"]).fails_with(1, &["could not find `Cargo.toml`", "hint: ", "--project-root"]);
    project.write("Cargo.toml", "[package]\nname = 7\n");
    project.run(&["tags"]).fails_with(1, &["Cargo cannot read the workspace", "name"]);
}

#[test]
fn a_lock_file_that_would_change_is_an_error_with_locked_only() {
    let project = Project::hello();
    // What Cargo is to know of the dependencies when it may not ask.
    let fetch = Command::new(std::env::var("CARGO").unwrap()).args(["fetch", "-q"]).current_dir(&project.root).status();
    assert!(fetch.unwrap().success());
    project.edit("Cargo.toml", "\"0.1.0\"", "\"0.2.0\"").edit(
        "greeting/Cargo.toml",
        "version = \"0.1\"",
        "version = \"0.2\"",
    );
    let lock = project.read("Cargo.lock");
    project.run(&["tags", "--locked"]).fails_with(1, &["`Cargo.lock` is out of date", "hint: "]);
    assert_eq!(project.read("Cargo.lock"), lock);
    let run = project.ok(&["tags", "--offline"]);
    assert!(run.stderr.contains("warning: `Cargo.lock` is out of date"), "{}", run.stderr);
    assert_eq!(project.read("Cargo.lock"), lock, "names are asked for, and the tree is written to");
    project.ok(&["--offline", "--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
    assert!(project.read("../staged/code/Cargo.lock").contains("0.2.0"));
    assert_eq!(project.read("Cargo.lock"), lock);
}

/// What git gives has the version that it has, also one before a release; where it comes from must be what the manifest
/// says.
#[test]
fn a_lock_file_is_compared_with_what_dependencies_ask_for() {
    let project = Project::empty();
    let manifest = |dependencies: &str| {
        format!("[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\n{dependencies}\n")
    };
    let lock = "version = 4\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\ndependencies = [\n \"x\",\n]\n\n\
                [[package]]\nname = \"x\"\nversion = \"2.0.0-rc.1\"\nsource = \"SOURCE\"\n\n\
                [[patch.unused]]\nname = \"demo\"\nversion = \"0.1.0\"\n";
    let git = "git+https://localhost/x.git?branch=a%2Fb#0123456789012345678901234567890123456789";
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    project.write("src/main.rs", "fn main() {}\n");
    for (dependency, source, agrees) in [
        ("x = { git = \"https://localhost/x.git\", branch = \"a/b\" }", git, true),
        ("x = { git = \"https://localhost/x.git\", branch = \"a/b\", version = \"2.0.0-rc\" }", git, true),
        ("x = { git = \"https://localhost/x.git\", branch = \"a/c\" }", git, false),
        ("x = { git = \"https://localhost/y.git\", branch = \"a/b\" }", git, false),
        ("x = { git = \"https://localhost/x.git\", branch = \"a/b\", version = \"3\" }", git, false),
        ("x = \"2\"", registry, false),
        ("x = \"2.0.0-rc.1\"", registry, true),
        ("x = \"1\"\n[patch.crates-io]\nx = { git = \"https://localhost/x.git\" }", git, false),
        ("x = \"*\"\n[patch.crates-io]\nx = { git = \"https://localhost/x.git\" }", git, true),
    ] {
        project.write("Cargo.toml", manifest(dependency)).write("Cargo.lock", lock.replace("SOURCE", source));
        let run = project.run(&["tags", "--locked"]);
        assert_eq!(run.code == Some(0), agrees, "{dependency}\n{}", run.stderr);
        assert_eq!(run.stderr.contains("`Cargo.lock` is out of date"), !agrees, "{dependency}\n{}", run.stderr);
    }
}

#[rstest]
#[case::the_root(".")]
#[case::the_root_by_a_detour("x/..")]
#[case::the_sources("src")]
#[case::a_member("app")]
#[case::outside("../x")]
#[case::anywhere("/var/x")]
fn a_target_folder_that_is_none_of_its_own_is_an_error_that_names_the_key(#[case] folder: &str) {
    let project = Project::empty();
    project
        .write("Cargo.toml", "[package]\nname = \"demo\"\nversion = \"0.1.0\"\n[workspace]\nmembers = [\"app\"]\n")
        .write("src/main.rs", "fn main() {}\n")
        .write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\n")
        .write("app/src/lib.rs", "")
        .write(".cargo/config.toml", format!("[build]\ntarget-dir = \"{folder}\"\n"));
    let error = format!("`.cargo/config.toml` sets `build.target-dir` to `{folder}`");
    project.run(&["tags"]).fails_with(1, &[&error, "hint: "]);
    if !folder.starts_with(['.', '/']) {
        std::fs::remove_file(project.root.join(".cargo/config.toml")).unwrap();
        let mut command = project.command(&["tags"]);
        command.env("CARGO_TARGET_DIR", folder);
        Run::from(command.output().unwrap())
            .fails_with(1, &["Cargo's target folder `", "holds sources", "CARGO_TARGET_DIR"]);
    }
}

#[rstest]
#[case::that_leads_out("../../x.toml", "`.cargo/config.toml` includes `../../x.toml`, which is not in the project")]
#[case::that_is_ignored("x.toml", "`.cargo/x.toml`, which `.cargo/config.toml` needs, is not among the source files")]
fn included_configuration_that_the_image_would_lack_is_an_error_unless_it_is_optional(
    #[case] path: &str,
    #[case] error: &str,
) {
    let project = Project::hello();
    project
        .write(".cargo/config.toml", format!("include = [\"{path}\"]\n"))
        .write(".runtime-image-ignore", ".cargo/x.toml\n")
        .write(&format!(".cargo/{path}"), "");
    project.run(&["tags"]).fails_with(1, &[error, "hint: ", "optional = true"]);
    project.write(".cargo/config.toml", format!("include = [{{ path = \"{path}\", optional = true }}]\n"));
    project.ok(&["tags"]);
}

#[test]
fn without_docker_the_error_says_what_to_install() {
    let project = Project::hello();
    let mut command = project.command(&[]);
    let cargo = std::env::var("CARGO").unwrap();
    command.env("PATH", "/nonexistent").env("CARGO", cargo);
    Run::from(command.output().unwrap()).fails_with(1, &["cannot find `docker`", "hint: install"]);
    assert!(!project.root.join("target").exists());
}

#[test]
fn without_an_engine_the_error_says_how_to_reach_one() {
    let project = Project::hello();
    for arguments in [&[][..], &["plan"], &["--force-rebuild"]] {
        let mut command = project.command(arguments);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        Run::from(command.output().unwrap()).fails_with(1, &["hint: start the Docker engine", "DOCKER_HOST"]);
        assert!(!project.root.join("target").exists());
    }
}

#[test]
fn without_buildx_the_error_says_what_to_install() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let script = "case \"$1\" in image) echo '[]'; shift 2; for name; do echo \"Error: No such image: $name\" >&2; done; exit 1;; \
        *) echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1;; esac";
    let (path, _) = stand_in_docker(folder.path(), script);
    let mut command = project.command(&[]);
    command.env("PATH", path);
    Run::from(command.output().unwrap()).fails_with(1, &["buildx", "hint: install the buildx plug-in"]);
}

#[test]
fn a_base_image_that_does_not_exist_is_named() {
    let project = Project::hello();
    support::rust_base();
    for (base, quiet) in [("localhost/no-such-image:1", false), ("localhost/no-such-image:1", true)] {
        let arguments = ["--base-image", base, if quiet { "-q" } else { "-v" }];
        let run = project.run(&arguments);
        run.fails_with(101, &["hint: the image `localhost/no-such-image:1` was found neither"]);
    }
    let base =
        std::env::var("RI_REGISTRY").map_or("localhost:1/x:1".to_owned(), |registry| format!("{registry}/nope:1"));
    let run = project.run(&["--base-image", &base]);
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    assert!(run.stderr.contains("hint: "), "{}", run.stderr);
}

#[test]
fn code_that_does_not_compile_ends_with_101_and_the_compilers_words() {
    let project = Project::hello_on_engine();
    project.edit("hello/src/main.rs", "println!", "no_such_macro!");
    let run = project.run(&["-q"]);
    run.fails_with(101, &["cannot find macro `no_such_macro`", "hint: "]);
    let [source, lock, _] = project.tags(&[]);
    assert!(!image_exists(&project.name(&source)));
    assert!(image_exists(&project.name(&lock)), "the dependencies are kept for the next try");
    project.edit("hello/src/main.rs", "no_such_macro!", "println!");
    assert_eq!(project.json(&[]).0["build_from"], "lock");
}

#[test]
fn a_builder_that_does_not_exist_is_named() {
    let project = Project::hello_on_engine();
    project.run(&["--builder", "no-such-builder"]).fails_with(1, &["no-such-builder", "hint: "]);
}
