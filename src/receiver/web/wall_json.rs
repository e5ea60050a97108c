//! The state of the receiver and of an agent as JSON, without the pictures.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::aged_json::{Age, AgedJson, to_json};
use super::{Site, notices_json, readings};
use crate::name::Name;
use crate::receiver::commands::Commands;
use crate::receiver::port::{Port, refusals};
use crate::receiver::recorder::Library;
use crate::receiver::wall::{Agent, Camera, Current};
use crate::wire::PartStatus;

/// The cause of a camera without a picture whose agent uses too much memory here.
const NO_MEMORY: &str = "no frame: memory limit of the receiver";

/// The members of the wall that are about the receiver itself.
pub(super) fn receiver(site: &Site) -> AgedJson {
    let recorder = site.library.as_deref().map(Library::state).unwrap_or_default();
    let mut json = AgedJson::default();
    json.member("login", &site.access.requires_token());
    json.member("history", &readings::history_json(&site.history));
    json.member("recorder", &json!({ "on": recorder.on, "cause": recorder.cause }));
    json.list("refused", notices_json::refused(&site.refused));
    json.member("quotas", &notices_json::quotas(&site.quotas));
    json
}

/// The members of an agent, except its name and readings.
pub(super) fn agent(name: &Name, agent: &Agent, commands: &Commands) -> AgedJson {
    let status = agent.status.as_ref().map(|(status, _)| status);
    let since = |part: &PartStatus| {
        let received = agent.status.as_ref().map(|(_, received)| *received);
        received.map(|since| Age { base_ms: part.for_ms, since })
    };
    let reported = |name: &Name| status.and_then(|status| status.cameras.iter().find(|part| part.name == *name));
    // Cameras in the order of the status, then those known only from frames.
    let names = status.iter().flat_map(|status| status.cameras.iter().map(|part| &part.name));
    let others = agent.cameras.keys().filter(|name| reported(name).is_none());
    let cameras = names.chain(others).map(|name| {
        let part = reported(name);
        camera(name, part, agent.cameras.get(name), part.and_then(since))
    });
    let ports = status.iter().flat_map(|status| &status.ports);
    let links = status.iter().flat_map(|status| &status.links);
    let mut json = AgedJson::default();
    json.age("heard_ms", Some(Age::of(agent.last_heard)));
    json.member("away_since_us", &agent.away_since_us());
    json.member("control", &commands.reaches(name));
    json.list("cameras", cameras);
    json.list("ports", ports.map(|part| port(part, agent.ports.get(&part.name), since(part))));
    json.list("links", links.map(|part| counted(part, since(part))));
    json.object("spool", status.and_then(|status| status.spool.as_ref()).map(|part| counted(part, since(part))));
    json.member("machine", &status.and_then(|status| status.machine.as_ref()));
    json
}

fn camera(name: &Name, part: Option<&PartStatus>, camera: Option<&Camera>, since: Option<Age>) -> AgedJson {
    let header = camera.and_then(|camera| Some(&camera.newest.as_ref()?.header));
    let removed = camera.filter(|camera| camera.newest.is_none() && part.is_none_or(|part| part.up));
    let mut json = AgedJson::default();
    json.member("name", name);
    json.member("up", &(removed.is_none() && part.is_none_or(|part| part.up)));
    json.age("for_ms", removed.map(|camera| Age::of(camera.changed)).or(since));
    json.member("source", &part.map_or("", |part| &part.source));
    json.member("cause", &removed.map_or_else(|| part.map_or("", |part| &part.cause), |_| NO_MEMORY));
    json.member("fps", &camera.map(Camera::fps));
    json.member("settings", &part.and_then(|part| part.settings));
    json.member("width", &header.map(|header| header.width));
    json.member("height", &header.map(|header| header.height));
    json
}

/// A port, link or spool.
fn part(part: &PartStatus, since: Option<Age>) -> AgedJson {
    let mut json = AgedJson::default();
    json.member("name", &part.name);
    json.member("source", &part.source);
    json.member("up", &part.up);
    json.member("cause", &part.cause);
    json.age("for_ms", since);
    json
}

fn counted(status: &PartStatus, since: Option<Age>) -> AgedJson {
    let mut json = part(status, since);
    json.member("counts", &status.counts);
    json
}

fn port(status: &PartStatus, known: Option<&Port>, since: Option<Age>) -> AgedJson {
    let mut json = part(status, since);
    json.member("lines_per_s", &known.and_then(Port::lines_per_s));
    json.member("refused", &refusals(status).collect::<BTreeMap<_, _>>());
    json.age("refused_ago_ms", known.and_then(Port::refused_at).map(Age::of));
    json
}

/// A reading without its age, which must follow as the last member: `"age_ms":N}`.
pub(super) fn reading(current: &Current) -> String {
    #[derive(Serialize)]
    struct Members<'a> {
        port: &'a str,
        quantity: &'a str,
        value: f64,
        unit: &'a str,
        stale_after_ms: u64,
    }
    let reading = &current.reading;
    let mut json = to_json(&Members {
        port: &reading.port,
        quantity: &reading.quantity,
        value: reading.value,
        unit: &reading.unit,
        stale_after_ms: reading.stale_after_ms,
    });
    json.pop();
    json.push_str(",\"age_ms\":");
    json
}
