//! What the user sees of a registry that does not take what is pushed, in each of the ways that registries do; and that a
//! plain further run repairs it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::time::{Duration, Instant};

use rstest::rstest;
use support::proxy::{Answer, Proxy, Request};
use support::{Project, docker, image_exists, in_registry, label, registry, run_image};

/// Which requests fail.
type At = fn(&Request) -> bool;

fn upload(request: &Request) -> bool {
    request.method == "POST" && request.path.contains("/blobs/uploads")
}

fn blob(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/blobs/uploads")
}

fn manifest(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/manifests/") && request.path.contains("_linux-")
}

fn index(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/manifests/rt_") && !request.path.contains("_linux-")
}

/// The second of the three names that is written.
fn second_index(request: &Request) -> bool {
    index(request) && request.path.contains("_v1.0_127.0.0.1")
}

fn page() -> Answer {
    Answer::Status(200, vec![("Content-Type", "text/html".to_owned())], "<html><body>Log in</body></html>")
}

/// Layers may take 120 times as long as the registry has to answer.
const LONGEST: Duration = Duration::from_secs(150);

/// The names that the engine has of the project.
fn names_in_engine(project: &Project) -> Vec<String> {
    let listed = docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", &project.repository]);
    listed.lines().map(str::to_owned).collect()
}

