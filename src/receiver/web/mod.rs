//! The page and the HTTP API.
//!
//! `connections.rs` accepts connections, `middleware.rs` and `auth.rs` process every request before it reaches a
//! handler. `assets.rs` serves the page's files, `login.rs` the login form, and `live.rs` the state: `wall_json.rs` and
//! `notices_json.rs` make its JSON, `wall_pieces.rs` keeps it for all viewers, and `viewer_socket.rs` sends it.
//! `agents.rs` lists, forgets and merges agents, `cameras.rs` sends commands to cameras, `readings.rs` and `export.rs` read
//! the history, `footage.rs` and `thumbnail.rs` the recordings. `metrics/` serves Prometheus.

mod aged_json;
mod agents;
mod assets;
mod auth;
mod cameras;
mod connection_limits;
mod connections;
mod cross_site;
mod error;
mod export;
mod footage;
mod health;
mod live;
mod login;
mod metrics;
mod middleware;
mod notices_json;
mod readings;
mod sent_frames;
mod thumbnail;
mod viewer_socket;
mod wall_json;
mod wall_pieces;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::Budget;
use super::commands::Commands;
use super::history::Reader;
use super::link_stats::LinkStats;
use super::quotas::Quotas;
use super::recorder::Library;
use super::refused_agents::RefusedAgents;
use super::wall::Wall;
pub use auth::Access;
use error::HttpError;
pub(super) use health::causes;
pub use wall_pieces::WallPieces;

/// State shared by all requests.
#[derive(Clone)]
pub struct Site {
    /// The newest of everything.
    pub wall: watch::Receiver<Wall>,
    /// Forgets agents.
    pub wall_editor: watch::Sender<Wall>,
    /// Tokens and roles.
    pub access: Arc<Access>,
    /// The wall as JSON.
    pub pieces: WallPieces,
    /// Sends commands to agents.
    pub commands: Commands,
    /// The history, or the reason why it is off; empty if configured so.
    pub history: Result<Reader, String>,
    /// The recordings; `None` if recording is off.
    pub library: Option<Arc<Library>>,
    /// The bound of what agents put into memory.
    pub budget: Budget,
    /// Limits, and how much of each is in use.
    pub quotas: Quotas,
    /// Agents that are refused because of their name.
    pub refused: RefusedAgents,
    /// Counters of each link.
    pub links: watch::Receiver<Vec<LinkStats>>,
    /// Tasks of viewers, joined at shutdown.
    pub viewers: TaskTracker,
    /// Cancelled when the receiver stops.
    pub shutdown: CancellationToken,
}

/// Serves the page until the shutdown.
///
/// # Errors
/// None today: errors of a connection only close it.
pub async fn serve(listener: TcpListener, site: Site) -> Result<()> {
    connections::serve(listener, routes(&site), &site.shutdown).await;
    site.viewers.close();
    site.viewers.wait().await;
    Ok(())
}

/// All routes; authentication applies to every one.
fn routes(site: &Site) -> Router {
    Router::new()
        .merge(agents::routes())
        .merge(assets::routes())
        .merge(cameras::routes())
        .merge(export::routes())
        .merge(footage::routes())
        .merge(health::routes())
        .merge(live::routes())
        .merge(login::routes())
        .merge(metrics::routes())
        .merge(readings::routes())
        .fallback(async || HttpError(StatusCode::NOT_FOUND, "not found; see docs/http-api.md".into()))
        .layer(from_fn(middleware::read_body))
        .layer(from_fn_with_state(site.clone(), auth::authenticate))
        .layer(from_fn(middleware::finish))
        .with_state(site.clone())
}
