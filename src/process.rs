//! The one process runner: a command whose `Display` is a line for a shell, run so that a signal to this program ends
//! the child as well.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};

/// A child that already got a terminal's Ctrl-C needs no second signal; one that did not is told after this long.
const TERMINAL_GRACE: Duration = Duration::from_millis(250);

/// How soon a signal is noticed while nothing is done.
const SLEEP_STEP: Duration = Duration::from_millis(50);

/// Whether a signal asked the program to end, and which children to pass it on to.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<InterruptState>);

#[derive(Debug, Default)]
struct InterruptState {
    signal: AtomicI32,
    children: Mutex<Vec<Child>>,
}

#[derive(Debug, Clone)]
struct Child {
    handle: Weak<duct::Handle>,
    /// As [`Command::ended_from_below`].
    from_below: bool,
}

impl Interrupt {
    /// Catches INT, TERM and HUP from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    #[cfg(unix)]
    pub fn on_signals() -> Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let interrupt = Self::default();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| Error::failed("cannot catch signals").because(error))?;
        let shared = interrupt.clone();
        std::thread::spawn(move || {
            for signal in &mut signals {
                shared.deliver(signal);
            }
        });
        Ok(interrupt)
    }

    /// Signals are left as they are.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn on_signals() -> Result<Self> {
        Ok(Self::default())
    }

    /// An error if a signal has come in.
    ///
    /// # Errors
    /// The interruption.
    pub fn check(&self) -> Result<()> {
        match self.0.signal.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Error::interrupted(signal)),
        }
    }

    /// Waits, unless a signal comes in.
    ///
    /// # Errors
    /// The interruption.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLEEP_STEP));
        }
    }

    #[cfg(unix)]
    fn deliver(&self, signal: i32) {
        use duct::unix::HandleExt as _;
        let first = self.0.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if first && signal == signal_hook::consts::SIGINT {
            std::thread::sleep(TERMINAL_GRACE);
        }
        let children = self.children().clone();
        for (child, from_below) in children.iter().filter_map(|child| Some((child.handle.upgrade()?, child.from_below)))
        {
            let told_below = from_below && child.pids().into_iter().any(end_children);
            if told_below && first {
                continue;
            }
            // A child that has just ended cannot be signalled, which is what was wanted. Impatience is answered with
            // KILL: `docker` leaves no orphan and no tag then either.
            let _ = if first { child.send_signal(signal_hook::consts::SIGTERM) } else { child.kill() };
        }
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the children of a process to end, as Linux lists them; false if there are none.
#[cfg(unix)]
fn end_children(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<String> =
        listed.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let children = children.iter().filter(|child| !child.is_empty());
    let mut command = std::process::Command::new("kill");
    command.arg("-TERM").args(children).stderr(std::process::Stdio::null());
    command.get_args().len() > 1 && command.status().is_ok_and(|status| status.success())
}

/// What a child left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it ended with status zero.
    pub success: bool,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr; empty when stderr was shown instead.
    pub stderr: String,
}

/// Where a child's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Both streams are kept.
    Both,
    /// Both go to this program's stderr while the child runs.
    Shown,
}

/// A command line, its folder and its environment.
#[derive(Debug, Clone)]
#[must_use]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    folder: Option<Utf8PathBuf>,
    set: Vec<(OsString, OsString)>,
    unset: Vec<OsString>,
    from_below: bool,
}

