//! The dependency skeleton carries all kinds of Cargo workspaces: each is built for real, changed, and built again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Project, Run, docker, image_id, run_image};

/// All crates of registries and git repositories that the workspaces below use.
const DEPENDENCIES: [&str; 7] = ["cfg-if", "far", "itoa", "proc-macro2", "quote", "ryu", "unicode-ident"];

/// What a run of the command made.
struct Built {
    from: String,
    image: String,
    tags: Value,
    run: Run,
}

impl Built {
    fn of(project: &Project, arguments: &[&str]) -> Self {
        // With a target folder of its own, so that no other test waits for its build folder.
        let mut command = project.command(&["--message-format", "json"]);
        let run = Run::from(command.args(arguments).env_remove("CARGO_TARGET_DIR").output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(report["action"], "build", "{}", run.stderr);
        Self {
            from: report["build_from"].as_str().unwrap().to_owned(),
            image: report["image"].as_str().unwrap().to_owned(),
            tags: report["tags"].clone(),
            run,
        }
    }

    /// The first build of a project.
    fn scratch(project: &Project, arguments: &[&str]) -> Self {
        let built = Self::of(project, arguments);
        assert_eq!(built.from, "scratch", "{}", built.run.stderr);
        built
    }

    /// A build after a source changed: from the lock image, with no dependency compiled.
    fn lock(project: &Project, arguments: &[&str]) -> Self {
        let built = Self::of(project, arguments);
        assert_eq!(built.from, "lock", "{}", built.run.stderr);
        assert_eq!(built.dependencies(), Vec::<String>::new(), "{}", built.run.stderr);
        built
    }

    /// A build after a dependency changed.
    fn versioned(project: &Project, arguments: &[&str]) -> Self {
        let built = Self::of(project, arguments);
        assert_eq!(built.from, "versioned", "{}", built.run.stderr);
        built
    }

    /// What a container of the image prints, run as it is or with a command.
    fn prints(&self, command: &[&str]) -> String {
        run_image(&self.image, command)
    }

    fn shell(&self, line: &str) -> String {
        self.prints(&["sh", "-c", line])
    }

    /// The dependencies that Cargo compiled, as `name version`, each once.
    fn dependencies(&self) -> Vec<String> {
        let lines = self.run.stderr.lines().filter_map(|line| Some(line.split_once("Compiling ")?.1));
        let mut crates: Vec<String> = lines
            .filter(|line| !line.contains(" (/"))
            .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ").replacen(" v", " ", 1))
            .filter(|line| DEPENDENCIES.contains(&line.split(' ').next().unwrap()))
            .collect();
        crates.sort();
        crates.dedup();
        crates
    }
}

/// A manifest of a package with this name, and what follows. At version 0.0.0, which the skeleton gives to all members:
/// what is built of the two has the same file names, so that Cargo could mistake one for the other.
fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n{rest}")
}

/// The packages in `Cargo.lock` that come from elsewhere, as `name version`.
fn locked_dependencies(project: &Project) -> Vec<String> {
    let lock: toml::Table = toml::from_str(&project.read("Cargo.lock")).unwrap();
    let packages = lock["package"].as_array().unwrap().iter().filter(|package| package.get("source").is_some());
    packages
        .map(|package| format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap()))
        .collect()
}

fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("cargo").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

#[test]
fn a_build_script_runs_again_when_the_file_it_reads_changes() {
    let project = Project::empty().on_engine();
    let script = |more: &str| {
        format!(
            "fn main() {{\n    {more}\n    let text = std::fs::read_to_string(\"data.txt\").unwrap();\n    \
             let digits = itoa::Buffer::new().format(text.trim().len()).to_owned();\n    \
             let code = format!(\"pub const TEXT: &str = \\\"{{}} ({{digits}})\\\";\", text.trim());\n    \
             std::fs::write(std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"text.rs\"), code).unwrap();\n}}\n"
        )
    };
    let generated = "include!(concat!(env!(\"OUT_DIR\"), \"/text.rs\"));\n";
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"told\", \"untold\"]\nresolver = \"2\"\n")
        .write(
            "app/Cargo.toml",
            package("app", "[dependencies]\ntold = { path = \"../told\" }\nuntold = { path = \"../untold\" }\n"),
        )
        .write("app/src/main.rs", "fn main() { println!(\"{}, {}\", told::TEXT, untold::TEXT) }\n");
    for (name, more) in [("told", "println!(\"cargo:rerun-if-changed=data.txt\");"), ("untold", "")] {
        project
            .write(&format!("{name}/Cargo.toml"), package(name, "[build-dependencies]\nitoa = \"1\"\n"))
            .write(&format!("{name}/build.rs"), script(more))
            .write(&format!("{name}/src/lib.rs"), generated)
            .write(&format!("{name}/data.txt"), "one\n");
    }
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "one (3), one (3)\n");
    project.write("told/data.txt", "three\n");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "three (5), one (3)\n");
    project.write("untold/data.txt", "four\n");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "three (5), four (4)\n");
}

/// A member and a local dependency whose build scripts say nothing of what they read: Cargo then notes the time of the
/// package's newest file.
fn with_silent_build_scripts() -> Project {
    let project = Project::empty().on_engine();
    let script = "fn main() {\n    let text = std::fs::read_to_string(\"data.txt\").unwrap();\n    \
                  let out = std::path::Path::new(&std::env::var(\"OUT_DIR\").unwrap()).join(\"text\");\n    \
                  std::fs::write(out, text.trim()).unwrap();\n}\n";
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nexclude = [\"shared\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", package("app", "[dependencies]\nitoa = \"1\"\nshared = { path = \"../shared\" }\n"))
        .write("app/build.rs", script)
        .write("app/data.txt", "one\n")
        .write(
            "app/src/main.rs",
            "fn main() { println!(\"{} {}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/text\")), shared::TEXT) }\n",
        )
        .write("shared/Cargo.toml", package("shared", ""))
        .write("shared/build.rs", script)
        .write("shared/data.txt", "two\n")
        .write("shared/src/lib.rs", "pub const TEXT: &str = include_str!(concat!(env!(\"OUT_DIR\"), \"/text\"));\n");
    project
}

/// Path, date and content of all that Cargo and its steps left in an image, but for Cargo's notes on the compiler,
/// which come with the lock image.
fn contents(image: &str) -> Vec<String> {
    let list = "find /workspace \"${CARGO_HOME:-$HOME/.cargo}\" /usr/local/bin ! -type f -printf '%p %y %T@ %l\\n'; \
                find /workspace \"${CARGO_HOME:-$HOME/.cargo}\" /usr/local/bin -type f -printf '%p %T@ ' -exec md5sum {} \\;";
    let mut lines: Vec<String> = run_image(image, &["sh", "-c", list]).lines().map(str::to_owned).collect();
    lines.retain(|line| !line.contains("/.rustc_info.json "));
    lines.sort();
    lines
}

/// A secret with a name that no build has had.
fn new_secret(project: &Project) -> String {
    project.write("../again", "");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("id=again-{now},src=../again")
}

