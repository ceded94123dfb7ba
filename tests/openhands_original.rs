//! The original's own functions and ours, asked the same of generated trees and base image names.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use runtime_image::image::naming::OriginalRules;
use runtime_image::{Naming, Tags, runtime_image_repo_and_tag};
use serde_json::{Value, json};
use support::openhands::{ask_original, listing, tree};
use support::{Project, Run};

const TREES: usize = 60;
const BASE_IMAGES: usize = 400;
const HASH: &str = "b08f254d76b1c6a7ad924708c0032251";
const RULES: &str = "openhands/runtime/utils/runtime_build.py";

/// One entry of a generated tree, below `openhands/`.
#[derive(Debug, Clone)]
enum Entry {
    File(Vec<u8>),
    Folder,
    Link(String),
}

fn name() -> impl Strategy<Value = String> {
    let odd = [
        ".hidden",
        "__pycache__",
        "a.pyc",
        ".pyc",
        "x.md",
        "README.MD",
        "-dash",
        "a b",
        "it's \"quoted\"",
        "back\\slash",
        "tab\there",
        "ünïcöde",
        "e\u{301}",
        "é",
        "雪",
        "🦀",
        "$HOME",
        "*",
        "[a-z]",
        "!not",
        "#no",
        "con",
        "A",
        "a",
        "B",
        "~",
    ];
    prop_oneof![3 => proptest::sample::select(odd.to_vec()).prop_map(str::to_owned), 1 => "[a-c]{1,2}"]
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec(name(), 1..4).prop_map(|names| names.join("/"))
}

