//! Real trees of OpenHands: wheels from the Python package index, checked, unpacked and kept in the user's cache
//! folder.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runtime_image::hash::md5_hex;
use serde_json::Value;

use super::copy;

/// The releases whose answers are in `tests/fixtures/openhands`.
pub const RELEASES: [&str; 3] = ["0.20.0", "0.45.0", "0.62.0"];
/// What the original's functions need, at the versions that its answers were computed with or later.
const PACKAGES: [&str; 6] =
    ["attrs==26.1.0", "dirhash==0.5.0", "jinja2==3.1.6", "markupsafe==3.0.3", "pathspec==1.1.1", "scantree==0.0.4"];

/// The original's answers for a release.
pub fn answers(release: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/openhands/{release}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A copy of a release's tree in `folder`, as its wheel holds it.
pub fn tree(release: &str, folder: &Path) -> PathBuf {
    let root = folder.join("tree");
    copy(&cached(&format!("openhands-{release}"), |new| unpack(release, new)), &root);
    if let Some(created) = answers(release)["created_dir"].as_str() {
        fs::create_dir(root.join(created)).unwrap();
        fs::write(root.join(created).join("note.md"), "one\n").unwrap();
    }
    root
}

fn unpack(release: &str, folder: &Path) {
    let wheels = folder.with_extension("wheels");
    let package = format!("openhands-ai=={release}");
    pip(&["download", "--no-deps", "--python-version", "3.12", "--only-binary", ":all:", &package, "--dest"], &wheels);
    let expected = answers(release);
    let wheel = wheels.join(expected["wheel"].as_str().unwrap());
    let sum = output(Command::new("sha256sum").arg(&wheel));
    assert_eq!(sum.split(' ').next(), expected["sha256"].as_str(), "{} is another file", wheel.display());
    output(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder));
    fs::remove_dir_all(wheels).unwrap();
}

/// Asks the original's own functions: for each tree its questions, in one Python process.
pub fn ask_original(questions: &[(PathBuf, Vec<Value>)]) -> Vec<Vec<Value>> {
    let packages = cached("openhands-packages", |new| {
        pip(&[&["install"], PACKAGES.as_slice(), &["--target"]].concat(), new);
    });
    let trees: Vec<Value> = questions
        .iter()
        .map(|(root, questions)| serde_json::json!({ "root": root.to_str().unwrap(), "questions": questions }))
        .collect();
    let mut python = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/openhands/original.py"))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUTF8", "1")
        .env_remove("OH_RUNTIME_RUNTIME_IMAGE_REPO")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(Value::from(trees).to_string().as_bytes()).unwrap();
    let answer = python.wait_with_output().unwrap();
    assert!(answer.status.success(), "the original's functions could not be asked");
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// `<path> <MD5>` of every file and link below `root`, sorted, as the original's answers spell it.
pub fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let content = fs::read_link(entry.path()).map(|target| target.to_str().unwrap().as_bytes().to_vec());
                let digest = md5_hex(&content.or_else(|_| fs::read(entry.path())).unwrap());
                let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                lines.push(format!("{path} {digest}"));
            }
        }
    }
    lines.sort();
    lines
}

/// A folder that is made once and kept.
fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| std::env::home_dir().unwrap().join(".cache"), PathBuf::from)
        .join("runtime-image-tests");
    let folder = home.join(name);
    if !folder.exists() {
        fs::create_dir_all(&home).unwrap();
        let new = tempfile::tempdir_in(&home).unwrap();
        make(&new.path().join("new"));
        // Another test may have been faster.
        let _ = fs::rename(new.path().join("new"), &folder);
    }
    folder
}

fn pip(arguments: &[&str], folder: &Path) {
    let run = Command::new("python3").args(["-m", "pip", "--quiet"]).args(arguments).arg(folder).output().unwrap();
    assert!(
        run.status.success(),
        "pip could not fetch what this test compares with; it needs the Python package index:\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

fn output(command: &mut Command) -> String {
    let run = command.output().unwrap();
    assert!(run.status.success(), "{command:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}
