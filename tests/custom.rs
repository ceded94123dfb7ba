//! Projects that `runtime-image.toml` describes: the examples for real, templates, names, what is in the build folder.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::path::Path;

use rstest::rstest;
use runtime_image::config::settings::Settings;
use runtime_image::project::find::Found;
use runtime_image::system::cargo::CargoCall;
use runtime_image::system::interrupt::Interrupt;
use runtime_image::system::terminal::Terminal;
use support::{Project, copy, docker, image_id, label, registry, run_image, salt};

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A copy of an example, on the engine's Debian.
fn example(name: &str) -> Project {
    let mut project = Project::empty();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name), &project.root);
    project.base_image = format!("{}/debian:bookworm", registry());
    project
}

/// A small project that no engine is asked about.
fn small() -> Project {
    let project = Project::empty();
    project
        .write(
            "runtime-image.toml",
            "version = \"1.0.0\"\nlock-files = [\"deps.lock\"]\nsource = [\"src\"]\nextra-deps = \"cat deps.lock\"\n",
        )
        .write("deps.lock", "one\n")
        .write("src/main", "main\n")
        .write("notes", "not in the image\n");
    project
}

fn files(folder: &Path) -> Vec<String> {
    let mut found: Vec<String> = support::openhands::listing(folder);
    found.iter_mut().for_each(|line| line.truncate(line.rfind(' ').unwrap()));
    found
}

#[test]
fn the_python_example_builds_runs_and_installs_once() {
    let project = example("python");
    project.write("requirements.txt", format!("{}{}", salt(), project.read("requirements.txt")));
    let bundle = ["--ca-bundle", CERTIFICATES];
    let arguments: &[&str] = if Path::new(CERTIFICATES).exists() { &bundle } else { &[] };
    let (first, run) = project.json(arguments);
    assert_eq!(
        (first["build_from"].as_str(), first["kind"].as_str()),
        (Some("scratch"), Some("custom")),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("Successfully installed inflection"), "{}", run.stderr);
    assert_eq!(run_image(first["image"].as_str().unwrap(), &[]), "Hello From The Runtime Image\n");
    assert_eq!(project.json(arguments).0["action"], "reuse");

    project.edit("hello/__main__.py", "hello from", "greetings from");
    let (second, run) = project.json(arguments);
    assert_eq!(second["build_from"], "lock");
    assert!(!run.stderr.contains("inflection"), "the dependencies were installed again:\n{}", run.stderr);
    assert_eq!(run_image(second["image"].as_str().unwrap(), &[]), "Greetings From The Runtime Image\n");

    // The lock image holds no sources, and says what it is.
    let lock = project.name(first["tags"]["lock"].as_str().unwrap());
    assert_eq!(run_image(&lock, &["ls"]), "requirements.txt\n");
    assert_eq!(label(&lock, "dev.runtime-image.kind"), "custom");
    assert_eq!(label(&lock, "dev.runtime-image.source-hash"), "");
}

#[test]
fn the_c_example_builds_on_every_tier_with_its_own_template() {
    let project = example("c");
    project.edit("Dockerfile.j2", "set -eu;", &format!("set -eu; : {};", salt().trim_start_matches('#').trim()));
    let output = "hello from the runtime image 1.0.0: crc32 a457fffe\n";
    let (first, run) = project.json(&[]);
    assert_eq!(first["build_from"], "scratch", "{}", run.stderr);
    assert_eq!(run_image(first["image"].as_str().unwrap(), &[]), output);

    project.edit("src/hello.c", "hello from", "ciao from");
    let (second, _) = project.json(&[]);
    assert_eq!(second["build_from"], "lock");
    assert!(run_image(second["image"].as_str().unwrap(), &[]).starts_with("ciao from"));

    project.write("packages.txt", format!("{}pkg-config\n", project.read("packages.txt")));
    let (third, run) = project.json(&[]);
    assert_eq!(third["build_from"], "versioned", "{}", run.stderr);
    assert!(run.stderr.contains("Setting up pkg"), "{}", run.stderr);
    assert!(run_image(third["image"].as_str().unwrap(), &[]).starts_with("ciao from"));
}

