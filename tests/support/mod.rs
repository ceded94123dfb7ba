//! What the tests share: projects in temporary folders, runs of the command, and the real engine.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

pub mod bridge;
pub mod engine;
pub mod openhands;
pub mod proxy;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

/// The command under test.
pub const COMMAND: &str = env!("CARGO_BIN_EXE_cargo-runtime-image");
/// The example's one binary prints this.
pub const HELLO: &str = "HELLO from the runtime image 1.0 (32 characters)\n";

const MANIFEST_DIR: &str = env!("CARGO_MANIFEST_DIR");

/// A project in a temporary folder, with a repository name of its own. Its images are removed when it is dropped.
pub struct Project {
    folder: TempDir,
    pub root: PathBuf,
    pub repository: String,
    pub base_image: String,
    /// The user's cache folder, with the locks of image names.
    pub caches: PathBuf,
}

/// What a run of the command left behind.
#[derive(Debug)]
pub struct Run {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Project {
    /// The example workspace, with a base image name that no engine is asked for.
    pub fn hello() -> Self {
        let project = Self::empty();
        copy(&Path::new(MANIFEST_DIR).join("examples/hello"), &project.root);
        project
    }

    /// The example workspace, on the engine.
    pub fn hello_on_engine() -> Self {
        Self::hello().on_engine()
    }

    /// A package `app` without dependencies, with this `main.rs`, on the engine.
    pub fn program(main: &str) -> Self {
        let project = Self::empty().on_engine();
        project
            .write("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
            .write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n")
            .write("src/main.rs", main);
        project
    }

    /// A folder with nothing in it.
    pub fn empty() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("demo");
        fs::create_dir(&root).unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self {
            caches: folder.path().join("cache"),
            folder,
            root,
            repository: format!("localhost/ri-test-{}-{number}", std::process::id()),
            base_image: "rust:1-bookworm".to_owned(),
        }
    }

    /// A clone of the project: the same files, image names and user in another folder.
    #[must_use]
    pub fn cloned(&self) -> Self {
        let mut clone = Self::empty();
        copy(&self.root, &clone.root);
        clone.repository.clone_from(&self.repository);
        clone.base_image.clone_from(&self.base_image);
        clone.caches.clone_from(&self.caches);
        clone
    }

