//! What the user sees of a registry that fails, in each of the ways that registries do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::net::TcpListener;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;
use support::proxy::{Answer, Proxy, Request};
use support::{HELLO, Project, Run, docker, kill, processes_naming, registry, registry_digest, run_image};

/// What the error says, and what the hint: each outcome has words that no other has.
const UNAUTHORIZED: (&str, &str) = ("it wants to know who asks (401)", "`docker login ");
const TOKEN: (&str, &str) = ("its token service gave no token", "`docker login ");
const FORBIDDEN: (&str, &str) = ("it forbids that (403)", "ask whoever runs ");
const TOO_MANY: (&str, &str) = ("it was asked too often (429)", "wait a minute, ");
const FAILED: (&str, &str) = ("it failed", "run again; ");
const REFUSED: (&str, &str) = ("nobody listens there", "check that a registry runs at ");
const UNKNOWN: (&str, &str) = ("its host is not known", "check the name no-such-host.invalid");
const NO_REGISTRY: (&str, &str) = ("what answers is not a registry", "check its address; ");
const SILENT: (&str, &str) = ("it does not answer", "check the network; `--registry-timeout` ");
const OUTCOMES: [(&str, &str); 9] =
    [UNAUTHORIZED, TOKEN, FORBIDDEN, TOO_MANY, FAILED, REFUSED, UNKNOWN, NO_REGISTRY, SILENT];

fn proxy(rule: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Proxy {
    Proxy::new(&registry(), rule)
}

/// A project whose images are in the registry behind this address.
fn project_at(address: &str) -> Project {
    let mut project = Project::hello_on_engine();
    project.repository = format!("{address}/{}", project.repository.trim_start_matches("localhost/"));
    project
}

fn timed<T>(action: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    (action(), started.elapsed())
}

/// This outcome and no other, told once, with what to do; and nothing was written.
fn assert_fails(project: &Project, run: &Run, outcome: (&str, &str)) {
    run.fails_with(1, &[&format!("\nhint: {}", outcome.1)]);
    let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.starts_with(&format!("error: cannot ask the registry for `{}:rt_", project.repository)), "{error}");
    let told: Vec<&str> = OUTCOMES.iter().map(|(what, _)| *what).filter(|what| error.contains(what)).collect();
    assert_eq!(told, [outcome.0], "{}", run.stderr);
    assert!(!project.root.join("target").exists(), "something was staged");
}

/// A status with a header.
fn with_header(code: u16, name: &'static str, value: &str) -> Answer {
    Answer::Status(code, vec![(name, value.to_owned())], "")
}

/// A registry that sends its clients to a token service, which answers `token`.
fn with_token_service(token: Answer) -> Proxy {
    let proxy = proxy(|_, _| Answer::Forward);
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"test\",scope=\"repository:x:pull\"", proxy.address);
    proxy.follow(move |request, _| {
        if request.path.starts_with("/token") { token.clone() } else { with_header(401, "WWW-Authenticate", &realm) }
    });
    proxy
}

#[test]
fn an_image_that_the_registry_does_not_have_is_built_from_scratch() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let (plan, _) = project.json(&["plan", "--push"]);
    assert_eq!((&plan["action"], &plan["build_from"]), (&"build".into(), &"scratch".into()));
    let tags = project.tags(&[]);
    for tag in &tags {
        assert!(proxy.seen().iter().any(|request| request.path.ends_with(&format!("/manifests/{tag}"))), "{tag}");
    }
}

