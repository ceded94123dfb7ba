//! Slim images: what they hold, what their names go by, and that none is made which would not start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use rstest::rstest;
use serde_json::{Value, json};
use support::{
    Project, Run, debian_base, docker, image_exists, image_of, label, machine, platforms, registry, registry_digest,
    run_base, run_image, runs_on, stand_in_docker,
};

const HELLO: &str = "HELLO from the runtime image 1.0 (32 characters)\n";

fn inspected(image: &str) -> Value {
    let mut images: Value = serde_json::from_str(&docker(&["image", "inspect", image])).unwrap();
    images[0].take()
}

/// The layers of an image.
fn layers(image: &str) -> Vec<Value> {
    inspected(image)["RootFS"]["Layers"].as_array().unwrap().clone()
}

/// What a container's file system holds: its paths.
fn files(image: &str) -> Vec<String> {
    let container = docker(&["container", "create", image, "x"]);
    let script = format!("docker container export {} | tar -t", container.trim());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    docker(&["container", "rm", container.trim()]);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_slim_image_is_the_run_image_and_the_binary() {
    let project = Project::hello_on_engine();
    let (full, _) = project.json(&["tags"]);
    let (slim, run) = project.json(&["--slim"]);
    let image = slim["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO);
    assert_eq!(slim["build_from"], "scratch", "{}", run.stderr);
    assert_eq!(slim["tags"]["lock"], full["tags"]["lock"]);
    assert_ne!(slim["tags"]["source"], full["tags"]["source"]);

    let base = inspected(image);
    docker(&["pull", "--quiet", &run_base()]);
    let (own, below) = (layers(image), layers(&run_base()));
    assert_eq!(own[..below.len()], below[..], "it starts from the run image");
    assert_eq!(own.len(), below.len() + 3, "the working directory, the binaries, nothing: {base}");
    assert_eq!(label(image, "dev.runtime-image.image"), "slim");
    assert_eq!(label(image, "org.opencontainers.image.base.name"), run_base());
    assert_eq!(base["Config"]["WorkingDir"], "/app");
    let files = files(image);
    assert!(files.contains(&"usr/local/bin/hello".to_owned()));
    assert!(!files.iter().any(|file| file.starts_with("workspace") || file.ends_with("/cargo")), "{files:?}");

    // A changed line compiles the members alone, and what is beside them stays.
    project.edit("greeting/src/lib.rs", "hello", "ciao");
    let (changed, run) = project.json(&["--slim"]);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    assert!(!run.compiled().contains(&"itoa".to_owned()), "{}", run.stderr);
    let changed = changed["image"].as_str().unwrap();
    assert!(run_image(changed, &[]).starts_with("CIAO "));
    assert_eq!(layers(changed)[..=below.len()], own[..=below.len()]);

    // The full image is built on the same dependencies, and both are reused from then on.
    let (full, run) = project.json(&[]);
    assert_eq!((&full["build_from"], full["action"].as_str()), (&json!("lock"), Some("build")), "{}", run.stderr);
    assert_eq!(label(full["image"].as_str().unwrap(), "dev.runtime-image.image"), "full");
    for arguments in [&["--slim"][..], &[]] {
        assert_eq!(project.json(arguments).0["action"], "reuse");
    }
}

/// What the parts of an image's history sum up to.
fn unpacked(image: &str) -> u64 {
    let sizes = docker(&["image", "history", "--human=false", "--format", "{{.Size}}", image]);
    sizes.lines().map(|size| size.parse::<u64>().unwrap()).sum()
}

/// The sizes of an image's layers in the registry, for the engine's own platform.
fn packed(image: &str) -> Vec<u64> {
    let raw = |image: &str| -> Value {
        serde_json::from_str(&docker(&["buildx", "imagetools", "inspect", "--raw", image])).unwrap()
    };
    let (index, [native, _]) = (raw(image), platforms());
    let is_native = |manifest: &&Value| native.ends_with(manifest["platform"]["architecture"].as_str().unwrap());
    let manifest = index["manifests"].as_array().unwrap().iter().find(is_native).unwrap();
    let (repository, _) = image.rsplit_once(':').unwrap();
    let manifest = raw(&format!("{repository}@{}", manifest["digest"].as_str().unwrap()));
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).collect()
}

#[test]
fn the_size_is_told_and_what_of_it_is_not_the_run_images() {
    let project = Project::program("fn main() {}\n");
    project.write("runtime-image.toml", "slim = true\nuser = \"app\"\nenv = { A = \"1\" }\nentrypoint = [\"app\"]\n");
    docker(&["pull", "--quiet", &run_base()]);
    let (report, run) = project.json(&["--run-package", "zlib1g"]);
    let (image, size) = (report["image"].as_str().unwrap(), &report["size"]);
    let own = size["own"].as_u64().unwrap();
    assert_eq!(
        *size,
        json!({ "all": unpacked(image), "own": unpacked(image) - unpacked(&run_base()), "compressed": false })
    );
    let binaries = file_size(image);
    assert!(own >= binaries && 100 * own <= 105 * binaries, "{size} for {binaries} bytes of binaries");
    let told = format!(" of it beside `{}`\n", run_base());
    assert!(run.stderr.contains("   Confirmed sha256:") && run.stderr.contains(&told), "{}", run.stderr);
    let (again, _) = project.json(&["--run-package", "zlib1g"]);
    assert_eq!((&again["action"], &again["size"]), (&json!("reuse"), &Value::Null), "no further question is asked");

    let (full, _) = project.json(&["--slim=false"]);
    let all = unpacked(full["image"].as_str().unwrap());
    assert_eq!(full["size"], json!({ "all": all, "own": null, "compressed": false }));

    let project = project.in_registry();
    let (pushed, run) = project.json(&["--push"]);
    let layers = packed(pushed["image"].as_str().unwrap());
    let (all, below): (u64, u64) = (layers.iter().sum(), packed(&run_base()).iter().sum());
    assert_eq!(pushed["size"], json!({ "all": all, "own": all - below, "compressed": true }));
    assert!(run.stderr.contains(" MB compressed, "), "{}", run.stderr);
}

#[test]
fn a_size_that_nobody_tells_fails_no_run() {
    let project = Project::program("fn main() {}\n");
    let folder = tempfile::tempdir().unwrap();
    let script = "[ \"$1 $2\" != \"image history\" ] || exit 1; exec \"$REAL_DOCKER\" \"$@\"";
    let (path, real) = stand_in_docker(folder.path(), script);
    let mut command = project.command(&["--slim", "--message-format", "json"]);
    let run = Run::from(command.env("PATH", path).env("REAL_DOCKER", real).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&report["action"], &report["size"]), (&json!("build"), &Value::Null));
    assert!(run.stderr.contains(" in the engine, for linux/"), "{}", run.stderr);
}

