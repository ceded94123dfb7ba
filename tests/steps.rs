//! The steps of an image: what its RUN lines start, as a user meets them in the Dockerfile, in `docker history` and in
//! errors, and what becomes of shell text in the configuration.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use runtime_image::config::settings::Settings;
use runtime_image::project::find::Found;
use runtime_image::system::cargo::CargoCall;
use runtime_image::system::interrupt::Interrupt;
use runtime_image::system::terminal::Terminal;
use support::{HELLO, Project, docker, run_image};

/// The widest line that a terminal shows whole.
const COLUMNS: usize = 120;

/// What the layers of an image above its base were made by, the newest first.
fn history(image: &str, base_image: &str) -> Vec<String> {
    let list = |image: &str| -> Vec<String> {
        let text = docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", image]);
        text.lines().map(str::to_owned).collect()
    };
    docker(&["pull", "--quiet", base_image]);
    let mut lines = list(image);
    lines.truncate(lines.len() - list(base_image).len());
    lines
}

#[test]
fn the_history_of_the_example_is_readable_and_says_what_was_done() {
    let project = Project::hello_on_engine();
    let lines = history(project.ok(&[]).image(), &project.base_image);
    assert!(lines.iter().all(|line| line.chars().count() < COLUMNS), "{lines:#?}");
    let runs: Vec<&String> = lines.iter().filter(|line| line.starts_with("RUN ")).collect();
    assert_eq!(
        runs,
        [
            "RUN /bin/sh -c sh /run/steps/build-sources 'build --release' && sh /run/steps/install-binaries hello # buildkit",
            "RUN /bin/sh -c sh /run/steps/build-dependencies 'build --release' # buildkit",
            "RUN /bin/sh -c sh /run/steps/install-toolchain --default-toolchain stable --profile minimal # buildkit",
        ]
    );
}

#[test]
fn no_line_of_the_staged_dockerfile_is_too_wide_and_the_steps_lie_beside_it() {
    let project = Project::hello();
    project.write(
        "runtime-image.toml",
        "user = \"app\"\napt-packages = [\"cmake\", \"git\"]\nextra-deps = \"echo 1\"\nca-bundle = \"ca.pem\"\n\
         secret = [\"id=token,src=ca.pem\", \"id=a-secret-of-a-longer-name,src=ca.pem\"]\n",
    );
    project.write("ca.pem", "");
    let (report, _) = project.json(&["--dry-run", "--force-rebuild"]);
    let folder = Path::new(report["build_folder"].as_str().unwrap());
    let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    assert!(dockerfile.lines().all(|line| line.len() < COLUMNS), "{dockerfile}");
    let started = dockerfile.split_whitespace().filter_map(|word| word.strip_prefix("/run/steps/"));
    let mut count = 0;
    for step in started {
        let metadata = fs::metadata(folder.join("steps").join(step)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o644, "{step}");
        count += 1;
    }
    assert_eq!(count, 7, "{dockerfile}");
}

#[test]
fn what_an_image_starts_is_said_once() {
    let project = Project::hello();
    project.write("runtime-image.toml", "entrypoint = [\"hello\"]\ncmd = [\"x\"]\n");
    for arguments in [&[][..], &["--run-image", "scratch"]] {
        let (report, _) = project.json(&[&["--dry-run", "--force-rebuild"], arguments].concat());
        let folder = Path::new(report["build_folder"].as_str().unwrap());
        let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let count = |word: &str| dockerfile.lines().filter(|line| line.split(' ').next() == Some(word)).count();
        assert_eq!((count("ENTRYPOINT"), count("CMD")), (1, 1), "{dockerfile}");
    }
}

