//! The state for viewers: as one answer, and as a WebSocket that keeps the page live.
//!
//! The browser sets the pace: it gets the newest frame of a camera, and the next only after it has acknowledged drawing
//! that one. A slow tab gets fewer frames, never older ones. Text messages have what changed in the state. They are short,
//! so that no frame waits behind a long one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Site;
use super::aged_json::to_json;
use super::auth::Role;
use super::error::HttpError;
use super::viewer_socket::ViewerSocket;
use super::wall_pieces::SentAgent;
use crate::name::Name;

/// Shortest and longest time between two updates of the state.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// A text of changes ends once it has this many bytes, or this many agents; another one follows.
const MAX_TEXT_BYTES: usize = 32 * 1024;
const MAX_TEXT_AGENTS: usize = 32;

/// Maximum size of a viewer's messages.
const MAX_MESSAGE_BYTES: usize = 4096;

pub(super) fn routes() -> Router<Site> {
    let wall = async |State(site): State<Site>, role: Role| {
        ([(CONTENT_TYPE, "application/json")], complete_wall(&site, role).await).into_response()
    };
    Router::new().route("/live", get(live)).route("/api/wall", get(wall))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveParams {
    /// Whether the viewer wants changes instead of the complete state.
    #[serde(default)]
    changes: bool,
}

async fn live(
    State(site): State<Site>,
    role: Role,
    params: Result<Query<LiveParams>, QueryRejection>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, HttpError> {
    let Query(LiveParams { changes }) = params?;
    let (viewers, shutdown) = (site.viewers.clone(), site.shutdown.clone());
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    Ok(upgrade.read_buffer_size(MAX_MESSAGE_BYTES).on_upgrade(move |socket| {
        viewers.track_future(async move {
            let mut viewer = Viewer::new(socket, site, role, changes);
            tokio::select! {
                () = shutdown.cancelled() => viewer.socket.close().await,
                // An error means that the viewer has left.
                _ = viewer.run() => {}
            }
        })
    }))
}

/// The wall as a viewer with this role sees it. Other tasks get their turn after each agent.
async fn complete_wall(site: &Site, role: Role) -> String {
    let mut text = format!("{{\"type\":\"wall\",\"role\":{}", to_json(&role));
    site.pieces.write_receiver(site, &mut 0, &mut text);
    text.push_str(",\"agents\":[");
    let names: Vec<_> = site.wall.borrow().agents.keys().cloned().collect();
    for name in names {
        if let Some(agent) = site.wall.borrow().agents.get(&name) {
            let sent = &mut SentAgent::default();
            site.pieces.write_agent((&name, agent), &site.commands, sent, usize::MAX, &mut text);
        }
        yield_now().await;
    }
    text.push_str("]}");
    text
}

struct Viewer {
    socket: ViewerSocket,
    site: Site,
    role: Role,
    /// Whether it gets changes, or always the complete state.
    changes: bool,
    /// The newest revisions that it has.
    receiver: u64,
    agents: BTreeMap<Name, SentAgent>,
    /// Agents that left the wall, which the viewer does not know yet.
    removed: Vec<Name>,
    /// Agents to look for changes in.
    queue: VecDeque<Name>,
    /// Agents with changes that did not fit into a text. The next update continues with them, after the others.
    unfinished: Vec<Name>,
    /// The wall's edition at the last update, and when that was.
    edition: u64,
    updated: Option<Instant>,
    /// When the queue last had all agents.
    visited_all: Option<Instant>,
}

impl Viewer {
    fn new(socket: WebSocket, site: Site, role: Role, changes: bool) -> Viewer {
        Viewer {
            socket: ViewerSocket::new(socket),
            site,
            role,
            changes,
            receiver: 0,
            agents: BTreeMap::new(),
            removed: Vec::new(),
            queue: VecDeque::new(),
            unfinished: Vec::new(),
            edition: 0,
            updated: None,
            visited_all: None,
        }
    }

    async fn run(&mut self) -> Result<()> {
        loop {
            let due = self.socket.frames.due(&self.site.wall.borrow_and_update());
            for camera in due {
                // One frame at a time, so that each is the newest when it is sent and a slow viewer takes little
                // memory.
                let frame = self.socket.frames.take(&self.site.wall.borrow(), camera, &self.site.budget);
                if let Some((frame, _memory)) = frame {
                    self.socket.send_frame(frame).await?;
                }
            }
            let (takes_text, due_at) = (self.socket.takes_text(), self.due_at());
            if takes_text && due_at <= Instant::now() {
                let text = self.next_text().await;
                self.socket.send_text(text).await?;
                continue;
            }
            tokio::select! {
                changed = self.site.wall.changed() => changed?,
                () = sleep_until(due_at), if takes_text => {}
                received = self.socket.receive() => received?,
            }
        }
    }

    /// When the next text is due.
    fn due_at(&self) -> Instant {
        let is_complete = self.queue.is_empty() && self.unfinished.is_empty();
        let Some(updated) = self.updated.filter(|_| is_complete) else { return Instant::now() };
        let is_changed = self.edition != self.site.wall.borrow().edition;
        updated + if self.changes && is_changed { MIN_INTERVAL } else { MAX_INTERVAL }
    }

    async fn next_text(&mut self) -> String {
        if !self.changes {
            self.updated = Some(Instant::now());
            return complete_wall(&self.site, self.role).await;
        }
        let is_first = self.updated.is_none();
        if self.queue.is_empty() {
            self.begin_update();
        }
        let kind =
            if is_first { format!("\"wall\",\"role\":{}", to_json(&self.role)) } else { "\"changes\"".to_owned() };
        self.changes_text(&kind)
    }

    /// Queues the agents that have changed; once a second all, for changes that no message announces.
    fn begin_update(&mut self) {
        let (wall, now) = (self.site.wall.borrow(), Instant::now());
        let is_full = self.visited_all.is_none_or(|at| now - at >= MAX_INTERVAL);
        if is_full {
            self.visited_all = Some(now);
            self.socket.frames.retain(&wall);
            self.site.pieces.retain(&wall);
        }
        let removed = self.agents.extract_if(.., |name, _| !wall.agents.contains_key(name));
        self.removed.extend(removed.map(|(name, _)| name));
        let queued = wall.agents.iter().filter(|(_, agent)| is_full || agent.edition > self.edition);
        self.queue = queued.map(|(name, _)| name.clone()).collect();
        self.unfinished.retain(|name| !self.queue.contains(name));
        self.queue.extend(self.unfinished.drain(..));
        (self.edition, self.updated) = (wall.edition, Some(now));
    }

    /// A message of this kind with the changes of the first agents in the queue.
    fn changes_text(&mut self, kind: &str) -> String {
        let wall = self.site.wall.borrow();
        let mut text = format!("{{\"type\":{kind}");
        self.site.pieces.write_receiver(&self.site, &mut self.receiver, &mut text);
        if !self.removed.is_empty() {
            text.push_str(",\"removed\":");
            text.push_str(&to_json(&std::mem::take(&mut self.removed)));
        }
        text.push_str(",\"agents\":[");
        for _ in 0..MAX_TEXT_AGENTS {
            let Some(name) = self.queue.pop_front() else { break };
            let Some(agent) = wall.agents.get(&name) else { continue };
            let sent = self.agents.entry(name.clone()).or_default();
            let (pieces, commands) = (&self.site.pieces, &self.site.commands);
            if !pieces.write_agent((&name, agent), commands, sent, MAX_TEXT_BYTES, &mut text) {
                self.unfinished.push(name);
            }
            if text.len() >= MAX_TEXT_BYTES {
                break;
            }
        }
        text.push_str("]}");
        text
    }
}
