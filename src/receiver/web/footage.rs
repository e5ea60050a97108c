//! Recordings over HTTP: recorded spans, single frames, and a range as one file.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::cameras::attachment;
use super::error::{HttpError, json_response};
use super::{Site, thumbnail};
use crate::name::StoredName;
use crate::receiver::recorder::{Library, Picture, Range};

/// Limits concurrent reads from disks, and how long a request waits for its permit.
static DISK_PERMITS: Semaphore = Semaphore::const_new(4);
const PERMIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Limits concurrent range downloads; each holds about a second of video in memory.
static EXPORTS: Semaphore = Semaphore::const_new(8);

const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at-us");
const NEXT_AT: HeaderName = HeaderName::from_static("x-next-us");

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/recordings", get(recordings))
        .route("/api/recordings/{agent}/{camera}/frame.jpg", get(frame))
        .route("/api/recordings/{agent}/{camera}/range.mkv", get(range))
}

#[derive(Deserialize)]
struct SpansParams {
    from_us: i64,
    to_us: i64,
    agent: Option<StoredName>,
    camera: Option<StoredName>,
}

#[derive(Deserialize)]
struct FrameParams {
    at_us: i64,
    width: Option<u32>,
}

async fn recordings(
    State(site): State<Site>,
    params: Result<Query<SpansParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(SpansParams { from_us, to_us, agent, camera }) = params?;
    let (agent, camera) = (agent.map(|StoredName(name)| name), camera.map(|StoredName(name)| name));
    let library = library(&site)?;
    check_order(from_us, to_us)?;
    let response = with_permit(move || {
        let spans = library.spans(from_us, to_us, agent.as_ref(), camera.as_ref());
        let cameras =
            spans.iter().map(|spans| json!({ "agent": spans.agent, "camera": spans.camera, "spans": spans.spans }));
        Ok(json_response(&json!({ "cameras": cameras.collect::<Vec<_>>(), "oldest_us": library.oldest_us() })))
    });
    response.await
}

async fn frame(
    State(site): State<Site>,
    camera: Result<Path<(StoredName, StoredName)>, PathRejection>,
    params: Result<Query<FrameParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let (Path((StoredName(agent), StoredName(camera))), Query(FrameParams { at_us, width })) = (camera?, params?);
    let library = library(&site)?;
    if width.is_some_and(|width| !thumbnail::WIDTHS.contains(&width)) {
        let message =
            format!("`width` must be from {} to {} pixels", thumbnail::WIDTHS.start(), thumbnail::WIDTHS.end());
        return Err(HttpError(StatusCode::BAD_REQUEST, message));
    }
    let found = with_permit(move || {
        let Some(picture) = library.picture(&agent, &camera, at_us)? else { return Ok(None) };
        let shown = width.map_or(Some(picture.jpeg.clone()), |width| thumbnail::scaled(&picture.jpeg, width));
        Ok(Some((picture, shown)))
    });
    let missing = || HttpError(StatusCode::NOT_FOUND, "no recording at this time; /api/recordings lists all".into());
    let (picture, shown) = found.await?.ok_or_else(missing)?;
    let damaged = || HttpError(StatusCode::NOT_FOUND, "the frame is damaged; request it without `width`".into());
    Ok(frame_response(&picture, shown.ok_or_else(damaged)?))
}

/// The frame of a time never changes once a later frame exists, so it can be cached.
fn frame_response(picture: &Picture, shown: Bytes) -> Response {
    let caching = if picture.next_us.is_some() { "private, max-age=31536000, immutable" } else { "no-store" };
    let headers = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, caching)];
    let mut response = (headers, [(CAPTURED_AT, picture.at_us.to_string())], shown).into_response();
    if let Some(next_us) = picture.next_us {
        response.headers_mut().insert(NEXT_AT, HeaderValue::from(next_us));
    }
    response
}

#[derive(Deserialize)]
struct RangeParams {
    from_us: i64,
    to_us: i64,
}

async fn range(
    State(site): State<Site>,
    camera: Result<Path<(StoredName, StoredName)>, PathRejection>,
    params: Result<Query<RangeParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let (Path((StoredName(agent), StoredName(camera))), Query(RangeParams { from_us, to_us })) = (camera?, params?);
    let library = library(&site)?;
    check_order(from_us, to_us)?;
    let Ok(slot) = EXPORTS.try_acquire() else { return Err(busy()) };
    let disposition = attachment(&agent, &camera, from_us, "mkv");
    let (range, first) = piece(Range::new(library, agent, camera, from_us, to_us)).await?;
    let Some(first) = first else {
        return Err(HttpError(StatusCode::NOT_FOUND, "no recording at this time; /api/recordings lists all".into()));
    };
    // A slow client keeps its slot, but not its permit for the disk.
    let rest = unfold((Some(first), Some(range), slot, site.shutdown), async |(first, range, slot, shutdown)| {
        if let Some(first) = first {
            return Some((Ok(first), (None, range, slot, shutdown)));
        }
        let next = tokio::select! {
            next = piece(range?) => next,
            () = shutdown.cancelled() => Err(HttpError(StatusCode::SERVICE_UNAVAILABLE, "the receiver is shutting down".into())),
        };
        match next {
            Ok((range, Some(bytes))) => Some((Ok(bytes), (None, Some(range), slot, shutdown))),
            Ok((_, None)) => None,
            // Abort the connection, so that the client knows that the response is incomplete.
            Err(HttpError(_, message)) => Some((Err(io::Error::other(message)), (None, None, slot, shutdown))),
        }
    });
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("video/x-matroska")), (CONTENT_DISPOSITION, disposition)];
    Ok((headers, Body::from_stream(rest)).into_response())
}

async fn piece(mut range: Range) -> Result<(Range, Option<Bytes>), HttpError> {
    with_permit(move || {
        let piece = range.next_piece()?;
        Ok((range, piece))
    })
    .await
}

/// Runs disk work on a blocking thread once it has a permit.
async fn with_permit<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, HttpError> {
    let Ok(Ok(permit)) = timeout(PERMIT_TIMEOUT, DISK_PERMITS.acquire()).await else { return Err(busy()) };
    let task = spawn_blocking(move || {
        let result = work();
        drop(permit);
        result
    });
    let failed = |error: &dyn std::fmt::Display| {
        HttpError(StatusCode::SERVICE_UNAVAILABLE, format!("the recording cannot be read ({error}); try again"))
    };
    task.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn busy() -> HttpError {
    HttpError(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once; try again".into())
}

fn library(site: &Site) -> Result<Arc<Library>, HttpError> {
    let message = "recording is off; a [record] table in the receiver's configuration turns it on";
    site.library.clone().ok_or_else(|| HttpError(StatusCode::NOT_FOUND, message.into()))
}

fn check_order(from_us: i64, to_us: i64) -> Result<(), HttpError> {
    if from_us <= to_us {
        return Ok(());
    }
    Err(HttpError(StatusCode::BAD_REQUEST, "`from_us` is after `to_us`; swap them".into()))
}
