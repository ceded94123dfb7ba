//! What the documentation promises to be complete about: pages, exit codes, JSON keys, error texts.
//!
//! The sources are read as text, by walking `src/`, so that a moved file changes nothing here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on ends here")]

#[path = "docs/errors.rs"]
mod errors;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use runtime_image::config::settings::{Form, KEYS};

use errors::{errors_of_the_page, errors_of_the_program};

const MOST_LINES_OF_THE_README: usize = 150;

#[test]
fn the_readme_is_short_and_says_how_to_try_and_to_test() {
    let readme = read("README.md");
    let lines = readme.lines().count();
    assert!(lines <= MOST_LINES_OF_THE_README, "README.md has {lines} lines: the rest belongs into docs/");
    for command in ["make demo", "make test"] {
        assert!(readme.contains(&format!("\n$ {command} ")), "README.md does not show `{command}`");
    }
}

#[test]
fn the_summary_links_every_page() {
    let summary = read("docs/SUMMARY.md");
    for path in files_below("docs", "md") {
        let name = path.strip_prefix(root().join("docs")).unwrap().to_str().unwrap();
        assert!(
            name == "SUMMARY.md" || summary.contains(&format!("({name})")),
            "docs/SUMMARY.md has no link to docs/{name}"
        );
    }
}

/// As the command itself lists them. A flag is in the prose, or in the help that is shown on the page.
#[test]
fn every_option_is_explained() {
    let page = read("docs/reference.md") + &read("docs/openhands.md");
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-runtime-image")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut count = 0;
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        let mut words = line.split(|character: char| !(character.is_alphanumeric() || character == '-'));
        let Some(flag) = words.find(|word| word.len() > 2 && word.starts_with("--")) else { continue };
        count += 1;
        let key = flag.trim_start_matches('-');
        let is_explained = holds_word(&page, flag) || holds_word(&page, &format!("`{key}"));
        assert!(is_explained || ["help", "version"].contains(&key), "docs/reference.md does not know `{flag}`");
    }
    assert!(count > 30, "the options were not found in the help");
}

fn holds_word(page: &str, word: &str) -> bool {
    let goes_on = |character: char| character.is_alphanumeric() || character == '-';
    page.match_indices(word).any(|(at, _)| !page[at + word.len()..].starts_with(goes_on))
}

