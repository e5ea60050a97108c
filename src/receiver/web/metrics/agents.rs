//! Metrics of agents, their cameras' frames and their readings, as they arrive here.

use super::{Kind, Text};
use crate::receiver::live_frame::LiveFrame;
use crate::receiver::wall::{Agent, Camera, Wall};

pub(super) fn write(wall: &Wall, text: &mut Text) {
    agents(wall, text);
    cameras(wall, text);
    readings(wall, text);
}

fn agents(wall: &Wall, text: &mut Text) {
    let each = |of: fn(&Agent) -> f64| wall.agents.iter().map(move |(name, agent)| ([("agent", &**name)], of(agent)));
    let up = each(|agent| f64::from(agent.is_connected()));
    text.family("agent_up", Kind::Gauge, "Whether a message from the agent arrived within the last 5 seconds.", up);
    let heard = each(|agent| agent.silence().as_secs_f64());
    text.family("agent_last_message_age_seconds", Kind::Gauge, "Age of the newest message from the agent.", heard);
}

fn cameras(wall: &Wall, text: &mut Text) {
    let all: Vec<_> =
        wall.agents.iter().flat_map(|(agent, view)| view.cameras.iter().map(move |it| (agent, it))).collect();
    let each = |of: fn(&Camera) -> f64| {
        all.iter().map(move |(agent, (name, camera))| ([("agent", &***agent), ("camera", &***name)], of(camera)))
    };
    let frames = each(|camera| camera.number as f64);
    text.family("frames_total", Kind::Counter, "Frames received from the camera.", frames);
    let bytes = each(|camera| camera.bytes as f64);
    text.family("frame_bytes_total", Kind::Counter, "Bytes of frames received from the camera.", bytes);
    text.family(
        "frames_per_second",
        Kind::Gauge,
        "Frames received from the camera within the last second.",
        each(Camera::fps),
    );
    let shown = |of: fn(&LiveFrame) -> f64| {
        let shown = all.iter().filter_map(|(agent, (name, camera))| Some((agent, name, camera.newest.as_deref()?)));
        shown.map(move |(agent, name, frame)| ([("agent", &***agent), ("camera", &***name)], of(frame)))
    };
    let age = shown(|frame| frame.age().as_secs_f64());
    text.family("frame_age_seconds", Kind::Gauge, "Age of the newest frame of the camera, from its capture.", age);
    let size = shown(|frame| frame.jpeg.len() as f64);
    text.family("frame_size_bytes", Kind::Gauge, "Size of the newest frame of the camera.", size);
}

/// A stale reading has an age but no value.
fn readings(wall: &Wall, text: &mut Text) {
    let all =
        || wall.agents.iter().flat_map(|(agent, view)| view.readings.values().map(move |current| (agent, current)));
    let fresh = all().filter(|(_, current)| !current.is_stale()).map(|(agent, current)| {
        let reading = &current.reading;
        let labels =
            [("agent", &**agent), ("port", &*reading.port), ("quantity", &*reading.quantity), ("unit", &*reading.unit)];
        (labels, reading.value)
    });
    text.family("reading", Kind::Gauge, "Newest reading of the quantity; absent while it is stale.", fresh);
    let ages = all().map(|(agent, current)| {
        let reading = &current.reading;
        let labels = [("agent", &**agent), ("port", &*reading.port), ("quantity", &*reading.quantity)];
        (labels, current.age().as_secs_f64())
    });
    text.family(
        "reading_age_seconds",
        Kind::Gauge,
        "Age of the newest reading of the quantity, from its measurement.",
        ages,
    );
}
