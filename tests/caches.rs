//! `--cache`: a build cache for the dependencies that outlives the builder's own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;

use support::{Project, containerd_store, docker, registry_digest};

#[test]
fn a_cache_in_a_registry_is_named_after_base_image_and_branch() {
    let project = Project::small().in_registry();
    project.git_init().git(&["checkout", "-qb", "feat/x"]);
    let run = project.run(&["--push", "--cache", "registry"]);
    if !containerd_store() {
        run.fails_with(1, &["a build cache cannot be exported here", "`--cache inline` works everywhere"]);
        return;
    }
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let [.., versioned] = project.tags(&[]);
    let slug = versioned.strip_prefix("rt_v1.0_").unwrap();
    let cache = project.name(&format!("rt_cache_{slug}_feat_x"));
    let manifest = docker(&["buildx", "imagetools", "inspect", "--raw", &cache]);
    assert!(manifest.contains("application/vnd.buildkit.cacheconfig.v0"), "{manifest}");
    assert!(manifest.contains("application/vnd.oci.image.manifest.v1+json"), "{manifest}");

    // Only what decides about the dependencies is exported: another source leaves the cache as it is.
    let before = registry_digest(&cache);
    project.write("app", "echo changed\n");
    let (report, _) = project.json(&["--push", "--cache", "registry"]);
    assert_eq!((report["build_from"].as_str(), registry_digest(&cache)), (Some("lock"), before));

    // A new dependency is built upon it, and the default branch's is asked for as well.
    project.write("lock", project.read("lock") + "more\n");
    let run = project.ok(&["-v", "--push", "--cache", "registry"]);
    let main = project.name(&format!("rt_cache_{slug}_main"));
    for reference in [&cache, &main] {
        assert!(run.stderr.contains(&format!("--cache-from type=registry,ref={reference}")), "{}", run.stderr);
    }
    assert_eq!(run.stderr.matches("--cache-to").count(), 1, "{}", run.stderr);
}

#[test]
fn a_cache_in_a_folder_is_written_anew_and_read() {
    let project = Project::small();
    let folder = project.root.join("../build cache");
    let cache = format!("local={}", folder.display());
    let run = project.run(&["--cache", &cache]);
    if !containerd_store() {
        run.fails_with(1, &["a build cache cannot be exported here", "driver `docker`"]);
        assert!(!folder.exists());
        return;
    }
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let contents = || {
        let mut place = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        place.retain(|path| path.extension().is_none_or(|extension| extension != "lock"));
        assert_eq!(place.len(), 1, "nothing is left beside it: {place:?}");
        let blobs = fs::read_dir(place[0].join("blobs/sha256")).unwrap();
        blobs.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let first = contents();
    project.edit("runtime-image.toml", "sort lock", "sort -r lock");
    let run = project.ok(&["--cache", &cache]);
    assert!(run.stderr.contains("importing cache manifest from local"), "{}", run.stderr);
    let second = contents();
    assert!(!first.is_subset(&second), "what an earlier build left is gone: {first:?} {second:?}");
    assert!(second.len() <= first.len() + 1, "it does not grow: {first:?} {second:?}");

    // One that cannot be written fails no build.
    project.write("app", "echo without a cache\n").write("file", "");
    let run = project.ok(&["--cache", &format!("local={}", project.root.join("file").display())]);
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("goes on without it"), "{}", run.stderr);
}

#[test]
fn an_inline_cache_is_in_the_image_on_every_store() {
    let project = Project::small().in_registry();
    project.run(&["--cache", "inline"]).fails_with(2, &["--cache inline", "hint: add `--push`"]);
    let run = project.ok(&["--push", "--cache", "inline"]);
    assert!(run.stderr.contains("preparing layers for inline cache"), "{}", run.stderr);
    project.write("lock", project.read("lock") + "more\n");
    let run = project.ok(&["--push", "--cache", "inline"]);
    let [.., versioned] = project.tags(&[]).map(|tag| project.name(&tag));
    assert!(run.stderr.contains(&format!("importing cache manifest from {versioned}")), "{}", run.stderr);
    assert!(!run.stderr.contains("failed to configure registry cache importer"), "{}", run.stderr);
}

#[test]
fn arguments_of_the_users_own_pass_through_untouched_to_every_build() {
    let project = Project::small();
    let from = format!("type=local,src={}", project.root.join("no such folder").display());
    let run = project.run(&["-v", "--cache-from", &from, "--dry-run=false"]);
    assert_eq!(run.stderr.matches(&format!("--cache-from '{from}'")).count(), 2, "{}", run.stderr);
}

#[test]
fn a_cache_of_github_actions_is_refused_where_nothing_would_be_kept() {
    let project = Project::small();
    let mut command = project.command(&["--cache", "gha"]);
    let run = support::Run::from(command.env_remove("ACTIONS_RUNTIME_TOKEN").output().unwrap());
    run.fails_with(2, &["ACTIONS_RUNTIME_TOKEN", "hint: "]);
}
