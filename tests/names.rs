//! What changes a name, what does not, and that the same tree has the same names anywhere. No engine is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::process::Command;

use rstest::rstest;
use support::{Project, Run, copy};

/// Which of the tags a change must move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Nothing,
    Source,
    SourceAndVersioned,
    LockAndSource,
}
use Expect::{LockAndSource, Nothing, Source, SourceAndVersioned};

/// Changes the project, and gives the arguments of the second run.
type Change = fn(&Project) -> Vec<&'static str>;

#[rstest]
#[case::nothing(|_: &Project| vec![], Nothing)]
#[case::a_source_line(|p: &Project| { p.edit("greeting/src/lib.rs", "hello", "hi"); vec![] }, Source)]
#[case::a_new_file(|p: &Project| { p.write("README.md", "x"); vec![] }, Source)]
#[case::a_comment_in_a_manifest(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "# a comment\n[package]"); vec![] }, Source)]
#[case::a_description(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\ndescription = \"x\""); vec![] }, Source)]
#[case::a_new_binary(|p: &Project| { p.write("hello/src/bin/other.rs", "fn main() {}"); vec![] }, Source)]
#[case::another_default_command(|p: &Project| { p.write("runtime-image.toml", "cmd = [\"true\"]"); vec![] }, Source)]
#[case::a_build_argument(|_: &Project| vec!["--build-arg", "A=1"], Source)]
#[case::the_version_of_all_members(|p: &Project| { p.edit("Cargo.toml", "\"0.1.0\"", "\"0.1.1\""); vec![] }, SourceAndVersioned)]
#[case::the_version_of_one_member(|p: &Project| { p.edit("shout/Cargo.toml", "version.workspace = true", "version = \"0.1.9\""); vec![] }, Source)]
#[case::a_locked_version(|p: &Project| { p.edit("Cargo.lock", "name = \"itoa\"\nversion = \"1.0.", "name = \"itoa\"\nversion = \"1.0.9"); vec![] }, LockAndSource)]
#[case::a_dependency(|p: &Project| {
    p.edit("greeting/Cargo.toml", "ryu.workspace = true", "ryu.workspace = true\nitoa.workspace = true");
    vec!["--offline"]
}, LockAndSource)]
#[case::a_feature_of_a_dependency(|p: &Project| { p.edit("Cargo.toml", "ryu = \"1\"", "ryu = { version = \"1\", features = [] }"); vec![] }, LockAndSource)]
#[case::a_feature_of_a_member(|p: &Project| { p.edit("hello/Cargo.toml", "[dependencies]", "[features]\nfast = []\n[dependencies]"); vec![] }, LockAndSource)]
#[case::a_profile(|p: &Project| { p.edit("Cargo.toml", "[workspace]", "[profile.release]\nlto = true\n[workspace]"); vec![] }, LockAndSource)]
#[case::the_toolchain(|p: &Project| { p.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85.0\""); vec![] }, LockAndSource)]
#[case::cargos_configuration(|p: &Project| { p.write(".cargo/config.toml", "[net]\nretry = 3"); vec![] }, LockAndSource)]
#[case::a_vendored_crate(|p: &Project| { p.write("vendor/x/.cargo-checksum.json", "{\"files\":{}}"); vec![] }, LockAndSource)]
#[case::the_first_build_script(|p: &Project| { p.write("greeting/build.rs", "fn main() {}"); vec![] }, LockAndSource)]
#[case::a_first_test(|p: &Project| { p.write("greeting/tests/a.rs", ""); vec![] }, Source)]
#[case::what_a_build_script_reads(|p: &Project| { p.write("hello/data.txt", "x"); vec![] }, Source)]
#[case::the_base_image(|_: &Project| vec!["--base-image", "rust:1-trixie"], LockAndSource)]
#[case::extra_deps(|_: &Project| vec!["--extra-deps", "apt-get install hello"], LockAndSource)]
#[case::system_packages(|p: &Project| { p.write("runtime-image.toml", "apt-packages = [\"cmake\"]"); vec![] }, LockAndSource)]
#[case::prebuild(|p: &Project| { p.write("runtime-image.toml", "prebuild = [\"build\"]"); vec![] }, LockAndSource)]
#[case::environment(|p: &Project| { p.write("runtime-image.toml", "env = { RUSTFLAGS = \"-g\" }"); vec![] }, LockAndSource)]
#[case::auditable(|_: &Project| vec!["--auditable"], LockAndSource)]
#[case::user(|p: &Project| { p.write("runtime-image.toml", "user = \"app\""); vec![] }, LockAndSource)]
#[case::workdir(|p: &Project| { p.write("runtime-image.toml", "workdir = \"/app\""); vec![] }, LockAndSource)]
#[case::an_argument_for_buildx(|_: &Project| vec!["--", "--network=host"], LockAndSource)]
#[case::a_secret(|_: &Project| vec!["--secret", "id=token,src=/dev/null"], Nothing)]
#[case::a_file_that_may_look_like_a_secret(|_: &Project| vec!["--allow-secret", "**/*.pem"], Nothing)]
#[case::ssh(|_: &Project| vec!["--ssh", "default"], Nothing)]
#[case::a_ca_bundle(|p: &Project| { p.write("target/ca.pem", "x"); vec!["--ca-bundle", "target/ca.pem"] }, Nothing)]
#[case::caches(|_: &Project| vec!["--cache-from", "type=local,src=x", "--cache-to", "type=local,dest=x"], Nothing)]
#[case::a_cache(|_: &Project| vec!["--cache", "local", "--registry-timeout", "3"], Nothing)]
#[case::provenance(|_: &Project| vec!["--provenance"], Source)]
#[case::a_list_of_what_is_in_it(|_: &Project| vec!["--sbom"], Source)]
#[case::no_attestation(|_: &Project| vec!["--provenance=false", "--sbom=false"], Nothing)]
#[case::how_it_is_shown(|_: &Project| vec!["--progress", "tty", "-v", "--color", "always"], Nothing)]
#[case::platform(|_: &Project| vec!["--platform", "linux/arm64"], Nothing)]
#[case::ways_to_build(|_: &Project| vec!["--force-rebuild", "--dry-run", "--builder", "x", "--engine", "podman"], Nothing)]
#[case::an_ignored_file(|p: &Project| { p.write("target/x", "y"); vec![] }, Nothing)]
fn a_change_moves_the_right_tags(#[case] change: Change, #[case] expected: Expect) {
    let project = Project::hello();
    let before = project.tags(&[]);
    let arguments = change(&project);
    let after = project.tags(&arguments);
    let moved = [0, 1, 2].map(|index| before[index] != after[index]);
    let base_moved = before[2] != after[2];
    let expected = match expected {
        Nothing => [false, false, false],
        Source => [true, false, false],
        SourceAndVersioned => [true, false, true],
        // The base image alone is in the versioned tag besides.
        LockAndSource => [true, true, base_moved && arguments.contains(&"--base-image")],
    };
    assert_eq!(moved, expected, "source, lock, versioned moved: {before:?} -> {after:?}");
}

