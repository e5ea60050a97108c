//! Error responses, as JSON.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A rejected request: status, and a message that says what to do.
#[derive(Debug)]
pub(super) struct HttpError(pub(super) StatusCode, pub(super) String);

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let HttpError(status, message) = self;
        (status, json_response(&json!({ "error": message }))).into_response()
    }
}

impl From<PathRejection> for HttpError {
    fn from(rejection: PathRejection) -> HttpError {
        HttpError(StatusCode::NOT_FOUND, format!("no such camera: {}", rejection.body_text()))
    }
}

impl From<QueryRejection> for HttpError {
    fn from(rejection: QueryRejection) -> HttpError {
        let message = rejection.body_text();
        let message = message.trim_start_matches("Failed to deserialize query string: ");
        HttpError(StatusCode::BAD_REQUEST, format!("{message}; see docs/http-api.md"))
    }
}

/// Builds a JSON response.
pub(super) fn json_response(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
