//! The tiers on a real engine: scratch, reuse, lock, versioned, and force.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use support::{HELLO, Project, docker, image_exists, image_id, label, run_image, salt};

/// The dependencies of the example that come from the registry.
const DEPENDENCIES: [&str; 5] = ["itoa", "proc-macro2", "quote", "ryu", "unicode-ident"];

fn compiled_dependencies(run: &support::Run) -> Vec<String> {
    let mut names = run.compiled();
    names.retain(|name| DEPENDENCIES.contains(&name.as_str()));
    names.sort();
    names.dedup();
    names
}

#[test]
fn a_first_build_is_from_scratch_runs_and_has_all_three_tags() {
    let project = Project::hello_on_engine();
    let revision = project.git_init().git(&["rev-parse", "HEAD"]);
    project.git(&["remote", "add", "origin", "https://user:secret@git.example/team/hello.git"]);
    let (report, run) = project.json(&[]);
    assert_eq!((report["action"].as_str(), report["build_from"].as_str()), (Some("build"), Some("scratch")));
    let [source, lock, versioned] = project.tags(&[]).map(|tag| project.name(&tag));
    assert_eq!(report["image"], source);

    assert_eq!(run_image(&source, &[]), HELLO, "{}", run.stderr);
    assert_eq!(image_id(&lock), image_id(&versioned), "from scratch, lock and versioned tag name the same image");
    assert_ne!(image_id(&lock), image_id(&source));
    assert_eq!(report["confirmed"]["digest"], image_id(&source));
    assert_eq!(report["confirmed"]["store"], "engine");

    let sources = run_image(&lock, &["find", "/workspace", "-name", "*.rs", "-o", "-name", "Cargo.*"]);
    assert_eq!(sources, "", "the lock image holds no project source");
    assert_eq!(run_image(&source, &["cat", "/workspace/greeting/src/lib.rs"]), project.read("greeting/src/lib.rs"));
    assert_eq!(label(&source, "dev.runtime-image.build-from"), "scratch");
    for (name, value) in [
        ("title", "demo"),
        ("version", "0.1.0"),
        ("revision", revision.trim()),
        ("source", "https://git.example/team/hello.git"),
        ("base.name", &project.base_image),
    ] {
        assert_eq!(label(&source, &format!("org.opencontainers.image.{name}")), value);
    }
    for (name, length) in [("source-hash", 64), ("lock-hash", 64), ("system-hash", 64)] {
        assert_eq!(label(&source, &format!("dev.runtime-image.{name}")).len(), length, "{name}");
    }
    assert_eq!(label(&source, "dev.runtime-image.kind"), "cargo");
    assert_eq!(label(&source, "dev.runtime-image.platforms"), report["platforms"][0].as_str().unwrap());
}

#[test]
fn the_image_builds_itself_again_without_network_and_recompiles_nothing() {
    let project = Project::hello_on_engine();
    let image = project.ok(&[]).image().to_owned();
    let output = docker(&["run", "--rm", "--network", "none", &image, "sh", "-c", "cargo build --release 2>&1"]);
    assert!(output.contains("Finished") && !output.contains("Compiling"), "{output}");
}

