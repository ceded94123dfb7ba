//! Every key of the configuration, defined once: what one source can say, and how sources are laid over each other. The
//! beginning of the first step of the way.

use std::collections::BTreeSet;
use std::ffi::OsString;

use camino::{Utf8Path, Utf8PathBuf};
use clap::builder::BoolishValueParser;
use clap::{Args, FromArgMatches};
use serde::Deserialize;

use crate::config::cache::{Cache, CacheEntry};
use crate::config::secrets::{Secret, Ssh};
use crate::config::slim::{BinInput, Cross, bin_inputs};
use crate::config::values::{BuildTool, Cmd, Progress, ProjectKind, TagScheme, Variable, Version, variables};
use crate::error::{Context as _, Error, Result};
use crate::redact::{FLAGS_OF_VALUES, redacted_message, redacted_reference, redacted_wrong_pair};
use crate::system::paths::{ends_outside, refuse_outside};
use crate::system::reading;
use crate::system::terminal::{Terminal, harmless, one_line};

/// The table's name in `Cargo.toml` metadata.
pub const METADATA_KEY: &str = "runtime-image";
/// The configuration file in the project root.
pub const CONFIG_FILE: &str = "runtime-image.toml";
/// What the names of this tool's environment variables start with.
const VARIABLE_PREFIX: &str = "RUNTIME_IMAGE_";

const IMAGE: &str = "Image";
const NAMES: &str = "Names";
const BUILD: &str = "Build";
const OTHER: &str = "Other kinds of project";

const ANY: &[ProjectKind] = &[ProjectKind::Cargo, ProjectKind::Openhands, ProjectKind::Custom];
const CARGO: &[ProjectKind] = &[ProjectKind::Cargo];
const CARGO_OR_CUSTOM: &[ProjectKind] = &[ProjectKind::Cargo, ProjectKind::Custom];
const CUSTOM: &[ProjectKind] = &[ProjectKind::Custom];
const OPENHANDS: &[ProjectKind] = &[ProjectKind::Openhands];
const OPENHANDS_OR_CUSTOM: &[ProjectKind] = &[ProjectKind::Openhands, ProjectKind::Custom];

/// What a key is called, where it may stand, and how it is written.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The field of [`Settings`].
    pub field: &'static str,
    /// The key's name in `Cargo.toml` and `runtime-image.toml`.
    pub name: &'static str,
    /// The flag's name, without `--`. Files accept this name as well.
    pub flag: &'static str,
    /// How its values are written.
    pub form: Form,
    /// The kinds of project for which the key has a meaning.
    pub kinds: &'static [ProjectKind],
    /// How sources are laid over each other.
    pub layers: Layers,
    /// Where the flag is shown.
    pub shown: Shown,
    /// The default, in words; empty where there is none.
    pub default: &'static str,
}

/// How the values of a key are written in flags and variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One value.
    One,
    /// `true`, `false`, or nothing for `true`.
    Switch,
    /// A value, or nothing for `true`.
    Mode,
    /// A value each time the flag is given; in a variable, one value a line.
    Lines,
    /// Values separated by commas.
    Commas,
}

/// How a higher source is laid over a lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// The higher value takes the place of the lower one, lists as a whole.
    Replace,
    /// The higher value, with the names that only the lower one holds.
    Merge,
}

/// Where a flag is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// By `-h` and by `--help`.
    Often,
    /// By `--help`.
    Seldom,
    /// By `--help`, and hidden from `tags`, whose result it does not change.
    NotByTags,
    /// By `-h` and by `--help`, and hidden from `tags`.
    OftenNotByTags,
    /// Nowhere: another flag stands for it.
    Never,
}

macro_rules! layered {
    (Replace, $higher:expr, $lower:expr) => {
        $higher.or($lower)
    };
    (Merge, $higher:expr, $lower:expr) => {
        merged($higher, $lower)
    };
}

