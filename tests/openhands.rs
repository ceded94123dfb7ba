//! Trees of OpenHands: names, Dockerfiles and build folders as the original makes them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fs;
use std::process::Command;

use rstest::rstest;
use runtime_image::builder::runtime_builder::Target;
use runtime_image::config::settings::Settings;
use runtime_image::hash::hex;
use runtime_image::image::labels::ImageLabels;
use runtime_image::project::{find::Found, read::Project as Read};
use runtime_image::system::cargo::CargoCall;
use runtime_image::system::interrupt::Interrupt;
use runtime_image::system::terminal::Terminal;
use runtime_image::{BuildFromImageType, Options, RecordingBuilder, build_runtime_image, runtime_image_repo_and_tag};
use serde_json::Value;
use support::openhands::{RELEASES, answers, listing, tree};
use support::{Project, docker, registry};

/// A release's tree, as a project for the command: without the helpers' own base image and repository.
fn release(release: &str) -> Project {
    let mut project = Project::empty();
    project.root = tree(release, project.root.parent().unwrap());
    project
}

fn command(project: &Project, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    for name in ["RUNTIME_IMAGE_BASE_IMAGE", "RUNTIME_IMAGE_REPOSITORY", "OH_RUNTIME_RUNTIME_IMAGE_REPO"] {
        command.env_remove(name);
    }
    command
}

fn ok(project: &Project, arguments: &[&str]) -> support::Run {
    let run = support::Run::from(command(project, arguments).output().unwrap());
    assert_eq!(run.code, Some(0), "{arguments:?} failed:\n{}", run.stderr);
    run
}

fn tags(project: &Project, arguments: &[&str]) -> [String; 3] {
    let run = ok(project, &[&["tags", "--message-format", "json"], arguments].concat());
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    ["source", "lock", "versioned"].map(|name| json["tags"][name].as_str().unwrap().to_owned())
}

/// The tree as the library reads it.
fn read(project: &Project, settings: Settings) -> (Read, Options) {
    let folder = project.root.to_str().unwrap();
    let call = CargoCall { folder: Some(folder.into()), ..CargoCall::default() };
    let found = Found::find(None, call, &Interrupt::default()).unwrap();
    let options = found.options(settings, Vec::new(), &Terminal::silent()).unwrap();
    (found.read(&options, &|| None, &Terminal::silent(), &Interrupt::default()).unwrap(), options)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex(&Sha256::digest(text))
}

#[rstest]
fn names_are_the_originals(#[values(0, 1, 2)] release_number: usize) {
    let release_name = RELEASES[release_number];
    let (project, answers) = (release(release_name), answers(release_name));
    let repository = text(&answers, "default_repository");
    for base in answers["bases"].as_array().unwrap() {
        let image = text(base, "base_image");
        if image == "Mixed/CASE:Tag.1" {
            // No image has such a name; the original did not look.
            support::Run::from(command(&project, &["tags", "--base-image", image]).output().unwrap())
                .fails_with(2, &["lower case"]);
            continue;
        }
        let stem = format!("oh_v{release_name}");
        let lock = format!("{stem}_{}", text(base, "lock_hash"));
        let expected = [
            format!("{lock}_{}", text(&answers, "source_hash")),
            lock.clone(),
            format!("{stem}_{}", text(base, "versioned_tag")),
        ];
        assert_eq!(tags(&project, &["--base_image", image]), expected, "{image}");
        let without_browser = tags(&project, &["--base_image", image, "--no_enable_browser"])[1].clone();
        match base["lock_hash_no_browser"].as_str() {
            Some(hash) => assert_eq!(without_browser, format!("{stem}_{hash}"), "{image}"),
            None => assert_eq!(without_browser, lock, "a release that does not know the switch: {image}"),
        }

        let (read, options) = read(&project, Settings { base_image: Some(image.to_owned()), ..Settings::default() });
        assert_eq!(read.naming(&options).unwrap().repository.to_string(), repository);
        let (repository, tag) = runtime_image_repo_and_tag(image, &read.naming(&options).unwrap()).unwrap();
        let original = &base["repo_and_tag"];
        assert_eq!(repository, original[0].as_str().unwrap());
        // Releases before 0.58 leave a slash in the tag of a long repository, which no engine takes.
        assert_eq!(tag, original[1].as_str().unwrap().replace('/', "_s_"), "{image}");
    }
}

