//! The WebSocket that keeps the page live.
//!
//! The browser sets the pace: it gets the newest frame of a camera, and the next only after it has acknowledged drawing
//! that one. A slow tab gets fewer frames, never older ones.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use super::auth::Role;
use super::{Site, wall_json};
use crate::name::Name;
use crate::receiver::budget::Share;
use crate::receiver::live_frame::LiveFrame;

/// Shortest and longest time between two updates of readings and states.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait at shutdown for a viewer that accepts no data.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Copies of a frame while it is sent: the message, and the WebSocket's buffer.
const COPIES: usize = 2;

/// Maximum size of a viewer's messages.
const MAX_MESSAGE_BYTES: usize = 4096;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/live", get(live))
}

async fn live(State(site): State<Site>, role: Role, upgrade: WebSocketUpgrade) -> Response {
    let (viewers, shutdown) = (site.viewers.clone(), site.shutdown.clone());
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    upgrade.read_buffer_size(MAX_MESSAGE_BYTES).on_upgrade(move |socket| {
        viewers.track_future(async move {
            let mut viewer = Viewer { socket, site, role, sent: HashMap::new() };
            tokio::select! {
                () = shutdown.cancelled() => viewer.close().await,
                // An error means that the viewer has left.
                _ = viewer.run() => {}
            }
        })
    })
}

struct Viewer {
    socket: WebSocket,
    site: Site,
    role: Role,
    sent: HashMap<(Name, Name), Sent>,
}

/// The last frame sent of a camera, and whether its acknowledgement is pending.
#[derive(Clone, Copy, Default)]
struct Sent {
    number: u64,
    is_pending: bool,
}

/// A viewer's message: the camera (`AGENT/CAMERA`) whose frame it has drawn.
#[derive(Deserialize)]
struct Ack {
    seen: String,
}

impl Viewer {
    async fn run(&mut self) -> Result<()> {
        let mut sent_edition = None;
        let mut sent_at = Instant::now();
        loop {
            for camera in self.due() {
                // One frame at a time, so that each is the newest when it is sent and a slow viewer takes little
                // memory.
                if let Some((frame, _memory)) = self.next_frame(&camera) {
                    self.socket.send(Frame::Binary(frame)).await?;
                }
            }
            let edition = self.site.wall.borrow().edition;
            let wait = if sent_edition == Some(edition) { MAX_INTERVAL } else { MIN_INTERVAL };
            if sent_edition.is_none() || sent_at.elapsed() >= wait {
                (sent_edition, sent_at) = (Some(edition), Instant::now());
                let text = wall_json::wall(&self.site, self.role).to_string();
                self.socket.send(Frame::Text(text.into())).await?;
            }
            tokio::select! {
                changed = self.site.wall.changed() => changed?,
                () = sleep_until(sent_at + wait) => {}
                message = self.socket.recv() => match message {
                    Some(Ok(Frame::Text(text))) => self.handle_ack(&text),
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    /// Closes the WebSocket.
    async fn close(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.socket.send(Frame::Close(None))).await;
    }

    fn handle_ack(&mut self, text: &str) {
        let ack = serde_json::from_str::<Ack>(text).ok();
        let name = |text: &str| Name::try_from(text.to_owned()).ok();
        let seen = ack.and_then(|Ack { seen }| {
            let (agent, camera) = seen.split_once('/')?;
            Some((name(agent)?, name(camera)?))
        });
        if let Some(sent) = seen.and_then(|seen| self.sent.get_mut(&seen)) {
            sent.is_pending = false;
        }
    }

    /// Cameras with a new frame whose last one was acknowledged.
    fn due(&mut self) -> Vec<(Name, Name)> {
        let wall = self.site.wall.borrow_and_update();
        let cameras = wall.agents.iter().flat_map(|(agent, view)| {
            let shown = view.cameras.iter().filter(|(_, camera)| camera.newest.is_some());
            shown.map(move |(name, camera)| ((agent.clone(), name.clone()), camera.number))
        });
        let is_due = |(camera, number): &((Name, Name), u64)| {
            self.sent.get(camera).is_none_or(|sent| !sent.is_pending && sent.number != *number)
        };
        cameras.filter(is_due).map(|(camera, _)| camera).collect()
    }

    /// A camera's newest frame as a message, and the memory for it while it is sent; marks it as pending. `None` if there is
    /// none of either.
    fn next_frame(&mut self, camera: &(Name, Name)) -> Option<(Bytes, Share)> {
        let wall = self.site.wall.borrow();
        let view = wall.agents.get(&camera.0)?.cameras.get(&camera.1)?;
        let newest = view.newest.as_ref()?;
        let memory = self.site.budget.outgoing.take_fairly(&camera.0, COPIES * newest.jpeg.len())?;
        self.sent.insert(camera.clone(), Sent { number: view.number, is_pending: true });
        Some((frame_message(view.number, newest), memory))
    }
}

/// A frame message: length of the header (four bytes, big-endian), header, JPEG.
fn frame_message(number: u64, frame: &LiveFrame) -> Bytes {
    let header = json!({
        "agent": frame.header.agent,
        "camera": frame.header.camera,
        "seq": number,
        "captured_at_us": frame.captured_at_us,
        "age_ms": frame.age().as_millis() as u64,
        "width": frame.header.width,
        "height": frame.header.height,
    })
    .to_string();
    let mut message = BytesMut::with_capacity(4 + header.len() + frame.jpeg.len());
    message.put_u32(header.len() as u32);
    message.put_slice(header.as_bytes());
    message.put_slice(&frame.jpeg);
    message.freeze()
}