/// A row for each key: help, field and type; name in files, flag and what help calls the flag's value; form, heading,
/// kinds and layers; where the flag is shown, the default, and further spellings of the flag.
macro_rules! keys {
    ($(
        $(#[$help:meta])*
        $field:ident: $type:ty = $name:literal, $flag:literal $value:literal, $form:ident, $heading:ident, $kinds:ident,
        $layers:ident, $shown:ident, $default:literal $(, $alias:literal)*;
    )+) => {
        /// What one source of configuration says; everything is optional. The fields are flags, `RUNTIME_IMAGE_*`
        /// variables and keys of files: [`KEYS`].
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Args)]
        #[serde(default)]
        pub struct Settings {
            $(
                $(#[$help])*
                #[serde(rename = $name, alias = $flag)]
                #[arg(long = $flag, value_name = $value, help_heading = $heading $(, alias = $alias)*)]
                pub $field: Option<$type>,
            )+
        }

        /// All keys, in the order in which they are shown.
        pub const KEYS: &[Key] = &[$(Key {
            field: stringify!($field),
            name: $name,
            flag: $flag,
            form: Form::$form,
            kinds: $kinds,
            layers: Layers::$layers,
            shown: Shown::$shown,
            default: $default,
        }),+];

        impl Settings {
            /// These settings, with the values of `lower` where they have none.
            #[must_use]
            pub fn over(self, lower: Self) -> Self {
                Self { $($field: layered!($layers, self.$field, lower.$field)),+ }
            }

            /// The keys that have a value.
            pub fn given(&self) -> impl Iterator<Item = &'static Key> {
                KEYS.iter().zip([$(self.$field.is_some()),+]).filter(|(_, is_given)| *is_given).map(|(key, _)| key)
            }
        }
    };
}

