//! Workspaces with local packages outside of their own folder: what is staged then, and that it builds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;

use rstest::rstest;
use support::{Project, run_image};

/// A repository with a workspace in `services/app` and the library that it needs in `libs/words`. What the library
/// inherits is said at the top.
fn monorepo() -> Project {
    let mut project = Project::empty();
    let package = |name: &str, more: &str| {
        format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{more}")
    };
    project
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"libs/*\"]\nresolver = \"2\"\n[workspace.dependencies]\nryu = \"1\"\n",
        )
        .write("libs/words/Cargo.toml", package("words", "[dependencies]\nryu = { workspace = true }\n"))
        .write("libs/words/src/lib.rs", "pub fn word() -> String { ryu::Buffer::new().format(1.5).to_owned() }\n")
        .write("libs/other/Cargo.toml", package("other", ""))
        .write("libs/other/src/lib.rs", "")
        .write(".cargo/config.toml", "[env]\nGREETING = \"hello\"\n")
        .write("notes.txt", "x")
        .write("services/notes.txt", "x")
        .write("services/app/.gitignore", "/target\n")
        .write(
            "services/app/Cargo.toml",
            package("app", "[workspace]\n[dependencies]\nwords = { path = \"../../libs/words\" }\n"),
        )
        .write("services/app/src/main.rs", "fn main() { println!(\"{} {}\", env!(\"GREETING\"), words::word()) }\n");
    project.root = project.root.join("services/app");
    let cargo = std::env::var("CARGO").unwrap();
    let lock = std::process::Command::new(cargo).args(["generate-lockfile", "-q"]).current_dir(&project.root).status();
    assert!(lock.unwrap().success());
    project
}

fn in_git(project: Project) -> Project {
    project.git(&["-C", "../..", "init", "-q"]);
    project.git(&["-C", "../..", "add", "-A"]);
    project
}

#[test]
fn the_nearest_folder_of_the_work_tree_that_holds_all_local_packages_is_staged_and_nothing_else_of_it() {
    let project = in_git(monorepo());
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../../../staged"]);
    let staged = |path: &str| project.root.join("../../../staged").join(path);
    for there in [
        "code/Cargo.toml",
        "code/.cargo/config.toml",
        "code/libs/words/src/lib.rs",
        "code/services/app/src/main.rs",
        "deps/libs/words/src/lib.rs",
        "deps/services/app/Cargo.lock",
    ] {
        assert!(staged(there).is_file(), "{there} is not there");
    }
    for elsewhere in ["code/notes.txt", "code/services/notes.txt", "code/libs/other"] {
        assert!(!staged(elsewhere).exists(), "{elsewhere} is there");
    }
}

#[rstest]
#[case::a_source("src/main.rs", "// x\n", [true, false])]
#[case::a_package_beside("../../libs/words/src/lib.rs", "// x\n", [true, true])]
#[case::what_that_package_inherits("../../Cargo.toml", "ahash = \"0.8\"\n", [true, true])]
#[case::cargos_configuration_above("../../.cargo/config.toml", "[net]\nretry = 3\n", [true, true])]
#[case::a_toolchain_file_above("../../rust-toolchain.toml", "[toolchain]\nchannel = \"1.85\"\n", [true, true])]
#[case::a_file_above("../../notes.txt", "x", [false, false])]
#[case::another_package("../../libs/other/src/lib.rs", "// x\n", [false, false])]
fn what_belongs_to_the_workspace_counts(#[case] path: &str, #[case] more: &str, #[case] moved: [bool; 2]) {
    let project = in_git(monorepo());
    let before = project.tags(&[]);
    let text = fs::read_to_string(project.root.join(path)).unwrap_or_default();
    project.write(path, text + more);
    let after = project.tags(&[]);
    assert_eq!([0, 1].map(|index| before[index] != after[index]), moved);
}

#[test]
fn what_configuration_above_the_workspace_names_is_there_and_counts() {
    let project = monorepo();
    project
        .write("../../.cargo/config.toml", "[target.x86_64-unknown-linux-gnu]\nlinker = \"tools/ld.sh\"\n")
        .write("../../tools/ld.sh", "exec cc \"$@\"\n");
    let project = in_git(project);
    let before = project.tags(&[]);
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../../../staged"]);
    for part in ["deps", "code"] {
        assert!(project.root.join("../../../staged").join(part).join("tools/ld.sh").is_file(), "{part}");
    }
    project.write("../../tools/ld.sh", "exec gcc \"$@\"\n");
    assert_ne!(project.tags(&[])[1], before[1]);
}

