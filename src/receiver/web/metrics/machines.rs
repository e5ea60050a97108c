//! Metrics of the agents' machines.

use super::{Kind, Text};
use crate::host::{HostStatus, Room};
use crate::receiver::wall::Wall;

/// Reads one value; `None` if the machine does not report it.
type ReadValue = fn(&HostStatus) -> Option<f64>;

/// Metrics with at most one value per agent: name, help and value.
const METRICS: [(&str, &str, ReadValue); 11] = [
    ("temperature_celsius", "CPU temperature.", |machine| machine.temperature_c),
    ("undervoltage", "Whether the power supply reports undervoltage.", |machine| flag(machine.undervoltage)),
    ("undervoltage_since_boot", "Whether undervoltage occurred since the machine booted.", |machine| {
        flag(machine.undervoltage_since_boot)
    }),
    ("throttled", "Whether the CPU is throttled.", |machine| flag(machine.throttled)),
    ("throttled_since_boot", "Whether the CPU was throttled since the machine booted.", |machine| {
        flag(machine.throttled_since_boot)
    }),
    ("memory_bytes", "Total memory.", |machine| bytes(machine.memory)),
    ("memory_available_bytes", "Available memory.", |machine| available(machine.memory)),
    ("disk_bytes", "Size of the disk with the spool.", |machine| bytes(machine.disk)),
    ("disk_available_bytes", "Free space on the disk with the spool.", |machine| available(machine.disk)),
    ("clock_synchronised", "Whether the clock is synchronised.", |machine| flag(Some(machine.synchronised))),
    ("uptime_seconds", "Time since the machine booted.", |machine| Some(machine.uptime_s as f64)),
];

fn flag(value: Option<bool>) -> Option<f64> {
    value.map(f64::from)
}

fn bytes(room: Option<Room>) -> Option<f64> {
    Some(room?.bytes as f64)
}

fn available(room: Option<Room>) -> Option<f64> {
    Some(room?.available_bytes? as f64)
}

pub(super) fn write(wall: &Wall, text: &mut Text) {
    let machines: Vec<_> = wall
        .agents
        .iter()
        .filter_map(|(name, agent)| Some((&**name, agent.status.as_ref()?.0.machine.as_ref()?)))
        .collect();
    for (name, help, read) in METRICS {
        let samples = machines.iter().filter_map(|(agent, machine)| Some(([("agent", *agent)], read(machine)?)));
        text.family(&format!("agent_machine_{name}"), Kind::Gauge, help, samples);
    }
    let signals = machines.iter().filter_map(|(agent, machine)| {
        let wifi = machine.wifi.as_ref()?;
        Some(([("agent", *agent), ("interface", &*wifi.interface)], wifi.signal_dbm))
    });
    let help = "Wi-Fi signal strength.";
    text.family("agent_machine_wifi_signal_dbm", Kind::Gauge, help, signals);
    let boots = machines
        .iter()
        .filter_map(|(agent, machine)| Some(([("agent", *agent), ("boot_id", &**machine.boot_id.as_ref()?)], 1.0)));
    text.family(
        "agent_machine_info",
        Kind::Gauge,
        "Always 1; the label boot_id changes when the machine boots.",
        boots,
    );
}