impl Command {
    /// A command without arguments.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            folder: None,
            set: Vec::new(),
            unset: Vec::new(),
            from_below: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Runs in `folder`.
    pub fn in_folder(mut self, folder: &Utf8Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.into(), value.into()));
        self
    }

    /// Removes an environment variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.unset.push(name.into());
        self
    }

    /// For a program that leaves its own children running when it is ended, and ends well when they do: a signal is passed
    /// on to them instead, and a terminal's Ctrl-C does not reach it.
    pub fn ended_from_below(mut self) -> Self {
        self.from_below = true;
        self
    }

    /// Runs the command and waits for its end, whatever its status.
    ///
    /// # Errors
    /// When it cannot be started, or when a signal came in while it ran.
    pub fn run(&self, capture: Capture, interrupt: &Interrupt) -> Result<Output> {
        self.start(capture, interrupt)?.wait()
    }

    /// Starts the command. It is ended when the result is dropped before its end.
    ///
    /// # Errors
    /// When it cannot be started, or when a signal came in.
    pub fn start(&self, capture: Capture, interrupt: &Interrupt) -> Result<Running> {
        interrupt.check()?;
        let mut expression = duct::cmd(&self.program, &self.arguments).stdin_null().unchecked();
        expression = match capture {
            Capture::Both => expression.stdout_capture().stderr_capture(),
            Capture::Shown => expression.stdout_to_stderr(),
        };
        if let Some(folder) = &self.folder {
            expression = expression.dir(folder);
        }
        for (name, value) in &self.set {
            expression = expression.env(name, value);
        }
        for name in &self.unset {
            expression = expression.env_remove(name);
        }
        #[cfg(unix)]
        if self.from_below {
            use std::os::unix::process::CommandExt as _;
            expression = expression.before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        }
        let program = self.program.clone();
        let handle = Arc::new(expression.start().map_err(|error| cannot_run(&program, error))?);
        {
            let mut children = interrupt.children();
            children.retain(|child| child.handle.strong_count() > 0);
            children.push(Child { handle: Arc::downgrade(&handle), from_below: self.from_below });
        }
        let running = Running { handle, program, interrupt: interrupt.clone() };
        // A signal between the check above and the line before this one found no child to pass itself on to.
        interrupt.check().map(|()| running)
    }

    /// Runs the command and gives its stdout.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when it ends with another status than zero: the message is its stderr.
    pub fn stdout(&self, interrupt: &Interrupt) -> Result<String> {
        let output = self.run(Capture::Both, interrupt)?;
        if output.success { Ok(output.stdout) } else { Err(self.failure(&output)) }
    }

    /// The error of a run that ended with another status than zero.
    pub fn failure(&self, output: &Output) -> Error {
        let message = format!("`{self}` failed");
        match output.stderr.trim() {
            "" => Error::failed(message),
            stderr => Error::failed(message).because(stderr),
        }
    }
}

/// A command that was started.
#[derive(Debug)]
pub struct Running {
    handle: Arc<duct::Handle>,
    program: OsString,
    interrupt: Interrupt,
}

impl Running {
    /// Waits for its end, whatever its status.
    ///
    /// # Errors
    /// When a signal came in while it ran.
    pub fn wait(&self) -> Result<Output> {
        let output = self.handle.wait().map_err(|error| cannot_run(&self.program, error))?;
        self.output(output)
    }

    /// Waits for its end, but no longer than until then: `None` if it has not ended, and it is ended now.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_until(&self, deadline: Instant) -> Result<Option<Output>> {
        let failed = |error| cannot_run(&self.program, error);
        if let Some(output) = self.handle.wait_deadline(deadline).map_err(failed)? {
            return self.output(output).map(Some);
        }
        self.handle.kill().map_err(failed)?;
        self.interrupt.check().map(|()| None)
    }

    fn output(&self, output: &std::process::Output) -> Result<Output> {
        self.interrupt.check()?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody waits for its answer any more. One that has ended cannot be ended again, which is fine.
        let _ = self.handle.kill();
    }
}

fn cannot_run(program: &OsStr, error: std::io::Error) -> Error {
    Error::failed(format!("cannot run `{}`", program.display())).because(error)
}

impl fmt::Display for Command {
    /// The command as one line for a shell.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quoted(&self.program))?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {}", quoted(argument)))
    }
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_displays_as_a_line_for_a_shell() {
        let command = Command::new("docker").args(["build", "--label", "a=it's b", ""]);
        assert_eq!(command.to_string(), r"docker build --label 'a=it'\''s b' ''");
    }

    #[test]
    fn a_failing_child_is_shown_with_its_command_and_stderr() {
        let command = Command::new("sh").args(["-c", "echo why >&2; exit 3"]);
        let error = command.stdout(&Interrupt::default()).expect_err("it succeeded");
        assert_eq!(error.to_string(), "`sh -c 'echo why >&2; exit 3'` failed");
        assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("why"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Command::new("no-such-program").stdout(&Interrupt::default()).expect_err("it ran");
        assert_eq!(error.to_string(), "cannot run `no-such-program`");
    }
}
