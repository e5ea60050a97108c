//! The page and what it asks for, over HTTP.
//!
//! `assets.rs` has its files, `live.rs` keeps it live with what `tell.rs` says of the wall, `access.rs` knows who may come in;
//! `readings.rs` and `export.rs` give what the history has.

mod access;
mod assets;
mod export;
mod live;
mod readings;
mod tell;

use anyhow::Result;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::history::Reader;
use super::wall::Wall;

/// What each request's task has.
#[derive(Clone)]
struct Site {
    wall: watch::Receiver<Wall>,
    /// Or why there is none; nothing if that was asked for.
    history: Result<Reader, String>,
    shutdown: CancellationToken,
    /// Viewers, of whom none is forgotten at the end.
    tasks: TaskTracker,
}

/// Serves the page until the shutdown.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    wall: watch::Receiver<Wall>,
    history: Result<Reader, String>,
    shutdown: CancellationToken,
) -> Result<()> {
    let site = Site { wall, history, shutdown: shutdown.clone(), tasks: TaskTracker::new() };
    let routes = Router::new()
        .merge(assets::routes())
        .merge(live::routes())
        .merge(readings::routes())
        .merge(export::routes())
        .with_state(site.clone());
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    site.tasks.close();
    site.tasks.wait().await;
    Ok(())
}
