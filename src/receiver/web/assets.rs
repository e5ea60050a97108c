//! The page's files, all of them: nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Site;

const FILES: [(&str, &str); 43] = [
    ("/", include_str!("page/index.html")),
    ("/chart.css", include_str!("page/chart.css")),
    ("/history.css", include_str!("page/history.css")),
    ("/page.css", include_str!("page/page.css")),
    ("/icon.svg", include_str!("page/icon.svg")),
    ("/acts.js", include_str!("page/acts.js")),
    ("/agents.js", include_str!("page/agents.js")),
    ("/api.js", include_str!("page/api.js")),
    ("/chart.js", include_str!("page/chart.js")),
    ("/cut.js", include_str!("page/cut.js")),
    ("/dom.js", include_str!("page/dom.js")),
    ("/drawing.js", include_str!("page/drawing.js")),
    ("/footage.js", include_str!("page/footage.js")),
    ("/frames.js", include_str!("page/frames.js")),
    ("/gestures.js", include_str!("page/gestures.js")),
    ("/health.js", include_str!("page/health.js")),
    ("/history.js", include_str!("page/history.js")),
    ("/jump.js", include_str!("page/jump.js")),
    ("/keys.js", include_str!("page/keys.js")),
    ("/lanes.js", include_str!("page/lanes.js")),
    ("/large.js", include_str!("page/large.js")),
    ("/latest.js", include_str!("page/latest.js")),
    ("/layout.js", include_str!("page/layout.js")),
    ("/lines.js", include_str!("page/lines.js")),
    ("/link.js", include_str!("page/link.js")),
    ("/login.css", include_str!("page/login.css")),
    ("/machine.js", include_str!("page/machine.js")),
    ("/moments.js", include_str!("page/moments.js")),
    ("/page.js", include_str!("page/page.js")),
    ("/play.js", include_str!("page/play.js")),
    ("/plot.js", include_str!("page/plot.js")),
    ("/ports.js", include_str!("page/ports.js")),
    ("/readings.js", include_str!("page/readings.js")),
    ("/series.js", include_str!("page/series.js")),
    ("/span.js", include_str!("page/span.js")),
    ("/spark.js", include_str!("page/spark.js")),
    ("/tell.js", include_str!("page/tell.js")),
    ("/ticks.js", include_str!("page/ticks.js")),
    ("/tiles.js", include_str!("page/tiles.js")),
    ("/timeline.js", include_str!("page/timeline.js")),
    ("/view.js", include_str!("page/view.js")),
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