/// Values are words of an instruction, and none begins one or swallows one.
#[test]
fn no_value_of_the_configuration_is_an_instruction_of_the_dockerfile() {
    let config = "env = { A = 'x \\', B = '\"$A\" <<EOF' }\nextra-deps = \"\"\"\necho 1 \\\\\nUSER nobody\n\"\"\"\n\
        cmd = \"echo one\\nUSER nobody \\\\\"\nuser = \"app:app\"\napt-packages = [\"g++\"]\n";
    let cargo = Project::hello();
    cargo.write("runtime-image.toml", format!("{config}prebuild = [\"build # x\", \"test \\\\\"]\n"));
    let custom = Project::empty();
    let version = "version = '1 \"$A\" \\'\n";
    custom.write("app", "x").write("runtime-image.toml", format!("{version}{config}prebuild = [\"make \\\\\"]\n"));
    for (project, runs) in [(cargo, 7), (custom, 4)] {
        let (report, _) = project.json(&["--dry-run", "--force-rebuild"]);
        let folder = Path::new(report["build_folder"].as_str().unwrap());
        let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let mut instructions: Vec<&str> = dockerfile.lines().filter(|line| !line.starts_with(' ')).collect();
        instructions.retain(|line| {
            !line.is_empty() && !line.starts_with("LABEL dev.runtime-image.") && !line.starts_with("LABEL org.")
        });
        let count = |word: &str| instructions.iter().filter(|line| line.split(' ').next() == Some(word)).count();
        let known = ["FROM", "USER", "ENV", "WORKDIR", "RUN", "COPY", "CMD"];
        assert_eq!(known.map(count).iter().sum::<usize>(), instructions.len(), "{instructions:#?}");
        assert_eq!((count("FROM"), count("RUN"), count("CMD")), (2, runs, 1), "{dockerfile}");
        assert!(!dockerfile.contains("\nUSER nobody") && !dockerfile.contains("<<EOF\n"), "{dockerfile}");
        assert!(
            dockerfile.contains("\nCMD [\"/bin/sh\",\"-c\",\"echo one\\nUSER nobody \\\\\"]\nLABEL "),
            "{dockerfile}"
        );
    }
}

/// Runs a step where Cargo writes down how it is called, and nothing else of the step does anything.
fn calls_of_cargo(step: &str, commands: &[&str], auditable: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("deps")).unwrap();
    let steps = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/templates/steps");
    let shared = fs::read_to_string(steps.join("cargo.sh")).unwrap();
    let run_cargo = shared.split_once("\nrun_cargo() {").unwrap().1.split_once("\n}\n").unwrap().0;
    let own = format!(
        "set -eu; top=.; target={0}; executables={0}/x; auditable={auditable}; start() {{ :; }}; copy() {{ :; }}; finish() {{ :; }}\n\
         restore_seed() {{ return 1; }}; keep_seed() {{ :; }}\nrun_cargo() {{{run_cargo}\n}}\n",
        at("t").display()
    );
    fs::write(at("cargo.sh"), own).unwrap();
    fs::write(at("cargo"), "#!/bin/sh\necho \"$*\" >>\"${0%/*}/calls\"\n").unwrap();
    fs::set_permissions(at("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(steps.join(step)).unwrap().replace("seed.sh", "cargo.sh");
    let text = ["/run/steps/cargo.sh", "/run/deps", "/dev/shm/command"]
        .iter()
        .fold(text, |text, path| text.replace(path, at(path.rsplit('/').next().unwrap()).to_str().unwrap()));
    fs::write(at("step"), text).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = Command::new("sh")
        .arg(at("step"))
        .args(commands)
        .env("PATH", path)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read_to_string(at("calls")).unwrap()
}

#[test]
fn both_steps_call_cargo_with_the_toolchain_that_a_command_names() {
    let commands = ["+stable build --release", "build # x", "+nightly\t--version && cargo -V", "-v test 'a b'"];
    let expected =
        "+stable --locked build --release\n--locked build\n+nightly --locked --version\n-V\n--locked -v test a b\n";
    for step in ["build-dependencies", "build-sources"] {
        assert_eq!(calls_of_cargo(step, &commands, ""), expected, "{step}");
        let auditable = expected.replace("--locked", "auditable --locked");
        assert_eq!(calls_of_cargo(step, &commands, "auditable"), auditable, "{step}");
    }
}

/// What the step says of a binary `app`, whose list of what it was compiled from is `told`, if it has one. The source file
/// `other/a b.txt` does not count.
fn inputs_are_checked(told: Option<&str>) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let binary = "slim/binaries/usr/local/bin/app";
    for (path, text) in [("run/inputs/outside", "other/a b.txt\n"), (binary, ""), ("target/release/app", "")] {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    }
    if let Some(told) = told {
        fs::write(at("target/release/app.d"), told.replace("TOP", folder.path().to_str().unwrap())).unwrap();
    }
    run_step("check-inputs", &["app"], folder.path())
}

