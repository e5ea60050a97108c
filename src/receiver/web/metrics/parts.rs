//! Metrics of an agent's parts (cameras, ports, links and spool), from the counters in its status.

use super::{Kind, Text};
use crate::name::Name;
use crate::receiver::wall::Wall;
use crate::wire::{PartStatus, Status};

/// The metrics of one kind of part.
struct PartMetrics {
    /// Part of each metric's name, and the label with the part's name.
    kind: &'static str,
    /// The part, for the help text.
    title: &'static str,
    parts: fn(&Status) -> &[PartStatus],
    /// Counters with a metric of their own: identifier, and what it counts.
    counters: &'static [(&'static str, &'static str)],
    /// The metric of all other counters, which has their identifiers as causes: name, and what it counts.
    causes: (&'static str, &'static str),
}

const PARTS: [PartMetrics; 4] = [
    PartMetrics {
        kind: "port",
        title: "Serial port",
        parts: |status| &status.ports,
        counters: &[
            ("bytes", "Bytes read."),
            ("lines", "Lines that gave at least one reading."),
            ("opened", "Times the port was opened."),
        ],
        causes: ("refused", "Lines and values that were refused, by cause."),
    },
    PartMetrics {
        kind: "camera",
        title: "Camera",
        parts: |status| &status.cameras,
        counters: &[("frames", "Frames captured."), ("opened", "Times the camera was opened.")],
        causes: ("discarded_frames", "Frames that were discarded, by cause."),
    },
    PartMetrics {
        kind: "link",
        title: "Link",
        parts: |status| &status.links,
        counters: &[
            ("frames_sent", "Frames sent."),
            ("placeholders_sent", "Placeholders sent instead of frames."),
            ("readings_sent", "Live readings sent."),
            ("backlog_readings_sent", "Readings from the spool sent."),
            ("readings_lost", "Readings lost because the link has no spool."),
            ("readings_refused", "Readings that the receiver refused, including repeated ones."),
        ],
        causes: ("faults", "Messages and connections that were refused or skipped, by cause."),
    },
    PartMetrics {
        kind: "spool",
        title: "Spool",
        parts: |status| status.spool.as_slice(),
        counters: &[
            ("readings_written", "Readings written to the disk."),
            ("readings_acknowledged", "Readings that every receiver has acknowledged."),
            ("readings_expired", "Readings lost because of their age."),
            ("readings_lost_no_room", "Readings lost to make room for newer ones."),
            ("readings_lost_overload", "Readings lost because they arrived too fast."),
        ],
        causes: ("faults", "Damaged files and overload, by cause."),
    },
];

/// Counters of the spool that can also decrease.
const SPOOL_GAUGES: [(&str, &str); 2] =
    [("readings_in_memory", "Readings waiting in memory."), ("readings_on_disk", "Readings waiting on the disk.")];

pub(super) fn write(wall: &Wall, text: &mut Text) {
    for metrics in PARTS {
        metrics.write(wall, text);
    }
    let spools = || statuses(wall).filter_map(|(agent, status)| Some((&**agent, status.spool.as_ref()?)));
    for (gauge, help) in SPOOL_GAUGES {
        let samples =
            spools().filter_map(|(agent, spool)| Some(([("agent", agent)], *spool.counts.get(gauge)? as f64)));
        text.family(&format!("agent_spool_{gauge}"), Kind::Gauge, help, samples);
    }
}

impl PartMetrics {
    fn write(&self, wall: &Wall, text: &mut Text) {
        let PartMetrics { kind, title, parts, counters, causes: (rest, rest_help) } = self;
        let all: Vec<_> =
            statuses(wall).flat_map(|(agent, status)| parts(status).iter().map(move |part| (&**agent, part))).collect();
        let up = all.iter().map(|(agent, part)| ([("agent", *agent), (*kind, &*part.name)], f64::from(part.up)));
        text.family(
            &format!("agent_{kind}_up"),
            Kind::Gauge,
            &format!("{title}: whether the agent reports it up."),
            up,
        );
        for (counter, help) in *counters {
            let samples = all.iter().filter_map(|(agent, part)| {
                Some(([("agent", *agent), (*kind, &*part.name)], *part.counts.get(*counter)? as f64))
            });
            text.family(&format!("agent_{kind}_{counter}_total"), Kind::Counter, &format!("{title}: {help}"), samples);
        }
        let samples = all.iter().flat_map(|(agent, part)| {
            let others = part.counts.iter().filter(|(cause, _)| !self.is_named(cause));
            others.map(move |(cause, count)| {
                ([("agent", *agent), (*kind, &*part.name), ("cause", &**cause)], *count as f64)
            })
        });
        text.family(&format!("agent_{kind}_{rest}_total"), Kind::Counter, &format!("{title}: {rest_help}"), samples);
    }

    /// Whether the counter has a metric of its own.
    fn is_named(&self, counter: &str) -> bool {
        self.counters.iter().chain(&SPOOL_GAUGES).any(|(named, _)| *named == counter)
    }
}

fn statuses(wall: &Wall) -> impl Iterator<Item = (&Name, &Status)> {
    wall.agents.iter().filter_map(|(name, agent)| Some((name, &agent.status.as_ref()?.0)))
}
