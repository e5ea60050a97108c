//! The page's files, all of them: nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Site;

const FILES: [(&str, &str); 18] = [
    ("/", include_str!("page/index.html")),
    ("/page.css", include_str!("page/page.css")),
    ("/icon.svg", include_str!("page/icon.svg")),
    ("/agents.js", include_str!("page/agents.js")),
    ("/dom.js", include_str!("page/dom.js")),
    ("/frames.js", include_str!("page/frames.js")),
    ("/health.js", include_str!("page/health.js")),
    ("/large.js", include_str!("page/large.js")),
    ("/layout.js", include_str!("page/layout.js")),
    ("/link.js", include_str!("page/link.js")),
    ("/login.css", include_str!("page/login.css")),
    ("/page.js", include_str!("page/page.js")),
    ("/ports.js", include_str!("page/ports.js")),
    ("/readings.js", include_str!("page/readings.js")),
    ("/spark.js", include_str!("page/spark.js")),
    ("/tiles.js", include_str!("page/tiles.js")),
    ("/wall.js", include_str!("page/wall.js")),
    ("/words.js", include_str!("page/words.js")),
];

pub(super) fn routes() -> Router<Site> {
    FILES.iter().fold(Router::new(), |routes, (path, text)| routes.route(path, get(async || asset(path, text))))
}

fn asset(path: &str, text: &'static str) -> Response {
    let kind = match path.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}
