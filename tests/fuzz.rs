//! Whatever reads what others wrote, given random and mutated inputs: half a second each, or `FUZZ_SECONDS`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use clap::FromArgMatches as _;
use parse_dockerfile::Instruction;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use runtime_image::builder::confirm::confirmed;
use runtime_image::builder::docker::registry_image;
use runtime_image::builder::inspect::inspected_images;
use runtime_image::builder::runtime_builder::BuildRequest;
use runtime_image::cli::command;
use runtime_image::config::build_args::BuildArg;
use runtime_image::config::settings::{KEYS, Settings};
use runtime_image::config::values::{Cmd, ProjectKind, Variable, Version};
use runtime_image::image::stored::{ContentKey, ResultName};
use runtime_image::labels::ImageLabels;
use runtime_image::process::Interrupt;
use runtime_image::project::find::Found;
use runtime_image::system::cargo::CargoCall;
use runtime_image::term::Terminal;
use runtime_image::{BuildFromImageType, BuildxMetadata, Error, ImageName, Options};
use serde_json::{Value, json};
use tempfile::TempDir;

const CASES_OF_A_ROUND: u32 = 50;

/// Tests random values until the time is over. A failure is shrunk, and shown with the values that fail.
fn fuzz<S: Strategy>(name: &str, values: &S, test: impl Fn(S::Value) -> TestCaseResult) {
    let seconds = std::env::var("FUZZ_SECONDS").map_or(0.5, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut cases = 0;
    while cases == 0 || Instant::now() < until {
        let config = Config { cases: CASES_OF_A_ROUND, failure_persistence: None, ..Config::default() };
        if let Err(error) = TestRunner::new(config).run(values, &test) {
            panic!("{name}, after {cases} cases: {error}");
        }
        cases += CASES_OF_A_ROUND;
    }
    #[allow(clippy::print_stdout, reason = "`make fuzz` shows it")]
    {
        println!("{name}: {cases} cases in {seconds} s");
    }
}

/// Text of words that mean something to a shell, a Dockerfile, a template, JSON or TOML, and of any characters.
fn hostile_text() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "\n", "\r", "\r\n", "\\", "\\\n", "\\ \n", "\"", "'", "`", "$", "${X}", "$(id)", "<<EOF", "<<-'E'",
        "\nEOF\n", "#", "\nRUN id\n", "\nFROM x\n", "\nUSER root", "{{", "}}", "{% raw %}", "{#", "\0", "\u{85}",
        "\u{2028}", "\u{b}", "\t", " ", "--mount=type=ssh", "--", "-", "=", ",", ":", "/", "..", ".", "@",
        "# escape=`\n", "# syntax=x\n", "[", "]", "[\"a\"", "é", "\u{feff}", "\u{202e}", "&&", ";", "|", "true",
        "0", "1", "*", "!", "~", "%", "_", "A", "a",
    ];
    let word = prop_oneof![4 => select(WORDS).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    vec(prop_oneof![3 => word, 1 => string_regex("[a-z ]{1,5}").unwrap()], 0..7).prop_map(|words| words.concat())
}

/// A text of `corpus` with up to five edits.
fn mutated(corpus: Vec<String>) -> impl Strategy<Value = String> {
    let edit = (any::<Index>(), prop_oneof![0..3_usize, 0..40_usize], hostile_text());
    (select(corpus), vec(edit, 0..6)).prop_map(|(text, edits)| {
        let mut text: Vec<char> = text.chars().collect();
        for (place, removed, inserted) in edits {
            let start = place.index(text.len() + 1);
            text.splice(start..text.len().min(start + removed), inserted.chars());
        }
        text.into_iter().collect()
    })
}