/// Builds twice from the base image, and expects the same files with the same dates.
fn assert_same_again(project: &Project) -> Built {
    let first = Built::scratch(project, &[]);
    let [lock, versioned] = ["lock", "versioned"].map(|tag| project.name(first.tags[tag].as_str().unwrap()));
    let before = [&lock, &first.image].map(|image| contents(image));
    docker(&["image", "rm", "--force", &first.image, &lock, &versioned]);
    // With a secret of a new name the steps are others for the engine's cache. `--force-rebuild` would be a risk for
    // the tests beside this one: Docker 26.1 can end where a build without cache meets another that has a step in
    // common with it.
    let again = Built::scratch(project, &["--secret", &new_secret(project)]);
    for (image, before) in [&lock, &first.image].into_iter().zip(before) {
        let after = contents(image);
        let differ: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert_eq!((differ.len(), after.len()), (0, before.len()), "{image} differs: {differ:#?}");
    }
    assert!(again.run.compiled().contains(&"itoa".to_owned()), "{}", again.run.stderr);
    again
}

#[test]
fn no_clock_gets_into_an_image_with_build_scripts_that_name_no_files_and_nothing_is_left_to_compile() {
    let project = with_silent_build_scripts();
    let built = assert_same_again(&project);
    assert_eq!(built.prints(&[]), "one two\n");
    let again = built.shell("cargo build --release --offline 2>&1");
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");

    project.write("app/data.txt", "three\n");
    let changed = Built::lock(&project, &[]);
    assert_eq!(changed.prints(&[]), "three two\n");
    assert_eq!(changed.run.compiled(), ["app"], "{}", changed.run.stderr);
    let edited = changed.shell("echo four >app/data.txt && cargo run --release --offline 2>&1");
    assert!(edited.ends_with("four two\n") && edited.contains("Compiling app"), "{edited}");
    assert!(!edited.contains("Compiling shared"), "{edited}");

    for text in ["five", "two"] {
        project.write("shared/data.txt", text);
        let changed = Built::versioned(&project, &[]);
        assert_eq!(changed.prints(&[]), format!("three {text}\n"));
        assert_eq!(changed.dependencies(), Vec::<String>::new(), "{}", changed.run.stderr);
    }
}

#[test]
fn a_package_of_many_files_is_the_same_again() {
    let project = Project::empty().on_engine();
    let names = ["a", "b", "c", "d", "e"];
    let modules = names.map(|name| format!("mod {name};\n")).concat();
    project
        .write(
            "Cargo.toml",
            package(
                "demo",
                "[dependencies]\nitoa = \"1\"\nnear = { path = \"near\" }\n[workspace]\nexclude = [\"near\"]\n",
            ),
        )
        .write("near/Cargo.toml", package("near", ""))
        .write("near/src/lib.rs", &modules)
        .write("src/main.rs", modules + "fn main() { println!(\"{}\", option_env!(\"HOME\").is_some()) }\n");
    for name in names {
        project.write(&format!("src/{name}.rs"), "").write(&format!("near/src/{name}.rs"), "");
    }
    let built = assert_same_again(&project);
    let again = built.shell("cargo build --release --offline 2>&1");
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");

    project.write("src/c.rs", "// changed\n");
    let digests = [(); 2].map(|()| {
        let built = Built::lock(&project, &["--secret", &new_secret(&project)]);
        let digest = image_id(&built.image);
        docker(&["image", "rm", "--force", &built.image]);
        digest
    });
    assert_eq!(digests[0], digests[1]);
    let changed = built.shell("echo 'pub fn x() {}' >src/c.rs; cargo build --release --offline 2>&1");
    assert!(changed.contains("Compiling demo") && !changed.contains("Compiling near"), "{changed}");
}

#[test]
fn what_helps_cargo_to_compile_again_in_part_is_not_in_the_image() {
    let project = with_silent_build_scripts();
    project
        .write("runtime-image.toml", "prebuild = [\"build\", \"build --release\"]\n")
        .write("Cargo.toml", project.read("Cargo.toml") + "[profile.release]\nincremental = true\n");
    let built = assert_same_again(&project);
    assert_eq!(built.shell("find / -xdev -name incremental -type d"), "");
    let again = built.shell("cargo build --offline 2>&1 && cargo build --release --offline 2>&1");
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "the workspace is written out in it")]
fn targets_at_unusual_paths_are_built_by_all_commands_and_the_release_binary_is_installed() {
    let project = Project::empty().on_engine();
    let say = |what: &str| {
        format!(
            "fn main() {{ println!(\"{what} {{}} {{}} {{}}\", demo_library::WORD, env!(\"BUILD_WORD\"), \
             if cfg!(debug_assertions) {{ \"debug\" }} else {{ \"release\" }}) }}\n"
        )
    };
    project
        .write(
            "Cargo.toml",
            package(
                "demo",
                r#"build = "tools/before.rs"
                default-run = "second"
                [lib]
                name = "demo_library"
                path = "library/entry.rs"
                [[bin]]
                name = "first"
                path = "programs/first.rs"
                [[bin]]
                name = "second"
                path = "programs/second.rs"
                [[example]]
                name = "second"
                path = "shown/example.rs"
                [[test]]
                name = "whole"
                path = "checks/whole.rs"
                harness = false
                [[test]]
                name = "parts"
                path = "checks/parts.rs"
                [[bench]]
                name = "speed"
                path = "checks/speed.rs"
                harness = false
                [dependencies]
                itoa = "1"
                [dev-dependencies]
                ryu = "1"
                "#,
            ),
        )
        .write(
            "runtime-image.toml",
            "prebuild = [\"build --release\", \"test --no-run\", \"bench --no-run\", \"build --examples\", \"doc --no-deps\"]\n",
        )
        .write("tools/before.rs", "fn main() { println!(\"cargo:rustc-env=BUILD_WORD=built\") }\n")
        .write("library/entry.rs", "pub const WORD: &str = \"old\";\n")
        .write("programs/first.rs", say("first"))
        .write("programs/second.rs", say("second"))
        .write("shown/example.rs", say("example"))
        .write("checks/whole.rs", say("whole"))
        .write("checks/parts.rs", "#[test]\nfn word() { assert_eq!(demo_library::WORD, ryu::Buffer::new().format(1.5)) }\n")
        .write("checks/speed.rs", say("speed"));
    let all = |built: &Built| {
        let line = "second; first; target/debug/examples/second; target/debug/deps/whole-????????????????; target/release/deps/speed-????????????????";
        built.shell(line)
    };
    let built = Built::scratch(&project, &[]);
    let expected = "second old built release\nfirst old built release\nexample old built debug\nwhole old built debug\nspeed old built release\n";
    assert_eq!(all(&built), expected);
    assert_eq!(built.prints(&[]), "second old built release\n", "`default-run` is what the image runs");

    project.edit("library/entry.rs", "old", "new").edit("tools/before.rs", "=built", "=rebuilt");
    let built = Built::lock(&project, &[]);
    assert_eq!(all(&built), expected.replace("old built", "new rebuilt"));
    assert!(built.shell("cargo test --offline --test parts 2>&1 || true").contains("left: \"new\""));
}

