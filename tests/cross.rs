//! Slim images for several platforms, compiled on the builder's own: nothing is emulated but what is said to be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use serde_json::json;
use support::engine::OtherEngine;
use support::{Project, docker, elf_machine, image_for, label, machine, platforms, run_base, runs_on, rust_base, salt};

const BOTH: [&str; 3] = ["--slim", "--platform", "linux/amd64,linux/arm64"];

/// What the image prints on each platform.
fn runs(image: &str) -> [String; 2] {
    platforms().map(|platform| runs_on(image, platform))
}

/// It is linked to C of its own, which `cc` compiles, and to zlib, which `pkg-config` finds.
const LINKED: &str = "#[link(name = \"answer\", kind = \"static\")] extern \"C\" { fn answer() -> i32; }
extern \"C\" { fn zlibVersion() -> *const u8; }
fn main() { println!(\"hello {} {}\", unsafe { answer() }, unsafe { *zlibVersion() } as char) }\n";

fn linked() -> Project {
    let project = Project::program(LINKED);
    project
        .write("answer.c", "int answer(void) { return 42; }\n")
        .write(
            "build.rs",
            "fn main() { cc::Build::new().file(\"answer.c\").compile(\"answer\"); \
             pkg_config::probe_library(\"zlib\").unwrap(); }\n",
        )
        .edit(
            "Cargo.toml",
            "edition = \"2021\"\n",
            "edition = \"2021\"\n[build-dependencies]\ncc = \"1\"\npkg-config = \"0.3\"\n",
        )
        .write("Cargo.lock", include_str!("fixtures/linked.lock"))
        .write(".cargo/config.toml", format!("[env]\nSALT = {:?}\n", salt()));
    project
}

#[test]
fn one_platform_compiles_for_both_and_the_images_are_the_same_on_another_engine() {
    let project = linked().in_registry();
    let push = [&BOTH[..], &["--push", "--apt-package", "zlib1g-dev"]].concat();
    let (first, run) = project.json(&push);
    let image = first["image"].as_str().unwrap();
    assert_eq!(first["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert!(!run.stderr.contains("emulat"), "{}", run.stderr);
    let [own, other] = platforms();
    assert!(first["reason"].as_str().unwrap().ends_with(&format!("; compiled on {own}")), "{first}");
    assert_eq!(runs(image), ["hello 42 1\n"; 2]);
    for platform in [own, other] {
        assert_eq!(elf_machine(image, platform, "/usr/local/bin/app"), machine(platform));
    }
    assert_eq!(label(&project.name(first["tags"]["lock"].as_str().unwrap()), "dev.runtime-image.platforms"), own);

    // A changed line compiles the members alone.
    project.edit("src/main.rs", "hello", "ciao");
    let (changed, run) = project.json(&push);
    assert_eq!((&changed["build_from"], run.compiled()), (&json!("lock"), vec!["app".to_owned()]), "{}", run.stderr);
    assert_eq!(runs(changed["image"].as_str().unwrap()), ["ciao 42 1\n"; 2]);

    // On another engine, as if nobody had built the image.
    let engine = OtherEngine::start("team");
    engine.empty();
    project.edit("src/main.rs", "ciao", "hello");
    let copy = format!("{}-copy", project.repository);
    for tag in ["lock", "versioned"].map(|tag| first["tags"][tag].as_str().unwrap()) {
        let (from, to) = (format!("{}:{tag}", project.repository), format!("{copy}:{tag}"));
        docker(&["buildx", "imagetools", "create", "--tag", &to, &from]);
    }
    let (again, run) = engine.json(&project, &[&push[..], &["--repository", &copy]].concat());
    assert_eq!(again["build_from"], "lock", "{}", run.stderr);
    assert_eq!((&again["tags"], &again["confirmed"]), (&first["tags"], &first["confirmed"]));
}

#[test]
fn names_go_by_what_is_compiled_where() {
    let [own, other] = platforms();
    let project = Project::hello_on_engine();
    let names = |arguments: &[&str]| project.tags(&[&["--slim"], arguments].concat());
    let [native, both] = [names(&["--platform", own]), names(&BOTH[1..])];
    assert_eq!(names(&[]), native, "nothing is emulated");
    assert_eq!(native[1], project.tags(&[])[1], "the dependencies of the full image");
    assert_ne!(both[1], native[1]);
    assert_ne!(names(&["--platform", other])[1], both[1]);
    assert_eq!(names(&["--platform", "arm64,amd64"]), both);
    assert_eq!(names(&[&BOTH[1..], &["--cross", "off"]].concat())[1], native[1], "each for itself");
    // There is no cross compiler for everything.
    let run = project.run(&["tags", "--slim", "--platform", "linux/amd64,linux/mips64le"]);
    assert!(
        run.stderr
            .contains("warning: linux/mips64le is compiled under emulation, many times slower: there is no cross"),
        "{}",
        run.stderr
    );
}

/// It prints the machine that it was made for.
const MACHINE: &str = "fn main() { println!(\"{}\", std::env::consts::ARCH) }\n";

#[test]
fn a_base_image_that_cannot_is_told_and_each_platform_compiles_for_itself() {
    let mut project = Project::program(MACHINE);
    project.base_image =
        image_for("cannot-cross", "linux/amd64,linux/arm64", &format!("FROM {}\nRUN mkdir /.cargo\n", rust_base()));
    let arguments = ["--run-image", &run_base(), "--platform", platforms()[1]];
    let (report, run) = project.json(&arguments);
    let warning =
        "warning: cannot cross-compile: the base image has a folder `/.cargo`; each platform compiles for itself";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("{} is emulated", platforms()[1])), "{}", run.stderr);
    let image = report["image"].as_str().unwrap();
    assert_eq!(runs_on(image, platforms()[1]), format!("{}\n", machine(platforms()[1])));
    let (off, run) = project.json(&[&arguments[..], &["--cross", "off"]].concat());
    assert_eq!((&off["action"], &off["image"]), (&json!("reuse"), &report["image"]), "{}", run.stderr);
}
