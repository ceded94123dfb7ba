//! The way of a run that finds its image: one engine process, each file read once, nothing written.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use inotify::{Inotify, WatchMask};
use support::{Project, Run, stand_in_docker};

#[test]
fn one_engine_process_is_started() {
    let project = Project::hello_on_engine();
    let image = project.ok(&[]).image().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (path, real) = stand_in_docker(folder.path(), "echo \"$@\" >>\"$LOG\"; exec \"$REAL_DOCKER\" \"$@\"");
    let mut command = project.command(&[]);
    command.env("PATH", path).env("REAL_DOCKER", real).env("LOG", &log);
    assert_eq!(Run::from(command.output().unwrap()).image(), image);
    let calls = fs::read_to_string(log).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
    assert!(calls.starts_with("image inspect "), "{calls}");
}

/// Every folder of the tree but the target folder.
fn folders(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    for entry in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() && entry.file_name() != "target" {
            found.extend(folders(&entry.path()));
        }
    }
    found
}

#[test]
fn each_source_file_is_read_once() {
    let project = Project::hello_on_engine();
    project.write("assets/large", vec![b'x'; 3_000_000]);
    project.ok(&[]);
    // What the run knows of the files now.
    fs::remove_dir_all(&project.caches).unwrap();
    let mut inotify = Inotify::init().unwrap();
    let watched: BTreeMap<_, _> = folders(&project.root)
        .into_iter()
        .map(|folder| (inotify.watches().add(&folder, WatchMask::OPEN).unwrap(), folder))
        .collect();
    project.ok(&[]);
    let mut opened: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(events) = inotify.read_events(&mut buffer) {
        for event in events {
            if let Some(name) = event.name.filter(|_| !event.mask.contains(inotify::EventMask::ISDIR)) {
                *opened.entry(watched[&event.wd].join(name)).or_default() += 1;
            }
        }
    }
    // Manifests and the lock file are read by Cargo besides, ignore files for what they ignore.
    let ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        !["Cargo.toml", "Cargo.lock", ".gitignore"].iter().any(|other| name == *other)
    };
    let times: BTreeMap<_, _> = opened.into_iter().filter(|(path, _)| ours(path)).collect();
    assert!(
        times.contains_key(&project.root.join("hello/src/main.rs"))
            && times.contains_key(&project.root.join("assets/large"))
    );
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[test]
fn an_image_for_another_platform_is_not_reused_and_the_plan_says_so() {
    let project = Project::hello_on_engine();
    project.ok(&[]);
    let (report, _) = project.json(&["plan", "--platform", "linux/arm64"]);
    assert_eq!(report["action"], "build");
    assert_eq!(report["build_from"], "scratch");
    assert!(report["reason"].as_str().unwrap().contains("not for linux/arm64"), "{report}");
}

#[test]
fn plan_explains_and_writes_nothing() {
    let project = Project::hello_on_engine();
    let run = project.ok(&["plan"]);
    let starts: Vec<&str> = run.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(starts, ["image", "version", "action", "reason", "platforms", "lock", "versioned"]);
    assert!(run.stdout.contains("build from scratch: "), "{}", run.stdout);
    assert!(!project.root.join("target").exists());
    let (report, _) = project.json(&["plan"]);
    assert_eq!((&report["confirmed"], &report["build_folder"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}
