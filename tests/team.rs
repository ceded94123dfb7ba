//! A team: two engines that share only a registry. One machine's build from scratch is the other's reuse and lock
//! build.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use support::engine::OtherEngine;
use support::proxy::{Answer, Proxy};
use support::{Project, docker, manifests, registry, registry_digest, salt};

/// The digests of all layers of an image.
fn layers(image: &str) -> BTreeSet<String> {
    let repository = image.rsplit_once(':').unwrap().0;
    let raw = |digest: &str| {
        let name = format!("{repository}@{digest}");
        serde_json::from_str::<Value>(&docker(&["buildx", "imagetools", "inspect", "--raw", &name])).unwrap()
    };
    let of = |manifest: &Value| -> Vec<String> {
        let layers = manifest["layers"].as_array().unwrap();
        layers.iter().map(|layer| layer["digest"].as_str().unwrap().to_owned()).collect()
    };
    manifests(image).iter().flat_map(|(_, digest)| of(&raw(digest))).collect()
}

/// The layers that were fetched through the proxy.
fn fetched(proxy: &Proxy, layers: &BTreeSet<String>) -> BTreeSet<String> {
    let seen = proxy.seen();
    let blobs = seen.iter().filter(|request| request.method == "GET").filter_map(|request| {
        let (_, digest) = request.path.split_once("/blobs/")?;
        Some(digest.split('?').next()?.to_owned())
    });
    blobs.filter(|digest| layers.contains(digest)).collect()
}

const BOTH: [&str; 3] = ["--push", "--platform", "linux/amd64,linux/arm64"];

#[test]
fn one_machines_scratch_build_is_the_others_reuse_and_lock_build_for_both_platforms() {
    let proxy = Proxy::new(&registry(), |_, _| Answer::Forward);
    let mut project = Project::hello_on_engine();
    project.write(".cargo/config.toml", format!("[env]\nSALT = {:?}\n", salt()));
    project.repository = format!("{}/{}", proxy.address, project.repository.trim_start_matches("localhost/"));
    let (first, run) = project.json(&BOTH);
    assert_eq!(first["build_from"], "scratch", "{}", run.stderr);
    let image = first["image"].as_str().unwrap();
    let lock = project.name(first["tags"]["lock"].as_str().unwrap());

    let other = OtherEngine::start("team");
    other.empty();
    proxy.follow(|_, _| Answer::Forward);
    for arguments in [&BOTH[..], &BOTH[1..]] {
        let (again, _) = other.json(&project, arguments);
        assert_eq!((&again["action"], &again["confirmed"]), (&json!("reuse"), &first["confirmed"]), "{arguments:?}");
    }
    assert_eq!(fetched(&proxy, &layers(image)), BTreeSet::new(), "a layer was pulled");
    assert_eq!(other.docker(&["image", "ls", "--quiet", &project.repository]), "");

    // An engine that was given one platform of an index does not have the other.
    let (tag, local) =
        (first["tags"]["source"].as_str().unwrap(), project.repository.replace(&proxy.address, "localhost"));
    other.docker(&["pull", "--quiet", "--platform", "linux/amd64", image]);
    other.docker(&["image", "tag", image, &format!("{local}:{tag}")]);
    for (platform, action) in [("linux/amd64", "reuse"), ("linux/arm64", "build")] {
        let (plan, _) = other.json(&project, &["plan", "--repository", &local, "--platform", platform]);
        assert_eq!(plan["action"], action, "{plan}");
    }
    other.docker(&["image", "rm", image, &format!("{local}:{tag}")]);
    other.empty();

    project.edit("greeting/src/lib.rs", "hello", "ciao");
    proxy.follow(|_, _| Answer::Forward);
    let (changed, run) = other.json(&project, &BOTH);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    assert_eq!(changed["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    assert!(!run.compiled().contains(&"itoa".to_owned()), "{}", run.stderr);
    let new = changed["image"].as_str().unwrap();
    let all: BTreeSet<String> = [image, &lock, new].iter().flat_map(|name| layers(name)).collect();
    let pulled = fetched(&proxy, &all);
    assert!(!pulled.is_empty() && pulled.is_subset(&layers(&lock)), "{pulled:?}");

    for (platform, machine) in [("linux/amd64", "x86_64\n"), ("linux/arm64", "aarch64\n")] {
        for (name, greeting) in [
            (image, "HELLO from the runtime image 1.0 (32 characters)\n"),
            (new, "CIAO from the runtime image 1.0 (31 characters)\n"),
        ] {
            assert_eq!(other.docker(&["run", "--rm", "--platform", platform, name]), greeting);
        }
        assert_eq!(other.docker(&["run", "--rm", "--platform", platform, new, "uname", "-m"]), machine);
    }

    // The same sources on the same lock image, on the other machine each, as if nobody had built them: the same digest,
    // whether they were built with the dependencies or after them.
    delete(&proxy, &project, new);
    let (same, run) = project.json(&BOTH);
    assert_eq!((&same["build_from"], &same["image"]), (&json!("lock"), &changed["image"]), "{}", run.stderr);
    assert_eq!(same["confirmed"]["digest"], changed["confirmed"]["digest"]);
    project.edit("greeting/src/lib.rs", "ciao", "hello");
    delete(&proxy, &project, image);
    let (same, run) = other.json(&project, &BOTH);
    assert_eq!((&same["build_from"], &same["image"]), (&json!("lock"), &first["image"]), "{}", run.stderr);
    assert_eq!(same["confirmed"]["digest"], first["confirmed"]["digest"]);
}

#[test]
fn a_slim_image_is_the_same_on_another_engine() {
    let proxy = Proxy::new(&registry(), |_, _| Answer::Forward);
    let project = Project::hello_on_engine().in_registry();
    project.write(".cargo/config.toml", format!("[env]\nSALT = {:?}\n", salt()));
    let arguments = ["--slim", "--push", "--run-package", "tzdata"];
    let (first, _) = project.json(&arguments);
    delete(&proxy, &project, first["image"].as_str().unwrap());
    let other = OtherEngine::start("team");
    other.empty();
    let (again, run) = other.json(&project, &arguments);
    assert_eq!(again["build_from"], "lock", "{}", run.stderr);
    assert_eq!((&again["image"], &again["confirmed"]), (&first["image"], &first["confirmed"]));
}

/// Removes an image from the registry.
fn delete(proxy: &Proxy, project: &Project, image: &str) {
    let path = project.repository.split_once('/').unwrap().1;
    let address = format!("http://{}/v2/{path}/manifests/{}", proxy.address, registry_digest(image));
    let deleted = Command::new("curl").args(["-fsS", "--noproxy", "*", "-X", "DELETE", &address]).status().unwrap();
    assert!(deleted.success());
}
