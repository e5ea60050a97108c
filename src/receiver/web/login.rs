//! The login page: a plain form that works without scripts.

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::Site;

/// How long a browser keeps the cookie, in seconds. A changed token invalidates it earlier.
const YEAR: u32 = 365 * 24 * 60 * 60;

/// Placeholder in login.html for the error message.
const ERROR_PLACEHOLDER: &str = "<!-- wrong -->";
const WRONG_TOKEN: &str = "<p id=\"wrong\" role=\"alert\">Unknown token. Use one of this receiver’s token files.</p>";

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/login", get(show).post(login)).route("/logout", post(logout))
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
}

async fn show(State(site): State<Site>, headers: HeaderMap) -> Response {
    match site.access.role(&headers).await {
        Some(_) => redirect("/").into_response(),
        None => form(StatusCode::OK, ""),
    }
}

async fn login(
    State(site): State<Site>,
    headers: HeaderMap,
    submitted: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    if !site.access.requires_token() {
        return redirect("/").into_response();
    }
    let Ok(Form(LoginForm { token })) = submitted else { return form(StatusCode::BAD_REQUEST, WRONG_TOKEN) };
    let Some(cookie) = site.access.cookie(token.trim()).await else {
        return form(StatusCode::UNAUTHORIZED, WRONG_TOKEN);
    };
    // The browser knows whether a proxy in front of this receiver uses HTTPS.
    let encrypted = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    ([(SET_COOKIE, site.access.set_cookie(cookie, YEAR, encrypted))], redirect("/")).into_response()
}

async fn logout(State(site): State<Site>) -> Response {
    let to = if site.access.requires_token() { "/login" } else { "/" };
    ([(SET_COOKIE, site.access.set_cookie("", 0, false))], redirect(to)).into_response()
}

fn form(status: StatusCode, error: &str) -> Response {
    let page = include_str!("login.html").replace(ERROR_PLACEHOLDER, error);
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn redirect(to: &'static str) -> (StatusCode, [(axum::http::HeaderName, &'static str); 1]) {
    (StatusCode::SEE_OTHER, [(LOCATION, to)])
}
