//! What the log of a failed build says: which step failed, the lines that tell why, and what is known to help.
//! Part of the build step, and pure: text in, facts out. The text is what `docker buildx build` or `podman build`
//! printed.

use base64::Engine as _;
use serde::Deserialize;

/// The most lines of a step's output that an error shows.
const MOST_LINES: usize = 20;

/// The lines shown of the first error if a known cause stands far below it.
const LINES_BEFORE_A_GAP: usize = 4;

/// The most characters shown of a line: a linker's command has thousands.
const LONGEST_LINE: usize = 400;

/// The most characters of an instruction that name its step.
const LONGEST_NAME: usize = 60;

/// The folder of the step files while an image is built. A step that runs such a file has the file's name.
const STEPS: &str = "/run/steps/";

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// The name of its step file, or its instruction in short.
    pub name: String,
    /// The lines that the step printed or, if it printed nothing, why it failed.
    pub output: Vec<String>,
    /// Whether the step printed anything.
    pub printed: bool,
}

impl FailedStep {
    fn new(instruction: &str, output: impl IntoIterator<Item = impl AsRef<str>>, reason: &str) -> Self {
        let mut output: Vec<String> = output.into_iter().map(|line| line.as_ref().trim_end().to_owned()).collect();
        let printed = output.iter().any(|line| !line.is_empty());
        if !printed {
            output = without_shell(reason).lines().map(str::to_owned).collect();
        }
        Self { name: name(instruction), output, printed }
    }

    /// The failed step in what `docker buildx build` printed, whatever the form of progress.
    pub fn of_buildx(text: &str) -> Option<Self> {
        Self::of_plain(text).or_else(|| Self::of_terminal(text)).or_else(|| Self::of_json(text))
    }

    /// Reads `--progress plain`: `#12 [deps 3/4] RUN ...`, then `#12 0.512 text`, at last `#12 ERROR: ...`. The last
    /// error counts: a cache that cannot be fetched gives an earlier one, and the build goes on.
    fn of_plain(text: &str) -> Option<Self> {
        let lines = || text.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        let (failed, reason) =
            lines().filter_map(|(number, rest)| Some((number, rest.strip_prefix("ERROR: ")?))).next_back()?;
        let mut own = lines().filter(|(number, _)| *number == failed).map(|(_, rest)| rest);
        let vertex = own.next()?;
        Some(Self::new(vertex, own.filter_map(after_seconds), reason))
    }

    /// Reads `--progress tty`, which ends with the failed step's log between lines of dashes: ` > [deps 3/4] RUN ...:`,
    /// then `0.512 text`.
    fn of_terminal(text: &str) -> Option<Self> {
        const FRAME: &str = "------";
        let lines: Vec<&str> = text.lines().collect();
        let (start, vertex) = lines.windows(2).enumerate().rev().find_map(|(place, lines)| {
            let vertex = lines[1].strip_prefix(" > ")?.strip_suffix(':')?;
            (lines[0] == FRAME).then_some((place + 2, vertex))
        })?;
        let output = lines[start..].iter().take_while(|line| **line != FRAME).filter_map(|line| after_seconds(line));
        Some(Self::new(vertex, output, last_error(text)))
    }

    /// Reads `--progress rawjson`: status objects with vertexes and their logs, one after the other.
    fn of_json(text: &str) -> Option<Self> {
        let start = if text.starts_with('{') { 0 } else { text.find("\n{")? };
        let statuses: Vec<Status> =
            serde_json::Deserializer::from_str(&text[start..]).into_iter().map_while(Result::ok).collect();
        let vertexes = || statuses.iter().flat_map(|status| &status.vertexes);
        let (failed, reason) = vertexes()
            .filter_map(|vertex| Some((vertex, vertex.error.as_deref()?)))
            .rfind(|(_, error)| !error.is_empty() && !error.ends_with("context canceled"))?;
        let logs = statuses.iter().flat_map(|status| &status.logs).filter(|log| log.vertex == failed.digest);
        let decoded = logs.filter_map(|log| base64::prelude::BASE64_STANDARD.decode(&log.data).ok());
        let output = decoded.flatten().collect::<Vec<u8>>();
        Some(Self::new(&failed.name, String::from_utf8_lossy(&output).lines(), reason))
    }

