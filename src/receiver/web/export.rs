//! All readings of a time range as CSV or JSON, streamed as fast as the client reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Site;
use super::error::HttpError;
use super::readings::{id, reader, times};
use crate::receiver::history::{Export, Reader, Row};

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route(
            "/api/readings.csv",
            get(async |State(site): State<Site>, params| export(site, params, Format::Csv).await),
        )
        .route(
            "/api/readings.json",
            get(async |State(site): State<Site>, params| export(site, params, Format::Json).await),
        )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportParams {
    from_us: Option<String>,
    to_us: Option<String>,
    series: Option<String>,
}

#[derive(Clone, Copy)]
enum Format {
    Csv,
    Json,
}

async fn export(
    site: Site,
    params: Result<Query<ExportParams>, QueryRejection>,
    format: Format,
) -> Result<Response, HttpError> {
    let Query(params) = params?;
    let range = times(params.from_us.as_deref(), params.to_us.as_deref())?;
    let only = params.series.map(|ids| ids.split(',').map(id).collect::<Result<BTreeSet<_>, _>>()).transpose()?;
    let reader = reader(&site)?;
    let export = ExportStream { export: reader.export(range, only).await?, reader, format, shutdown: site.shutdown };
    // An error aborts the connection inside the body, so the client knows that the response is incomplete.
    let parts = stream::try_unfold(Some((export, format.head().to_owned())), async |next| match next {
        Some((export, text)) => export.next(text).await.map(Some),
        None => Ok(None),
    });
    let headers = [(CONTENT_TYPE, format.content_type()), (CONTENT_DISPOSITION, format.disposition())];
    Ok((headers, Body::from_stream(parts)).into_response())
}

struct ExportStream {
    export: Export,
    reader: Reader,
    format: Format,
    shutdown: CancellationToken,
}

impl ExportStream {
    /// The next part, starting with `text`, and the start of the part after it, unless this is the last.
    async fn next(self, mut text: String) -> Result<(Bytes, Option<(ExportStream, String)>), String> {
        let ExportStream { mut export, reader, format, shutdown } = self;
        let (rows, export) = loop {
            let read = tokio::select! {
                () = shutdown.cancelled() => return Err("the receiver is shutting down".to_owned()),
                read = reader.next(export) => read.map_err(|error| error.to_string())?,
            };
            match read {
                Some((rows, rest)) if rows.is_empty() => export = rest,
                Some(read) => break read,
                None => {
                    text.push_str(format.tail());
                    return Ok((text.into(), None));
                }
            }
        };
        for row in &rows {
            format.write(row, &mut text);
        }
        Ok((text.into(), Some((ExportStream { export, reader, format, shutdown }, String::new()))))
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Csv => "text/csv; charset=utf-8",
            Format::Json => "application/json",
        }
    }

    fn disposition(self) -> &'static str {
        match self {
            Format::Csv => "attachment; filename=\"readings.csv\"",
            Format::Json => "attachment; filename=\"readings.json\"",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Format::Csv => "time,agent,port,quantity,value,unit,dated\r\n",
            Format::Json => "{\"readings\":[",
        }
    }

    fn tail(self) -> &'static str {
        match self {
            Format::Csv => "",
            Format::Json => "\n]}\n",
        }
    }

    fn write(self, row: &Row, text: &mut String) {
        let series = &row.series;
        match self {
            Format::Csv => {
                // All times of the range are valid.
                let time = Timestamp::from_microsecond(row.at_us).unwrap_or_default();
                let [agent, port, quantity, unit] =
                    [&series.agent, &series.port, &series.quantity, &series.unit].map(|text| cell(text));
                let (value, dated) = (row.value, row.dated);
                write!(text, "{time:.3},{agent},{port},{quantity},{value},{unit},{dated}\r\n")
                    .expect("writing to a String cannot fail");
            }
            Format::Json => {
                let separator = if text.ends_with('[') { "\n" } else { ",\n" };
                let reading = json!({
                    "at_us": row.at_us, "agent": series.agent, "port": series.port, "quantity": series.quantity,
                    "value": row.value, "unit": series.unit, "dated": row.dated,
                });
                write!(text, "{separator}{reading}").expect("writing to a String cannot fail");
            }
        }
    }
}

/// Quotes a text as RFC 4180 requires. A spreadsheet would run a text that looks like a formula, so that one gets an
/// apostrophe in front.
fn cell(text: &str) -> String {
    let apostrophe = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{text}")
    }
}