#[test]
fn a_file_that_looks_like_a_secret_is_warned_of_by_its_path_in_the_tree() {
    let project = release(RELEASES[2]);
    project.write("openhands/.env", "").write(".runtime-image-ignore", ".env\n");
    let warned = ok(&project, &["tags", "-q"]).stderr;
    assert!(
        warned.contains("`openhands/.env` looks like a secret") && warned.contains("take it out of the tree"),
        "{warned}"
    );
    let silent = ok(&project, &["tags", "-q", "--allow-secret", "openhands/.env"]).stderr;
    assert!(!silent.contains("secret"), "{silent}");
}

#[rstest]
fn dockerfiles_are_the_originals(#[values(0, 1, 2)] release_number: usize) {
    let release_name = RELEASES[release_number];
    let (project, answers) = (release(release_name), answers(release_name));
    let mut count = 0;
    for base in answers["bases"].as_array().unwrap() {
        let image = text(base, "base_image");
        for (variant, expected) in base["dockerfile_sha256"].as_object().unwrap() {
            let words: Vec<&str> = variant.split('/').collect();
            let from = match words[0] {
                "scratch" => BuildFromImageType::Scratch,
                "versioned" => BuildFromImageType::Versioned,
                _ => BuildFromImageType::Lock,
            };
            let settings = Settings {
                extra_deps: (words[1] == "pip").then(|| "pip install \"x<2\" && echo 'done'".to_owned()),
                enable_browser: words.contains(&"no_browser").then_some(false),
                ..Settings::default()
            };
            // The base image's name is text for the template: what is no image reference is rendered as well.
            let rendered = read(&project, settings).0.template.render(from, image, &ImageLabels::default()).unwrap();
            assert_eq!(sha256(&rendered), expected.as_str().unwrap(), "{image} {variant}");
            count += 1;
        }
    }
    assert!(count >= 42, "{count} Dockerfiles were compared");
}

#[rstest]
fn build_folders_are_the_originals(#[values(0, 1, 2)] release_number: usize) {
    let release_name = RELEASES[release_number];
    let (project, answers) = (release(release_name), answers(release_name));
    let folder = project.root.join("../context");
    ok(&project, &["--force_rebuild", "--build_folder", folder.to_str().unwrap()]);
    fs::remove_file(folder.join("config.sh")).unwrap();
    let listing = listing(&folder);
    assert_eq!(listing.len(), usize::try_from(answers["build_folder"]["files"].as_u64().unwrap()).unwrap());
    assert_eq!(sha256(&listing.join("\n")), text(&answers["build_folder"], "listing_sha256"));
}

const SMALL_TEMPLATE: &str = "\
FROM {{ base_image }}
{% if build_from_scratch %}RUN mkdir -p /openhands && echo scratch >/openhands/deps{% endif %}
{% if build_from_versioned %}RUN echo versioned >>/openhands/deps{% endif %}
RUN rm -rf /openhands/code
COPY ./code /openhands/code
{% if extra_deps %}RUN {{ extra_deps }}{% endif %}
";
const RULES: &str = "openhands/runtime/utils/runtime_build.py";
const TEMPLATE: &str = "openhands/runtime/utils/runtime_templates/Dockerfile.j2";

/// A small tree with the rules of 0.62.0 and a template of our own, that builds in seconds.
fn small_tree() -> Project {
    let folder = tempfile::tempdir().unwrap();
    let project = Project::empty();
    let real = tree("0.62.0", folder.path());
    for path in [RULES, "openhands/version.py", "openhands/__init__.py"] {
        project.write(path, fs::read(real.join(path)).unwrap());
    }
    project
        .write(TEMPLATE, SMALL_TEMPLATE)
        .write("openhands/pyproject.toml", "version = \"9.9\"\n")
        .write("openhands/poetry.lock", support::salt())
        .write("openhands/server/main.py", "print('one')\n")
        .write("openhands/README.md", "hashed and not copied\n")
        .write("microagents/one.md", "one\n");
    project
}

/// The same, on the engine.
fn small_tree_on_engine() -> Project {
    let mut project = small_tree();
    project.base_image = format!("{}/debian:bookworm", registry());
    project
}

fn in_image(image: &str, shell: &str) -> String {
    docker(&["run", "--rm", "--network", "none", image, "sh", "-c", shell])
}