#[test]
fn binaries_that_are_mostly_symbols_are_told_of() {
    const WORDS: &str = "of binaries are symbols and debug information: `strip = true` in their profile";
    let project = Project::program("fn main() { println!(\"{:?}\", std::env::args()) }\n");
    let binary = |profile: &str| {
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[profile.release]\n";
        project.write("Cargo.toml", format!("{manifest}{profile}"));
        let run = project.ok(&["--slim"]);
        let told = run.stderr.lines().filter(|line| line.contains(WORDS)).map(str::to_owned).next();
        (file_size(run.image()), told)
    };
    let (plain, told) = binary("debug = 0\n");
    assert_eq!(told, None, "{plain} bytes");
    let (stripped, told) = binary("strip = true\n");
    assert_eq!(told, None, "{stripped} bytes");
    let (whole, told) = binary("debug = 2\n");
    let told = told.unwrap_or_else(|| panic!("{whole} bytes, and {stripped} without symbols"));
    // In tenths of a megabyte.
    let numbers = told.split_once("warning: ").unwrap().1.replace('.', "");
    let mut numbers = numbers.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let (saved, all) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(all, whole / 100_000, "{told}");
    assert!(saved.abs_diff((whole - stripped) / 100_000) <= 2, "{told}, and {stripped} bytes are left of {whole}");
}

/// The size of the binary `app` in an image.
fn file_size(image: &str) -> u64 {
    let run = ["run", "--rm", "--entrypoint", "wc", image, "-c", "/usr/local/bin/app"];
    docker(&run).split(' ').next().unwrap().parse().unwrap()
}

const CFG_IF: &str = "[[package]]\nname = \"cfg-if\"\nversion = \"1.0.5\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
    checksum = \"4e7648175b45a9a48536d676f68d918270699102aa8dab5496df06904c914600\"\n\n[[package]]\nname = \"greeting\"";

