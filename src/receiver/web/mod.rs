//! The page and the API, over HTTP.
//!
//! A connection (`connections.rs`) comes to the door (`access.rs`), where everything is shut that is not opened there.
//! Behind it `assets.rs` has the page's files, `login.rs` what is asked of whoever has no cookie, `live.rs` keeps the
//! page live with what `tell.rs` says of the wall, `cameras.rs` passes on what is wanted of cameras, `readings.rs` and
//! `export.rs` give what the history has, `footage.rs` and `thumbnail.rs` what was recorded, and `metrics/` counts for
//! Prometheus. `answer.rs` is what all answers have in common.

mod access;
mod answer;
mod assets;
mod cameras;
mod connections;
mod export;
mod footage;
mod health;
mod live;
mod login;
mod metrics;
mod origin;
mod places;
mod readings;
mod tell;
mod thumbnail;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commands::Commands;
use super::history::Reader;
use super::link_stats::LinkStats;
use super::recorder::Library;
use super::wall::Wall;
pub use access::Access;
use answer::Refusal;
pub(super) use health::causes;

/// What each request's task has.
#[derive(Clone)]
pub struct Site {
    /// What is known now.
    pub wall: watch::Receiver<Wall>,
    /// Who may come in.
    pub access: Arc<Access>,
    /// The way to the agents.
    pub commands: Commands,
    /// What was measured, or why that is not kept; nothing if that was asked for.
    pub history: Result<Reader, String>,
    /// What was recorded; none: nothing is.
    pub library: Option<Arc<Library>>,
    /// What came over each link.
    pub links: watch::Receiver<Vec<LinkStats>>,
    /// Viewers, of whom none is forgotten at the end.
    pub viewers: TaskTracker,
    /// The end.
    pub shutdown: CancellationToken,
}

/// Serves the page until the shutdown.
///
/// # Errors
/// None today: what goes wrong with a connection is that connection's end.
pub async fn serve(listener: TcpListener, site: Site) -> Result<()> {
    connections::serve(listener, routes(&site), &site.shutdown).await;
    site.viewers.close();
    site.viewers.wait().await;
    Ok(())
}

/// Everything that can be asked for, all of it behind the same door.
fn routes(site: &Site) -> Router {
    Router::new()
        .merge(assets::routes())
        .merge(cameras::routes())
        .merge(export::routes())
        .merge(footage::routes())
        .merge(health::routes())
        .merge(live::routes())
        .merge(login::routes())
        .merge(metrics::routes())
        .merge(readings::routes())
        .merge(tell::routes())
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "nothing is here; see docs/http-api.md".into()))
        .layer(from_fn(answer::take_body))
        .layer(from_fn_with_state(site.clone(), access::door))
        .layer(from_fn(answer::finish))
        .with_state(site.clone())
}
