//! The machine's power, temperature and clock.

use std::path::Path;

use super::Findings;
use crate::host::{HOT_C, HostStatus, Roots};

/// Programs that synchronise the clock, in Debian's paths.
const TIME_SERVICES: [&str; 5] = [
    "/usr/lib/systemd/systemd-timesyncd",
    "/lib/systemd/systemd-timesyncd",
    "/usr/sbin/chronyd",
    "/usr/sbin/ntpd",
    "/usr/sbin/ntpsec",
];

const POWER_REMEDY: &str = "use the Pi maker's power supply and a short cable; put USB devices on a powered hub";

pub(super) fn examine(roots: &Roots, findings: &mut Findings<'_>) {
    let machine = HostStatus::read(roots);
    power(&machine, roots, findings);
    heat(&machine, findings);
    clock(&machine, findings);
}

fn power(machine: &HostStatus, roots: &Roots, findings: &mut Findings<'_>) {
    match (machine.undervoltage, machine.undervoltage_since_boot) {
        (Some(true), _) => findings.warning("the power supply is too weak", POWER_REMEDY),
        (_, Some(true)) => {
            findings.warning("the power supply has been too weak since the machine started", POWER_REMEDY);
        }
        (Some(false), _) => findings.ok("the power supply is strong enough"),
        (None, _) => {}
    }
    if machine.throttled_since_boot.is_none() && roots.dev.join("vcio").exists() {
        let remedy = "sudo usermod -aG video $USER, then log in again";
        findings.warning("this user may not read power and throttling from the Pi's firmware", remedy);
    }
}

fn heat(machine: &HostStatus, findings: &mut Findings<'_>) {
    let cooling = "improve the airflow, or add a heat sink or a fan";
    match machine.temperature_c {
        Some(degrees) if degrees >= HOT_C => {
            findings.warning(&format!("the CPU is at {degrees:.0} °C, where it is throttled"), cooling);
        }
        Some(degrees) => findings.ok(&format!("the CPU is at {degrees:.0} °C")),
        None => {}
    }
    match (machine.throttled, machine.throttled_since_boot) {
        (Some(true), _) => findings.warning("the CPU is throttled, because of undervoltage or heat", cooling),
        (_, Some(true)) => {
            findings.warning("the CPU has been throttled since the machine started", cooling);
        }
        _ => {}
    }
}

fn clock(machine: &HostStatus, findings: &mut Findings<'_>) {
    if machine.synchronised {
        return findings.ok("the clock is synchronised");
    }
    let remedy = if TIME_SERVICES.iter().any(|service| Path::new(service).exists()) {
        "run `timedatectl`: it shows whether the time service runs, and its server"
    } else {
        "no time service is installed: sudo apt install systemd-timesyncd"
    };
    findings.warning("the clock is not synchronised, so dates may be wrong", remedy);
}