#[test]
fn a_seed_that_cannot_be_read_ends_one_build_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (path, text) in [
        ("target/.runtime-image-compiled", "x\n"),
        ("run/seed-lists/packages", "app\t.\t\tbin app\n"),
        ("run/seed-lists/files", &format!("{} Cargo.toml\n", "0".repeat(64))),
        ("run/seed/kept/reads", ""),
        ("run/seed/kept/executables", ""),
        ("run/seed/kept/target.tar", "no archive"),
    ] {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    }
    fs::copy(at("run/seed-lists/files"), at("run/seed/kept/files")).unwrap();
    // The key of just this build.
    let (passes, said) = run_text(". /run/steps/seed.sh; seed_key build >/run/seed/kept/key", folder.path());
    assert!(passes, "{said}");
    let restore = ". /run/steps/seed.sh; if restore_seed build; then echo restored >&2; fi";
    let (passes, said) = run_text(restore, folder.path());
    let told = "error: what an earlier build has compiled cannot be read, and is removed: build again\n";
    assert!(!passes && said.ends_with(told), "{said}");
    assert_eq!(run_text(restore, folder.path()), (true, String::new()));
}

/// Whether a step passes, and what it says, where this folder stands for the root of the image.
fn run_step(step: &str, arguments: &[&str], folder: &Path) -> (bool, String) {
    run_text(&format!("set -- {}; . /run/steps/{step}", arguments.join(" ")), folder)
}

/// As [`run_step`], for a text of shell.
fn run_text(text: &str, folder: &Path) -> (bool, String) {
    let steps = folder.join("run/steps");
    for path in [&steps, &folder.join("dev/shm")] {
        fs::create_dir_all(path).unwrap();
    }
    let below = |text: &str| {
        let paths = ["/run/", "/slim", "/dev/shm"].iter();
        paths.fold(text.to_owned(), |text, path| text.replace(path, &format!("{}{path}", folder.display())))
    };
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/templates/steps")).unwrap() {
        let file = file.unwrap();
        fs::write(steps.join(file.file_name()), below(&fs::read_to_string(file.path()).unwrap())).unwrap();
    }
    let run = Command::new("sh").args(["-c", &below(text)]).current_dir(folder).output().unwrap();
    (run.status.success(), String::from_utf8(run.stderr).unwrap())
}

