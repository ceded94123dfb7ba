//! Slim images for several platforms, compiled on the builder's own: nothing is emulated but what is said to be.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use serde_json::{Value, json};
use support::engine::OtherEngine;
use support::{Project, docker, label, platforms, registry, rust_base, salt};

const BOTH: [&str; 3] = ["--slim", "--platform", "linux/amd64,linux/arm64"];

const HELLO: &str = "HELLO from the runtime image 1.0 (32 characters)\n";

/// What the image prints on each platform.
fn runs(image: &str) -> [String; 2] {
    platforms().map(|platform| docker(&["run", "--rm", "--platform", platform, image]))
}

/// What its program is made for, whatever the image says: bytes 18 and 19 of an ELF file.
fn made_for(image: &str, platform: &str, program: &str) -> &'static str {
    let script = format!("od -An -tx1 -j18 -N2 /usr/local/bin/{program} | tr -d ' '");
    match docker(&["run", "--rm", "--platform", platform, image, "sh", "-c", &script]).trim() {
        "3e00" => "linux/amd64",
        "b700" => "linux/arm64",
        other => panic!("{other} is neither"),
    }
}

fn name(report: &Value, tag: &str) -> String {
    format!("{}:{}", report["repository"].as_str().unwrap(), report["tags"][tag].as_str().unwrap())
}

/// A base image made of the one with Cargo.
fn base(what: &str, dockerfile: &str) -> String {
    let (folder, name) = (tempfile::tempdir().unwrap(), format!("localhost/ri-test-{what}-{}", std::process::id()));
    std::fs::write(folder.path().join("Dockerfile"), format!("FROM {}\n{dockerfile}", rust_base())).unwrap();
    docker(&["build", "--quiet", "--tag", &name, folder.path().to_str().unwrap()]);
    name
}

/// The run image beside the tests' base image with Cargo.
fn run_base() -> String {
    format!("{}/debian:trixie-slim", registry())
}

