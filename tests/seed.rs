//! Builds that go on from what an earlier one compiled: less is compiled, and every byte is as without it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use rstest::rstest;
use support::{Project, docker, image_id, run_image};

/// What the steps say where they go on from an earlier build.
const GOES_ON: &str = " packages are compiled anew";

/// A workspace in which one member needs another in every way: `app` needs `mid`, `words` and `macros`, `mid` and `tool`
/// need `base`. It has no dependencies.
fn workspace() -> Project {
    let project = Project::empty().on_engine();
    let members = ["app", "base", "macros", "mid", "tool", "words"];
    let needs = |member: &str| match member {
        "app" => "mid = { path = \"../mid\" }\nwords = { path = \"../words\" }\nmacros = { path = \"../macros\" }\n",
        "mid" | "tool" => "base = { path = \"../base\" }\n",
        _ => "",
    };
    let mut lock = "version = 4\n".to_owned();
    for member in members {
        let package = format!("name = \"{member}\"\nversion = \"0.1.0\"\n");
        let kind = if member == "macros" { "[lib]\nproc-macro = true\n" } else { "" };
        project.write(
            &format!("{member}/Cargo.toml"),
            format!("[package]\n{package}edition = \"2021\"\n{kind}[dependencies]\n{}", needs(member)),
        );
        let needed: Vec<&str> = needs(member).lines().filter_map(|line| line.split(' ').next()).collect();
        let mut needed: Vec<String> = needed.into_iter().map(|name| format!(" \"{name}\",\n")).collect();
        needed.sort();
        let needed =
            if needed.is_empty() { String::new() } else { format!("dependencies = [\n{}]\n", needed.concat()) };
        lock.extend(["\n[[package]]\n", &*package, &*needed]);
    }
    // Its build script makes a source of each line of a file, and says that it reads the file.
    let generator = "fn main() {\n    println!(\"cargo:rerun-if-changed=input.txt\");\n    \
        let out = std::path::PathBuf::from(std::env::var(\"OUT_DIR\").unwrap());\n    \
        let input = std::fs::read_to_string(\"input.txt\").unwrap();\n    \
        for line in input.lines() { std::fs::write(out.join(line), \"\").unwrap() }\n    \
        std::fs::write(out.join(\"made.rs\"), format!(\"pub const MADE: &str = {:?};\", input.trim())).unwrap();\n}\n";
    // This one says nothing.
    let silent = "fn main() { println!(\"cargo:rustc-env=WORDS={}\", std::fs::read_to_string(\"words.txt\").unwrap().trim()) }\n";
    let main = "use macros::say;\nfn main() {\n    println!(\"{} {} {} {} {} {}\", mid::base(), mid::a::A, mid::b::B, \
        words::WORDS, say!(), include_str!(\"../../mid/notes.txt\").trim());\n}\n";
    project
        .write("Cargo.toml", format!("[workspace]\nresolver = \"2\"\nmembers = {members:?}\n"))
        .write("Cargo.lock", lock)
        .write("base/build.rs", generator)
        .write("base/input.txt", "one\n")
        .write("base/src/lib.rs", "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\"));\n")
        .write("mid/src/lib.rs", "pub mod a;\npub mod b;\npub fn base() -> &'static str { base::MADE }\n")
        .write("mid/src/a.rs", "pub const A: &str = \"a1\";\n")
        .write("mid/src/b.rs", "pub const B: &str = \"b1\";\n")
        .write("mid/notes.txt", "notes\n")
        .write("words/build.rs", silent)
        .write("words/words.txt", "silent\n")
        .write("words/src/lib.rs", "pub const WORDS: &str = env!(\"WORDS\");\n")
        .write(
            "macros/src/lib.rs",
            "#[proc_macro]\npub fn say(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"\\\"said\\\"\".parse().unwrap() }\n",
        )
        .write("tool/src/main.rs", "fn main() { println!(\"{}\", base::MADE) }\n")
        .write("app/src/main.rs", main)
        .write("runtime-image.toml", "cmd = [\"app\"]\n");
    project
}

