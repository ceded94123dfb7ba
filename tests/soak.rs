//! What `make soak` does for half an hour: the faults of `faults.rs` again and again, at moments that nobody chose. Each
//! prints what came of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]
#![allow(clippy::print_stdout, reason = "what came of it is read by people")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use support::engine::OtherEngine;
use support::{Project, Run, image_exists, kill, processes_naming, random, run_image, runs_at_once};

/// The last step that a run told of.
fn phase(stderr: &str) -> &'static str {
    ["Confirmed", "pushing ", "exporting ", "Building", "Staging", "Planning"]
        .into_iter()
        .find(|word| stderr.contains(word))
        .unwrap_or("before planning")
}

/// Sends a signal to a run after this time, and says which step the run was in. All of it has ended when this returns.
fn signalled(project: &Project, arguments: &[&str], signal: &str, group: bool, delay: Duration) -> &'static str {
    let mut command = project.command(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    let process = child.id();
    let watched = thread::spawn(move || Run::from(child.wait_with_output().unwrap()));
    thread::sleep(delay);
    let target = if group { format!("-{process}") } else { process.to_string() };
    // It may have ended by now.
    let sent = std::process::Command::new("kill").args([&format!("-{signal}"), "--", &target]).output().unwrap();
    let at = Instant::now();
    let run = watched.join().unwrap();
    assert!(at.elapsed() < Duration::from_secs(6), "{signal} took {:?}:\n{}", at.elapsed(), run.stderr);
    let words = [&*project.caches.parent().unwrap().display().to_string()];
    while !processes_naming(&words).is_empty() {
        assert!(at.elapsed() < Duration::from_secs(15), "orphans after {signal}: {:#?}", processes_naming(&words));
        thread::sleep(Duration::from_millis(50));
    }
    if run.code == Some(0) || !sent.status.success() {
        return "ended well";
    }
    let code = match signal {
        "TERM" => Some(143),
        "INT" => Some(130),
        "HUP" => Some(129),
        _ => None,
    };
    // A signal may come before it is caught, and then ends the process by itself.
    let at_once = run.code.is_none() && run.stderr.is_empty();
    assert!(at_once || run.code == code, "{signal} gave {:?}:\n{}", run.code, run.stderr);
    phase(&run.stderr)
}

/// Interrupts runs of a project with these arguments, each with new content, and has a plain run finish.
fn interrupt(times: u32, arguments: &[&str], project: &Project) {
    let mut told: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    let mut rebuilt = 0;
    project.ok(arguments);
    project.write("app", "echo measured\n");
    let started = Instant::now();
    project.ok(arguments);
    let usual = started.elapsed();
    for number in 0..times {
        let text = format!("interrupted {number}\n");
        project.write("app", format!("echo {text}"));
        if number % 5 == 0 {
            project.write("lock", format!("{number} {}", support::salt()));
        }
        let signal = ["TERM", "INT", "HUP", "KILL"][number as usize % 4];
        let group = number % 8 < 4;
        let delay = usual * u32::try_from(random(1000)).unwrap() / 900;
        let step = signalled(project, arguments, signal, group, delay);
        *told.entry((signal, if group { "group" } else { "alone" }, step)).or_default() += 1;
        let source = project.name(&project.tags(&[])[0]);
        if image_exists(&source) {
            assert_eq!(run_image(&source, &[]), text, "after {signal}");
        }
        let again = project.ok(arguments);
        rebuilt += u32::from(again.stderr.contains("from no cache: the builder's is broken"));
        assert_eq!(run_image(again.image(), &[]), text, "the next run after {signal}");
        // A run that finds its image builds nothing, and removes nothing.
        if !again.stderr.contains("Reusing") {
            assert_eq!(project.left_over(), Vec::<String>::new(), "after {signal}");
        }
        support::docker(&["image", "rm", "--force", again.image()]);
    }
    println!("{times} interruptions of {arguments:?}, by signal, target and step; {rebuilt} left a broken cache:");
    told.iter().for_each(|(at, count)| println!("  {at:?}: {count}"));
}

#[test]
#[ignore = "long: make soak"]
fn runs_that_load_are_interrupted() {
    let project = Project::small();
    interrupt(140, &[], &project);
}

#[test]
#[ignore = "long: make soak"]
fn runs_that_push_are_interrupted() {
    let project = Project::small().in_registry();
    interrupt(60, &["--push", "--load"], &project);
}

#[test]
#[ignore = "long: make soak"]
fn twenty_runs_at_once_ten_times() {
    for round in 0..10 {
        let started = Instant::now();
        let first = Project::small();
        first.write("lock", format!("{round} {}", support::salt()));
        // Half of them of one content.
        let numbers: Vec<usize> = (0..20).map(|number| number / 2).collect();
        let runs = runs_at_once(&first, &numbers);
        let said = |word: &str| runs.iter().filter(|run| run.stderr.contains(word)).count();
        assert_eq!(said("Building the dependencies"), 1, "round {round}: {runs:#?}");
        assert_eq!(said("Building the sources"), 10, "round {round}: {runs:#?}");
        println!("round {round}: 20 runs in {:?}", started.elapsed());
    }
}

#[test]
#[ignore = "long: make soak"]
fn an_engine_is_killed_at_twenty_moments() {
    let engine = OtherEngine::start("soak");
    let project = Project::small();
    let run = |arguments: &[&str]| Run::from(engine.command(&project, arguments).output().unwrap());
    let started = Instant::now();
    assert_eq!(run(&[]).code, Some(0));
    let usual = started.elapsed();
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..20_u32 {
        let text = format!("{number}\n");
        project.write("app", format!("echo {text}"));
        project.write("lock", format!("{number} {}", support::salt()));
        let child = engine.command(&project, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(usual * (number + 1) / 22);
        kill("KILL", &engine.process());
        let ended = Run::from(child.wait_with_output().unwrap());
        engine.start_again();
        if ended.code == Some(0) {
            *told.entry("ended well".to_owned()).or_default() += 1;
        } else {
            let error = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            ended.fails_with(1, &["hint: "]);
            let error: String = error.split('`').step_by(2).collect::<Vec<_>>().join("...");
            *told.entry(error).or_default() += 1;
        }
        let again = run(&[]);
        assert_eq!(again.code, Some(0), "after {}:\n{}", ended.stderr, again.stderr);
        assert_eq!(engine.docker(&["run", "--rm", again.image()]), text);
    }
    println!("an engine killed at 20 moments of {usual:?}:");
    told.iter().for_each(|(error, count)| println!("  {count} x {error}"));
}

#[test]
#[ignore = "long: make soak"]
fn a_full_disk_of_the_engine_leaves_no_name_and_is_told() {
    let engine = OtherEngine::with_disk("full", "700m");
    let project = Project::small();
    project.edit("runtime-image.toml", "sort app >/built", "sort app >/built; head -c 900000000 /dev/urandom >/big");
    let run = |arguments: &[&str]| Run::from(engine.command(&project, arguments).output().unwrap());
    let failed = run(&[]);
    failed.fails_with(101, &["o space left on device", "hint: `docker system df`"]);
    let [source, ..] = project.tags(&[]);
    let listed = engine.docker(&["image", "ls", "--format", "{{.Tag}}", &project.repository]);
    assert!(!listed.contains(&source), "{listed}");
    project.edit("runtime-image.toml", "900000000", "9");
    let again = run(&[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    println!("a full disk: {}", failed.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default());
}