/// `UPDATE_DOCS=1 cargo test --test docs` writes both parts anew.
#[test]
fn the_reference_shows_every_key_and_the_help_as_they_are() {
    let page = read("docs/reference.md");
    let output = Command::new(env!("CARGO_BIN_EXE_cargo-runtime-image")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let expected = with_part(&with_part(&page, "keys", &table_of_keys()), "help", &format!("```text\n{help}```\n"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join("docs/reference.md"), &expected).unwrap();
    }
    assert!(
        read("docs/reference.md") == expected,
        "docs/reference.md is not what the source says: `UPDATE_DOCS=1 cargo test --test docs` writes it anew"
    );
}

fn with_part(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
    let (head, rest) = page.split_once(&begin).expect("the page has the part's begin");
    let (_, tail) = rest.split_once(&end).expect("the page has the part's end");
    format!("{head}{begin}\n{text}\n{end}{tail}")
}

fn table_of_keys() -> String {
    let command = runtime_image::cli::command();
    let mut table = String::from("| key | flag | for | default | meaning |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let argument = command.get_arguments().find(|argument| argument.get_id() == key.field).unwrap();
        let help = argument.get_help().unwrap().to_string();
        let meaning = help.split(" [default: ").next().unwrap();
        let value = argument.get_value_names().unwrap_or_default().join(" ");
        let flag = match key.form {
            Form::Switch => format!("--{}", key.flag),
            Form::Mode => format!("--{}[={value}]", key.flag),
            Form::One | Form::Lines | Form::Commas => format!("--{} {value}", key.flag),
        };
        let kinds: Vec<String> = key.kinds.iter().map(ToString::to_string).collect();
        let kinds = if kinds.len() == 3 { "all".to_owned() } else { kinds.join(", ") };
        let default = if key.default.is_empty() { String::new() } else { key.default.replace('|', "\\|") };
        writeln!(table, "| `{}` | `{flag}` | {kinds} | {default} | {} |", key.name, meaning.replace('|', "\\|"))
            .unwrap();
    }
    table
}

#[test]
fn the_design_names_types_that_there_are() {
    let sources = all_sources();
    let page = read("docs/design.md");
    let steps = page.split_once("| step | type |").unwrap().1.split_once("\n\n").unwrap().0;
    let types = steps.split('`').skip(1).step_by(2);
    for name in types {
        let is_there = ["struct", "enum", "trait"].iter().any(|item| sources.contains(&format!("pub {item} {name}")));
        assert!(is_there, "docs/design.md names `{name}`, which is no type in src/");
    }
}

/// The constants of the module `exit_code`; of signals, INT, TERM and HUP are caught.
#[test]
fn every_exit_code_is_explained() {
    let page = read("docs/exit-codes.md");
    let sources = all_sources();
    let constants = item(&sources, "mod exit_code {");
    let mut codes: Vec<u32> = Vec::new();
    for line in constants.lines().filter_map(|line| line.trim().strip_prefix("pub const ")) {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.split_once('=').unwrap().1.trim().trim_end_matches(';').parse().unwrap();
        match name {
            "SIGNAL_BASE" => codes.extend([1, 2, 15].map(|signal| value + signal)),
            _ => codes.push(value),
        }
    }
    assert!(codes.len() > 6, "the exit codes were not found in src/");
    for code in codes {
        assert!(page.contains(&format!("\n| {code} |")), "docs/exit-codes.md has no row for {code}");
    }
}

/// The report, and the structs of its fields.
#[test]
fn every_key_of_the_json_is_explained() {
    let page = read("docs/json.md");
    let sources = all_sources();
    let mut waiting = vec!["Report".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        let Some(fields) = find_item(&sources, &format!("pub struct {name} {{")) else { continue };
        if !seen.insert(name.clone()) {
            continue;
        }
        for line in fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")) {
            let Some((field, of)) = line.split_once(':') else { continue };
            assert!(page.contains(&format!("`{field}`")), "docs/json.md does not know `{field}` of `{name}`");
            waiting.extend(of.split(|character: char| !character.is_alphanumeric()).map(str::to_owned));
        }
    }
    assert!(seen.contains("Report") && seen.contains("Seconds"), "the report was not found in src/: {seen:?}");
}

/// Both ways: what the program says is on the page, and the page has nothing that the program does not say.
#[test]
fn every_error_has_its_remedy() {
    let said = errors_of_the_program();
    let explained = errors_of_the_page(&read("docs/troubleshooting.md"));
    assert!(said.len() > 80, "only {} error texts were found in src/", said.len());
    let mut report = String::new();
    for text in &said {
        if !explained.contains_key(text) {
            writeln!(report, "  missing on the page: {text}").unwrap();
        }
    }
    for (text, line) in &explained {
        if !said.contains(text) {
            writeln!(report, "  not said by the program: {text}    (line {line})").unwrap();
        }
    }
    assert!(
        report.is_empty(),
        "docs/troubleshooting.md and the errors of src/ differ (* is a value):\n{report}On the page an error is bold \
         code, with values in CAPITALS: **`` cannot find `NAME` ``**"
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut waiting, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|of| of == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn all_sources() -> String {
    files_below("src", "rs").iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// What stands between `head` and the end of the item.
fn item<'a>(sources: &'a str, head: &str) -> &'a str {
    find_item(sources, head).unwrap_or_else(|| panic!("`{head}` is nowhere in src/"))
}

fn find_item<'a>(sources: &'a str, head: &str) -> Option<&'a str> {
    sources.split_once(head)?.1.split_once("\n}\n").map(|(body, _)| body)
}