#[test]
fn what_cargo_reads_above_what_is_staged_is_told_of() {
    let project = in_git(monorepo());
    let alone = project.read("Cargo.toml").replace("words =", "# words =");
    project.write("Cargo.toml", alone).write("src/main.rs", "fn main() {}\n");
    let run = project.ok(&["tags", "--offline"]);
    assert!(run.stderr.contains("/.cargo/config.toml` counts here and not in the image"), "{}", run.stderr);
    let flags = ["tags", "--offline", "--project-root", "../..", "--manifest-path", "Cargo.toml"];
    assert!(!project.ok(&flags).stderr.contains("counts here"));
}

#[test]
fn without_a_work_tree_the_folder_is_named_by_the_user() {
    let project = monorepo();
    let run = project.run(&["tags"]);
    run.fails_with(1, &["`words`", "lies outside", "hint: ", "--project-root"]);
    let flags = ["--project-root", "../..", "--manifest-path", "Cargo.toml"];
    let tags = project.tags(&flags);
    assert_eq!(project.tags(&[&flags[..2], &["--manifest-path", "src/../Cargo.toml"]].concat()), tags);
    let in_git = in_git(project);
    assert_eq!(in_git.tags(&[]), tags, "the same tree");
    in_git.run(&["tags", "--project-root", "src", "--manifest-path", "Cargo.toml"]).fails_with(2, &["does not lie in"]);
}

/// A folder of fuzz targets depends on the package around it.
#[test]
fn a_workspace_may_depend_on_the_package_around_it() {
    let mut project = Project::hello();
    fs::remove_file(project.root.join("Cargo.toml")).unwrap();
    project
        .write("Cargo.toml", "[package]\nname = \"outer\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .write("src/lib.rs", "")
        .write(
            "fuzz/Cargo.toml",
            "[package]\nname = \"fuzz\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n[dependencies]\nouter = { path = \"..\" }\n",
        )
        .write("fuzz/src/main.rs", "fn main() {}\n")
        .write("fuzz/Cargo.lock", "version = 4\n\n[[package]]\nname = \"fuzz\"\nversion = \"0.0.0\"\ndependencies = [\n \"outer\",\n]\n\n[[package]]\nname = \"outer\"\nversion = \"0.1.0\"\n");
    project.git_init();
    project.root = project.root.join("fuzz");
    let before = project.tags(&[]);
    project.write("../src/lib.rs", "pub fn x() {}\n").write("target/x", "x").write("../target/x", "x");
    let after = project.tags(&[]);
    assert_eq!([0, 1].map(|index| before[index] != after[index]), [true, true]);
    project.write("src/main.rs", "fn main() { outer::x() }\n");
    let last = project.tags(&[]);
    assert_eq!([0, 1].map(|index| last[index] != after[index]), [true, false]);
}

#[test]
fn a_workspace_below_the_root_is_built_there_and_again_on_its_lock_image() {
    let project = in_git(monorepo()).on_engine();
    project.write("runtime-image.toml", "user = \"app\"\n");
    let (built, run) = project.json(&[]);
    assert_eq!(built["build_from"], "scratch", "{}", run.stderr);
    let image = built["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), "hello 1.5\n");
    assert_eq!(
        run_image(image, &["sh", "-c", "pwd; ls -A /workspace; cd ../../libs && ls"]),
        "/workspace/services/app\n.cargo\nCargo.toml\nlibs\nservices\nwords\n"
    );
    let [_, lock, _] = project.tags(&[]);
    let left = run_image(
        &project.name(&lock),
        &["sh", "-c", "cd /workspace && find . -type f ! -path './services/app/target/*'"],
    );
    assert_eq!(left, "", "the lock image holds sources");

    project.edit("src/main.rs", "{} {}", "{}, {}");
    let (again, run) = project.json(&[]);
    assert_eq!(again["build_from"], "lock", "{}", run.stderr);
    assert_eq!(run.compiled(), ["app"]);
    assert_eq!(run_image(again["image"].as_str().unwrap(), &[]), "hello, 1.5\n");
}