/// Any JSON of a small size.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        hostile_text().prop_map(Value::from),
        string_regex("sha256:[0-9a-f]{63,65}").unwrap().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((hostile_text(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Puts `new` in the place of the part with this number, counted from the outside. Gives how many parts there are still
/// to pass.
fn replace_part(value: &mut Value, number: usize, new: &Value) -> Option<usize> {
    if number == 0 {
        new.clone_into(value);
        return None;
    }
    let mut number = number - 1;
    let parts: Vec<&mut Value> = match value {
        Value::Array(parts) => parts.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for part in parts {
        number = replace_part(part, number, new)?;
    }
    Some(number)
}

/// A JSON text of `corpus` with up to three parts replaced, or with edits of the text.
fn mutated_json(corpus: Vec<String>) -> impl Strategy<Value = String> {
    let parts = vec((0..24_usize, any_json()), 0..3);
    let replaced = (select(corpus.clone()), parts).prop_map(|(text, parts)| {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        for (number, new) in parts {
            replace_part(&mut value, number, &new);
        }
        value.to_string()
    });
    prop_oneof![4 => replaced, 2 => mutated(corpus), 1 => any_json().prop_map(|value| value.to_string())]
}

#[test]
fn a_reference_that_is_read_is_written_and_read_as_the_same() {
    #[rustfmt::skip]
    const WORDS: &[&str] = &[
        "a", "A", "library", "docker.io", "index.docker.io", "localhost", ":5000", ":", "/", "@", "sha256:", ".",
        "-", "_", "__", "--", "[::1]", "[", "]", "latest", "r.example", "rust", "1-bookworm", "%", "é", " ", "0",
    ];
    let hex = string_regex("[0-9a-f]{64}").unwrap();
    let long = (string_regex("[a-z]{1,3}/?").unwrap(), 60..130_usize).prop_map(|(word, times)| word.repeat(times));
    let word = prop_oneof![12 => select(WORDS).prop_map(str::to_owned), 2 => hex, 1 => long, 1 => hostile_text()];
    let valid =
        ["debian", "rust:1-bookworm", "docker.io/library/x:y", "localhost:5000/a/b:c", "r.example/a__b", "[::1]:5/x"];
    let digest = format!("index.docker.io/x@sha256:{}", "0a".repeat(32));
    let corpus = valid.map(str::to_owned).into_iter().chain([digest]).collect();
    let texts =
        prop_oneof![3 => vec(word, 0..9).prop_map(|words| words.concat()), 2 => mutated(corpus), 1 => hostile_text()];
    fuzz("reference", &texts, |text| {
        let Ok(name) = text.parse::<ImageName>() else { return Ok(()) };
        let read_again: ImageName = name.to_string().parse().unwrap();
        prop_assert_eq!(name.to_string(), text, "it is written otherwise");
        prop_assert_eq!(read_again.canonical(), name.canonical());
        let canonical: ImageName = name.canonical().parse().unwrap();
        prop_assert_eq!(canonical.canonical(), name.canonical(), "the full form has another full form");
        prop_assert_eq!(&canonical, &name);
        Ok(())
    });
}

/// What buildx wrote, by version and driver.
fn metadata_files() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/buildx-metadata");
    fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// What an engine and a registry answer of an image with this digest.
fn answers(digest: &str) -> [String; 2] {
    let platform = json!({ "os": "linux", "architecture": "amd64" });
    let descriptor = json!({ "digest": digest, "platform": platform });
    let image = json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": { "a": "b" } } });
    let engine = json!([{
        "Id": digest, "RepoTags": ["r.example/x:a"], "Os": "linux", "Architecture": "amd64",
        "Config": { "Labels": { "a": "b" } },
        "Manifests": [{ "Kind": "image", "Available": true, "Descriptor": descriptor }],
    }]);
    let manifest = json!({ "digest": digest, "size": 1, "manifests": [descriptor] });
    [engine.to_string(), json!({ "manifest": manifest, "image": { "linux/amd64": image } }).to_string()]
}

#[test]
fn no_answer_of_an_engine_or_registry_confirms_what_was_not_promised() {
    let files = metadata_files();
    let promised = select(files.clone()).prop_flat_map(move |file| {
        let value: Value = serde_json::from_str(&file).unwrap();
        let digests: Vec<String> = ["containerimage.digest", "containerimage.config.digest"]
            .iter()
            .filter_map(|key| Some(value.get(key)?.as_str()?.to_owned()))
            .chain([format!("sha256:{}", "0a".repeat(32))])
            .collect();
        (
            mutated_json(vec![file]),
            select(digests).prop_flat_map(|digest| {
                let [engine, registry] = answers(&digest);
                (mutated_json(vec![engine]), mutated_json(vec![registry]))
            }),
        )
    });
    let name: ImageName = "r.example/x:a".parse().unwrap();
    let key = ContentKey { label: "a", value: String::new(), unlabelled: false };
    let request = BuildRequest {
        names: vec![ResultName { name: name.clone(), key, moves: false }],
        platforms: vec!["linux/amd64".parse().unwrap()],
        ..BuildRequest::default()
    };
    fuzz("metadata", &promised, |(metadata, (engine, registry))| {
        let found = [inspected_images(&[&name], &engine), registry_image(&registry).map(|image| vec![Some(image)])];
        let Ok(promised) = BuildxMetadata::parse(&metadata) else { return Ok(()) };
        let digests: BTreeSet<_> = [&promised.digest, &promised.config_digest].into_iter().flatten().collect();
        for found in found.into_iter().flatten() {
            let answered = found[0].as_ref().map(|image| image.digest.clone());
            match confirmed(&request, &promised, found, "ask again") {
                Ok(confirmed) => {
                    prop_assert!(digests.contains(&confirmed.digest), "{} was not promised", confirmed.digest);
                    prop_assert_eq!(Some(&confirmed.digest), answered.as_ref());
                    prop_assert!(metadata.contains(confirmed.digest.to_string().trim_start_matches("sha256:")));
                    prop_assert!(request.platforms.iter().all(|platform| confirmed.platforms.contains(platform)));
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        Ok(())
    });
}

/// A folder of kind custom, and the example workspace.
struct Projects {
    folder: TempDir,
}

impl Projects {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let projects = Self { folder };
        let [custom, cargo] = ["custom", "cargo"].map(|name| projects.root().join(name));
        fs::create_dir_all(cargo.join("src")).unwrap();
        fs::create_dir(&custom).unwrap();
        fs::write(custom.join("app"), "x").unwrap();
        fs::write(custom.join("lock"), "x").unwrap();
        fs::write(cargo.join("src/main.rs"), "fn main() {}\n").unwrap();
        fs::write(cargo.join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n")
            .unwrap();
        fs::write(cargo.join("Cargo.lock"), "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n")
            .unwrap();
        projects
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    fn find(&self, kind: ProjectKind) -> Found {
        let call = CargoCall { folder: Some(self.root().join(kind.to_string())), ..CargoCall::default() };
        Found::find(Some(kind), call, &Interrupt::default()).unwrap()
    }
}

/// All that is shown of an error, with spaces for the hyphens in names of keys.
fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}\n{cause}");
        source = cause.source();
    }
    format!("{text}\n{}", error.hints().join("\n")).replace(['-', '_'], " ").to_lowercase()
}

/// Whether an error names one of the keys that have a value.
fn names_a_key(error: &Error, settings: &Settings) -> bool {
    let text = shown(error);
    settings.given().any(|key| [key.name, key.flag].iter().any(|name| text.contains(&name.replace('-', " "))))
}

/// Options of a project of kind custom with these settings, and what is read with them.
fn read_with(found: &Found, settings: &Settings) -> TestCaseResult {
    let given = Settings {
        base_image: settings.base_image.is_none().then(|| "debian:bookworm".to_owned()),
        project_version: settings.project_version.is_none().then(|| Version::from("1")),
        ..Settings::default()
    };
    let all = settings.clone().over(given);
    match found.options(all, Vec::new(), &Terminal::silent()) {
        Ok(options) => {
            if let Ok(project) = found.read(&options, &|| None, &Terminal::silent(), &Interrupt::default()) {
                let _ = project.tags(&options, &project.hashes(&options));
            }
        }
        Err(error) => prop_assert!(names_a_key(&error, settings), "no key is named in {}", shown(&error)),
    }
    Ok(())
}

/// What keys are given usually.
#[rustfmt::skip]
const USUAL: &[&str] = &[
    "a", "1.0", "cargo", "custom", "docker", "true", "mode=max", "/w", "r.example/x", "x=y", "id=a,src=b", "*",
    "../x", "registry=r.example/x:y", "local=x", "type=local,dest=x", "linux/amd64", "[\"a\"]", "lock", "app",
    "max", "default",
];

/// A line of TOML for each of some keys.
fn some_toml() -> impl Strategy<Value = String> {
    let text = || prop_oneof![2 => select(USUAL).prop_map(str::to_owned), 1 => hostile_text()];
    let quoted = |text: String| toml::Value::from(text).to_string();
    let value = prop_oneof![
        3 => text().prop_map(quoted),
        3 => vec(text(), 0..3).prop_map(|texts| toml::Value::from(texts).to_string()),
        1 => any::<bool>().prop_map(|value| value.to_string()),
        1 => (-1..70_000_i64).prop_map(|value| value.to_string()),
        1 => vec((text(), text().prop_map(toml::Value::from)), 0..3)
            .prop_map(|pairs| toml::Value::from(toml::Table::from_iter(pairs)).to_string()),
        1 => (text(), text())
            .prop_map(move |(file, key)| format!("{{ file = {}, key = {} }}", quoted(file), quoted(key))),
    ];
    let names: Vec<&'static str> = KEYS.iter().map(|key| key.name).collect();
    vec((select(names), value), 1..5).prop_map(|lines| {
        lines.into_iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
    })
}

#[test]
fn a_configuration_gives_options_or_an_error_that_names_the_key() {
    let projects = Projects::new();
    let found = projects.find(ProjectKind::Custom);
    let root = projects.root().join("custom");
    let corpus = [
        "version = \"1.0\"\nbase-image = \"debian\"\nlock-files = [\"lock\"]\nextra-deps = \"x\"\nsource = [\"app\"]\ncmd = [\"sh\"]\n",
        "version = { file = \"lock\", key = \"a.b\" }\nenv = { A = \"1\" }\nsecret = [\"id=a,src=b\"]\nssh = [\"default=k\"]\n",
        "cache = \"local=x\"\ncache-to = [\"type=local,dest=y\"]\nplatform = [\"amd64\"]\nuser = \"app\"\nworkdir = \"/a\"\n",
        "apt-packages = [\"git\"]\nprebuild = [\"x\"]\nbuild-arg = [\"A=b\"]\nstages = 2\nbuild-folder = \"x\"\npush = true\n",
    ];
    let toml = prop_oneof![3 => some_toml(), 2 => mutated(corpus.map(str::to_owned).to_vec()), 1 => hostile_text()];
    let key = (0..KEYS.len(), prop_oneof![hostile_text(), select(USUAL).prop_map(str::to_owned)]);
    fuzz("configuration", &(toml, vec(key, 0..3)), |(toml, variables)| {
        let file = root.join("runtime-image.toml");
        fs::write(&file, toml).unwrap();
        match Settings::from_file(&root, &Terminal::silent()) {
            Ok(settings) => read_with(&found, &settings)?,
            Err(error) => prop_assert!(shown(&error).contains("runtime image.toml"), "{}", shown(&error)),
        }
        fs::remove_file(&file).unwrap();
        let flags = variables.iter().map(|(key, value)| format!("--{}={value}", KEYS[*key].flag));
        let matches = command().try_get_matches_from(["runtime-image".to_owned()].into_iter().chain(flags.clone()));
        match matches.and_then(|matches| Settings::from_arg_matches(&matches)) {
            Ok(settings) => read_with(&found, &settings)?,
            Err(error) => {
                let error = error.render().to_string();
                prop_assert!(KEYS.iter().any(|key| error.contains(&format!("--{}", key.flag))), "{}", error);
            }
        }
        let variables = variables.into_iter().map(|(key, value)| (KEYS[key].variable().into(), value.into()));
        match Settings::from_environment(variables, &Terminal::silent()) {
            Ok(settings) => read_with(&found, &settings),
            Err(error) => {
                prop_assert!(error.to_string().contains("RUNTIME_IMAGE_"), "{}", error);
                Ok(())
            }
        }
    });
}

/// The settings with further texts for a key that reaches the Dockerfile.
fn with_texts(settings: Settings, key: usize, texts: &[String]) -> Settings {
    let all = Some(texts.to_vec());
    let first = texts.first().cloned();
    let joined = texts.join("");
    let mut settings = settings;
    match key {
        0 => settings.apt_packages = all,
        1 => settings.extra_deps = first,
        2 => settings.prebuild = all,
        3 => settings.build_arg = Some(texts.iter().map(|text| format!("{text}={text}")).collect()),
        4 => settings.build_arg = Some(texts.iter().map(|text| format!("A={text}")).collect()),
        5 => {
            let variable = |name: &String| Variable { name: name.clone(), value: joined.clone() };
            settings.env = Some(texts.iter().map(variable).collect());
        }
        6 => settings.env = first.map(|value| vec![Variable { name: "A".to_owned(), value }]),
        7 => settings.cmd = Some(Cmd::Exec(texts.to_vec())),
        8 => settings.cmd = Some(Cmd::Shell(joined)),
        9 => settings.user = first,
        10 => settings.workdir = Some(format!("/{joined}")),
        11 => settings.base_image = first,
        12 => settings.project_version = Some(Version::Text(joined)),
        13 => settings.secret = Some(texts.iter().map(|text| format!("id={text}")).collect()),
        14 => settings.ssh = all,
        15 => settings.tag_prefix = first,
        16 => settings.platform = all,
        _ => settings.install_binaries = Some(texts.len().is_multiple_of(2)),
    }
    settings
}
const KEYS_IN_A_DOCKERFILE: usize = 18;

/// The same options with values that mean nothing to anybody.
fn harmless(options: &Options) -> Options {
    let numbered = |index: usize| format!("x{index}");
    Options {
        base_image: "debian".parse().unwrap(),
        apt_packages: options.apt_packages.iter().map(|_| "a".parse().unwrap()).collect(),
        extra_deps: options.extra_deps.as_ref().map(|_| "x".to_owned()),
        prebuild: options.prebuild.as_ref().map(|commands| commands.iter().map(|_| "x".to_owned()).collect()),
        extra_build_args: options
            .extra_build_args
            .iter()
            .map(|_| BuildArg { name: "X".to_owned(), value: String::new() })
            .collect(),
        env: options.env.keys().enumerate().map(|(index, _)| (numbered(index), "x".to_owned())).collect(),
        cmd: options.cmd.as_ref().map(|cmd| match cmd {
            Cmd::Shell(line) if line.trim().is_empty() => Cmd::Shell(String::new()),
            _ => Cmd::Exec(vec!["x".to_owned()]),
        }),
        user: options.user.as_ref().map(|_| "x".parse().unwrap()),
        workdir: "/x".parse().unwrap(),
        project_version: Some(Version::from("1")),
        secrets: (0..options.secrets.len()).map(|index| format!("id=x{index}").parse().unwrap()).collect(),
        ssh: (0..options.ssh.len()).map(|index| numbered(index).parse().unwrap()).collect(),
        tag_prefix: None,
        platforms: Vec::new(),
        ..options.clone()
    }
}

/// The instructions of a Dockerfile, by name, and how many flags each has.
fn instructions(dockerfile: &str) -> Vec<(String, usize)> {
    let parsed = parse_dockerfile::parse(dockerfile).unwrap_or_else(|error| panic!("{error}:\n{dockerfile}"));
    let read = |instruction: &Instruction<'_>| {
        let name = format!("{instruction:?}").split('(').next().unwrap_or_default().to_owned();
        let flags = match instruction {
            Instruction::Run(run) => run.options.len(),
            Instruction::Copy(copy) => copy.options.len(),
            Instruction::From(from) => from.options.len(),
            _ => 0,
        };
        (name, flags)
    };
    parsed.instructions.iter().map(read).collect()
}

/// The Dockerfiles of all tiers, by their instructions; nothing where the options or the project are refused.
fn rendered(found: &Found, options: &Options, labels: &[String]) -> Option<Vec<Vec<(String, usize)>>> {
    let project = found.read(options, &|| None, &Terminal::silent(), &Interrupt::default()).ok()?;
    let names =
        ["org.opencontainers.image.title", "org.opencontainers.image.version", "org.opencontainers.image.source"];
    let labels = names.into_iter().zip(labels.iter().cloned()).collect();
    let labels = ImageLabels { dependencies: std::collections::BTreeMap::clone(&labels), finished: labels };
    let image = options.base_image.to_string();
    let tiers = [BuildFromImageType::Scratch, BuildFromImageType::Versioned, BuildFromImageType::Lock];
    Some(tiers.map(|from| instructions(&project.template.render(from, &image, &labels).unwrap())).to_vec())
}

#[test]
fn no_value_writes_an_instruction() {
    let projects = Projects::new();
    let kinds = [projects.find(ProjectKind::Custom), projects.find(ProjectKind::Cargo)];
    let toolchain_file = projects.root().join("cargo/rust-toolchain.toml");
    let bundle = projects.root().join("custom/app");
    let values = vec((0..KEYS_IN_A_DOCKERFILE, vec(hostile_text(), 1..4)), 1..5);
    let toolchain = (hostile_text(), vec(hostile_text(), 0..3));
    let inputs = (values, vec(hostile_text(), 3), any::<bool>(), toolchain, any::<bool>());
    fuzz("Dockerfile", &inputs, |(values, labels, with_bundle, (channel, components), with_lock_file)| {
        let toolchain = json!({ "channel": channel, "components": components });
        let table = toml::Table::from_iter([("toolchain".to_owned(), toml::Value::try_from(toolchain).unwrap())]);
        for found in &kinds {
            let is_custom = found.kind() == ProjectKind::Custom;
            let start = Settings {
                base_image: Some("debian".to_owned()),
                project_version: Some(Version::from("1")),
                ca_bundle: with_bundle.then(|| bundle.clone()),
                lock_files: (is_custom && with_lock_file).then(|| vec!["lock".to_owned()]),
                ..Settings::default()
            };
            // What is refused alone is left out, so that the rest is tried.
            let options = |settings: &Settings| found.options(settings.clone(), Vec::new(), &Terminal::silent());
            let settings = values.iter().fold(start, |settings, (key, texts)| {
                let more = with_texts(settings.clone(), *key, texts);
                if options(&more).is_ok() { more } else { settings }
            });
            let options = options(&settings).unwrap();
            let usual = rendered(found, &harmless(&options), &["x", "x", "x"].map(str::to_owned)).unwrap();
            let hostile = rendered(found, &options, &labels);
            prop_assert_eq!(hostile.as_ref(), Some(&usual), "with {:?}", settings);
            if !is_custom {
                fs::write(&toolchain_file, table.to_string()).unwrap();
                if let Some(hostile) = rendered(found, &options, &labels) {
                    prop_assert_eq!(hostile, usual, "with {}", table);
                }
                fs::remove_file(&toolchain_file).unwrap();
            }
        }
        Ok(())
    });
}
