//! How the machine is that this runs on: power, heat, memory, disk, radio and clock. Knows nothing but files below given
//! roots, three system calls and the Raspberry Pi's firmware. What is not there is left out, so that any Linux will do.
//!
//! `sensors.rs` reads files, `firmware.rs` asks the firmware.

mod firmware;
mod sensors;

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::sys::sysinfo::sysinfo;
use serde::{Deserialize, Serialize};

use crate::clock::WallClock;
use crate::name::Name;

/// Where files of the kernel and devices are found.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/dev`.
    pub dev: PathBuf,
}

impl Default for Roots {
    /// This machine's own.
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// How it is now, as far as it says so. As it is here it is in a status message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    /// Of the processor, in °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// The power supply gives less than 4.63 V or so, now or in the last two seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undervoltage: Option<bool>,
    /// It did at some time since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undervoltage_since_boot: Option<bool>,
    /// The processor is slower than it could be, for want of power or because it is hot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<bool>,
    /// It was at some time since the machine was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_since_boot: Option<bool>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Room>,
    /// The disk that the spool is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Room>,
    /// The first radio network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
    /// The wall clock is set by another one.
    pub synchronised: bool,
    /// Seconds since the machine was started.
    pub uptime_s: u64,
    /// New each time the machine is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<Name>,
}

/// How much there is of something that fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// All of it; of a disk without what is set aside for the administrator.
    pub bytes: u64,
    /// What can still be had; of memory, with what the system gives back at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
}

/// A radio network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wifi {
    /// What its interface is called.
    pub interface: Name,
    /// How strongly the access point is received, in dBm: -50 is good, -80 hardly enough.
    pub signal_dbm: f64,
}

/// From here on a Raspberry Pi makes itself slower (the firmware's `temp_soft_limit` and `temp_limit` are 60 to 85).
pub const HOT_C: f64 = 80.0;

/// A disk of which more hundredths are in use is nearly full. The page has both numbers, too: page/live/machine.js.
pub const NEARLY_FULL: u64 = 95;

impl HostStatus {
    /// Looks, but for the disk, which may hang. The firmware takes milliseconds.
    #[must_use]
    pub fn look(roots: &Roots) -> HostStatus {
        let throttled = firmware::throttled(&roots.dev);
        let has = |bits: u32| throttled.map(|throttled| throttled & bits != 0);
        HostStatus {
            temperature_c: sensors::temperature(&roots.sys),
            undervoltage: either(sensors::undervoltage(&roots.sys), has(firmware::UNDERVOLTAGE)),
            undervoltage_since_boot: has(firmware::UNDERVOLTAGE << firmware::SINCE_BOOT),
            throttled: has(firmware::SLOWER),
            throttled_since_boot: has(firmware::SLOWER << firmware::SINCE_BOOT),
            memory: sensors::memory(&roots.proc).or_else(memory),
            disk: None,
            wifi: sensors::wifi(&roots.proc),
            synchronised: WallClock::default().is_synchronised(),
            uptime_s: sysinfo().map_or(0, |info| info.uptime().as_secs()),
            boot_id: sensors::boot_id(&roots.proc),
        }
    }
}

/// Whether one of them says so; nothing if both are silent.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    (one.is_some() || other.is_some()).then_some(one == Some(true) || other == Some(true))
}

/// How much there is; how much can be had the system call does not know.
fn memory() -> Option<Room> {
    Some(Room { bytes: sysinfo().ok()?.ram_total(), available_bytes: None })
}

impl Room {
    /// Of the disk that a path is on, or will be once its directories are made. Waits for as long as the disk hangs.
    #[must_use]
    pub fn of_disk(path: &Path) -> Option<Room> {
        let there = path.ancestors().find(|path| path.exists())?;
        let disk = statvfs(there).ok()?;
        // Each type of these is another one on another machine.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "they are narrower on 32 bits")]
        let [all, free, available, block] = [
            disk.blocks() as u64,
            disk.blocks_free() as u64,
            disk.blocks_available() as u64,
            disk.fragment_size() as u64,
        ];
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        let set_aside = free.saturating_sub(available);
        Some(Room { bytes: bytes(all.saturating_sub(set_aside)), available_bytes: Some(bytes(available)) })
    }

    /// So many hundredths are in use.
    #[must_use]
    pub fn used_percent(&self) -> Option<u64> {
        let used = self.bytes.saturating_sub(self.available_bytes?);
        Some((u128::from(used) * 100).checked_div(u128::from(self.bytes))? as u64)
    }
}