/// Pushes to a registry that answers such requests like this, then to one that is well.
fn fails_and_is_repaired(
    arguments: &[&str],
    at: At,
    answer: Answer,
    words: &[&str],
    tries: std::ops::RangeInclusive<usize>,
) {
    let proxy = Proxy::new(&registry(), |_, _| Answer::Forward);
    let mut project = Project::small();
    project.repository = format!("{}/{}", proxy.address, project.repository.trim_start_matches("localhost/"));
    proxy.follow(move |request, _| if at(request) { answer.clone() } else { Answer::Forward });
    let started = Instant::now();
    let run = project.run(&[arguments, &["--push"]].concat());
    run.fails_with(1, words);
    assert!(started.elapsed() < LONGEST, "it took {:?}", started.elapsed());
    let failed = proxy.seen().iter().filter(|request| at(request)).count();
    assert!(tries.contains(&failed), "{failed} tries\n{}", run.stderr);
    let [source, ..] = project.tags(&[]);
    proxy.follow(|_, _| Answer::Forward);
    let found = std::process::Command::new("docker")
        .args(["buildx", "imagetools", "inspect", &project.name(&source)])
        .output()
        .unwrap();
    assert!(!found.status.success(), "the name is there that comes last");

    let (report, _) = project.json(&[arguments, &["--push"]].concat());
    assert_eq!(report["confirmed"]["store"], "registry");
    assert_eq!(in_registry(&project.name(&source))["manifest"]["digest"], report["confirmed"]["digest"]);
    assert!(run_image(&project.name(&source), &[]).starts_with("hello from "));
    let left: Vec<String> = names_in_engine(&project).into_iter().filter(|name| name.contains("_linux-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

const LOGIN: &str = "hint: `docker login ";
const RIGHT: &str = "hint: ask whoever runs ";

#[rstest]
#[case::upload_401(upload, Answer::status(401), &["cannot push `", "it wants to know who asks (401)", LOGIN, "write to"], 1..=9)]
#[case::upload_404(upload, Answer::status(404), &["cannot push `", "it has no such repository (404)", "hint: make the repository"], 1..=9)]
#[case::manifest_403(manifest, Answer::status(403), &["cannot push `", "it forbids that (403)", RIGHT, "write to"], 1..=1)]
#[case::manifest_429(manifest, Answer::status(429), &["it was asked too often (429), tried ", "hint: wait a minute"], 6..=99)]
#[case::manifest_page(manifest, page(), &["what answers is not a registry", "hint: check its address"], 1..=1)]
#[case::manifest_hangs(manifest, Answer::Hang, &["it does not answer", "pushing manifest for ", "nothing for 3 s"], 1..=1)]
#[case::index_403(index, Answer::status(403), &["cannot write the index of `", "it forbids that (403)", RIGHT], 1..=1)]
#[case::second_index_hangs(second_index, Answer::Hang, &["cannot write the index of `", "it does not answer"], 1..=1)]
fn a_push_that_is_refused(
    #[case] at: At,
    #[case] answer: Answer,
    #[case] words: &[&str],
    #[case] tries: std::ops::RangeInclusive<usize>,
) {
    fails_and_is_repaired(&["--registry-timeout", "3"], at, answer, words, tries);
}

#[rstest]
#[case::upload_500(upload, Answer::status(500), &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::blob_503(blob, Answer::status(503), &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::blob_closed(blob, Answer::Close, &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::blob_hangs(blob, Answer::HangFor(Duration::from_secs(200)), &["it does not answer", "pushing layers: nothing for "], 1..=9)]
#[case::manifest_502(manifest, Answer::status(502), &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::manifest_closed(manifest, Answer::Close, &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::index_500(index, Answer::status(500), &["cannot write the index of `", "it failed, tried 3 times"], 3..=99)]
#[case::index_closed(index, Answer::Close, &["cannot write the index of `", "it failed, tried 3 times"], 3..=99)]
#[ignore = "long: make soak"]
fn a_push_that_fails_again_and_again(
    #[case] at: At,
    #[case] answer: Answer,
    #[case] words: &[&str],
    #[case] tries: std::ops::RangeInclusive<usize>,
) {
    // What layers take is 120 times as long.
    let timeout = if matches!(answer, Answer::HangFor(_)) { "1" } else { "30" };
    fails_and_is_repaired(&["--registry-timeout", timeout], at, answer, words, tries);
}

#[rstest]
#[case::upload_401(upload, Answer::status(401), &["it wants to know who asks (401)", LOGIN], 1..=20)]
#[case::blob_closed(blob, Answer::Close, &["it failed, tried 3 times", "hint: run again"], 3..=99)]
#[case::manifest_403(manifest, Answer::status(403), &["it forbids that (403)", RIGHT], 1..=9)]
#[case::manifest_hangs(manifest, Answer::Hang, &["it does not answer", "nothing for 3 s"], 1..=9)]
#[case::index_500(index, Answer::status(500), &["cannot write the index of `", "it failed, tried 3 times"], 3..=99)]
#[case::second_index_403(second_index, Answer::status(403), &["cannot write the index of `", RIGHT], 1..=1)]
#[ignore = "long: make soak"]
fn a_push_of_two_platforms_that_are_loaded_too(
    #[case] at: At,
    #[case] answer: Answer,
    #[case] words: &[&str],
    #[case] tries: std::ops::RangeInclusive<usize>,
) {
    let timeout = if matches!(answer, Answer::Hang) { "3" } else { "30" };
    let both = ["--load", "--platform", "linux/amd64,linux/arm64", "--registry-timeout", timeout];
    fails_and_is_repaired(&both, at, answer, words, tries);
}

#[test]
fn a_push_that_is_killed_leaves_a_name_that_the_next_push_removes() {
    let proxy = Proxy::new(&registry(), |_, _| Answer::Forward);
    let mut project = Project::small();
    project.repository = format!("{}/{}", proxy.address, project.repository.trim_start_matches("localhost/"));
    proxy.follow(|request, _| if manifest(request) { Answer::Hang } else { Answer::Forward });
    let mut child = project.command(&["--push"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !proxy.seen().iter().any(manifest) {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing was pushed");
        std::thread::sleep(Duration::from_millis(50));
    }
    support::kill("KILL", &child.id().to_string());
    child.wait().unwrap();
    proxy.follow(|_, _| Answer::Forward);
    // Of the same dependencies, and of others.
    project.write("lock", "other\n");
    project.ok(&["--push"]);
    let left: Vec<String> = names_in_engine(&project).into_iter().filter(|name| name.contains("_linux-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_push_takes_no_name_in_the_engine_from_an_image_that_somebody_else_made() {
    let project = Project::small().in_registry();
    let [source, lock, versioned] = project.tags(&[]);
    let names = [&source, &lock, &versioned].map(|tag| project.name(tag));
    docker(&["image", "pull", "--quiet", &project.base_image]);
    names.iter().for_each(|name| drop(docker(&["image", "tag", &project.base_image, name])));
    project.ok(&["--push"]);
    for name in &names {
        assert_eq!(label(name, "dev.runtime-image.lock-hash"), "", "{name} was taken");
        docker(&["image", "rm", name]);
        assert!(!image_exists(name));
    }
}