fn entry() -> impl Strategy<Value = Entry> {
    let content = prop_oneof![
        Just(Vec::new()),
        Just(b"one\r\ntwo\r\n".to_vec()),
        Just(b"one\ntwo\n".to_vec()),
        Just("ü\u{0}\n".as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let target = prop_oneof![
        3 => path(),
        1 => path().prop_map(|path| format!("../{path}")),
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just("nowhere".to_owned()),
        1 => Just("../outside".to_owned()),
    ];
    prop_oneof![6 => content.prop_map(Entry::File), 1 => Just(Entry::Folder), 1 => target.prop_map(Entry::Link)]
}

fn generated<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Writes a generated tree. An entry whose place is taken, by a file in its way, say, is left out.
fn write(root: &Path, entries: &[(String, Entry)]) {
    fs::create_dir_all(root.join("outside/a")).unwrap();
    fs::write(root.join("outside/a/b"), "outside").unwrap();
    for (path, entry) in entries {
        let path = root.join("openhands").join(path);
        let exists = path.symlink_metadata().is_ok();
        // Not through a link: it may lead anywhere.
        let through_link = path.ancestors().skip(1).take_while(|folder| *folder != root).any(Path::is_symlink);
        if exists || through_link || fs::create_dir_all(path.parent().unwrap()).is_err() {
            continue;
        }
        match entry {
            Entry::File(content) => fs::write(path, content).unwrap(),
            Entry::Folder => fs::create_dir(path).unwrap(),
            Entry::Link(target) => symlink(target, path).unwrap(),
        }
    }
}

fn with_rules(root: &Path, real: &Path) {
    for path in [
        RULES,
        "openhands/version.py",
        "openhands/__init__.py",
        "openhands/runtime/utils/runtime_templates/Dockerfile.j2",
    ] {
        let to = root.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(real.join(path), to).unwrap();
    }
    fs::write(root.join("pyproject.toml"), "[tool.poetry]\r\nversion = \"1.2.3\"\r\n").unwrap();
    fs::write(root.join("poetry.lock"), "lock\n").unwrap();
    fs::create_dir_all(root.join("microagents/.hidden")).unwrap();
    fs::write(root.join("microagents/.hidden/note.md"), "note\n").unwrap();
    fs::write(root.join("microagents/x.pyc"), "pyc\n").unwrap();
}

fn is_error(answer: &Value) -> bool {
    answer.get("error").is_some()
}

fn ours(project: &Project) -> (Run, Option<String>, Vec<String>) {
    let folder = project.root.join("../context");
    let _ = fs::remove_dir_all(&folder);
    let arguments = [
        "--base-image",
        "debian",
        "--force-rebuild",
        "--build-folder",
        folder.to_str().unwrap(),
        "--message-format",
        "json",
    ];
    let run = project.run(&arguments);
    let json: Option<Value> = serde_json::from_str(&run.stdout).ok();
    let tag = json.map(|json| json["tags"]["source"].as_str().unwrap().to_owned());
    if tag.is_some() {
        fs::remove_file(folder.join("config.sh")).unwrap();
    }
    (run, tag, listing(&folder))
}

#[test]
fn generated_trees_have_the_originals_names_and_build_folders() {
    let real = tempfile::tempdir().unwrap();
    let real = tree("0.62.0", real.path());
    let entries = proptest::collection::vec((path(), entry()), 0..12);
    let projects: Vec<Project> = generated(&entries, TREES)
        .iter()
        .map(|entries| {
            let project = Project::empty();
            with_rules(&project.root, &real);
            write(&project.root, entries);
            project
        })
        .collect();
    let questions = ["source", "lock", "listing"].map(|ask| json!({ "ask": ask })).to_vec();
    let asked: Vec<(PathBuf, Vec<Value>)> =
        projects.iter().map(|project| (project.root.clone(), questions.clone())).collect();
    let (mut same, mut only_ours) = (0, 0);
    for (project, answers) in projects.iter().zip(ask_original(&asked)) {
        let (run, tag, files) = ours(project);
        let root = project.root.display();
        assert_eq!(run.code, Some(0), "{root}: {}", run.stderr);
        let [source, lock, folder] = &answers[..] else { panic!("three answers were expected") };
        if is_error(source) || is_error(folder) {
            // The original cannot: a link to nothing, or to a folder around it.
            let error = if is_error(source) { source } else { folder }["error"].as_str().unwrap();
            let known = ["SymlinkRecursionError", "FileNotFoundError", "Error: [(", "OSError", "NotADirectoryError"];
            assert!(known.iter().any(|known| error.starts_with(known)), "{root}: {error}");
            only_ours += 1;
            continue;
        }
        let [source, lock] = [source, lock].map(|answer| answer.as_str().unwrap());
        assert_eq!(tag.unwrap(), format!("oh_v1.2.3_{lock}_{source}"), "{root}");
        let expected: Vec<&str> = folder.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(files, expected, "{root}");
        same += 1;
    }
    assert!(same >= 25 && only_ours >= 5, "{same} trees were compared, {only_ours} are beyond the original");
}

#[test]
fn what_cannot_be_staged_is_refused_by_name() {
    let real = tempfile::tempdir().unwrap();
    let real = tree("0.62.0", real.path());
    let project = Project::empty();
    with_rules(&project.root, &real);
    let folder = project.root.join("openhands/odd");
    fs::create_dir(&folder).unwrap();
    let fifo = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    project.run(&["tags"]).fails_with(1, &["odd/pipe", "neither a file, a folder nor a link"]);
    fs::remove_file(fifo).unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"caf\xe9.py")), "").unwrap();
    project.run(&["tags"]).fails_with(1, &["caf\u{fffd}.py", "not UTF-8"]);
}