#[test]
fn included_files_outside_of_src_and_of_other_members_are_seen_when_they_change() {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\nresolver = \"2\"\n")
        .write("crates/app/Cargo.toml", package("app", "[dependencies]\nitoa = \"1\"\n"))
        .write(
            "crates/app/src/main.rs",
            "fn main() { print!(\"{}{}{}\", include_str!(\"../own.txt\"), include_str!(\"../../other/its.txt\"), include_str!(\"../../../top.txt\")) }\n",
        )
        .write("crates/app/own.txt", "own\n")
        .write("crates/other/Cargo.toml", package("other", ""))
        .write("crates/other/src/lib.rs", "")
        .write("crates/other/its.txt", "its\n")
        .write("top.txt", "top\n");
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "own\nits\ntop\n");
    project.write("crates/app/own.txt", "OWN\n").write("crates/other/its.txt", "ITS\n").write("top.txt", "TOP\n");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "OWN\nITS\nTOP\n");
}

#[test]
fn a_proc_macro_members_change_is_seen() {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\", \"macros\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", package("app", "[dependencies]\nmacros = { path = \"../macros\" }\n"))
        .write("app/src/main.rs", "#[derive(macros::Named)]\nstruct Thing;\nfn main() { println!(\"{}\", Thing.name()) }\n")
        .write("macros/Cargo.toml", package("macros", "[lib]\nproc-macro = true\n[dependencies]\nquote = \"1\"\nproc-macro2 = \"1\"\n"))
        .write(
            "macros/src/lib.rs",
            "#[proc_macro_derive(Named)]\npub fn named(input: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
             let name = proc_macro2::TokenStream::from(input).into_iter().nth(1).unwrap();\n    \
             let text = name.to_string().to_uppercase();\n    \
             quote::quote!(impl #name { fn name(&self) -> &'static str { #text } }).into()\n}\n",
        );
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "THING\n");
    project.edit("macros/src/lib.rs", "to_uppercase", "to_lowercase");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "thing\n");
}

#[test]
fn a_single_package_with_library_and_several_binaries_needs_no_workspace() {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", package("demo", "[dependencies]\nitoa = \"1\"\n"))
        .write("src/lib.rs", "pub fn digits(of: u32) -> String { itoa::Buffer::new().format(of).to_owned() }\n")
        .write("src/main.rs", "fn main() { println!(\"main {}\", demo::digits(1)) }\n")
        .write("src/bin/extra.rs", "fn main() { println!(\"extra {}\", demo::digits(2)) }\n")
        .write("src/bin/many/main.rs", "mod part;\nfn main() { println!(\"many {}\", demo::digits(part::NUMBER)) }\n")
        .write("src/bin/many/part.rs", "pub const NUMBER: u32 = 3;\n");
    let built = Built::scratch(&project, &[]);
    assert_eq!(built.shell("demo; extra; many"), "main 1\nextra 2\nmany 3\n");
    assert!(docker(&["image", "inspect", "--format", "{{json .Config.Cmd}}", &built.image]).trim() != "[\"demo\"]");
    project.edit("src/bin/many/part.rs", "= 3", "= 4").edit("src/lib.rs", "of)", "of + 10)");
    assert_eq!(Built::lock(&project, &[]).shell("demo; extra; many"), "main 11\nextra 12\nmany 14\n");
}

#[test]
fn a_workspace_in_a_sub_folder_of_a_git_repository_is_built_from_that_folder_alone() {
    let project = Project::empty().on_engine();
    let repository = project.root.parent().unwrap();
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", package("app", "[dependencies]\nitoa = \"1\"\n"))
        .write("app/src/main.rs", "fn main() { println!(\"{}\", itoa::Buffer::new().format(1)) }\n")
        .write("notes.secret", "ignored by the repository's own list\n");
    fs::write(repository.join(".gitignore"), "*.secret\ntarget/\n").unwrap();
    fs::write(repository.join("README.md"), "beside the workspace\n").unwrap();
    git(repository, &["init", "-q"]);
    git(repository, &["add", "-A"]);
    git(repository, &["commit", "-qm", "x"]);
    let built = Built::scratch(&project, &[]);
    assert_eq!(built.prints(&[]), "1\n");
    assert_eq!(built.shell("cd /workspace && ls -A"), "Cargo.lock\nCargo.toml\napp\nsalt\ntarget\n");

    fs::write(repository.join("README.md"), "changed\n").unwrap();
    assert_eq!(project.json(&[]).0["action"], "reuse", "what lies beside the workspace is not its source");
    project.edit("app/src/main.rs", "format(1)", "format(2)");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "2\n");
}

/// `app`, which depends on `shared/outer`, which depends on `shared/inner`, both excluded from the workspace.
fn with_excluded_packages() -> Project {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", "[workspace]\nmembers = [\"app\"]\nexclude = [\"shared\"]\nresolver = \"2\"\n")
        .write("app/Cargo.toml", package("app", "[dependencies]\nouter = { path = \"../shared/outer\" }\n"))
        .write("app/src/main.rs", "fn main() { println!(\"app {}\", outer::text()) }\n")
        .write("shared/outer/Cargo.toml", package("outer", "[dependencies]\nryu = \"1\"\ninner = { path = \"../inner\" }\n"))
        .write("shared/outer/src/lib.rs", "mod words;\npub fn text() -> String { format!(\"{} {} {}\", words::WORD, inner::TEXT, ryu::Buffer::new().format(0.5)) }\n")
        .write("shared/outer/src/words.rs", "pub const WORD: &str = \"outer\";\n")
        .write("shared/inner/Cargo.toml", package("inner", ""))
        .write(
            "shared/inner/build.rs",
            "fn main() {\n    println!(\"cargo:rerun-if-changed=data\");\n    \
             println!(\"cargo:rustc-env=TEXT={}\", std::fs::read_to_string(\"data/text\").unwrap().trim());\n}\n",
        )
        .write("shared/inner/data/text", "inner\n")
        .write("shared/inner/src/lib.rs", "pub const TEXT: &str = env!(\"TEXT\");\n");
    project
}

#[test]
fn a_path_dependency_that_is_no_member_is_a_dependency_and_its_change_is_seen() {
    let project = with_excluded_packages();
    let first = Built::scratch(&project, &[]);
    assert_eq!(first.prints(&[]), "app outer inner 0.5\n");

    project.edit("app/src/main.rs", "\"app", "\"application");
    let second = Built::lock(&project, &[]);
    assert_eq!(second.prints(&[]), "application outer inner 0.5\n");
    assert_eq!(second.tags["lock"], first.tags["lock"]);
    assert_eq!(second.run.compiled(), ["app"], "{}", second.run.stderr);

    for (path, from, to, printed) in [
        ("shared/outer/src/words.rs", "outer", "OUTER", "application OUTER inner 0.5\n"),
        ("shared/inner/data/text", "inner", "INNER", "application OUTER INNER 0.5\n"),
        ("shared/outer/src/words.rs", "OUTER", "outer", "application outer INNER 0.5\n"),
    ] {
        project.edit(path, from, to);
        let built = Built::versioned(&project, &[]);
        assert_eq!(built.prints(&[]), printed, "{path} was changed");
        assert_ne!(built.tags["lock"], first.tags["lock"]);
        assert_eq!(built.dependencies(), Vec::<String>::new(), "{}", built.run.stderr);
    }
}