    /// A workspace whose member `itoa` stands in the place of the dependency that the member `app` has. This prints 1.
    pub fn patch_itself(&self) -> &Self {
        let package = |name: &str, version: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2021\"\n{rest}")
        };
        self.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"app\", \"itoa\"]\nresolver = \"2\"\n[patch.crates-io]\nitoa = { path = \"itoa\" }\n",
        )
        .write("app/Cargo.toml", package("app", "0.1.0", "[dependencies]\nitoa = \"1\"\n"))
        .write("app/src/main.rs", "fn main() { println!(\"{}\", itoa::ONE) }\n")
        .write("itoa/Cargo.toml", package("itoa", "1.99.0", ""))
        .write("itoa/src/lib.rs", "pub const ONE: u8 = 1;\n")
        .write(
            "Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"itoa\",\n]\n\n\
             [[package]]\nname = \"itoa\"\nversion = \"1.99.0\"\n",
        )
    }

    /// With the engine's Rust base image. Fails where there is no engine.
    pub fn on_engine(mut self) -> Self {
        self.base_image = rust_base();
        self.write("salt", salt());
        self
    }

    /// A project that is built in seconds on every platform: it prints what `app` says and the machine it runs on.
    pub fn small() -> Self {
        let mut project = Self::empty();
        project.base_image = debian_base();
        project.write(
            "runtime-image.toml",
            "version = \"1.0\"\nlock-files = [\"lock\"]\nextra-deps = \"sort lock >/dependencies\"\nsource = [\"app\"]\n\
             prebuild = [\"sort app >/built\"]\ncmd = [\"sh\", \"app\"]\n",
        );
        project.write("lock", salt());
        project.write("app", "echo hello from $(uname -m)\n");
        project
    }

    /// As little as makes a custom project.
    pub fn bare_custom() -> Self {
        let project = Self::empty();
        project.write("runtime-image.toml", "version = \"1\"\n").write("app", "x");
        project
    }

    /// As little as makes a tree of OpenHands.
    pub fn bare_openhands() -> Self {
        let project = Self::empty();
        project
            .write("openhands/runtime/utils/runtime_templates/Dockerfile.j2", "FROM {{ base_image }}\nCOPY code/ /x/\n")
            .write("openhands/runtime/utils/runtime_build.py", "")
            .write("pyproject.toml", "version = \"1\"\n")
            .write("poetry.lock", "");
        project
    }

    /// The same project with its images in the test registry.
    pub fn in_registry(mut self) -> Self {
        self.repository = format!("{}/{}", registry(), self.repository.trim_start_matches("localhost/"));
        self
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// A file of this many bytes, all of them zero, which takes no space.
    pub fn write_sparse(&self, path: &str, size: u64) -> &Self {
        self.write(path, "");
        fs::File::options().write(true).open(self.root.join(path)).unwrap().set_len(size).unwrap();
        self
    }

    /// Replaces `from`, which must be there, by `to`.
    pub fn edit(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = self.read(path);
        assert!(text.contains(from), "{path} does not hold {from:?}");
        self.write(path, text.replace(from, to))
    }

    pub fn git_init(&self) -> &Self {
        self.git(&["init", "-q"]);
        self.git(&["add", "-A"]);
        self.git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"]);
        self
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").args(arguments).current_dir(&self.root).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The command, ready to run in the project: without configuration from this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(COMMAND);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RUNTIME_IMAGE_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("RUNTIME_IMAGE_BASE_IMAGE", &self.base_image)
            .env("RUNTIME_IMAGE_REPOSITORY", &self.repository)
            .env("RUNTIME_IMAGE_PROGRESS", "plain")
            .env("XDG_CACHE_HOME", &self.caches)
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null());
        command
    }

    /// The command on a terminal of this width, in which buildx shows what it shows a user. All that is shown is on
    /// stdout, and what is written to stdin is typed.
    pub fn command_on_terminal(&self, columns: usize, arguments: &[&str]) -> Command {
        let arguments = arguments.iter().map(|argument| format!(" '{argument}'")).collect::<Vec<_>>().concat();
        let line = format!("stty cols {columns} rows 30; exec {COMMAND} --progress auto --color never{arguments}");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        for (name, value) in self.command(&[]).get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(&self.root).stdin(Stdio::null()).env("TERM", "xterm");
        command
    }

    /// Runs the command, whatever comes of it.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().unwrap())
    }

    /// Runs the command, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{arguments:?} failed:\n{}", run.stderr);
        run
    }

    /// Runs the command, which must succeed, and gives its JSON object.
    pub fn json(&self, arguments: &[&str]) -> (Value, Run) {
        let run = self.ok(&[&["--message-format", "json"], arguments].concat());
        (serde_json::from_str(&run.stdout).unwrap(), run)
    }

    /// The three tags: source, lock, versioned.
    pub fn tags(&self, arguments: &[&str]) -> [String; 3] {
        let (json, _) = self.json(&[&["tags"], arguments].concat());
        ["source", "lock", "versioned"].map(|name| json["tags"][name].as_str().unwrap().to_owned())
    }

    pub fn name(&self, tag: &str) -> String {
        format!("{}:{tag}", self.repository)
    }

    /// The same project with a local repository, where this image has its name without the registry.
    pub fn known_locally(mut self, image: &str) -> Self {
        self.repository = format!("localhost/{}", self.repository.split_once('/').unwrap().1);
        docker(&["image", "tag", image, &self.name(image.rsplit_once(':').unwrap().1)]);
        self
    }

    /// The logs and temporary folders that are left where build folders are: below the target and the cache folder.
    pub fn left_beside_build_folders(&self) -> Vec<String> {
        let folders = [self.root.join("target/runtime-image"), self.caches.join("cargo-runtime-image")];
        let entries = folders.iter().flat_map(|folder| walkdir::WalkDir::new(folder).max_depth(4));
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.contains(".new-") || name.contains(".log")).collect()
    }

    /// What runs left that were killed: below the target folder, among the locks, and in the engine.
    pub fn left_over(&self) -> Vec<String> {
        let locks = fs::read_dir(self.caches.join("cargo-runtime-image/locks")).into_iter().flatten().flatten();
        let pushes = locks.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names = docker(&["image", "ls", "--format", "{{.Tag}}", &self.repository]);
        let on_the_way = names.lines().filter(|tag| tag.contains("_linux-")).map(str::to_owned);
        let beside = self.left_beside_build_folders();
        beside.into_iter().chain(pushes.filter(|name| name.contains(".push"))).chain(on_the_way).collect()
    }

    /// Removes its images from the engine, those of its binaries too, as far as there are any.
    pub fn remove_from_engine(&self) {
        let filters = ["", "-*"].map(|end| format!("reference={}{end}", self.repository));
        let listed = Command::new("docker")
            .args([
                "image",
                "ls",
                "--format",
                "{{.Repository}}:{{.Tag}}",
                "--filter",
                &filters[0],
                "--filter",
                &filters[1],
            ])
            .output();
        let names = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !names.trim().is_empty() {
            let _ = Command::new("docker").args(["image", "rm", "--force"]).args(names.lines()).output();
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.remove_from_engine();
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

impl Run {
    /// The crates that Cargo compiled inside the build.
    pub fn compiled(&self) -> Vec<String> {
        let crates = self.stderr.lines().filter_map(|line| line.split_once("Compiling ")?.1.split(' ').next());
        crates.map(str::to_owned).collect()
    }

    /// The image's name, printed alone.
    pub fn image(&self) -> &str {
        let name = self.stdout.strip_suffix('\n').unwrap();
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "stdout is {:?}", self.stdout);
        name
    }

    /// An error with this exit code, a hint, and all of `words`.
    pub fn fails_with(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "", "an error prints nothing on stdout");
        assert_eq!(self.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in:\n{}", self.stderr);
        }
        self
    }
}