#[test]
fn one_platform_compiles_for_both_and_the_images_are_the_same_on_another_engine() {
    let project = Project::hello_on_engine().in_registry();
    project.write(".cargo/config.toml", format!("[env]\nSALT = {:?}\n", salt()));
    let push = [&BOTH[..], &["--push"]].concat();
    let (first, run) = project.json(&push);
    let image = first["image"].as_str().unwrap();
    assert_eq!(first["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert!(!run.stderr.contains("emulat"), "{}", run.stderr);
    assert!(first["reason"].as_str().unwrap().ends_with("; compiled on linux/amd64"), "{first}");
    assert_eq!(runs(image), [HELLO; 2]);
    for platform in platforms() {
        assert_eq!(made_for(image, platform, "hello"), platform);
    }
    assert_eq!(label(&name(&first, "lock"), "dev.runtime-image.platforms"), platforms()[0]);

    // A changed line compiles the members alone, once for each platform.
    project.edit("greeting/src/lib.rs", "hello", "ciao");
    let (changed, run) = project.json(&push);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    let compiled = run.compiled();
    assert!(!compiled.contains(&"itoa".to_owned()), "{}", run.stderr);
    assert_eq!(compiled.iter().filter(|name| *name == "greeting").count(), 2, "{}", run.stderr);
    let changed_image = changed["image"].as_str().unwrap();
    assert!(runs(changed_image).iter().all(|text| text.starts_with("CIAO ")));

    // On another engine, as if nobody had built them.
    let other = OtherEngine::start("team");
    other.empty();
    project.edit("greeting/src/lib.rs", "ciao", "hello");
    let copy = format!("{}-copy", project.repository);
    for tag in ["lock", "versioned"].map(|tag| first["tags"][tag].as_str().unwrap()) {
        let (from, to) = (format!("{}:{tag}", project.repository), format!("{copy}:{tag}"));
        docker(&["buildx", "imagetools", "create", "--tag", &to, &from]);
    }
    let (again, run) = other.json(&project, &[&push[..], &["--repository", &copy]].concat());
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

const LINKED: &str = "#[link(name = \"answer\", kind = \"static\")] extern \"C\" { fn answer() -> i32; }
extern \"C\" { fn zlibVersion() -> *const u8; }
fn main() { println!(\"{} {}\", unsafe { answer() }, unsafe { *zlibVersion() } as char) }\n";

#[test]
fn what_is_written_in_c_and_what_pkg_config_finds_is_for_the_other_platform_too() {
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
        .write("Cargo.lock", include_str!("fixtures/linked.lock"));
    let packages = ["--apt-package", "zlib1g-dev", "--run-package", "zlib1g"];
    let (report, run) = project.json(&[&BOTH[..], &packages].concat());
    let image = report["image"].as_str().unwrap();
    assert!(!run.stderr.contains("compiled under emulation"), "{}", run.stderr);
    assert_eq!(runs(image), ["42 1\n"; 2]);
    assert_eq!(made_for(image, platforms()[1], "app"), platforms()[1]);
}

/// It prints the machine that it was made for.
const MACHINE: &str = "fn main() { println!(\"{}\", std::env::consts::ARCH) }\n";

fn machine(platform: &str) -> &'static str {
    if platform == "linux/arm64" { "aarch64\n" } else { "x86_64\n" }
}

#[test]
fn a_base_image_that_cannot_is_told_and_each_platform_compiles_for_itself() {
    let mut project = Project::program(MACHINE);
    project.base_image = base("cannot-cross", "RUN mkdir /.cargo\n");
    let arguments = ["--run-image", &run_base(), "--platform", platforms()[1]];
    let (report, run) = project.json(&arguments);
    let warning =
        "warning: cannot cross-compile: the base image has a folder `/.cargo`; each platform compiles for itself";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("{} is emulated", platforms()[1])), "{}", run.stderr);
    let image = report["image"].as_str().unwrap();
    assert_eq!(runs_for(image), machine(platforms()[1]));
    let (off, run) = project.json(&[&arguments[..], &["--cross", "off"]].concat());
    assert_eq!((&off["action"], &off["image"]), (&json!("reuse"), &report["image"]), "{}", run.stderr);
}

fn runs_for(image: &str) -> String {
    docker(&["run", "--rm", "--platform", platforms()[1], image])
}

/// rustup cannot be had here. What stands for it is asked as rustup is, and then lets Rust find a standard library that
/// comes from Debian.
#[test]
fn rustup_is_asked_for_standard_libraries_of_the_toolchain_that_the_project_wants() {
    let [own, other] = platforms();
    let (architecture, target) = if own == "linux/amd64" {
        ("arm64", "aarch64-unknown-linux-gnu")
    } else {
        ("amd64", "x86_64-unknown-linux-gnu")
    };
    let mut project = Project::program(MACHINE);
    project.base_image = base(
        "rustup",
        &format!(
            "RUN dpkg --add-architecture {architecture} && apt-get update && apt-get install -y --no-install-recommends \
             libstd-rust-dev:{architecture} && mv /usr/lib/rustlib/{target} /opt/\n\
             RUN printf '#!/bin/sh\\necho \"$*\" >>/opt/asked\\ncase $1 in target) mv /opt/{target} /usr/lib/rustlib/ ;; \
             esac\\n' >/usr/local/bin/rustup && chmod +x /usr/local/bin/rustup\n"
        ),
    );
    project.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85\"\n");
    let (report, run) = project.json(&["--run-image", &run_base(), "--platform", other]);
    assert!(!run.stderr.contains("emulat"), "{}", run.stderr);
    assert_eq!(runs_for(report["image"].as_str().unwrap()), machine(other));
    let asked = docker(&["run", "--rm", &name(&report, "lock"), "cat", "/opt/asked"]);
    assert_eq!(asked, format!("run 1.85 rustc --version\ntarget add --toolchain 1.85 {target}\n"));
}
