//! The one process runner: a command whose `Display` is a line for a shell, run so that a signal to this program ends
//! the child as well.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, Result};
use crate::redact::redacted_arguments;
use crate::system::hiding::Hiding;
#[cfg(unix)]
use crate::system::interrupt::end_children;
use crate::system::interrupt::{Child, Interrupt};
use crate::system::log_file::LogFile;
use crate::system::tee::{Show, Tee};

/// How long a child may run before it is told that it is waited for.
const SLOW: Duration = Duration::from_secs(5);

/// Runs a command that ends when this program ends, however that comes about. Its stdin is a pipe that this program
/// alone holds the other end of. A process that is nobody's child reads there: a line if all went well, or the pipe's
/// end. The first argument is what is ended then: `process` or `group`, which that process is in. It is told again each
/// second until the command is gone: docker can lose the first signal. A variable set here would change the command's own of
/// that name, but for those of the process that reads.
const BOUND: &str = r#"case $1 in group) shift; set -- "-$$" "$@" ;; *) shift; set -- "$$" "$@" ;; esac
exec 9<&0 </dev/null
( { read -r _ <&9 || {
    trap '' TERM
    for signal in TERM TERM TERM TERM KILL; do kill -s $signal -- "$1"; sleep 1; kill -0 "$$" || break; done
} } >/dev/null 2>&1 & )
shift
exec "$@" 9<&-"#;

/// What a child left behind.
#[derive(Debug, Clone)]
pub struct CommandOutput {
    /// Whether it ended with status zero.
    pub success: bool,
    /// What it printed on stdout; empty where stdout went to a log.
    pub stdout: String,
    /// What it printed on stderr; empty where stderr went to a log.
    pub stderr: String,
}

/// Where a child's output goes.
#[derive(Debug, Clone, Copy)]
pub enum Capture<'a> {
    /// Both streams are kept.
    Both,
    /// Both go to a log while the child runs, and may be shown on this program's stderr as well.
    Logged(&'a LogFile, Show),
}

