//! What the log of a failed build says: which step failed, the lines that tell why, and what is known to help. Pure; the
//! text is what `docker buildx build` or `podman build` printed.

use base64::Engine as _;
use serde::Deserialize;

/// At most this many lines of a step's output are told.
const MOST_LINES: usize = 20;

/// How many of them stand for the first error where the cause is told further below.
const LINES_BEFORE_A_GAP: usize = 4;

/// At most this many characters of a line are told: a linker's command has thousands.
const LONGEST_LINE: usize = 400;

/// At most this many columns of an instruction are a step's name.
const LONGEST_NAME: usize = 60;

/// Where the steps of an image are while it is built: a step that runs one goes by its file's name.
const STEPS: &str = "/run/steps/";

/// The step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    /// What it goes by.
    pub name: String,
    /// What it printed itself, or why it failed where it printed nothing.
    pub output: Vec<String>,
    /// Whether it printed anything.
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

    /// From what `docker buildx build` printed, in whichever form of progress.
    pub fn of_buildx(text: &str) -> Option<Self> {
        Self::of_plain(text).or_else(|| Self::of_terminal(text)).or_else(|| Self::of_json(text))
    }

    /// `#12 [deps 3/4] RUN ...`, then `#12 0.512 text`, at last `#12 ERROR: ...`. A cache that cannot be had is such an
    /// error too, and ends no build: the last one does.
    fn of_plain(text: &str) -> Option<Self> {
        let lines = || text.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        let (failed, reason) =
            lines().filter_map(|(number, rest)| Some((number, rest.strip_prefix("ERROR: ")?))).next_back()?;
        let mut own = lines().filter(|(number, _)| *number == failed).map(|(_, rest)| rest);
        let vertex = own.next()?;
        Some(Self::new(vertex, own.filter_map(after_seconds), reason))
    }

    /// A terminal is shown the failed step's log at the end, between lines of dashes: ` > [deps 3/4] RUN ...:`, then
    /// `0.512 text`.
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

    /// Status objects with vertexes and their logs, one after the other.
    fn of_json(text: &str) -> Option<Self> {
        let start = if text.starts_with('{') { 0 } else { text.find("\n{")? };
        let statuses: Vec<Status> =
            serde_json::Deserializer::from_str(&text[start..]).into_iter().map_while(Result::ok).collect();
        let vertexes = || statuses.iter().flat_map(|status| &status.vertexes);
        let (failed, reason) = vertexes()
            .filter_map(|vertex| Some((vertex, vertex.error.as_deref()?)))
            .filter(|(_, error)| !error.is_empty() && !error.ends_with("context canceled"))
            .next_back()?;
        let logs = statuses.iter().flat_map(|status| &status.logs).filter(|log| log.vertex == failed.digest);
        let decoded = logs.filter_map(|log| base64::prelude::BASE64_STANDARD.decode(&log.data).ok());
        let output = decoded.flatten().collect::<Vec<u8>>();
        Some(Self::new(&failed.name, String::from_utf8_lossy(&output).lines(), reason))
    }

    /// `[1/2] STEP 3/5: RUN ...`, then what the step printed, and at last `Error: building at STEP "...": ...`.
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

/// What follows the seconds that a line of a step's output starts with.
fn after_seconds(line: &str) -> Option<&str> {
    let (seconds, text) = line.split_once(' ').unwrap_or((line, ""));
    (seconds.contains('.') && seconds.parse::<f64>().is_ok()).then_some(text)
}

/// The last error of the tool itself, without the shell of a step.
pub fn last_error(text: &str) -> &str {
    let errors = text.lines().rev().filter_map(|line| line.strip_prefix("ERROR: ").or(line.strip_prefix("Error: ")));
    errors.map(without_shell).next().unwrap_or_default()
}

/// The reason for a failure without the shell that it repeats: `process "/bin/sh -c ..." did not complete successfully:
/// exit code: 1`, and podman's `building at STEP "...": while running runtime: exit status 1`.
fn without_shell(reason: &str) -> &str {
    let after = |mark| reason.rsplit_once(mark).map(|(_, reason)| reason);
    after("did not complete successfully: ").or_else(|| after("while running runtime: ")).unwrap_or(reason)
}

