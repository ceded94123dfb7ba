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
fn calls_of_cargo(step: &str, commands: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("deps")).unwrap();
    let own = format!(
        "set -eu; target={0}; executables={0}/x; start() {{ :; }}; copy() {{ :; }}; finish() {{ :; }}",
        at("t").display()
    );
    fs::write(at("cargo.sh"), own).unwrap();
    fs::write(at("cargo"), "#!/bin/sh\necho \"$*\" >>\"${0%/*}/calls\"\n").unwrap();
    fs::set_permissions(at("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/templates/steps").join(step)).unwrap();
    let text = ["/run/steps/cargo.sh", "/run/deps", "/dev/shm/command"]
        .iter()
        .fold(text, |text, path| text.replace(path, at(path.rsplit('/').next().unwrap()).to_str().unwrap()));
    fs::write(at("step"), text).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = Command::new("sh").arg(at("step")).args(commands).env("PATH", path).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    fs::read_to_string(at("calls")).unwrap()
}

#[test]
fn both_steps_call_cargo_with_the_toolchain_that_a_command_names() {
    let commands = ["+stable build --release", "build # x", "+nightly\t--version && cargo -V", "-v test 'a b'"];
    let expected = "+stable build --release\nbuild\n+nightly --version\n-V\n-v test a b\n";
    assert_eq!(calls_of_cargo("build-dependencies", &commands), expected);
    let expected =
        "+stable --locked build --release\n--locked build\n+nightly --locked --version\n-V\n--locked -v test a b\n";
    assert_eq!(calls_of_cargo("build-sources", &commands), expected);
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
        ("", "\"build --profile small\", \"build --release\", \"build\"", "release"),
        ("user = \"app\"\n", "\"build\", \"build --release\", \"build --profile small\"", "small"),
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
