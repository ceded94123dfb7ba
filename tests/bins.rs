//! An image for each binary of a workspace: what its name goes by, and that it is compiled from nothing else.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::Value;
use support::{Project, Run, image_id, run_image};

const EACH: [&str; 2] = ["--each-bin", "--run-image=scratch"];

/// A workspace of the library `kit`, the binaries `foo` (which uses it) and `bar` (which a library `gen` builds), and a
/// member with neither.
fn workspace() -> Project {
    let project = Project::empty();
    let member = |name: &str, rest: &str| {
        project.write(
            &format!("{name}/Cargo.toml"),
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n{rest}"),
        );
    };
    project.write(
        "Cargo.toml",
        "[workspace]\nresolver = \"2\"\nmembers = [\"kit\", \"foo\", \"bar\", \"gen\", \"tests\"]\n",
    );
    member("kit", "");
    member("foo", "[dependencies]\nkit = { path = \"../kit\" }\n[dev-dependencies]\ntests = { path = \"../tests\" }\n");
    member("bar", "[build-dependencies]\ngen = { path = \"../gen\" }\n");
    member("gen", "");
    member("tests", "");
    for name in ["kit", "gen", "tests"] {
        project.write(&format!("{name}/src/lib.rs"), format!("pub fn name() -> &'static str {{ \"{name}\" }}\n"));
    }
    project
        .write("foo/src/main.rs", "fn main() { println!(\"foo {}\", kit::name()) }\n")
        .write("bar/src/main.rs", "fn main() { println!(\"bar {}\", env!(\"GEN\")) }\n")
        .write("bar/build.rs", "fn main() { println!(\"cargo:rustc-env=GEN={}\", gen::name()) }\n")
        .write("data/names.txt", "one\n")
        .write("README.md", "x\n");
    let package =
        |(name, rest): &(&str, &str)| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n{rest}");
    let packages = [
        ("bar", "dependencies = [\n \"gen\",\n]\n"),
        ("kit", ""),
        ("foo", "dependencies = [\n \"kit\",\n \"tests\",\n]\n"),
        ("gen", ""),
        ("tests", ""),
    ];
    project.write("Cargo.lock", format!("version = 4\n{}", packages.iter().map(package).collect::<Vec<_>>().concat()));
    project
}

/// What a run says of each binary.
fn each(run: &Run) -> BTreeMap<String, Value> {
    let reports = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    reports.map(|report| (report["binary"].as_str().unwrap().to_owned(), report)).collect()
}

fn names(project: &Project, arguments: &[&str]) -> BTreeMap<String, Value> {
    let plan = ["plan", "--message-format", "json", "--force-rebuild", "--dry-run"];
    each(&project.ok(&[&plan[..], &EACH, arguments].concat()))
}

type Change = fn(&Project);

#[rstest]
#[case::a_binary(|p: &Project| { p.edit("foo/src/main.rs", "foo", "FOO"); }, &["foo"])]
#[case::its_library(|p: &Project| { p.edit("kit/src/lib.rs", "kit", "KIT"); }, &["foo"])]
#[case::what_it_is_built_by(|p: &Project| { p.edit("gen/src/lib.rs", "gen", "GEN"); }, &["bar"])]
#[case::what_it_is_tested_with(|p: &Project| { p.edit("tests/src/lib.rs", "tests", "TESTS"); }, &[])]
#[case::a_description(|p: &Project| { p.edit("bar/Cargo.toml", "edition", "description = \"x\"\nedition"); }, &["bar"])]
#[case::a_version(|p: &Project| { p.edit("foo/Cargo.toml", "0.1.0", "0.1.1"); p.edit("Cargo.lock", "\"foo\"\nversion = \"0.1.0\"", "\"foo\"\nversion = \"0.1.1\""); }, &["foo"])]
#[case::the_root_manifest(|p: &Project| { p.edit("Cargo.toml", "members", "# x\nmembers"); }, &["bar", "foo"])]
#[case::a_file_of_no_package(|p: &Project| { p.edit("README.md", "x", "y"); p.edit("data/names.txt", "one", "two"); }, &[])]
#[case::an_input(|p: &Project| { p.edit("data/names.txt", "one", "two"); }, &["bar"])]
fn a_name_goes_by_the_packages_that_a_binary_needs(#[case] change: Change, #[case] changed: &[&str]) {
    let project = workspace();
    let has_input = std::thread::current().name().unwrap().contains("an_input");
    let arguments: &[&str] = if has_input { &["--bin-input", "bar=data/*.txt"] } else { &[] };
    let before = names(&project, arguments);
    change(&project);
    let after = names(&project, arguments);
    let moved = before.keys().filter(|binary| before[*binary]["tags"]["source"] != after[*binary]["tags"]["source"]);
    assert_eq!(moved.collect::<Vec<_>>(), changed);
    assert_eq!(before["foo"]["tags"]["lock"], after["bar"]["tags"]["lock"], "the dependencies are one image");
}

