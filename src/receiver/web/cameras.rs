//! One camera: its newest frame, and what is wanted of it.

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
use super::answer::{Refusal, json_of};
use crate::config::{Fps, Quality};
use crate::name::Name;
use crate::receiver::commands::SendError;
use crate::wire::Control;

/// When the frame was captured, microseconds since 1970 by the receiver's clock.
const CAPTURED: HeaderName = HeaderName::from_static("x-captured-at-us");

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/cameras/{agent}/{camera}", post(set))
        .route("/api/cameras/{agent}/{camera}/snapshot", post(snapshot))
        .route("/api/cameras/{agent}/{camera}/frame.jpg", get(frame))
}

/// How a camera is to be from now on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    on: Option<bool>,
    fps: Option<Fps>,
    quality: Option<Quality>,
}

async fn set(State(site): State<Site>, Path(which): Path<(String, String)>, body: Bytes) -> Result<Response, Refusal> {
    let (agent, camera) = known(&site, which)?;
    let Wish { on, fps, quality } = serde_json::from_slice(&body).map_err(|error| {
        let what = format!("the request is not understood ({error}); send JSON such as {{\"on\": false, \"fps\": 5}}");
        Refusal(StatusCode::BAD_REQUEST, what)
    })?;
    if on.is_none() && fps.is_none() && quality.is_none() {
        let what = "nothing is wanted of the camera: send at least one of `on`, `fps` and `quality`";
        return Err(Refusal(StatusCode::BAD_REQUEST, what.into()));
    }
    send(&site, &agent, Control::Set { camera, on, fps, quality }).await
}

async fn snapshot(State(site): State<Site>, Path(which): Path<(String, String)>) -> Result<Response, Refusal> {
    let (agent, camera) = known(&site, which)?;
    send(&site, &agent, Control::Snapshot { camera }).await
}

/// What becomes of it the agent's status says.
async fn send(site: &Site, agent: &Name, control: Control) -> Result<Response, Refusal> {
    match site.commands.send(agent, control).await {
        Ok(()) => Ok((StatusCode::ACCEPTED, json_of(&json!({}))).into_response()),
        Err(no_way @ SendError::Unreached) => Err(Refusal(StatusCode::CONFLICT, no_way.to_string())),
        Err(no_way @ SendError::Busy) => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, no_way.to_string())),
    }
}

async fn frame(State(site): State<Site>, Path(which): Path<(String, String)>, uri: Uri) -> Result<Response, Refusal> {
    let (agent, camera) = known(&site, which)?;
    let shown = {
        let wall = site.wall.borrow();
        let camera = wall.agents.get(&agent).and_then(|agent| agent.cameras.get(&camera));
        camera.map(|camera| camera.shown.clone()).filter(|shown| shown.header.no_signal.is_none())
    };
    let shown = shown.ok_or_else(|| Refusal(StatusCode::NOT_FOUND, "no frame of this camera has come yet".into()))?;
    let mut answer = ([(CONTENT_TYPE, "image/jpeg")], shown.jpeg.clone()).into_response();
    answer.headers_mut().insert(CAPTURED, shown.captured_at_us.into());
    let is_download = |word: &str| word == "download" || word.starts_with("download=");
    if uri.query().is_some_and(|query| query.split('&').any(is_download)) {
        let file = attachment(&agent, &camera, shown.captured_at_us, "jpg");
        answer.headers_mut().insert(CONTENT_DISPOSITION, file);
    }
    Ok(answer)
}

/// The names, if there is such a camera.
fn known(site: &Site, (agent, camera): (String, String)) -> Result<(Name, Name), Refusal> {
    let unknown =
        |what| Refusal(StatusCode::NOT_FOUND, format!("there is no such {what}; /api/wall has those that there are"));
    let (Ok(agent), Ok(camera)) = (Name::try_from(agent), Name::try_from(camera)) else {
        return Err(unknown("name"));
    };
    let wall = site.wall.borrow();
    let view = wall.agents.get(&agent).ok_or_else(|| unknown("agent"))?;
    let mut told = view.status.iter().flat_map(|(status, _)| &status.cameras);
    if view.cameras.contains_key(&camera) || told.any(|part| part.name == camera) {
        return Ok((agent, camera));
    }
    Err(unknown("camera"))
}

/// What makes a browser keep a file under a name that says whose it is and of when (RFC 6266): names may have letters of
/// any language.
pub(super) fn attachment(agent: &Name, camera: &Name, at_us: i64, ending: &str) -> HeaderValue {
    let at = Timestamp::from_microsecond(at_us).unwrap_or(Timestamp::UNIX_EPOCH);
    let name = format!("{agent} {camera} {}.{ending}", at.strftime("%Y-%m-%d %H%M%S UTC"));
    let plain: String =
        name.chars().map(|c| if c.is_ascii_graphic() && c != '"' || c == ' ' { c } else { '_' }).collect();
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let whole: String = name
        .bytes()
        .map(|byte| if is_safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let text = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}");
    HeaderValue::from_str(&text).expect("signs of ASCII are a header's value")
}