/// The original copies what links point to, wherever that is.
#[rstest]
#[case::among_the_sources("openhands/server/notes.txt")]
#[case::a_folder_beside_them("microagents")]
#[case::a_lock_file("openhands/poetry.lock")]
#[case::the_template(TEMPLATE)]
fn a_link_of_the_tree_brings_no_file_of_the_host_into_the_image(#[case] link: &str) {
    let project = small_tree();
    let host = project.root.parent().unwrap().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("notes.txt"), "what the host knows\n").unwrap();
    let path = project.root.join(link);
    let target = if path.is_dir() { host.clone() } else { host.join("notes.txt") };
    let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    std::os::unix::fs::symlink(target, path).unwrap();
    let run = project.run(&["--force-rebuild", "--dry-run", "--build-folder", "../context"]);
    assert!(matches!(run.code, Some(1 | 2)), "{}", run.stderr);
    assert!(run.stderr.contains("leaves the project") && !run.stderr.contains("knows"), "{}", run.stderr);
    assert!(!project.root.join("../context").exists());
}

#[test]
fn a_build_folder_in_the_tree_is_no_part_of_it() {
    let project = small_tree();
    let expected = tags(&project, &[]);
    let folder = ["--force-rebuild", "--dry-run", "--build-folder", "microagents/ctx"];
    for _ in 0..2 {
        project.ok(&folder);
        assert!(!project.root.join("microagents/ctx/code/microagents/ctx").exists());
    }
    assert_eq!(tags(&project, &folder[2..]), expected);

    // A file that is none of this tool's, whatever it means to other kinds: the original copies and hashes it.
    project.write("openhands/.runtime-image-ignore", "*\n").ok(&folder);
    assert!(project.root.join("microagents/ctx/code/openhands/.runtime-image-ignore").exists());
    assert_ne!(tags(&project, &folder[2..])[0], expected[0]);
}

/// The original's names are made of MD5, so that two trees can share them. An image is known by more.
#[test]
fn trees_with_one_md5_share_a_name_and_never_an_image() {
    let project = small_tree_on_engine();
    let [one, other] = support::md5_twins();
    project.write("openhands/data", one);
    let run = project.ok(&[]);
    project.write("openhands/data", other);
    assert_eq!(project.name(&project.tags(&[])[0]), run.image());
    project.run(&[]).fails_with(1, &["exists but is not what its name says", "source-hash"]);
}

