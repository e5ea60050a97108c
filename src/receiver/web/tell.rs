//! What a viewer is told of the wall, as JSON: all but the pictures.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use super::access::Role;
use super::answer::json_of;
use super::{Site, readings};
use crate::name::Name;
use crate::receiver::commands::Commands;
use crate::receiver::port::{Port, refusals};
use crate::receiver::recorder::Library;
use crate::receiver::wall::{Agent, Camera};
use crate::wire::PartStatus;

pub(super) fn routes() -> Router<Site> {
    let tell = async |State(site): State<Site>, role: Role| json_of(&wall(&site, role));
    Router::new().route("/api/wall", get(tell))
}

/// What the wall shows to whoever has this role.
pub(super) fn wall(site: &Site, role: Role) -> Value {
    let wall = site.wall.borrow();
    let agents: Vec<_> = wall.agents.iter().map(|(name, agent)| tell_agent(name, agent, &site.commands)).collect();
    let recorder = site.library.as_deref().map(Library::state).unwrap_or_default();
    json!({
        "type": "wall", "role": role, "login": site.access.asks(), "agents": agents,
        "history": readings::tell(&site.history), "recorder": { "on": recorder.on, "cause": recorder.cause },
    })
}

fn tell_agent(name: &Name, agent: &Agent, commands: &Commands) -> Value {
    let for_ms = |part: &PartStatus| {
        let since_told = agent.status.as_ref().map(|(_, came)| came.elapsed().as_millis() as u64);
        part.for_ms.saturating_add(since_told.unwrap_or(0))
    };
    let status = agent.status.as_ref().map(|(status, _)| status);
    let told = |name: &Name| status.and_then(|status| status.cameras.iter().find(|part| part.name == *name));
    // Those of the status in its order, then those that only frames are known of.
    let names = status.iter().flat_map(|status| status.cameras.iter().map(|part| &part.name));
    let others = agent.cameras.keys().filter(|name| told(name).is_none());
    let cameras: Vec<_> = names
        .chain(others)
        .map(|name| {
            let part = told(name);
            let camera = agent.cameras.get(name);
            let header = camera.map(|camera| &camera.shown.header);
            json!({
                "name": name, "up": part.is_none_or(|part| part.up), "for_ms": part.map(for_ms),
                "source": part.map_or("", |part| &part.source), "cause": part.map_or("", |part| &part.cause),
                "fps": camera.map(Camera::fps), "settings": part.and_then(|part| part.settings),
                "width": header.map(|header| header.width), "height": header.map(|header| header.height),
            })
        })
        .collect();
    let ports: Vec<_> = status
        .iter()
        .flat_map(|status| &status.ports)
        .map(|part| tell_port(part, for_ms(part), agent.ports.get(&part.name)))
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
        status.iter().flat_map(|status| &status.links).map(|part| tell_part(part, for_ms(part))).collect();
    let spool = status.and_then(|status| status.spool.as_ref()).map(|part| tell_part(part, for_ms(part)));
    json!({
        "name": name, "boot": agent.boot, "heard_ms": agent.heard.elapsed().as_millis() as u64,
        "control": commands.reaches(name), "cameras": cameras, "ports": ports, "links": links, "spool": spool,
        "machine": status.and_then(|status| status.machine.as_ref()), "readings": readings,
    })
}

fn tell_part(part: &PartStatus, for_ms: u64) -> Value {
    json!({
        "name": part.name, "source": part.source, "up": part.up, "cause": part.cause, "for_ms": for_ms,
        "counts": part.counts,
    })
}

fn tell_port(part: &PartStatus, for_ms: u64, known: Option<&Port>) -> Value {
    json!({
        "name": part.name, "source": part.source, "up": part.up, "cause": part.cause, "for_ms": for_ms,
        "lines_per_s": known.and_then(Port::lines_per_s),
        "refused": refusals(part).collect::<BTreeMap<_, _>>(),
        "refused_ago_ms": known.and_then(Port::refused_ago).map(|ago| ago.as_millis() as u64),
    })
}
