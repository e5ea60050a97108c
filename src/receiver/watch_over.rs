//! What goes on beside receiving: the service manager hears how it goes, and new configurations are taken.

use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Reloads;
use super::history::WRITTEN;
use super::links::Links;
use super::summary::summary;
use super::web::Site;
use crate::config;
use crate::service::Manager;

/// How often the service manager hears how it goes.
const OFTEN: Duration = Duration::from_secs(1);

/// A disk that takes longer hangs.
const CLOSED: Duration = Duration::from_secs(30);

/// What is said to the receiver while it runs, and by it to the service manager.
pub(super) struct Said<'a> {
    pub(super) reloads: Reloads,
    pub(super) manager: Manager,
    pub(super) shutdown: &'a CancellationToken,
    /// The last configuration was not taken.
    pub(super) refused: bool,
}

impl Said<'_> {
    /// How long the end waits for a disk. Before all begins anew its file has to be closed, or nobody else could have it;
    /// whose threads are ending is nobody to be missed meanwhile.
    pub(super) async fn patience_with_disks(&mut self, end: &End) {
        let patience = Instant::now() + CLOSED;
        while matches!(end, End::Anew(_)) && Instant::now() < patience && !self.shutdown.is_cancelled() {
            self.manager.alive(std::iter::empty());
            let _ = self.shutdown.run_until_cancelled(sleep(OFTEN)).await;
        }
        sleep(WRITTEN).await;
    }
}

/// Why it has ended.
pub(super) enum End {
    /// It was told to.
    Shutdown,
    /// All is to begin anew with this.
    Anew(Box<config::Receiver>),
    Failed(Error),
}

/// Has the service manager know how it goes, and takes new configurations, until all is to end.
pub(super) async fn watch_over(
    mut config: config::Receiver,
    site: &Site,
    page: &str,
    links: &mut Links<'_>,
    followers: &mut JoinSet<Result<()>>,
    said: &mut Said<'_>,
) -> End {
    let mut often = interval(OFTEN);
    loop {
        tokio::select! {
            biased;
            () = said.shutdown.cancelled() => {
                said.manager.stopping();
                return End::Shutdown;
            }
            // Followers end before only when they fail or nobody reads their lines; then the receiver ends.
            Some(ended) = followers.join_next() => return match ended {
                Ok(Ok(())) => End::Shutdown,
                Ok(Err(error)) => End::Failed(error),
                Err(error) => End::Failed(error.into()),
            },
            (output, error) = links.workers.ended() => return End::Failed(output.and_then(Result::err).unwrap_or(error)),
            Some(read) = said.reloads.recv() => {
                said.manager.reloading();
                said.refused = read.is_err();
                match read {
                    Err(error) => error!("the new configuration is not taken, all goes on as before: {error}"),
                    Ok(new) if !new.is_but_for_links(&config) => {
                        info!("the new configuration is not of links alone: all begins anew");
                        return End::Anew(Box::new(new));
                    }
                    Ok(new) => match links.follow(&new.links).await {
                        Ok(()) => config = new,
                        Err(error) => return End::Failed(error),
                    },
                }
            }
            _ = often.tick() => {}
        }
        said.manager.ready();
        said.manager.status(summary(site, page, said.refused));
        said.manager.alive(links.heartbeats());
    }
}
