//! `--pin-base`: the base image's digest in the names, and what is said when it has moved.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use serde_json::json;
use support::{Project, debian_base, docker, label, registry, registry_digest, rust_base};

/// A project on a base image of its own, whose tag can be moved.
fn project_on_its_own_base() -> Project {
    let mut project = Project::small();
    let name = project.repository.trim_start_matches("localhost/").to_owned();
    project.base_image = format!("{}/{name}-base:1", registry());
    move_base(&project, &debian_base());
    project
}

fn move_base(project: &Project, to: &str) {
    docker(&["buildx", "imagetools", "create", "--tag", &project.base_image, to]);
}

#[test]
fn a_moved_base_image_gives_other_names_and_the_plan_says_why() {
    let project = project_on_its_own_base();
    let unpinned = project.tags(&[]);
    let (first, _) = project.json(&["--pin-base"]);
    let digest = registry_digest(&project.base_image);
    let image = first["image"].as_str().unwrap();
    assert_eq!(first["base_digest"], json!(digest));
    assert_eq!(label(image, "org.opencontainers.image.base.digest"), digest);
    assert_eq!(label(image, "org.opencontainers.image.base.name"), project.base_image);
    assert_eq!(first["from_image"], format!("{}@{digest}", project.base_image));
    assert_ne!(first["tags"]["lock"], unpinned[1]);
    assert_eq!(first["tags"]["versioned"], unpinned[2], "the same base image by name");
    assert_eq!(project.json(&["--pin-base"]).0["action"], "reuse");

    move_base(&project, &rust_base());
    let moved = registry_digest(&project.base_image);
    assert_ne!(moved, digest);
    assert_eq!(project.tags(&[]), unpinned, "without `--pin-base` only the name counts");
    let (plan, _) = project.json(&["plan", "--pin-base"]);
    assert_eq!((&plan["action"], &plan["build_from"]), (&json!("build"), &json!("scratch")));
    let reason = plan["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("was built when `{}` was {}", project.base_image, &digest[..19])), "{reason}");
    assert!(reason.contains(&format!("it is {} now", &moved[..19])), "{reason}");
    assert_ne!(plan["tags"]["lock"], first["tags"]["lock"]);
    assert_ne!(plan["tags"]["source"], first["tags"]["source"]);

    move_base(&project, &debian_base());
    assert_eq!(registry_digest(&project.base_image), digest);
    assert_eq!(project.json(&["--pin-base"]).0["action"], "reuse", "back at the first one");
}

#[test]
fn the_digest_is_that_of_the_index_so_that_it_is_the_same_for_every_platform() {
    let project = Project::small();
    let names = |platform: &str| {
        let (report, _) = project.json(&["plan", "--pin-base", "--platform", platform]);
        (report["base_digest"].clone(), report["tags"].clone())
    };
    assert_eq!(names("linux/amd64"), names("linux/arm64"));
    assert_eq!(names("linux/amd64").0, registry_digest(&project.base_image));
}

#[test]
fn a_digest_that_is_written_is_not_looked_up() {
    let project = Project::small();
    let pinned = format!("no-such-registry.invalid/base@sha256:{}", "a".repeat(64));
    let (report, _) = project.json(&["plan", "--pin-base", "--base-image", &pinned]);
    assert_eq!(report["base_digest"], format!("sha256:{}", "a".repeat(64)));
}

#[test]
fn a_base_image_that_no_registry_has_cannot_be_pinned() {
    let project = project_on_its_own_base();
    let missing = format!("{}-missing:1", project.base_image.trim_end_matches(":1"));
    let run = project.run(&["--pin-base", "--base-image", &missing]);
    run.fails_with(1, &["cannot pin `", "-missing:1", "hint: "]);
}