#[test]
fn a_path_dependency_may_inherit_from_a_workspace_of_its_own() {
    let project = with_excluded_packages();
    project
        .write(
            "shared/Cargo.toml",
            "[workspace]\nmembers = [\"outer\", \"inner\", \"unused\"]\n[workspace.package]\nversion = \"3.0.0\"\n\
             [workspace.dependencies]\ninner = { path = \"inner\" }\nryu = \"1\"\n",
        )
        .write(
            "shared/outer/Cargo.toml",
            "[package]\nname = \"outer\"\nversion.workspace = true\nedition = \"2021\"\n\
             [dependencies]\nryu.workspace = true\ninner.workspace = true\n",
        )
        .write("shared/unused/Cargo.toml", package("unused", ""))
        .write("shared/unused/src/lib.rs", "");
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "app outer inner 0.5\n");
}

#[test]
fn a_patched_crate_is_what_registry_crates_are_built_with_and_its_change_is_seen() {
    let project = Project::empty().on_engine();
    project
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\"]\nexclude = [\"patched\"]\nresolver = \"2\"\n\
             [patch.crates-io]\nunicode-ident = { path = \"patched/unicode-ident\" }\n",
        )
        .write("app/Cargo.toml", package("app", "[dependencies]\ncfg-if = \"1\"\nproc-macro2 = \"1\"\n"))
        .write("app/src/main.rs", "fn main() { println!(\"{}\", \"☃\".parse::<proc_macro2::TokenStream>().is_ok()) }\n")
        .write("patched/unicode-ident/Cargo.toml", package("unicode-ident", "").replace("0.0.0", "1.99.0"))
        .write(
            "patched/unicode-ident/src/lib.rs",
            "pub fn is_xid_start(c: char) -> bool { c.is_alphabetic() }\npub fn is_xid_continue(c: char) -> bool { c.is_alphanumeric() }\n",
        );
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "false\n");
    project.edit("app/src/main.rs", "\"{}\"", "\"a snowman: {}\"");
    assert_eq!(Built::lock(&project, &[]).prints(&[]), "a snowman: false\n");
    project.edit("patched/unicode-ident/src/lib.rs", "c.is_alphabetic()", "c.is_alphabetic() || c == '☃'");
    let built = Built::versioned(&project, &[]);
    assert_eq!(built.prints(&[]), "a snowman: true\n");
    assert!(!built.run.compiled().contains(&"cfg-if".to_owned()), "{}", built.run.stderr);
}

#[test]
fn a_patch_in_cargos_configuration_counts_like_one_in_the_manifest() {
    let project = Project::empty().on_engine();
    project
        .write(
            ".cargo/config.toml",
            "[patch.crates-io]\nitoa = { path = \"patched/itoa\" }\n[target.'cfg(unix)']\nrunner = \"tools/run\"\n",
        )
        .write("Cargo.toml", package("demo", "[workspace]\nexclude = [\"patched\"]\n[dependencies]\nitoa = \"1\"\n"))
        .write("src/main.rs", "fn main() { println!(\"{}\", itoa::TEXT) }\n")
        .write("tools/run", "")
        .write("patched/itoa/Cargo.toml", package("itoa", "").replace("0.0.0", "1.99.0"))
        .write("patched/itoa/src/lib.rs", "pub const TEXT: &str = \"old\";\n");
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "old\n");
    project.edit("patched/itoa/src/lib.rs", "old", "new");
    assert_eq!(Built::versioned(&project, &[]).prints(&[]), "new\n");
}

#[test]
fn a_vendored_tree_is_built_without_network() {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", package("demo", "[dependencies]\nitoa = \"1\"\nquote = \"1\"\n"))
        .write("src/main.rs", "fn main() { println!(\"{} {}\", itoa::Buffer::new().format(1), quote::quote!(a b)) }\n")
        .write(".gitignore", "/target\n");
    let config = cargo(&project.root, &["vendor", "third-party"]);
    project.write(".cargo/config.toml", config).git_init();
    let built = Built::scratch(&project, &["--force-rebuild", "--", "--network=none"]);
    assert_eq!(built.prints(&[]), "1 a b\n");
    assert_eq!(built.dependencies(), locked_dependencies(&project), "{}", built.run.stderr);
    project.edit("src/main.rs", "format(1)", "format(2)");
    let built = Built::lock(&project, &["--", "--network=none"]);
    assert_eq!(built.prints(&[]), "2 a b\n");
    assert!(built.shell("cargo build --release 2>&1").contains("Finished"));
    assert_eq!(built.run.compiled(), ["demo"], "{}", built.run.stderr);
}

