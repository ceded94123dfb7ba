//! Builders outside the engine: what they see, and how their images get a name. Here buildx's driver `remote`,
//! connected to the BuildKit in the engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use serde_json::{Value, json};
use support::bridge::RemoteBuilder;
use support::proxy::Request;
use support::registry_digest;
use support::{
    Project, Run, docker, docker_with, image_id, manifests, platforms, push_one_platform_while_the_other_is_pushed,
};

fn run(project: &Project, builder: &RemoteBuilder, arguments: &[&str]) -> Run {
    let mut command = project.command(arguments);
    command.envs(builder.environment());
    Run::from(command.output().unwrap())
}

fn report(project: &Project, builder: &RemoteBuilder, arguments: &[&str]) -> Value {
    let run = run(project, builder, &[&["--message-format", "json"], arguments].concat());
    assert_eq!(run.code, Some(0), "{arguments:?} failed:\n{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn a_lock_image_that_only_the_engine_has_is_not_built_upon_by_another_builder() {
    let builder = RemoteBuilder::new();
    let project = Project::small();
    project.ok(&[]);
    project.write("app", "echo changed\n");
    assert_eq!(project.json(&["plan"]).0["build_from"], "lock", "the engine's own builder sees it");
    let plan = report(&project, &builder, &["plan"]);
    assert_eq!(plan["build_from"], "scratch");
    let reason = plan["reason"].as_str().unwrap();
    assert!(reason.contains("only in the engine's store, which this builder's driver does not see"), "{reason}");

    let built = report(&project, &builder, &[]);
    assert_eq!(built["confirmed"]["store"], "engine");
    assert_eq!(built["confirmed"]["digest"], image_id(built["image"].as_str().unwrap()));
    assert_eq!(docker(&["run", "--rm", built["image"].as_str().unwrap()]), "changed\n");
}

#[test]
fn a_lock_image_in_a_registry_is_built_upon_by_every_builder() {
    let builder = RemoteBuilder::new();
    let project = Project::small().in_registry();
    let first = report(&project, &builder, &["--push"]);
    assert_eq!((&first["build_from"], &first["confirmed"]["store"]), (&json!("scratch"), &json!("registry")));
    project.write("app", "echo changed\n");
    for arguments in [&["plan", "--push"][..], &["plan"]] {
        assert_eq!(report(&project, &builder, arguments)["build_from"], "lock", "{arguments:?}");
    }
    let changed = report(&project, &builder, &["--push"]);
    assert_eq!(changed["build_from"], "lock");
    assert_eq!(docker(&["run", "--rm", changed["image"].as_str().unwrap()]), "changed\n");
}

#[test]
fn one_platform_is_pushed_by_digest_and_added_to_the_index_under_the_name() {
    let builder = RemoteBuilder::new();
    let project = Project::small().in_registry();
    let [own, other] = platforms();
    let first = report(&project, &builder, &["--push", "--platform", own]);
    let image = first["image"].as_str().unwrap();
    assert_eq!(first["confirmed"]["digest"], registry_digest(image));
    let before = manifests(image);
    assert_eq!(before.len(), 1);
    let second = report(&project, &builder, &["--push", "--platform", other]);
    assert_eq!(second["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(second["confirmed"]["digest"], registry_digest(image));
    assert!(manifests(image).contains(&before[0]), "the first image is still in it");
    assert_eq!(manifests(image).len(), 2);
}

#[test]
fn machines_that_push_the_same_name_at_the_same_time_do_not_take_it_from_each_other() {
    let builder = RemoteBuilder::new();
    let on_its_way = |request: &Request| request.method == "PUT" && request.path.contains("/manifests/sha256:");
    push_one_platform_while_the_other_is_pushed(on_its_way, &builder.environment());
}

#[test]
fn what_cannot_be_reproduced_is_refused_and_a_builder_that_rewrites_times_makes_it() {
    let project = Project::small().in_registry();
    let refused = project.run(&["--push", "--reproducible"]);
    refused.fails_with(1, &["reproducible", "driver `docker`", "hint: ", "--builder"]);
    let builder = RemoteBuilder::new();
    let arguments = ["--push", "--reproducible"];
    let first = report(&project, &builder, &arguments);
    assert!(first["base_digest"].as_str().unwrap().starts_with("sha256:"), "the base image is pinned: {first}");
    let digests = manifests(first["image"].as_str().unwrap());
    // Built anew, and not from the cache.
    let again = report(&project, &builder, &["--push", "--reproducible", "--force-rebuild"]);
    assert_eq!(manifests(again["image"].as_str().unwrap()), digests);
}

#[test]
fn nothing_of_the_users_docker_configuration_changes() {
    let builder = RemoteBuilder::new();
    let [(_, config), _] = builder.environment();
    let environment = [("DOCKER_CONFIG", config.clone())];
    let state = || {
        let read = |name: &str| std::fs::read_to_string(std::path::Path::new(&config).join(name)).ok();
        let contexts = docker_with(&environment, &["context", "ls", "--format", "{{.Name}} {{.Current}}"]);
        let builders = docker_with(&environment, &["buildx", "ls"]);
        let builders: Vec<String> = builders.lines().filter(|line| line.contains('*')).map(str::to_owned).collect();
        (read("config.json"), read("buildx/current"), read("buildx/instances/ri-remote"), contexts, builders)
    };
    let before = state();
    let project = Project::small().in_registry();
    report(&project, &builder, &["--push"]);
    project.write("app", "echo changed\n");
    report(&project, &builder, &["--load"]);
    assert_eq!(state(), before);
}
