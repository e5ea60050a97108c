//! What was recorded: which spans, a picture of a moment, and a range as a film.

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

use super::answer::{Refusal, json_of};
use super::cameras::attachment;
use super::{Site, thumbnail};
use crate::name::Name;
use crate::receiver::recorder::{Library, Picture, Range};

/// So many disks' worth of work at a time; others wait their turn for so long.
static TURNS: Semaphore = Semaphore::const_new(4);
const PATIENCE: Duration = Duration::from_secs(2);

/// Films that are sent at a time: each has a second of itself in memory.
static FILMS: Semaphore = Semaphore::const_new(8);

const CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at-us");
const NEXT: HeaderName = HeaderName::from_static("x-next-us");

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/recordings", get(recordings))
        .route("/api/recordings/{agent}/{camera}/frame.jpg", get(frame))
        .route("/api/recordings/{agent}/{camera}/range.mkv", get(range))
}

#[derive(Deserialize)]
struct Wanted {
    from_us: i64,
    to_us: i64,
    agent: Option<Name>,
    camera: Option<Name>,
}

#[derive(Deserialize)]
struct Moment {
    at_us: i64,
    width: Option<u32>,
}

async fn recordings(
    State(site): State<Site>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(Wanted { from_us, to_us, agent, camera }) = wanted?;
    let library = library(&site)?;
    in_order(from_us, to_us)?;
    let told = in_turn(move || {
        let spans = library.spans(from_us, to_us, agent.as_ref(), camera.as_ref());
        let cameras = spans.iter().map(|one| json!({ "agent": one.agent, "camera": one.camera, "spans": one.spans }));
        Ok(json_of(&json!({ "cameras": cameras.collect::<Vec<_>>(), "oldest_us": library.oldest_us() })))
    });
    told.await
}

async fn frame(
    State(site): State<Site>,
    camera: Result<Path<(Name, Name)>, PathRejection>,
    moment: Result<Query<Moment>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (Path((agent, camera)), Query(Moment { at_us, width })) = (camera?, moment?);
    let library = library(&site)?;
    if width.is_some_and(|width| !thumbnail::WIDTHS.contains(&width)) {
        let words = format!("a width is from {} to {} pixels", thumbnail::WIDTHS.start(), thumbnail::WIDTHS.end());
        return Err(Refusal(StatusCode::BAD_REQUEST, words));
    }
    let found = in_turn(move || {
        let Some(picture) = library.picture(&agent, &camera, at_us)? else { return Ok(None) };
        let shown = width.map_or(Some(picture.jpeg.clone()), |width| thumbnail::of(&picture.jpeg, width));
        Ok(Some((picture, shown)))
    });
    let nothing = || Refusal(StatusCode::NOT_FOUND, "nothing was recorded then; /api/recordings has what was".into());
    let (picture, shown) = found.await?.ok_or_else(nothing)?;
    let damaged = || Refusal(StatusCode::NOT_FOUND, "the frame of then is damaged; ask for it without a width".into());
    Ok(answer(&picture, shown.ok_or_else(damaged)?))
}

/// Once another frame has come it is for ever the one of this moment.
fn answer(picture: &Picture, shown: Bytes) -> Response {
    let caching = if picture.next_us.is_some() { "private, max-age=31536000, immutable" } else { "no-store" };
    let headers = [(CONTENT_TYPE, "image/jpeg"), (CACHE_CONTROL, caching)];
    let mut response = (headers, [(CAPTURED_AT, picture.at_us.to_string())], shown).into_response();
    if let Some(next_us) = picture.next_us {
        response.headers_mut().insert(NEXT, HeaderValue::from(next_us));
    }
    response
}

#[derive(Deserialize)]
struct Stretch {
    from_us: i64,
    to_us: i64,
}

async fn range(
    State(site): State<Site>,
    camera: Result<Path<(Name, Name)>, PathRejection>,
    stretch: Result<Query<Stretch>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (Path((agent, camera)), Query(Stretch { from_us, to_us })) = (camera?, stretch?);
    let library = library(&site)?;
    in_order(from_us, to_us)?;
    let Ok(slot) = FILMS.try_acquire() else { return Err(busy()) };
    let film = attachment(&agent, &camera, from_us, "mkv");
    let (range, first) = piece(Range::new(library, agent, camera, from_us, to_us)).await?;
    let Some(first) = first else {
        return Err(Refusal(StatusCode::NOT_FOUND, "nothing was recorded then; /api/recordings has what was".into()));
    };
    // A viewer that takes nothing keeps its slot, but no turn.
    let rest = unfold((Some(first), Some(range), slot, site.shutdown), async |(first, range, slot, shutdown)| {
        if let Some(first) = first {
            return Some((Ok(first), (None, range, slot, shutdown)));
        }
        let next = tokio::select! {
            next = piece(range?) => next,
            () = shutdown.cancelled() => Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, "the receiver ends".into())),
        };
        match next {
            Ok((range, Some(bytes))) => Some((Ok(bytes), (None, Some(range), slot, shutdown))),
            Ok((_, None)) => None,
            // Whoever reads it is to see that this is not the end.
            Err(Refusal(_, words)) => Some((Err(io::Error::other(words)), (None, None, slot, shutdown))),
        }
    });
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("video/x-matroska")), (CONTENT_DISPOSITION, film)];
    Ok((headers, Body::from_stream(rest)).into_response())
}

async fn piece(mut range: Range) -> Result<(Range, Option<Bytes>), Refusal> {
    in_turn(move || {
        let piece = range.next_piece()?;
        Ok((range, piece))
    })
    .await
}

/// Work that waits for disks, when it is its turn.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Refusal> {
    let Ok(Ok(turn)) = timeout(PATIENCE, TURNS.acquire()).await else { return Err(busy()) };
    let done = spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    let failed = |what: &dyn std::fmt::Display| {
        Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("the recording cannot be read ({what}); try again"))
    };
    done.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn busy() -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "too much is asked for at once; try again".into())
}

fn library(site: &Site) -> Result<Arc<Library>, Refusal> {
    let words = "nothing is recorded; a [record] table in the receiver's file turns it on";
    site.library.clone().ok_or_else(|| Refusal(StatusCode::NOT_FOUND, words.into()))
}

fn in_order(from_us: i64, to_us: i64) -> Result<(), Refusal> {
    if from_us <= to_us {
        return Ok(());
    }
    Err(Refusal(StatusCode::BAD_REQUEST, "from_us is after to_us; exchange them".into()))
}
