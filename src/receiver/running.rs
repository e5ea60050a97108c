//! A running receiver: starts its tasks, watches them, applies reloads, and ends them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::budget::Share;
use super::commands::Commands;
use super::history::{DRAIN_TIMEOUT, History};
use super::link_stats::LinkStats;
use super::owners::Owners;
use super::recorder::Recorder;
use super::refused_agents::RefusedAgents;
use super::summary::summary;
use super::wall::Wall;
use super::web::{self, Site, WallPieces};
use super::{Options, Receiver, Reloads, save};
use crate::config::{self, Inlet};
use crate::service::{Heartbeat, Manager};
use crate::wire::Totals;
use crate::workers::WorkerSet;

/// JSON lines waiting for standard output; more are dropped and counted.
const LINE_QUEUE: usize = 4096;

/// How often the service manager gets the status.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait for followers of the wall to end before they are abandoned.
const FOLLOWERS_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a restart waits for the disk to close the history.
const RESTART_DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON line, and its memory.
pub(super) type Line = (String, Share);

/// The state that survives a restart with another configuration.
pub(super) struct Runtime {
    pub(super) reloads: Reloads,
    pub(super) manager: Manager,
    pub(super) shutdown: CancellationToken,
    /// Whether the last configuration was rejected.
    pub(super) rejected: bool,
}

impl Runtime {
    /// Waits as long as the history may take to close its file. A restart waits longer, because the file cannot be
    /// opened again before; its threads are ending and are not watched meanwhile.
    async fn drain_timeout(&mut self, outcome: &Outcome) {
        let deadline = Instant::now() + RESTART_DRAIN_TIMEOUT;
        while matches!(outcome, Outcome::Restart(_)) && Instant::now() < deadline && !self.shutdown.is_cancelled() {
            self.manager.alive(std::iter::empty());
            let _ = self.shutdown.run_until_cancelled(sleep(STATUS_INTERVAL)).await;
        }
        sleep(DRAIN_TIMEOUT).await;
    }
}

/// Why a receiver stopped running.
pub(super) enum Outcome {
    Shutdown,
    /// More than links changed: restart with this configuration.
    Restart(Box<config::Receiver>),
    Failed(Error),
}

/// A receiver whose tasks run.
pub(super) struct Running {
    pub(super) config: config::Receiver,
    pub(super) site: Site,
    pub(super) owners: Owners,
    /// The page's address.
    page: String,
    pub(super) links: WorkerSet<Inlet, LinkStats, Result<Totals>>,
    pub(super) link_stats: watch::Sender<Vec<LinkStats>>,
    pub(super) wall: watch::Sender<Wall>,
    /// Takes each message's header as a JSON line.
    pub(super) headers: Option<mpsc::Sender<Line>>,
    pub(super) history: Option<History>,
    pub(super) recorder: Option<Recorder>,
    /// Tasks that follow the wall, or print.
    followers: JoinSet<Result<()>>,
}

impl Running {
    /// Starts the tasks of an open receiver.
    pub(super) fn start(receiver: Receiver, options: &Options, shutdown: &CancellationToken) -> Running {
        let Receiver { config, links, page: listener, access, history, recorder, quotas, budget, wall, roster } =
            receiver;
        let page = listener.local_addr().map_or_else(|error| error.to_string(), |page| page.to_string());
        info!("the page is at http://{page}/, {access}");
        let wall = watch::Sender::new(wall);
        let (link_stats, stats) = watch::channel(Vec::new());
        let site = Site {
            wall: wall.subscribe(),
            wall_editor: wall.clone(),
            access: Arc::new(access),
            pieces: WallPieces::default(),
            commands: Commands::new(config.limits.agents),
            history: history.as_ref().map(History::reader).map_err(Clone::clone),
            library: recorder.as_ref().map(Recorder::library),
            quotas,
            budget,
            refused: RefusedAgents::default(),
            links: stats,
            viewers: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        let mut followers = JoinSet::new();
        followers.spawn(web::serve(listener, site.clone()));
        followers.spawn(roster.follow(wall.clone(), site.shutdown.clone()));
        let headers = spawn_followers(&mut followers, &site, options, recorder.as_ref());
        let history = history.ok();
        let (owners, links_set) = (Owners::default(), WorkerSet::new("link", shutdown.child_token()));
        let mut running = Running {
            config,
            site,
            owners,
            page,
            links: links_set,
            link_stats,
            wall,
            headers,
            history,
            recorder,
            followers,
        };
        running.start_links(links);
        running
    }

    /// Publishes the status and applies new configurations, until the shutdown, a failure, or a configuration that
    /// needs a restart.
    pub(super) async fn watch(&mut self, runtime: &mut Runtime) -> Outcome {
        let mut status = interval(STATUS_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = runtime.shutdown.cancelled() => {
                    runtime.manager.stopping();
                    return Outcome::Shutdown;
                }
                // A follower ends early only if it fails, or if nothing reads its lines; then the receiver stops.
                Some(ended) = self.followers.join_next() => return match ended {
                    Ok(Ok(())) => Outcome::Shutdown,
                    Ok(Err(error)) => Outcome::Failed(error),
                    Err(error) => Outcome::Failed(error.into()),
                },
                (output, error) = self.links.ended() => {
                    return Outcome::Failed(output.and_then(Result::err).unwrap_or(error));
                }
                Some(read) = runtime.reloads.recv() => if let Some(outcome) = self.reload(read, runtime).await {
                    return outcome;
                },
                _ = status.tick() => {}
            }
            runtime.manager.ready();
            runtime.manager.status(summary(&self.site, &self.page, runtime.rejected));
            runtime.manager.alive(self.heartbeats());
        }
    }

