//! What agents say of themselves, and what comes from them.

use std::time::Duration;

use super::{Kind, Text};
use crate::name::Name;
use crate::receiver::wall::{Agent, Camera, Wall};
use crate::wire::{PartStatus, Status};

/// An agent says how it is each second.
const SILENT: Duration = Duration::from_secs(5);

/// What a spool counts that goes down again.
const SPOOL_GAUGES: [&str; 2] = ["readings in memory", "readings on disk"];

pub(super) fn write(wall: &Wall, text: &mut Text) {
    agents(wall, text);
    cameras(wall, text);
    readings(wall, text);
    let ports = Parts { kind: "port", of: |status| &status.ports };
    ports.write(wall, "The agent's serial port", text);
    let links = Parts { kind: "link", of: |status| &status.links };
    links.write(wall, "The agent's link", text);
    let cameras = Parts { kind: "camera", of: |status| &status.cameras };
    cameras.write(wall, "The camera", text);
    spools(wall, text);
}

fn agents(wall: &Wall, text: &mut Text) {
    let each = |of: fn(&Agent) -> f64| wall.agents.iter().map(move |(name, agent)| ([("agent", &**name)], of(agent)));
    let up = each(|agent| f64::from(agent.heard.elapsed() < SILENT));
    text.family("agent_up", Kind::Gauge, "Whether the agent was heard in the last five seconds.", up);
    let heard = each(|agent| agent.heard.elapsed().as_secs_f64());
    text.family("agent_heard_seconds", Kind::Gauge, "How long ago the agent was heard.", heard);
}

fn cameras(wall: &Wall, text: &mut Text) {
    let all: Vec<_> =
        wall.agents.iter().flat_map(|(agent, view)| view.cameras.iter().map(move |it| (agent, it))).collect();
    let each = |of: fn(&Camera) -> f64| {
        all.iter().map(move |(agent, (name, camera))| ([("agent", &***agent), ("camera", &***name)], of(camera)))
    };
    let frames = each(|camera| camera.number as f64);
    text.family("frames_total", Kind::Counter, "Frames of the camera that came.", frames);
    let bytes = each(|camera| camera.bytes as f64);
    text.family("frames_bytes_total", Kind::Counter, "Bytes of the camera's frames that came.", bytes);
    text.family(
        "frames_per_second",
        Kind::Gauge,
        "Frames of the camera that came in the last second.",
        each(Camera::fps),
    );
    let age = each(|camera| camera.shown.age().as_secs_f64());
    text.family("frame_age_seconds", Kind::Gauge, "How long ago the camera's newest frame was captured.", age);
    let size = each(|camera| camera.shown.jpeg.len() as f64);
    text.family("frame_bytes", Kind::Gauge, "Bytes of the camera's newest frame.", size);
}

/// Those that are no longer current have an age and no value.
fn readings(wall: &Wall, text: &mut Text) {
    let all =
        || wall.agents.iter().flat_map(|(agent, view)| view.readings.values().map(move |current| (agent, current)));
    let fresh = all().filter(|(_, current)| !current.is_stale()).map(|(agent, current)| {
        let reading = &current.reading;
        let labels =
            [("agent", &**agent), ("port", &*reading.port), ("quantity", &*reading.quantity), ("unit", &*reading.unit)];
        (labels, reading.value)
    });
    text.family("reading", Kind::Gauge, "The newest reading of the quantity, while it is current.", fresh);
    let ages = all().map(|(agent, current)| {
        let reading = &current.reading;
        let labels = [("agent", &**agent), ("port", &*reading.port), ("quantity", &*reading.quantity)];
        (labels, current.age().as_secs_f64())
    });
    text.family("reading_age_seconds", Kind::Gauge, "How long ago the newest reading was measured.", ages);
}

/// One kind of an agent's parts.
struct Parts {
    kind: &'static str,
    of: fn(&Status) -> &[PartStatus],
}

impl Parts {
    fn write(&self, wall: &Wall, what: &str, text: &mut Text) {
        let all: Vec<_> =
            statuses(wall).flat_map(|(agent, status)| (self.of)(status).iter().map(move |it| (agent, it))).collect();
        let kind = self.kind;
        let up = all.iter().map(|(agent, part)| ([("agent", &***agent), (kind, &*part.name)], f64::from(part.up)));
        text.family(&format!("agent_{kind}_up"), Kind::Gauge, &format!("{what} does its work, as its agent says."), up);
        let counts = all.iter().flat_map(|(agent, part)| {
            part.counts.iter().map(move |(cause, count)| {
                ([("agent", &***agent), (kind, &*part.name), ("cause", &**cause)], *count as f64)
            })
        });
        let help = format!("{what}: what its agent counts, by cause.");
        text.family(&format!("agent_{kind}_count_total"), Kind::Counter, &help, counts);
    }
}

fn spools(wall: &Wall, text: &mut Text) {
    let spools: Vec<_> =
        statuses(wall).filter_map(|(agent, status)| Some((&**agent, status.spool.as_ref()?))).collect();
    let up = spools.iter().map(|(agent, spool)| ([("agent", *agent)], f64::from(spool.up)));
    text.family("agent_spool_up", Kind::Gauge, "Whether the agent's spool can be written.", up);
    let of = |is_gauge: bool| {
        spools.iter().flat_map(move |(agent, spool)| {
            let counts = spool.counts.iter().filter(move |(what, _)| SPOOL_GAUGES.contains(&&***what) == is_gauge);
            counts.map(move |(what, count)| ([("agent", *agent), ("what", &**what)], *count as f64))
        })
    };
    text.family("agent_spool_readings", Kind::Gauge, "What waits in the agent's spool.", of(true));
    text.family("agent_spool_count_total", Kind::Counter, "What the agent's spool counts.", of(false));
}

fn statuses(wall: &Wall) -> impl Iterator<Item = (&Name, &Status)> {
    wall.agents.iter().filter_map(|(name, agent)| Some((name, &agent.status.as_ref()?.0)))
}