    /// The failed step in what `podman build` printed: `[1/2] STEP 3/5: RUN ...`, then the step's output, at last
    /// `Error: building at STEP "...": ...`.
    pub fn of_podman(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        let instruction = |line: &str| {
            let (before, step) = line.split_once("STEP ")?;
            let (_, instruction) = step.split_once(": ")?;
            (before.is_empty() || before.starts_with('[')).then(|| instruction.to_owned())
        };
        let (place, instruction) =
            lines.iter().enumerate().rev().find_map(|(place, line)| Some((place, instruction(line)?)))?;
        let is_reason = |line: &str| line.to_lowercase().starts_with("error: building at step");
        let (reasons, output): (Vec<&str>, Vec<&str>) = lines[place + 1..].iter().partition(|line| is_reason(line));
        Some(Self::new(&instruction, output, reasons.last().copied().unwrap_or_default()))
    }
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    vertexes: Vec<Vertex>,
    #[serde(default)]
    logs: Vec<VertexLog>,
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct VertexLog {
    vertex: String,
    #[serde(default)]
    data: String,
}

/// The text after the seconds at the start of a step's line; none if there are no seconds.
fn after_seconds(line: &str) -> Option<&str> {
    let (seconds, text) = line.split_once(' ').unwrap_or((line, ""));
    (seconds.contains('.') && seconds.parse::<f64>().is_ok()).then_some(text)
}

/// The length in bytes of the stamp that starts a step's line: `#12 0.512 ` or `0.512 `; zero without a stamp.
fn stamp_length(line: &str) -> usize {
    let numbered = line.strip_prefix('#').and_then(|line| line.split_once(' '));
    let rest = numbered.map_or(line, |(_, rest)| rest);
    after_seconds(rest).map_or(0, |text| line.len() - text.len())
}

/// The last error that docker or podman itself tells, without a step's shell command; empty if there is none.
pub fn last_error(text: &str) -> &str {
    let errors = text.lines().rev().filter_map(|line| line.strip_prefix("ERROR: ").or(line.strip_prefix("Error: ")));
    errors.map(without_shell).next().unwrap_or_default()
}

/// The reason for a failure, without the shell command that it repeats. buildx writes `process "/bin/sh -c ..." did not
/// complete successfully: exit code: 1`, podman `building at STEP "...": while running runtime: exit status 1`.
fn without_shell(reason: &str) -> &str {
    let after = |mark| reason.rsplit_once(mark).map(|(_, reason)| reason);
    after("did not complete successfully: ").or_else(|| after("while running runtime: ")).unwrap_or(reason)
}

/// A step's name: that of the step file it runs, or its instruction in short, without mounts.
fn name(vertex: &str) -> String {
    let place = vertex.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let instruction = place.map_or(vertex, |(_, instruction)| instruction);
    let words: Vec<&str> = instruction.split_whitespace().filter(|word| !word.starts_with("--mount=")).collect();
    let instruction = words.join(" ");
    let Some((_, path)) = instruction.split_once(STEPS) else { return shortened(&instruction, LONGEST_NAME) };
    let ends = |character: char| !character.is_alphanumeric() && !"-_./".contains(character);
    let path = path.split(ends).next().unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    format!("{}...", text.chars().take(longest - 3).collect::<String>().trim_end())
}

/// The lines of a failed step's output that tell why, from the first error on. If a known cause stands far below, it
/// follows the error's first lines.
pub fn excerpt(output: &[String]) -> Vec<String> {
    // A build script's lines for Cargo are never the cause.
    let lines: Vec<&str> =
        output.iter().map(String::as_str).filter(|line| !line.trim_start().starts_with("cargo:")).collect();
    let first_error = lines.iter().position(|line| is_error(line));
    let first_cause =
        |from: usize| (from..lines.len()).find(|place| CAUSES.iter().any(|cause| cause.is_told_by(lines[*place])));
    let start = first_error.or_else(|| first_cause(0)).unwrap_or(lines.len().saturating_sub(MOST_LINES));
    let mut told: Vec<String> = match first_cause(start) {
        Some(place) if place > start + MOST_LINES / 2 => {
            let before = lines[start..start + LINES_BEFORE_A_GAP].iter().copied().chain(["..."]);
            before.chain(lines[place - 1..].iter().copied()).map(|line| shortened(line, LONGEST_LINE)).collect()
        }
        _ => lines[start..].iter().map(|line| shortened(line, LONGEST_LINE)).collect(),
    };
    told.truncate(MOST_LINES);
    while told.last().is_some_and(|line| line.trim().is_empty()) {
        told.pop();
    }
    told
}

/// Whether an error of a compiler, a linker, Cargo, apt or git starts on this line.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    let starts = ["error:", "error[", "Error:", "E:", "Err:", "fatal:", "ld:", "/usr/bin/ld:", "cc:"];
    starts.iter().any(|start| line.starts_with(start))
        || [": error:", ": fatal error:", NO_SPACE].iter().any(|words| line.contains(words))
}

