//! Images for several platforms: one index under one name, added to by machines of other architectures, and what each
//! kind of image store can do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use serde_json::{Value, json};
use support::proxy::Request;
use support::push_one_platform_while_the_other_is_pushed;
use support::{
    Project, containerd_store, docker, elf_machine, image_id, in_registry, machine, manifests, platforms,
    registry_digest, runs_on,
};

const BOTH: &str = "linux/arm64/v8,amd64";

#[test]
fn several_platforms_are_one_index_under_one_name_that_runs_on_each() {
    let project = Project::small().in_registry();
    if !containerd_store() {
        project.run(&["--push", "--platform", BOTH]).fails_with(
            1,
            &["several platforms (linux/amd64,linux/arm64)", "classic image store", "driver `docker`", "hint: "],
        );
        assert!(!project.root.join("target").exists());
        return;
    }
    let (report, run) = project.json(&["--push", "--platform", BOTH]);
    assert_eq!(report["platforms"], json!(["linux/amd64", "linux/arm64"]), "normalised and sorted");
    assert_eq!(report["confirmed"]["platforms"], report["platforms"]);
    let image = report["image"].as_str().unwrap();
    assert_eq!(report["confirmed"]["digest"], registry_digest(image));
    assert!(run.stderr.contains(&format!("warning: {} is emulated", platforms()[1])), "{}", run.stderr);
    for platform in platforms() {
        assert_eq!(runs_on(image, platform), format!("hello from {}\n", machine(platform)));
    }
    for tag in ["lock", "versioned"] {
        assert_eq!(manifests(&project.name(report["tags"][tag].as_str().unwrap())).len(), 2, "{tag}");
    }

    for platform in ["linux/amd64", "arm64", BOTH] {
        let (again, _) = project.json(&["--push", "--platform", platform]);
        assert_eq!(again["action"], "reuse", "{platform} is in it: {}", again["reason"]);
    }
    project.write("app", "echo changed on $(uname -m)\n");
    let (changed, run) = project.json(&["--push", "--platform", BOTH]);
    assert_eq!(changed["build_from"], "lock", "{}", run.stderr);
    for platform in platforms() {
        assert_eq!(
            runs_on(changed["image"].as_str().unwrap(), platform),
            format!("changed on {}\n", machine(platform))
        );
    }
}

#[test]
fn several_platforms_are_loaded_where_the_store_holds_them_and_refused_where_not() {
    let project = Project::small();
    let arguments = ["--platform", BOTH];
    if !containerd_store() {
        let run = project.run(&arguments);
        run.fails_with(1, &["several platforms", "classic image store", "--builder", "containerd-snapshotter"]);
        return;
    }
    let (report, _) = project.json(&arguments);
    let image = report["image"].as_str().unwrap();
    assert_eq!(report["confirmed"]["digest"], image_id(image));
    for platform in platforms() {
        assert_eq!(runs_on(image, platform), format!("hello from {}\n", machine(platform)));
    }
    assert_eq!(project.json(&arguments).0["action"], "reuse");
}

