//! What files of the kernel say.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Room, Wifi};
use crate::name::Name;

/// Of the processor's zones the hottest. A zone's `temp` is in thousandths of a degree, `type` what it is of: cpu-thermal on
/// a Raspberry Pi (Documentation/driver-api/thermal/sysfs-api.rst).
pub(super) fn temperature(sys: &Path) -> Option<f64> {
    let zones = entries(&sys.join("class/thermal")).into_iter().filter(|zone| {
        let kind = text(&zone.join("type")).unwrap_or_default();
        kind.starts_with("cpu") || kind == "x86_pkg_temp"
    });
    let temperatures = zones.filter_map(|zone| text(&zone.join("temp"))?.parse::<i32>().ok());
    temperatures.max().map(|thousandths| f64::from(thousandths) / 1000.0)
}

/// As the kernel has it, which asks the firmware every two seconds (Documentation/hwmon/raspberrypi-hwmon.rst).
pub(super) fn undervoltage(sys: &Path) -> Option<bool> {
    let sensors = entries(&sys.join("class/hwmon"));
    let supply = sensors.into_iter().find(|sensor| text(&sensor.join("name")).as_deref() == Some("rpi_volt"))?;
    Some(text(&supply.join("in0_lcrit_alarm"))? != "0")
}

/// Lines such as `MemAvailable:    3530124 kB`.
pub(super) fn memory(proc: &Path) -> Option<Room> {
    let text = text(&proc.join("meminfo"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Room { bytes: of("MemTotal")?, available_bytes: of("MemAvailable") })
}

/// Below two lines of headings, `wlan0: 0000   61.  -49.  -256 …`: interface, status, quality, level. Below a process's
/// own directory, which is there where a service sees nothing else of /proc.
pub(super) fn wifi(proc: &Path) -> Option<Wifi> {
    let text = text(&proc.join("self/net/wireless"))?;
    text.lines().skip(2).find_map(|line| {
        let (interface, rest) = line.split_once(':')?;
        let signal_dbm = rest.split_whitespace().nth(2)?.trim_end_matches('.').parse::<f64>().ok()?;
        // Drivers that know no dBm have numbers above, by a scale of their own.
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