/// What is done to the workspace one after the other; what the program says then; and what is compiled.
type Edit = (&'static str, fn(&Project) -> &Project, &'static str, &'static [&'static str]);

const EDITS: &[Edit] = &[
    ("a module in the middle", |p| p.edit("mid/src/a.rs", "a1", "a2"), "one a2 b1 silent said notes", &["app", "mid"]),
    ("the same again", |p| p.edit("mid/src/a.rs", "a2", "a3"), "one a3 b1 silent said notes", &["app", "mid"]),
    (
        "an older version",
        |p| p.edit("mid/src/a.rs", "a3", "a2").edit("tool/src/main.rs", "{}", "{},"),
        "one a2 b1 silent said notes",
        &["app", "mid", "tool"],
    ),
    ("two files change places", swap, "one b1 a2 silent said notes", &["app", "mid"]),
    ("a module that is gone", remove_module, "one b1 b2 silent said notes", &["app", "mid"]),
    ("a module that is new", add_module, "one b1 b3 silent said notes", &["app", "mid"]),
    (
        "a text that another member reads",
        |p| p.write("mid/notes.txt", "more\n"),
        "one b1 b3 silent said more",
        &["app", "mid"],
    ),
    (
        "what a build script reads",
        |p| p.write("base/input.txt", "two\n"),
        "two b1 b3 silent said more",
        &["app", "base", "mid", "tool"],
    ),
    (
        "what a silent build script reads",
        |p| p.write("words/words.txt", "spoken\n"),
        "two b1 b3 spoken said more",
        &["app", "words"],
    ),
    (
        "a build script",
        |p| p.edit("words/build.rs", "WORDS={}", "WORDS=<{}>"),
        "two b1 b3 <spoken> said more",
        &["app", "words"],
    ),
    (
        "a procedural macro",
        |p| p.edit("macros/src/lib.rs", "said", "told"),
        "two b1 b3 <spoken> told more",
        &["app", "macros"],
    ),
    (
        "the last member",
        |p| p.edit("app/src/main.rs", "{} {}\"", "{} {}!\""),
        "two b1 b3 <spoken> told more!",
        &["app"],
    ),
    (
        "a member that the program does not need",
        |p| p.edit("tool/src/main.rs", "{},", "{}."),
        "two b1 b3 <spoken> told more!",
        &["tool"],
    ),
    (
        "a file of no member",
        |p| p.write("README.md", "x"),
        "two b1 b3 <spoken> told more!",
        &["app", "base", "macros", "mid", "tool", "words"],
    ),
];

/// Both are older than what was compiled, as before.
fn swap(project: &Project) -> &Project {
    let (a, b) = (project.read("mid/src/a.rs"), project.read("mid/src/b.rs"));
    project.write("mid/src/a.rs", b.replace('B', "A")).write("mid/src/b.rs", a.replace('A', "B"))
}

fn remove_module(project: &Project) -> &Project {
    std::fs::remove_file(project.root.join("mid/src/b.rs")).unwrap();
    project.edit("mid/src/lib.rs", "pub mod b;", "pub mod b { pub const B: &str = \"b2\"; }")
}

fn add_module(project: &Project) -> &Project {
    project.write("mid/src/z/mod.rs", "pub const B: &str = \"b3\";\n");
    project.edit("mid/src/lib.rs", "pub const B: &str = \"b2\";", "pub use crate::z::B;").edit(
        "mid/src/lib.rs",
        "pub mod a",
        "mod z;\npub mod a",
    )
}