keys! {
    /// What the project is
    kind: ProjectKind = "kind", "kind" "KIND", One, IMAGE, ANY, Replace, Often, "what its files say";

    /// Image to start from
    base_image: String = "base-image", "base-image" "IMAGE", One, IMAGE, ANY, Replace, Often,
        "rust:1-bookworm, or what an OpenHands tree says", "base_image";

    /// Platforms to build for, such as linux/amd64,linux/arm64
    platform: Vec<String> = "platform", "platform" "PLATFORM", Commas, IMAGE, ANY, Replace, Often, "the engine's own";

    /// Debian package for building and running (repeatable)
    ///
    /// Installed before the dependencies are built.
    apt_packages: Vec<String> = "apt-packages", "apt-package" "PACKAGE", Lines, IMAGE, CARGO_OR_CUSTOM, Replace, Often,
        "", "apt-packages";

    /// Shell command that installs further dependencies, run once in the dependency stage
    extra_deps: String = "extra-deps", "extra-deps" "TEXT", One, IMAGE, ANY, Replace, Often, "";

    /// Command that builds the project (repeatable)
    ///
    /// For kind cargo a command of Cargo without the word `cargo`, run for the dependencies and then for the workspace.
    /// For kind custom a line for a shell, run in `workdir` when the sources are there.
    prebuild: Vec<String> = "prebuild", "prebuild" "COMMAND", Lines, IMAGE, CARGO_OR_CUSTOM, Replace, Often,
        "build --release";

    /// Build argument for the stage that builds the sources (repeatable)
    build_arg: Vec<String> = "build-arg", "build-arg" "KEY=VALUE", Lines, IMAGE, ANY, Replace, Often, "";

    /// Variable of the build and of the image (repeatable)
    ///
    /// In a file `env` is a table. In a value, `$NAME` refers to a variable of the base image.
    #[serde(deserialize_with = "variables")]
    env: Vec<Variable> = "env", "env" "NAME=VALUE", Lines, IMAGE, CARGO_OR_CUSTOM, Merge, Often, "";

    /// What the image runs: a line for a shell, or a JSON list of words
    cmd: Cmd = "cmd", "cmd" "COMMAND", One, IMAGE, CARGO_OR_CUSTOM, Replace, Often, "the default or only binary";

    /// What the image starts with, before `cmd`: a line for a shell, or a JSON list of words
    ///
    /// With it, only a `cmd` that is given follows.
    entrypoint: Cmd = "entrypoint", "entrypoint" "COMMAND", One, IMAGE, CARGO_OR_CUSTOM, Replace, Seldom, "";

    /// User that builds and runs, created if it is a name that the image lacks
    user: String = "user", "user" "USER", One, IMAGE, CARGO_OR_CUSTOM, Replace, Seldom, "root";

    /// Folder of the project in the image
    workdir: String = "workdir", "workdir" "DIR", One, IMAGE, CARGO_OR_CUSTOM, Replace, Seldom,
        "/workspace; of a slim image /app";

    /// Copy the workspace's binaries to /usr/local/bin
    ///
    /// A binary of any other profile wins over one of a `debug` profile.
    install_binaries: bool = "install-binaries", "install-binaries" "BOOL", Switch, IMAGE, CARGO, Replace, Seldom, "true";

    /// Write into each binary which crates it is built of, for scanners (`cargo auditable`)
    auditable: bool = "auditable", "auditable" "BOOL", Switch, IMAGE, CARGO, Replace, Seldom, "false";

    /// Make a slim image: the binaries on a run image, without what built them
    slim: bool = "slim", "slim" "BOOL", Switch, IMAGE, CARGO, Replace, Often, "true with `run-image`";

    /// Image that a slim image starts from, such as debian:bookworm-slim, or `scratch` for nothing
    run_image: String = "run-image", "run-image" "IMAGE", One, IMAGE, CARGO, Replace, Often,
        "debian:RELEASE-slim of the base image's release";

    /// Debian package that a slim image has for running (repeatable)
    run_packages: Vec<String> = "run-packages", "run-package" "PACKAGE", Lines, IMAGE, CARGO, Replace, Often, "",
        "run-packages";

    /// File of the project that a slim image has in `workdir`, at the same path; a path or glob (repeatable)
    assets: Vec<String> = "assets", "asset" "PATH", Lines, IMAGE, CARGO, Replace, Often, "", "assets";

    /// Binary that a slim image holds (repeatable)
    ///
    /// The image's name then depends on the packages that its binaries need, and on no other member.
    bins: Vec<String> = "bins", "bin" "NAME", Lines, IMAGE, CARGO, Replace, Often, "all", "bins";

    /// Make a slim image for each binary, in a repository of its own
    ///
    /// `{bin}` in `repository` stands for the binary; without it, `-BIN` is added.
    each_bin: bool = "each-bin", "each-bin" "BOOL", Switch, IMAGE, CARGO, Replace, Often, "false";

    /// File that a binary is compiled from and that none of its packages holds; a path or glob (repeatable)
    ///
    /// In a file `bin-inputs` is a table of lists.
    #[serde(deserialize_with = "bin_inputs")]
    bin_inputs: Vec<BinInput> = "bin-inputs", "bin-input" "BIN=PATH", Lines, IMAGE, CARGO, Replace, Seldom, "";

    /// Compile a slim image on the builder's own platform, for platforms that it would have to emulate
    cross: Cross = "cross", "cross" "WHEN", One, IMAGE, CARGO, Replace, Seldom, "auto";

    /// Repository of the image; `localhost/` is never looked up elsewhere
    repository: String = "repository", "repository" "REPOSITORY", One, NAMES, ANY, Replace, Often,
        "localhost/NAME-runtime";

    /// What every tag starts with
    tag_prefix: String = "tag-prefix", "tag-prefix" "PREFIX", One, NAMES, ANY, Replace, Seldom, "rt; oh for OpenHands";

    /// Name the base image by its digest, so that a base image that changed gives another name
    pin_base: bool = "pin-base", "pin-base" "BOOL", Switch, NAMES, ANY, Replace, Often, "false";

    /// The project's version, instead of what its files say
    ///
    /// In a file it can be a table as well: `{ file = "pyproject.toml", key = "project.version" }` names a value in a
    /// TOML or JSON file; without `key`, a file that holds nothing else.
    project_version: Version = "version", "project-version" "VERSION", One, NAMES, ANY, Replace, Seldom,
        "what its files say";

    /// Build from the base image whatever exists, and move all tags to the new image
    force_rebuild: bool = "force-rebuild", "force-rebuild" "BOOL", Switch, BUILD, ANY, Replace, OftenNotByTags, "false",
        "force_rebuild";

    /// Make the build folder ready and stop there
    dry_run: bool = "dry-run", "dry-run" "BOOL", Switch, BUILD, ANY, Replace, OftenNotByTags, "false";

    /// Load the image into the engine
    load: bool = "load", "load" "BOOL", Switch, BUILD, ANY, Replace, OftenNotByTags, "true without `--push`";

    /// Push the image to its registry, and look for earlier images there
    push: bool = "push", "push" "BOOL", Switch, BUILD, ANY, Replace, OftenNotByTags, "false";

    /// Where to keep a build cache: registry[=REF], local[=DIR], gha, inline or off
    cache: Cache = "cache", "cache" "CACHE", One, BUILD, ANY, Replace, OftenNotByTags, "off";

    /// Go on from what an earlier build made of packages that did not change; see `--no-seed`
    seed: bool = "seed", "seed" "BOOL", Switch, BUILD, CARGO, Replace, Never, "true";

    /// Secret for the steps that fetch, as `id=NAME[,src=PATH|,env=NAME]`; not part of any name (repeatable)
    secret: Vec<String> = "secret", "secret" "SECRET", Lines, BUILD, ANY, Replace, OftenNotByTags, "";

    /// File that looks like a secret and is meant to be in the image; a path or glob, not part of any name (repeatable)
    allow_secrets: Vec<String> = "allow-secrets", "allow-secret" "GLOB", Lines, BUILD, ANY, Replace, Seldom, "";

    /// Refuse to build with files that look like secrets, instead of a warning
    deny_secrets: bool = "deny-secrets", "deny-secrets" "BOOL", Switch, BUILD, ANY, Replace, Seldom, "false";

    /// SSH agent socket or key for the steps that fetch; not part of any name (repeatable)
    ssh: Vec<String> = "ssh", "ssh" "SSH", Lines, BUILD, ANY, Replace, NotByTags, "";

    /// File of certificates that the steps that fetch trust; not in the image, not part of any name
    ca_bundle: Utf8PathBuf = "ca-bundle", "ca-bundle" "FILE", One, BUILD, CARGO_OR_CUSTOM, Replace, NotByTags, "";

    /// Refuse to build what would not have the same digest again from the same sources, base image and dependencies
    reproducible: bool = "reproducible", "reproducible" "BOOL", Switch, BUILD, ANY, Replace, Seldom, "false";

    /// Attach how the image was built: `true`, `min` or `max`
    provenance: String = "provenance", "provenance" "MODE", Mode, BUILD, ANY, Replace, Seldom, "false";

    /// Attach a list of what is in the image: `true`, or `generator=IMAGE`
    sbom: String = "sbom", "sbom" "MODE", Mode, BUILD, ANY, Replace, Seldom, "false";

    /// Folder to stage into
    build_folder: Utf8PathBuf = "build-folder", "build-folder" "DIR", One, BUILD, ANY, Replace, Seldom,
        "below the target folder, or the user's cache folder", "build_folder";

    /// Seconds that a registry has to answer, and that a push may stand still
    registry_timeout: u32 = "registry-timeout", "registry-timeout" "SECONDS", One, BUILD, ANY, Replace, NotByTags, "30";

    /// Seconds that the engine and the builder have to answer a question; builds and downloads take their time
    engine_timeout: u32 = "engine-timeout", "engine-timeout" "SECONDS", One, BUILD, ANY, Replace, NotByTags, "30";

    /// Seconds that another run with the same image is waited for
    lock_timeout: u32 = "lock-timeout", "lock-timeout" "SECONDS", One, BUILD, ANY, Replace, NotByTags, "7200";

    /// Cache source, passed on to buildx (repeatable)
    cache_from: Vec<String> = "cache-from", "cache-from" "CACHE", Lines, BUILD, ANY, Replace, NotByTags, "";

    /// Cache destination, passed on to buildx (repeatable)
    cache_to: Vec<String> = "cache-to", "cache-to" "CACHE", Lines, BUILD, ANY, Replace, NotByTags, "";

    /// What builds: docker or podman
    engine: BuildTool = "engine", "engine" "ENGINE", One, BUILD, ANY, Replace, NotByTags, "what is there, docker first";

    /// Builder instance of buildx to use
    builder: String = "builder", "builder" "NAME", One, BUILD, ANY, Replace, NotByTags, "";

    /// Progress output of the build
    progress: Progress = "progress", "progress" "TYPE", One, BUILD, ANY, Replace, NotByTags, "auto";

    /// Custom: file that decides about the dependencies; a path or glob (repeatable)
    lock_files: Vec<String> = "lock-files", "lock-file" "PATH", Lines, OTHER, CUSTOM, Replace, Seldom, "", "lock-files";

    /// Custom: file that goes into the image; a path or glob, `!` before one leaves out (repeatable)
    source: Vec<String> = "source", "source" "PATH", Lines, OTHER, CUSTOM, Replace, Seldom, "everything";

    /// Custom: Jinja template of the Dockerfile
    template: Utf8PathBuf = "template", "template" "FILE", One, OTHER, CUSTOM, Replace, Seldom, "built in";

    /// Custom: 2 where the template has a stage `deps` without sources, 1 where it has not
    stages: u8 = "stages", "stages" "NUMBER", One, OTHER, CUSTOM, Replace, Seldom, "what the template says";

    /// OpenHands: names as its own build makes them, or of all that is in the image
    tag_scheme: TagScheme = "tag-scheme", "tag-scheme" "SCHEME", One, OTHER, OPENHANDS, Replace, Seldom, "original";

    /// Whether an OpenHands image gets a browser; see `--no-enable-browser`
    enable_browser: bool = "enable-browser", "enable-browser" "BOOL", Switch, OTHER, OPENHANDS_OR_CUSTOM, Replace, Never,
        "true", "enable_browser";
}