#[rstest]
#[case::nobody_is_logged_in(with_header(401, "WWW-Authenticate", "Basic realm=\"test\""), UNAUTHORIZED)]
#[case::no_right_to_read(Answer::status(403), FORBIDDEN)]
#[case::asked_too_often(with_header(429, "Retry-After", "1"), TOO_MANY)]
#[case::a_login_page(
    Answer::Status(200, vec![("Content-Type", "text/html".to_owned())], "<html><body>Log in</body></html>"),
    NO_REGISTRY
)]
#[case::silence(Answer::Hang, SILENT)]
fn what_is_not_an_answer_is_an_error_within_the_time_allowed(#[case] answer: Answer, #[case] outcome: (&str, &str)) {
    let proxy = proxy(move |_, _| answer.clone());
    let project = project_at(&proxy.address);
    let (run, took) = timed(|| project.run(&["plan", "--push", "--registry-timeout", "3"]));
    assert_fails(&project, &run, outcome);
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[rstest]
#[case::that_refuses(Answer::status(403), TOKEN)]
#[case::that_does_not_know_what_is_asked_for(Answer::status(404), TOKEN)]
#[case::that_fails(Answer::status(503), FAILED)]
#[case::that_was_asked_too_often(Answer::status(429), TOO_MANY)]
fn a_token_service(#[case] token: Answer, #[case] outcome: (&str, &str)) {
    let proxy = with_token_service(token);
    let project = project_at(&proxy.address);
    assert_fails(&project, &project.run(&["plan", "--push", "--registry-timeout", "3"]), outcome);
}

#[test]
fn a_registry_that_fails_is_asked_again_and_is_an_error_when_that_does_not_help() {
    let answers = [Answer::status(500), Answer::status(502), Answer::status(503), Answer::Close];
    // At once, because each takes its time.
    thread::scope(|scope| {
        for answer in answers {
            scope.spawn(move || {
                let proxy = proxy(move |_, _| answer.clone());
                let project = project_at(&proxy.address);
                // More than it takes: newer versions of buildx ask again by themselves for 7 seconds.
                let run = project.run(&["plan", "--push", "--registry-timeout", "20"]);
                assert_fails(&project, &run, FAILED);
                assert!(proxy.seen().len() > 1, "it was asked once");
            });
        }
    });
}

#[test]
fn a_registry_that_failed_before_it_fell_silent_is_said_to_have_failed() {
    let proxy = proxy(|_, _| Answer::status(503));
    // A newer buildx asks several times, for seven seconds, before it gives up.
    let image = format!("{}/a:1", proxy.address);
    assert!(!Command::new("docker").args(["buildx", "imagetools", "inspect", &image]).status().unwrap().success());
    let asked = proxy.seen().len();
    proxy.follow(move |_, before| if before < asked { Answer::status(503) } else { Answer::Hang });
    let project = project_at(&proxy.address);
    let timeout = if asked > 1 { "12" } else { "4" };
    let run = project.run(&["plan", "--push", "--registry-timeout", timeout]);
    assert_fails(&project, &run, FAILED);
    run.fails_with(1, &["503 Service Unavailable", &format!("then no answer within {timeout} s")]);
}

#[test]
fn where_nobody_listens_is_tried_a_few_times() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let project = project_at(&address);
    let (run, took) = timed(|| project.run(&["plan", "--push"]));
    assert_fails(&project, &run, REFUSED);
    run.fails_with(1, &["tried 3 times", "connection refused", &address]);
    assert!(took < Duration::from_secs(8), "it took {took:?}");
}

#[test]
fn a_host_without_an_address_is_an_error() {
    let project = project_at("no-such-host.invalid");
    assert_fails(&project, &project.run(&["plan", "--push"]), UNKNOWN);
}

#[rstest]
// buildx itself asks about six times at once.
#[case::asked_too_often(429, 8)]
#[case::fails(503, 1)]
fn a_registry_that_recovers_is_asked_until_it_does(#[case] code: u16, #[case] times: usize) {
    let proxy = proxy(move |_, before| if before < times { Answer::status(code) } else { Answer::Forward });
    let project = project_at(&proxy.address);
    let (plan, _) = project.json(&["plan", "--push"]);
    assert_eq!(plan["build_from"], "scratch");
    assert!(proxy.seen().len() > times);
}

#[test]
fn a_registry_that_is_slow_is_waited_for_and_one_that_breaks_off_is_asked_again() {
    let project = project_at(&registry());
    project.ok(&["--push"]);
    let proxy = proxy(|_, _| Answer::Forward);
    let asked = || {
        let repository = project.repository.replace(&registry(), &proxy.address);
        project.run(&["plan", "--push", "--registry-timeout", "15", "--repository", &repository])
    };
    proxy.follow(
        |request, _| {
            if request.is_for_manifest() { Answer::Slow(Duration::from_secs(2)) } else { Answer::Forward }
        },
    );
    let slow = asked();
    assert!(slow.code == Some(0) && slow.stdout.contains("reuse"), "{}\n{}", slow.stdout, slow.stderr);
    proxy.follow(|request, before| {
        let is_cut = request.method == "GET" && request.is_for_manifest() && before < 3;
        if is_cut { Answer::Cut } else { Answer::Forward }
    });
    let cut = asked();
    assert!(cut.code == Some(0) && cut.stdout.contains("reuse"), "{}\n{}", cut.stdout, cut.stderr);
    proxy.follow(|request, _| {
        let is_cut = request.method == "GET" && request.is_for_manifest();
        if is_cut { Answer::Cut } else { Answer::Forward }
    });
    let run = asked();
    run.fails_with(1, &["it failed", "\nhint: run again; "]);
}