/// A package with a member, both without dependencies.
fn with_a_member() -> Project {
    let project = Project::empty();
    project
        .write(
            "Cargo.toml",
            "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\nmembers = [\"app\"]\n",
        )
        .write("src/main.rs", "fn main() {}\n")
        .write("src/more.rs", "")
        .write("src/data.txt", "")
        .write("build.rs", "fn main() {}\n")
        .write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
        .write("app/src/lib.rs", "")
        .write(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\n",
        );
    project
}

fn flags(flags: &str) -> String {
    format!("[build]\nrustflags = {flags}\n")
}

/// Whether a change of this file moves the lock tag, which it must if and only if the dependency stage has the file.
fn counts(project: &Project, file: &str) -> bool {
    let staged = || {
        let staged = project.root.join("../staged/deps").join(file);
        let _ = std::fs::remove_dir_all(project.root.join("../staged"));
        project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
        std::fs::read_to_string(staged).unwrap_or_default()
    };
    let mut seen = Vec::new();
    for value in ["1", "2"] {
        project.write(file, format!("[env]\nA = \"{value}\"\n"));
        seen.push((project.tags(&[])[1].clone(), staged() == project.read(file)));
    }
    assert_eq!(seen[0].1, seen[1].1, "{file} is staged now and then");
    assert_eq!(seen[0].0 != seen[1].0, seen[0].1, "the lock tag says other than the dependency stage of {file}");
    seen[0].1
}

