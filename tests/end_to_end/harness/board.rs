//! Boards, simulated with pseudo-terminals.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// A board on a pseudo-terminal; unplugged when dropped.
pub struct Board {
    master: PtyMaster,
    pub path: PathBuf,
    pub(super) link: Option<PathBuf>,
}

impl Drop for Board {
    /// Removes the link first, because another test soon reuses the terminal's name. Udev removes it, too.
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            fs::remove_file(link).expect("the link of a plugged-in board");
        }
    }
}

impl Board {
    pub fn new() -> Board {
        // O_CLOEXEC: a program that inherits the terminal would keep the board plugged in.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("a pseudo-terminal");
        unlockpt(&master).expect("a pseudo-terminal");
        let path = ptsname_r(&master).expect("a pseudo-terminal's name").into();
        Board { master, path, link: None }
    }

    /// Writes bytes unchanged.
    pub fn write(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).expect("a write to the terminal");
    }

    /// Makes writes lossy, as on a wire: without a reader, a blocking write could wait forever.
    pub fn set_nonblocking(&mut self) {
        fcntl(&self.master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).expect("a terminal's flags");
    }

    /// Writes as much as the terminal accepts.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.master.write(bytes)
    }

    /// The terminal's settings.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.master).expect("a terminal")
    }

    pub fn set(&mut self, settings: &Termios) {
        tcsetattr(&self.master, SetArg::TCSANOW, settings).expect("a terminal");
    }

    /// Writes a line. The newline before it ends the first line, which the agent discards as cut by opening the port.
    pub fn write_line(&mut self, line: &str) {
        self.write(format!("\n{line}\n").as_bytes());
    }
}

/// A thread on which a board repeats the same text, until this is dropped.
pub struct Talker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    /// Starts a thread that writes `text` at this interval.
    pub fn repeats(mut self, text: impl Into<Vec<u8>>, interval: Duration) -> Talker {
        let text = text.into();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        self.set_nonblocking();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = self.try_write(&text);
                sleep(interval);
            }
        });
        Talker { stop, thread: Some(thread) }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("dropped only once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "a board's thread failed");
    }
}