#[test]
fn a_vendored_crate_or_cargos_configuration_that_changes_leaves_nothing_compiled_of_before() {
    let project = Project::empty().on_engine();
    let config = "[build]\nrustc-wrapper = \"tools/wrap\"\n[env]\nSET = \"set\"\n[source.crates-io]\nreplace-with = \"here\"\n\
                  [source.here]\ndirectory = \"vendor\"\n";
    project
        .write("Cargo.toml", package("demo", "[dependencies]\nitoa = \"1\"\n"))
        .write("src/main.rs", "fn main() { println!(\"{} {}\", itoa::TEXT, itoa::WRAPPED) }\n")
        .write(".cargo/config.toml", config)
        .write(
            "tools/wrap",
            "#!/bin/sh\ncase \" $* \" in *\" itoa \"*) exec \"$@\" --cfg \"word=\\\"$(cat \"${0%/*}/word\")\\\"\" ;; esac\nexec \"$@\"\n",
        )
        .write("tools/word", "wrapped")
        .write("vendor/itoa/.cargo-checksum.json", "{\"files\":{}}")
        .write("vendor/itoa/Cargo.toml", package("itoa", "").replace("0.0.0", "1.0.0"))
        .write(
            "vendor/itoa/src/lib.rs",
            "pub const WRAPPED: &str = if cfg!(word = \"WRAPPED\") { \"WRAPPED\" } else { \"wrapped\" };\n\
             pub const TEXT: &str = concat!(\"written \", env!(\"SET\"));\n",
        );
    let wrapper = project.root.join("tools/wrap");
    fs::set_permissions(wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(Built::scratch(&project, &[]).prints(&[]), "written set wrapped\n");
    for (path, word, expected) in [
        ("vendor/itoa/src/lib.rs", "written", "WRITTEN set wrapped\n"),
        ("tools/word", "wrapped", "WRITTEN set WRAPPED\n"),
        (".cargo/config.toml", "\"set\"", "WRITTEN SET WRAPPED\n"),
    ] {
        project.edit(path, word, &word.to_uppercase());
        let (plan, _) = project.json(&["plan"]);
        let built = Built::of(&project, &[]);
        assert_eq!(
            (built.prints(&[]).as_str(), built.from.as_str()),
            (expected, "scratch"),
            "{path} was changed\n{}",
            built.run.stderr
        );
        assert!(plan["reason"].as_str().unwrap().contains("Cargo configuration, vendored crates"), "{plan}");
    }
    project.write("scripts/unnamed", "").edit("Cargo.toml", "\"1\"", "\"1.0\"");
    assert_eq!(Built::versioned(&project, &[]).prints(&[]), "WRITTEN SET WRAPPED\n");
}

/// Serves the git repositories below a folder on this machine until it is dropped.
struct GitServer {
    child: Child,
    url: String,
}

impl GitServer {
    fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let output = Command::new("git").arg("--exec-path").output().unwrap();
        let daemon = Path::new(String::from_utf8(output.stdout).unwrap().trim()).join("git-daemon");
        let child = Command::new(daemon)
            .args(["--listen=127.0.0.1", "--export-all", "--reuseaddr", &format!("--port={port}")])
            .arg(format!("--base-path={}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git-daemon runs");
        let server = Self { child, url: format!("git://127.0.0.1:{port}") };
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "git-daemon does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_git_dependency_is_fetched_once_and_kept_at_its_revision() {
    let folder = tempfile::tempdir().unwrap();
    let far = folder.path().join("far");
    let write = |word: &str| {
        fs::create_dir_all(far.join("src")).unwrap();
        fs::write(far.join("Cargo.toml"), package("far", "").replace("0.0.0", "0.1.0-beta")).unwrap();
        fs::write(far.join("src/lib.rs"), format!("pub const WORD: &str = \"{word}\";\n")).unwrap();
        git(&far, &["init", "-q"]);
        git(&far, &["add", "-A"]);
        git(&far, &["commit", "-qm", word]);
    };
    write("first");
    let server = GitServer::start(folder.path());
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", package("demo", &format!("[dependencies]\nfar = {{ git = \"{}/far\" }}\n", server.url)))
        .write("src/main.rs", "fn main() { println!(\"{} a\", far::WORD) }\n");
    cargo(&project.root, &["generate-lockfile"]);
    assert_eq!(Built::scratch(&project, &["--locked", "--", "--network=host"]).prints(&[]), "first a\n");

    write("second");
    drop(server);
    project.edit("src/main.rs", " a", " b");
    assert_eq!(Built::lock(&project, &["--locked", "--", "--network=host"]).prints(&[]), "first b\n");
}

#[test]
fn a_path_dependency_outside_of_the_workspace_is_refused_by_name() {
    let project = Project::empty();
    let outside = project.root.parent().unwrap().join("elsewhere/lib");
    fs::create_dir_all(outside.join("src")).unwrap();
    fs::write(outside.join("Cargo.toml"), package("distant", "")).unwrap();
    fs::write(outside.join("src/lib.rs"), "").unwrap();
    project.write("src/main.rs", "fn main() {}\n").write("near/src/lib.rs", "");
    let distant = "[dependencies]\ndistant = { path = \"../elsewhere/lib\" }\n";
    let nested = "[dependencies]\ndistant = { path = \"../../elsewhere/lib\" }\n";
    let refused = || {
        let run = project.run(&["tags"]);
        run.fails_with(1, &["`distant`", outside.to_str().unwrap(), "hint: "]);
    };
    project.write("Cargo.toml", package("demo", distant));
    refused();
    let near = "[workspace]\nexclude = [\"near\"]\n[dependencies]\nnear = { path = \"near\" }\n";
    project.write("Cargo.toml", package("demo", near)).write("near/Cargo.toml", package("near", nested));
    refused();
    let patch = "[dependencies]\nitoa = \"1\"\n[patch.crates-io]\nitoa = { path = \"../elsewhere/lib\", package = \"distant\" }\n";
    fs::write(outside.join("Cargo.toml"), package("itoa", "").replace("0.0.0", "1.99.0")).unwrap();
    project.write("Cargo.toml", package("demo", &patch.replace(", package = \"distant\"", "")));
    project.run(&["tags"]).fails_with(1, &["`itoa`", outside.to_str().unwrap(), "hint: "]);
}

/// Members of different versions, one with the name of a registry crate; dependencies that are renamed, optional,
/// for another target, for tests only, for build scripts only, in two versions, and all of them locked to old versions.
fn with_intricate_dependencies() -> Project {
    let project = Project::empty().on_engine();
    project
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\", \"cfg-if\", \"extra\"]\nresolver = \"2\"\n\
             [workspace.dependencies]\nextra = { path = \"extra\", version = \"2\", default-features = false }\n",
        )
        .write(
            "app/Cargo.toml",
            package(
                "app",
                r#"
                [features]
                default = ["numbers", "extra?/loud"]
                numbers = ["dep:floats", "dep:extra"]
                unused = ["dep:quote"]
                [dependencies]
                local-cfg-if = { path = "../cfg-if", package = "cfg-if", version = "0.3" }
                cfg-if = "1"
                digits = { package = "itoa", version = "1" }
                old_digits = { package = "itoa", version = "0.4", default-features = false }
                floats = { package = "ryu", version = "1", optional = true }
                quote = { version = "1", optional = true }
                extra = { workspace = true, optional = true }
                [dev-dependencies]
                app = { path = "." }
                proc-macro2 = "1"
                [target.'cfg(windows)'.dependencies]
                memchr = "2"
                [target.'cfg(unix)'.dependencies]
                unicode-ident = "1"
                "#,
            ),
        )
        .write("app/src/lib.rs", "")
        .write(
            "app/src/main.rs",
            "fn main() {\n    cfg_if::cfg_if! { if #[cfg(unix)] { let system = \"unix\"; } else { let system = \"other\"; } }\n    \
             let mut text = String::new();\n    old_digits::fmt(&mut text, 4).unwrap();\n    \
             println!(\"{} {} {} {} {} {system} {}\", local_cfg_if::NAME, extra::TEXT, digits::Buffer::new().format(1), text, \
             floats::Buffer::new().format(0.5), unicode_ident::is_xid_start('a'));\n}\n",
        )
        .write("cfg-if/Cargo.toml", package("cfg-if", "").replace("0.0.0", "0.3.4"))
        .write("cfg-if/src/lib.rs", "pub const NAME: &str = \"local\";\n")
        .write("extra/Cargo.toml", package("extra", "[features]\ndefault = [\"nothing\"]\nnothing = []\nloud = []\n").replace("0.0.0", "2.5.0-rc.1"))
        .write("extra/src/lib.rs", "pub const TEXT: &str = if cfg!(feature = \"loud\") { \"LOUD\" } else { \"quiet\" };\n");
    project.edit("Cargo.toml", "version = \"2\"", "version = \"2.5.0-rc\"");
    cargo(&project.root, &["generate-lockfile", "--quiet"]);
    for (name, version) in [
        ("itoa@1", "1.0.9"),
        ("ryu", "1.0.15"),
        ("cfg-if@1", "1.0.0"),
        ("proc-macro2", "1.0.92"),
        ("unicode-ident", "1.0.12"),
    ] {
        cargo(&project.root, &["update", "--quiet", "--precise", version, name]);
    }
    project
}