#[rstest]
#[case::included(r#"include = ["extra.toml"]"#, ".cargo/extra.toml")]
#[case::included_from_elsewhere(r#"include = ["../shared/extra.toml"]"#, "shared/extra.toml")]
#[case::included_alone(r#"include = [{ path = "extra.toml" }]"#, ".cargo/extra.toml")]
#[case::included_if_it_is_there(r#"include = [{ path = "extra.toml", optional = true }]"#, ".cargo/extra.toml")]
#[case::a_description_of_a_target("[build]\ntarget = \"targets/board.json\"", "targets/board.json")]
#[case::a_wrapper("[build]\nrustc-wrapper = \"tools/wrap\"", "tools/wrap")]
#[case::what_lies_beside_a_wrapper("[build]\nrustc-wrapper = \"tools/wrap\"", "tools/lib/common.sh")]
#[case::a_wrapper_beside_the_configuration("[build]\nrustc-workspace-wrapper = \".cargo/wrap\"", ".cargo/wrap")]
#[case::a_path_in_the_image("[build]\nrustc = \"/workspace/tools/rustc\"", "tools/rustc")]
#[case::documentation("[build]\nrustdoc = \"tools/doc\"", "tools/doc")]
#[case::a_linker("[target.x86_64-unknown-linux-gnu]\nlinker = \"./cc.sh\"", "cc.sh")]
#[case::an_archiver("[target.x86_64-unknown-linux-gnu]\nar = \"tools/ar\"", "tools/ar")]
#[case::a_runner("[target.'cfg(unix)']\nrunner = \"tools/run --quiet\"", "tools/run")]
#[case::a_runner_with_an_interpreter("[target.'cfg(unix)']\nrunner = [\"sh\", \"tools/run\"]", "tools/run")]
#[case::a_folder_of_libraries(flags(r#"["-L", "native"]"#), "native/deep/libx.a")]
#[case::a_folder_of_libraries_in_a_word(flags(r#""-Lnative""#), "native/libx.a")]
#[case::a_folder_of_a_kind(flags(r#""-L native=native""#), "native/libx.a")]
#[case::a_linker_script(flags(r#"["-Clink-arg=-Tlink.x"]"#), "link.x")]
#[case::a_linker_script_of_another_form(flags(r#""-C link-args=-Wl,-T,ld/link.x""#), "ld/link.x")]
#[case::what_a_linker_script_includes(flags(r#""-C link-arg=-Tld/link.x""#), "ld/memory.x")]
#[case::a_linker_script_among_sources(flags(r#"["-Clink-arg=-Tsrc/link.x"]"#), "src/link.x")]
#[case::a_linker_in_a_flag(flags(r#"["-Clinker=tools/ld"]"#), "tools/ld")]
#[case::flags_of_a_target("[target.'cfg(unix)']\nrustflags = \"-Clink-arg=-Tlink.x\"", "link.x")]
#[case::a_list_of_arguments(flags(r#"["-Clink-arg=@arguments"]"#), "arguments")]
#[case::an_overridden_library("[target.x86_64-unknown-linux-gnu.x]\nrustc-link-search = [\"native\"]", "native/libx.a")]
#[case::a_file_in_a_variable("[env]\nX = { value = \"data/x.txt\", relative = true }", "data/x.txt")]
#[case::a_folder_in_a_variable("[env]\nX = { value = \"data\", relative = true }", "data/deep/x.txt")]
#[case::a_folder_of_crates("[source.here]\ndirectory = \"crates\"", "crates/x/src/lib.rs")]
#[case::a_registry_of_files("[source.here]\nlocal-registry = \"registry\"", "registry/x-1.0.0.crate")]
#[case::certificates("[http]\ncainfo = \"certificates/ca.pem\"", "certificates/ca.pem")]
fn what_cargos_configuration_names_counts(#[case] config: impl AsRef<str>, #[case] file: &str) {
    let project = with_a_member();
    project
        .write(".cargo/config.toml", config.as_ref())
        .write("tools/wrap", "")
        .write("ld/link.x", "")
        .write("shared/extra.toml", "")
        .write(".cargo/extra.toml", "");
    assert!(counts(&project, file), "{file} does not count");
}

#[rstest]
#[case::a_mere_word("[env]\nENTRY = \"data/x.txt\"", "data/x.txt")]
#[case::a_source_in_a_variable("[env]\nENTRY = { value = \"src/main.rs\", relative = true }", "src/main.rs")]
#[case::a_module_in_a_variable("[env]\nENTRY = { value = \"src/more.rs\", relative = true }", "src/more.rs")]
#[case::what_lies_beside_a_variables_file("[env]\nX = { value = \"data/x.txt\", relative = true }", "data/y.txt")]
#[case::a_folder_of_sources(flags(r#""-L src""#), "src/main.rs")]
#[case::data_in_a_folder_of_sources(flags(r#""-L src""#), "src/data.txt")]
#[case::a_folder_of_sources_in_a_variable("[env]\nX = { value = \"src\", relative = true }", "src/data.txt")]
#[case::the_root_in_a_variable("[env]\nX = { value = \"\", relative = true }", "src/data.txt")]
#[case::the_root(flags(r#""-L .""#), "data/x.txt")]
#[case::a_member(flags(r#""-L app""#), "app/data.txt")]
#[case::a_member_in_a_folder("[build]\nrustc-wrapper = \"tools/wrap\"", "tools/inner/data.txt")]
#[case::a_build_script(flags(r#""-C link-arg=-Tbuild.rs""#), "build.rs")]
#[case::what_lies_beside_a_script_at_the_root("[build]\nrustc-wrapper = \"./wrap\"", "data/x.txt")]
#[case::an_alias("[alias]\ndata = \"run -p data\"", "data/x.txt")]
#[case::a_profile("[profile.dist]\ninherits = \"data\"", "data/x.txt")]
#[case::where_cargo_writes("[build]\ntarget-dir = \"data/out\"\ndep-info-basedir = \"data\"", "data/x.txt")]
#[case::the_form_that_cargo_does_not_read("", ".cargo/config.toml")]
fn what_is_a_source_or_not_named_does_not_count(#[case] config: impl AsRef<str>, #[case] file: &str) {
    let project = with_a_member();
    project
        .write(".cargo/config", config.as_ref())
        .edit("Cargo.toml", "[\"app\"]", "[\"app\", \"tools/inner\"]")
        .write("tools/inner/Cargo.toml", project.read("app/Cargo.toml").replace("app", "inner"))
        .write("tools/inner/src/lib.rs", "")
        .write("tools/wrap", "")
        .write("wrap", "")
        .write("data/x.txt", "");
    project.write("Cargo.lock", project.read("Cargo.lock") + "\n[[package]]\nname = \"inner\"\nversion = \"0.1.0\"\n");
    assert!(!counts(&project, file), "{file} counts");
}

