//! The WebSocket that keeps the page live.
//!
//! The browser paces: of each camera it is sent the newest frame, and the next one only after it has answered that it
//! has drawn it. A slow tab gets fewer frames, never older ones.

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

use super::access::Role;
use super::{Site, tell};
use crate::name::Name;
use crate::receiver::wall::Shown;

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

async fn live(State(site): State<Site>, role: Role, upgrade: WebSocketUpgrade) -> Response {
    let (viewers, shutdown) = (site.viewers.clone(), site.shutdown.clone());
    let upgrade = upgrade.max_message_size(LONGEST_ANSWER).max_frame_size(LONGEST_ANSWER);
    upgrade.read_buffer_size(LONGEST_ANSWER).on_upgrade(move |socket| {
        viewers.track_future(async move {
            let mut viewer = Viewer { socket, site, role, sent: HashMap::new() };
            tokio::select! {
                () = shutdown.cancelled() => viewer.part().await,
                // An error is a viewer that has left.
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
            for camera in self.due() {
                // One after the other, so that each is the newest when it is its turn, and a slow viewer occupies
                // little.
                if let Some(frame) = self.picture(&camera) {
                    self.socket.send(Frame::Binary(frame)).await?;
                }
            }
            let edition = self.site.wall.borrow().edition;
            let wait = if told == Some(edition) { SELDOMEST } else { OFTENEST };
            if told.is_none() || told_at.elapsed() >= wait {
                (told, told_at) = (Some(edition), Instant::now());
                let text = tell::wall(&self.site, self.role).to_string();
                self.socket.send(Frame::Text(text.into())).await?;
            }
            tokio::select! {
                changed = self.site.wall.changed() => changed?,
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
        let name = |text: &str| Name::try_from(text.to_owned()).ok();
        let seen = answer.and_then(|Answer { seen }| {
            let (agent, camera) = seen.split_once('/')?;
            Some((name(agent)?, name(camera)?))
        });
        if let Some(sent) = seen.and_then(|seen| self.sent.get_mut(&seen)) {
            sent.awaited = false;
        }
    }

    /// The cameras whose last frame was drawn and that have another.
    fn due(&mut self) -> Vec<(Name, Name)> {
        let wall = self.site.wall.borrow_and_update();
        let cameras = wall.agents.iter().flat_map(|(agent, view)| {
            view.cameras.iter().map(move |(name, camera)| ((agent.clone(), name.clone()), camera.number))
        });
        let is_due = |(camera, number): &((Name, Name), u64)| {
            self.sent.get(camera).is_none_or(|sent| !sent.awaited && sent.number != *number)
        };
        cameras.filter(is_due).map(|(camera, _)| camera).collect()
    }

    /// A camera's newest frame, which is now awaited.
    fn picture(&mut self, which: &(Name, Name)) -> Option<Bytes> {
        let wall = self.site.wall.borrow();
        let camera = wall.agents.get(&which.0)?.cameras.get(&which.1)?;
        self.sent.insert(which.clone(), Sent { number: camera.number, awaited: true });
        Some(picture(camera.number, &camera.shown))
    }
}

/// The length of a header, four bytes, big-endian; the header; the JPEG.
fn picture(number: u64, shown: &Shown) -> Bytes {
    let header = json!({
        "agent": shown.header.agent,
        "camera": shown.header.camera,
        "seq": number,
        "captured_at_us": shown.captured_at_us,
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
