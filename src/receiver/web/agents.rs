//! The agents that the receiver knows, and how to forget or merge one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;
use tracing::info;

use super::Site;
use super::error::{HttpError, json_response};
use crate::clock::Stamp;
use crate::name::{Name, StoredName};
use crate::receiver::history::Job;
use crate::receiver::recorder::{ChangeError, FileChange, Library};

/// One agent is changed at a time.
static CHANGES: Semaphore = Semaphore::const_new(1);

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/agents", get(list))
        .route("/api/agents/{agent}", delete(forget))
        .route("/api/agents/{agent}/merge", post(merge))
}

/// What the receiver knows about an agent.
#[derive(Default, Serialize)]
struct KnownAgent {
    state: Presence,
    /// When it was last heard, in microseconds since 1970; `None` if it is forgotten.
    last_heard_us: Option<i64>,
    /// Whether the history has series of it.
    series: bool,
    /// Whether there are recordings of its cameras.
    recordings: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Presence {
    Connected,
    Away,
    /// Only its data is left.
    #[default]
    Forgotten,
}

type KnownAgents = BTreeMap<Name, KnownAgent>;

async fn list(State(site): State<Site>) -> Result<Response, HttpError> {
    let known = known_agents(&site).await?;
    let agents = known.iter().map(|(name, known)| {
        json!({
            "name": name, "state": known.state, "last_heard_us": known.last_heard_us, "series": known.series,
            "recordings": known.recordings,
        })
    });
    Ok(json_response(&json!({ "agents": agents.collect::<Vec<_>>() })))
}

async fn known_agents(site: &Site) -> Result<KnownAgents, HttpError> {
    let mut known = KnownAgents::new();
    let now_us = Stamp::now().unix_us();
    for (name, agent) in &site.wall.borrow().agents {
        let entry = known.entry(name.clone()).or_default();
        entry.state = if agent.is_connected() { Presence::Connected } else { Presence::Away };
        entry.last_heard_us = Some(agent.last_heard_us(now_us));
    }
    if let Ok(history) = &site.history {
        for StoredName(name) in history.agents().await?.into_iter().filter_map(|name| StoredName::try_from(name).ok()) {
            known.entry(name).or_default().series = true;
        }
    }
    for name in site.library.iter().flat_map(|library| library.agents()) {
        known.entry(name).or_default().recordings = true;
    }
    Ok(known)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgetParams {
    #[serde(default)]
    data: Data,
}

/// What becomes of a forgotten agent's readings and recordings.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Data {
    #[default]
    Keep,
    Delete,
}

async fn forget(
    State(site): State<Site>,
    Path(agent): Path<String>,
    params: Result<Query<ForgetParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(ForgetParams { data }) = params?;
    let _permit = permit()?;
    let known = known_agents(&site).await?;
    let agent = absent(&known, agent)?;
    if data == Data::Delete {
        change_data(&site, Job::RemoveAgent(StoredName(agent.clone())), &agent, FileChange::Delete).await?;
    }
    site.wall_editor.send_if_modified(|wall| wall.forget(&agent));
    let what = if data == Data::Delete { "its readings and recordings are deleted" } else { "its data stays" };
    info!("agent {agent}: forgotten on request; {what}");
    Ok(json_response(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MergeRequest {
    into: String,
}

async fn merge(State(site): State<Site>, Path(agent): Path<String>, body: Bytes) -> Result<Response, HttpError> {
    let MergeRequest { into } = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("invalid request ({error}); send JSON such as {{\"into\": \"NEW-NAME\"}}");
        HttpError(StatusCode::BAD_REQUEST, message)
    })?;
    let _permit = permit()?;
    let known = known_agents(&site).await?;
    let (from, into) = (absent(&known, agent)?, find(&known, into)?);
    // No agent can use a name of an earlier version any more.
    let into =
        Name::try_from(into.to_string()).map_err(|error| HttpError(StatusCode::BAD_REQUEST, error.to_string()))?;
    if from == into {
        return Err(HttpError(StatusCode::BAD_REQUEST, "an agent cannot be merged into itself".into()));
    }
    let job = Job::MergeAgents { from: StoredName(from.clone()), into: into.clone() };
    change_data(&site, job, &from, FileChange::MoveTo(into.clone())).await?;
    site.wall_editor.send_if_modified(|wall| wall.forget(&from));
    info!("agent {from}: merged into {into} on request");
    Ok(json_response(&json!({})))
}

/// Changes the readings and recordings of an agent. If this is interrupted, repeating the request completes it.
async fn change_data(site: &Site, job: Job, agent: &Name, change: FileChange) -> Result<(), HttpError> {
    if let Some(library) = &site.library {
        while !change_files(library, agent, &change).await? {
            if site.shutdown.is_cancelled() {
                let message = "the receiver is shutting down; repeat the request when it runs again";
                return Err(HttpError(StatusCode::SERVICE_UNAVAILABLE, message.into()));
            }
        }
    }
    if let Ok(history) = &site.history {
        history.request(job).await?;
    }
    Ok(())
}

/// Changes some files on a blocking thread; returns whether none are left.
async fn change_files(library: &Arc<Library>, agent: &Name, change: &FileChange) -> Result<bool, HttpError> {
    let (library, agent, change) = (Arc::clone(library), agent.clone(), change.clone());
    let changed = spawn_blocking(move || library.change_agent(&agent, &change)).await;
    let changed = changed.map_err(|error| HttpError(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    changed.map_err(|error| {
        let status = match error {
            ChangeError::Unfinished => StatusCode::CONFLICT,
            ChangeError::Failing(_) | ChangeError::Disk(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        HttpError(status, error.to_string())
    })
}

fn permit() -> Result<SemaphorePermit<'static>, HttpError> {
    let busy = "another agent is being forgotten or merged; try again in a moment";
    CHANGES.try_acquire().map_err(|_| HttpError(StatusCode::SERVICE_UNAVAILABLE, busy.into()))
}

fn find(known: &KnownAgents, name: String) -> Result<Name, HttpError> {
    let unknown = format!("no agent {name:?}; /api/agents lists them");
    let name = StoredName::try_from(name).ok().map(|StoredName(name)| name);
    name.filter(|name| known.contains_key(name)).ok_or(HttpError(StatusCode::NOT_FOUND, unknown))
}

/// The name, if the agent is known and not connected.
fn absent(known: &KnownAgents, name: String) -> Result<Name, HttpError> {
    let name = find(known, name)?;
    if known.get(&name).is_some_and(|known| known.state == Presence::Connected) {
        let message = format!("agent {name} is connected; stop it or change its `name`, and try again after 5 seconds");
        return Err(HttpError(StatusCode::CONFLICT, message));
    }
    Ok(name)
}