const NO_SPACE: &str = "No space left on device";

/// What the step file `cargo.sh` says of a base image with another Rust than the toolchain file wants.
const OTHER_RUST: &str = "warning: the toolchain file wants Rust ";

/// A cause that is known by its words, with what helps.
struct Cause {
    /// A line tells of this cause if it holds all words of one of these lists.
    words: &'static [&'static [&'static str]],
    /// What to do. `{engine}` stands for the program, `{prune}` for its command that frees space.
    hint: &'static str,
}

impl Cause {
    fn is_told_by(&self, line: &str) -> bool {
        self.words.iter().any(|words| words.iter().all(|word| line.contains(word)))
    }
}

const CAUSES: &[Cause] = &[
    Cause {
        words: &[&[OTHER_RUST]],
        hint: "the toolchain file has no effect: take a `--base-image` with the Rust that it wants, or one without Cargo",
    },
    Cause {
        words: &[
            &["is not supported by the following package"],
            &["requires rustc "],
            &["feature `edition", "` is required"],
        ],
        hint: "the compiler is too old for this: take a newer `--base-image`, or name a newer one in `rust-toolchain.toml`",
    },
    Cause {
        words: &[
            &["cannot find -l"],
            &["linker `", "not found"],
            &["was not found in the pkg-config search path"],
            &["The system library `", "was not found"],
            &["pkg-config", "could not be found"],
            &["fatal error: ", "No such file or directory"],
        ],
        hint: "a library, header or tool of the system is missing: name its package in `apt-packages`",
    },
    Cause {
        words: &[
            &["SSL certificate problem"],
            &["self-signed certificate"],
            &["self signed certificate"],
            &["certificate verify failed"],
            &["certificate verification failed"],
            &["unable to get local issuer certificate"],
        ],
        hint: "a certificate is not trusted: name your own authority with `--ca-bundle`",
    },
    Cause {
        words: &[
            &["Could not resolve host"],
            &["Couldn't resolve host"],
            &["Temporary failure resolving"],
            &["Temporary failure in name resolution"],
            &["Couldn't connect"],
            &["Could not connect"],
            &["Failed to connect"],
            &["failed to download"],
        ],
        hint: "the step could not fetch something: check the network, and HTTPS_PROXY where there is a proxy",
    },
    Cause {
        words: &[&["error: `", "` needs ", "` has "]],
        hint: "build on a `--base-image` of the same or an older release, take a newer `--run-image`, or build for a static \
               target (`prebuild = [\"build --release --target x86_64-unknown-linux-musl\"]`)",
    },
    Cause {
        words: &[&["error: `", "`, which loads `", "`, is missing in `"]],
        hint: "take a `--run-image` that has it, such as debian:bookworm-slim, or build for a static target (`prebuild = \
               [\"build --release --target x86_64-unknown-linux-musl\"]`)",
    },
    Cause {
        words: &[&["\"/code\": not found"], &["\"/code\": no such file"]],
        hint: "the stage `deps` sees no sources: copy from `deps/` there, and from `code/` in a later stage",
    },
    Cause { words: &[&[NO_SPACE]], hint: "`{engine} system df` tells what takes the space, and `{prune}` frees some" },
];

/// The hints for the causes that `excerpt` tells of, a part of `output`. `engine` is the program, `prune` its command
/// that frees space.
pub fn hints(excerpt: &[String], output: &[String], engine: &str, prune: &str) -> Vec<String> {
    // A step warns before it does anything, and the excerpt starts with the first error.
    let warnings: Vec<&String> = output.iter().filter(|line| line.contains(OTHER_RUST)).collect();
    let excerpt = || warnings.iter().copied().chain(excerpt);
    let told = CAUSES.iter().filter(|cause| excerpt().any(|line| cause.is_told_by(line)));
    told.map(|cause| cause.hint.replace("{engine}", engine).replace("{prune}", prune)).collect()
}

/// What a terminal shows at the end, after `text` was written to it. Colours are left out, and a line that was
/// overwritten has its last form.
pub fn on_screen(text: &str) -> String {
    let mut screen = Screen::default();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match characters.next() {
                Some('[') => {
                    let is_end = |character: &char| ('@'..='~').contains(character);
                    let mut parameters = String::new();
                    while let Some(character) = characters.next_if(|character| !is_end(character)) {
                        parameters.push(character);
                    }
                    screen.control(characters.next().unwrap_or_default(), &parameters);
                }
                // An OSC sequence, such as a window title: it ends with BEL or ESC \.
                Some(']') => {
                    while characters.next().is_some_and(|character| character != '\x07' && character != '\\') {}
                }
                _ => {}
            },
            '\n' => screen.next_line(),
            '\r' => screen.returned = true,
            _ => screen.put(character),
        }
    }
    screen.finish()
}

