//! Processing common to all requests and responses.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::time::timeout;

use super::error::HttpError;

/// Limits of a request's body. The API needs far less.
const MAX_BODY_BYTES: usize = 4 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer error texts are dropped.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Headers of every response that does not set its own.
///
/// They allow only resources of this receiver and forbid embedding. The referrer policy must not be `no-referrer`: it
/// would make the `Origin` of forms `null`.
const DEFAULT_HEADERS: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (CACHE_CONTROL, "no-store"),
];

/// Reads the request's body first, so that no handler waits for it.
pub(super) async fn read_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, Body::from(bytes))).await,
        Ok(Err(_)) => {
            let message = format!("request body incomplete or longer than {MAX_BODY_BYTES} bytes");
            HttpError(StatusCode::PAYLOAD_TOO_LARGE, message).into_response()
        }
        Err(_) => HttpError(StatusCode::REQUEST_TIMEOUT, "request body not received in time".into()).into_response(),
    }
}

/// Adds the default headers, and turns error texts into JSON.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = with_json_error(response).await;
    }
    for (name, value) in DEFAULT_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Errors from axum itself have a plain text or none; converts them to JSON.
async fn with_json_error(response: Response) -> Response {
    let is_final = |headers: &HeaderMap| {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        kind.starts_with("application/json") || kind.starts_with("text/html")
    };
    let (mut parts, body) = response.into_parts();
    if is_final(&parts.headers) {
        return Response::from_parts(parts, body);
    }
    let body = to_bytes(body, MAX_ERROR_BYTES).await.unwrap_or_default();
    let message = match String::from_utf8_lossy(&body).trim() {
        "" => parts.status.canonical_reason().unwrap_or("refused").to_lowercase(),
        message => message.to_owned(),
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(json!({ "error": message }).to_string()))
}
