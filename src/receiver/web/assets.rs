//! The page's files, embedded with their directory. Nothing is loaded from other hosts.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse as _;
use axum::routing::get;
use include_dir::{Dir, File, include_dir};

use super::Site;

static PAGE: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/receiver/web/page");

pub(super) fn routes() -> Router<Site> {
    files(&PAGE).into_iter().fold(Router::new(), |routes, file| match content_type(file) {
        Some(kind) => {
            let asset =
                async move || ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], file.contents()).into_response();
            routes.route(&url_path(file), get(asset))
        }
        None => routes,
    })
}

/// Returns the files of a directory and of the directories in it.
fn files(dir: &'static Dir<'static>) -> Vec<&'static File<'static>> {
    dir.files().chain(dir.dirs().flat_map(files)).collect()
}

fn url_path(file: &File<'_>) -> String {
    let path = file.path().to_string_lossy();
    let path = if path == "index.html" { "" } else { &*path };
    ["/", path].concat()
}

/// Returns a file's content type; `None` for files that are not part of the page and are not served.
fn content_type(file: &File<'_>) -> Option<&'static str> {
    match file.path().extension()?.to_str()? {
        "css" => Some("text/css; charset=utf-8"),
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_is_served() {
        let unserved: Vec<_> = files(&PAGE).into_iter().filter(|file| content_type(file).is_none()).collect();
        assert!(unserved.is_empty(), "not part of the page: {unserved:?}");
        assert!(files(&PAGE).iter().any(|file| url_path(file) == "/live/tiles.js"));
    }
}
