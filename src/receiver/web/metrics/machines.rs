//! What agents say of the machines that they run on.

use super::{Kind, Text};
use crate::host::{HostStatus, Room};
use crate::receiver::wall::Wall;

/// What a sample is taken from; none where the machine does not say so.
type Figure = fn(&HostStatus) -> Option<f64>;

/// What has a number for each agent, or none.
const FIGURES: [(&str, &str, Figure); 11] = [
    ("temperature_celsius", "The processor's temperature.", |machine| machine.temperature_c),
    ("undervoltage", "Whether the power supply gives too little.", |machine| truth(machine.undervoltage)),
    ("undervoltage_since_boot", "Whether it ever did since the machine was started.", |machine| {
        truth(machine.undervoltage_since_boot)
    }),
    ("throttled", "Whether the processor is slower than it could be.", |machine| truth(machine.throttled)),
    ("throttled_since_boot", "Whether it ever was since the machine was started.", |machine| {
        truth(machine.throttled_since_boot)
    }),
    ("memory_bytes", "Memory.", |machine| bytes(machine.memory)),
    ("memory_available_bytes", "Memory that can be had.", |machine| available(machine.memory)),
    ("disk_bytes", "The disk that the spool is on.", |machine| bytes(machine.disk)),
    ("disk_available_bytes", "What is free on the disk that the spool is on.", |machine| available(machine.disk)),
    ("clock_synchronised", "Whether another clock sets the machine's.", |machine| truth(Some(machine.synchronised))),
    ("uptime_seconds", "How long ago the machine was started.", |machine| Some(machine.uptime_s as f64)),
];

fn truth(truth: Option<bool>) -> Option<f64> {
    truth.map(f64::from)
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
    for (name, help, figure) in FIGURES {
        let samples = machines.iter().filter_map(|(agent, machine)| Some(([("agent", *agent)], figure(machine)?)));
        text.family(&format!("agent_machine_{name}"), Kind::Gauge, help, samples);
    }
    let signals = machines.iter().filter_map(|(agent, machine)| {
        let wifi = machine.wifi.as_ref()?;
        Some(([("agent", *agent), ("interface", &*wifi.interface)], wifi.signal_dbm))
    });
    let help = "How strongly the machine receives its access point.";
    text.family("agent_machine_wifi_signal_dbm", Kind::Gauge, help, signals);
    let boots = machines
        .iter()
        .filter_map(|(agent, machine)| Some(([("agent", *agent), ("boot_id", &**machine.boot_id.as_ref()?)], 1.0)));
    text.family("agent_machine_info", Kind::Gauge, "The machine's boot.", boots);
}
