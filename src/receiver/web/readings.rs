//! The history over HTTP: series, their removal, and charts.

use std::ops::{Range, RangeInclusive};

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::error::{HttpError, json_response};
use crate::receiver::history::{ChartQuery, Job, JobError, ReadError, Reader, Series, SeriesQuery};
use crate::receiver::wall::Wall;

/// The most series in one response, which is also the default.
const MAX_SERIES: usize = 1_000;

/// Points of a chart: default and maximum.
const DEFAULT_POINTS: usize = 600;
const MAX_POINTS: usize = 2_000;

/// Accepted times: the years 1 to 9999, in microseconds since 1970.
const VALID_TIMES: Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/series", get(series))
        .route("/api/series/agents", get(agents))
        .route("/api/series/{id}", delete(remove))
        .route("/api/chart", get(chart))
}

/// Whether readings are stored, and if not, why.
pub(super) fn history_json(history: &Result<Reader, String>) -> Value {
    match history {
        Ok(reader) => json!({ "on": true, "cause": reader.cause() }),
        Err(cause) => json!({ "on": false, "cause": cause }),
    }
}

impl From<ReadError> for HttpError {
    fn from(error: ReadError) -> HttpError {
        let status = match error {
            ReadError::NoSeries(_) => StatusCode::NOT_FOUND,
            ReadError::TooMuch => StatusCode::BAD_REQUEST,
            ReadError::Busy | ReadError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        HttpError(status, error.to_string())
    }
}

impl From<JobError> for HttpError {
    fn from(error: JobError) -> HttpError {
        let status = match error {
            JobError::NoSeries(_) => StatusCode::NOT_FOUND,
            JobError::Busy | JobError::Failing(_) | JobError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        HttpError(status, error.to_string())
    }
}

fn bad_request(message: String) -> HttpError {
    HttpError(StatusCode::BAD_REQUEST, message)
}

/// Parses a parameter that must be a number in this range.
fn number(name: &str, given: Option<String>, range: RangeInclusive<usize>) -> Result<Option<usize>, HttpError> {
    let Some(text) = given else { return Ok(None) };
    if let Some(number) = text.parse().ok().filter(|number| range.contains(number)) {
        return Ok(Some(number));
    }
    let (min, max) = range.into_inner();
    Err(bad_request(format!("`{name}` must be a number from {min} to {max}, not {text:?}")))
}

pub(super) fn reader(site: &Site) -> Result<Reader, HttpError> {
    let missing = |cause: String| {
        let cause = if cause.is_empty() { "[history] off = true".to_owned() } else { cause };
        HttpError(StatusCode::NOT_FOUND, format!("this receiver stores no history: {cause}"))
    };
    site.history.clone().map_err(missing)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesParams {
    agent: Option<String>,
    after: Option<String>,
    limit: Option<String>,
}

async fn series(
    State(site): State<Site>,
    params: Result<Query<SeriesParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(SeriesParams { agent, after, limit }) = params?;
    let after = after.map_or(Ok(i64::MIN), |text| id(&text))?;
    let limit = number("limit", limit, 1..=MAX_SERIES)?.unwrap_or(MAX_SERIES);
    let page = reader(&site)?.series(SeriesQuery { agent, after, limit }).await?;
    let entry = |(series, first_us, last_us): &(Series, i64, i64)| {
        json!({
            "id": series.id, "agent": series.agent, "port": series.port, "quantity": series.quantity,
            "unit": series.unit, "first_us": first_us, "last_us": last_us,
        })
    };
    let series = page.series.iter().map(entry).collect::<Vec<_>>();
    Ok(json_response(&json!({ "series": series, "next": page.next })))
}

async fn agents(State(site): State<Site>) -> Result<Response, HttpError> {
    Ok(json_response(&json!({ "agents": reader(&site)?.agents().await? })))
}

async fn remove(State(site): State<Site>, Path(series): Path<String>) -> Result<Response, HttpError> {
    reader(&site)?.request(Job::RemoveSeries(id(&series)?)).await?;
    Ok((StatusCode::ACCEPTED, json_response(&json!({}))).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChartParams {
    series: Option<String>,
    from_us: Option<String>,
    to_us: Option<String>,
    points: Option<String>,
}

async fn chart(
    State(site): State<Site>,
    params: Result<Query<ChartParams>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(params) = params?;
    let required = |name: &str, given: Option<String>| given.ok_or_else(|| bad_request(format!("`{name}` is missing")));
    let series = id(&required("series", params.series)?)?;
    let (from_us, to_us) = (required("from_us", params.from_us)?, required("to_us", params.to_us)?);
    let Range { start: from_us, end: to_us } = times(Some(&from_us), Some(&to_us))?;
    let points = number("points", params.points, 2..=MAX_POINTS)?.unwrap_or(DEFAULT_POINTS);
    let query = ChartQuery { series, from_us, to_us, points };
    let wall = site.wall.clone();
    let chart = reader(&site)?.chart(query, move |series| stale_after_us(&wall.borrow(), series)).await?;
    let points: Vec<_> = chart.points.iter().map(|point| (point.at_us, point.min, point.max, point.mean)).collect();
    Ok(json_response(&json!({
        "series": series, "from_us": from_us, "to_us": to_us, "step_us": chart.step_us, "points": points,
        "breaks": chart.breaks,
    })))
}

/// The age at which this series' reading on the wall is stale.
fn stale_after_us(wall: &Wall, series: &Series) -> Option<i64> {
    let (_, agent) = wall.agents.iter().find(|(name, _)| ***name == *series.agent)?;
    let mut readings = agent.readings.values().map(|current| &current.reading);
    let reading = readings.find(|reading| *reading.port == *series.port && *reading.quantity == *series.quantity)?;
    i64::try_from(reading.stale_after_ms).ok()?.checked_mul(1_000)
}

pub(super) fn id(text: &str) -> Result<i64, HttpError> {
    text.parse().map_err(|_| bad_request(format!("{text:?} is not a series id; /api/series lists them")))
}

/// Parses a time range; a missing end means no limit.
pub(super) fn times(from: Option<&str>, to: Option<&str>) -> Result<Range<i64>, HttpError> {
    let time = |name: &str, text: Option<&str>, default: i64| {
        let time = text.map_or(Some(default), |text| text.parse().ok());
        let time = time.filter(|time| (VALID_TIMES.start..=VALID_TIMES.end).contains(time));
        time.ok_or_else(|| {
            let text = text.unwrap_or_default();
            bad_request(format!("`{name}` must be microseconds since 1970 in the years 1 to 9999, not {text:?}"))
        })
    };
    let (from_us, to_us) = (time("from_us", from, VALID_TIMES.start)?, time("to_us", to, VALID_TIMES.end)?);
    if from_us >= to_us {
        return Err(bad_request("`from_us` must be before `to_us`".to_owned()));
    }
    Ok(from_us..to_us)
}
