//! A machine with the sensors of a Raspberry Pi, in the words of tests/machine.c.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Bench;
use super::bench::library;

/// Where its files are below a bench's directory.
const DIR: &str = "machine";

/// A machine on which all is well, until it is told otherwise.
pub struct Pi {
    dir: PathBuf,
}

impl Pi {
    /// What is started on the bench from now on runs on it.
    pub fn new(bench: &Bench) -> Pi {
        let pi = Pi { dir: bench.path(DIR) };
        pi.has("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        pi.has("sys/class/thermal/thermal_zone0/temp", "48312\n");
        pi.has("sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
        pi.has("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
        pi.has("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        pi.has(
            "proc/meminfo",
            "MemTotal:        3884112 kB\nMemFree:          201144 kB\nMemAvailable:    2913084 kB\n",
        );
        let headings = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n \
                        face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n";
        let wlan0 = " wlan0: 0000   49.  -61.  -256        0      0      0      0      4        0\n";
        pi.has("proc/self/net/wireless", &format!("{headings}{wlan0}"));
        pi.has("dev/vcio_gencmd", "throttled=0x0\n");
        pi.has("disk", "32000 21000\n");
        pi.has("synchronised", "");
        pi
    }

    /// Puts a file in its place, whole at any time.
    pub fn has(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        let parent = path.parent().expect("a directory");
        fs::create_dir_all(parent).expect("a temporary directory");
        let whole = self.dir.join("whole");
        fs::write(&whole, text).expect("a temporary file");
        fs::rename(whole, path).expect("a temporary file");
    }

    /// Takes a file or a directory away.
    pub fn lacks(&self, file: &str) {
        let path = self.dir.join(file);
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        gone.expect("it was there");
    }

    pub fn root(&self) -> &Path {
        &self.dir
    }
}

/// The library to be preloaded before others into what is to run on the bench's machine, if it has one.
pub(super) fn preload(bench: &Bench, command: &mut Command) -> Option<&'static Path> {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let dir = bench.path(DIR);
    dir.exists().then(|| {
        command.env("MACHINE_DIR", dir);
        &**LIBRARY.get_or_init(|| library("machine"))
    })
}