#[test]
fn pushing_one_platform_adds_to_what_the_name_holds_for_another() {
    let project = Project::small().in_registry();
    let [own, other] = platforms();
    let (first, _) = project.json(&["--push", "--platform", own]);
    let image = first["image"].as_str().unwrap();
    let alone = in_registry(image)["manifest"].clone();
    let own_digest = alone["manifests"][0].get("digest").unwrap_or(&alone["digest"]).clone();

    let (plan, _) = project.json(&["plan", "--push", "--platform", other]);
    assert!(plan["reason"].as_str().unwrap().contains(&format!("is for {own}, not for {other}")), "{plan}");
    let (second, _) = project.json(&["--push", "--platform", other]);
    assert_eq!((&second["image"], second["action"].as_str()), (&first["image"], Some("build")));
    assert_eq!(second["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]));
    for name in ["source", "lock", "versioned"].map(|tag| project.name(first["tags"][tag].as_str().unwrap())) {
        assert_eq!(manifests(&name).len(), 2, "{name}");
    }
    assert!(manifests(image).iter().any(|(_, digest)| own_digest == *digest), "the first image is still in it");
    let left = docker(&["image", "ls", "--format", "{{.Tag}}", &project.repository]);
    assert!(!left.contains("linux-"), "a name that was only on the way is left: {left}");
    docker(&["image", "rm", "--force", image]);
    for platform in platforms() {
        let (again, _) = project.json(&["--push", "--platform", platform]);
        assert_eq!(again["action"], "reuse");
        assert_eq!(runs_on(image, platform), format!("hello from {}\n", machine(platform)));
        assert_eq!(elf_machine(image, platform, "/bin/sh"), machine(platform), "what is in it is for this platform");
    }

    let (forced, _) = project.json(&["--push", "--platform", own, "--force-rebuild"]);
    assert_eq!(forced["confirmed"]["platforms"], json!(["linux/amd64", "linux/arm64"]), "the other one stays");
}

#[test]
fn engines_that_push_the_same_name_at_the_same_time_do_not_take_it_from_each_other() {
    let on_its_way = |request: &Request| request.method == "PUT" && request.path.contains("_linux-");
    push_one_platform_while_the_other_is_pushed(on_its_way, &[]);
}

/// One platform of a pushed index is pulled, and known under a local name too. An engine with a containerd store that
/// has built the other platform may still hold it: such a store is asked in `team.rs`, on an engine that has built
/// nothing.
#[test]
fn in_a_classic_store_an_image_is_for_the_platform_that_was_pulled_whatever_was_built() {
    if containerd_store() {
        return;
    }
    let project = Project::small().in_registry();
    let [own, other] = platforms();
    project.ok(&["--push", "--platform", own]);
    let (report, _) = project.json(&["--push", "--platform", other]);
    let image = report["image"].as_str().unwrap();
    project.remove_from_engine();
    docker(&["pull", "--quiet", "--platform", own, image]);
    let local = project.known_locally(image);
    assert_eq!(local.json(&["plan", "--platform", own]).0["action"], "reuse");
    let (plan, _) = local.json(&["plan", "--platform", other]);
    assert_eq!(plan["action"], "build", "{plan}");
    assert!(plan["reason"].as_str().unwrap().contains(&format!("is for {own}, not for {other}")), "{plan}");
}

#[test]
fn load_and_push_are_both_confirmed() {
    let project = Project::small().in_registry();
    let (report, _) = project.json(&["--load", "--push"]);
    let image = report["image"].as_str().unwrap();
    assert_eq!((&report["confirmed"]["store"], &report["loaded"]["store"]), (&json!("registry"), &json!("engine")));
    assert_eq!(report["confirmed"]["digest"], registry_digest(image));
    assert_eq!(report["loaded"]["digest"], image_id(image));
    assert_eq!(runs_on(image, platforms()[0]), format!("hello from {}\n", machine(platforms()[0])));

    // What one of the two lacks is made up for: an image that only the registry has is pulled.
    let confirmed_again = |pulled: bool| {
        let (again, run) = project.json(&["--load", "--push"]);
        assert_eq!((&again["action"], &again["confirmed"]), (&json!("reuse"), &report["confirmed"]));
        assert_eq!(
            (&again["loaded"]["store"], &again["loaded"]["digest"]),
            (&json!("engine"), &json!(image_id(image)))
        );
        assert_eq!(run.stderr.contains("Pulling "), pulled, "{}", run.stderr);
    };
    confirmed_again(false);
    project.remove_from_engine();
    confirmed_again(true);
    assert_eq!(runs_on(image, platforms()[0]), format!("hello from {}\n", machine(platforms()[0])));
    docker(&["pull", "--quiet", &project.base_image]);
    docker(&["image", "tag", &project.base_image, image]);
    project.run(&["--load", "--push"]).fails_with(1, &["was taken by an image of other content", "--force-rebuild"]);
}

#[test]
fn a_name_that_somebody_else_has_pushed_is_not_overwritten_without_force() {
    let project = Project::small().in_registry();
    let [source, lock, versioned] = project.tags(&[]).map(|tag| project.name(&tag));
    for name in [&versioned, &lock, &source] {
        docker(&["buildx", "imagetools", "create", "--tag", name, &project.base_image]);
        let before = registry_digest(name);
        let run = project.run(&["--push"]);
        run.fails_with(1, &["exists but", "label", "hint: ", "--force-rebuild"]);
        assert_eq!(registry_digest(name), before);
    }
    project.ok(&["--push", "--force-rebuild"]);
    for name in [&versioned, &lock, &source] {
        assert_eq!(in_registry(name)["image"]["config"]["Labels"]["dev.runtime-image.kind"], "custom", "{name}");
    }
}

#[test]
fn what_a_classic_store_cannot_do_is_refused_before_any_work_and_done_elsewhere() {
    let project = Project::small().in_registry();
    let cache = project.root.join("cache");
    let cache = format!("local={}", cache.display());
    for (arguments, what) in
        [(["--push", "--provenance"], "attestations"), (["--push", &format!("--cache={cache}")], "build cache")]
    {
        let run = project.run(&arguments);
        if containerd_store() {
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        } else {
            run.fails_with(1, &[what, "classic image store", "driver `docker`", "--builder", "containerd-snapshotter"]);
            assert!(!project.root.join("cache").exists());
        }
    }
}

#[test]
fn attestations_are_part_of_the_name_and_of_the_image_and_no_platform() {
    let project = Project::small().in_registry();
    let plain = project.tags(&[]);
    let attested = project.tags(&["--provenance=max"]);
    assert_eq!(plain[1], attested[1], "the dependencies are the same");
    assert_ne!(plain[0], attested[0]);
    if !containerd_store() {
        project.run(&["--push", "--provenance=max"]).fails_with(1, &["attestations", "classic image store"]);
        return;
    }
    let (report, _) = project.json(&["--push", "--provenance=max"]);
    assert_eq!(report["confirmed"]["platforms"].as_array().map(Vec::len), Some(1));
    let attestations = || {
        let image = in_registry(report["image"].as_str().unwrap());
        let listed = image["manifest"]["manifests"].as_array().unwrap().iter();
        let kinds = listed.map(|manifest| manifest["annotations"]["vnd.docker.reference.type"].clone());
        kinds.filter(|kind: &Value| kind == "attestation-manifest").count()
    };
    assert_eq!(attestations(), 1);
    assert_eq!(project.json(&["--push", "--provenance=max"]).0["action"], "reuse");

    let [own, other] = platforms();
    project.ok(&["--push", "--provenance=max", "--platform", other]);
    assert_eq!(attestations(), 2);
    project.ok(&["--push", "--provenance=max", "--platform", own, "--force-rebuild"]);
    assert_eq!(attestations(), 2, "that of the platform that stayed is gone");
}

#[test]
fn an_image_tells_no_time_but_the_one_it_is_given() {
    let project = Project::small();
    let created = |image: &str| docker(&["image", "inspect", "--format", "{{.Created}}", image]).trim().to_owned();
    let first = project.ok(&[]);
    assert_eq!(created(first.image()), "1970-01-01T00:00:00Z");
    let mut command = project.command(&["--force-rebuild"]);
    let given = support::Run::from(command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap());
    assert_eq!(given.image(), first.image(), "the time is not in the name");
    assert_eq!(created(given.image()), "2023-11-14T22:13:20Z");
}
