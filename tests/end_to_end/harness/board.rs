//! Boards, which are pseudo-terminals.

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

/// A board on a real pseudo-terminal; unplugged when dropped.
pub struct Board {
    master: PtyMaster,
    pub path: PathBuf,
    pub(super) link: Option<PathBuf>,
}

impl Drop for Board {
    /// The link goes first, as udev removes it: the terminal's name is soon another test's.
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            fs::remove_file(link).expect("the link of a board that is plugged in");
        }
    }
}

impl Board {
    pub fn new() -> Board {
        // Not for programs that are started meanwhile: they would keep it plugged in.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a pseudo-terminal");
        grantpt(&master).expect("a pseudo-terminal");
        unlockpt(&master).expect("a pseudo-terminal");
        let path = ptsname_r(&master).expect("a pseudo-terminal's name").into();
        Board { master, path, link: None }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.master.write_all(bytes).expect("the terminal takes it");
    }

    /// What a terminal that nobody reads does not take is lost from now on, as on a wire; waiting for it could last for ever.
    pub fn never_wait(&mut self) {
        fcntl(&self.master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK)).expect("a terminal's flags");
    }

    /// Writes what the terminal takes.
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

    /// Writes a line. The newline before it ends whatever was there when the agent opened the port, which it takes for
    /// the rest of a line that began before.
    pub fn say(&mut self, line: &str) {
        self.write(format!("\n{line}\n").as_bytes());
    }
}

/// A board that says the same over and over, on a thread of its own, until this is dropped.
pub struct Talker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Board {
    pub fn says_always(mut self, what: impl Into<Vec<u8>>, every: Duration) -> Talker {
        let what = what.into();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        self.never_wait();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = self.try_write(&what);
                sleep(every);
            }
        });
        Talker { stop, thread: Some(thread) }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("only dropped once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "a board's thread failed");
    }
}