/// What runs at once say of trees with the same dependencies, each with one of these numbers; each image is checked.
pub fn runs_at_once(first: &Project, numbers: &[usize]) -> Vec<Run> {
    let clones: Vec<Project> = numbers.iter().map(|_| first.cloned()).collect();
    let start = |(number, clone): (&usize, &Project)| {
        clone.write("app", format!("echo {number}\n"));
        clone.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = numbers.iter().zip(&clones).map(start).collect();
    let runs: Vec<Run> = children.into_iter().map(|child| Run::from(child.wait_with_output().unwrap())).collect();
    for (number, run) in numbers.iter().zip(&runs) {
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run_image(run.image(), &[]), format!("{number}\n"));
    }
    runs
}

/// The same for all projects of a test run and another for the next run: what is asserted to be built is not taken from
/// the engine's cache then.
pub fn salt() -> &'static str {
    static SALT: OnceLock<String> = OnceLock::new();
    SALT.get_or_init(|| format!("# {} {:?}\n", std::process::id(), SystemTime::now()))
}

/// A number below `end` that differs from call to call.
pub fn random(end: usize) -> usize {
    use std::hash::{BuildHasher as _, Hasher as _};
    let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
    usize::try_from(number % end.max(1) as u64).unwrap()
}

/// Runs docker, which must succeed, and gives its stdout.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs docker in another environment; it must succeed.
pub fn docker_with(environment: &[(&str, String)], arguments: &[&str]) -> String {
    let environment = environment.iter().map(|(name, value)| (*name, value));
    let output = Command::new("docker").args(arguments).envs(environment).output().expect("docker runs");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a registry has under this name: the JSON object that `docker buildx imagetools` gives.
pub fn in_registry(image: &str) -> Value {
    serde_json::from_str(&docker(&["buildx", "imagetools", "inspect", "--format", "{{json .}}", image])).unwrap()
}

/// The digest of what a registry has under this name.
pub fn registry_digest(image: &str) -> String {
    in_registry(image)["manifest"]["digest"].as_str().unwrap().to_owned()
}

/// Platform and digest of each image in an index, attestations left out.
pub fn manifests(image: &str) -> Vec<(String, String)> {
    let image = in_registry(image);
    let listed = image["manifest"]["manifests"].as_array().unwrap_or_else(|| panic!("{image} is not an index"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found: Vec<_> = listed
        .iter()
        .map(|manifest| (text(&manifest["platform"]["architecture"]), text(&manifest["digest"])))
        .filter(|(architecture, _)| architecture != "unknown")
        .collect();
    found.sort();
    found
}

/// Pushes one platform, and the other by another machine while the first is on its way to the registry: with neither
/// the first one's lock nor its build folder. Not side by side, because an engine that pushes the same layer twice at
/// once may push a manifest before it.
pub fn push_one_platform_while_the_other_is_pushed(
    on_its_way: impl Fn(&proxy::Request) -> bool + Send + Sync + 'static,
    environment: &[(&'static str, String)],
) {
    let proxy = proxy::Proxy::new(&registry(), |_, _| proxy::Answer::Forward);
    let mut project = Project::small();
    project.repository = format!("{}/{}", proxy.address, project.repository.trim_start_matches("localhost/"));
    let project = std::sync::Arc::new(project);
    let [own, other] = platforms();
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let (second, variables) = (project.clone(), environment.to_vec());
    proxy.follow(move |request, _| {
        if on_its_way(request) && is_first.swap(false, Ordering::SeqCst) {
            let folder = tempfile::tempdir().unwrap();
            let mut command = second.command(&["--push", "--platform", other, "--build-folder"]);
            command.arg(folder.path().join("context")).env("XDG_CACHE_HOME", folder.path());
            let run = Run::from(command.envs(variables.clone()).output().unwrap());
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        }
        proxy::Answer::Forward
    });
    let mut command = project.command(&["--push", "--platform", own]);
    let run = Run::from(command.envs(environment.to_vec()).output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for tag in project.tags(&[]) {
        assert_eq!(manifests(&project.name(&tag)).len(), 2, "{tag}:\n{}", run.stderr);
    }
}

/// Whether the engine has the containerd image store.
pub fn containerd_store() -> bool {
    docker(&["info", "--format", "{{json .DriverStatus}}"]).contains("io.containerd.snapshotter")
}

/// The platform of the engine, and one that it has to emulate.
pub fn platforms() -> [&'static str; 2] {
    match docker(&["version", "--format", "{{.Server.Arch}}"]).trim() {
        "arm64" => ["linux/arm64", "linux/amd64"],
        _ => ["linux/amd64", "linux/arm64"],
    }
}

/// What the image prints on this platform.
pub fn runs_on(image: &str, platform: &str) -> String {
    docker(&["run", "--rm", "--platform", platform, image])
}

/// The machine of a platform, as `uname -m` and Rust call it.
pub fn machine(platform: &str) -> &'static str {
    if platform == "linux/arm64" { "aarch64" } else { "x86_64" }
}

/// For what a program in the image is made, whatever the image says it is for: bytes 18 and 19 of an ELF file.
pub fn elf_machine(image: &str, platform: &str, program: &str) -> &'static str {
    let script = format!("od -An -tx1 -j18 -N2 {program} | tr -d ' '");
    match docker(&["run", "--rm", "--platform", platform, image, "sh", "-c", &script]).trim() {
        "3e00" => "x86_64",
        "b700" => "aarch64",
        other => panic!("{other} is neither"),
    }
}

/// What a container of the image prints.
pub fn run_image(image: &str, command: &[&str]) -> String {
    docker(&[&["run", "--rm", "--network", "none", image], command].concat())
}

/// The digest of an image that is there.
pub fn image_id(image: &str) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", image]).trim().to_owned()
}

pub fn image_exists(image: &str) -> bool {
    Command::new("docker").args(["image", "inspect", image]).output().unwrap().status.success()
}

pub fn label(image: &str, name: &str) -> String {
    docker(&["image", "inspect", "--format", &format!("{{{{index .Config.Labels {name:?}}}}}"), image])
        .trim()
        .to_owned()
}

/// Sends a signal to a process, or to a group with `-` before its number.
pub fn kill(signal: &str, target: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), "--", target]).status().unwrap().success());
}