/// What `paths` puts in the place of other packages is built with the dependencies, and so is a member that `[patch]`
/// names: it still inherits from the workspace.
#[test]
fn packages_in_the_place_of_others_count_whole() {
    let project = with_a_member();
    project
        .write(".cargo/config.toml", "paths = [\"overrides\"]\n")
        .write("overrides/itoa/Cargo.toml", "[package]\nname = \"itoa\"\nversion = \"1.0.0\"\n[workspace]\n")
        .write("overrides/itoa/src/lib.rs", "");
    for file in ["overrides/itoa/src/lib.rs", "overrides/itoa/data.txt"] {
        assert!(counts(&project, file), "{file}");
    }
    assert!(!counts(&project, "app/data.txt"));

    std::fs::remove_dir_all(project.root.join(".cargo")).unwrap();
    project
        .edit("Cargo.toml", "[workspace]", "[patch.crates-io]\napp = { path = \"app\" }\n[workspace.package]\nlicense = \"MIT\"\nrust-version = \"1.85\"\n[workspace]")
        .edit("app/Cargo.toml", "edition", "license.workspace = true\nrust-version.workspace = true\nedition");
    assert!(counts(&project, "app/data.txt"));
    let mut command = Command::new(std::env::var("CARGO").unwrap());
    command.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    let run = Run::from(command.current_dir(project.root.join("../staged/deps")).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn what_commands_and_variables_tell_cargo_counts() {
    let project = with_a_member();
    project.write(
        "runtime-image.toml",
        "prebuild = [\"build --release --target targets/board.json --config='ci/cargo.toml' -p app -- data/x.txt\"]\n\
         [env]\nRUSTC_WRAPPER = \"/workspace/tools/wrap\"\nRUST_LOG = \"data/x.txt\"\nDATA = \"data/x.txt\"\n",
    );
    for file in ["targets/board.json", "ci/cargo.toml", "tools/wrap"] {
        assert!(counts(&project, file), "{file}");
    }
    assert!(!counts(&project, "data/x.txt"));
}

#[test]
fn included_configuration_is_read_like_the_rest_also_through_links() {
    use std::os::unix::fs::symlink;
    let project = with_a_member();
    project
        .write(
            ".cargo/config.toml",
            "include = [\"link.toml\"]\n[build]\nrustc-wrapper = \"tools/wrap\"\nrustflags = \"-L loop/x\"\n",
        )
        .write("shared/first.toml", "include = [\"deep/second.toml\", { path = \"../../x.toml\", optional = true }]\n")
        // Cargo takes what a link includes from where the link is, and what stands there from the folder above.
        .write(".cargo/deep/second.toml", "[target.'cfg(unix)']\nlinker = \"tools/ld\"\n")
        .write(".cargo/tools/ld", "1")
        .write("scripts/wrap", "1");
    symlink("../shared/first.toml", project.root.join(".cargo/link.toml")).unwrap();
    symlink("scripts", project.root.join("tools")).unwrap();
    symlink("loop", project.root.join("loop")).unwrap();
    for file in ["shared/first.toml", ".cargo/deep/second.toml", ".cargo/tools/ld", "scripts/wrap"] {
        let before = project.tags(&[]);
        project.write(file, project.read(file) + if file.ends_with("toml") { "[term]\nquiet = true\n" } else { "2" });
        assert_ne!(project.tags(&[])[1], before[1], "{file}");
    }
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
    let staged = project.root.join("../staged/deps");
    for file in [".cargo/link.toml", ".cargo/deep/second.toml", ".cargo/tools/ld", "tools/wrap"] {
        assert!(staged.join(file).is_file(), "{file} is not in the dependency stage");
    }
}

/// The example with configuration, and with what says nothing about its dependencies.
fn configured() -> Project {
    let project = Project::hello();
    project
        .write(".cargo/config.toml", "include = [\"more.toml\"]\n[net]\nretry = 3\n[env]\nB = \"1\"\nA = \"1\"\n")
        .write(".cargo/more.toml", "[http]\nmultiplexing = true\ndebug = false\n")
        .write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.85.0\"\nprofile = \"minimal\"\n")
        .write("hello/src/bin/other.rs", "fn main() {}\n")
        .edit("hello/Cargo.toml", "[dependencies]", "[[bin]]\nname = \"hello\"\npath = \"src/main.rs\"\n\
            [[bin]]\nname = \"other\"\npath = \"src/bin/other.rs\"\n[dependencies]")
        .edit("Cargo.toml", "[workspace]", "[profile.release]\nopt-level = 3\n[profile.dev]\nopt-level = 0\n\
            [profile.base]\ninherits = \"release\"\n[profile.dist]\ninherits = \"base\"\n[workspace]\nexclude = [\"old\"]");
    project
}

fn crlf(project: &Project, path: &str) {
    project.write(path, project.read(path).replace('\n', "\r\n"));
}

#[rstest]
#[case::a_comment_in_a_manifest(|p: &Project| { p.edit("Cargo.toml", "[workspace]", "# a comment\n\n[workspace] # another"); vec![] }, Source)]
#[case::the_order_of_keys_in_a_manifest(|p: &Project| { p.edit("hello/Cargo.toml", "version.workspace = true\nedition.workspace = true", "edition.workspace = true\nversion.workspace = true"); vec![] }, Source)]
#[case::the_order_of_members(|p: &Project| { p.edit("Cargo.toml", "\"hello\", \"greeting\"", "\"greeting\", \"hello\""); vec![] }, Source)]
#[case::the_order_of_targets(|p: &Project| {
    let text = p.read("hello/Cargo.toml");
    let (head, rest) = text.split_once("[[bin]]").unwrap();
    let (lists, rest) = rest.split_once("[dependencies]").unwrap();
    let (one, other) = lists.split_once("[[bin]]").unwrap();
    p.write("hello/Cargo.toml", format!("{head}[[bin]]{other}[[bin]]{one}[dependencies]{rest}"));
    vec![]
}, Source)]
#[case::line_ends_of_a_manifest(|p: &Project| { crlf(p, "greeting/Cargo.toml"); vec![] }, Source)]
#[case::line_ends_of_the_lock_file(|p: &Project| { crlf(p, "Cargo.lock"); vec![] }, Source)]
#[case::line_ends_of_cargos_configuration(|p: &Project| { crlf(p, ".cargo/config.toml"); crlf(p, ".cargo/more.toml"); vec![] }, Source)]
#[case::line_ends_of_the_toolchain_file(|p: &Project| { crlf(p, "rust-toolchain.toml"); vec![] }, Source)]
#[case::comments_in_the_lock_file(|p: &Project| { p.edit("Cargo.lock", "[[package]]", "\n# a comment\n[[package]] # another"); vec![] }, Source)]
#[case::the_order_of_keys_in_the_lock_file(|p: &Project| { p.edit("Cargo.lock", "name = \"shout\"\nversion = \"0.1.0\"", "version = \"0.1.0\"\nname = \"shout\""); vec![] }, Source)]
#[case::a_checksum(|p: &Project| { p.edit("Cargo.lock", "checksum = \"", "checksum = \"0"); vec![] }, LockAndSource)]
#[case::comments_in_cargos_configuration(|p: &Project| { p.edit(".cargo/config.toml", "[net]", "# a comment\n\n[net] # another"); vec![] }, Source)]
#[case::the_order_of_keys_in_cargos_configuration(|p: &Project| { p.edit(".cargo/config.toml", "B = \"1\"\nA = \"1\"", "A = \"1\"\nB = \"1\""); vec![] }, Source)]
#[case::a_comment_in_included_configuration(|p: &Project| { p.edit(".cargo/more.toml", "[http]", "[http] # a comment"); vec![] }, Source)]
#[case::included_configuration(|p: &Project| { p.edit(".cargo/more.toml", "false", "true"); vec![] }, LockAndSource)]
#[case::a_comment_in_the_toolchain_file(|p: &Project| { p.edit("rust-toolchain.toml", "[toolchain]", "# a comment\n[toolchain]"); vec![] }, Source)]
#[case::where_it_is_published(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\npublish = false"); vec![] }, Source)]
#[case::where_all_are_published(|p: &Project| {
    p.edit("Cargo.toml", "[workspace.package]", "[workspace.package]\npublish = false");
    p.edit("hello/Cargo.toml", "[package]", "[package]\npublish.workspace = true");
    vec![]
}, Source)]
#[case::the_oldest_compiler_of_a_member(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\nrust-version = \"1.70\""); vec![] }, Source)]
#[case::the_oldest_compiler_of_all_members(|p: &Project| { p.edit("Cargo.toml", "[workspace.package]", "[workspace.package]\nrust-version = \"1.70\""); vec![] }, Source)]
#[case::words_and_categories(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\nkeywords = [\"a\"]\ncategories = [\"b\"]"); vec![] }, Source)]
#[case::a_profile_that_is_not_built(|p: &Project| { p.edit("Cargo.toml", "opt-level = 0", "opt-level = 1"); vec![] }, Source)]
#[case::a_profile_that_is_built(|p: &Project| { p.edit("Cargo.toml", "opt-level = 3", "opt-level = 2"); vec![] }, LockAndSource)]
#[case::how_build_scripts_are_built(|p: &Project| { p.edit("Cargo.toml", "opt-level = 3", "opt-level = 3\nbuild-override.opt-level = 1"); vec![] }, LockAndSource)]
#[case::a_profile_that_no_profile_in_use_inherits_from(|p: &Project| { p.edit("Cargo.toml", "[profile.base]", "[profile.base]\nlto = true"); vec![] }, Source)]
#[case::a_profile_of_a_member_which_cargo_ignores(|p: &Project| { p.edit("hello/Cargo.toml", "[dependencies]", "[profile.release]\nlto = true\n[dependencies]"); vec![] }, Source)]
#[case::empty_tables(|p: &Project| {
    p.write("hello/Cargo.toml", p.read("hello/Cargo.toml") + "[dev-dependencies]\n[features]\n[target.'cfg(unix)'.dependencies]\n");
    vec![]
}, Source)]
#[case::what_is_run_by_default(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\ndefault-run = \"hello\""); vec![] }, Source)]
#[case::how_targets_are_found(|p: &Project| { p.edit("hello/Cargo.toml", "[package]", "[package]\nautobins = false"); vec![] }, LockAndSource)]
#[case::which_packages_are_no_members(|p: &Project| { p.edit("Cargo.toml", "[\"old\"]", "[\"old\", \"older\"]"); vec![] }, LockAndSource)]
#[case::which_packages_are_built(|p: &Project| { p.edit("Cargo.toml", "default-members = [\"hello\"]", "default-members = [\"hello\", \"shout\"]"); vec![] }, LockAndSource)]
#[case::an_edition(|p: &Project| { p.edit("hello/Cargo.toml", "edition.workspace = true", "edition = \"2018\""); vec![] }, LockAndSource)]
fn what_cannot_change_the_dependencies_leaves_the_lock_tag_alone(#[case] change: Change, #[case] expected: Expect) {
    let project = configured();
    let before = project.tags(&["--locked"]);
    let arguments = change(&project);
    let after = project.tags(&[&["--locked"], arguments.as_slice()].concat());
    assert_ne!(before[0], after[0], "the image has the file as it is");
    assert_eq!(before[1] != after[1], expected == LockAndSource, "the lock tag: {before:?} -> {after:?}");
}

