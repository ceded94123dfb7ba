//! Building with a real podman, into a store of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use support::{HELLO, Project, Run, rust_base};

/// Where this run's images are: not among the user's. The base image stays there, so that it is pulled once.
fn store() -> &'static Path {
    static STORE: OnceLock<PathBuf> = OnceLock::new();
    STORE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("podman");
        // Of 50 characters at most, says podman, and no other store's.
        let mut hasher = DefaultHasher::new();
        folder.hash(&mut hasher);
        let runtime = std::env::temp_dir().join(format!("ri-podman-{:016x}", hasher.finish()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
        write(
            "storage.conf",
            format!(
                "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
                folder.join("images").display(),
                runtime.display()
            ),
        );
        // The test registry speaks plain HTTP.
        let insecure = |registry| format!("[[registry]]\nlocation = {registry:?}\ninsecure = true\n");
        write("registries.conf", std::env::var("RI_REGISTRY").map(insecure).unwrap_or_default());
        // podman raises limits, which not every root may do.
        write(
            "containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n".into(),
        );
        folder
    })
}

fn in_store(command: &mut Command) -> &mut Command {
    for (variable, file) in [
        ("CONTAINERS_STORAGE_CONF", "storage.conf"),
        ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
        ("CONTAINERS_CONF", "containers.conf"),
    ] {
        command.env(variable, store().join(file));
    }
    // podman pulls nothing if the folder that this names has no credentials in it.
    command.env_remove("DOCKER_CONFIG")
}