/// The command lines of all processes that hold one of these words.
pub fn processes_naming(words: &[&str]) -> Vec<String> {
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    processes
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .collect()
}

/// The registry of the test engine.
pub fn registry() -> String {
    assert_engine();
    std::env::var("RI_REGISTRY").unwrap_or_else(|_| panic!("RI_REGISTRY is not set; {HOW}"))
}

/// A base image with Cargo: the test registry's, or the public one where a user's own engine is used.
pub fn rust_base() -> String {
    assert_engine();
    std::env::var("RI_REGISTRY")
        .map_or_else(|_| "rust:1-bookworm".to_owned(), |registry| format!("{registry}/rust:trixie"))
}

/// The run image that is chosen for slim images on [`rust_base`].
pub fn run_base() -> String {
    rust_base().replace("rust:trixie", "debian:trixie-slim").replace("rust:1-bookworm", "debian:bookworm-slim")
}

/// A small base image: the test registry's, or the public one where a user's own engine is used.
pub fn debian_base() -> String {
    assert_engine();
    std::env::var("RI_REGISTRY")
        .map_or_else(|_| "debian:bookworm".to_owned(), |registry| format!("{registry}/debian:bookworm"))
}

const HOW: &str = "run the tests with `make test`, or inside `scripts/engine run -- ...`";