#[test]
fn a_registry_that_hangs_leaves_no_process_behind() {
    let proxy = proxy(|_, _| Answer::Hang);
    let project = project_at(&proxy.address);
    let (run, took) = timed(|| project.run(&["plan", "--push", "--registry-timeout", "2"]));
    assert_fails(&project, &run, SILENT);
    run.fails_with(1, &["no answer within 2 s"]);
    assert!(took < Duration::from_secs(4), "it took {took:?}");
    assert_no_process_names(&proxy.address);
}

#[test]
fn a_signal_ends_the_wait_for_a_registry() {
    let proxy = proxy(|_, _| Answer::Hang);
    let project = project_at(&proxy.address);
    let mut child = project.command(&["plan", "--push"]).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while proxy.seen().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "the registry was never asked");
        thread::sleep(Duration::from_millis(20));
    }
    kill("TERM", &child.id().to_string());
    let (status, took) = timed(|| child.wait().unwrap());
    assert_eq!(status.code(), Some(143));
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_no_process_names(&proxy.address);
}

#[rstest]
#[case::that_hangs(Answer::Hang, SILENT)]
#[case::that_forbids(Answer::status(403), FORBIDDEN)]
fn without_an_image_in_the_engine_a_configured_registry_has_to_answer(
    #[case] answer: Answer,
    #[case] outcome: (&str, &str),
) {
    let proxy = proxy(move |_, _| answer.clone());
    let project = project_at(&proxy.address);
    assert_fails(&project, &project.run(&["plan", "--load", "--registry-timeout", "2"]), outcome);
}

#[test]
fn an_image_in_the_engine_is_reused_while_its_registry_hangs() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let (built, _) = project.json(&["--load"]);
    proxy.follow(|_, _| Answer::Hang);
    let ((reused, _), took) = timed(|| project.json(&["--load"]));
    assert_eq!((&reused["action"], &reused["confirmed"]), (&"reuse".into(), &built["confirmed"]));
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    assert_no_process_names(&proxy.address);
}

#[test]
fn a_push_that_the_registry_ends_half_way_is_finished_by_the_next_run() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let [source, lock, versioned] = project.tags(&[]);
    let last = format!("/manifests/{source}");
    proxy.follow(move |request, _| {
        let is_last = request.method == "PUT" && request.path.ends_with(&last);
        if is_last { Answer::status(403) } else { Answer::Forward }
    });
    let run = project.run(&["--push"]);
    let states = format!(
        "\nnote: in `{}`: `{lock}` is there, `{versioned}` is there, `{source}` is not there\n",
        project.repository
    );
    run.fails_with(1, &["403 Forbidden", &states, "\nhint: "]);

    proxy.follow(|_, _| Answer::Forward);
    let (finished, _) = project.json(&["--push"]);
    assert_eq!((&finished["action"], &finished["build_from"]), (&"build".into(), &"lock".into()));
    let image = finished["image"].as_str().unwrap();
    assert_eq!(run_image(image, &[]), HELLO);

    proxy.follow(|_, _| Answer::Forward);
    let (reused, _) = project.json(&["--push"]);
    assert_eq!((&reused["action"], &reused["confirmed"]), (&"reuse".into(), &finished["confirmed"]));
    assert_only_described(image, &proxy.seen());
}