#[rstest]
#[case::the_default("build --release", false, false)]
#[case::another_one("build", true, false)]
#[case::by_name("build --profile dist", false, true)]
#[case::a_command_of_unknown_profiles("build --release && cargo test", true, true)]
fn the_profiles_that_prebuild_builds_with_count(#[case] prebuild: &str, #[case] dev: bool, #[case] base: bool) {
    let project = configured();
    project.write("runtime-image.toml", format!("prebuild = [\"{prebuild}\"]\n"));
    for (from, to, expected) in
        [("opt-level = 0", "opt-level = 1", dev), ("\"release\"", "\"release\"\nlto = true", base)]
    {
        let before = project.tags(&[]);
        project.edit("Cargo.toml", from, to);
        assert_eq!(project.tags(&[])[1] != before[1], expected, "{to}");
    }
}

/// Cargo accepts the dependency stage as it is staged, compiles the same dependencies with the same flags as it does
/// for the sources, and finds the targets.
#[test]
fn cargo_accepts_the_masked_workspace_and_compiles_the_same_dependencies() {
    let project = configured();
    project
        .edit(
            "hello/Cargo.toml",
            "[package]",
            "[package]\ndefault-run = \"hello\"\nautobins = false\npublish = false\nrust-version = \"1.85\"",
        )
        .edit("Cargo.toml", "[workspace.package]", "[workspace.package]\npublish = false\nrust-version = \"1.85\"")
        .edit("Cargo.toml", "opt-level = 3", "opt-level = 2\nbuild-override.opt-level = 1");
    std::fs::remove_file(project.root.join("rust-toolchain.toml")).unwrap();
    project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
    let compiled = |folder: &str| {
        let mut command = Command::new(std::env::var("CARGO").unwrap());
        command.args(["build", "--release", "--locked", "-v"]).current_dir(project.root.join("../staged").join(folder));
        command.env("CARGO_TARGET_DIR", project.root.join("../target").join(folder)).env_remove("RUSTFLAGS");
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let target = project.root.join("../target").join(folder).display().to_string();
        let calls = run.stderr.lines().filter(|line| line.contains("Running") && line.contains("--cap-lints"));
        let mut calls: Vec<String> = calls.map(|line| line.replace(&target, "target")).collect();
        calls.sort();
        calls
    };
    let of_skeleton = compiled("deps");
    assert!(of_skeleton.len() > 4, "{of_skeleton:?}");
    assert_eq!(of_skeleton, compiled("code"));
}