#[test]
fn release_0_20_0_builds_on_its_lock_image_and_holds_the_tree_byte_for_byte() {
    let project = release("0.20.0");
    let [_, lock, _] = tags(&project, &[]);
    let context = project.root.join("../lock");
    fs::create_dir(&context).unwrap();
    let dockerfile = format!("FROM {}/debian:bookworm\nRUN mkdir -p /openhands/code/openhands/old\n", registry());
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    docker(&["buildx", "build", "--load", "--tag", &project.name(&lock), context.to_str().unwrap()]);

    let run = ok(&project, &["--message-format", "json", "--repository", &project.repository]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((text(&report, "build_from"), text(&report, "kind")), ("lock", "openhands"), "{}", run.stderr);
    let image = text(&report, "image");
    assert_eq!(image, project.name(&tags(&project, &[])[0]));

    let sums = in_image(image, "cd /openhands/code && find openhands -type f -print0 | xargs -0 md5sum");
    let mut inside: Vec<String> =
        sums.lines().map(|line| line.split_once("  ").unwrap()).map(|(sum, path)| format!("{path} {sum}")).collect();
    inside.sort();
    let copied = |line: &String| {
        let path = line.split(' ').next().unwrap();
        path.starts_with("openhands/") && ![".md", ".pyc"].iter().any(|ending| path.ends_with(ending))
    };
    let expected: Vec<String> = listing(&project.root).into_iter().filter(copied).collect();
    assert!(expected.len() > 200);
    assert_eq!(inside, expected);
    assert_eq!(in_image(image, "ls -d /openhands/code/openhands/old 2>/dev/null || true"), "");

    let again = ok(&project, &["--repository", &project.repository]);
    assert_eq!(again.image(), image);
    assert!(again.stderr.contains("Reusing"), "{}", again.stderr);
}

#[test]
fn every_tier_is_built_and_all_three_tags_are_on_the_image() {
    let project = small_tree_on_engine();
    let (first, run) = project.json(&[]);
    assert_eq!(first["build_from"], "scratch", "{}", run.stderr);
    let ids: Vec<String> = ["source", "lock", "versioned"]
        .map(|name| support::image_id(&project.name(text(&first["tags"], name))))
        .to_vec();
    assert!(ids.iter().all(|id| *id == ids[0]), "the tags are on different images: {ids:?}");
    assert_eq!(project.json(&[]).0["action"], "reuse");

    project.edit("openhands/server/main.py", "one", "two").write("openhands/new.py", "");
    let (second, _) = project.json(&[]);
    assert_eq!(second["build_from"], "lock");
    let image = text(&second, "image");
    assert_eq!(
        in_image(image, "cat /openhands/deps /openhands/code/openhands/server/main.py"),
        "scratch\nprint('two')\n"
    );

    fs::remove_file(project.root.join("openhands/new.py")).unwrap();
    project.write("openhands/poetry.lock", format!("{}more\n", support::salt()));
    let (third, _) = project.json(&[]);
    assert_eq!(third["build_from"], "versioned");
    let shell = "cat /openhands/deps; ls /openhands/code/openhands | grep -c new.py || true";
    assert_eq!(in_image(text(&third, "image"), shell), "scratch\nversioned\n0\n");
    // The versioned tag stays on the image from scratch: layers do not pile up.
    assert_eq!(support::image_id(&project.name(text(&third["tags"], "versioned"))), ids[0]);

    // The lock tag does not know of the template; the image that has it does.
    project.edit(TEMPLATE, "echo scratch", "echo afresh");
    let (fourth, _) = project.json(&[]);
    assert_eq!((&fourth["tags"]["lock"], text(&fourth, "build_from")), (&third["tags"]["lock"], "scratch"));
    assert!(text(&fourth, "reason").contains("template"), "{fourth}");
    assert_eq!(in_image(text(&fourth, "image"), "cat /openhands/deps"), "afresh\n");
}

#[test]
fn what_the_originals_hashes_leave_out_is_a_suffix_of_source_and_lock_tag() {
    let project = small_tree();
    let [source, lock, versioned] = project.tags(&[]);
    let mut seen = vec![lock.clone()];
    for arguments in [
        ["--extra-deps", "true"].as_slice(),
        &["--extra-deps", "false"],
        &["--build-arg", "A=1"],
        &["--", "--network=none"],
    ] {
        let [other_source, other_lock, other_versioned] = project.tags(arguments);
        let suffix = other_lock.strip_prefix(&lock).unwrap();
        assert!(suffix.starts_with("_x") && suffix.len() == 18, "{other_lock}");
        assert_eq!(other_source, format!("{source}{suffix}"));
        assert_eq!(other_versioned, versioned);
        assert!(!seen.contains(&other_lock), "{arguments:?} has the name of another image");
        seen.push(other_lock);
    }
    // What is no input is in no name.
    assert_eq!(
        project.tags(&["--progress", "plain", "--platform", "linux/arm64"]),
        [source.clone(), lock.clone(), versioned]
    );

    let alias = |project: &Project| {
        let run = support::Run::from(project.command(&["tags"]).env("OH_CONDA_CHANNEL_ALIAS", "x").output().unwrap());
        run.stdout != project.ok(&["tags"]).stdout
    };
    assert!(!alias(&project), "a release that does not know the variable");
    project.edit(RULES, "import os", "import os  # OH_CONDA_CHANNEL_ALIAS");
    assert!(alias(&project));
}

#[test]
fn the_content_scheme_hashes_what_the_originals_names_leave_out() {
    let project = small_tree();
    let both = || [project.tags(&[]), project.tags(&["--tag-scheme", "content"])];
    let mut before = both();
    assert_ne!(before[0], before[1]);
    let change = |path: &str| {
        project.write(path, format!("{path}\n"));
    };
    for path in ["microagents/one.md", "openhands/.hidden/a.py", "openhands/__pycache__/a.txt"] {
        change(path);
        let after = both();
        assert_eq!(after[0], before[0], "{path}: the original's names do not know it");
        assert_ne!(after[1][0], before[1][0], "{path} is in the image and not in its name");
        before = after;
    }
    // The other way round: hashed by the original, and not in the image.
    change("openhands/README.md");
    let after = both();
    assert_ne!(after[0][0], before[0][0]);
    assert_eq!(after[1], before[1]);
}

/// The repository is the one that the user names, or the tree's own.
#[rstest]
fn an_image_of_the_original_is_found_in_the_registry_and_not_pulled(#[values(true, false)] named: bool) {
    let project = small_tree_on_engine();
    let repository = format!("{}/oh-{}/runtime", registry(), project.repository.trim_start_matches("localhost/"));
    if !named {
        project.edit(RULES, "ghcr.io/openhands/runtime", &repository);
    }
    let run = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env_remove("RUNTIME_IMAGE_REPOSITORY").env_remove("OH_RUNTIME_RUNTIME_IMAGE_REPO");
        if named {
            command.env("OH_RUNTIME_RUNTIME_IMAGE_REPO", &repository);
        }
        support::Run::from(command.output().unwrap())
    };
    let image = serde_json::from_str::<Value>(&run(&["tags", "--message-format", "json"]).stdout).unwrap();
    let image = text(&image, "image");
    assert!(image.starts_with(&repository), "{image}");
    // As the original leaves it: without a label.
    docker(&["buildx", "imagetools", "create", "--tag", image, &project.base_image]);
    let found = run(&[]);
    assert_eq!((found.code, found.stdout.trim()), (Some(0), image), "{}", found.stderr);
    assert!(found.stderr.contains("Reusing"), "{}", found.stderr);
    assert!(!support::image_exists(image), "it was pulled");
}

