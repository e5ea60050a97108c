//! `/metrics`: the state of everything in Prometheus' text format.

mod agents;
mod limits;
mod storage;
mod machines;
mod parts;
mod text;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Site;
pub(in crate::receiver) use text::{Kind, Text};

pub(super) fn routes() -> Router<Site> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(site): State<Site>) -> Response {
    let mut text = Text::default();
    agents::write(&site.wall.borrow(), &mut text);
    parts::write(&site.wall.borrow(), &mut text);
    machines::write(&site.wall.borrow(), &mut text);
    links(&site, &mut text);
    storage::write(&site, &mut text);
    limits::write(&site, &mut text);
    page(&site, &mut text);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}

/// The receiver's links.
fn links(site: &Site, text: &mut Text) {
    let counts = site.links.borrow().clone();
    let links: Vec<_> = counts.iter().map(|link| (&*link.address, link.now())).collect();
    let up = links.iter().map(|(link, counts)| ([("link", *link)], f64::from(!counts.closed)));
    text.family("link_up", Kind::Gauge, "Whether the receiver's link is open.", up);
    let messages = links.iter().flat_map(|(link, counts)| {
        counts.messages.iter().map(move |(kind, count)| ([("link", *link), ("type", *kind)], *count as f64))
    });
    text.family("link_messages_total", Kind::Counter, "Messages received over the receiver's link, by type.", messages);
    let malformed = links.iter().flat_map(|(link, counts)| {
        counts.malformed.iter().map(move |(cause, count)| ([("link", *link), ("cause", *cause)], *count as f64))
    });
    let help = "Malformed messages received over the receiver's link, by cause.";
    text.family("link_malformed_total", Kind::Counter, help, malformed);
}

fn page(site: &Site, text: &mut Text) {
    let viewers = site.viewers.len() as f64;
    text.family("viewers", Kind::Gauge, "Browsers that show the live page.", [([], viewers)]);
    let version = [([("version", env!("CARGO_PKG_VERSION"))], 1.0)];
    text.family("build_info", Kind::Gauge, "The receiver's version.", version);
}