fn assert_engine() {
    let answer = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    assert!(
        answer.is_ok_and(|output| output.status.success()),
        "this test needs a Docker engine, and none answers; {HOW}"
    );
}

/// The name of an image in the engine that is made of this Dockerfile, for the engine's own platform.
pub fn image_of(what: &str, dockerfile: &str) -> String {
    image_for(what, platforms()[0], dockerfile)
}

/// The name of an image in the engine that is made of this Dockerfile, for these platforms.
pub fn image_for(what: &str, platform: &str, dockerfile: &str) -> String {
    let (folder, name) = (tempfile::tempdir().unwrap(), format!("localhost/ri-test-{what}-{}", std::process::id()));
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();
    let context = folder.path().to_str().unwrap();
    docker(&["build", "--quiet", "--platform", platform, "--tag", &name, context]);
    name
}

/// Copies a folder as it is, without build artifacts.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "target") {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A folder with an executable `docker` that runs this script; put it first on PATH. The script sees the real one as
/// `$REAL_DOCKER`.
pub fn stand_in_docker(folder: &Path, script: &str) -> (String, String) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path).map(|folder| folder.join("docker")).find(|path| path.is_file());
    let file = folder.join("docker");
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    (format!("{}:{path}", folder.display()), real.unwrap_or_default().display().to_string())
}

/// Two contents with one MD5, which Wang, Feng, Lai and Yu published in 2004.
pub fn md5_twins() -> [Vec<u8>; 2] {
    let first = "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a\
                 085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0\
                 e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70";
    let digits = |text: &str| u8::from_str_radix(text, 16).unwrap();
    let first: Vec<u8> = (0..first.len()).step_by(2).map(|at| digits(&first[at..at + 2])).collect();
    let mut second = first.clone();
    [19, 45, 59, 83, 109, 123].into_iter().for_each(|at| second[at] ^= 0x80);
    assert_ne!(first, second);
    assert_eq!(runtime_image::hash::md5_hex(&first), runtime_image::hash::md5_hex(&second));
    [first, second]
}
