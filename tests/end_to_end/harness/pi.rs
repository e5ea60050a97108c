//! A simulated host with the sensors of a Raspberry Pi, by means of tests/machine.c.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::Bench;
use super::bench::library;

/// The directory of its files, in the bench.
const DIR: &str = "machine";

/// A healthy Raspberry Pi, until a test changes its files.
pub struct Pi {
    dir: PathBuf,
}

impl Pi {
    /// Programs started on the bench from now on see this host.
    pub fn new(bench: &Bench) -> Pi {
        let pi = Pi { dir: bench.path(DIR) };
        pi.set("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
        pi.set("sys/class/thermal/thermal_zone0/temp", "48312\n");
        pi.set("sys/class/hwmon/hwmon0/name", "cpu_thermal\n");
        pi.set("sys/class/hwmon/hwmon1/name", "rpi_volt\n");
        pi.set("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n");
        pi.set(
            "proc/meminfo",
            "MemTotal:        3884112 kB\nMemFree:          201144 kB\nMemAvailable:    2913084 kB\n",
        );
        let headings = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n \
                        face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n";
        let wlan0 = " wlan0: 0000   49.  -61.  -256        0      0      0      0      4        0\n";
        pi.set("proc/self/net/wireless", &format!("{headings}{wlan0}"));
        pi.set("dev/vcio_gencmd", "throttled=0x0\n");
        pi.set("disk", "32000 21000\n");
        pi.set("synchronised", "");
        pi
    }

    /// Creates or replaces a file atomically.
    pub fn set(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        let parent = path.parent().expect("a directory");
        fs::create_dir_all(parent).expect("a temporary directory");
        let temporary = self.dir.join("temporary");
        fs::write(&temporary, text).expect("a temporary file");
        fs::rename(temporary, path).expect("a temporary file");
    }

    /// Removes a file or a directory.
    pub fn remove(&self, file: &str) {
        let path = self.dir.join(file);
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("an existing file or directory");
    }

    pub fn root(&self) -> &Path {
        &self.dir
    }
}

/// If the bench has a simulated Pi, prepares the command for it and returns the library to preload first.
pub(super) fn preload(bench: &Bench, command: &mut Command) -> Option<&'static Path> {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let dir = bench.path(DIR);
    dir.exists().then(|| {
        command.env("MACHINE_DIR", dir);
        &**LIBRARY.get_or_init(|| library("machine"))
    })
}