/// What a step goes by: its file's name, or its instruction in short, without mounts.
fn name(vertex: &str) -> String {
    if let Some((_, rest)) = vertex.split_once(STEPS) {
        let ends = |character: char| character.is_whitespace() || "\"';&|)".contains(character);
        let path = rest.split(ends).next().unwrap_or(rest);
        return path.rsplit('/').next().unwrap_or(path).to_owned();
    }
    let place = vertex.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let instruction = place.map_or(vertex, |(_, instruction)| instruction);
    let words = instruction.split_whitespace().filter(|word| !word.starts_with("--mount="));
    shortened(&words.collect::<Vec<_>>().join(" "), LONGEST_NAME)
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    format!("{}...", text.chars().take(longest - 3).collect::<String>().trim_end())
}

/// The lines of a failed step's output that tell why: from the first error on. Where the cause is known and stands further
/// below, it is what follows the first lines.
pub fn excerpt(output: &[String]) -> Vec<String> {
    // What a build script tells Cargo is never why.
    let lines: Vec<&str> =
        output.iter().map(String::as_str).filter(|line| !line.trim_start().starts_with("cargo:")).collect();
    let first_error = lines.iter().position(|line| is_error(line));
    let first_cause =
        |from: usize| (from..lines.len()).find(|place| CAUSES.iter().any(|cause| cause.is_told_by(lines[*place])));
    let start = first_error.or_else(|| first_cause(0)).unwrap_or(lines.len().saturating_sub(MOST_LINES));
    let mut told: Vec<String> = match first_cause(start) {
        Some(place) if place >= start + MOST_LINES => {
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

/// Whether a line starts to tell an error, as compilers, linkers, Cargo, apt and git do.
fn is_error(line: &str) -> bool {
    let line = line.trim_start();
    let starts = ["error:", "error[", "Error:", "E:", "Err:", "fatal:", "ld:", "/usr/bin/ld:", "cc:"];
    starts.iter().any(|start| line.starts_with(start))
        || [": error:", ": fatal error:", NO_SPACE].iter().any(|words| line.contains(words))
}

const NO_SPACE: &str = "No space left on device";

/// A cause that is known by its words, with what helps.
struct Cause {
    /// One of these must be in a line, each with all its words.
    words: &'static [&'static [&'static str]],
    /// What to do. `{engine}` and `{prune}` stand for the tool and its command that frees space.
    hint: &'static str,
}

impl Cause {
    fn is_told_by(&self, line: &str) -> bool {
        self.words.iter().any(|words| words.iter().all(|word| line.contains(word)))
    }
}

const CAUSES: &[Cause] = &[
    Cause {
        words: &[
            &["is not supported by the following package"],
            &["requires rustc "],
            &["feature `edition", "` is required"],
        ],
        hint: "the compiler is too old for this: name a newer one in `rust-toolchain.toml`, or another `--base-image`",
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
    Cause { words: &[&[NO_SPACE]], hint: "`{engine} system df` tells what takes the space, and `{prune}` frees some" },
];

/// What is known to help, by the lines that tell why; `engine` and `prune` are the tool and its command that frees space.
pub fn hints(excerpt: &[String], engine: &str, prune: &str) -> Vec<String> {
    let told = CAUSES.iter().filter(|cause| excerpt.iter().any(|line| cause.is_told_by(line)));
    told.map(|cause| cause.hint.replace("{engine}", engine).replace("{prune}", prune)).collect()
}

/// What a terminal shows in the end of all that was written to it: without colours, and with lines that were written over
/// as they were last.
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
                // A title and the like, up to BEL or ESC \.
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
    /// Whether the cursor is back at the line's start, and the next character begins it anew.
    returned: bool,
}

impl Screen {
    fn put(&mut self, character: char) {
        if std::mem::take(&mut self.returned) {
            self.line.clear();
        }
        self.line.push(character);
    }

    fn write_line(&mut self) {
        self.returned = false;
        let line = std::mem::take(&mut self.line);
        match self.lines.get_mut(self.row) {
            // Nothing was written over it.
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
