//! A machine whose wall clock is wrong, set right, or jumps.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::Bench;
use super::bench::library;

/// What a program sees of the clock, in the words of tests/clock.c.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    pub fn new(bench: &Bench) -> Clock {
        Clock { file: bench.path("clock") }
    }

    /// So many seconds from the right time; the kernel calls it synchronised or not, and the machine's boot so.
    pub fn set(&self, seconds: i64, synchronised: bool, boot: &str) {
        let whole = self.file.with_extension("whole");
        let state = if synchronised { 0 } else { 5 };
        fs::write(&whole, format!("{seconds} {state} {boot}\n")).expect("a temporary file");
        fs::rename(whole, &self.file).expect("a temporary file");
    }

    /// A command for watchpost on this machine.
    pub fn watchpost(&self) -> Command {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let mut watchpost = Command::new(env!("CARGO_BIN_EXE_watchpost"));
        watchpost.env("LD_PRELOAD", LIBRARY.get_or_init(|| library("clock"))).env("CLOCK_FILE", &self.file);
        watchpost
    }
}