#[derive(Default)]
struct Screen {
    lines: Vec<String>,
    row: usize,
    line: String,
    /// Whether moves of the cursor are followed. A live display hides the cursor first; without one, moves are ignored.
    is_display: bool,
    /// Whether the cursor is at the line's start, so that the next character begins the line anew.
    returned: bool,
}

impl Screen {
    fn put(&mut self, character: char) {
        if std::mem::take(&mut self.returned) {
            // The stamp stays: the builder wrote it, and the step overwrites only its own text.
            self.line.truncate(stamp_length(&self.line));
        }
        self.line.push(character);
    }

    fn write_line(&mut self) {
        self.returned = false;
        let line = std::mem::take(&mut self.line);
        match self.lines.get_mut(self.row) {
            // An empty line overwrites nothing.
            Some(_) if line.is_empty() => {}
            Some(old) => *old = line,
            None => self.lines.push(line),
        }
    }

    fn next_line(&mut self) {
        self.write_line();
        self.row += 1;
    }

    fn control(&mut self, kind: char, parameters: &str) {
        let count = parameters.parse().unwrap_or(1);
        match kind {
            'l' if parameters == "?25" => self.is_display = true,
            _ if !self.is_display => {}
            'A' | 'F' => self.go_to(self.row.saturating_sub(count)),
            'B' | 'E' => self.go_to((self.row + count).min(self.lines.len())),
            'G' => self.returned = true,
            'J' => self.lines.truncate(self.row),
            'K' if self.returned => self.line.clear(),
            _ => {}
        }
    }

    fn go_to(&mut self, row: usize) {
        if !self.line.is_empty() {
            self.write_line();
        }
        self.row = row;
    }

