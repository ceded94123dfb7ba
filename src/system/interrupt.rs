//! Signals, at every step of the way: whether one asked the program to end, and the children that get it too.

use std::fs::File;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long children may take to end by a terminal's Ctrl-C of their own, before the signal is passed on to the others.
const TERMINAL_GRACE: Duration = Duration::from_millis(250);

/// How soon a waiting program notices a signal.
const SLEEP_STEP: Duration = Duration::from_millis(50);

/// Whether a signal asked the program to end, and which children to pass it on to.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<InterruptState>);

#[derive(Debug, Default)]
struct InterruptState {
    /// The last signal, as soon as it is there: a child may end by the same signal before the thread below runs.
    caught: Arc<AtomicUsize>,
    /// The first signal, when it is passed on.
    signal: AtomicI32,
    children: Mutex<Vec<Child>>,
    locks: Mutex<Vec<Weak<File>>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(super) handle: Weak<duct::Handle>,
    /// As [`Command::ended_from_below`].
    pub(super) from_below: bool,
}

impl Interrupt {
    /// Catches INT, TERM and HUP from now on. One that is ignored stays ignored, as `nohup` ignores HUP, and a shell
    /// without job control INT of what it runs in the background. What is ignored is known on Linux alone: elsewhere
    /// only `unsafe` code can ask.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    #[cfg(unix)]
    pub fn on_signals() -> Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let interrupt = Self::default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = ignored_signals(&status);
        let caught = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
        let cannot = |error| Error::failed("cannot catch signals").because(error);
        for signal in caught.clone() {
            let number = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, interrupt.0.caught.clone(), number).map_err(cannot)?;
        }
        let mut signals = signal_hook::iterator::Signals::new(caught).map_err(cannot)?;
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
        let caught = || i32::try_from(self.0.caught.load(Ordering::SeqCst)).unwrap_or_default();
        let first = Some(self.0.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0);
        match first.unwrap_or_else(caught) {
            0 => Ok(()),
            signal => Err(Error::interrupted(signal)),
        }
    }

    /// Waits for `duration`, or until a signal comes in.
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

    /// Does `work` in a thread with a stack of this many bytes, and waits for its end or for a signal. After a signal
    /// the thread is left alone, and ends with the program.
    ///
    /// # Errors
    /// The interruption, or when there can be no such thread.
    pub fn unless_interrupted<T: Send + 'static>(
        &self,
        stack: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, result) = channel();
        let thread = std::thread::Builder::new().stack_size(stack).spawn(move || {
            // Nobody waits any more after a signal.
            let _ = sender.send(work());
        });
        let thread = thread.map_err(|error| Error::failed("cannot start a thread").because(error))?;
        loop {
            match result.recv_timeout(SLEEP_STEP) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => self.check()?,
                Err(RecvTimeoutError::Disconnected) => match thread.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => return Err(Error::failed("a thread ended without a result")),
                },
            }
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
            // An error means that the child has just ended, as wanted. A second signal is passed on as KILL: `docker`
            // leaves neither orphan nor tag then.
            let _ = if first { child.send_signal(signal_hook::consts::SIGTERM) } else { child.kill() };
        }
    }

    /// Lets bound children have a lock's file, as long as the lock is held here.
    pub(super) fn lend(&self, lock: &Arc<File>) {
        let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|lock| lock.strong_count() > 0);
        locks.push(Arc::downgrade(lock));
    }

    /// The files of all locks that are held.
    pub(super) fn locks(&self) -> Vec<Arc<File>> {
        let locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn children(&self) -> std::sync::MutexGuard<'_, Vec<Child>> {
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signals that a process ignores, a bit each from the lowest on, by the text of its `/proc/PID/status`.
#[cfg(unix)]
fn ignored_signals(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default()
}

/// Sends TERM to the children of a process, as Linux lists them in `/proc`; false if there are none.
#[cfg(unix)]
pub(super) fn end_children(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let listed = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<String> =
        listed.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let children = children.iter().filter(|child| !child.is_empty());
    let mut command = std::process::Command::new("kill");
    command.arg("-TERM").args(children).stderr(std::process::Stdio::null());
    command.get_args().len() > 1 && command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_what_linux_says_of_a_process() {
        assert_eq!(ignored_signals("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!((ignored_signals("SigIgn:\tx\n"), ignored_signals("")), (0, 0));
    }

    #[test]
    fn a_signal_ends_the_wait_for_work_and_not_the_work() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.unless_interrupted(1 << 20, || 1).ok(), Some(1));
        interrupt.0.signal.store(15, Ordering::SeqCst);
        let started = Instant::now();
        let slept = interrupt.unless_interrupted(1 << 20, || std::thread::sleep(Duration::from_secs(60)));
        assert_eq!(slept.expect_err("it was waited for").exit_code(), 143);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
