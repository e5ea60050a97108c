//! Who may come in.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// A browser lets any page on the web connect to this machine; it says which one does. Programs say nothing.
pub(super) fn is_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            // A name that somebody else's DNS points here is not ours either.
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            matches!(name, "localhost" | "127.0.0.1" | "[::1]")
                && origin.split_once("://").is_some_and(|(_, from)| from == host)
        }
        (Some(_), None) => false,
    }
}
