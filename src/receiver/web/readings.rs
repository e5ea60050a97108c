//! What was measured, over HTTP: which series there are, and charts of them.

use std::ops::Range;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::answer::{Refusal, json_of};
use crate::receiver::history::{ChartQuery, ReadError, Reader, Series};

/// Points of a chart, without other words and at most.
const POINTS: usize = 600;
const MOST_POINTS: usize = 2_000;

/// Times that every calendar has: of the years 1 to 9999, in microseconds since 1970.
const TIMES: Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/api/series", get(series)).route("/api/chart", get(chart))
}

/// Whether readings are kept now, and if not, why.
pub(super) fn tell(history: &Result<Reader, String>) -> Value {
    match history {
        Ok(reader) => json!({ "on": true, "cause": reader.cause() }),
        Err(cause) => json!({ "on": false, "cause": cause }),
    }
}

impl From<ReadError> for Refusal {
    fn from(why: ReadError) -> Refusal {
        let status = match why {
            ReadError::NoSeries(_) => StatusCode::NOT_FOUND,
            ReadError::TooMuch => StatusCode::BAD_REQUEST,
            ReadError::Busy | ReadError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal(status, why.to_string())
    }
}

fn bad(what: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, what)
}

pub(super) fn reader(site: &Site) -> Result<Reader, Refusal> {
    let missing = |cause: String| {
        let cause = if cause.is_empty() { "[history] off = true says so".to_owned() } else { cause };
        Refusal(StatusCode::NOT_FOUND, format!("this receiver keeps no history: {cause}"))
    };
    site.history.clone().map_err(missing)
}

async fn series(State(site): State<Site>) -> Result<Response, Refusal> {
    let series = reader(&site)?.series().await?;
    let told = |(series, first_us, last_us): &(Series, i64, i64)| {
        json!({
            "id": series.id, "agent": series.agent, "port": series.port, "quantity": series.quantity,
            "unit": series.unit, "first_us": first_us, "last_us": last_us,
        })
    };
    Ok(json_of(&json!({ "series": series.iter().map(told).collect::<Vec<_>>() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChartAsked {
    series: Option<String>,
    from_us: Option<String>,
    to_us: Option<String>,
    points: Option<String>,
}

async fn chart(
    State(site): State<Site>,
    asked: Result<Query<ChartAsked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let needed = |name: &str, given: Option<String>| given.ok_or_else(|| bad(format!("`{name}` is missing")));
    let series = id(&needed("series", asked.series)?)?;
    let (from_us, to_us) = (needed("from_us", asked.from_us)?, needed("to_us", asked.to_us)?);
    let Range { start: from_us, end: to_us } = times(Some(&from_us), Some(&to_us))?;
    let points = asked.points.map_or(Ok(POINTS), |text| {
        let points = text.parse().ok().filter(|points| (2..=MOST_POINTS).contains(points));
        points.ok_or_else(|| bad(format!("`points` is {text:?}; write a number from 2 to {MOST_POINTS}")))
    })?;
    let chart = reader(&site)?.chart(ChartQuery { series, from_us, to_us, points }).await?;
    let points: Vec<_> = chart.points.iter().map(|point| (point.at_us, point.min, point.max, point.mean)).collect();
    Ok(json_of(&json!({
        "series": series, "from_us": from_us, "to_us": to_us, "step_us": chart.step_us, "points": points,
    })))
}

pub(super) fn id(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| bad(format!("{text:?} is not a series; write the number that /api/series gives it")))
}

/// From one time to another, or from the first or to the last.
pub(super) fn times(from: Option<&str>, to: Option<&str>) -> Result<Range<i64>, Refusal> {
    let time = |name: &str, text: Option<&str>, or: i64| {
        let time = text.map_or(Some(or), |text| text.parse().ok());
        let time = time.filter(|time| (TIMES.start..=TIMES.end).contains(time));
        time.ok_or_else(|| {
            let text = text.unwrap_or_default();
            bad(format!("`{name}` is {text:?}; write microseconds since 1970, of a year from 1 to 9999"))
        })
    };
    let (from_us, to_us) = (time("from_us", from, TIMES.start)?, time("to_us", to, TIMES.end)?);
    if from_us >= to_us {
        return Err(bad("`from_us` must be before `to_us`".to_owned()));
    }
    Ok(from_us..to_us)
}