impl Key {
    /// The environment variable that holds the key.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.flag.to_uppercase().replace('-', "_"))
    }
}

/// The clap command, which has the flags of [`Settings`], with all that [`KEYS`] says of each flag.
pub fn with_forms(mut command: clap::Command) -> clap::Command {
    // `mut_arg` moves an argument to the end of the list. The other arguments are moved last, and stay behind the keys.
    let known = |argument: &clap::Arg| KEYS.iter().any(|key| argument.get_id() == key.field);
    let others: Vec<clap::Id> =
        command.get_arguments().filter(|other| !known(other)).map(|other| other.get_id().clone()).collect();
    for key in KEYS {
        command = command.mut_arg(key.field, |argument| {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            let longer = argument.get_long_help().map(ToString::to_string);
            let default = match (key.form, key.default) {
                (_, "") | (Form::Switch, "false") => String::new(),
                (_, default) => format!(" [default: {default}]"),
            };
            let argument = argument
                .hide(key.shown == Shown::Never)
                .hide_short_help(matches!(key.shown, Shown::Seldom | Shown::NotByTags))
                .help(format!("{help}{default}"));
            let argument = match longer {
                Some(text) => argument.long_help(format!("{text}{default}")),
                None => argument,
            };
            match key.form {
                Form::One => argument,
                Form::Switch => argument
                    .num_args(0..=1)
                    .default_missing_value("true")
                    .require_equals(true)
                    .value_parser(BoolishValueParser::new())
                    .hide_possible_values(true),
                Form::Mode => argument.num_args(0..=1).default_missing_value("true").require_equals(true),
                Form::Lines => argument.value_delimiter('\n').allow_hyphen_values(true),
                Form::Commas => argument.value_delimiter(','),
            }
        });
    }
    others.into_iter().fold(command, |command, other| command.mut_arg(other, |argument| argument))
}

