//! Where a person says who they are: a plain form, which needs no script.

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{CONTENT_TYPE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::Site;

/// How long a browser keeps a cookie, in seconds; it ends before when the token is another one.
const YEAR: u32 = 365 * 24 * 60 * 60;

/// What stands in the page where words on a wrong token go.
const PLACE: &str = "<!-- wrong -->";
const WRONG: &str = "<p id=\"wrong\" role=\"alert\">That is not one of this receiver’s tokens.</p>";

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/login", get(ask).post(enter)).route("/logout", post(leave))
}

#[derive(Deserialize)]
struct Said {
    token: String,
}

async fn ask(State(site): State<Site>, headers: HeaderMap) -> Response {
    match site.access.role(&headers).await {
        Some(_) => go("/").into_response(),
        None => form(StatusCode::OK, ""),
    }
}

async fn enter(State(site): State<Site>, headers: HeaderMap, said: Result<Form<Said>, FormRejection>) -> Response {
    if !site.access.asks() {
        return go("/").into_response();
    }
    let Ok(Form(Said { token })) = said else { return form(StatusCode::BAD_REQUEST, WRONG) };
    let Some(cookie) = site.access.cookie(token.trim()).await else { return form(StatusCode::UNAUTHORIZED, WRONG) };
    // The browser knows whether somebody before this receiver encrypts.
    let encrypted = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    ([(SET_COOKIE, site.access.set_cookie(cookie, YEAR, encrypted))], go("/")).into_response()
}

async fn leave(State(site): State<Site>) -> Response {
    let to = if site.access.asks() { "/login" } else { "/" };
    ([(SET_COOKIE, site.access.set_cookie("", 0, false))], go(to)).into_response()
}

fn form(status: StatusCode, words: &str) -> Response {
    let page = include_str!("login.html").replace(PLACE, words);
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

fn go(to: &'static str) -> (StatusCode, [(axum::http::HeaderName, &'static str); 1]) {
    (StatusCode::SEE_OTHER, [(LOCATION, to)])
}
