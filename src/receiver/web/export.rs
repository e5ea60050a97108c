//! All readings of a time, as CSV or JSON, as fast as they are taken and never all in memory.

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
use super::answer::Refusal;
use super::readings::{id, reader, times};
use crate::receiver::history::{Export, Reader, Row};

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/api/readings.csv", get(async |State(site): State<Site>, asked| export(site, asked, Form::Csv).await))
        .route("/api/readings.json", get(async |State(site): State<Site>, asked| export(site, asked, Form::Json).await))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    from_us: Option<String>,
    to_us: Option<String>,
    series: Option<String>,
}

#[derive(Clone, Copy)]
enum Form {
    Csv,
    Json,
}

async fn export(site: Site, asked: Result<Query<Asked>, QueryRejection>, form: Form) -> Result<Response, Refusal> {
    let Query(asked) = asked?;
    let range = times(asked.from_us.as_deref(), asked.to_us.as_deref())?;
    let only = asked.series.map(|ids| ids.split(',').map(id).collect::<Result<BTreeSet<_>, _>>()).transpose()?;
    let reader = reader(&site)?;
    let sending = Sending { export: reader.export(range, only).await?, reader, form, shutdown: site.shutdown };
    // An error ends the connection in the middle of the body, which is how one who reads knows that it is not all.
    let parts = stream::try_unfold(Some((sending, form.head().to_owned())), async |next| match next {
        Some((sending, text)) => sending.next(text).await.map(Some),
        None => Ok(None),
    });
    let headers = [(CONTENT_TYPE, form.kind()), (CONTENT_DISPOSITION, form.disposition())];
    Ok((headers, Body::from_stream(parts)).into_response())
}

struct Sending {
    export: Export,
    reader: Reader,
    form: Form,
    shutdown: CancellationToken,
}

impl Sending {
    /// The next part, which begins with `text`, and if it is not the last what the one after it begins with.
    async fn next(self, mut text: String) -> Result<(Bytes, Option<(Sending, String)>), String> {
        let Sending { export, reader, form, shutdown } = self;
        let read = tokio::select! {
            () = shutdown.cancelled() => return Err("the receiver ends".to_owned()),
            read = reader.next(export) => read.map_err(|why| why.to_string())?,
        };
        let Some((rows, export)) = read else {
            text.push_str(form.tail());
            return Ok((text.into(), None));
        };
        for row in &rows {
            form.write(row, &mut text);
        }
        Ok((text.into(), Some((Sending { export, reader, form, shutdown }, String::new()))))
    }
}

impl Form {
    fn kind(self) -> &'static str {
        match self {
            Form::Csv => "text/csv; charset=utf-8",
            Form::Json => "application/json",
        }
    }

    fn disposition(self) -> &'static str {
        match self {
            Form::Csv => "attachment; filename=\"readings.csv\"",
            Form::Json => "attachment; filename=\"readings.json\"",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Form::Csv => "time,agent,port,quantity,value,unit,dated\r\n",
            Form::Json => "{\"readings\":[",
        }
    }

    fn tail(self) -> &'static str {
        match self {
            Form::Csv => "",
            Form::Json => "\n]}\n",
        }
    }

    fn write(self, row: &Row, text: &mut String) {
        let series = &row.series;
        match self {
            Form::Csv => {
                // The range that was asked for has no other times.
                let time = Timestamp::from_microsecond(row.at_us).unwrap_or_default();
                let (quantity, unit) = (field(&series.quantity), field(&series.unit));
                let (agent, port, value, dated) = (&series.agent, &series.port, row.value, row.dated);
                write!(text, "{time:.3},{agent},{port},{quantity},{value},{unit},{dated}\r\n")
                    .expect("a String takes all");
            }
            Form::Json => {
                let separator = if text.ends_with('[') { "\n" } else { ",\n" };
                let reading = json!({
                    "at_us": row.at_us, "agent": series.agent, "port": series.port, "quantity": series.quantity,
                    "value": row.value, "unit": series.unit, "dated": row.dated,
                });
                write!(text, "{separator}{reading}").expect("a String takes all");
            }
        }
    }
}

/// As RFC 4180 has it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
