//! Builds that go on from what an earlier one compiled: less is compiled, and every byte is as without it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use rstest::rstest;
use support::{Project, docker, image_id, random, run_image};

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

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

/// Builds, with what the command compiled, and gives the image. The same is built again without a seed, and is the same.
fn built_alike(project: &Project, arguments: &[&str], what: &str) -> (String, Vec<String>) {
    let seeded = project.ok(arguments);
    let (image, id) = (seeded.image().to_owned(), image_id(seeded.image()));
    let compiled = sorted(seeded.compiled());
    docker(&["image", "rm", &image]);
    let plain = project.ok(&[arguments, &["--no-seed"]].concat());
    assert!(!plain.stderr.contains(GOES_ON), "{}", plain.stderr);
    assert_eq!((plain.image(), image_id(&image)), (&*image, id), "{what}\n{}\n{}", seeded.stderr, plain.stderr);
    (image, compiled)
}

#[rstest]
#[case::a_full_image(&[], 0..EDITS.len())]
#[case::a_slim_image(&["--slim"], 6..8)]
#[case::without_optimising(&["--prebuild", "build", "--prebuild", "test --no-run"], 6..8)]
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
    let last = edits.end - 1;
    for (place, (what, edit, says, expected)) in edits.clone().zip(&EDITS[edits]) {
        edit(&project);
        // A wrong byte stays until its package is compiled again: the others are looked at by `make seeds`.
        let (image, compiled) = if place % 3 == 0 || place == last {
            built_alike(&project, arguments, what)
        } else {
            let run = project.ok(arguments);
            let told = format!("; {} of 6 packages changed since the last build\n", expected.len());
            assert!(run.stderr.contains(&told), "{what}: {}", run.stderr);
            (run.image().to_owned(), sorted(run.compiled()))
        };
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
    project.write("app/src/bin/new.rs", "fn main() { println!(\"new\") }\n");
    builds(&["--build-arg", "A=1"], "another program", false);
    let image = project.ok(&["--build-arg", "A=1"]).image().to_owned();
    assert_eq!(run_image(&image, &["new"]), "new\n");
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
    assert_eq!(compiled, ["app"]);
}