#[test]
fn dependencies_of_every_sort_keep_their_locked_versions_and_are_compiled_once() {
    let project = with_intricate_dependencies();
    project
        .write("runtime-image.toml", "prebuild = [\"build --release --locked\", \"test --no-run\"]\ncmd = \"app\"\n");
    let lock_file = project.read("Cargo.lock");
    let built = Built::scratch(&project, &["--force-rebuild", "--locked"]);
    let mut compiled: Vec<String> = built
        .run
        .stderr
        .lines()
        .filter(|line| line.contains("Compiling ") && !line.contains(" (/"))
        .map(|line| line.split_once("Compiling ").unwrap().1.to_owned())
        .collect();
    compiled.sort();
    let twice = |name: &str| [name.to_owned(), name.to_owned()];
    let mut expected: Vec<String> =
        ["cfg-if v1.0.0", "itoa v0.4.8", "itoa v1.0.9", "ryu v1.0.15", "unicode-ident v1.0.12"]
            .into_iter()
            .flat_map(twice)
            .collect();
    expected.push("proc-macro2 v1.0.92".to_owned());
    expected.sort();
    assert_eq!(compiled, expected, "once for each profile, in the dependency stage only\n{}", built.run.stderr);
    assert_eq!(built.prints(&[]), "local LOUD 1 4 0.5 unix true\n");
    assert_eq!(built.shell("cat Cargo.lock"), lock_file);

    project.edit("cfg-if/src/lib.rs", "local", "LOCAL");
    assert_eq!(Built::lock(&project, &["--locked"]).prints(&[]), "LOCAL LOUD 1 4 0.5 unix true\n");
}

#[test]
fn members_of_mixed_versions_may_all_be_released_without_compiling_a_dependency() {
    let project = with_intricate_dependencies();
    let first = Built::scratch(&project, &[]);
    project
        .edit("cfg-if/Cargo.toml", "0.3.4", "0.4.0")
        .edit("app/Cargo.toml", "version = \"0.3\"", "version = \"0.4\"")
        .edit("app/Cargo.toml", "version = \"0.0.0\"", "version = \"0.0.1\"")
        .edit("extra/Cargo.toml", "2.5.0-rc.1", "2.5.0");
    let built = Built::lock(&project, &[]);
    assert_eq!(built.tags["lock"], first.tags["lock"]);
    assert_eq!(built.shell("app"), "local LOUD 1 4 0.5 unix true\n");
}

#[test]
fn a_lock_file_that_agrees_is_neither_updated_nor_called_out_of_date() {
    let project = with_intricate_dependencies();
    let before = project.read("Cargo.lock");
    let run = project.ok(&["tags", "--locked"]);
    assert!(!run.stderr.contains("out of date"), "{}", run.stderr);
    assert_eq!(project.read("Cargo.lock"), before);
}

#[test]
fn a_lock_file_that_lags_behind_a_path_dependency_or_a_patch_is_brought_up_to_date() {
    let project = with_excluded_packages();
    project
        .write("patched/itoa/Cargo.toml", package("itoa", "").replace("0.0.0", "1.99.0"))
        .write("patched/itoa/src/lib.rs", "");
    project.edit("Cargo.toml", "[\"shared\"]", "[\"shared\", \"patched\"]");
    cargo(&project.root, &["update", "--workspace", "--quiet"]);
    let lags = |words: &str| {
        project.run(&["tags", "--locked"]).fails_with(1, &["`Cargo.lock` is out of date", "--locked", "hint: "]);
        let names = project.ok(&["tags"]).stdout;
        project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
        assert!(project.read("../staged/code/Cargo.lock").contains(words));
        cargo(&project.root, &["update", "--workspace", "--quiet"]);
        let run = project.ok(&["tags", "--locked"]);
        assert!(!run.stderr.contains("out of date") && project.read("Cargo.lock").contains(words), "{}", run.stderr);
        assert_eq!(run.stdout, names, "another lock file than the one that was made for the image");
    };
    project.edit(
        "shared/inner/Cargo.toml",
        "2021\"\n",
        "2021\"\n[dependencies]\nitoa = \"1\"\ncfg-if = { version = \"1\", optional = true }\n",
    );
    lags("name = \"itoa\"");
    project.edit("shared/outer/Cargo.toml", "0.0.0", "0.0.7");
    lags("version = \"0.0.7\"");
    project.write(
        "shared/outer/Cargo.toml",
        project.read("shared/outer/Cargo.toml") + "[dev-dependencies]\nmissing = { path = \"../missing\" }\n",
    );
    project.ok(&["tags", "--locked"]);
    project.write("Cargo.toml", project.read("Cargo.toml") + "[patch.crates-io]\nitoa = { path = \"patched/itoa\" }\n");
    lags("version = \"1.99.0\"");
    project.edit("patched/itoa/Cargo.toml", "1.99.0", "2.0.0");
    lags("version = \"2.0.0\"");
}

/// Since its version 0.5.12 the crate `home` needs Rust 1.88, and the image has an older one.
#[test]
fn without_a_lock_file_the_dependencies_are_resolved_for_the_rust_of_the_image_and_the_tree_stays_as_it_is() {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", package("app", "[dependencies]\nhome = \"0.5\"\n"))
        .write("src/main.rs", "fn main() { println!(\"{}\", home::home_dir().is_some()) }\n")
        .write(".gitignore", "/target\n")
        .git_init();
    let run = project.ok(&["tags"]);
    for words in ["warning: `Cargo.lock` is missing: ", "Asking `", "Locking the dependencies for Rust 1.85."] {
        assert!(run.stderr.contains(words), "{words:?} is not in:\n{}", run.stderr);
    }
    let built = Built::scratch(&project, &[]);
    assert!(!built.run.stderr.contains("Asking `"), "the image is asked once\n{}", built.run.stderr);
    assert!(built.shell("cat Cargo.lock").contains("name = \"home\"\nversion = \"0.5.11\""));
    assert_eq!(built.shell("app"), "true\n");
    assert_eq!(project.git(&["status", "--short"]), "", "the tree was written to");

    project.write("Cargo.lock", built.shell("cat Cargo.lock"));
    assert_eq!(project.ok(&["tags", "--locked"]).stdout, run.stdout, "a committed file with the same content");
    std::fs::remove_file(project.root.join("Cargo.lock")).unwrap();
    project.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90\"\n");
    let run = project.ok(&["tags"]);
    assert!(run.stderr.contains("for Rust 1.90.0"), "{}", run.stderr);
    let run = project.ok(&["plan"]);
    let told = format!("warning: the toolchain file wants Rust 1.90, and `{}` has 1.85.", project.base_image);
    assert!(run.stderr.contains(&told), "{}", run.stderr);
}