#[test]
fn the_executable_bit_and_a_link_target_count() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let project = Project::hello();
    let script = project.root.join("run.sh");
    project.write("run.sh", "x");
    symlink("run.sh", project.root.join("link")).unwrap();
    let plain = project.tags(&[]);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let executable = project.tags(&[]);
    std::fs::remove_file(project.root.join("link")).unwrap();
    symlink("Cargo.toml", project.root.join("link")).unwrap();
    let relinked = project.tags(&[]);
    assert!(plain[0] != executable[0] && executable[0] != relinked[0]);
    assert!(plain[1] == executable[1] && executable[1] == relinked[1]);
}

#[test]
fn a_move_of_content_between_files_is_seen() {
    let project = Project::hello();
    project.write("a", "x").write("b", "y");
    let before = project.tags(&[]);
    project.write("a", "y").write("b", "x");
    assert_ne!(before[0], project.tags(&[])[0]);
}

/// Names are MD5, and what they are made of is not.
#[test]
fn contents_with_one_md5_have_different_names_and_dates() {
    let project = Project::hello();
    let [one, other] = support::md5_twins();
    let dated = |content: &[u8]| {
        project.write("hello/src/data", content);
        project.ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
        let staged = std::fs::metadata(project.root.join("../staged/code/hello/src/data")).unwrap();
        (project.tags(&[])[0].clone(), staged.modified().unwrap())
    };
    let (first, second) = (dated(&one), dated(&other));
    assert_ne!(first.0, second.0, "one name for two contents");
    assert_ne!(first.1, second.1, "the builder would take one for the other");
}