/// Something that a base image may be called, valid or not.
fn base_image() -> impl Strategy<Value = String> {
    let registry = prop_oneof![
        4 => Just(String::new()),
        1 => Just("docker.io/".to_owned()),
        1 => Just("ghcr.io/".to_owned()),
        1 => Just("localhost/".to_owned()),
        1 => Just("localhost:5000/".to_owned()),
        1 => Just("ghcr.io/openhands/runtime/".to_owned()),
        1 => Just("mirror.example/ghcr.io/openhands/".to_owned()),
    ];
    let component = prop_oneof![4 => "[a-z0-9]{1,12}", 1 => "[a-z]{1,4}[._-][a-z]{1,4}", 1 => "[a-z]{20,40}", 1 => Just("runtime".to_owned()), 1 => "[A-Z]{1,3}"];
    let tag = prop_oneof![
        2 => Just(String::new()),
        4 => "[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}".prop_map(|tag| format!(":{tag}")),
        1 => "[a-z0-9]{100,128}".prop_map(|tag| format!(":{tag}")),
        1 => "[0-9a-f]{64}".prop_map(|digest| format!("@sha256:{digest}")),
    ];
    (registry, proptest::collection::vec(component, 1..5), tag)
        .prop_map(|(registry, path, tag)| format!("{registry}{}{tag}", path.join("/")))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[test]
#[allow(clippy::too_many_lines, reason = "one comparison, told from its beginning to its end")]
fn generated_base_images_have_the_originals_tags_wherever_these_are_valid() {
    let real = tempfile::tempdir().unwrap();
    let images = generated(&base_image(), BASE_IMAGES);
    let mut cases: BTreeMap<&str, usize> = BTreeMap::new();
    for release in ["0.20.0", "0.62.0"] {
        let folder = real.path().join(release);
        fs::create_dir(&folder).unwrap();
        let root = tree(release, &folder);
        let questions: Vec<Value> = images
            .iter()
            .flat_map(|image| ["repo_and_tag", "versioned"].map(|ask| json!({ "ask": ask, "base_image": image })))
            .collect();
        let repository = if release == "0.20.0" { "ghcr.io/all-hands-ai/runtime" } else { "ghcr.io/openhands/runtime" };
        let rules = OriginalRules { keeps_slashes: release == "0.20.0" };
        let naming = Naming { original: Some(rules), ..Naming::new(repository, "oh", release).unwrap() };
        let answers = ask_original(&[(root, questions)]).remove(0);
        for (image, answers) in images.iter().zip(answers.chunks_exact(2)) {
            let Ok((our_repository, our_tag)) = runtime_image_repo_and_tag(image, &naming) else {
                assert!(
                    image.bytes().any(|byte| byte.is_ascii_uppercase()) || image.len() > 255,
                    "{image} was refused"
                );
                *cases.entry("refused: not a name that an engine takes").or_default() += 1;
                continue;
            };
            let tags = Tags::original(&naming, image, HASH, HASH, None).unwrap();
            assert!(is_tag(&our_tag), "{image} gave {our_tag}");
            let case = match answers[0].as_array() {
                None => "the original raises",
                Some(_) if image.contains(":5000/") => "the original takes the port for a tag",
                Some(answer) => {
                    let [repository, tag] = [&answer[0], &answer[1]].map(|text| text.as_str().unwrap());
                    if is_tag(tag) && !repository.contains('@') {
                        assert_eq!((our_repository.as_str(), our_tag.as_str()), (repository, tag), "{image}");
                        "the same"
                    } else if image.contains('@') {
                        "the original leaves an `@`"
                    } else {
                        assert_eq!((release, our_tag), ("0.20.0", tag.replace('/', "_s_")), "{image}");
                        "the original leaves a `/`"
                    }
                }
            };
            *cases.entry(case).or_default() += 1;
            let versioned = format!("oh_v{release}_{}", answers[1].as_str().unwrap());
            let our_versioned = tags.versioned.tag().unwrap();
            if is_tag(&versioned) {
                assert_eq!(our_versioned, versioned, "{image}");
            } else {
                assert!(is_tag(our_versioned) && image.contains('@'), "{image}: {versioned} is no tag");
            }
        }
    }
    for case in [
        "the same",
        "the original raises",
        "the original leaves an `@`",
        "the original leaves a `/`",
        "the original takes the port for a tag",
    ] {
        assert!(cases.get(case).is_some_and(|count| *count >= 3), "{case}: {cases:?}");
    }
    assert!(cases["the same"] >= BASE_IMAGES / 2, "{cases:?}");
}