#[test]
fn lints_that_deny_are_about_the_sources_not_about_the_skeleton() {
    let project = Project::empty().on_engine();
    project
        .write(".cargo/config.toml", "[build]\nrustflags = [\"-Dwarnings\", \"-Dunused-crate-dependencies\", \"-Dmissing-docs\"]\n")
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\"]\nresolver = \"2\"\n[workspace.lints.rust]\nmissing_docs = \"forbid\"\nunsafe_code = \"forbid\"\n",
        )
        .write("app/Cargo.toml", package("app", "[lints]\nworkspace = true\n[lib]\nharness = false\n[dependencies]\nitoa = \"1\"\n"))
        .write("app/src/lib.rs", "//! Documented.\n/// Digits.\npub fn digits() -> String { itoa::Buffer::new().format(1).to_owned() }\n#[cfg(test)]\nfn main() {}\n")
        .write("app/src/main.rs", "//! Documented.\nuse itoa as _;\nfn main() { println!(\"{}\", app::digits()) }\n")
        .write("runtime-image.toml", "prebuild = [\"build --release\", \"build --tests\"]\n");
    let first = Built::scratch(&project, &[]);
    assert_eq!(first.prints(&[]), "1\n");
    project.edit("Cargo.toml", "unsafe_code = \"forbid\"", "unsafe_code = \"deny\"");
    let second = Built::lock(&project, &[]);
    assert_eq!(second.tags["lock"], first.tags["lock"], "a lint says nothing about the dependencies");
}

/// A firmware in folders and files of odd names: programs need a symbol that only the sources have, and flags forbid
/// what every empty crate with a dependency does.
#[allow(clippy::too_many_lines, reason = "the workspace is written out in it")]
fn with_firmware() -> Project {
    let project = Project::empty();
    let machine = std::env::consts::ARCH;
    project
        .write(
            ".cargo/config.toml",
            format!(
                "[build]\ntarget = \"{machine}-unknown-linux-gnu\"\nrustflags = [\"-Clink-arg=-Wl,--defsym=needed=firmware\", \
                 \"-Dwarnings\", \"-Fdead_code\", \"-Funused_crate_dependencies\", \"-Fmissing_docs\"]\n"
            ),
        )
        .write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"-x\", \"odd/-x\", \"a b\", \"words\"]\ndefault-members = [\"odd/-x\"]\nexclude = [\"near\"]\nresolver = \"2\"\n\
             [profile.release]\npanic = \"abort\"\nlto = true\n",
        )
        .write(
            "odd/-x/Cargo.toml",
            package(
                "firmware",
                "[[bin]]\nname = \"-fw\"\npath = \"-y.rs\"\n[dependencies]\nitoa = \"1\"\npart = { path = \"../../a b\" }\n",
            ),
        )
        .write(
            "odd/-x/-y.rs",
            r#"//! Firmware.
            #![no_std]
            #![no_main]
            #[link(name = "c")]
            extern "C" {
                fn puts(text: *const core::ffi::c_char) -> i32;
            }
            /// What programs need.
            #[no_mangle]
            pub extern "C" fn firmware() {}
            /// The start.
            #[no_mangle]
            pub extern "C" fn main() -> i32 {
                assert!(itoa::Buffer::new().format(1) == "1");
                unsafe { puts(part::WORD.as_ptr()) };
                0
            }
            "#,
        )
        .write(
            "a b/Cargo.toml",
            package(
                "part",
                "[lib]\ncrate-type = [\"lib\", \"staticlib\"]\n[dependencies]\nwords = { path = \"../words\" }\n\
                 near = { path = \"../near\" }\n[build-dependencies]\nryu = \"1\"\n",
            ),
        )
        .write("a b/build.rs", "//! Before.\nuse ryu as _;\nfn main() {}\n")
        .write(
            "a b/src/lib.rs",
            "//! Part.\n#![no_std]\nuse near as _;\n/// A word.\npub const WORD: &core::ffi::CStr = words::word!();\n\
             #[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! {\n    loop {}\n}\n",
        )
        .write("words/Cargo.toml", package("words", "[lib]\nproc-macro = true\n"))
        .write(
            "words/src/lib.rs",
            "//! Words.\nextern crate proc_macro;\n/// A word.\n#[proc_macro]\npub fn word(_: proc_macro::TokenStream) -> proc_macro::TokenStream {\n    \
             \"c\\\"one\\\"\".parse().unwrap()\n}\n",
        )
        .write("near/Cargo.toml", package("near", ""))
        .write("near/src/lib.rs", "//! Near.\n#![no_std]\n")
        // rustc takes such a path for options; the steps do not.
        .write("-x/Cargo.toml", package("options", ""))
        .write("-x/src/lib.rs", "")
        .write("near/-z\n315532800 w", "a name of two lines\n");
    project
}

/// Runs this machine's Cargo in `deps` or `code` of the build folder `../staged`, as the steps do in an image.
fn cargo_in_staged(project: &Project, folder: &str, arguments: &[&str], compiles_skeleton: bool) -> Run {
    let staged = project.root.join("../staged");
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(staged.join(folder)).env("CARGO_TARGET_DIR", project.root.join("../target"));
    if compiles_skeleton {
        command.env("RUSTC_WORKSPACE_WRAPPER", staged.join("deps/.runtime-image-compile-skeleton"));
        command.env("SKELETON_UNITS", project.root.join("../units"));
    }
    Run::from(command.output().unwrap())
}

#[test]
fn the_skeleton_of_a_program_compiles_for_a_platform_without_std() {
    let project = Project::empty();
    project.write("Cargo.toml", package("firmware", "")).write("src/main.rs", "#![no_std]\n#![no_main]\n");
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
    let build = ["build", "--release", "--offline", "--target", "thumbv7em-none-eabihf"];
    let run = cargo_in_staged(&project, "deps", &build, true);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(cargo_in_staged(&project, "deps", &build, false).code, Some(101), "an empty `main` needs `std`");
}

#[test]
fn a_skeleton_of_programs_that_cannot_be_linked_when_empty_compiles_and_dependencies_are_kept() {
    let project = with_firmware();
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
    let cargo_in = |folder: &str, arguments: &[&str], compiles_skeleton: bool| {
        cargo_in_staged(&project, folder, arguments, compiles_skeleton)
    };
    let commands: [&[&str]; 5] = [
        &["build", "--release"],
        &["build", "--release", "--bin=-fw"],
        &["test", "--all-targets"],
        &["check"],
        &["run", "--bin=-fw"],
    ];
    for arguments in commands {
        let run = cargo_in("deps", arguments, true);
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
    }
    let units = fs::read_to_string(project.root.join("../units")).unwrap();
    assert!(units.lines().all(|unit| unit.starts_with('-') && unit.len() > 16));
    let run = cargo_in("code", &["build", "--release"], false);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let compiled = run.compiled();
    assert!(compiled.contains(&"firmware".to_owned()), "{}", run.stderr);
    assert!(!compiled.contains(&"itoa".to_owned()) && !compiled.contains(&"ryu".to_owned()), "{}", run.stderr);
}