#[test]
fn a_registry_that_only_the_tree_names_need_not_answer() {
    let project = small_tree_on_engine();
    project.edit(RULES, "'ghcr.io/openhands/runtime'", "'127.0.0.1:1/openhands/runtime'");
    let run = |arguments: &[&str]| {
        support::Run::from(project.command(arguments).env_remove("RUNTIME_IMAGE_REPOSITORY").output().unwrap())
    };
    let plan = run(&["plan"]);
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
    assert_eq!(plan.stderr.matches("warning: ").count(), 1, "{}", plan.stderr);
    assert!(plan.stderr.contains("127.0.0.1:1") && plan.stdout.contains("scratch"), "{}{}", plan.stderr, plan.stdout);
    run(&["plan", "--repository", "127.0.0.1:1/openhands/runtime"]).fails_with(1, &["cannot ask the registry"]);
}

#[test]
fn config_sh_and_files_beside_it_stay_and_the_folder_can_be_prepared_again() {
    let project = small_tree();
    let folder = project.root.join("../runtime");
    let prepare = |arguments: &[&str]| {
        let all = [&["--force-rebuild", "--build-folder", folder.to_str().unwrap()], arguments].concat();
        project.run(&all)
    };
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.sh"), "DOCKER_REGISTRY=ghcr.io\nDOCKER_ORG=openhands").unwrap();
    fs::write(folder.join("README.md"), "theirs").unwrap();
    assert_eq!(prepare(&[]).code, Some(0));
    let config = || fs::read_to_string(folder.join("config.sh")).unwrap();
    let first = config();
    let [source, ..] = project.tags(&[]);
    let tag = "oh_v9.9_image_rust_tag_1-bookworm";
    let expected = |source: &str| {
        format!(
            "DOCKER_REGISTRY=ghcr.io\nDOCKER_ORG=openhands\nDOCKER_IMAGE_TAG={tag}\nDOCKER_IMAGE_SOURCE_TAG={source}\n"
        )
    };
    assert_eq!(first, expected(&source));
    assert_eq!(fs::read_to_string(folder.join("README.md")).unwrap(), "theirs");

    project.edit("openhands/server/main.py", "one", "two");
    assert_eq!(prepare(&[]).code, Some(0));
    assert_eq!(config(), expected(&project.tags(&[])[0]), "older lines are replaced");
    assert!(fs::read_to_string(folder.join("code/openhands/server/main.py")).unwrap().contains("two"));

    for (path, words) in
        [(".dockerignore", "holds `.dockerignore`"), ("code/new", "added"), ("Dockerfile", "did not write")]
    {
        let old = fs::read(folder.join(path)).ok();
        fs::write(folder.join(path), "theirs").unwrap();
        prepare(&[]).fails_with(2, &[words]);
        assert_eq!(fs::read_to_string(folder.join(path)).unwrap(), "theirs");
        fs::remove_dir_all(&folder).unwrap();
        assert!(old.is_some() || path != "Dockerfile");
        assert_eq!(prepare(&[]).code, Some(0));
    }
}

#[test]
fn an_image_that_exists_still_gives_its_names_to_config_sh() {
    let project = small_tree_on_engine();
    let folder = project.root.join("../runtime");
    fs::create_dir(&folder).unwrap();
    let image = project.ok(&[]).image().to_owned();
    let run = project.ok(&["--build_folder", folder.to_str().unwrap()]);
    assert_eq!(run.image(), image);
    let config = fs::read_to_string(folder.join("config.sh")).unwrap();
    assert!(
        config.ends_with(&format!("\nDOCKER_IMAGE_SOURCE_TAG={}\n", image.rsplit(':').next().unwrap())),
        "{config}"
    );
}

