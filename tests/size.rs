//! Large trees, large files and wild texts: memory stays small, time grows with the size and not with its square, and
//! what is too much is an error. No test here needs an engine. The long ones are a part of `make soak`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Stdio;
use std::time::Duration;

use rstest::rstest;
use support::Project;

/// In kibibytes, as Linux counts memory.
const MOST_MEMORY: u64 = 64 << 10;
const GIB: u64 = 1 << 30;
/// Of the short tests: more than fits into that memory, and little enough to end soon.
const FEW: usize = 5_000;
const LARGE: u64 = 256 << 20;
const TAGS: [&str; 1] = ["tags"];
const STAGE: [&str; 3] = ["--dry-run", "--force-rebuild", "--build-folder=../staged/context"];

/// What a run of the command took.
#[derive(Debug, Default)]
struct Used {
    /// The most memory, in kibibytes.
    memory: u64,
    /// Of the processor by this program alone, in hundredths of a second.
    time: u64,
}

/// Runs the command, which must succeed, and looks at what it uses until it ends.
fn used(project: &Project, arguments: &[&str]) -> Used {
    let mut command = project.command(arguments);
    let mut child = command.arg("--quiet").stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let folder = format!("/proc/{}", child.id());
    let mut used = Used::default();
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        used.memory = peak.and_then(|peak| peak.parse::<u64>().ok()).unwrap_or_default().max(used.memory);
        let stat = fs::read_to_string(format!("{folder}/stat")).unwrap_or_default();
        // After the name, which is in parentheses: time in user and in system mode are the 12th and 13th field.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let times = fields.get(11..13).into_iter().flatten().filter_map(|field| field.parse::<u64>().ok());
        used.time = times.sum::<u64>().max(used.time);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success(), "{arguments:?} failed");
    assert!(used.memory > 0, "nothing was seen of the process");
    used
}