/// Builds, with what the command compiled, and gives the image. The same is built again without a seed, and is the same.
fn built_alike(project: &Project, arguments: &[&str], what: &str) -> (String, Vec<String>) {
    let seeded = project.ok(arguments);
    let (image, id) = (seeded.image().to_owned(), image_id(seeded.image()));
    let mut compiled = seeded.compiled();
    compiled.sort();
    compiled.dedup();
    docker(&["image", "rm", &image]);
    let plain = project.ok(&[arguments, &["--no-seed"]].concat());
    assert!(!plain.stderr.contains(GOES_ON), "{}", plain.stderr);
    assert_eq!((plain.image(), image_id(&image)), (&*image, id), "{what}\n{}\n{}", seeded.stderr, plain.stderr);
    (image, compiled)
}

#[rstest]
#[case::a_full_image(&[], 0..EDITS.len())]
#[case::a_slim_image(&["--slim"], 5..9)]
#[case::without_optimising(&["--prebuild", "build", "--prebuild", "test --no-run"], 5..9)]
fn what_did_not_change_is_not_compiled_again_and_all_bytes_are_the_same(
    #[case] arguments: &[&str],
    #[case] edits: std::ops::Range<usize>,
) {
    let project = workspace();
    for (_, edit, ..) in &EDITS[..edits.start] {
        edit(&project);
    }
    let (_, compiled) = built_alike(&project, arguments, "at first");
    assert_eq!(compiled.len(), 6);
    for (what, edit, says, expected) in &EDITS[edits] {
        edit(&project);
        let (image, compiled) = built_alike(&project, arguments, what);
        assert_eq!(run_image(&image, &[]), format!("{says}\n"), "{what}");
        assert_eq!(compiled, *expected, "{what}");
    }
}

#[test]
fn a_seed_is_not_gone_on_from_where_something_else_decides() {
    let project = workspace();
    project.ok(&[]);
    let builds = |arguments: &[&str], what: &str, goes_on: bool| {
        let run = project.ok(arguments);
        assert_eq!(run.stderr.contains(GOES_ON), goes_on, "{what}: {}", run.stderr);
    };
    project.edit("tool/src/main.rs", "{}", "1{}");
    builds(&["--build-arg", "A=1"], "an argument of the build", false);
    project.edit("tool/src/main.rs", "{}", "2{}");
    builds(&["--build-arg", "A=1"], "the same argument", true);
    project.edit("tool/src/main.rs", "{}", "3{}");
    builds(&["--build-arg", "A=1", "--no-seed"], "the user's wish", false);
    project.edit("tool/Cargo.toml", "0.1.0", "0.1.1").edit(
        "Cargo.lock",
        "\"tool\"\nversion = \"0.1.0\"",
        "\"tool\"\nversion = \"0.1.1\"",
    );
    builds(&["--build-arg", "A=1"], "another version", false);
    project.edit("tool/src/main.rs", "{}", "4{}");
    builds(&["--build-arg", "A=1", "--force-rebuild"], "a forced build", false);

    // What one user leaves is nothing that others go on from.
    let mut other = project.cloned();
    other.caches = project.caches.with_file_name("others");
    other.edit("tool/src/main.rs", "{}", "5{}");
    let run = other.ok(&["--build-arg", "A=1"]);
    assert!(!run.stderr.contains(GOES_ON), "{}", run.stderr);
}

#[test]
fn a_build_that_fails_leaves_a_seed_that_is_gone_on_from_without_fault() {
    let project = workspace();
    project.ok(&[]);
    project.edit("mid/src/a.rs", "a1", "a2").edit("app/src/main.rs", "fn main", "fn main( {} fn x");
    assert_eq!(project.run(&[]).code, Some(101));
    project.edit("app/src/main.rs", "fn main( {} fn x", "fn main").edit("mid/src/a.rs", "a2", "a1");
    project.edit("app/src/main.rs", "{} {}\"", "{} {}!\"");
    let (image, compiled) = built_alike(&project, &[], "after a failure");
    assert_eq!(run_image(&image, &[]), "one a1 b1 silent said notes!\n");
    assert_eq!(compiled, ["app", "mid"]);
}