/// What the check of a slim image for this platform says of a file `app` with this content. The run image is this machine.
fn binary_is_checked(content: &[u8], platform: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("slim/binaries/usr/local/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("app"), content).unwrap();
    fs::create_dir(folder.path().join("run")).unwrap();
    std::os::unix::fs::symlink("/", folder.path().join("run/image")).unwrap();
    run_step("check-binaries", &["here", platform], folder.path())
}

#[test]
fn a_binary_is_a_program_for_the_platform_and_no_skeleton() {
    let program = fs::read("/bin/true").unwrap();
    let (own, other) =
        if cfg!(target_arch = "aarch64") { ("linux/arm64", "linux/amd64") } else { ("linux/amd64", "linux/arm64") };
    assert_eq!(binary_is_checked(&program, own), (true, String::new()));
    let skeleton = [program.as_slice(), b"a skeleton of cargo-runtime-image"].concat();
    for (content, platform, told) in [
        (skeleton.as_slice(), own, "error: `app` is what stood for it while the dependencies were compiled\n"),
        (&program, other, &*format!(" and not for `{other}`\n")),
        (b"#!/bin/sh\n", own, "error: `app` is no program of Linux\n"),
    ] {
        let (passes, said) = binary_is_checked(content, platform);
        assert!(!passes && said.ends_with(told), "{said}");
    }
}

#[test]
fn what_a_binary_is_compiled_from_is_known_or_an_error() {
    assert_eq!(
        inputs_are_checked(Some("TOP/target/release/app: TOP/app/main.rs TOP/app/x.rs\n")),
        (true, String::new())
    );
    for reads in ["TOP/other/a\\ b.txt", "other/a\\ b.txt", "TOP/app/../other/a\\ b.txt", "TOP/other", "TOP/other/"] {
        let (passes, said) = inputs_are_checked(Some(&format!("TOP/target/release/app: TOP/app/main.rs {reads}\n")));
        let told = "error: `app` was compiled from `other/a b.txt`, which its image's name does not depend on: add \
                    `bin-inputs.app = [\"other/a b.txt\"]`\n";
        assert_eq!((passes, said.as_str()), (false, told), "{reads}");
    }
    let (passes, said) = inputs_are_checked(None);
    assert!(!passes && said.contains("error: nothing tells what `app` was compiled from"), "{said}");
}

#[test]
fn an_error_names_the_step() {
    let project = Project::hello_on_engine();
    project.edit("greeting/src/lib.rs", "pub fn", "pub fin");
    let run = project.run(&[]);
    run.fails_with(101, &["expected item", "process \"/bin/sh -c sh /run/steps/build-sources 'build --release'"]);
}

#[test]
fn what_stands_after_a_number_sign_in_prebuild_is_a_comment_of_that_command_alone() {
    let project = Project::hello_on_engine();
    project
        .write("runtime-image.toml", "prebuild = [\"build --release # x\", \"--version && cargo -V >'it''s' # y\"]\n");
    let (report, run) = project.json(&[]);
    let image = report["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO, "{}", run.stderr);
    assert!(run_image(image, &["cat", "its"]).starts_with("cargo "));
    let dates = run_image(image, &["sh", "-c", "stat -c %Y its /usr/local/bin/hello target/release/hello | sort -u"]);
    assert_eq!(dates, "315792000\n", "what is left has its date");
}

#[test]
fn of_a_binary_that_was_built_in_several_profiles_the_last_is_installed_and_a_debug_one_never_before_another() {
    for (user, commands, size_of) in [
        ("", "\"build --release\", \"build --profile small\", \"build\"", "small"),
        ("user = \"app\"\n", "\"build\"", "debug"),
    ] {
        let project = Project::hello_on_engine();
        project.write("runtime-image.toml", format!("{user}prebuild = [{commands}]\n")).edit(
            "Cargo.toml",
            "[workspace]",
            "[profile.small]\ninherits = \"release\"\nstrip = true\n[workspace]",
        );
        let (report, run) = project.json(&[]);
        let image = report["image"].as_str().unwrap();
        assert_eq!(run_image(image, &[]), HELLO, "{}", run.stderr);
        run_image(image, &["cmp", &format!("target/{size_of}/hello"), "/usr/local/bin/hello"]);
        let again = run_image(image, &["sh", "-c", "cargo build --release --offline 2>&1"]);
        assert!(commands == "\"build\"" || !again.contains("Compiling"), "{again}");
    }
}

/// What a line of shell prints after the step file `cargo.sh`, with `folder` in the place of `/run`.
fn after_cargo_sh(folder: &Path, line: &str) -> String {
    let steps = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/templates/steps");
    fs::create_dir_all(folder.join("steps")).unwrap();
    for name in ["common.sh", "cargo.sh"] {
        let text = fs::read_to_string(steps.join(name)).unwrap().replace("/run/", &format!("{}/", folder.display()));
        fs::write(folder.join("steps").join(name), text).unwrap();
    }
    let script = format!(". {}/steps/cargo.sh; {line}", folder.display());
    let output = Command::new("sh").args(["-euc", &script]).current_dir(folder).env("PATH", path_with(folder)).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// The folder's own `bin`, and what is in the system's folders.
fn path_with(folder: &Path) -> String {
    format!("{}/bin:/usr/bin:/bin", folder.display())
}

fn write_program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn files_of_any_name_are_copied_with_their_dates() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["-x", "a b", "two\n315705600 lines", "-- ", "plain"];
    let dated = |name: &&str| format!("315619200 {name}\0");
    fs::create_dir_all(folder.path().join("deps")).unwrap();
    fs::create_dir_all(folder.path().join("work")).unwrap();
    fs::write(folder.path().join("deps/.runtime-image-dates-deps"), names.iter().map(dated).collect::<String>())
        .unwrap();
    for name in names {
        fs::write(folder.path().join("deps").join(name), name).unwrap();
    }
    after_cargo_sh(folder.path(), "cd work; copy deps");
    for name in names {
        let copied = folder.path().join("work").join(name);
        assert_eq!(fs::read_to_string(&copied).unwrap(), name);
        let date = fs::metadata(&copied).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(date.as_secs(), 315_619_200, "{name:?}");
    }
}

#[test]
fn a_base_image_with_another_rust_than_the_toolchain_file_wants_is_told_of_unless_it_has_rustup() {
    let folder = tempfile::tempdir().unwrap();
    let told = |wanted: &str, version: &str| {
        fs::create_dir_all(folder.path().join("deps")).unwrap();
        fs::write(folder.path().join("deps/.runtime-image-toolchain"), wanted).unwrap();
        write_program(&folder.path().join("bin/rustc"), &format!("echo 'rustc {version} (x 2025-01-01)'"));
        after_cargo_sh(folder.path(), "warn_of_other_rust")
    };
    for (wanted, version) in [("1.85", "1.85.0"), ("1.85", "1.85.1"), ("1.85.1", "1.85.1")] {
        assert_eq!(told(wanted, version), "", "{wanted} and {version}");
    }
    let warning = "warning: the toolchain file wants Rust 1.8, and the base image has 1.85.0 and no rustup\n";
    assert_eq!(told("1.8", "1.85.0"), warning);
    assert!(told("1.85.0", "1.85.1").starts_with("warning: "));
    write_program(&folder.path().join("bin/rustup"), "");
    assert_eq!(told("1.8", "1.85.0"), "");
}

#[test]
fn the_version_that_a_toolchain_file_names_is_there_for_the_steps() {
    for (text, expected) in
        [("[toolchain]\nchannel = \"1.85\"\n", Some("1.85")), ("1.85.1\n", Some("1.85.1")), ("nightly\n", None)]
    {
        let project = Project::hello();
        project.write("rust-toolchain", text).ok(&["--dry-run", "--force-rebuild", "--build-folder", "../staged"]);
        let staged = fs::read_to_string(project.root.join("../staged/deps/.runtime-image-toolchain")).ok();
        assert_eq!(staged.as_deref(), expected);
    }
}

/// The text of a step is hashed with the part of the Dockerfile that starts it.
#[test]
fn another_text_of_a_step_gives_other_names() {
    let example = Project::hello();
    let call = CargoCall { folder: Some(example.root.to_str().unwrap().into()), ..CargoCall::default() };
    let (terminal, interrupt) = (Terminal::silent(), Interrupt::default());
    let found = Found::find(None, call, &interrupt).unwrap();
    let settings = Settings { base_image: Some("rust:1".to_owned()), ..Settings::default() };
    let options = found.options(settings, Vec::new(), &terminal).unwrap();
    let project = found.read(&options, &|| None, &terminal, &interrupt).unwrap();
    let before = project.hashes(&options);
    let moved = |change: fn(&mut runtime_image::staging::steps::Steps)| {
        let mut project = project.clone();
        change(&mut project.steps);
        let after = project.hashes(&options);
        [before.system != after.system, before.lock != after.lock, before.source != after.source]
    };
    assert_eq!(moved(|steps| steps.system = &[]), [true, true, false]);
    assert_eq!(moved(|steps| steps.dependencies = &[]), [false, true, false]);
    assert_eq!(moved(|steps| steps.runtime = &[]), [false, false, true]);
}