#[test]
fn a_template_of_one_stage_gives_one_image_with_all_tags() {
    let mut project = small();
    project.base_image = format!("{}/debian:bookworm", registry());
    project
        .write(
            "runtime-image.toml",
            "version = \"1.0.0\"\nlock-files = [\"deps.lock\"]\nsource = [\"src\"]\ntemplate = \"Dockerfile.j2\"\n",
        )
        .write("deps.lock", salt())
        .write("Dockerfile.j2", "FROM {{ base_image }}\nCOPY deps/ /app/\nCOPY code/ /app/\n");
    let (first, run) = project.json(&[]);
    let tags = ["source", "lock", "versioned"].map(|tag| project.name(first["tags"][tag].as_str().unwrap()));
    assert!(tags.iter().all(|tag| image_id(tag) == image_id(&tags[0])), "{}", run.stderr);
    assert_eq!(label(&tags[0], "dev.runtime-image.kind"), "custom", "buildx labels what the template does not");
    assert_eq!(project.json(&[]).0["action"], "reuse");

    // On the image before, what was removed since would still be there.
    fs::remove_file(project.root.join("src/main")).unwrap();
    project.write("src/other", "other\n");
    let (second, _) = project.json(&[]);
    assert_eq!(second["build_from"], "scratch");
    assert!(second["reason"].as_str().unwrap().contains("base image only"), "{second}");
    assert_eq!(run_image(second["image"].as_str().unwrap(), &["ls", "/app/src"]), "other\n");

    // One that looks at what it starts from says itself what to do there.
    project.write(
        "Dockerfile.j2",
        "FROM {{ base_image }}\n{% if build_from_scratch %}COPY deps/ /app/{% endif %}\nRUN rm -rf /app/src\nCOPY code/ /app/\n",
    );
    assert_eq!(project.json(&[]).0["build_from"], "scratch");
    project.write("src/third", "third\n");
    assert_eq!(project.json(&[]).0["build_from"], "lock");
    docker(&["image", "inspect", &project.name(&project.tags(&[])[0])]);
}

/// The stage `deps` is built where there are no sources, whatever its instructions reach for.
#[test]
fn the_lock_image_holds_no_source_however_its_template_asks_for_them() {
    let mut project = small();
    project.base_image = format!("{}/debian:bookworm", registry());
    let config = "version = \"1.0.0\"\nlock-files = [\"deps.lock\"]\nsource = [\"src\"]\ntemplate = \"Dockerfile.j2\"\n\
        cmd = \"echo one\\nid -un \\\\\\n\"\n";
    let template = |code: &str| {
        format!(
            "FROM {{{{ base_image }}}} AS tools\nCOPY * /a/\n\
             FROM {{{{ base_image }}}} AS deps\nARG D=.\nCOPY --from=tools /a/ /a/\nCOPY [cd]*/ /b/\nCOPY deps/.. /c/\n\
             COPY \\ \t\n  $D/ /d/\nADD [\"deps/../*\", \"/e/\"]\nRUN --mount=type=bind,target=/x cp -r /x /f\n\
             RUN --mount=source=deps/..,target=/x cp -r /x /g\n{code}FROM deps\nCOPY * /a/\nCMD {{{{ cmd }}}}\n"
        )
    };
    project.write("runtime-image.toml", config).write("deps.lock", salt()).write("src/main", "a source\n");
    project.write("Dockerfile.j2", template(""));
    let folder = ["--build-folder", "staged"];
    let (report, _) = project.json(&folder);
    let found = |tag: &str, pattern: &str| {
        let image = project.name(report["tags"][tag].as_str().unwrap());
        run_image(&image, &["sh", "-c", &format!("grep -rl '{pattern}' /a /b /c /d /e /f /g | sort || true")])
    };
    assert_eq!(found("lock", "a source\\|^FROM"), "");
    assert_eq!(found("lock", "^#").lines().count(), 7, "the lock file is everywhere");
    assert_eq!(found("source", "a source"), "/a/src/main\n");
    assert_eq!(run_image(report["image"].as_str().unwrap(), &[]), "one\nroot\n", "a command of two lines");
    // What is beside the build folder is gone, and what a killed run left there is no source.
    let left = project.root.join(".runtime-image-staged.new-abc123/staged.deps");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("x"), "x").unwrap();
    assert_eq!(project.json(&folder).0["action"], "reuse");
    fs::remove_dir_all(left.parent().unwrap()).unwrap();
    let beside = fs::read_dir(&project.root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!beside.into_iter().any(|name| name.contains(".new-")));

    project.write("Dockerfile.j2", template("COPY deps/../code/ /h/\n"));
    project.run(&folder).fails_with(101, &["the stage `deps` sees no sources"]);
}

