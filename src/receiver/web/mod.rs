//! The page and what it asks for, over HTTP.
//!
//! `assets.rs` has its files, `live.rs` keeps it live with what `tell.rs` says of the wall, `access.rs` knows who may come in;
//! `footage.rs` gives what was recorded, with `thumbnail.rs`.

mod access;
mod assets;
mod footage;
mod live;
mod tell;
mod thumbnail;

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::recorder::Library;
use super::wall::Wall;

/// What each request's task has.
#[derive(Clone)]
struct Site {
    wall: watch::Receiver<Wall>,
    /// None: nothing is recorded.
    library: Option<Arc<Library>>,
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
    library: Option<Arc<Library>>,
    shutdown: CancellationToken,
) -> Result<()> {
    let site = Site { wall, library, shutdown: shutdown.clone(), tasks: TaskTracker::new() };
    let routes =
        Router::new().merge(assets::routes()).merge(live::routes()).merge(footage::routes()).with_state(site.clone());
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    site.tasks.close();
    site.tasks.wait().await;
    Ok(())
}