fn podman(arguments: &[&str]) -> String {
    let output =
        in_store(Command::new("podman").args(arguments)).output().expect("this test needs podman (package `podman`)");
    assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run_image(image: &str, command: &[&str]) -> String {
    podman(&[&["run", "--rm", "--network", "none", image], command].concat())
}

/// What is inspected of an image: `{{.Id}}` and the like.
fn inspected(image: &str, format: &str) -> String {
    podman(&["image", "inspect", "--format", format, image]).trim().to_owned()
}

/// The example, to be built by podman. Its images are removed when it is dropped.
struct PodmanProject(Project);

impl PodmanProject {
    fn new() -> Self {
        Self::of(Project::hello_on_engine())
    }

    fn of(project: Project) -> Self {
        static PRUNED: Once = Once::new();
        // What earlier runs left without a name, in the tests' own store.
        PRUNED.call_once(|| drop(podman(&["image", "prune", "--force"])));
        Self(project)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(&["--engine", "podman"]);
        command.args(arguments);
        if !arguments.contains(&"--") {
            // There need be no bridge for podman here.
            command.args(["--", "--network", "host"]);
        }
        in_store(&mut command);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> (Value, Run) {
        let run = self.run(&[&["--message-format", "json"], arguments].concat());
        assert_eq!(run.code, Some(0), "{arguments:?} failed:\n{}", run.stderr);
        (serde_json::from_str(&run.stdout).unwrap(), run)
    }

    fn image_names(&self) -> Vec<String> {
        image_names(&format!("{}:", self.0.repository))
    }
}

impl Drop for PodmanProject {
    fn drop(&mut self) {
        remove_images(&self.image_names());
    }
}

/// The names that start with this.
fn image_names(start: &str) -> Vec<String> {
    let listed = podman(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    listed.lines().filter(|name| name.starts_with(start)).map(str::to_owned).collect()
}

/// Removes names, and the images that have no other.
fn remove_images(names: &[String]) {
    if !names.is_empty() {
        let _ = in_store(Command::new("podman").args(["image", "rm", "--force"]).args(names)).output();
    }
}

fn stand_in(name: &str, folder: &Path, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_project_is_built_reused_and_built_again_from_its_lock_image_after_a_changed_line() {
    let project = PodmanProject::new();
    let (plan, _) = project.json(&["plan"]);
    assert_eq!((&plan["action"], &plan["build_from"]), (&"build".into(), &"scratch".into()));

    let (first, run) = project.json(&[]);
    let image = first["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO, "{}", run.stderr);
    assert_eq!(first["confirmed"]["store"], "engine");
    assert_eq!(first["confirmed"]["digest"], format!("sha256:{}", inspected(image, "{{.Id}}")));
    // podman counts its own notes of the image too.
    let with_notes: u64 = inspected(image, "{{.Size}}").parse().unwrap();
    let size = first["size"]["all"].as_u64().unwrap();
    assert!(size <= with_notes && with_notes - size < 100_000, "{size} of {with_notes}");
    let lock = project.0.name(first["tags"]["lock"].as_str().unwrap());
    let versioned = project.0.name(first["tags"]["versioned"].as_str().unwrap());
    assert_eq!(inspected(&lock, "{{.Id}}"), inspected(&versioned, "{{.Id}}"));
    assert_eq!(inspected(&lock, "{{index .Labels \"dev.runtime-image.kind\"}}"), "cargo");
    assert_eq!(run_image(&lock, &["find", "/workspace", "-name", "*.rs"]), "", "the lock image holds sources");

    // It is as fresh for Cargo as when it was built.
    let again = run_image(image, &["sh", "-c", "cargo build --release --offline 2>&1"]);
    assert!(again.contains("Finished") && !again.contains("Compiling"), "{again}");

    let (reused, run) = project.json(&[]);
    assert_eq!((&reused["action"], &reused["confirmed"]), (&"reuse".into(), &first["confirmed"]));
    assert!(!run.stderr.contains("STEP"), "{}", run.stderr);

    project.0.edit("greeting/src/lib.rs", "hello", "bonjour");
    let (changed, run) = project.json(&[]);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    assert!(!run.compiled().iter().any(|name| name == "itoa"), "{}", run.stderr);
    let bonjour = "BONJOUR from the runtime image 1.0 (34 characters)\n";
    assert_eq!(run_image(changed["image"].as_str().unwrap(), &[]), bonjour);

    // The same inputs make the same image.
    podman(&["image", "rm", changed["image"].as_str().unwrap()]);
    let (again, _) = project.json(&[]);
    assert_eq!((&again["action"], &again["confirmed"]), (&"build".into(), &changed["confirmed"]));

    let (forced, run) = project.json(&["--force-rebuild"]);
    assert_eq!(forced["build_from"], "scratch");
    assert!(run.compiled().iter().any(|name| name == "itoa"), "it was taken from a cache: {}", run.stderr);
    assert_eq!(run_image(forced["image"].as_str().unwrap(), &[]), bonjour);
}

#[test]
fn other_dependencies_are_built_on_the_versioned_image_with_secrets_and_certificates() {
    let project = PodmanProject::new();
    project.0.write("../token", "hush");
    let asks = "test \"$(cat /run/secrets/token)\" = hush && test -s \"$SSL_CERT_FILE\" && echo the secrets are there";
    let arguments = [
        "--secret",
        "id=token,src=../token",
        "--ca-bundle",
        "/etc/ssl/certs/ca-certificates.crt",
        "--extra-deps",
        asks,
    ];
    let (_, run) = project.json(&arguments);
    assert!(run.stderr.lines().any(|line| line == "the secrets are there"), "{}", run.stderr);
    project.0.edit("hello/Cargo.toml", "itoa.workspace = true", "itoa.workspace = true\ncfg-if = \"1\"");
    let (report, run) = project.json(&arguments);
    assert_eq!(report["build_from"], "versioned", "{}", run.stderr);
    assert!(!run.compiled().iter().any(|name| name == "itoa"), "{}", run.stderr);
    let image = report["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO);
    assert_eq!(run_image(image, &["sh", "-c", "cat /run/secrets/token 2>/dev/null || echo none"]), "none\n");
}

#[test]
fn a_dry_run_and_names_need_no_podman() {
    let project = PodmanProject::new();
    for arguments in [&["tags"][..], &["--dry-run", "--force-rebuild"]] {
        let mut command = project.command(arguments);
        let cargo = std::env::var("CARGO").unwrap();
        let run = Run::from(command.env("PATH", "/nonexistent").env("CARGO", cargo).output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    assert_eq!(project.image_names(), Vec::<String>::new());
}

#[rstest]
#[case(&["--push", "--repository", "registry.example/x"], "--push")]
#[case(&["--platform", "linux/amd64,linux/arm64"], "linux/amd64,linux/arm64")]
#[case(&["--cache", "local"], "--cache")]
#[case(&["--pin-base"], "--pin-base")]
#[case(&["--force-rebuild", "--provenance=max"], "--provenance")]
fn what_podman_cannot_do_is_refused_before_anything_is_done(#[case] arguments: &[&str], #[case] what: &str) {
    let project = PodmanProject::new();
    project.run(arguments).fails_with(1, &[what, "podman", "hint: ", "--engine docker"]);
    assert!(!project.0.root.join("target").exists(), "something was written");
}

#[test]
fn without_podman_the_error_says_what_to_install() {
    let project = PodmanProject::new();
    for arguments in [&[][..], &["plan"], &["--force-rebuild"]] {
        let mut command = project.command(arguments);
        command.env("PATH", "/nonexistent").env("CARGO", std::env::var("CARGO").unwrap());
        Run::from(command.output().unwrap())
            .fails_with(1, &["cannot find `podman`", "hint: install podman", "--engine docker"]);
        assert!(!project.0.root.join("target").exists());
    }
}

#[test]
fn podman_builds_where_it_is_alone_or_goes_by_the_name_of_docker() {
    let project = Project::hello();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let plan = || {
        let mut command = project.command(&["plan"]);
        command.env("PATH", &path).env("CARGO", std::env::var("CARGO").unwrap());
        Run::from(command.output().unwrap())
    };
    stand_in("podman", folder.path(), "echo 'Error: this is podman' >&2; exit 125");
    plan().fails_with(1, &["cannot ask podman for its images", "this is podman", "hint: "]);
    stand_in("docker", folder.path(), &format!("exec {path}/podman \"$@\""));
    plan().fails_with(1, &["cannot ask podman for its images"]);
    stand_in("docker", folder.path(), "echo 'Error: this is docker' >&2; exit 1");
    plan().fails_with(1, &["this is docker"]);
}

#[test]
fn a_failing_build_ends_with_101_and_leaves_no_name() {
    let project = PodmanProject::new();
    project.0.edit("greeting/src/lib.rs", "pub fn", "pub fin");
    let run = project.run(&[]);
    assert_eq!(run.code, Some(101), "{}", run.stderr);
    let quiet = project.run(&["-q"]);
    quiet.fails_with(101, &["` failed in step \"build-sources\"", "\n  error: expected ", "hint: the build folder `"]);
    assert!(quiet.stderr.starts_with("error: the build of "), "more is said with `-q`:\n{}", quiet.stderr);
    // Each content has a folder of its own, and the second build starts from the dependencies.
    let told = |run: &Run| {
        let error = &run.stderr[run.stderr.find("error: the build of ").unwrap()..];
        let parts =
            error.split('/').filter(|part| part.len() != 16 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        parts.collect::<Vec<_>>().join("/")
    };
    assert_eq!(told(&run), told(&quiet));
    let log = quiet.stderr.split("note: the whole log is in `").nth(1).unwrap().split('`').next().unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("STEP "));
    assert_eq!(project.image_names().len(), 2, "lock and versioned tag, and no source tag");
    let run = project.run(&["--base-image", "localhost/no-such-image:1"]);
    run.fails_with(101, &["hint: podman has no image `localhost/no-such-image:1`"]);
}

#[rstest]
#[case::int_to_the_group_as_from_a_terminal("INT", true, 130)]
#[case::term("TERM", false, 143)]
fn a_signal_ends_the_build_and_leaves_nothing(#[case] signal: &str, #[case] group: bool, #[case] code: i32) {
    let project = PodmanProject::new();
    let containers = || podman(&["ps", "--all", "--external", "--quiet"]).lines().count();
    let before = containers();
    // A time that is in no other command line.
    let step = format!("sleep {}.{}", 300 + code, std::process::id());
    let mut command = project.command(&["-q", "--extra-deps", &step]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().unwrap();
    let runs = || Command::new("pgrep").args(["--full", "--exact", &step]).output().unwrap().status.success();
    assert!((0..300).any(|_| runs() || child.try_wait().unwrap().is_some() || pause()), "the step never ran");
    let target = format!("{}{}", if group { "-" } else { "" }, child.id());
    assert!(Command::new("kill").args([&format!("-{signal}"), "--", &target]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(code));
    assert!((0..30).any(|_| !runs() || pause()), "the step is left running");
    assert_eq!(containers(), before, "a container is left");
    assert_eq!(project.image_names(), Vec::<String>::new());
}

/// For something that will be so in a moment.
fn pause() -> bool {
    std::thread::sleep(Duration::from_millis(100));
    false
}

#[test]
fn a_short_name_means_docker_hub_unless_podman_built_it_itself() {
    let mut project = PodmanProject::of(Project::empty().on_engine());
    let base = rust_base();
    podman(&["pull", "--quiet", &base]);
    let short = project.0.repository.replace("localhost", "team");
    project.0.base_image = format!("{short}-base:1");
    project.0.write("runtime-image.toml", "version = \"1\"\ntemplate = \"Dockerfile.j2\"\n").write(
        "Dockerfile.j2",
        "FROM {{ base_image }} AS base\nFROM base\nRUN cargo --version\nCMD [\"echo\", \"done\"]\n",
    );
    for registry in ["docker.io", "localhost"] {
        let full = format!("{registry}/{short}-base:1");
        podman(&["tag", &base, &full]);
        let (report, _) = project.json(&["--force-rebuild", "--repository", &short]);
        // podman finds what is printed.
        let image = report["image"].as_str().unwrap();
        assert!(image.starts_with(&short));
        assert_eq!(run_image(image, &[]), "done\n");
        podman(&["image", "rm", &full]);
    }
    remove_images(&image_names(&format!("docker.io/{short}")));
}

#[test]
fn a_template_of_another_kind_keeps_all_that_it_says() {
    let project = PodmanProject::of(Project::empty().on_engine());
    project
        .0
        .write("runtime-image.toml", "version = \"1.2.3\"\ntemplate = \"Dockerfile.j2\"\ncmd = [\"/greet\"]\n")
        .write("greet", "#!/bin/sh\ncat /word\n")
        .write(
            "Dockerfile.j2",
            "FROM {{ base_image }}\nARG WORD\nRUN echo $WORD >/word\nCOPY code/greet /greet\nRUN chmod +x /greet\n\
             HEALTHCHECK CMD true\nCMD {{ cmd }}\n",
        );
    for word in ["salut", "hola"] {
        let (report, run) = project.json(&["--build-arg", &format!("WORD={word}")]);
        let image = report["image"].as_str().unwrap();
        assert_eq!(run_image(image, &[]), format!("{word}\n"), "{}", run.stderr);
        assert_eq!(inspected(image, "{{index .Labels \"dev.runtime-image.kind\"}}"), "custom");
        assert!(inspected(image, "{{json .}}").contains("Healthcheck"));
    }
}