/// The crates that a binary in an image says it is built of.
fn crates_in(image: &str, binary: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let (copy, container) = (folder.path().join(binary), docker(&["container", "create", image, "x"]));
    docker(&["cp", &format!("{}:/usr/local/bin/{binary}", container.trim()), copy.to_str().unwrap()]);
    docker(&["container", "rm", container.trim()]);
    let Ok(list) = auditable_info::json_from_slice(&std::fs::read(copy).unwrap(), 1 << 20) else { return Vec::new() };
    let list: Value = serde_json::from_str(&list).unwrap();
    let names = list["packages"].as_array().unwrap().iter().map(|package| package["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn an_auditable_binary_says_its_crates_and_a_changed_line_compiles_the_members_alone() {
    let project = Project::hello_on_engine();
    // What tests alone need is in no binary, and is asked for all the same.
    project
        .write("runtime-image.toml", "auditable = true\n")
        .edit("hello/Cargo.toml", "[dependencies]", "[dev-dependencies]\ncfg-if = \"1\"\n\n[dependencies]")
        .edit("Cargo.lock", "[[package]]\nname = \"greeting\"", CFG_IF)
        .edit("Cargo.lock", " \"greeting\",\n \"itoa\",", " \"cfg-if\",\n \"greeting\",\n \"itoa\",");
    let all = ["greeting", "hello", "itoa", "proc-macro2", "quote", "ryu", "shout", "unicode-ident"];
    let slim = project.ok(&["--slim"]).image().to_owned();
    assert_eq!(crates_in(&slim, "hello"), all);
    assert_eq!(run_image(&slim, &[]), HELLO);

    project.edit("greeting/src/lib.rs", "hello", "ciao");
    let (changed, run) = project.json(&["--slim"]);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    assert_eq!(run.compiled(), ["greeting", "hello"], "{}", run.stderr);
    let lock = project.name(changed["tags"]["lock"].as_str().unwrap());
    assert_ne!(
        run_image(&lock, &["find", "/", "-xdev", "-name", "cfg-if-*.crate"]),
        "",
        "it is fetched again each time"
    );
    assert_eq!(crates_in(changed["image"].as_str().unwrap(), "hello"), all);

    let (full, _) = project.json(&[]);
    assert_eq!(
        (&full["build_from"], crates_in(full["image"].as_str().unwrap(), "hello")),
        (&json!("lock"), all.map(str::to_owned).to_vec())
    );
    let (other, _) = project.json(&["--auditable=false"]);
    assert_ne!(other["tags"]["lock"], full["tags"]["lock"]);
    assert_eq!(crates_in(other["image"].as_str().unwrap(), "hello"), [""; 0]);
}

#[test]
fn a_member_that_dependencies_need_is_compiled_once_for_auditable_binaries() {
    let project = Project::empty().on_engine();
    project.patch_itself().write("runtime-image.toml", "auditable = true\nslim = true\n");
    project.ok(&[]);
    project.edit("app/src/main.rs", "{}", "<{}>");
    let run = project.ok(&[]);
    assert_eq!(run.compiled(), ["app"], "{}", run.stderr);
    assert_eq!(
        (run_image(run.image(), &[]), crates_in(run.image(), "app")),
        ("<1>\n".to_owned(), vec!["app".to_owned(), "itoa".to_owned()])
    );
}

#[test]
fn packages_assets_user_and_start_of_a_slim_image_are_as_asked() {
    let project =
        Project::program("fn main() { println!(\"{}\", std::fs::read_to_string(\"config/a.toml\").unwrap()) }\n");
    project
        .write("static/index.html", "<p>")
        .write("static/deep/b.js", "b")
        .write("config/a.toml", "a = 1")
        .write("config/a.json", "{}")
        .write(
            "runtime-image.toml",
            "slim = true\nrun-packages = [\"zlib1g\"]\nassets = [\"static\", \"config/*.toml\"]\nuser = \"app\"\n\
             entrypoint = [\"env\", \"WHO=me\"]\ncmd = [\"app\"]\nenv = { GREETING = \"hi\" }\n",
        );
    let image = project.ok(&[]).image().to_owned();
    assert_eq!(run_image(&image, &[]), "a = 1\n");
    assert_eq!(
        run_image(&image, &["sh", "-c", "echo $WHO $GREETING $(whoami) $HOME; pwd"]),
        "me hi app /home/app\n/app\n"
    );
    let assets = files(&image).into_iter().filter(|file| file.starts_with("app/") && !file.ends_with('/'));
    assert_eq!(assets.collect::<Vec<_>>(), ["app/config/a.toml", "app/static/deep/b.js", "app/static/index.html"]);
    assert_ne!(run_image(&image, &["sh", "-c", "ls /usr/lib/*/libz.so.1"]), "");
    let names = |change: &[&str]| project.tags(change);
    let [source, lock, _] = names(&[]);
    for change in [
        &["--run-image", "debian:12"][..],
        &["--run-package", "zlib1g", "--run-package", "tzdata"],
        &["--asset", "static"],
        &["--workdir", "/srv", "--user", "1000"],
        &["--slim=false"],
    ] {
        assert_ne!(names(change)[0], source, "{change:?}");
        assert!(names(change)[1] == lock || change.contains(&"--user"), "{change:?}");
    }
}

#[test]
fn a_number_needs_no_user_and_nothing_runs_in_a_run_image_without_a_shell() {
    let project = Project::program("fn main() { println!(\"hi\") }\n");
    project.write(
        "runtime-image.toml",
        "run-image = \"scratch\"\nuser = \"1234:1234\"\n[env]\nRUSTFLAGS = \"-C target-feature=+crt-static\"\n",
    );
    let image = project.ok(&[]).image().to_owned();
    assert_eq!(run_image(&image, &[]), "hi\n");
    assert_eq!(inspected(&image)["Config"]["User"], "1234:1234");
    assert_eq!(label(&image, "org.opencontainers.image.base.name"), "");
    let own: Vec<String> = files(&image).into_iter().filter(|file| file.contains("usr/")).collect();
    assert_eq!(own, ["usr/", "usr/local/", "usr/local/bin/", "usr/local/bin/app"]);

    // A user with a name, in an image that has no file about users.
    let named = project.ok(&["--user", "app"]).image().to_owned();
    assert_eq!(run_image(&named, &[]), "hi\n");
}

const NEW_SYMBOL: &str = "extern \"C\" { fn strlcpy(to: *mut u8, from: *const u8, size: usize) -> usize; }
fn main() { let mut to = [0; 4]; println!(\"{}\", unsafe { strlcpy(to.as_mut_ptr(), std::hint::black_box(b\"ab\\0\").as_ptr(), 4) }) }\n";

const ZLIB: &str = "#[link(name = \"z\")] extern \"C\" { fn zlibVersion() -> *const u8; }
fn main() { println!(\"{}\", unsafe { *zlibVersion() } as char) }\n";

const OPENSSL: &str = "#[link(name = \"ssl\")] extern \"C\" { fn OPENSSL_init_ssl(o: u64, s: *const u8) -> i32; }
fn main() { println!(\"{}\", unsafe { OPENSSL_init_ssl(0, std::ptr::null()) }) }\n";

#[rstest]
#[case::a_new_symbol(NEW_SYMBOL, "debian:bookworm", &[], &["`app` needs GLIBC_2.38, `", "/debian:bookworm` has 2.36\n", "hint: build on a `--base-image` of the same or an older release"])]
#[case::a_library(ZLIB, "without zlib", &["--apt-package", "zlib1g-dev"], &["`libz.so.1`, which `app` needs, is missing in `", "`: add `zlib1g` to `run-packages`\n"])]
#[case::a_library_of_another_package(OPENSSL, "debian:bookworm", &["--apt-package", "libssl-dev"], &["`libssl.so.3`, which `app` needs, is missing in `", "`: add `libssl3t64` to `run-packages`\n"])]
#[case::nothing_to_load_it("fn main() {}\n", "scratch", &[], &["`, which loads `app`, is missing in `scratch`\n", "hint: take a `--run-image` that has it"])]
fn an_image_that_would_not_start_is_no_image(
    #[case] main: &str,
    #[case] run_image: &str,
    #[case] arguments: &[&str],
    #[case] words: &[&str],
) {
    let project = Project::program(main);
    let run_image = match run_image {
        "scratch" => run_image.to_owned(),
        "without zlib" => without_zlib(),
        _ => format!("{}/{run_image}", registry()),
    };
    let arguments = [&["--run-image", &run_image][..], arguments].concat();
    let run = project.run(&arguments);
    run.fails_with(101, words).fails_with(101, &["failed in step \"check-binaries\""]);
    assert!(!image_exists(&project.name(&project.tags(&arguments)[0])));
}

/// An image that lacks what dpkg needs in every other.
fn without_zlib() -> String {
    image_of("without-zlib", &format!("FROM {}\nRUN rm /usr/lib/*/libz.so.1*\n", debian_base()))
}

#[test]
fn what_was_missing_is_there_when_its_package_is_named() {
    let project = Project::program(ZLIB);
    let image = project.ok(&["--slim", "--apt-package", "zlib1g-dev", "--run-package", "zlib1g"]).image().to_owned();
    assert_eq!(run_image(&image, &[]), "1\n");
    let project = Project::program(OPENSSL);
    let packages = ["--apt-package", "libssl-dev", "--run-image", &debian_base(), "--run-package", "libssl3"];
    assert_eq!(run_image(project.ok(&packages).image(), &[]), "1\n");
}

/// As distroless images are: libraries, and no program.
#[test]
fn a_run_image_without_a_shell_will_do() {
    let without_shell = image_of(
        "without-shell",
        &format!(
            "FROM {} AS whole\nRUN mkdir -p /x/usr && cp -a /usr/lib* /x/usr/ && cp -a /lib* /etc /x/\n\
             FROM scratch\nCOPY --from=whole /x/ /\n",
            run_base()
        ),
    );
    let project = Project::program("fn main() { println!(\"hi\") }\n");
    let image = project.ok(&["--run-image", &without_shell]).image().to_owned();
    assert!(!files(&image).iter().any(|file| file.starts_with("usr/bin") || file.starts_with("bin")));
    assert_eq!(run_image(&image, &[]), "hi\n");
}

#[test]
fn a_run_image_that_is_missing_is_named() {
    let missing = format!("{}/nowhere:1", registry());
    Project::program("fn main() {}\n").run(&["--run-image", &missing]).fails_with(
        101,
        &[&format!(
            "hint: the image `{missing}` was found neither in the engine nor in its registry; check its name\n"
        )],
    );
}

#[test]
fn a_run_image_that_moved_gives_another_name_and_compiles_nothing() {
    let project = Project::hello_on_engine();
    let moving = format!("{}/ri-test-run-{}:1", registry(), std::process::id());
    let put = |image: &str| drop(docker(&["buildx", "imagetools", "create", "--tag", &moving, image]));
    put(&run_base());
    let arguments = ["--run-image", &moving, "--pin-base"];
    let (first, _) = project.json(&arguments);
    put(&debian_base());
    let (second, run) = project.json(&arguments);
    assert_ne!(first["image"], second["image"]);
    assert_eq!(
        (first["tags"]["lock"].clone(), run.compiled()),
        (second["tags"]["lock"].clone(), Vec::new()),
        "{}",
        run.stderr
    );
    let image = second["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO);
    assert_eq!(label(image, "org.opencontainers.image.base.digest"), registry_digest(&moving));
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
    let mut project = Project::program("fn main() { println!(\"{}\", std::env::consts::ARCH) }\n");
    project.base_image = image_of(
        "rustup",
        &format!(
            "FROM {}\nRUN dpkg --add-architecture {architecture} && apt-get update && apt-get install -y --no-install-recommends \
             libstd-rust-dev:{architecture} && mv /usr/lib/rustlib/{target} /opt/\n\
             RUN printf '#!/bin/sh\\necho \"$*\" >>/opt/asked\\ncase $1 in target) mv /opt/{target} /usr/lib/rustlib/ ;; \
             esac\\n' >/usr/local/bin/rustup && chmod +x /usr/local/bin/rustup\n",
            project.base_image
        ),
    );
    project.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85\"\n");
    let (report, run) = project.json(&["--run-image", &run_base(), "--platform", other]);
    assert!(!run.stderr.contains("emulat"), "{}", run.stderr);
    assert_eq!(runs_on(report["image"].as_str().unwrap(), other), format!("{}\n", machine(other)));
    let asked = docker(&["run", "--rm", &project.name(report["tags"]["lock"].as_str().unwrap()), "cat", "/opt/asked"]);
    assert_eq!(asked, format!("run 1.85 rustc --version\ntarget add --toolchain 1.85 {target}\n"));
}

#[test]
fn what_says_no_release_asks_for_a_run_image() {
    let project = Project::hello();
    project.run(&["tags", "--slim", "--base-image", "rust:1"]).fails_with(
        2,
        &["the base image `rust:1` says no release of Debian in its name", "hint: name the image", "--run-image"],
    );
    let (names, _) = project.json(&["tags", "--slim"]);
    assert_eq!(
        names["tags"]["source"],
        project.json(&["tags", "--run-image", "debian:bookworm-slim"]).0["tags"]["source"]
    );
    project
        .run(&["tags", "--run-image", "scratch", "--run-package", "tzdata"])
        .fails_with(2, &["`run-packages` cannot be installed in `scratch`", "hint: name a `--run-image`"]);
    project.run(&["tags", "--slim", "--asset", "nowhere"]).fails_with(2, &["`assets`: `nowhere` matches no file"]);
    project.write(
        "Cargo.toml",
        "[package]\nname = \"only\"\nversion = \"1.0.0\"\n[workspace]\n[lib]\npath = \"lib.rs\"\n",
    );
    project
        .write("lib.rs", "")
        .write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"only\"\nversion = \"1.0.0\"\n");
    project.run(&["tags", "--slim"]).fails_with(2, &["`only` has no binary: a slim image would be empty"]);
}