    fn finish(mut self) -> String {
        if !self.line.is_empty() {
            self.write_line();
        }
        self.lines.iter().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// What the tool in the file's name printed, in the form of progress named there; always for the same failing step.
    fn recorded(name: &str) -> String {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/build-logs/").to_owned() + name + ".txt";
        std::fs::read_to_string(path).expect("the fixture is there")
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[rstest]
    #[case("docker-26_buildx-0.13_plain", FailedStep::of_buildx)]
    #[case("docker-26_buildx-0.13_tty", FailedStep::of_buildx)]
    #[case("docker-26_buildx-0.13_rawjson", FailedStep::of_buildx)]
    #[case("podman-4.3", FailedStep::of_podman)]
    fn the_failed_step_is_found_in_whatever_form(#[case] name: &str, #[case] of: fn(&str) -> Option<FailedStep>) {
        let step = of(&on_screen(&recorded(name))).expect("there is one");
        assert_eq!(step.name, "build-sources");
        let told = excerpt(&step.output);
        assert_eq!(told[0], "error: linking with `cc` failed: exit status: 1");
        assert_eq!(told.len(), 9, "{told:#?}");
        assert_eq!(told[4], "  = note: /usr/bin/ld: cannot find -lno_such_library: No such file or directory");
        assert_eq!(told[8], "error: could not compile `app` (bin \"app\") due to 1 previous error");
        assert!(told.iter().all(|line| line.chars().count() <= LONGEST_LINE));
        let hints = hints(&told, &[], "docker", "docker builder prune");
        assert!(hints.len() == 1 && hints[0].contains("apt-packages"), "{hints:?}");
    }

    #[test]
    fn a_log_of_a_terminal_has_each_line_as_it_was_last() {
        let log = on_screen(&recorded("docker-26_buildx-0.13_tty"));
        assert!(!log.contains('\x1b'));
        assert_eq!(log.matches("[+] Building").count(), 1, "{log}");
        let display = "a\r\n\x1b[?25lb\x1b[1mc\x1b[0m\n\x1b[1A\x1b[0Gd\n\x1b]0;title\x07e 1%\re 2%";
        assert_eq!(on_screen(display), "a\nd\ne 2%\n");
    }

    #[test]
    fn what_a_step_writes_over_is_no_line_of_the_log() {
        let text = "#6 0.1 one\n\x1b[1A#6 0.1 two\n#6 1.5 \r  0%\r 9%curl: (6) Could not resolve host: x\n";
        assert_eq!(on_screen(text), "#6 0.1 one\n#6 0.1 two\n#6 1.5  9%curl: (6) Could not resolve host: x\n");
    }

    #[test]
    fn a_cause_far_below_the_first_error_is_told_as_well() {
        let told = excerpt(&lines(&recorded("openssl-sys-0.9.118")));
        assert_eq!(told[0], "error: failed to run custom build command for `openssl-sys v0.9.118`");
        assert_eq!(told[4], "...");
        assert_eq!(told[6], "    Package openssl was not found in the pkg-config search path.");
        assert_eq!(told.len(), MOST_LINES);
        assert!(hints(&told, &[], "", "")[0].contains("apt-packages"));
    }

    #[test]
    fn without_an_error_the_last_lines_are_told() {
        let output: Vec<String> = (0..50).map(|number| format!("line {number}")).collect();
        let told = excerpt(&output);
        assert_eq!((told.len(), told[0].as_str(), told[19].as_str()), (20, "line 30", "line 49"));
    }

    #[rstest]
    #[case(
        "[deps 3/4] RUN --mount=type=bind,source=a,target=/run/steps/lib.sh sh /run/steps/build-dependencies",
        "build-dependencies"
    )]
    #[case("[linux/arm64 x 3/4] RUN [\"/run/steps/sub/install\", \"b\"]", "install")]
    #[case("[deps 2/2] COPY  code/ ./", "COPY code/ ./")]
    #[case("[internal] load metadata for localhost/x:1", "load metadata for localhost/x:1")]
    #[case("exporting to image", "exporting to image")]
    #[case(
        "[deps 2/2] RUN set -eu;     if command -v cargo >/dev/null; then exit 0; fi;     apt-get update",
        "RUN set -eu; if command -v cargo >/dev/null; then exit 0;..."
    )]
    fn a_step_goes_by_its_file_or_its_instruction(#[case] vertex: &str, #[case] expected: &str) {
        assert_eq!(name(vertex), expected);
    }

    #[test]
    fn a_step_that_says_nothing_is_told_with_its_status_alone() {
        let text = "#5 [x 2/2] RUN false\n#5 ERROR: process \"/bin/sh -c false\" did not complete successfully: exit code: 1\n";
        let step = FailedStep::of_buildx(text).expect("there is one");
        assert_eq!((step.printed, step.output), (false, lines("exit code: 1")));
        let text = "STEP 1/2: FROM x\nSTEP 2/2: RUN false\nError: building at STEP \"RUN false\": while running runtime: exit status 1\n";
        let step = FailedStep::of_podman(text).expect("there is one");
        assert_eq!((step.name.as_str(), step.output), ("RUN false", lines("exit status 1")));
    }

    #[test]
    fn a_cache_that_cannot_be_had_is_not_what_failed() {
        let text = "#3 importing cache manifest from r.example/x\n#3 ERROR: not found\n\n\
            #4 [x 2/2] RUN make\n#4 0.1 error: none\n#4 ERROR: process \"make\" did not complete successfully: exit code: 2\n";
        assert_eq!(FailedStep::of_buildx(text).map(|step| step.name).as_deref(), Some("RUN make"));
        assert_eq!(FailedStep::of_buildx("unknown flag: --x\n"), None);
        assert_eq!(last_error("x\nERROR: process \"a\" did not complete successfully: exit code: 2\n"), "exit code: 2");
    }

    // Each as Cargo, the linker, apt, curl, git and dd print it.
    #[rstest]
    #[case("error: rustc 1.85.1 is not supported by the following packages:", "--base-image")]
    #[case("error: package `a v1.0.0` cannot be built because it requires rustc 1.90 or newer", "--base-image")]
    #[case("  feature `edition2024` is required", "--base-image")]
    #[case("/usr/bin/ld: cannot find -lssl: No such file or directory", "apt-packages")]
    #[case("error: linker `cc` not found", "apt-packages")]
    #[case("src/a.c:1:10: fatal error: zlib.h: No such file or directory", "apt-packages")]
    #[case("  [60] SSL peer certificate or SSH remote key was not OK (SSL certificate problem: x)", "--ca-bundle")]
    #[case("  [6] Could not resolve hostname (Could not resolve host: index.crates.io)", "HTTPS_PROXY")]
    #[case(
        "Err:1 http://deb.debian.org/debian x InRelease Temporary failure resolving 'deb.debian.org'",
        "HTTPS_PROXY"
    )]
    #[case("curl: (7) Failed to connect to sh.rustup.rs port 443", "HTTPS_PROXY")]
    #[case("failed to calculate checksum of ref 1::2: \"/code\": not found", "the stage `deps`")]
    #[case("dd: writing to '/dev/shm/x': No space left on device", "`docker builder prune`")]
    fn what_helps_is_known_by_the_words_of_the_cause(#[case] line: &str, #[case] hint: &str) {
        let hints = hints(&excerpt(&lines(line)), &[], "docker", "docker builder prune");
        assert!(hints.len() == 1 && hints[0].contains(hint), "{hints:?}");
    }

    #[test]
    fn a_step_that_warned_of_another_rust_is_helped_by_another_base_image() {
        let mut output = lines(&format!("{OTHER_RUST}1.90, and the base image has 1.85.0 and no rustup"));
        output.extend((0..50).map(|number| format!("   Compiling crate-{number} v1.0.0")));
        output.extend(lines("error: rustc 1.85.0 is not supported by the following package:"));
        let told = excerpt(&output);
        assert_eq!(told.len(), 1, "{told:?}");
        let hints = hints(&told, &output, "docker", "");
        assert!(hints.len() == 2 && hints[0].starts_with("the toolchain file has no effect"), "{hints:?}");
        assert!(include_str!("../templates/steps/cargo.sh").contains(OTHER_RUST), "a step says it");
    }

    #[test]
    fn a_compile_error_needs_no_hint() {
        assert_eq!(
            hints(&lines("error[E0425]: cannot find value `x` in this scope"), &[], "", ""),
            Vec::<String>::new()
        );
    }
}