#[test]
fn a_name_that_is_taken_while_its_image_is_built_is_not_overwritten() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let source = project.name(&project.tags(&[])[0]);
    let (taken, other) = (source.replace(&proxy.address, &registry()), project.base_image.clone());
    let pushed = format!("/manifests/{}_linux-", source.rsplit_once(':').unwrap().1);
    proxy.follow(move |request, _| {
        if request.method == "PUT" && request.path.contains(&pushed) {
            docker(&["buildx", "imagetools", "create", "--tag", &taken, &other]);
        }
        Answer::Forward
    });
    project.run(&["--push"]).fails_with(1, &["was taken by an image of other content", "` is another image"]);
    assert_eq!(registry_digest(&source), registry_digest(&project.base_image));
}

#[test]
fn a_push_that_meets_a_fault_of_the_registry_is_tried_again() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let asked = std::sync::atomic::AtomicUsize::new(0);
    proxy.follow(move |request, _| {
        let is_on_its_way = request.method == "HEAD" && request.path.contains("_linux-");
        // BuildKit tries again by itself, and the engine, which asks after it, does not.
        let fails = is_on_its_way && asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1;
        if fails { Answer::status(500) } else { Answer::Forward }
    });
    let (report, run) = project.json(&["--push"]);
    assert!(run.stderr.contains("Pushing again, because of the registry: it failed"), "{}", run.stderr);
    assert_eq!(report["confirmed"]["store"], "registry");
}

#[test]
fn an_index_that_meets_a_fault_of_the_registry_is_written_again() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let [source, _, _] = project.tags(&[]);
    let index = format!("/manifests/{source}");
    let asked = std::sync::atomic::AtomicUsize::new(0);
    proxy.follow(move |request, _| {
        let is_index = request.method == "PUT" && request.path.ends_with(&index);
        let fails = is_index && asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        if fails { Answer::status(500) } else { Answer::Forward }
    });
    let (report, run) = project.json(&["--push"]);
    assert_eq!(report["confirmed"]["store"], "registry", "{}", run.stderr);
}

#[test]
fn a_versioned_name_that_could_not_be_pushed_comes_with_the_next_run() {
    let proxy = proxy(|_, _| Answer::Forward);
    let project = project_at(&proxy.address);
    let [source, lock, versioned] = project.tags(&[]);
    let refused = format!("/manifests/{versioned}");
    proxy.follow(move |request, _| {
        let is_refused = request.method == "PUT" && request.path.ends_with(&refused);
        if is_refused { Answer::status(403) } else { Answer::Forward }
    });
    let states = format!("`{lock}` is there, `{versioned}` is not there, `{source}` is not there\n");
    project.run(&["--push"]).fails_with(1, &["403 Forbidden", &states, "\nhint: "]);

    proxy.follow(|_, _| Answer::Forward);
    let (finished, run) = project.json(&["--push"]);
    assert_eq!((&finished["action"], &finished["build_from"]), (&"build".into(), &"lock".into()));
    assert!(run.compiled().iter().all(|name| name != "itoa"), "{}", run.stderr);
    project.edit("Cargo.toml", "[workspace]", "[profile.release]\nlto = true\n\n[workspace]");
    let (plan, _) = project.json(&["plan", "--push"]);
    assert_eq!(plan["build_from"], "versioned", "{plan}");
}

/// Manifests and the configuration were read, and nothing else: no layer, above all.
fn assert_only_described(image: &str, seen: &[Request]) {
    let raw = |image: &str| -> Value {
        serde_json::from_str(&docker(&["buildx", "imagetools", "inspect", "--raw", image])).unwrap()
    };
    let mut manifest = raw(image);
    if let Some(digest) = manifest["manifests"][0]["digest"].as_str() {
        manifest = raw(&format!("{}@{digest}", image.rsplit_once(':').unwrap().0));
    }
    assert_ne!(manifest["layers"].as_array().unwrap().len(), 0, "{manifest}");
    let config = format!("/blobs/{}", manifest["config"]["digest"].as_str().unwrap());
    assert!(seen.iter().any(Request::is_for_manifest), "{seen:?}");
    for request in seen {
        assert!(["GET", "HEAD"].contains(&request.method.as_str()), "{request:?}");
        assert!(request.is_for_manifest() || request.path.ends_with(&config), "{request:?}");
    }
}

/// A child that was ended has a moment to go.
fn assert_no_process_names(word: &str) {
    let started = Instant::now();
    while !processes_naming(&[word]).is_empty() && started.elapsed() < Duration::from_secs(1) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(processes_naming(&[word]), Vec::<String>::new(), "an orphan is left");
}