#[test]
fn each_binary_has_a_repository_and_they_come_in_the_order_of_the_manifest() {
    let project = workspace();
    let run = project.ok(&[&["tags"], &EACH[..]].concat());
    let words = |line: usize, word: usize| run.stdout.lines().nth(line).unwrap().split_whitespace().nth(word).unwrap();
    let repository = |line: usize| words(line, 1).rsplit_once(':').unwrap().0.to_owned();
    assert_eq!(
        (repository(0), repository(3)),
        (project.name("foo").replace(':', "-"), project.name("bar").replace(':', "-"))
    );
    assert_eq!((repository(1), repository(2)), (project.repository.clone(), project.repository.clone()));
    let named = names(&project, &["--repository", "registry.example.com/team/{bin}"]);
    assert_eq!(named["bar"]["repository"], "registry.example.com/team/bar");
    assert_eq!(named["bar"]["lock_repository"], "registry.example.com/team/foo");

    // Some of them, in one image: named by what these need, and with a repository of no binary.
    let one = |arguments: &[&str]| project.json(&[&["tags", "--run-image=scratch"], arguments].concat()).0;
    let foo = one(&["--bin", "foo"]);
    assert_eq!(foo["repository"], project.repository);
    assert_eq!(foo["tags"], named["foo"]["tags"]);
    assert_ne!(foo["tags"]["source"], one(&["--bin", "foo", "--bin", "bar"])["tags"]["source"]);
    project.edit("bar/src/main.rs", "bar", "BAR");
    assert_eq!(one(&["--bin", "foo"]), foo);

    project.run(&["tags", "--bin", "foo", "--repository", "registry.example.com/team/{bin}"]).fails_with(
        2,
        &["`repository` holds `{bin}`, which stands for the binary of an image", "hint: ", "`--each-bin`"],
    );
    for (arguments, what) in
        [(["--bin", "baz"], "`bins` names `baz`"), (["--bin-input", "baz=README.md"], "`bin-inputs` names `baz`")]
    {
        let run = project.run(&[&["tags"], &EACH[..], &arguments].concat());
        run.fails_with(2, &[what, "has no such binary", "hint: its binaries are `foo`, `bar`"]);
    }
}

#[test]
fn a_workspace_that_builds_no_binary_by_default_is_no_success_without_an_image() {
    let project = workspace();
    project.edit("Cargo.toml", "[workspace]", "[workspace]\ndefault-members = [\"kit\"]");
    let run = project.run(&[&["tags"], &EACH[..]].concat());
    run.fails_with(2, &["builds no binary by default", "hint: name them with `bins`", "`foo`, `bar`"]);
    let chosen = project.ok(&[&["tags"], &EACH[..], &["--bin", "bar"]].concat());
    assert_eq!(chosen.stdout.lines().count(), 3);
}

