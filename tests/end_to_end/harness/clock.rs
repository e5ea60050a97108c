//! A simulated wall clock that can be wrong, be corrected, or jump.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::Bench;
use super::bench::library;

/// The clock that a program sees through tests/clock.c.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    pub fn new(bench: &Bench) -> Clock {
        Clock { file: bench.path("clock") }
    }

    /// Sets the offset from the real time in seconds, whether the kernel reports a synchronised clock, and the boot id.
    pub fn set(&self, seconds: i64, synchronised: bool, boot: &str) {
        let temporary = self.file.with_extension("temporary");
        let state = if synchronised { 0 } else { 5 };
        fs::write(&temporary, format!("{seconds} {state} {boot}\n")).expect("a temporary file");
        fs::rename(temporary, &self.file).expect("a temporary file");
    }

    /// A watchpost command that sees this clock.
    pub fn watchpost(&self) -> Command {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        watchpost.env("LD_PRELOAD", LIBRARY.get_or_init(|| library("clock"))).env("CLOCK_FILE", &self.file);
        watchpost
    }
}