#[test]
fn versions_that_spell_alike_have_different_names() {
    let project = Project::empty();
    project.write("app", "x");
    let versioned = ["1.0.0+a", "1.0.0_a", "1.0.0/a", "1.0.0 a", "1.0.0-a"].map(|version| {
        let [source, _, versioned] = project.tags(&["--kind=custom", "--project-version", version]);
        let stem = versioned.strip_suffix("_rust_t_1-bookworm").unwrap().to_owned();
        assert!(source.starts_with(&format!("{stem}_")), "{source} is of another version than {versioned}");
        stem
    });
    assert_eq!(versioned[0], "rt_v1.0.0_a", "what Cargo can have as a version reads as ever");
    let different: std::collections::BTreeSet<&String> = versioned.iter().collect();
    assert_eq!(different.len(), versioned.len(), "{versioned:?}");
}

/// A workspace without a root package in the folder `demo`.
#[rstest]
#[case::one_that_the_workspace_gives(&["[workspace.package]\nversion = \"7.0.0\""], &["demo 1.0.0 bin", "other 2.0.0"], "7.0.0")]
#[case::the_member_named_like_the_folder(&[], &["demo 1.0.0", "demo-macros 2.5.0", "tool 3.0.0 bin"], "1.0.0")]
#[case::the_only_member_with_a_program(&[], &["macros 2.5.0", "tool 1.0.0 bin", "z 0.1.0"], "1.0.0")]
#[case::the_highest_of_several(&[], &["a 1.0.0 bin", "b 1.2.0 bin", "c 1.10.0"], "1.10.0")]
fn a_workspace_without_a_root_package_has_the_version(
    #[case] root: &[&str],
    #[case] members: &[&str],
    #[case] expected: &str,
) {
    let project = Project::empty();
    project.write("Cargo.toml", format!("[workspace]\nmembers = [\"members/*\"]\nresolver = \"2\"\n{}", root.concat()));
    for member in members {
        let words: Vec<&str> = member.split(' ').collect();
        let file = if words.contains(&"bin") { "main.rs" } else { "lib.rs" };
        project.write(&format!("members/{}/src/{file}", words[0]), "").write(
            &format!("members/{}/Cargo.toml", words[0]),
            format!("[package]\nname = \"{}\"\nversion = \"{}\"\nedition = \"2021\"\n", words[0], words[1]),
        );
    }
    let [source, _, versioned] = project.tags(&[]);
    assert_eq!(versioned, format!("rt_v{expected}_rust_t_1-bookworm"));
    assert!(source.starts_with(&format!("rt_v{expected}_")), "{source}");
    assert_eq!(project.tags(&["--project-version", "9.9.9"])[2], "rt_v9.9.9_rust_t_1-bookworm");
}

fn names(run: Run) -> String {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout
}

#[test]
fn what_the_environment_tells_buildkit_has_no_effect_or_counts() {
    let project = Project::hello();
    let expected = project.tags(&[]);
    let with = |name: &str, value: &str| {
        let mut command = project.command(&["tags", "--message-format", "json"]);
        let run = Run::from(command.env(name, value).output().unwrap());
        let json: serde_json::Value = serde_json::from_str(&names(run)).unwrap();
        ["source", "lock", "versioned"].map(|name| json["tags"][name].as_str().unwrap().to_owned())
    };
    assert_eq!(with("BUILDX_GIT_LABELS", "1"), expected);
    assert_eq!(with("DOCKER_DEFAULT_PLATFORM", "linux/arm64"), expected);
    let policy = project.root.parent().unwrap().join("policy.json");
    std::fs::write(&policy, "{}").unwrap();
    let one = with("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", policy.to_str().unwrap());
    assert!(one[0] != expected[0] && one[1] != expected[1], "a policy counts for no name");
    std::fs::write(&policy, "{ }").unwrap();
    assert_ne!(with("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", policy.to_str().unwrap())[1], one[1], "its content");
}

