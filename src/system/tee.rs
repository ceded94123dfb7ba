//! A build's output, shown while it is written down: a thread copies every byte to this program's stderr and to a log,
//! but for what is secret.
//!
//! Where stderr is a terminal, the child gets a pseudo-terminal of the same size. So the child shows what it would show
//! on the terminal itself.

use std::fs::File;
use std::io::{Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::system::hiding::Hiding;
use crate::system::interrupt::Interrupt;

/// How long nothing may be copied, after the child's end, before copying stops. A process that outlives the child may
/// keep the output open for ever.
const GRACE: Duration = Duration::from_millis(500);

/// Whether what is written down is shown as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Everything is shown.
    Everything,
    /// Nothing is shown.
    Nothing,
}

/// The thread that copies.
#[derive(Debug)]
pub(super) struct Tee {
    /// Gets no message, and is closed when the thread ends.
    end: Receiver<()>,
    /// Counted up before and after each read: odd while the thread waits for output.
    reads: Arc<AtomicUsize>,
}

/// What is added to the count of reads to stop the thread: more than any number of reads.
const STOPPED: usize = usize::MAX / 2;

impl Tee {
    /// Starts to copy, and gives the file that the child is to write to.
    pub(super) fn start(log: File, show: Show, hiding: Hiding) -> std::io::Result<(Self, ChildEnd)> {
        #[cfg(unix)]
        if show == Show::Everything
            && std::io::IsTerminal::is_terminal(&std::io::stderr())
            && let Ok((terminal, child_end)) = pseudo_terminal()
        {
            return Ok((Self::copy(terminal, log, show, hiding), child_end));
        }
        let (reader, writer) = std::io::pipe()?;
        Ok((Self::copy(reader, log, show, hiding), writer.into()))
    }

    fn copy(mut from: impl Read + Send + 'static, mut log: File, show: Show, mut hiding: Hiding) -> Self {
        let (sender, end) = channel();
        let reads = Arc::new(AtomicUsize::new(0));
        let counter = reads.clone();
        std::thread::spawn(move || {
            let _closed_at_the_end: std::sync::mpsc::Sender<()> = sender;
            let mut buffer = vec![0; 1 << 16];
            let mut write = |bytes: &[u8]| {
                // A build goes on where its log or stderr cannot be written.
                let _ = log.write_all(bytes);
                if show == Show::Everything {
                    let _ = std::io::stderr().lock().write_all(bytes);
                }
            };
            loop {
                counter.fetch_add(1, Ordering::SeqCst);
                let read = from.read(&mut buffer);
                if counter.fetch_add(1, Ordering::SeqCst) >= STOPPED {
                    return;
                }
                match read {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    // Linux gives an error for a pseudo-terminal that no process writes to any more.
                    Ok(0) | Err(_) => return write(&hiding.rest()),
                    Ok(count) => write(&hiding.shown(&buffer[..count])),
                }
            }
        });
        Self { end, reads }
    }

    /// Waits, after the child's end, until all that it wrote is copied.
    pub(super) fn finish(&self, interrupt: &Interrupt) {
        let mut before = usize::MAX;
        while self.end.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            let now = self.reads.load(Ordering::SeqCst);
            let nothing_comes = now % 2 == 1 && now == before;
            if nothing_comes || interrupt.check().is_err() {
                self.reads.fetch_add(STOPPED, Ordering::SeqCst);
                return;
            }
            before = now;
        }
    }
}

#[cfg(unix)]
pub(super) type ChildEnd = std::os::fd::OwnedFd;

#[cfg(not(unix))]
pub(super) type ChildEnd = std::os::windows::io::OwnedHandle;

/// This program's end of a new pseudo-terminal.
#[cfg(unix)]
struct PseudoTerminal {
    controller: File,
    size: Option<rustix::termios::Winsize>,
}

#[cfg(unix)]
fn pseudo_terminal() -> rustix::io::Result<(PseudoTerminal, ChildEnd)> {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, OutputModes, tcgetattr, tcsetattr};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&controller, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let name = ptsname(&controller, Vec::new())?;
    let child_end = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    // Output is processed by the real terminal, and so not here.
    let mut modes = tcgetattr(&child_end)?;
    modes.output_modes.remove(OutputModes::OPOST);
    tcsetattr(&child_end, OptionalActions::Now, &modes)?;
    let mut terminal = PseudoTerminal { controller: controller.into(), size: None };
    terminal.follow_size();
    Ok((terminal, child_end))
}

#[cfg(unix)]
impl PseudoTerminal {
    /// Gives the pseudo-terminal the real terminal's present size.
    fn follow_size(&mut self) {
        use rustix::termios::{tcgetwinsize, tcsetwinsize};
        let size = tcgetwinsize(std::io::stderr()).ok();
        if size != self.size && size.is_some_and(|size| tcsetwinsize(&self.controller, size).is_ok()) {
            self.size = size;
        }
    }
}

#[cfg(unix)]
impl Read for PseudoTerminal {
    /// Follows the size at each read: buildx asks for it whenever it shows something, several times a second.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.controller.read(buffer);
        self.follow_size();
        read
    }
}
