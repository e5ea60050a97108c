//! What all requests and answers have in common.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

/// What is asked for fits into this, and has come within this time.
const LARGEST: usize = 4 * 1024;
const SLOWEST: Duration = Duration::from_secs(10);

/// Words of an error are not longer.
const LONGEST_WORDS: usize = 64 * 1024;

/// On each answer, unless it has one of its own.
///
/// Nothing is loaded from elsewhere and nobody frames or embeds what is here. Forms say where they come from only if
/// the referrer policy lets them tell at least this page itself: with `no-referrer` their `Origin` is `null`.
const USUAL: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// A request that is not fulfilled, and what whoever made it can do.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(status, words) = self;
        (status, json_of(&json!({ "error": words }))).into_response()
    }
}

impl From<PathRejection> for Refusal {
    fn from(why: PathRejection) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, format!("no such camera: {}", why.body_text()))
    }
}

impl From<QueryRejection> for Refusal {
    fn from(why: QueryRejection) -> Refusal {
        let words = why.body_text();
        let words = words.trim_start_matches("Failed to deserialize query string: ");
        Refusal(StatusCode::BAD_REQUEST, format!("{words}; see docs/http-api.md"))
    }
}

/// An answer in JSON.
pub(super) fn json_of(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// Takes in what a request has for a body, so that nobody behind this waits for it.
pub(super) async fn take_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(SLOWEST, to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let words = format!("the request is cut short, or longer than the {LARGEST} bytes that any needs");
            Refusal(StatusCode::PAYLOAD_TOO_LARGE, words).into_response()
        }
        Err(_) => Refusal(StatusCode::REQUEST_TIMEOUT, "the request did not come in time".into()).into_response(),
    }
}

/// Gives each answer the usual headers, and each error its words as JSON.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if answer.status().is_client_error() || answer.status().is_server_error() {
        answer = worded(answer).await;
    }
    for (name, value) in USUAL {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// What axum itself refuses it refuses in plain words, or without any.
async fn worded(answer: Response) -> Response {
    let is_ours = |headers: &HeaderMap| {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        kind.starts_with("application/json") || kind.starts_with("text/html")
    };
    let (mut parts, body) = answer.into_parts();
    if is_ours(&parts.headers) {
        return Response::from_parts(parts, body);
    }
    let words = to_bytes(body, LONGEST_WORDS).await.unwrap_or_default();
    let words = match String::from_utf8_lossy(&words).trim() {
        "" => parts.status.canonical_reason().unwrap_or("refused").to_lowercase(),
        words => words.to_owned(),
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(json!({ "error": words }).to_string()))
}