#[test]
fn the_same_tree_has_the_same_names_anywhere() {
    let project = Project::hello();
    project.write("bin/run", "#!/bin/sh\n");
    let expected = names(project.run(&["tags"]));

    let elsewhere = project.root.parent().unwrap().join("else/where/demo");
    copy(&project.root, &elsewhere);
    let at = |folder: &std::path::Path| {
        let mut command = project.command(&["tags"]);
        command.current_dir(folder);
        command
    };
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "another path");
    assert_eq!(names(Run::from(at(&elsewhere.join("hello/src")).output().unwrap())), expected, "from a sub-folder");

    let mut elder = at(&elsewhere);
    elder.env("LC_ALL", "tr_TR.UTF-8").env("LANG", "C").env("TZ", "Pacific/Chatham").env("SOURCE_DATE_EPOCH", "1");
    assert_eq!(names(Run::from(elder.output().unwrap())), expected, "another locale, zone and clock");

    for (path, time) in
        [("Cargo.toml", "199901010000"), ("Cargo.lock", "203501010000"), ("hello/src/main.rs", "197001020000")]
    {
        let status = Command::new("touch").args(["-t", time]).arg(elsewhere.join(path)).status().unwrap();
        assert!(status.success());
    }
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "other times");

    let status = Command::new("chmod").args(["-R", "go-rwx,u+w"]).arg(&elsewhere).status().unwrap();
    assert!(status.success());
    assert_eq!(names(Run::from(at(&elsewhere).output().unwrap())), expected, "the modes that another umask gives");

    project.git_init();
    assert_eq!(names(project.run(&["tags"])), expected, "in a git work tree");
    let clone = project.root.parent().unwrap().join("clone");
    let status = Command::new("git").args(["clone", "-q"]).arg(&project.root).arg(&clone).status().unwrap();
    assert!(status.success());
    assert_eq!(names(Run::from(at(&clone).output().unwrap())), expected, "a fresh clone");
}

#[test]
fn another_user_gets_the_same_names() {
    let project = Project::hello();
    let expected = names(project.run(&["tags"]));
    // In a user namespace this process has another user and group id and sees the same files.
    let run = |arguments: &[&str]| {
        let command = project.command(&["tags"]);
        let mut other = Command::new("unshare");
        other.args(["--user", "--map-user=1234", "--map-group=1234"]).args(arguments).arg(support::COMMAND).arg("tags");
        other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&project.root);
        Run::from(other.output().unwrap())
    };
    assert_eq!(names(run(&["--"])), expected);
}

#[test]
fn a_tree_of_another_user_is_named_or_refused_with_the_way_out() {
    let project = Project::hello();
    project.git_init();
    let status = Command::new("chown").args(["-R", "65534:65534"]).arg(&project.root).status().unwrap();
    assert!(status.success(), "this test needs to run as root");
    project.run(&["tags"]).fails_with(1, &["dubious ownership", "hint: ", "safe.directory"]);
}

#[test]
fn git_decides_what_belongs_to_the_sources_and_the_users_file_removes_more() {
    let project = Project::hello();
    project.write(".gitignore", "/target\n*.log\n").write("tracked.txt", "x").git_init();
    let before = project.tags(&[]);
    project.write("debug.log", "x").write(".git/info/x", "y");
    assert_eq!(project.tags(&[]), before, "ignored files do not count");
    project.write("notes.txt", "x");
    assert_ne!(project.tags(&[])[0], before[0], "untracked files that are not ignored count");
    project.write(".runtime-image-ignore", "notes.txt\n.runtime-image-ignore\n");
    assert_eq!(project.tags(&[])[0], before[0], "what the user's file names does not count");
    std::fs::remove_file(project.root.join("tracked.txt")).unwrap();
    assert_ne!(project.tags(&[])[0], before[0], "a deleted file that is still tracked does not count");
}

#[test]
fn without_git_the_ignore_files_in_the_tree_decide() {
    let project = Project::hello();
    let before = project.tags(&[]);
    project.write("target/debug/x", "y");
    assert_eq!(project.tags(&[]), before);
    project.write(".hidden", "x");
    assert_ne!(project.tags(&[])[0], before[0], "hidden files count");
}

#[test]
fn an_ignored_lock_file_still_counts() {
    let project = Project::hello();
    let before = project.tags(&[]);
    project.write(".gitignore", "/target\nCargo.lock\n").git_init();
    assert_eq!(project.tags(&[])[1], before[1]);
}

#[test]
fn names_need_no_docker_at_all() {
    let project = Project::hello();
    let cargo = std::env::var("CARGO").unwrap();
    let mut command = project.command(&["tags"]);
    command.env("PATH", "/nonexistent").env("CARGO", &cargo);
    assert_eq!(Run::from(command.output().unwrap()).code, Some(0));
    let mut command = project.command(&["--force-rebuild", "--dry-run"]);
    command.env("PATH", "/nonexistent").env("CARGO", &cargo);
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(project.root.join("target/runtime-image").is_dir());

    std::fs::remove_file(project.root.join("Cargo.lock")).unwrap();
    let tools = std::env::var("PATH").unwrap();
    let no_docker = project.root.join("../bin");
    std::fs::create_dir(&no_docker).unwrap();
    for tool in ["rustc", "sh", "cat"] {
        let path = std::env::split_paths(&tools).map(|folder| folder.join(tool)).find(|path| path.is_file()).unwrap();
        std::os::unix::fs::symlink(path, no_docker.join(tool)).unwrap();
    }
    let mut command = project.command(&["tags"]);
    let run = Run::from(command.env("PATH", &no_docker).env("CARGO", cargo).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("warning: this machine's Rust stands for that of the image: "), "{}", run.stderr);
    assert!(run.stderr.contains("cannot find `docker`"), "{}", run.stderr);
}
