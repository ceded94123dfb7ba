//! Pushing, and finding images in a registry without pulling them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use support::{HELLO, Project, docker, image_exists, registry_digest};

#[test]
fn a_pushed_image_is_confirmed_by_the_registry_and_reused_from_there() {
    let project = Project::hello_on_engine().in_registry();
    let (report, _) = project.json(&["--push"]);
    let image = report["image"].as_str().unwrap();
    assert_eq!(report["confirmed"]["store"], "registry");
    assert_eq!(report["confirmed"]["digest"], registry_digest(image));
    for tag in ["lock", "versioned"] {
        registry_digest(&project.name(report["tags"][tag].as_str().unwrap()));
    }

    // Another machine: nothing of it in the engine's store.
    for tag in ["source", "lock", "versioned"] {
        let name = project.name(report["tags"][tag].as_str().unwrap());
        if image_exists(&name) {
            docker(&["image", "rm", "--force", &name]);
        }
    }
    let (again, _) = project.json(&["--push"]);
    assert_eq!((&again["action"], &again["confirmed"]), (&"reuse".into(), &report["confirmed"]));
    assert!(!image_exists(image), "it was pulled");
    let (loaded, _) = project.json(&[]);
    assert_eq!((loaded["action"].as_str(), loaded["confirmed"]["store"].as_str()), (Some("reuse"), Some("registry")));
    assert_eq!(docker(&["run", "--rm", image]), HELLO);

    project.edit("greeting/src/lib.rs", "hello", "ciao");
    let (changed, run) = project.json(&["--push"]);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    assert_eq!(
        docker(&["run", "--rm", changed["image"].as_str().unwrap()]),
        "CIAO from the runtime image 1.0 (31 characters)\n"
    );
}

#[test]
fn what_the_engine_has_under_the_name_of_a_registry_s_image_is_not_built_upon() {
    let project = Project::small().in_registry();
    project.ok(&["--push"]);
    let versioned = project.name(&project.tags(&[])[2]);
    docker(&["image", "tag", &versioned, "localhost/ri-test-stale:1"]);
    // Somebody else makes it with something more; this engine keeps the earlier one.
    project.edit("runtime-image.toml", "version = ", "env = { MORE = \"yes\" }\nversion = ");
    project.ok(&["--push"]);
    docker(&["image", "tag", "localhost/ri-test-stale:1", &versioned]);
    docker(&["image", "rm", "localhost/ri-test-stale:1"]);

    project.write("lock", format!("{}more\n", support::salt()));
    let (report, run) = project.json(&["--push"]);
    assert_eq!(report["build_from"], "versioned", "{}", run.stderr);
    assert_eq!(report["from_image"], format!("{versioned}@{}", registry_digest(&versioned)));
    let more = docker(&["run", "--rm", report["image"].as_str().unwrap(), "sh", "-c", "echo $MORE"]);
    assert_eq!(more, "yes\n", "it was built on another image than the plan was made for");
}
