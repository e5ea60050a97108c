//! Endpoints of one camera: its newest frame, its settings and snapshots.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::Site;
use super::error::{HttpError, json_response};
use crate::config::{Fps, Quality};
use crate::name::Name;
use crate::receiver::commands::SendError;
use crate::wire::Control;

/// When the frame was captured, in microseconds since 1970 by the receiver's clock.
const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at-us");

/// The answer while too many frames are being sent.
const NO_MEMORY: &str = "too many frames of this agent are being sent; try again";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/cameras/{agent}/{camera}", post(set))
        .route("/api/cameras/{agent}/{camera}/snapshot", post(snapshot))
        .route("/api/cameras/{agent}/{camera}/frame.jpg", get(frame))
}

/// The settings to change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CameraSettings {
    on: Option<bool>,
    fps: Option<Fps>,
    quality: Option<Quality>,
}

async fn set(
    State(site): State<Site>,
    Path(which): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, HttpError> {
    let (agent, camera) = find(&site, which)?;
    let CameraSettings { on, fps, quality } = serde_json::from_slice(&body).map_err(|error| {
        let message = format!("invalid request ({error}); send JSON such as {{\"on\": false, \"fps\": 5}}");
        HttpError(StatusCode::BAD_REQUEST, message)
    })?;
    if on.is_none() && fps.is_none() && quality.is_none() {
        let message = "empty request: send at least one of `on`, `fps` and `quality`";
        return Err(HttpError(StatusCode::BAD_REQUEST, message.into()));
    }
    send(&site, &agent, Control::Set { camera, on, fps, quality }).await
}

async fn snapshot(State(site): State<Site>, Path(which): Path<(String, String)>) -> Result<Response, HttpError> {
    let (agent, camera) = find(&site, which)?;
    send(&site, &agent, Control::Snapshot { camera }).await
}

/// Sends a command. Its result appears in the agent's status.
async fn send(site: &Site, agent: &Name, control: Control) -> Result<Response, HttpError> {
    match site.commands.send(agent, control).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, json_response(&json!({}))).into_response()),
        Err(error @ SendError::Unreached) => Err(HttpError(StatusCode::CONFLICT, error.to_string())),
        Err(error @ SendError::Busy) => Err(HttpError(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

async fn frame(State(site): State<Site>, Path(which): Path<(String, String)>, uri: Uri) -> Result<Response, HttpError> {
    let (agent, camera) = find(&site, which)?;
    let frame = {
        let wall = site.wall.borrow();
        let camera = wall.agents.get(&agent).and_then(|agent| agent.cameras.get(&camera));
        camera.and_then(|camera| camera.newest.clone()).filter(|frame| frame.header.no_signal.is_none())
    };
    let frame =
        frame.ok_or_else(|| HttpError(StatusCode::NOT_FOUND, "no frame received from this camera yet".into()))?;
    // A client that reads slowly keeps the frame in memory.
    let share = site.budget.outgoing.take_fairly(&agent, frame.jpeg.len());
    let share = share.ok_or_else(|| HttpError(StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY.into()))?;
    let jpeg = share.attached_to(frame.jpeg.clone());
    let mut response = ([(CONTENT_TYPE, "image/jpeg")], jpeg).into_response();
    response.headers_mut().insert(CAPTURED_AT, frame.captured_at_us.into());
    let is_download = |word: &str| word == "download" || word.starts_with("download=");
    if uri.query().is_some_and(|query| query.split('&').any(is_download)) {
        let file = attachment(&agent, &camera, frame.captured_at_us, "jpg");
        response.headers_mut().insert(CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

/// The names, if the camera exists.
fn find(site: &Site, (agent, camera): (String, String)) -> Result<(Name, Name), HttpError> {
    let unknown = |what| HttpError(StatusCode::NOT_FOUND, format!("no such {what}; /api/wall lists them"));
    let (Ok(agent), Ok(camera)) = (Name::try_from(agent), Name::try_from(camera)) else {
        return Err(unknown("name"));
    };
    let wall = site.wall.borrow();
    let view = wall.agents.get(&agent).ok_or_else(|| unknown("agent"))?;
    let mut reported = view.status.iter().flat_map(|(status, _)| &status.cameras);
    if view.cameras.contains_key(&camera) || reported.any(|part| part.name == camera) {
        return Ok((agent, camera));
    }
    Err(unknown("camera"))
}

/// A `Content-Disposition` that saves a file under agent, camera and time (RFC 6266). Names may contain non-ASCII
/// letters.
pub(super) fn attachment(agent: &Name, camera: &Name, at_us: i64, extension: &str) -> HeaderValue {
    let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    let name = format!("{agent} {camera} {}.{extension}", at.strftime("%Y-%m-%d %H%M%S UTC"));
    let ascii: String =
        name.chars().map(|c| if c.is_ascii_graphic() && c != '"' || c == ' ' { c } else { '_' }).collect();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let encoded: String = name
        .bytes()
        .map(|byte| if is_safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let text = format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}");
    HeaderValue::from_str(&text).expect("ASCII is valid in a header")
}