#[test]
fn a_missing_folder_is_a_warning_and_an_empty_folder() {
    let project = small_tree();
    fs::remove_dir_all(project.root.join("microagents")).unwrap();
    let folder = project.root.join("../context");
    let run = project.ok(&["--dry-run", "--force-rebuild", "--build-folder", folder.to_str().unwrap()]);
    assert!(run.stderr.contains("warning: ") && run.stderr.contains("microagents` is missing"), "{}", run.stderr);
    assert_eq!(fs::read_dir(folder.join("code/microagents")).unwrap().count(), 0);
}

#[test]
fn the_version_is_the_trees_or_the_wheels_or_the_users() {
    let project = small_tree();
    let version = || {
        let tag = project.tags(&[])[2].clone();
        tag.strip_prefix("oh_v").unwrap().split('_').next().unwrap().to_owned()
    };
    assert_eq!(version(), "9.9");
    project.write("pyproject.toml", "[tool.poetry]\nversion = '8.8'\nversion = \"1\"\n");
    assert_eq!(version(), "8.8");
    fs::remove_file(project.root.join("pyproject.toml")).unwrap();
    project.write("openhands/pyproject.toml", "");
    project.run(&["tags"]).fails_with(1, &["does not say its version", "--project-version"]);
    project.write("openhands_ai-7.7.dist-info/METADATA", "Metadata-Version: 2.4\nVersion: 7.7\n");
    assert_eq!(version(), "7.7");
    assert!(project.tags(&["--project-version", "6.6"])[2].starts_with("oh_v6.6_"));
}

#[test]
fn a_tree_that_is_a_cargo_workspace_too_asks_which_it_is() {
    let project = small_tree();
    project
        .write("Cargo.toml", "[package]\nname = \"both\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
        .write("src/lib.rs", "");
    project.run(&["tags"]).fails_with(2, &["a Cargo project and an OpenHands tree", "--kind"]);
    assert!(project.tags(&["--kind", "openhands"])[0].starts_with("oh_v9.9_"));
    assert!(project.tags(&["--kind", "cargo"])[0].starts_with("rt_v1.0.0_"));
    project.write("runtime-image.toml", "kind = \"openhands\"\n");
    assert!(project.tags(&[])[0].starts_with("oh_v9.9_"));
}

#[test]
fn what_means_nothing_for_the_kind_is_refused() {
    let project = small_tree();
    project.write("runtime-image.toml", "apt-packages = [\"git\"]\n");
    project.run(&["tags"]).fails_with(2, &["`apt-packages` means nothing", "`openhands`"]);
    Project::hello().run(&["tags", "--no-enable-browser"]).fails_with(2, &["`enable-browser`", "`cargo`"]);
}

#[test]
fn a_release_without_a_versioned_tier_is_not_built_on_an_image_with_other_dependencies() {
    let project = small_tree();
    let read = |project: &Project| read(project, Settings::default()).0.tiers;
    assert!(read(&project).versioned && read(&project).lock);
    project.edit(TEMPLATE, "{% if build_from_versioned %}RUN echo versioned >>/openhands/deps{% endif %}\n", "");
    assert!(!read(&project).versioned && read(&project).lock);
}

#[test]
fn the_library_builds_one_image_with_the_source_tag_last() {
    let project = small_tree();
    let builder = RecordingBuilder::new();
    let folder = project.root.to_str().unwrap();
    let options = Options {
        cargo: CargoCall { folder: Some(folder.into()), ..CargoCall::default() },
        repository: Some(project.repository.clone()),
        ..Options::default()
    };
    let report = build_runtime_image("debian:bookworm", &builder, options).unwrap();
    let requests = builder.requests();
    assert_eq!(requests.len(), 1);
    let names: Vec<String> = requests[0].names.iter().map(ToString::to_string).collect();
    let runtime_image::report::ReportedTags { source, lock, versioned } = &report.tags;
    assert_eq!(names, [lock, versioned, source].map(|tag| project.name(tag)));
    assert_eq!((requests[0].target, requests[0].deps_image.is_none()), (Target::Finished, true));
    assert_eq!(requests[0].labels["dev.runtime-image.kind"], "openhands");
}