    /// Applies a new configuration; returns an outcome if the receiver cannot keep running with it.
    async fn reload(
        &mut self,
        read: Result<config::Receiver, config::Error>,
        runtime: &mut Runtime,
    ) -> Option<Outcome> {
        runtime.manager.reloading();
        runtime.rejected = read.is_err();
        match read {
            Err(error) => error!("configuration not reloaded, keeping the current one: {error}"),
            Ok(new) if !new.is_but_for_links(&self.config) => {
                info!("more than links changed: restarting");
                return Some(Outcome::Restart(Box::new(new)));
            }
            Ok(new) => match self.follow(&new.links).await {
                Ok(()) => self.config = new,
                Err(error) => return Some(Outcome::Failed(error)),
            },
        }
        None
    }

    /// The heartbeats of the threads that links hand messages to.
    fn heartbeats(&self) -> impl Iterator<Item = &Heartbeat> {
        let recorders = self.recorder.iter().flat_map(Recorder::heartbeats);
        self.history.iter().map(History::heartbeat).chain(recorders)
    }

    /// Stops everything; returns the totals received, and the first failure.
    pub(super) async fn end(mut self, outcome: &Outcome, runtime: &mut Runtime) -> (Totals, Result<()>) {
        let mut received = Totals::default();
        let mut result = Ok(());
        // Links first: they still take what is on its way.
        for ended in self.links.end().await {
            match ended {
                Ok(totals) => received.merge(totals),
                Err(error) => result = result.and(Err(error)),
            }
        }
        drop((self.wall, self.headers));
        self.site.shutdown.cancel();
        tokio::join!(
            async {
                if let Some(history) = self.history {
                    history.end(runtime.drain_timeout(outcome)).await;
                }
            },
            async {
                if let Some(recorder) = self.recorder {
                    recorder.end().await;
                }
            },
        );
        // A printer whose lines nobody reads never ends.
        while let Ok(Some(ended)) = timeout(FOLLOWERS_TIMEOUT, self.followers.join_next()).await {
            result = result.and(ended.unwrap_or_else(|error| Err(error.into())));
        }
        (received, result)
    }
}

/// Starts the followers of the wall other than the page; returns where headers go to be printed.
fn spawn_followers(
    followers: &mut JoinSet<Result<()>>,
    site: &Site,
    options: &Options,
    recorder: Option<&Recorder>,
) -> Option<mpsc::Sender<Line>> {
    if let Some(recorder) = recorder {
        followers.spawn(recorder.captions().follow(site.wall.clone(), site.shutdown.clone()));
    }
    if let Some(dir) = options.save.clone() {
        followers.spawn(save::run(dir, site.wall.clone(), site.shutdown.clone()));
    }
    let (headers, lines) = options.json.then(|| mpsc::channel(LINE_QUEUE)).unzip();
    if let Some(lines) = lines {
        followers.spawn(async { spawn_blocking(|| super::print(lines)).await? });
    }
    headers
}
