//! Values from the kernel's files.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Room, Wifi};
use crate::name::Name;

/// The temperature of the hottest processor zone. `temp` is in thousandths of a degree; `type` is cpu-thermal on a
/// Raspberry Pi (Documentation/driver-api/thermal/sysfs-api.rst).
pub(super) fn temperature(sys: &Path) -> Option<f64> {
    let zones = entries(&sys.join("class/thermal")).into_iter().filter(|zone| {
        let kind = text(&zone.join("type")).unwrap_or_default();
        kind.starts_with("cpu") || kind == "x86_pkg_temp"
    });
    let temperatures = zones.filter_map(|zone| text(&zone.join("temp"))?.parse::<i32>().ok());
    temperatures.max().map(|thousandths| f64::from(thousandths) / 1000.0)
}

/// The kernel's alarm, which polls the firmware every two seconds (Documentation/hwmon/raspberrypi-hwmon.rst).
pub(super) fn undervoltage(sys: &Path) -> Option<bool> {
    let sensors = entries(&sys.join("class/hwmon"));
    let supply = sensors.into_iter().find(|sensor| text(&sensor.join("name")).as_deref() == Some("rpi_volt"))?;
    Some(text(&supply.join("in0_lcrit_alarm"))? != "0")
}

/// Parses lines such as `MemAvailable:    3530124 kB`.
pub(super) fn memory(proc: &Path) -> Option<Room> {
    let text = text(&proc.join("meminfo"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Room { bytes: of("MemTotal")?, available_bytes: of("MemAvailable") })
}

/// Parses `wlan0: 0000   61.  -49.  -256 …` after two header lines: interface, status, quality, level. The file below
/// the process's own directory is readable even in a service that sees nothing else of /proc.
pub(super) fn wifi(proc: &Path) -> Option<Wifi> {
    let text = text(&proc.join("self/net/wireless"))?;
    text.lines().skip(2).find_map(|line| {
        let (interface, rest) = line.split_once(':')?;
        let signal_dbm = rest.split_whitespace().nth(2)?.trim_end_matches('.').parse::<f64>().ok()?;
        // Drivers that do not report dBm use positive numbers on their own scale.
        (signal_dbm.is_finite() && signal_dbm < 0.0)
            .then(|| Wifi { interface: Name::nearest(interface.trim()), signal_dbm })
    })
}

pub(super) fn boot_id(proc: &Path) -> Option<Name> {
    Name::try_from(text(&proc.join("sys/kernel/random/boot_id"))?).ok()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
