//! What driving docker and podman has in common: finding the program, asking it, building with it, and telling why a
//! build failed.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::builder::build_log::{FailedStep, excerpt, hints, last_error, on_screen};
use crate::builder::runtime_builder::{BuildRequest, Lacking, Rust};
use crate::config::build_args::BuildArg;
use crate::config::options::Options;
use crate::config::secrets::{CA_BUNDLE_SECRET, Secret};
use crate::config::values::Progress;
use crate::error::{Error, Result};
use crate::image::name::ImageName;
use crate::redact::has_credentials;
use crate::staging::dockerfile::bases;
use crate::system::command::{Capture, Command, CommandOutput, Running, silence};
use crate::system::environment::{user_caches, variable};
use crate::system::interrupt::Interrupt;
use crate::system::log_file::LogFile;
use crate::system::tee::Show;
use crate::system::terminal::{Terminal, Verbosity};

/// The variable with the time that images and their files are dated to, in seconds since 1970.
pub(super) const EPOCH_VARIABLE: &str = "SOURCE_DATE_EPOCH";

/// What the step `install-targets` says of a base image.
const CANNOT_CROSS: &str = "error: cannot cross-compile: ";

/// How often a build is looked at that may stand still.
const LOOK: Duration = Duration::from_secs(1);

/// What the build must not show: secrets, build arguments that are known to be secret, and proxies with a password.
pub(super) fn hidden_texts(secrets: &[Secret], build_args: &[BuildArg]) -> Vec<String> {
    let secrets = secrets.iter().filter(|secret| secret.id != CA_BUNDLE_SECRET).flat_map(Secret::texts);
    let build_args = build_args.iter().filter(|argument| argument.is_secret());
    // A build prints line by line.
    let build_args = build_args.flat_map(|argument| argument.value.lines().map(str::to_owned));
    let proxies = proxies_set().filter_map(|name| variable(&name)).filter(|proxy| has_credentials(proxy));
    secrets.chain(build_args).chain(proxies).collect()
}

/// Passed on as build arguments by name. BuildKit predefines these, and keeps them out of cache keys and images.
const PROXY_VARIABLES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The names of those proxies' variables that are set.
pub(super) fn proxies_set() -> impl Iterator<Item = String> {
    let names = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
    names.filter(|name| std::env::var_os(name).is_some())
}

/// What differs between docker and podman.
#[derive(Debug)]
pub(super) struct Engine {
    /// The program's name.
    pub program: &'static str,
    /// The hint if the program is missing.
    pub install: &'static str,
    /// Its command that frees space.
    pub prune: &'static str,
    /// Finds the step that failed in what a build printed.
    pub failed_step: fn(&str) -> Option<FailedStep>,
}

/// An engine's program, searched at the first call.
#[derive(Debug)]
pub(super) struct EngineCli {
    engine: Engine,
    path: OnceLock<PathBuf>,
    /// Where its calls are reported.
    pub terminal: Terminal,
    /// Ends its calls at a signal.
    pub interrupt: Interrupt,
    /// Whether what a build prints is shown.
    pub show: Show,
    /// How long a question may take.
    timeout: Duration,
}

impl EngineCli {
    /// Searches nothing: the program need not be there before the first call.
    pub fn new(engine: Engine, options: &Options, terminal: &Terminal, interrupt: &Interrupt) -> Self {
        let quiet = terminal.verbosity() == Verbosity::Quiet || options.progress == Some(Progress::Quiet);
        let show = if quiet { Show::Nothing } else { Show::Everything };
        Self {
            engine,
            path: OnceLock::new(),
            terminal: terminal.clone(),
            interrupt: interrupt.clone(),
            show,
            timeout: options.engine_timeout,
        }
    }

    fn path(&self) -> Result<&PathBuf> {
        let cannot = || Error::failed(format!("cannot find `{}`", self.engine.program));
        if self.path.get().is_none() {
            let path =
                which::which(self.engine.program).map_err(|error| cannot().because(error).hint(self.engine.install))?;
            let _ = self.path.set(path);
        }
        self.path.get().ok_or_else(cannot)
    }