/// The clap command with the flags hidden that change no name; these flags are still understood.
pub fn without_what_names_do_not_need(command: clap::Command) -> clap::Command {
    let needless = KEYS.iter().filter(|key| matches!(key.shown, Shown::NotByTags | Shown::OftenNotByTags));
    needless.fold(command, |command, key| command.mut_arg(key.field, |argument| argument.hide(true)))
}

/// Words of a command line as an error may repeat them. What stands where `NAME=VALUE` should be may be a value alone.
pub fn shown_words(words: &[OsString]) -> Vec<OsString> {
    let of_pairs = |word: &str| FLAGS_OF_VALUES.contains(&word);
    let lines = |values: &str| values.split('\n').map(redacted_wrong_pair).collect::<Vec<_>>().join("\n");
    let mut shown = Vec::new();
    let mut is_pair = false;
    for word in words.iter().map(|word| word.to_string_lossy()) {
        shown.push(match word.split_once('=') {
            _ if is_pair => lines(&word),
            Some((flag, values)) if of_pairs(flag) => format!("{flag}={}", lines(values)),
            Some((flag, value)) if flag.starts_with("--") => one_line(&format!("{flag}={}", redacted_reference(value))),
            _ => one_line(&redacted_reference(&word)),
        });
        is_pair = of_pairs(&word);
    }
    shown.iter().map(|word| harmless(word).into()).collect()
}

