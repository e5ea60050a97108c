//! Whether the receiver does its work, for a probe that has no token: nothing else is told.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Site;
use super::answer::Refusal;
use crate::receiver::history::Reader;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/health", get(health))
}

async fn health(State(site): State<Site>) -> Response {
    let causes = causes(&site);
    if causes.is_empty() {
        return "ok\n".into_response();
    }
    Refusal(StatusCode::SERVICE_UNAVAILABLE, causes.join("; ")).into_response()
}

/// What keeps the receiver from its work, without names or addresses.
pub(in crate::receiver) fn causes(site: &Site) -> Vec<String> {
    let links = site.links.borrow().clone();
    let closed = links.iter().filter(|link| link.now().closed).count();
    let links = (closed > 0).then(|| format!("{closed} of {} links cannot be opened", links.len()));
    let cause = site.history.as_ref().map_or_else(Clone::clone, Reader::cause);
    let history = !cause.is_empty();
    let recorder = site.library.as_ref().is_some_and(|library| !library.state().cause.is_empty());
    let words = |fails: bool, words: &str| fails.then(|| words.to_owned());
    let kept = [words(history, "readings are not kept"), words(recorder, "frames are not recorded")];
    links.into_iter().chain(kept.into_iter().flatten()).collect()
}