/// A command line, its folder and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    folder: Option<Utf8PathBuf>,
    set: Vec<(OsString, OsString)>,
    unset: Vec<OsString>,
    from_below: bool,
    hidden: Vec<String>,
    bound: bool,
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
            hidden: Vec::new(),
            bound: false,
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

    /// Sets an environment variable, whatever it was set to.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.set.retain(|(set, _)| set != name);
        self.unset.retain(|unset| unset != name);
        self.set.push((name.into(), value.into()));
        self
    }

    /// Sets environment variables.
    pub fn envs(self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| command.env(&name, &value))
    }

    /// Removes an environment variable.
    pub fn without_env(mut self, name: &str) -> Self {
        self.set.retain(|(set, _)| set != name);
        self.unset.push(name.into());
        self
    }

    /// Leaves these texts out of the output that is logged and shown.
    pub fn hiding(mut self, texts: impl IntoIterator<Item = String>) -> Self {
        self.hidden.extend(texts);
        self
    }

    /// For a program that leaves its own children running when it is ended, and ends well when they do. A signal is
    /// passed on to these children instead, and a terminal's Ctrl-C does not reach the program.
    pub fn ended_from_below(mut self) -> Self {
        self.from_below = true;
        self
    }

    /// For a command that changes what others see. It ends when this program ends, be it killed. As long as it lives, or
    /// a child of it, the locks stay held that this program holds now.
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Runs the command and waits for its end, whatever its status.
    ///
    /// # Errors
    /// When the command cannot be started, or when a signal came in while it ran.
    pub fn run(&self, capture: Capture<'_>, interrupt: &Interrupt) -> Result<CommandOutput> {
        self.start(capture, interrupt)?.wait()
    }

    /// Starts the command. Dropping the result ends a command that still runs.
    ///
    /// # Errors
    /// When the command cannot be started, or when a signal came in.
    pub fn start(&self, capture: Capture<'_>, interrupt: &Interrupt) -> Result<Running> {
        interrupt.check()?;
        let cannot = |error| cannot_run(&self.program, error);
        let life = if self.bound && cfg!(unix) { Some(std::io::pipe().map_err(cannot)?) } else { None };
        let (expression, life) = self.expression(life);
        let mut expression = expression.unchecked();
        let mut tee = None;
        expression = match capture {
            Capture::Both => expression.stdout_capture().stderr_capture(),
            Capture::Logged(log, show) => {
                let (started, child_end) =
                    log.writer().and_then(|log| Tee::start(log, show, Hiding::new(&self.hidden))).map_err(cannot)?;
                tee = Some(started);
                expression.stdout_to_stderr().stderr_file(child_end)
            }
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
        let lent = if self.bound { interrupt.locks() } else { Vec::new() };
        inherited(&lent, true);
        let started = expression.start();
        inherited(&lent, false);
        let handle = Arc::new(started.map_err(cannot)?);
        {
            let mut children = interrupt.children();
            children.retain(|child| child.handle.strong_count() > 0);
            children.push(Child { handle: Arc::downgrade(&handle), from_below: self.from_below });
        }
        let running = Running { handle, tee, life, program: self.program.clone(), interrupt: interrupt.clone() };
        // A signal that came after the check above and before the child was listed did not reach the child.
        interrupt.check().map(|()| running)
    }

    /// The command with its stdin, and this program's end of the pipe that it ends with.
    fn expression(&self, life: Option<(PipeReader, PipeWriter)>) -> (duct::Expression, Option<PipeWriter>) {
        let Some((child_end, life)) = life else {
            return (duct::cmd(&self.program, &self.arguments).stdin_null(), None);
        };
        let what = if self.from_below { "group" } else { "process" };
        let launched = ["-c", BOUND, "sh", what].map(OsString::from);
        let arguments = launched.iter().chain([&self.program]).chain(&self.arguments);
        (duct::cmd("sh", arguments).stdin_file(child_end), Some(life))
    }

    /// Runs the command and gives its stdout.
    ///
    /// # Errors
    /// As [`run`](Self::run), and when the command ends with another status than zero: the cause is its stderr.
    pub fn stdout(&self, interrupt: &Interrupt) -> Result<String> {
        let output = self.run(Capture::Both, interrupt)?;
        if output.success { Ok(output.stdout) } else { Err(self.failure(&output)) }
    }

    /// The error of a run that ended with another status than zero.
    pub fn failure(&self, output: &CommandOutput) -> Error {
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
    tee: Option<Tee>,
    life: Option<PipeWriter>,
    program: OsString,
    interrupt: Interrupt,
}

impl Running {
    /// Waits for the command's end, whatever its status.
    ///
    /// # Errors
    /// When a signal came in while it ran.
    pub fn wait(&self) -> Result<CommandOutput> {
        let output = self.handle.wait().map_err(|error| cannot_run(&self.program, error))?;
        self.output(output)
    }

    /// Waits for the command's end, at most until `deadline`. A command that still runs then is ended, and gives
    /// `None`.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_until(&self, deadline: Instant) -> Result<Option<CommandOutput>> {
        let failed = |error| cannot_run(&self.program, error);
        if let Some(output) = self.handle.wait_deadline(deadline).map_err(failed)? {
            return self.output(output).map(Some);
        }
        self.end().map_err(failed)?;
        self.interrupt.check().map(|()| None)
    }

    /// Waits for the command's end, at most for this time; it goes on running if that is not enough.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_a_while(&self, time: Duration) -> Result<Option<CommandOutput>> {
        let ended = self.handle.wait_timeout(time).map_err(|error| cannot_run(&self.program, error))?;
        ended.map(|output| self.output(output)).transpose()
    }

    /// Waits as [`wait_until`](Self::wait_until) does, for what should not take long. After five seconds `tell` says that
    /// it is waited for.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_telling(&self, deadline: Instant, tell: impl FnOnce()) -> Result<Option<CommandOutput>> {
        if Instant::now() + SLOW < deadline {
            if let Some(output) = self.wait_a_while(SLOW)? {
                return Ok(Some(output));
            }
            tell();
        }
        self.wait_until(deadline)
    }

    /// Ends it at once, with its own children: `docker`, when it is killed while its plug-in starts, leaves that
    /// running.
    fn end(&self) -> std::io::Result<()> {
        #[cfg(unix)]
        for process in self.handle.pids() {
            end_children(process);
        }
        self.handle.kill()
    }

    fn output(&self, output: &std::process::Output) -> Result<CommandOutput> {
        self.end_watch();
        self.tee.iter().for_each(|tee| tee.finish(&self.interrupt));
        self.interrupt.check()?;
        Ok(CommandOutput {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }
}

/// What a child printed, which mostly is UTF-8: that is told faster than where it is not.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

impl Running {
    /// Says to whoever watches this program's life that the child has ended.
    fn end_watch(&self) {
        // Nobody may watch any more.
        self.life.iter().for_each(|mut life| drop(life.write_all(b"\n")));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody waits for the answer any more.
        let has_ended = self.handle.try_wait().is_ok_and(|output| output.is_some());
        if !has_ended {
            let _ = self.end();
        }
        self.end_watch();
    }
}

/// Lets the next child have these files, or none of the later ones.
#[cfg(unix)]
fn inherited(files: &[Arc<File>], yes: bool) {
    use rustix::io::{FdFlags, fcntl_setfd};
    let flags = if yes { FdFlags::empty() } else { FdFlags::CLOEXEC };
    // This fails for no open file.
    for file in files {
        let _ = fcntl_setfd(file, flags);
    }
}

#[cfg(not(unix))]
fn inherited(_: &[Arc<File>], _: bool) {}

/// That there was no answer in time, in words.
pub(crate) fn silence(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

fn cannot_run(program: &OsStr, error: std::io::Error) -> Error {
    Error::failed(format!("cannot run `{}`", program.display())).because(error)
}

impl fmt::Display for Command {
    /// The command as one line for a shell, without what is secret in its arguments.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&quoted(&self.program.to_string_lossy()))?;
        let arguments = redacted_arguments(self.arguments.iter().map(|argument| argument.to_string_lossy()));
        arguments.iter().try_for_each(|argument| write!(formatter, " {}", quoted(argument)))
    }
}

fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,@%+".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
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

    #[cfg(unix)]
    #[test]
    fn a_bound_command_is_told_from_no_other_by_its_output_and_status() -> Result<()> {
        let command = Command::new("sh").args(["-c", "cat; echo \"$1 $PPID\"; exit 3", "sh", "a b"]).bound();
        assert_eq!(command.to_string(), r#"sh -c 'cat; echo "$1 $PPID"; exit 3' sh 'a b'"#);
        let output = command.run(Capture::Both, &Interrupt::default())?;
        assert_eq!((output.success, output.stderr.as_str()), (false, ""));
        assert_eq!(
            output.stdout,
            format!("a b {}\n", std::process::id()),
            "stdin is empty, and the parent this process"
        );
        Ok(())
    }

    /// As docker loses a signal at times.
    #[cfg(unix)]
    #[rstest::rstest]
    #[case::of_a_process("process")]
    #[case::of_a_group("group")]
    fn a_bound_command_that_loses_a_signal_is_told_again(#[case] what: &str) {
        use std::io::Read as _;
        use std::os::unix::process::CommandExt as _;
        let loses_one = "trap 'trap \"exit 7\" TERM' TERM; echo .; while :; do sleep 0.1; done";
        let mut child = std::process::Command::new("sh")
            .args(["-c", BOUND, "sh", what, "sh", "-c", loses_one])
            .process_group(0)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = [0];
        child.stdout.as_mut().expect("piped").read_exact(&mut said).expect("it says something");
        drop(child.stdin.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(7));
    }

    #[test]
    fn a_command_is_shown_and_told_of_without_its_secrets() {
        let script = "exit 1 # https://user:hunter2@host/x";
        let command = Command::new("sh").args(["-c", script, "--build-arg", "A=hunter2", "--label", "a=b"]);
        assert_eq!(command.to_string(), "sh -c 'exit 1 # https://***@host/x' --build-arg 'A=***' --label a=b");
        let error = command.stdout(&Interrupt::default()).expect_err("it succeeded");
        assert_eq!(error.to_string(), format!("`{command}` failed"));
    }

    #[test]
    fn a_variable_that_is_set_twice_has_the_later_value() {
        let command = Command::new("sh").args(["-c", "echo $A"]).env("A", "1").env("A", "2");
        assert_eq!(command.stdout(&Interrupt::default()).ok().as_deref(), Some("2\n"));
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