#[test]
fn the_same_tree_again_is_reused_and_nothing_is_written() {
    let project = Project::hello_on_engine();
    let first = project.ok(&[]);
    std::fs::remove_dir_all(project.root.join("target")).unwrap();
    let (report, run) = project.json(&[]);
    assert_eq!(report["action"], "reuse");
    assert_eq!(report["image"], first.image());
    assert_eq!(report["confirmed"]["digest"], image_id(first.image()));
    assert_eq!((&report["build_from"], &report["build_folder"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert!(!project.root.join("target").exists(), "a build folder was written");
    assert!(!run.stderr.contains("#1 "), "{}", run.stderr);
}

#[test]
fn a_changed_line_builds_from_the_lock_image_and_is_seen_in_release_and_dev_profile() {
    let project = Project::hello_on_engine();
    project.write("runtime-image.toml", "prebuild = [\"build --release\", \"build\"]\n");
    project.ok(&[]);
    project.edit("greeting/src/lib.rs", "hello", "bonjour");
    let (report, run) = project.json(&[]);
    assert_eq!(report["build_from"], "lock", "{}", run.stderr);
    assert_eq!(compiled_dependencies(&run), Vec::<String>::new(), "{}", run.stderr);
    let image = report["image"].as_str().unwrap();
    for binary in ["target/release/hello", "target/debug/hello", "hello"] {
        assert_eq!(run_image(image, &[binary]), "BONJOUR from the runtime image 1.0 (34 characters)\n", "{binary}");
    }
    assert_eq!(label(image, "dev.runtime-image.build-from"), "scratch", "as its dependencies were");
}

#[test]
fn an_added_dependency_builds_from_the_versioned_image_and_keeps_what_was_compiled() {
    let project = Project::hello_on_engine();
    project.write(".cargo/config.toml", format!("[env]\nSALT = {:?}\n", salt()));
    project.ok(&[]);
    project.edit("hello/Cargo.toml", "itoa.workspace = true", "itoa.workspace = true\ncfg-if = \"1\"");
    let (report, run) = project.json(&[]);
    assert_eq!(report["build_from"], "versioned", "{}", run.stderr);
    assert_eq!(compiled_dependencies(&run), Vec::<String>::new(), "{}", run.stderr);
    assert!(run.compiled().contains(&"cfg-if".to_owned()), "{}", run.stderr);
    assert_eq!(run_image(report["image"].as_str().unwrap(), &[]), HELLO);

    let lock = project.name(report["tags"]["lock"].as_str().unwrap());
    assert!(image_exists(&lock));
    project.edit("greeting/src/lib.rs", "hello", "salut");
    let (report, _) = project.json(&[]);
    assert_eq!(report["build_from"], "lock", "the versioned build made a lock image");
}

#[test]
fn a_version_bump_alone_keeps_the_dependencies_and_shows_inside() {
    let project = Project::hello_on_engine();
    let before = project.tags(&[]);
    project.ok(&[]);
    project.edit("Cargo.toml", "version = \"0.1.0\"", "version = \"0.1.7\"");
    project.edit("hello/src/main.rs", "{greeting} (", "{} {greeting} (");
    project.edit("hello/src/main.rs", "digits.format", "env!(\"CARGO_PKG_VERSION\"), digits.format");
    let (report, run) = project.json(&[]);
    assert_eq!(report["tags"]["lock"], before[1]);
    assert_eq!(report["build_from"], "lock", "{}", run.stderr);
    assert_eq!(compiled_dependencies(&run), Vec::<String>::new(), "{}", run.stderr);
    assert!(run_image(report["image"].as_str().unwrap(), &[]).starts_with("0.1.7 HELLO"));
}

#[test]
fn force_rebuilds_from_the_base_image_and_moves_all_tags() {
    let project = Project::hello_on_engine();
    let image = project.ok(&[]).image().to_owned();
    let names = project.tags(&[]).map(|tag| project.name(&tag));
    // A rebuild may well give the same image again: that the names move is seen when they lead elsewhere.
    docker(&["pull", "--quiet", &project.base_image]);
    names.iter().for_each(|name| drop(docker(&["tag", &project.base_image, name])));
    let (report, run) = project.json(&["--force-rebuild"]);
    assert_eq!(report["build_from"], "scratch");
    assert_eq!(compiled_dependencies(&run), DEPENDENCIES, "{}", run.stderr);
    for name in &names {
        assert_ne!(image_id(name), image_id(&project.base_image), "{name} was not moved");
    }
    assert_eq!(run_image(&image, &[]), HELLO);
}

#[test]
fn a_dry_runs_folder_gives_the_same_image_when_docker_builds_it() {
    let project = Project::hello_on_engine();
    for (tier, greeting) in [("scratch", "hello"), ("lock", "hola")] {
        project.edit("greeting/src/lib.rs", "hello", greeting);
        let (report, _) = project.json(&["--dry-run"]);
        assert_eq!((report["build_from"].as_str(), &report["confirmed"]), (Some(tier), &serde_json::Value::Null));
        assert!(!image_exists(report["image"].as_str().unwrap()), "a dry run built");
        let by_hand = project.name(&format!("by-hand-{tier}"));
        let folder = report["build_folder"].as_str().unwrap();
        docker(&["buildx", "build", "--load", "--provenance=false", "--tag", &by_hand, folder]);
        let (report, _) = project.json(&[]);
        let image = report["image"].as_str().unwrap();
        assert_eq!(run_image(&by_hand, &[]), run_image(image, &[]));
        for field in ["{{json .Config}}", "{{json .Architecture}}"] {
            let of = |name: &str| docker(&["image", "inspect", "--format", field, name]);
            assert_eq!(of(&by_hand), of(image), "{tier}: {field}");
        }
        let list = |name: &str| {
            run_image(
                name,
                &[
                    "sh",
                    "-c",
                    "cd /workspace && find . -path ./target -prune -o -type f -print0 | sort -z | xargs -0 md5sum",
                ],
            )
        };
        assert_eq!(list(&by_hand), list(image), "{tier}");
    }
}

#[test]
fn a_name_that_holds_something_else_is_not_reused() {
    let project = Project::hello_on_engine();
    let [source, ..] = project.tags(&[]).map(|tag| project.name(&tag));
    docker(&["pull", &project.base_image]);
    docker(&["tag", &project.base_image, &source]);
    project.run(&[]).fails_with(1, &["is not what its name says", "hint: ", "--force-rebuild"]);
}