    /// The program, without arguments. Its language is fixed, for its answers are read; and no variable changes what it
    /// builds.
    pub fn command(&self) -> Result<Command> {
        let decides = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| decides(name));
        Ok(decides.fold(Command::new(self.path()?).env("LC_ALL", "C"), |command, name| command.without_env(&name)))
    }

    /// The command's output, whatever its exit status.
    ///
    /// # Errors
    /// When the command cannot be started, or does not answer within the time allowed.
    pub fn answer(&self, command: &Command) -> Result<CommandOutput> {
        self.awaited(command, &self.started(command)?)
    }

    /// Starts a command whose output is awaited later.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn started(&self, command: &Command) -> Result<Running> {
        self.terminal.verbose("Running", command.to_string());
        command.start(Capture::Both, &self.interrupt)
    }

    /// The output of a command that was started, whatever its exit status.
    ///
    /// # Errors
    /// When the command does not answer within the time allowed.
    pub fn awaited(&self, command: &Command, running: &Running) -> Result<CommandOutput> {
        let tell = || self.terminal.status("Waiting", format!("for `{command}` to answer"));
        running.wait_telling(Instant::now() + self.timeout, tell)?.ok_or_else(|| {
            let program = self.engine.program;
            Error::failed(format!("`{program}` does not answer"))
                .because(format!("`{command}`: {}", silence(self.timeout)))
                .hint(format!(
                    "`{program} info` tells whether the engine answers; `--engine-timeout` gives it more time"
                ))
        })
    }

    /// The output of a command that fetches an image, which may take its time.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn fetched(&self, command: Command) -> Result<CommandOutput> {
        self.terminal.verbose("Running", command.to_string());
        command.bound().run(Capture::Both, &self.interrupt)
    }

    /// The Rust in `image`, if it has one. What an image answered is kept in the user's cache folder, by the image's
    /// digest.
    ///
    /// # Errors
    /// When the engine cannot be asked, or cannot have the image.
    pub fn rust_of(&self, image: &ImageName, lacking: Lacking) -> Result<Option<Rust>> {
        let name = image.to_string();
        let cannot = |output: &CommandOutput| {
            Error::failed(format!("cannot ask `{name}` for its version of Rust")).because(output.stderr.trim())
        };
        let inspect = self.command()?.args(["image", "inspect", "--format", "{{.Id}}", &name]);
        let mut inspected = self.answer(&inspect)?;
        if !inspected.success && lacking == Lacking::Leave {
            return Ok(None);
        }
        if !inspected.success {
            self.terminal.status("Pulling", format!("`{name}`, to ask it for its version of Rust"));
            let pulled = self.fetched(self.command()?.args(["image", "pull", "--quiet", &name]))?;
            if !pulled.success {
                return Err(cannot(&pulled));
            }
            inspected = self.answer(&inspect)?;
        }
        let id = Some(inspected.stdout.trim()).filter(|id| inspected.success && !id.is_empty());
        let kept = id.map(|id| user_caches(Utf8Path::new(".")).join("rust").join(id.replace(':', "-")));
        if let Some(known) = kept.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) {
            return Ok(Rust::told(&known));
        }
        self.terminal.status("Asking", format!("`{name}` for its version of Rust"));
        let script = "rustc --version || :; command -v rustup || :";
        let run = ["run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "sh", &name, "-c", script];
        let output = self.answer(&self.command()?.args(run))?;
        if !output.success && !output.stderr.contains("executable file") {
            return Err(cannot(&output));
        }
        if let Some(path) = kept {
            // Without it the image is asked again.
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = std::fs::write(path, &output.stdout);
        }
        Ok(Rust::told(&output.stdout))
    }

    /// Runs a build. If it fails, keeps its log and gives what is known of the failure. `stands_still` is given what the
    /// build has printed since it was last asked, about each second, and ends the build when it gives a reason.
    ///
    /// # Errors
    /// When the build cannot be started, or a signal ended it.
    pub fn build(
        &self,
        command: &Command,
        request: &BuildRequest,
        mut stands_still: impl FnMut(&str) -> Option<String>,
    ) -> Result<Option<FailedBuild>> {
        let name = request.names.first().map(ToString::to_string).unwrap_or_default();
        let mut log = LogFile::start(&request.folder, &format!("the build of {name}"))?;
        self.terminal.verbose("Running", command.to_string());
        let running = command.clone().bound().start(Capture::Logged(&log, self.show), &self.interrupt)?;
        let still = loop {
            match running.wait_a_while(LOOK)? {
                Some(output) if output.success => return Ok(None),
                Some(_) => break None,
                None => {}
            }
            if let Some(reason) = stands_still(&log.news()) {
                // It may have ended well at this very moment.
                match running.wait_until(Instant::now())? {
                    Some(output) if output.success => return Ok(None),
                    _ => break Some(reason),
                }
            }
        };
        let text = on_screen(&log.text());
        let step = (self.engine.failed_step)(&text);
        let excerpt = match (&step, last_error(&text)) {
            (Some(step), _) => excerpt(&step.output),
            (None, "") => excerpt(&text.lines().map(str::to_owned).collect::<Vec<_>>()),
            (None, error) => vec![error.to_owned()],
        };
        let error = match &step {
            Some(FailedStep { name: step, .. }) => {
                Error::build(format!("the build of `{name}` failed in step \"{step}\""))
            }
            None => Error::build(format!("the build of `{name}` failed")),
        };
        let error = if excerpt.is_empty() { error } else { error.because(excerpt.join("\n")) };
        let kept = log.keep(&text).map(|path| format!("the whole log is in `{path}`"));
        Ok(Some(FailedBuild {
            error: kept.into_iter().fold(error, Error::note),
            hints: hints(
                &excerpt,
                step.as_ref().map_or(&[], |step| &step.output),
                self.engine.program,
                self.engine.prune,
            ),
            step,
            still,
            text,
            folder: request.folder.clone(),
            bases: std::fs::read_to_string(&request.dockerfile).map(|text| bases(&text)).unwrap_or_default(),
        }))
    }
}

