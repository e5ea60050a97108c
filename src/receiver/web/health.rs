//! Health check for probes without a token; it reveals nothing else.

use std::collections::BTreeSet;

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
    links.into_iter().chain(storage.into_iter().flatten()).chain(away(site)).chain(refusals(site)).collect()
}

/// Agents that are away, until somebody forgets them.
fn away(site: &Site) -> Option<String> {
    match site.wall.borrow().away() {
        0 => None,
        1 => Some("1 agent is away".to_owned()),
        count => Some(format!("{count} agents are away")),
    }
}

/// Agents that are refused, and limits that are reached.
fn refusals(site: &Site) -> impl Iterator<Item = String> {
    let refused: BTreeSet<_> = site.refused.current().into_iter().map(|(refused, _)| refused.peer).collect();
    let refused = match refused.len() {
        0 => None,
        1 => Some("1 agent is refused because of its name".to_owned()),
        count => Some(format!("{count} agents are refused because of their names")),
    };
    let quotas = site.quotas.all().into_iter().filter(|(_, state)| state.is_refusing());
    refused.into_iter().chain(quotas.map(|(quota, _)| quota.consequence().to_owned()))
}
