//! The wall as JSON, without the pictures.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use super::auth::Role;
use super::error::json_response;
use super::{Site, notices_json, readings};
use crate::name::Name;
use crate::receiver::commands::Commands;
use crate::receiver::port::{Port, refusals};
use crate::receiver::recorder::Library;
use crate::receiver::wall::{Agent, Camera};
use crate::wire::PartStatus;

/// The cause of a camera without a picture whose agent uses too much memory here.
const NO_MEMORY: &str = "no frame: memory limit of the receiver";

pub(super) fn routes() -> Router<Site> {
    let wall_json = async |State(site): State<Site>, role: Role| json_response(&wall(&site, role));
    Router::new().route("/api/wall", get(wall_json))
}

/// The wall as a viewer with this role sees it.
pub(super) fn wall(site: &Site, role: Role) -> Value {
    let wall = site.wall.borrow();
    let agents: Vec<_> = wall.agents.iter().map(|(name, agent)| agent_json(name, agent, &site.commands)).collect();
    let recorder = site.library.as_deref().map(Library::state).unwrap_or_default();
    json!({
        "type": "wall", "role": role, "login": site.access.requires_token(), "agents": agents,
        "history": readings::history_json(&site.history), "recorder": { "on": recorder.on, "cause": recorder.cause },
        "refused": notices_json::refused(site), "quotas": notices_json::quotas(site),
    })
}

fn agent_json(name: &Name, agent: &Agent, commands: &Commands) -> Value {
    let for_ms = |part: &PartStatus| {
        let status_age_ms = agent.status.as_ref().map(|(_, received)| received.elapsed().as_millis() as u64);
        part.for_ms.saturating_add(status_age_ms.unwrap_or(0))
    };
    let status = agent.status.as_ref().map(|(status, _)| status);
    let reported = |name: &Name| status.and_then(|status| status.cameras.iter().find(|part| part.name == *name));
    // Cameras in the order of the status, then those known only from frames.
    let names = status.iter().flat_map(|status| status.cameras.iter().map(|part| &part.name));
    let others = agent.cameras.keys().filter(|name| reported(name).is_none());
    let cameras: Vec<_> = names
        .chain(others)
        .map(|name| {
            let part = reported(name);
            let camera = agent.cameras.get(name);
            let header = camera.and_then(|camera| Some(&camera.newest.as_ref()?.header));
            let removed = camera.filter(|camera| camera.newest.is_none() && part.is_none_or(|part| part.up));
            let removed_ms = removed.map(|camera| camera.changed.elapsed().as_millis() as u64);
            json!({
                "name": name, "up": removed.is_none() && part.is_none_or(|part| part.up),
                "for_ms": removed_ms.or_else(|| part.map(for_ms)), "source": part.map_or("", |part| &part.source),
                "cause": removed.map_or_else(|| part.map_or("", |part| &part.cause), |_| NO_MEMORY),
                "fps": camera.map(Camera::fps), "settings": part.and_then(|part| part.settings),
                "width": header.map(|header| header.width), "height": header.map(|header| header.height),
            })
        })
        .collect();
    let ports: Vec<_> = status
        .iter()
        .flat_map(|status| &status.ports)
        .map(|part| port_json(part, for_ms(part), agent.ports.get(&part.name)))
        .collect();
    let readings: Vec<_> = agent
        .readings
        .values()
        .map(|current| {
            let reading = &current.reading;
            json!({
                "port": reading.port, "quantity": reading.quantity, "value": reading.value, "unit": reading.unit,
                "age_ms": current.age().as_millis() as u64, "stale_after_ms": reading.stale_after_ms,
            })
        })
        .collect();
    let links: Vec<_> =
        status.iter().flat_map(|status| &status.links).map(|part| part_json(part, for_ms(part))).collect();
    let spool = status.and_then(|status| status.spool.as_ref()).map(|part| part_json(part, for_ms(part)));
    json!({
        "name": name, "heard_ms": agent.last_heard.elapsed().as_millis() as u64,
        "away_since_us": agent.away_since_us(), "control": commands.reaches(name), "cameras": cameras, "ports": ports,
        "links": links, "spool": spool,
        "machine": status.and_then(|status| status.machine.as_ref()), "readings": readings,
    })
}

fn part_json(part: &PartStatus, for_ms: u64) -> Value {
    json!({
        "name": part.name, "source": part.source, "up": part.up, "cause": part.cause, "for_ms": for_ms,
        "counts": part.counts,
    })
}

fn port_json(part: &PartStatus, for_ms: u64, known: Option<&Port>) -> Value {
    json!({
        "name": part.name, "source": part.source, "up": part.up, "cause": part.cause, "for_ms": for_ms,
        "lines_per_s": known.and_then(Port::lines_per_s),
        "refused": refusals(part).collect::<BTreeMap<_, _>>(),
        "refused_ago_ms": known.and_then(Port::refused_ago).map(|ago| ago.as_millis() as u64),
    })
}