/// Which of source and lock tag a change moves.
#[rstest]
#[case("src/main", "other\n", [true, false])]
#[case("deps.lock", "two\n", [true, true])]
#[case("notes", "other\n", [false, false])]
fn a_changed_file_moves_the_names_it_is_in(#[case] path: &str, #[case] text: &str, #[case] moved: [bool; 2]) {
    let project = small();
    let [source, lock, versioned] = project.tags(&[]);
    project.write(path, text);
    let [other_source, other_lock, other_versioned] = project.tags(&[]);
    assert_eq!([source != other_source, lock != other_lock], moved);
    assert_eq!(versioned, other_versioned);
}

#[rstest]
#[case(&["--project-version", "2.0.0"], [true, false])]
#[case(&["--extra-deps", "true"], [true, true])]
#[case(&["--base-image", "debian:trixie"], [true, true])]
#[case(&["--build-arg", "LATE=1"], [true, false])]
#[case(&["--", "--network=none"], [true, true])]
#[case(&["--progress", "plain"], [false, false])]
fn an_option_moves_the_names_it_is_in(#[case] arguments: &[&str], #[case] moved: [bool; 2]) {
    let project = small();
    let [source, lock, _] = project.tags(&[]);
    let [other_source, other_lock, _] = project.tags(arguments);
    assert_eq!([source != other_source, lock != other_lock], moved);
}

#[test]
fn a_templates_text_and_what_it_renders_are_in_the_lock_tag() {
    let project = small();
    let template = |text: &str| {
        project.write("Dockerfile.j2", text);
        let config = "version = \"1.0.0\"\nlock-files = [\"deps.lock\"]\ntemplate = \"Dockerfile.j2\"\n";
        project.write("runtime-image.toml", config);
    };
    template("FROM {{ base_image }} AS deps\nARG EARLY\nFROM deps\nARG LATE\nRUN echo {{ version }}\n");
    let tags = |arguments: &[&str]| project.tags(arguments);
    let [source, lock, _] = tags(&[]);
    assert_eq!(tags(&["--project-version", "2"])[1], lock);
    let [late_source, late_lock, _] = tags(&["--build-arg", "LATE=1"]);
    assert!(late_source != source && late_lock == lock);
    assert_ne!(tags(&["--build-arg", "EARLY=1"])[1], lock, "the dependencies see this argument");

    template("FROM {{ base_image }} AS deps\nARG EARLY\nFROM deps\nARG LATE\nRUN echo {{ version }} # other\n");
    assert_ne!(tags(&[])[1], lock);
    template("FROM {{ base_image }} AS deps\nRUN echo {{ version }}\nFROM deps\n");
    assert_ne!(tags(&[])[1], tags(&["--project-version", "2"])[1], "the dependencies see the version");
}

#[rstest]
#[case("FROM {{ base_image }}\nRUN {{ instal }}\n", &["`Dockerfile.j2`, line 2: `instal` is not defined", "extra_deps"])]
#[case("FROM {{ base_image }}\n{% if %}\n", &["`Dockerfile.j2`, line 2: "])]
#[case("FROM {{ base_image }} AS deps\nCOPY code/ ./\nFROM deps\n", &["the stage `deps` of `Dockerfile.j2` copies sources"])]
#[case("FROM {{ base_image }} AS deps\n", &["has no stage after `deps`"])]
fn a_wrong_template_is_told_with_its_place(#[case] template: &str, #[case] words: &[&str]) {
    let project = small();
    project
        .write("runtime-image.toml", "version = \"1.0.0\"\ntemplate = \"Dockerfile.j2\"\n")
        .write("Dockerfile.j2", template);
    project.run(&["tags"]).fails_with(2, words);
}