#[test]
fn a_changed_leaf_is_one_new_image_and_all_others_are_reused() {
    let project = Project::empty().on_engine();
    let numbers: Vec<String> = (0..10).map(|number| format!("b{number}")).collect();
    let members = numbers.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    project.write("Cargo.toml", format!("[workspace]\nresolver = \"2\"\nmembers = [{members}]\n"));
    let mut lock = vec!["version = 4\n".to_owned()];
    for name in &numbers {
        let package = format!("name = \"{name}\"\nversion = \"0.1.0\"\n");
        lock.push(format!("\n[[package]]\n{package}"));
        project
            .write(&format!("{name}/Cargo.toml"), format!("[package]\n{package}edition = \"2021\"\n"))
            .write(&format!("{name}/src/main.rs"), format!("fn main() {{ println!(\"{name}\") }}\n"));
    }
    project.write("Cargo.lock", lock.concat());
    let first = project.ok(&["--each-bin"]);
    let images: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(images.len(), 10);
    // The skeleton is compiled once too, where the engine does not have it from another run of this test.
    let (_, sources) = first.stderr.split_once("Building the sources").unwrap();
    assert_eq!(sources.matches("Compiling").count(), 10, "each of them once: {}", first.stderr);
    for (name, image) in numbers.iter().zip(&images) {
        assert!(image.starts_with(&format!("{}-{name}:", project.repository)), "{image}");
        assert_eq!(run_image(image, &[]), format!("{name}\n"));
        assert_eq!(run_image(image, &["ls", "/usr/local/bin"]), format!("{name}\n"));
    }
    let ids: Vec<String> = images.iter().map(|image| image_id(image)).collect();

    project.edit("b3/src/main.rs", "b3", "changed");
    let run = project.ok(&["--each-bin", "--message-format", "json"]);
    let reports = each(&run);
    let built: Vec<_> =
        reports.iter().filter(|(_, report)| report["action"] == "build").map(|(name, _)| name).collect();
    assert_eq!(built, ["b3"], "{}", run.stderr);
    assert_eq!(run_image(reports["b3"]["image"].as_str().unwrap(), &[]), "changed\n");
    for (name, (image, id)) in numbers.iter().zip(images.iter().zip(&ids)).filter(|(name, _)| *name != "b3") {
        assert_eq!((reports[name]["image"].as_str().unwrap(), &image_id(image)), (*image, id));
    }
}

#[rstest]
#[case::a_text("fn main() { print!(\"{}\", include_str!(\"../../data/a b.txt\")) }\n", "", "data/a b.txt")]
#[case::a_module("#[path = \"../../other/x.rs\"] mod x;\nfn main() { x::say() }\n", "", "other/x.rs")]
#[case::what_a_build_script_names(
    "fn main() { print!(\"text\\n\") }\n",
    "fn main() { println!(\"cargo:rerun-if-changed=../data\") }\n",
    "data/a b.txt"
)]
fn what_a_binary_is_compiled_from_without_its_name_going_by_it_is_told(
    #[case] main: &str,
    #[case] build: &str,
    #[case] path: &str,
) {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"app\", \"other\"]\n")
        .write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .write("app/src/main.rs", main)
        .write("other/Cargo.toml", "[package]\nname = \"other\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .write("other/src/lib.rs", "")
        .write("other/x.rs", "pub fn say() { print!(\"text\\n\") }\n")
        .write("data/a b.txt", "text\n")
        .write(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"other\"\nversion = \"0.1.0\"\n",
        );
    if !build.is_empty() {
        project.write("app/build.rs", build);
    }
    let told = format!(
        "error: `app` was compiled from `{path}`, which its image's name does not depend on: add `bin-inputs.app = [\"{path}\"]`\n"
    );
    project.run(&["--bin", "app"]).fails_with(101, &[&told, "failed in step \"check-binaries\""]);
    // As it was told.
    project.write("runtime-image.toml", format!("bins = [\"app\"]\nbin-inputs.app = [\"{path}\"]\n"));
    assert_eq!(run_image(project.ok(&[]).image(), &[]), "text\n");
}
