//! The machine itself: power, heat and clock.

use std::path::Path;

use super::Findings;
use crate::host::{HOT_C, HostStatus, Roots};

/// The programs that set a clock by others, as Debian has them.
const TIME_SERVICES: [&str; 5] = [
    "/usr/lib/systemd/systemd-timesyncd",
    "/lib/systemd/systemd-timesyncd",
    "/usr/sbin/chronyd",
    "/usr/sbin/ntpd",
    "/usr/sbin/ntpsec",
];

const POWER: &str = "use the power supply of the Pi's maker and a short cable; a USB hub with a supply of its own for what is \
                     plugged in";

pub(super) fn examine(roots: &Roots, findings: &mut Findings<'_>) {
    let machine = HostStatus::read(roots);
    power(&machine, roots, findings);
    heat(&machine, findings);
    clock(&machine, findings);
}

fn power(machine: &HostStatus, roots: &Roots, findings: &mut Findings<'_>) {
    match (machine.undervoltage, machine.undervoltage_since_boot) {
        (Some(true), _) => findings.warning("the power supply is too weak", POWER),
        (_, Some(true)) => {
            findings.warning("the power supply was too weak at some time since the machine was started", POWER);
        }
        (Some(false), _) => findings.ok("the power supply is strong enough"),
        (None, _) => {}
    }
    if machine.throttled_since_boot.is_none() && roots.dev.join("vcio").exists() {
        let remedy = "sudo usermod -aG video $USER, and log in again";
        findings.warning("the Pi's firmware says nothing about power and throttling to this user", remedy);
    }
}

fn heat(machine: &HostStatus, findings: &mut Findings<'_>) {
    let air = "give it air, a heat sink or a fan";
    match machine.temperature_c {
        Some(degrees) if degrees >= HOT_C => {
            findings.warning(&format!("the processor has {degrees:.0} °C and is slowed down"), air);
        }
        Some(degrees) => findings.ok(&format!("the processor has {degrees:.0} °C")),
        None => {}
    }
    match (machine.throttled, machine.throttled_since_boot) {
        (Some(true), _) => findings.warning("the processor is throttled, for want of power or for its heat", air),
        (_, Some(true)) => {
            let what = "the processor was throttled at some time since the machine was started";
            findings.warning(what, air);
        }
        _ => {}
    }
}

fn clock(machine: &HostStatus, findings: &mut Findings<'_>) {
    if machine.synchronised {
        return findings.ok("the clock is synchronised");
    }
    let remedy = if TIME_SERVICES.iter().any(|service| Path::new(service).exists()) {
        "`timedatectl` says whether its service runs, and which server it asks"
    } else {
        "no time service is installed: sudo apt install systemd-timesyncd"
    };
    findings.warning("the clock is not synchronised, so that dates may be wrong", remedy);
}