impl Settings {
    /// The settings in the environment. An empty variable says nothing; one with this tool's prefix that is no key
    /// gives a warning.
    ///
    /// # Errors
    /// When a value is wrong.
    pub fn from_environment(
        variables: impl Iterator<Item = (OsString, OsString)>,
        terminal: &Terminal,
    ) -> Result<Self> {
        let mut settings = Self::default();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
            let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
                terminal.warning(format!("the variable `{name}` means nothing: there is no such option"));
                continue;
            };
            if !value.is_empty() {
                settings = Self::from_flag(key, &value)
                    .map_err(|error| Error::usage(format!("wrong value in the variable `{name}`")).because(error))?
                    .over(settings);
            }
        }
        Ok(settings)
    }

    /// The settings that a flag with this value makes; the error is clap's own sentence.
    fn from_flag(key: &Key, value: &std::ffi::OsStr) -> std::result::Result<Self, String> {
        let mut flag = OsString::from(format!("--{}=", key.flag));
        flag.push(value);
        let parsed = |words: Vec<OsString>| {
            let command = with_forms(Self::augment_args(clap::Command::new("variable").no_binary_name(true)));
            command.try_get_matches_from(words).and_then(|matches| Self::from_arg_matches(&matches))
        };
        parsed(vec![flag.clone()]).map_err(|error| {
            let error = parsed(shown_words(&[flag])).err().unwrap_or(error);
            let text = error.render().to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// These settings with absolute paths; relative ones start at `folder`.
    #[must_use]
    pub fn seen_from(mut self, folder: &Utf8Path) -> Self {
        if let Some(Cache::Local(Some(path))) = &mut self.cache {
            *path = folder.join(&path);
        }
        for path in [&mut self.build_folder, &mut self.ca_bundle, &mut self.template].into_iter().flatten() {
            *path = folder.join(&path);
        }
        for text in [&mut self.cache_from, &mut self.cache_to].into_iter().flatten().flatten() {
            *text = CacheEntry::new(text).seen_from(folder);
        }
        // What is none of these is refused when options are made.
        for text in self.secret.iter_mut().flatten() {
            if let Ok(secret) = text.parse::<Secret>() {
                *text = secret.seen_from(folder).to_string();
            }
        }
        for text in self.ssh.iter_mut().flatten() {
            if let Ok(ssh) = text.parse::<Ssh>() {
                *text = ssh.seen_from(folder).to_string();
            }
        }
        self
    }

    /// Refuses files and folders outside of the project that a file of the project names, by their paths or through
    /// links. What the user names may lie anywhere.
    ///
    /// # Errors
    /// A usage error that names the key and the file.
    pub fn refuse_files_outside(&self, root: &Utf8Path) -> Result<()> {
        let mut named: Vec<(&str, Utf8PathBuf)> = Vec::new();
        if let Some(Version::File { file, .. }) = &self.project_version {
            named.push(("version", file.clone()));
        }
        named.extend(self.template.iter().map(|file| ("template", file.clone())));
        named.extend(self.ca_bundle.iter().map(|file| ("ca-bundle", file.clone())));
        named.extend(self.build_folder.iter().map(|folder| ("build-folder", folder.clone())));
        if let Some(Cache::Local(Some(folder))) = &self.cache {
            named.push(("cache", folder.clone()));
        }
        for (key, entries) in [("cache-from", &self.cache_from), ("cache-to", &self.cache_to)] {
            let entries = entries.iter().flatten().map(|text| CacheEntry::new(text));
            named.extend(entries.filter_map(|entry| Some((key, entry.folder()?.to_owned()))));
        }
        for secret in self.secret.iter().flatten().filter_map(|text| text.parse::<Secret>().ok()) {
            named.extend(secret.file().map(|file| ("secret", file.to_owned())));
        }
        for ssh in self.ssh.iter().flatten().filter_map(|text| text.parse::<Ssh>().ok()) {
            named.extend(ssh.files().map(|file| ("ssh", file.to_owned())));
        }
        for (key, file) in named {
            if ends_outside(root, &root.join(&file)) {
                return Err(Error::usage(format!("`{key}` names `{file}`, which lies outside of the project"))
                    .hint("what a file of the project names stays inside; flags and variables may name any file"));
            }
        }
        Ok(())
    }

    /// The settings in a table of `Cargo.toml` metadata. Unknown keys give a warning each.
    ///
    /// # Errors
    /// When a key has the wrong type.
    pub fn from_metadata(metadata: &serde_json::Value, table: &str, terminal: &Terminal) -> Result<Self> {
        match metadata.get(METADATA_KEY) {
            Some(value) => Self::from_table(value, &format!("[{table}.{METADATA_KEY}]"), terminal),
            None => Ok(Self::default()),
        }
    }

    /// The settings in the file `runtime-image.toml` in `root`, if there is one. Unknown keys give a warning each.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or a key has the wrong type.
    pub fn from_file(root: &Utf8Path, terminal: &Terminal) -> Result<Self> {
        match table_in(root)? {
            Some(table) => Self::from_table(table, root.join(CONFIG_FILE).as_str(), terminal),
            None => Ok(Self::default()),
        }
    }

    fn from_table<'de, D>(table: D, place: &str, terminal: &Terminal) -> Result<Self>
    where
        D: serde::Deserializer<'de>,
    {
        let mut unknown = BTreeSet::new();
        let settings = serde_ignored::deserialize(table, |key| {
            unknown.insert(key.to_string());
        })
        .map_err(|error| wrong(place, error))?;
        for key in unknown {
            terminal.warning(format!("unknown key `{key}` in {place}"));
        }
        Ok(settings)
    }

    /// The kind that the file `runtime-image.toml` in `root` gives, if it gives one.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or its kind is unknown.
    pub fn kind_in_file(root: &Utf8Path) -> Result<Option<ProjectKind>> {
        let kind = table_in(root)?.and_then(|mut table| table.remove("kind"));
        kind.map(toml::Value::try_into).transpose().map_err(|error| wrong(root.join(CONFIG_FILE).as_str(), error))
    }

    /// Refuses keys that mean nothing for a project of this kind, rather than ignore them silently.
    ///
    /// # Errors
    /// A usage error that names the key.
    pub fn refuse_keys_of_other_kinds(&self, kind: ProjectKind) -> Result<()> {
        let Some(key) = self.given().find(|key| !key.kinds.contains(&kind)) else { return Ok(()) };
        let kinds: Vec<String> = key.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        Err(Error::usage(format!("`{}` means nothing for a project of kind `{kind}`", key.name))
            .hint(format!("it is for projects of kind {}; take it out, or set `kind`", kinds.join(" or "))))
    }
}

fn merged(higher: Option<Vec<Variable>>, lower: Option<Vec<Variable>>) -> Option<Vec<Variable>> {
    match (higher, lower) {
        (Some(mut all), Some(lower)) => {
            let is_known = |variable: &Variable| all.iter().any(|known| known.name == variable.name);
            let missing: Vec<Variable> = lower.into_iter().filter(|variable| !is_known(variable)).collect();
            all.extend(missing);
            Some(all)
        }
        (higher, lower) => higher.or(lower),
    }
}

fn wrong(place: &str, error: impl std::fmt::Display) -> Error {
    Error::usage(format!("wrong configuration in {place}")).because(redacted_message(&error.to_string()))
}

/// Where a parser stopped, without the line itself: a value may stand there.
fn where_in(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let (line, column) =
        (before.split('\n').count(), before.rsplit('\n').next().unwrap_or_default().chars().count() + 1);
    format!("line {line}, column {column}: {}", redacted_message(error.message()))
}

/// What the file `runtime-image.toml` in `root` holds, if there is one.
fn table_in(root: &Utf8Path) -> Result<Option<toml::Table>> {
    let path = root.join(CONFIG_FILE);
    if !path.exists() {
        return Ok(None);
    }
    refuse_outside(root, &path)?;
    let text = reading::text(&path).context(|| format!("cannot read `{path}`"))?;
    let table = toml::from_str(&text)
        .map_err(|error| Error::usage(format!("cannot parse `{path}`")).because(where_in(&text, &error)))?;
    Ok(Some(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(toml: &str) -> Settings {
        toml::from_str(toml).expect("the test's TOML is valid")
    }

    fn from_environment(variables: &[(&str, &str)]) -> Result<Settings> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Settings::from_environment(variables, &Terminal::silent())
    }

    #[test]
    fn a_higher_source_wins_and_lists_replace() {
        let merged = settings("base-image = 'a'\nprebuild = ['test']")
            .over(settings("base-image = 'b'\nprebuild = ['build', 'doc']\nuser = 'app'"));
        assert_eq!(merged, settings("base-image = 'a'\nprebuild = ['test']\nuser = 'app'"));
    }

    #[test]
    fn variables_of_the_image_are_merged_by_name() {
        let higher = settings("env = { A = '1', B = '1' }");
        let lower = settings("env = { B = '2', C = '2' }");
        assert_eq!(higher.clone().over(lower.clone()), settings("env = { A = '1', B = '1', C = '2' }"));
        assert_eq!(higher.clone().over(Settings::default()), higher);
        assert_eq!(Settings::default().over(lower.clone()), lower);
    }

    #[test]
    fn a_variable_says_what_the_key_says() -> Result<()> {
        let variables = [
            ("RUNTIME_IMAGE_KIND", "custom"),
            ("RUNTIME_IMAGE_PLATFORM", "linux/amd64,linux/arm64"),
            ("RUNTIME_IMAGE_APT_PACKAGE", "cmake\ngit"),
            ("RUNTIME_IMAGE_ENV", "A=b=c\nD="),
            ("RUNTIME_IMAGE_CMD", "[\"a\", \"b c\"]"),
            ("RUNTIME_IMAGE_PUSH", "yes"),
            ("RUNTIME_IMAGE_PROJECT_VERSION", "1.0"),
            ("RUNTIME_IMAGE_PREBUILD", "-v build"),
            ("RUNTIME_IMAGE_USER", ""),
        ];
        let expected = settings(
            "kind = 'custom'\nplatform = ['linux/amd64', 'linux/arm64']\napt-packages = ['cmake', 'git']\n\
             env = { A = 'b=c', D = '' }\ncmd = ['a', 'b c']\npush = true\nversion = '1.0'\nprebuild = ['-v build']",
        );
        assert_eq!(from_environment(&variables)?, expected);
        Ok(())
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let error = from_environment(&[("RUNTIME_IMAGE_KIND", "cargoo")]).expect_err("it was taken");
        assert_eq!(error.to_string(), "wrong value in the variable `RUNTIME_IMAGE_KIND`");
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(cause.starts_with("invalid value 'cargoo' for '--kind <KIND>'"), "{cause}");
    }

    #[test]
    fn a_wrong_variable_is_told_without_its_secrets() {
        for (name, value, told) in [
            ("RUNTIME_IMAGE_ENV", "TOKEN=x\nhunter2", "invalid value '***' for '--env <NAME=VALUE>'"),
            ("RUNTIME_IMAGE_CACHE", "registry=user:hunter2@host/x", "invalid value '***@host/x' for '--cache <CACHE>'"),
            ("RUNTIME_IMAGE_PUSH", "https://u:hunter2@host/x", "invalid value 'https://***@host/x' for '--push"),
        ] {
            let error = from_environment(&[(name, value)]).expect_err(value);
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(cause.starts_with(told) && !cause.contains("hunter2"), "{cause}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_told_without_the_values_in_it() {
        for (toml, told) in [
            ("build-arg = ['A=hunter2'", "line 1, column"),
            ("build-arg = 'A=hunter2'", "invalid type: string \"A=***\""),
            ("build-arg = 'A=b \"hunter2\" c'", "invalid type: string \"A=***\""),
            ("kind = 'custom'\nbuild-arg = ['TOKEN=a \"hunter2\"', 7]", "invalid type: integer"),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
            std::fs::write(root.join(CONFIG_FILE), toml).expect("written");
            let error = Settings::from_file(root, &Terminal::silent()).expect_err(toml);
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            assert!(cause.contains(told) && !cause.contains("hunter2"), "{cause}");
        }
    }

    #[test]
    fn no_two_keys_share_a_name() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(|key| [key.name, key.flag]).collect();
        names.sort_unstable();
        names.dedup();
        let doubled = KEYS.iter().filter(|key| key.name == key.flag).count();
        assert_eq!(names.len(), 2 * KEYS.len() - doubled);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_by_name() {
        let error = settings("stages = 2").refuse_keys_of_other_kinds(ProjectKind::Cargo).expect_err("it was taken");
        assert_eq!(error.to_string(), "`stages` means nothing for a project of kind `cargo`");
        assert!(settings("stages = 2").refuse_keys_of_other_kinds(ProjectKind::Custom).is_ok());
        for kind in [ProjectKind::Custom, ProjectKind::Openhands] {
            let error = settings("auditable = true").refuse_keys_of_other_kinds(kind).expect_err("it was taken");
            assert_eq!(error.to_string(), format!("`auditable` means nothing for a project of kind `{kind}`"));
        }
    }
}