/// Whether a variable with this name decides what is built, so that two runs would give one name to two images. Where
/// builders are, and which one is used, is the user's.
fn decides(name: &str) -> bool {
    name == "DOCKER_DEFAULT_PLATFORM" || (name.starts_with("BUILDX_") && !BUILDERS.contains(&name))
}

const BUILDERS: [&str; 2] = ["BUILDX_BUILDER", "BUILDX_CONFIG"];

/// A build that failed, and what its log tells of that.
#[derive(Debug)]
pub(super) struct FailedBuild {
    error: Error,
    hints: Vec<String>,
    /// The step that failed, if it was a step.
    pub step: Option<FailedStep>,
    /// Why it was ended, if it stood still.
    pub still: Option<String>,
    /// All that was printed.
    pub text: String,
    folder: Utf8PathBuf,
    /// The images that the Dockerfile starts from.
    bases: Vec<String>,
}

impl FailedBuild {
    /// The image that a stage starts from, if that may be missing: no step but `FROM` came as far as printing. Of several,
    /// it is the one that the error names.
    pub fn base_that_may_be_missing(&self) -> Option<String> {
        let ran = |step: &FailedStep| step.printed && !step.name.starts_with("FROM ");
        let named = self.bases.iter().find(|base| self.last_error().contains(base.as_str()));
        named.or(self.bases.first()).cloned().filter(|_| !self.step.as_ref().is_some_and(ran))
    }

    /// Why the result could not be pushed, where all was built and that failed.
    pub fn push_error(&self) -> Option<&str> {
        let error = self.last_error();
        let error = error.strip_prefix("failed to solve: ").unwrap_or(error);
        let is_push = self.step.as_ref().is_some_and(|step| step.name.starts_with("pushing "));
        (is_push || error.starts_with("failed to push ")).then_some(error)
    }

    /// Why the base image cannot compile for other platforms, where that is why the build failed.
    pub fn cannot_cross(&self) -> Option<&str> {
        let step = self.step.as_ref().filter(|step| step.name == "install-targets")?;
        step.output.iter().find_map(|line| line.strip_prefix(CANNOT_CROSS))
    }

    /// What the program told last.
    pub fn last_error(&self) -> &str {
        last_error(&self.text)
    }

    /// What the program told last, where no step failed and `is_told` knows it.
    pub fn engine_error(&self, is_told: impl Fn(&str) -> bool) -> Option<&str> {
        Some(self.last_error()).filter(|error| self.step.is_none() && is_told(error))
    }

    /// This error, with where the whole log is.
    pub fn with_log(&self, error: Error) -> Error {
        self.error.notes().iter().cloned().fold(error, Error::note)
    }

    /// The error to end with. `too_old` tells of a program that is too old, `missing_base` of the image that the build
    /// starts from and lacks.
    pub fn error(self, too_old: Option<String>, missing_base: Option<String>) -> Error {
        let error = too_old.into_iter().fold(self.error, Error::note);
        let hints: Vec<String> = missing_base.into_iter().chain(self.hints).collect();
        if hints.is_empty() {
            error.hint(format!("the build folder `{}` is still there to look at", self.folder))
        } else {
            hints.into_iter().fold(error, Error::hint)
        }
    }
}
