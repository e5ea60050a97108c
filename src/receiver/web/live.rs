//! The WebSocket that keeps the page live.
//!
//! The browser paces: of each camera it is sent the newest frame, and the next one only after it has answered that it
//! has drawn it. A slow tab gets fewer frames, never older ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::access::is_own_page;
use super::{Site, tell};
use crate::receiver::recorder::Library;
use crate::receiver::wall::{Shown, Wall};

/// Readings and states are told at most and at least this often.
const OFTENEST: Duration = Duration::from_millis(50);
const SELDOMEST: Duration = Duration::from_secs(1);

/// A viewer that takes nothing does not hold up the end.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a viewer says is short.
const LONGEST_ANSWER: usize = 4096;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/live", get(live))
}

async fn live(State(site): State<Site>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !is_own_page(&headers) {
        return (StatusCode::FORBIDDEN, "only watchpost's own page may connect here\n").into_response();
    }
    let tasks = site.tasks.clone();
    upgrade.max_message_size(LONGEST_ANSWER).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut viewer = Viewer { socket, wall: site.wall, library: site.library, sent: HashMap::new() };
            tokio::select! {
                () = site.shutdown.cancelled() => viewer.part().await,
                // An error is a viewer that has left.
                _ = viewer.run() => {}
            }
        })
    })
}

struct Viewer {
    socket: WebSocket,
    wall: watch::Receiver<Wall>,
    library: Option<Arc<Library>>,
    sent: HashMap<String, Sent>,
}

/// Of one camera: the number of the last frame sent, and whether the viewer has it on its screen.
#[derive(Clone, Copy, Default)]
struct Sent {
    number: u64,
    awaited: bool,
}

/// What a viewer says.
#[derive(Deserialize)]
struct Answer {
    seen: String,
}

impl Viewer {
    async fn run(&mut self) -> Result<()> {
        let mut told = None;
        let mut told_at = Instant::now();
        loop {
            for frame in self.due() {
                self.socket.send(Frame::Binary(frame)).await?;
            }
            let edition = self.wall.borrow().edition;
            let wait = if told == Some(edition) { SELDOMEST } else { OFTENEST };
            if told.is_none() || told_at.elapsed() >= wait {
                (told, told_at) = (Some(edition), Instant::now());
                let text = tell::wall(&self.wall.borrow(), self.library.as_deref()).to_string();
                self.socket.send(Frame::Text(text.into())).await?;
            }
            tokio::select! {
                changed = self.wall.changed() => changed?,
                () = sleep_until(told_at + wait) => {}
                answer = self.socket.recv() => match answer {
                    Some(Ok(Frame::Text(text))) => self.hear(&text),
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
            }
        }
    }

    /// Says good-bye, to whoever still listens.
    async fn part(&mut self) {
        let _ = timeout(FAREWELL, self.socket.send(Frame::Close(None))).await;
    }

    fn hear(&mut self, text: &str) {
        let answer = serde_json::from_str::<Answer>(text).ok();
        if let Some(sent) = answer.and_then(|answer| self.sent.get_mut(&answer.seen)) {
            sent.awaited = false;
        }
    }

    /// The newest frames of the cameras whose last one was drawn.
    fn due(&mut self) -> Vec<Bytes> {
        let wall = self.wall.borrow_and_update();
        let mut frames = Vec::new();
        for (agent, view) in &wall.agents {
            for (name, camera) in &view.cameras {
                let sent = self.sent.entry(format!("{agent}/{name}")).or_default();
                if !sent.awaited && sent.number != camera.number {
                    *sent = Sent { number: camera.number, awaited: true };
                    frames.push(picture(camera.number, &camera.shown));
                }
            }
        }
        frames
    }
}

/// The length of a header, four bytes, big-endian; the header; the JPEG.
fn picture(number: u64, shown: &Shown) -> Bytes {
    let header = json!({
        "agent": shown.header.agent,
        "camera": shown.header.camera,
        "seq": number,
        "captured_at_us": shown.header.captured_at_us,
        "age_ms": shown.age().as_millis() as u64,
        "width": shown.header.width,
        "height": shown.header.height,
    })
    .to_string();
    let mut message = BytesMut::with_capacity(4 + header.len() + shown.jpeg.len());
    message.put_u32(header.len() as u32);
    message.put_slice(header.as_bytes());
    message.put_slice(&shown.jpeg);
    message.freeze()
}
