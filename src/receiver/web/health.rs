//! Health check for probes without a token; it reveals nothing else.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Site;
use super::error::HttpError;
use crate::receiver::history::Reader;

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/health", get(health))
}

async fn health(State(site): State<Site>) -> Response {
    let causes = causes(&site);
    if causes.is_empty() {
        return "ok\n".into_response();
    }
    HttpError(StatusCode::SERVICE_UNAVAILABLE, causes.join("; ")).into_response()
}

/// The problems that keep the receiver from working, without names or addresses.
pub(in crate::receiver) fn causes(site: &Site) -> Vec<String> {
    let links = site.links.borrow().clone();
    let closed = links.iter().filter(|link| link.now().closed).count();
    let links = (closed > 0).then(|| format!("{closed} of {} links cannot be opened", links.len()));
    let history_cause = site.history.as_ref().map_or_else(Clone::clone, Reader::cause);
    let history_fails = !history_cause.is_empty();
    let recorder_fails = site.library.as_ref().is_some_and(|library| !library.state().cause.is_empty());
    let cause = |fails: bool, text: &str| fails.then(|| text.to_owned());
    let storage = [cause(history_fails, "readings are not stored"), cause(recorder_fails, "frames are not recorded")];
    links.into_iter().chain(storage.into_iter().flatten()).collect()
}
