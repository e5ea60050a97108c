//! The state of the machine: power, heat, memory, disk, Wi-Fi and clock. Uses only files below given roots, three
//! system calls and the Raspberry Pi's firmware. Missing values are left out, so that it works on any Linux.
//!
//! `sensors.rs` reads files, `firmware.rs` talks to the firmware.

mod firmware;
mod sensors;

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::sys::sysinfo::sysinfo;
use serde::{Deserialize, Serialize};

use crate::clock::WallClock;
use crate::name::Name;

/// The directories of kernel and device files.
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
    /// The directories of this machine.
    fn default() -> Roots {
        Roots { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// The current state, as far as the machine reports it. Serialised as in status messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostStatus {
    /// Temperature of the processor, in °C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// Whether the supply voltage is below about 4.63 V, now or in the last two seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undervoltage: Option<bool>,
    /// Whether there was undervoltage since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undervoltage_since_boot: Option<bool>,
    /// Whether the processor is slowed down because of low power or heat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<bool>,
    /// Whether the processor was slowed down since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_since_boot: Option<bool>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Room>,
    /// The disk with the spool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Room>,
    /// The first Wi-Fi network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wifi: Option<Wifi>,
    /// Whether the wall clock is synchronised.
    pub synchronised: bool,
    /// Seconds since boot.
    pub uptime_s: u64,
    /// A new identifier for each boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<Name>,
}

/// The size of a memory or disk, and how much of it is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// The size; for a disk, without the space reserved for the administrator.
    pub bytes: u64,
    /// The available part; for memory, including what the system can free at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
}

/// A Wi-Fi network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wifi {
    /// The name of the interface.
    pub interface: Name,
    /// Signal strength in dBm: -50 is good, -80 is barely enough.
    pub signal_dbm: f64,
}

/// The temperature at which a Raspberry Pi slows down (the firmware's `temp_soft_limit` is 60, `temp_limit` is 85).
pub const HOT_C: f64 = 80.0;

/// Percentage above which a disk is nearly full. The page has both numbers, too: page/machine.js.
pub const NEARLY_FULL: u64 = 95;

impl HostStatus {
    /// Reads everything except the disk, which may hang. The firmware takes milliseconds.
    #[must_use]
    pub fn read(roots: &Roots) -> HostStatus {
        let throttled = firmware::throttled(&roots.dev);
        let has = |bits: u32| throttled.map(|throttled| throttled & bits != 0);
        HostStatus {
            temperature_c: sensors::temperature(&roots.sys),
            undervoltage: either(sensors::undervoltage(&roots.sys), has(firmware::UNDERVOLTAGE)),
            undervoltage_since_boot: has(firmware::UNDERVOLTAGE << firmware::SINCE_BOOT_SHIFT),
            throttled: has(firmware::THROTTLED),
            throttled_since_boot: has(firmware::THROTTLED << firmware::SINCE_BOOT_SHIFT),
            memory: sensors::memory(&roots.proc).or_else(memory),
            disk: None,
            wifi: sensors::wifi(&roots.proc),
            synchronised: WallClock::default().is_synchronised(),
            uptime_s: sysinfo().map_or(0, |info| info.uptime().as_secs()),
            boot_id: sensors::boot_id(&roots.proc),
        }
    }
}

/// Whether either value is true; `None` if both are missing.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    (one.is_some() || other.is_some()).then_some(one == Some(true) || other == Some(true))
}

/// The total memory; the system call does not report the available part.
fn memory() -> Option<Room> {
    Some(Room { bytes: sysinfo().ok()?.ram_total(), available_bytes: None })
}

impl Room {
    /// The disk that holds a path, even if its directories do not exist yet. Blocks while the disk hangs.
    #[must_use]
    pub fn of_disk(path: &Path) -> Option<Room> {
        let existing = path.ancestors().find(|path| path.exists())?;
        let disk = statvfs(existing).ok()?;
        // These types differ between platforms.
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

    /// The used part, in percent.
    #[must_use]
    pub fn used_percent(&self) -> Option<u64> {
        let used = self.bytes.saturating_sub(self.available_bytes?);
        Some((u128::from(used) * 100).checked_div(u128::from(self.bytes))? as u64)
    }
}