/// A template that installs from scratch only would leave changed dependencies out of an image built on another's.
#[rstest]
#[case("FROM {{ base_image }} AS deps\nRUN install\nFROM deps\n", [true, true])]
#[case("FROM {{ base_image }} AS deps\n{% if build_from_scratch %}RUN install{% endif %}\nFROM deps\n", [true, false])]
#[case("FROM {{ base_image }} AS deps\n{% if build_from_scratch or build_from_versioned %}RUN i{% endif %}\nFROM deps\n", [true, true])]
#[case("FROM {{ base_image }}\nRUN install\n", [false, false])]
#[case("FROM {{ base_image }}\n{% if build_from_scratch %}RUN install{% endif %}\n", [true, false])]
#[case("FROM {{ base_image }}\n{% if build_from_scratch or build_from_versioned %}RUN i{% endif %}\n", [true, true])]
fn a_template_says_on_what_it_can_be_built(#[case] template: &str, #[case] expected: [bool; 2]) {
    let project = small();
    let config = "version = \"1\"\nbase-image = \"debian\"\ntemplate = \"Dockerfile.j2\"\n";
    project.write("runtime-image.toml", config).write("Dockerfile.j2", template);
    let call = CargoCall { folder: Some(project.root.to_str().unwrap().into()), ..CargoCall::default() };
    let (terminal, interrupt) = (Terminal::silent(), Interrupt::default());
    let found = Found::find(None, call, &interrupt).unwrap();
    let options = found.options(Settings::default(), Vec::new(), &terminal).unwrap();
    let tiers = found.read(&options, &|| None, &terminal, &interrupt).unwrap().tiers;
    assert_eq!([tiers.lock, tiers.versioned], expected);
}

#[test]
fn a_key_that_the_template_does_not_use_is_warned_of() {
    let project = small();
    project
        .write("runtime-image.toml", "version = \"1\"\ntemplate = \"one.j2\"\napt-packages = [\"git\"]\ncmd = \"x\"\n")
        .write("one.j2", "FROM {{ base_image }}\nCMD {{ cmd }}\n");
    let run = project.ok(&["tags"]);
    assert!(run.stderr.contains("`apt-packages` changes nothing: `one.j2` does not use"), "{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: ").count(), 1, "{}", run.stderr);
}

#[rstest]
#[case("version = \"1\"\ntemplate = \"no.j2\"\n", 1, &["cannot read the template", "no.j2"])]
#[case("version = \"1\"\ntemplate = \"one.j2\"\nstages = 2\n", 2, &["`one.j2` has no stage `deps`, but `stages` is 2"])]
#[case("version = \"1\"\nstages = 3\n", 2, &["invalid `stages` 3"])]
#[case("version = \"1\"\nlock-files = [\"no.lock\"]\n", 2, &["`lock-files`: `no.lock` matches no file"])]
#[case("version = \"1\"\nsource = [\"sr\"]\n", 2, &["`source`: `sr` matches no file"])]
#[case("version = \"1\"\ninstall-binaries = true\n", 2, &["`install-binaries` means nothing", "`custom`"])]
#[case("version = \"1\"\ntag-scheme = \"content\"\n", 2, &["`tag-scheme` means nothing"])]
#[case("version = 1\n", 2, &["wrong configuration in", "a version is text, or a table with `file`"])]
#[case("kind = \"cutsom\"\n", 2, &["wrong configuration in", "unknown variant `cutsom`", "`openhands`"])]
#[case("version = \"1\"\ncmd = 1\n", 2, &["a command is a line of text, or a list of words"])]
#[case("", 2, &["has no `version`", "version = { file = "])]
#[case("version = { file = \"notes\", key = \"a\" }\n", 2, &["cannot read the version from"])]
#[case("version = { file = \"no\" }\n", 1, &["cannot read the version from"])]
fn a_wrong_key_is_told_by_name(#[case] config: &str, #[case] code: i32, #[case] words: &[&str]) {
    let project = small();
    project.write("runtime-image.toml", config).write("one.j2", "FROM {{ base_image }}\n");
    project.run(&["tags"]).fails_with(code, words);
}

#[test]
fn an_unknown_key_is_warned_of_once() {
    let project = small();
    project.write("runtime-image.toml", "version = \"1\"\nlock-fils = [\"deps.lock\"]\n");
    assert_eq!(project.ok(&["tags"]).stderr.matches("unknown key `lock-fils`").count(), 1);
    let project = Project::hello();
    project.write("runtime-image.toml", "lock-fils = [\"deps.lock\"]\n");
    assert_eq!(project.ok(&["tags"]).stderr.matches("unknown key `lock-fils`").count(), 1);
}