fn many_files(project: &Project, folder: &str, count: usize) {
    for number in 0..count {
        let path = project.root.join(format!("{folder}/module_{:04}/a_file_with_a_name_{number}.txt", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        fs::write(path, format!("{number}\n")).unwrap();
    }
}

fn takes_little_memory(project: &Project, arguments: &[&str]) {
    let used = used(project, arguments);
    assert!(used.memory < MOST_MEMORY, "{arguments:?} took {} KiB", used.memory);
}

/// Staging writes what it reads; a hole of the source is one of the copy.
fn is_staged_in_little_memory(project: &Project, large: &str) {
    takes_little_memory(project, &STAGE);
    let staged = fs::metadata(project.root.join("../staged/context/code").join(large)).unwrap();
    assert_eq!(staged.size(), fs::metadata(project.root.join(large)).unwrap().size());
    assert!(staged.blocks() * 512 < staged.size() / 8, "the copy takes {} blocks", staged.blocks());
}

#[rstest]
#[case::custom(Project::bare_custom(), "data", "huge")]
#[case::a_workspace(Project::hello(), "hello/data", "huge")]
#[case::a_tree_of_openhands(Project::bare_openhands(), "openhands/data", "openhands/huge")]
fn many_files_and_a_large_one_take_little_memory(#[case] project: Project, #[case] many: &str, #[case] large: &str) {
    many_files(&project, many, FEW);
    project.write_sparse(large, LARGE);
    takes_little_memory(&project, &TAGS);
}

#[test]
fn many_files_and_a_large_one_are_staged_in_little_memory() {
    let project = Project::bare_custom();
    many_files(&project, "data", FEW);
    project.write_sparse("huge", LARGE);
    is_staged_in_little_memory(&project, "huge");
}

#[test]
fn many_files_in_a_git_work_tree_take_little_memory() {
    let project = Project::bare_custom();
    many_files(&project, "data", FEW);
    project.git_init();
    takes_little_memory(&project, &TAGS);
}

#[rstest]
#[ignore = "long: make soak"]
#[case::custom(Project::bare_custom(), "data", "huge", 100_000, 8)]
#[ignore = "long: make soak"]
#[case::a_workspace(Project::hello(), "hello/data", "huge", 30_000, 1)]
#[ignore = "long: make soak"]
#[case::a_tree_of_openhands(Project::bare_openhands(), "openhands/data", "openhands/huge", 30_000, 1)]
fn very_many_files_and_a_large_one_take_little_memory(
    #[case] project: Project,
    #[case] many: &str,
    #[case] large: &str,
    #[case] files: usize,
    #[case] gibibytes: u64,
) {
    many_files(&project, many, files);
    project.write_sparse(large, gibibytes * GIB);
    takes_little_memory(&project, &TAGS);
    is_staged_in_little_memory(&project, large);
}

/// A workspace of so many members, each with a dozen path dependencies.
fn members(count: usize) -> Project {
    let project = Project::empty();
    project.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"c/*\"]\n");
    let mut lock = "version = 4\n".to_owned();
    for number in 0..count {
        let needs: Vec<usize> = (number.saturating_sub(12)..number).collect();
        let paths = needs
            .iter()
            .fold(String::new(), |paths, need| format!("{paths}m{need:05} = {{ path = \"../m{need:05}\" }}\n"));
        let manifest = format!("[package]\nname = \"m{number:05}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        project.write(&format!("c/m{number:05}/Cargo.toml"), manifest + "[dependencies]\n" + &paths);
        project.write(&format!("c/m{number:05}/src/main.rs"), "");
        project.write(&format!("c/m{number:05}/src/lib.rs"), "");
        let names: Vec<String> = needs.iter().map(|need| format!(" \"m{need:05}\",\n")).collect();
        write!(lock, "\n[[package]]\nname = \"m{number:05}\"\nversion = \"0.1.0\"\n").unwrap();
        if !names.is_empty() {
            write!(lock, "dependencies = [\n{}]\n", names.concat()).unwrap();
        }
    }
    project.write("Cargo.lock", lock);
    project
}

/// One member that needs so many local packages, which are none, through the table of the workspace.
fn whole_packages(count: usize) -> Project {
    let project = Project::empty();
    let (mut shared, mut needs, mut lock) = (String::new(), String::new(), String::new());
    for number in 0..count {
        let name = format!("m{number:05}");
        writeln!(shared, "{name} = {{ path = \"c/{name}\" }}").unwrap();
        writeln!(needs, "{name} = {{ workspace = true }}").unwrap();
        write!(lock, "\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n").unwrap();
        let manifest = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
        project.write(&format!("c/{name}/Cargo.toml"), manifest).write(&format!("c/{name}/src/lib.rs"), "");
    }
    let workspace = "[workspace]\nresolver = \"2\"\nmembers = [\"app\"]\nexclude = [\"c\"]\n[workspace.dependencies]\n";
    let names: Vec<String> = (0..count).map(|number| format!(" \"m{number:05}\",\n")).collect();
    let app = format!("\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n{}]\n", names.concat());
    project
        .write("Cargo.toml", workspace.to_owned() + &shared)
        .write("app/Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\n[dependencies]\n".to_owned() + &needs)
        .write("app/src/main.rs", "")
        .write("Cargo.lock", format!("version = 4\n{app}{lock}"));
    project
}

/// Four times as many take four times as long, and sixteen times were it the square. Cargo's own time is not counted.
#[rstest]
#[case::members(members)]
#[case::whole_packages(whole_packages)]
fn time_grows_with_the_number_of_packages_and_not_with_its_square(#[case] workspace: fn(usize) -> Project) {
    let [few, many] = [200, 800].map(|count| {
        let project = workspace(count);
        (0..2).map(|_| used(&project, &["tags", "--locked", "--offline"]).time).min().unwrap()
    });
    assert!(many <= 7 * few + 10, "200 packages take {few} hundredths of a second, and 800 take {many}");
}

/// Runs the command and expects an error that says so, and not the end of a process whose stack was too small.
fn is_refused(project: &Project, arguments: &[&str], words: &[&str]) {
    let run = project.run(arguments);
    assert!(matches!(run.code, Some(1 | 2)), "{:?}: {:.1000}", run.code, run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{word:?} is not in {:.1000}", run.stderr);
    }
}

#[rstest]
#[case::operators("{{ 1".to_owned() + &"+1".repeat(200_000) + " }}")]
#[case::filters("{{ 1".to_owned() + &"|int".repeat(200_000) + " }}")]
#[case::parentheses("{{ ".to_owned() + &"(".repeat(60_000) + "1" + &")".repeat(60_000) + " }}")]
#[case::lists("{{ ".to_owned() + &"[".repeat(60_000) + &"]".repeat(60_000) + " }}")]
#[case::blocks("{% if 1 %}".repeat(5_000) + &"{% endif %}".repeat(5_000))]
#[case::calls("{{ version".to_owned() + &"()".repeat(60_000) + " }}")]
#[case::attributes("{{ version".to_owned() + &".a".repeat(60_000) + " }}")]
#[case::branches("{% if 0 %}".to_owned() + &"{%elif 0%}".repeat(20_000) + "{% endif %}")]
#[case::a_macro_that_calls_itself("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned())]
fn a_wild_template_is_an_error_that_names_it(#[case] text: String) {
    let project = Project::bare_custom();
    project.write("my.j2", format!("FROM {{{{ base_image }}}}\n{text}\n"));
    is_refused(&project, &["tags", "--template", "my.j2"], &["my.j2", "hint: "]);
}

/// As many as fit into the largest template.
#[rstest]
#[case::operators("{{ 1".to_owned() + &"+1".repeat(60_000) + " }}")]
#[case::filters("{{ 1".to_owned() + &"|int".repeat(32_000) + " }}")]
#[case::negations("{{ ".to_owned() + &"not ".repeat(32_000) + "1 }}")]
#[case::conditions("{{ ".to_owned() + &"1 if 0 else ".repeat(10_000) + "1 }}")]
#[case::branches("{% if 0 %}".to_owned() + &"{%elif 0%}".repeat(12_500) + "{% endif %}")]
#[case::nested_lists(
    "{% set n = namespace(x=[]) %}{% for a in range(9999) %}{% for b in range(99) %}{% set n.x = [n.x] %}{% endfor %}\
     {% endfor %}"
        .to_owned()
)]
#[case::nested_lists_that_are_shown(
    "{% set n = namespace(x=[]) %}{% for b in range(99999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|length }}"
        .to_owned()
)]
#[case::brackets_of_a_command("CMD ".to_owned() + &"[".repeat(100_000))]
#[case::lines_that_go_on("RUN x".to_owned() + &"\\\n".repeat(60_000))]
#[case::texts_of_a_command("RUN".to_owned() + &" <<A".repeat(25_000))]
fn no_template_ends_the_process(#[case] text: String) {
    let project = Project::bare_custom();
    project.write("my.j2", format!("FROM {{{{ base_image }}}}\n{text}\n"));
    let run = project.run(&["tags", "--template", "my.j2"]);
    assert!(matches!(run.code, Some(0..=2)), "{:?}: {:.1000}", run.code, run.stderr);
}