#[test]
fn a_firmware_in_folders_of_odd_names_is_built_upon_its_dependencies() {
    let project = with_firmware().on_engine();
    let first = Built::scratch(&project, &[]);
    assert_eq!(first.prints(&["/usr/local/bin/-fw"]), "one\n");
    let lock = project.name(first.tags["lock"].as_str().unwrap());
    let left = "find target -name '*firmware*' -o -name '*words*' -o -name '*-fw*'; ls -A | grep -v target || true";
    assert_eq!(run_image(&lock, &["sh", "-c", left]), "");
    let dates = first.shell("stat -c %Y -- -x/Cargo.toml odd/-x/-y.rs near/Cargo.toml");
    assert_eq!(dates, "315705601\n315705600\n315619201\n", "the dates of dates.rs");
    project.edit("words/src/lib.rs", "one", "two");
    assert_eq!(Built::lock(&project, &[]).prints(&["/usr/local/bin/-fw"]), "two\n");
}

/// A package that prints its version of a build argument and of an environment variable, in build script and source.
fn with_environment() -> Project {
    let project = Project::empty().on_engine();
    project
        .write("Cargo.toml", package("demo", "[dependencies]\nitoa = \"1\"\n"))
        .write(
            "build.rs",
            "fn main() {\n    println!(\"cargo:rerun-if-env-changed=COLOUR\");\n    \
             println!(\"cargo:rustc-env=SCRIPT={}\", std::env::var(\"COLOUR\").unwrap_or_default());\n}\n",
        )
        .write(
            "src/main.rs",
            "fn main() { println!(\"{} {:?} {:?}\", env!(\"SCRIPT\"), option_env!(\"COLOUR\"), option_env!(\"GREETING\")) }\n",
        );
    project
}

#[test]
fn another_user_owns_the_files_runs_the_image_and_recompiles_nothing_offline() {
    let project = with_environment();
    project.write(
        "runtime-image.toml",
        "user = \"app\"\nworkdir = \"/srv/demo\"\ninstall-binaries = false\ncmd = [\"sh\", \"-c\", \"id -un; pwd\"]\n\
         env = { GREETING = \"a \\\"b\\\" 'c' \\\\ d\" }\n",
    );
    let built = Built::scratch(&project, &[]);
    assert_eq!(built.prints(&[]), "app\n/srv/demo\n");
    assert_eq!(built.shell("find /srv/demo ! -user app"), "");
    assert_eq!(built.shell("command -v demo || echo none"), "none\n");
    assert_eq!(built.prints(&["target/release/demo"]), " None Some(\"a \\\"b\\\" 'c' \\\\ d\")\n");
    let again = built.shell("cargo build --release --offline 2>&1");
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");

    project.edit("src/main.rs", "{} ", "now {} ");
    let built = Built::lock(&project, &[]);
    assert!(built.prints(&["target/release/demo"]).starts_with("now "));
    assert_eq!(built.shell("id -un; find /srv/demo ! -user app"), "app\n");
    let changed =
        built.shell("echo 'fn main() { println!(\"mine\") }' >src/main.rs && cargo run --release --offline 2>&1");
    assert!(changed.ends_with("mine\n") && !changed.contains("Compiling itoa"), "{changed}");
}

#[test]
fn a_build_argument_is_seen_by_build_scripts_and_sources_and_not_by_containers() {
    let project = with_environment();
    let built = Built::scratch(&project, &["--build-arg", "COLOUR=dark red"]);
    assert_eq!(built.prints(&[]), "dark red Some(\"dark red\") None\n");
    assert_eq!(built.shell("echo \"[$COLOUR]\""), "[]\n");
    let other = Built::lock(&project, &["--build-arg", "COLOUR=blue"]);
    assert_eq!(other.prints(&[]), "blue Some(\"blue\") None\n");
    assert_eq!(other.tags["lock"], built.tags["lock"]);
}

#[test]
fn system_packages_and_extra_dependencies_of_several_lines_are_installed_once() {
    let project = with_environment();
    project.write("runtime-image.toml", "apt-packages = [\"tree\"]\n");
    let extra = "set -- \"two words\" 'it''s $HOME'\n# a comment\nfor word in \"$@\"; do\n  printf '%s\\n' \"<$word>\" \\\n    >>/etc/extra\ndone\n\
                 cat >>/etc/extra <<EOF\nhere \"$((1 + 1))\" é\nEOF\n";
    let built = Built::scratch(&project, &["--extra-deps", extra]);
    assert_eq!(
        built.shell("cat /etc/extra; command -v tree"),
        "<two words>\n<its $HOME>\nhere \"2\" é\n/usr/bin/tree\n"
    );
    project.edit("src/main.rs", "{} ", "now {} ");
    let changed = Built::lock(&project, &["--extra-deps", extra]);
    assert!(changed.prints(&[]).starts_with("now "));
    assert!(!changed.run.stderr.contains("apt-get"), "{}", changed.run.stderr);

    let other = Built::scratch(&project, &["--extra-deps", "echo \"it's one line\" > /etc/extra"]);
    assert_eq!(other.shell("cat /etc/extra"), "it's one line\n");
}

#[test]
fn what_the_lock_image_holds_is_older_than_any_clock_so_that_another_machine_may_build_on_it() {
    let project = with_excluded_packages();
    let built = Built::scratch(&project, &[]);
    let lock = project.name(built.tags["lock"].as_str().unwrap());
    assert_ne!(image_id(&lock), image_id(&built.image));
    let find = "find target -path '*/.fingerprint/*' -type f -newermt 1990-01-01; find target -path '*/.fingerprint/*' -type f | wc -l";
    let found = run_image(&lock, &["sh", "-c", find]);
    assert!(found.trim().parse::<usize>().is_ok_and(|count| count > 10), "{found}");
}

#[test]
fn a_target_folder_of_the_configuration_or_the_environment_is_used_and_its_binary_installed() {
    for (path, text, folder) in [
        (".cargo/config.toml", "[build]\ntarget-dir = \"out/here\"\n", "out/here"),
        ("runtime-image.toml", "[env]\nCARGO_TARGET_DIR = \"/var/out\"\n", "/var/out"),
    ] {
        let project = with_environment();
        project.write(path, text);
        let built = Built::scratch(&project, &[]);
        assert_eq!(built.prints(&[]), " None None\n", "{path}");
        assert_eq!(built.shell(&format!("ls {folder}/release/demo")), format!("{folder}/release/demo\n"));
        project.edit("src/main.rs", "{} ", "now {} ");
        assert!(Built::lock(&project, &[]).prints(&[]).starts_with("now "), "{path}");
    }
}