#[test]
fn a_project_without_a_base_image_is_told_so() {
    let project = small();
    let run = support::Run::from(project.command(&["tags"]).env_remove("RUNTIME_IMAGE_BASE_IMAGE").output().unwrap());
    run.fails_with(2, &["has no `base-image`", "base-image = "]);
}

#[rstest]
#[case("{ file = \"v.toml\", key = \"project.version\" }", "1.1")]
#[case("{ file = \"v.json\", key = \"version\" }", "1.2")]
#[case("{ file = \"VERSION\" }", "1.3")]
#[case("\"1.4\"", "1.4")]
fn a_version_is_read_where_the_project_keeps_it(#[case] value: &str, #[case] expected: &str) {
    let project = small();
    project
        .write("v.toml", "[project]\nversion = \"1.1\"\n")
        .write("v.json", "{\"version\": \"1.2\"}")
        .write("VERSION", "1.3\n")
        .write("runtime-image.toml", format!("version = {value}\n"));
    assert!(project.tags(&[])[2].starts_with(&format!("rt_v{expected}_")));
}

#[test]
fn the_build_folder_holds_what_the_patterns_select() {
    let project = small();
    for path in ["src/a.py", "src/sub/b.py", "src/sub/c.txt", "other/src/d.py", "e.py", ".gitignore", "ignored/f.py"] {
        project.write(path, if path == ".gitignore" { "ignored\n" } else { path });
    }
    let folder = project.root.join("../context");
    let staged = |source: &str| {
        project.write("runtime-image.toml", format!("version = \"1\"\nlock-files = [\"*.lock\"]\nsource = {source}\n"));
        project.ok(&["--dry-run", "--force-rebuild", "--build-folder", folder.to_str().unwrap()]);
        files(&folder).into_iter().filter(|path| path.starts_with("code/")).collect::<Vec<_>>()
    };
    assert_eq!(staged("[\"src\"]"), ["code/src/a.py", "code/src/main", "code/src/sub/b.py", "code/src/sub/c.txt"]);
    assert_eq!(staged("[\"src/**/*.py\"]"), ["code/src/a.py", "code/src/sub/b.py"]);
    assert_eq!(staged("[\"*.py\", \"./src\", \"!src/sub\"]"), ["code/e.py", "code/src/a.py", "code/src/main"]);
    assert_eq!(staged("[\"**/*.py\"]"), ["code/e.py", "code/other/src/d.py", "code/src/a.py", "code/src/sub/b.py"]);
    assert!(!staged("[\".\"]").contains(&"code/ignored/f.py".to_owned()));
    assert_eq!(fs::read_to_string(folder.join("deps/deps.lock")).unwrap(), "one\n");
}

#[test]
fn the_nearest_folder_that_is_a_project_counts() {
    let project = Project::hello();
    assert!(project.tags(&[])[2].starts_with("rt_v"));
    project.write("tools/runtime-image.toml", "version = \"7\"\n").write("tools/deep/er/file", "");
    let tags = |folder: &str, arguments: &[&str]| {
        let folder = project.root.join(folder);
        project.tags(&[&["--project-root", folder.to_str().unwrap()], arguments].concat())
    };
    assert!(tags("tools/deep/er", &[])[2].starts_with("rt_v7_"));
    assert_eq!(tags("tools", &["--kind", "cargo"]), project.tags(&[]));
    // Beside a manifest the file is Cargo's configuration, until it says otherwise, for members' folders too.
    project.write("runtime-image.toml", "tag-prefix = \"cargo\"\n");
    assert!(project.tags(&[])[2].starts_with("cargo_v"));
    project.write("runtime-image.toml", "kind = \"custom\"\nversion = \"8\"\n");
    assert!(project.tags(&[])[2].starts_with("rt_v8_") && tags("hello", &[])[2].starts_with("rt_v8_"));
    project.run(&["tags", "--kind", "openhands"]).fails_with(2, &["no OpenHands tree", "Dockerfile.j2"]);
}