#[rstest]
#[case::a_source("runtime-image.toml", "version = \"1\"\nsource = [\"WILD\"]\n", "`source`")]
#[case::a_lock_file("runtime-image.toml", "version = \"1\"\nlock-files = [\"WILD\"]\n", "`lock-files`")]
#[case::an_allowed_secret("runtime-image.toml", "version = \"1\"\nallow-secrets = [\"WILD\"]\n", "`allow-secrets`")]
#[case::an_ignore_file(".runtime-image-ignore", "a\nWILD\n", ".runtime-image-ignore")]
#[case::an_ignore_file_of_git(".gitignore", "WILD\n", ".gitignore")]
#[case::an_ignore_file_of_git_in_a_folder("a/.gitignore", "WILD\n", "a/.gitignore")]
fn wild_patterns_are_an_error_that_names_where_they_stand(
    #[case] path: &str,
    #[case] text: &str,
    #[case] named: &str,
    #[values("{a,", "**/")] part: &str,
) {
    let project = Project::bare_custom();
    project.write("a/x", "x");
    for pattern in
        [part.repeat(100_000), vec![part; 300_000].join(if path.ends_with("toml") { "\", \"" } else { "\n" })]
    {
        project.write(path, text.replace("WILD", &pattern));
        is_refused(&project, &["tags"], &[named, "are too long", "hint: "]);
    }
}

/// The longest that are taken.
#[rstest]
#[case::braces("{".repeat(2_000) + &"}".repeat(2_000))]
#[case::alternatives("{a,".repeat(1_000) + &"}".repeat(1_000))]
#[case::stars("a*".repeat(2_000))]
#[case::question_marks("?".repeat(4_000))]
fn a_long_pattern_does_not_end_the_process(#[case] pattern: String) {
    let project = Project::bare_custom();
    for path in [".runtime-image-ignore", ".gitignore"] {
        project.write(path, &pattern);
        let run = project.run(&["tags"]);
        assert!(matches!(run.code, Some(0..=2)), "{:?}: {:.1000}", run.code, run.stderr);
        fs::remove_file(project.root.join(path)).unwrap();
    }
}

#[rstest]
#[case::lists("x = ".to_owned() + &"[".repeat(200_000))]
#[case::tables("x = ".to_owned() + &"{a=".repeat(200_000))]
#[case::a_key("a".to_owned() + &".a".repeat(200_000) + " = 1")]
#[case::a_header("[a".to_owned() + &".a".repeat(200_000) + "]")]
fn a_deep_configuration_is_an_error_that_names_it(#[case] text: String) {
    let project = Project::bare_custom();
    project.write("runtime-image.toml", format!("version = \"1\"\n{text}\n"));
    is_refused(&project, &["tags"], &["runtime-image.toml"]);
    let project = Project::hello();
    project.write("Cargo.lock", format!("{text}\n"));
    is_refused(&project, &["tags"], &["Cargo.lock"]);
}

#[test]
fn a_deep_file_with_the_version_is_an_error_that_names_it() {
    let project = Project::bare_custom();
    project.write("runtime-image.toml", "version = { file = \"v.json\", key = \"a\" }\n");
    for part in ["[", "{\"a\":"] {
        project.write("v.json", part.repeat(200_000));
        is_refused(&project, &["tags"], &["v.json"]);
    }
}

/// What is read as a text is never larger than any text is.
#[rstest]
#[case::a_template(Project::bare_custom(), &["tags", "--template=../huge"], "../huge")]
#[case::the_configuration(Project::bare_custom(), &["tags", "--kind=custom"], "runtime-image.toml")]
#[case::an_ignore_file(Project::bare_custom(), &["tags"], ".gitignore")]
#[case::cargo_lock(Project::hello(), &["tags"], "Cargo.lock")]
#[case::a_lock_file_of_openhands(Project::bare_openhands(), &["tags"], "poetry.lock")]
fn a_huge_text_is_an_error_that_names_it(#[case] project: Project, #[case] arguments: &[&str], #[case] path: &str) {
    project.write_sparse(path, 200 * GIB);
    is_refused(&project, arguments, &[path, "MiB"]);
}
