//! The page, and the WebSocket that keeps it live.
//!
//! The browser paces: of each camera it is sent the newest frame, and the next one only after it has answered that it
//! has drawn it. A slow tab gets fewer frames, never older ones.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::port::{Port, refusals};
use super::wall::{Agent, Shown, Wall};
use crate::name::Name;
use crate::wire::PartStatus;

/// Readings and states are told at most and at least this often.
const OFTENEST: Duration = Duration::from_millis(50);
const SELDOMEST: Duration = Duration::from_secs(1);

/// A viewer that takes nothing does not hold up the end.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a viewer says is short.
const LONGEST_ANSWER: usize = 4096;

/// The page, all of it: nothing is loaded from elsewhere.
const PAGE: [(&str, &str); 17] = [
    ("/", include_str!("page/index.html")),
    ("/page.css", include_str!("page/page.css")),
    ("/icon.svg", include_str!("page/icon.svg")),
    ("/agents.js", include_str!("page/agents.js")),
    ("/dom.js", include_str!("page/dom.js")),
    ("/frames.js", include_str!("page/frames.js")),
    ("/health.js", include_str!("page/health.js")),
    ("/large.js", include_str!("page/large.js")),
    ("/layout.js", include_str!("page/layout.js")),
    ("/link.js", include_str!("page/link.js")),
    ("/page.js", include_str!("page/page.js")),
    ("/ports.js", include_str!("page/ports.js")),
    ("/readings.js", include_str!("page/readings.js")),
    ("/spark.js", include_str!("page/spark.js")),
    ("/tiles.js", include_str!("page/tiles.js")),
    ("/wall.js", include_str!("page/wall.js")),
    ("/words.js", include_str!("page/words.js")),
];

/// What every viewer's task has.
#[derive(Clone)]
struct Viewers {
    wall: watch::Receiver<Wall>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// Serves the page until the shutdown.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, wall: watch::Receiver<Wall>, shutdown: CancellationToken) -> Result<()> {
    let viewers = Viewers { wall, shutdown: shutdown.clone(), tasks: TaskTracker::new() };
    let pages =
        PAGE.iter().fold(Router::new(), |routes, (path, text)| routes.route(path, get(async || asset(path, text))));
    let routes = pages.route("/live", get(live)).with_state(viewers.clone());
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    viewers.tasks.close();
    viewers.tasks.wait().await;
    Ok(())
}

fn asset(path: &str, text: &'static str) -> Response {
    let kind = match path.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, "default-src 'self'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}

async fn live(State(viewers): State<Viewers>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    if !is_own_page(&headers) {
        return (StatusCode::FORBIDDEN, "only watchpost's own page may connect here\n").into_response();
    }
    let tasks = viewers.tasks.clone();
    upgrade.max_message_size(LONGEST_ANSWER).on_upgrade(move |socket| {
        tasks.track_future(async move {
            let mut viewer = Viewer { socket, wall: viewers.wall, sent: HashMap::new() };
            tokio::select! {
                () = viewers.shutdown.cancelled() => viewer.part().await,
                // An error is a viewer that has left.
                _ = viewer.run() => {}
            }
        })
    })
}

/// A browser lets any page on the web connect to this machine; it says which one does. Programs say nothing.
fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            // A name that somebody else's DNS points here is not ours either.
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            matches!(name, "localhost" | "127.0.0.1" | "[::1]")
                && origin.split_once("://").is_some_and(|(_, from)| from == host)
        }
        (Some(_), None) => false,
    }
}

struct Viewer {
    socket: WebSocket,
    wall: watch::Receiver<Wall>,
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
                let text = tell(&self.wall.borrow());
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

/// All but the pictures.
fn tell(wall: &Wall) -> String {
    let agents: Vec<_> = wall.agents.iter().map(|(name, agent)| tell_agent(name, agent)).collect();
    json!({ "type": "wall", "agents": agents }).to_string()
}

fn tell_agent(name: &Name, agent: &Agent) -> serde_json::Value {
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
                "fps": camera.map(super::wall::Camera::fps),
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
    json!({
        "name": name, "boot": agent.boot, "heard_ms": agent.heard.elapsed().as_millis() as u64,
        "cameras": cameras, "ports": ports, "readings": readings,
    })
}

fn tell_port(part: &PartStatus, for_ms: u64, known: Option<&Port>) -> serde_json::Value {
    json!({
        "name": part.name, "source": part.source, "up": part.up, "cause": part.cause, "for_ms": for_ms,
        "lines_per_s": known.and_then(Port::lines_per_s),
        "refused": refusals(part).collect::<BTreeMap<_, _>>(),
        "refused_ago_ms": known.and_then(Port::refused_ago).map(|ago| ago.as_millis() as u64),
    })
}
