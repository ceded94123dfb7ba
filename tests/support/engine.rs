//! A further engine, as another machine would have.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Project, Run, docker_with};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/engine");

/// An engine that ends with the test.
pub struct OtherEngine {
    name: &'static str,
    pub environment: Vec<(&'static str, String)>,
    disk: Option<tempfile::TempDir>,
}

impl OtherEngine {
    pub fn start(name: &'static str) -> Self {
        Self::start_by(name, Command::new(SCRIPT))
    }

    /// An engine whose images lie on a disk of this size, as `mount` takes it. The disk is seen by the engine alone, and
    /// is not below its folder, where `scripts/engine` unmounts what an engine has left.
    pub fn with_disk(name: &'static str, size: &str) -> Self {
        let (folder, disk) = (folder(name), tempfile::tempdir().unwrap());
        let images = folder.join("containerd");
        std::fs::create_dir_all(&folder).unwrap();
        let _ = std::fs::remove_dir_all(&images);
        let _ = std::fs::remove_file(&images);
        std::os::unix::fs::symlink(disk.path(), &images).unwrap();
        let mount = format!("mount -t tmpfs -o size={size} none {} && exec {SCRIPT} \"$@\"", disk.path().display());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", &mount, "sh"]);
        let mut engine = Self::start_by(name, command);
        engine.disk = Some(disk);
        engine
    }

    fn start_by(name: &'static str, up: Command) -> Self {
        scripts_engine(up, "up", name);
        let exports = scripts_engine(Command::new(SCRIPT), "env", name);
        let value = |name: &str| {
            let line = exports.lines().find_map(|line| line.strip_prefix(&format!("export {name}=")));
            line.unwrap().to_owned()
        };
        Self { name, environment: ["DOCKER_HOST", "DOCKER_CONFIG"].map(|name| (name, value(name))).into(), disk: None }
    }

    /// Starts it again after its daemon was killed.
    pub fn start_again(&self) {
        scripts_engine(Command::new(SCRIPT), "up", self.name);
    }

    /// The process of the daemon.
    pub fn process(&self) -> String {
        std::fs::read_to_string(folder(self.name).join("dockerd.pid")).unwrap().trim().to_owned()
    }

    pub fn command(&self, project: &Project, arguments: &[&str]) -> Command {
        let mut command = project.command(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn json(&self, project: &Project, arguments: &[&str]) -> (Value, Run) {
        let mut command = self.command(project, &[&["--message-format", "json"], arguments].concat());
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, Some(0), "{arguments:?} failed:\n{}", run.stderr);
        (serde_json::from_str(&run.stdout).unwrap(), run)
    }

    /// Removes all that it has built and pulled, now and in earlier runs.
    pub fn empty(&self) {
        self.docker(&["system", "prune", "--all", "--force"]);
        self.docker(&["buildx", "prune", "--all", "--force"]);
    }

    pub fn docker(&self, arguments: &[&str]) -> String {
        docker_with(&self.environment, arguments)
    }
}

/// Where `scripts/engine` keeps this engine.
fn folder(name: &str) -> PathBuf {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let caches = || {
        let caches = variable("XDG_CACHE_HOME").unwrap_or_else(|| format!("{}/.cache", std::env::var("HOME").unwrap()));
        format!("{caches}/runtime-image-engine")
    };
    Path::new(&variable("RI_ENGINE_HOME").unwrap_or_else(caches)).join("engines").join(name)
}

fn scripts_engine(mut script: Command, command: &str, name: &str) -> String {
    let output = script.args([command, "--name", name]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "scripts/engine {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for OtherEngine {
    fn drop(&mut self) {
        // Where the test has failed already, its own message is the one to read.
        let down = Command::new(SCRIPT).args(["down", "--name", self.name]).status();
        assert!(std::thread::panicking() || down.unwrap().success());
        if self.disk.is_some() {
            let _ = std::fs::remove_file(folder(self.name).join("containerd"));
        }
    }
}