/// What the tree says, built here: by another compiler, from nothing that an earlier build left.
fn said_here(project: &Project, variable: &str) -> String {
    let run = std::process::Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--bin", "app"])
        .current_dir(&project.root)
        .env("CARGO_TARGET_DIR", tempfile::tempdir().unwrap().path())
        .env("SAID", variable)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// What files of a tree held, at one time.
type Texts = Vec<(String, String)>;

/// The random changes of one test.
struct Changes {
    /// The files that are changed, and put back to what they were.
    files: Vec<&'static str>,
    older: Vec<Texts>,
}

impl Changes {
    fn of(files: Vec<&'static str>) -> Self {
        Self { files, older: Vec::new() }
    }

    /// Has `change` change something, or puts most of it back as it was some time ago, with the dates of then. Says what
    /// differs.
    fn make(&mut self, project: &Project, change: impl FnOnce(usize)) -> String {
        let number = self.older.len();
        let texts: Texts = self.files.iter().map(|path| ((*path).to_owned(), project.read(path))).collect();
        self.older.push(texts.clone());
        if random(6) == 0 {
            for (path, text) in self.older[random(self.older.len())].iter().filter(|_| random(4) > 0) {
                project.write(path, text);
            }
        } else {
            change(number);
        }
        let changed: Vec<String> =
            texts.into_iter().filter(|(path, text)| *text != project.read(path)).map(|(path, _)| path).collect();
        format!("change {number}: {changed:?}")
    }
}

/// Changes something of the workspace above, to what it never was before where that is possible.
fn change(project: &Project, number: usize) {
    let constant = |path: &str, name: &str| project.write(path, format!("pub const {name}: &str = \"{number}\";\n"));
    let generated = |words: usize| ["w0\n", "w1\n", "w2\n", "w3\n"][..words].concat();
    match random(13) {
        0 => constant("mid/src/a.rs", "A"),
        1 => constant("mid/src/b.rs", "B"),
        2 => swap(project),
        3 => project.write("mid/notes.txt", format!("{number}\n")),
        // Lines are files that the build script makes: fewer of them leave none of before.
        4 => project.write("base/input.txt", generated(1 + random(4))),
        5 => project.write("words/words.txt", format!("{number}\n")),
        6 => project.write(
            "macros/src/lib.rs",
            format!("#[proc_macro]\npub fn say(_: proc_macro::TokenStream) -> proc_macro::TokenStream {{ \"\\\"{number}\\\"\".parse().unwrap() }}\n"),
        ),
        7 => project.write("tool/src/main.rs", format!("fn main() {{ println!(\"{{}} {number}\", base::MADE) }}\n")),
        8 => project.write("mid/src/extra.rs", format!("//! {number}\n")),
        9 => project.write("app/tests/new.rs", format!("#[test]\nfn t() {{ assert!({number} < 1000) }}\n")),
        // These change what the dependencies are built with, of which there are none.
        10 => project.write(".cargo/config.toml", format!("[build]\nrustflags = [\"--cfg\", \"change_{number}\"]\n")),
        11 => project.write("Cargo.toml", project.read("Cargo.toml").split("[profile").next().unwrap().to_owned()
            + &format!("[profile.release]\nopt-level = {0}\n[profile.dev]\nopt-level = {0}\n", random(4))),
        _ => project.write("base/Cargo.toml", project.read("base/Cargo.toml").split("[features").next().unwrap().to_owned()
            + &format!("[features]\ndefault = [\"f{number}\"]\nf{number} = []\n")),
    };
}

/// How many random changes are made, in a test that makes `few` of them unless it is told otherwise.
fn count_of_changes(few: usize) -> usize {
    std::env::var("SEED_CHANGES").map_or(few, |changes| changes.parse().unwrap())
}

#[rstest]
#[case::release(&[])]
#[case::dev(&["--prebuild", "build"])]
fn random_changes_give_the_bytes_of_a_build_without_a_seed(#[case] arguments: &[&str]) {
    let project = workspace();
    project.write(".cargo/config.toml", "").edit(
        "app/src/main.rs",
        "fn main() {",
        "fn main() {\n    print!(\"{} \", option_env!(\"SAID\").unwrap_or(\"unsaid\"));",
    );
    let (changes, mut fewer, mut variable) = (count_of_changes(2), 0, "first".to_owned());
    let mut random_changes = Changes::of(vec![
        ".cargo/config.toml",
        "Cargo.toml",
        "base/Cargo.toml",
        "base/input.txt",
        "macros/src/lib.rs",
        "mid/notes.txt",
        "mid/src/a.rs",
        "mid/src/b.rs",
        "tool/src/main.rs",
        "words/words.txt",
    ]);
    for number in 0..changes {
        let what = random_changes.make(&project, |number| change(&project, number));
        if random(8) == 0 {
            variable = format!("v{number}");
        }
        let argument = format!("SAID={variable}");
        let (image, compiled) = built_alike(&project, &[&["--build-arg", &argument], arguments].concat(), &what);
        assert_eq!(run_image(&image, &[]), said_here(&project, &variable), "{what}");
        fewer += usize::from(compiled.len() < 6);
    }
    // A few of them may all be of what every package depends on.
    assert!(changes < 25 || fewer > 10, "few builds went on from a seed: {fewer}");
}

/// A file, and what stands in it before and behind a place where any number may be.
type Place = (&'static str, &'static str, &'static str);

const OF_HELLO: [Place; 3] = [
    ("greeting/src/lib.rs", "{} from the {name}", " {}\""),
    ("hello/src/main.rs", "({} characters", ")"),
    ("shout/src/lib.rs", "//! A procedural macro", ","),
];

/// Members from the lowest to the binaries, and what a build script reads.
const OF_GENERATED: [Place; 10] = [
    ("crates/macros/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/units/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/store/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/rules/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/engine/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/api/src/lib.rs", "REVISION: &str = \"", "\""),
    ("crates/tool/src/main.rs", "REVISION: &str = \"", "\""),
    ("crates/server/src/main.rs", "REVISION: &str = \"", "\""),
    ("crates/codec/tables/rates.txt", "", "\n"),
    ("crates/codec/build.rs", "//! Makes a table", " of"),
];

fn generated() -> Project {
    let project = Project::empty();
    std::fs::remove_dir_all(&project.root).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/bench-workspace");
    let made = std::process::Command::new(script).arg(&project.root).arg("2").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    project.on_engine()
}

/// Makes random changes at these places, and builds each with a seed and without.
fn change_at_random(project: &Project, places: &[Place], changes: usize, arguments: &[&str]) {
    let mut random_changes = Changes::of(places.iter().map(|(path, ..)| *path).collect());
    for _ in 0..changes {
        let what = random_changes.make(project, |number| {
            let (path, before, behind) = places[random(places.len())];
            let text = project.read(path);
            let (start, rest) = text.split_at(text.find(before).unwrap() + before.len());
            project.write(path, format!("{start}{number}{}", &rest[rest.find(behind).unwrap()..]));
        });
        let (image, _) = built_alike(project, arguments, &what);
        // What a program prints is all that its packages say of themselves.
        let said = run_image(&image, &[]);
        for (path, before, behind) in places.iter().filter(|(_, before, _)| before.contains("REVISION")) {
            let text = project.read(path);
            let revision = text.split_once(before).unwrap().1.split_once(behind).unwrap().0;
            let member = path.split('/').nth(1).unwrap();
            let is_part = !["macros", "tool"].contains(&member);
            assert!(!is_part || said.contains(&format!("{member} {revision}\n")), "{what}: {said}");
        }
    }
}

#[rstest]
#[case::hello(Project::hello_on_engine(), &OF_HELLO, &[])]
#[case::hello_without_optimising(Project::hello_on_engine(), &OF_HELLO, &["--prebuild", "build"])]
#[ignore = "long: make seeds"]
#[case::generated(generated(), &OF_GENERATED, &[])]
#[ignore = "long: make seeds"]
#[case::generated_without_optimising(generated(), &OF_GENERATED, &["--prebuild", "build"])]
fn random_changes_of_workspaces_with_dependencies(
    #[case] project: Project,
    #[case] places: &[Place],
    #[case] arguments: &[&str],
) {
    change_at_random(&project, places, count_of_changes(2), arguments);
}
