//! The agent: reads boards and cameras, and sends over links.
//!
//! Each port has a tokio task (`serial/`, which parses with `line/`), and each camera a thread (`camera/`, `encode.rs`,
//! `transform.rs`) that captures what links need (`demand.rs`). Each link has a task (`publish/`) that sends from the
//! shared state and the newest-frame slots. `spool/` keeps readings until their receivers acknowledge them.
//!
//! Every worker reports to its part in `health.rs`. The agent makes a status of the parts and of `host_monitor.rs` each
//! second and after a change. A `WorkerSet` holds the workers of one kind, and `apply.rs` starts and stops them when
//! the configuration changes.

mod apply;
pub mod camera;
pub mod demand;
pub mod encode;
pub mod health;
pub mod host_monitor;
pub mod line;
pub mod publish;
pub mod serial;
pub mod spool;
mod summary;
pub mod transform;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::{self, Outlet};
use crate::frame::FrameNotifier;
use crate::name::Name;
use crate::reading::State;
use crate::service::{Heartbeat, Manager};
use crate::wire::{self, PartStatus, Status, Totals};
use crate::workers::WorkerSet;
use apply::Applied;
use health::{Kind, Part};
use host_monitor::HostMonitor;
use publish::{SharedCamera, SharedCameras};
use spool::{Spool, SpoolHandle};
use summary::summary;

/// The time between two statuses, unless a part changes sooner.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two statuses, so that one status covers simultaneous changes.
const MIN_STATUS_INTERVAL: Duration = Duration::from_millis(100);

/// The agent reports ready after this time, even if some parts are still starting.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);

/// New configurations, or the error in the configuration file.
pub type Reloads = mpsc::Receiver<Result<config::Agent, config::Error>>;

/// Runs the agent until shutdown; returns the totals sent over all links.
///
/// A reload starts added parts, stops removed ones and leaves unchanged ones running. A new name or spool restarts the
/// whole agent, and so does the first link that needs a spool or the removal of the last one.
///
/// # Errors
/// When a worker stops unexpectedly, or a thread cannot be started.
pub async fn run(config: config::Agent, mut reloads: Reloads, shutdown: CancellationToken) -> Result<Totals> {
    let mut sent = Totals::default();
    let mut next = Some(config);
    let mut manager = Manager::of_environment();
    while let Some(config) = next {
        let mut agent = Agent::start(config, &shutdown).await?;
        let result = agent.watch(&mut reloads, &mut manager, &shutdown).await;
        if shutdown.is_cancelled() {
            manager.stopping();
        }
        sent.merge(agent.end().await?);
        next = result?;
    }
    Ok(sent)
}

struct Agent {
    config: config::Agent,
    /// The id of this start of the agent.
    boot: Name,
    state: Arc<State>,
    frame_notifier: FrameNotifier,
    /// Notified when a part's state or settings change.
    changed: Arc<Notify>,
    host: HostMonitor,
    host_tasks: JoinSet<()>,
    status: watch::Sender<Arc<Status>>,
    cameras: WorkerSet<config::Camera, CameraWorker, ()>,
    /// A port restarts when `[quantity]` changes, so that is part of its configuration.
    ports: WorkerSet<(config::Serial, Vec<config::Quantity>), Part, ()>,
    /// Their configurations list no cameras, because a link keeps running when its cameras change.
    links: WorkerSet<Outlet, LinkWorker, Totals>,
    spool: Option<(Spool, Part)>,
    /// Shows that readings are not spooled, because the spool has no path.
    missing_spool: Option<Part>,
    /// Feeds readings to the spool, until `spool_stop`.
    spool_feed: Option<JoinHandle<()>>,
    spool_stop: CancellationToken,
    /// The frame count of each camera name; a restarted camera continues it.
    frame_counts: BTreeMap<Name, Arc<AtomicU64>>,
    /// The number of the newest link.
    last_link_number: usize,
    /// The totals of links that have stopped.
    sent: Totals,
    /// The time of the start or the last reload.
    started: Instant,
    /// The last reload failed.
    reload_failed: bool,
}

/// The agent's view of a camera's worker.
struct CameraWorker {
    health: Part,
    camera: Arc<SharedCamera>,
    /// The heartbeat of its thread.
    heartbeat: Heartbeat,
}

/// The agent's view of a link's worker.
struct LinkWorker {
    health: Part,
    cameras: watch::Sender<SharedCameras>,
    spool: Option<SpoolHandle>,
}

impl Agent {
    async fn start(config: config::Agent, shutdown: &CancellationToken) -> Result<Agent> {
        let boot = Name::random();
        let (state, changed) = (Arc::<State>::default(), Arc::default());
        let spool = config.spool.as_ref().filter(|_| needs_spool(&config)).map(|spool| {
            let health = Part::new(Kind::Spool, Name::nearest("spool"), spool.path.display().to_string(), &changed);
            (Spool::new(&boot, &state, health.clone()), health)
        });
        let sources = shutdown.child_token();
        let host = HostMonitor::default();
        let mut agent = Agent {
            host_tasks: host.watch(config.spool.as_ref().map(|spool| spool.path.clone()), &sources),
            host,
            frame_notifier: FrameNotifier::default(),
            changed,
            status: watch::Sender::new(Arc::new(empty_status(&config.name, &boot))),
            boot,
            cameras: WorkerSet::new("camera", sources.clone()),
            ports: WorkerSet::new("port", sources),
            links: WorkerSet::new("link", CancellationToken::new()),
            spool,
            missing_spool: missing_spool(&config),
            spool_feed: None,
            spool_stop: CancellationToken::new(),
            frame_counts: BTreeMap::new(),
            last_link_number: 0,
            sent: Totals::default(),
            started: Instant::now(),
            reload_failed: false,
            config: config.clone(),
            state,
        };
        info!("agent {} started, boot {}", agent.config.name, agent.boot);
        let feed = agent.state.follow().0;
        agent.apply(config).await?;
        if let (Some((spool, _)), Some(config)) = (&mut agent.spool, &agent.config.spool) {
            spool.start(config)?;
            agent.spool_feed = Some(tokio::spawn(spool.keep_all(feed, agent.spool_stop.clone())));
        }
        agent.publish_status();
        Ok(agent)
    }

    /// Publishes statuses and applies reloads until the shutdown; returns a configuration that needs a restart. Fails
    /// when a worker stops unexpectedly.
    async fn watch(
        &mut self,
        reloads: &mut Reloads,
        manager: &mut Manager,
        shutdown: &CancellationToken,
    ) -> Result<Option<config::Agent>> {
        let mut seconds = interval(STATUS_INTERVAL);
        let mut published = Instant::now();
        loop {
            tokio::select! {
                // Check the shutdown first, because it stops workers too.
                biased;
                () = shutdown.cancelled() => return Ok(None),
                _ = seconds.tick() => self.state.clock.update(),
                () = changed_since(published, &self.changed) => {}
                (_, error) = self.cameras.ended() => return Err(error),
                (_, error) = self.ports.ended() => return Err(error),
                (_, error) = self.links.ended() => return Err(error),
                Some(read) = reloads.recv() => {
                    manager.reloading();
                    if let Some(config) = self.reload(read).await? {
                        return Ok(Some(config));
                    }
                }
            }
            published = Instant::now();
            self.publish_status();
            self.notify_manager(manager);
        }
    }

    fn notify_manager(&self, manager: &mut Manager) {
        let parts = self.cameras.handles().map(|camera| &camera.health).chain(self.ports.handles());
        let mut parts = parts.chain(self.links.handles().map(|link| &link.health));
        if parts.all(Part::has_started) || self.started.elapsed() > STARTUP_TIMEOUT {
            manager.ready();
        }
        let failure = if self.reload_failed { "; configuration not reloaded, see the log" } else { "" };
        manager.status(format!("{}{failure}", summary(&self.status.borrow())));
        let spool = self.spool.iter().map(|(spool, _)| spool.heartbeat());
        manager.alive(self.cameras.handles().map(|camera| &camera.heartbeat).chain(spool));
    }

    fn needs_restart(&self, config: &config::Agent) -> bool {
        config.name != self.config.name
            || config.spool != self.config.spool
            || needs_spool(config) != needs_spool(&self.config)
            || config.wants_spool_path() != self.config.wants_spool_path()
    }

    /// Handles the result of reading the file again; returns the configuration if it needs a restart.
    async fn reload(&mut self, read: Result<config::Agent, config::Error>) -> Result<Option<config::Agent>> {
        self.started = Instant::now();
        self.reload_failed = read.is_err();
        match read {
            Err(error) => error!("configuration not reloaded, keeping the current one: {error}"),
            Ok(config) if self.needs_restart(&config) => {
                info!("name or spool settings changed: restarting");
                return Ok(Some(config));
            }
            Ok(config) => self.apply_reload(config).await?,
        }
        Ok(None)
    }

    async fn apply_reload(&mut self, config: config::Agent) -> Result<()> {
        let Applied { stopped, started } = self.apply(config).await?;
        let list = |parts: Vec<String>| if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        let (stopped, started) = (list(stopped), list(started));
        info!("configuration reloaded; stopped: {stopped}; started: {started}; the rest unchanged");
        if let Some((spool, _)) = &self.spool {
            spool.warn_about_unconfigured_links();
        }
        Ok(())
    }

    /// Publishes the current status to all links.
    fn publish_status(&self) {
        if let Some((spool, _)) = &self.spool {
            spool.report();
        }
        self.status.send_replace(Arc::new(self.status()));
    }

    fn status(&self) -> Status {
        let cameras = self.cameras.handles();
        Status {
            cameras: cameras.map(CameraWorker::status).collect(),
            ports: self.ports.handles().map(Part::status).collect(),
            links: self.links.handles().map(|link| link.health.status()).collect(),
            spool: self.spool.as_ref().map(|(_, health)| health).or(self.missing_spool.as_ref()).map(Part::status),
            machine: self.host.status().map(Box::new),
            ..empty_status(&self.config.name, &self.boot)
        }
    }

    /// Stops everything; returns the totals sent.
    async fn end(mut self) -> Result<Totals> {
        // Stop sources before links, so that links still send what was captured.
        self.cameras.end().await;
        self.ports.end().await;
        self.host_tasks.shutdown().await;
        self.spool_stop.cancel();
        if let Some(feed) = self.spool_feed {
            feed.await?;
        }
        self.links.end().await.into_iter().for_each(|sent| self.sent.merge(sent));
        if let Some((spool, _)) = self.spool {
            spool.stop().await;
        }
        Ok(self.sent)
    }
}

/// Whether a spool is configured and at least one link is of a kind that receivers acknowledge.
fn needs_spool(config: &config::Agent) -> bool {
    config.spool.is_some() && config.links.iter().any(Outlet::is_acknowledged)
}

/// The status of a spool without a path, if a link could use a spool.
fn missing_spool(config: &config::Agent) -> Option<Part> {
    let part = || Part::new(Kind::Spool, Name::nearest("spool"), "without a path".to_owned(), &Arc::default());
    let part = config.wants_spool_path().then(part)?;
    part.down(spool::NO_PATH);
    Some(part)
}

fn empty_status(agent: &Name, boot: &Name) -> Status {
    Status {
        v: wire::VERSION,
        agent: agent.clone(),
        boot: boot.clone(),
        cameras: Vec::new(),
        ports: Vec::new(),
        links: Vec::new(),
        spool: None,
        machine: None,
        readings: Vec::new(),
        readings_left_out: 0,
        counts_left_out: false,
    }
}

impl CameraWorker {
    fn status(&self) -> PartStatus {
        PartStatus { settings: Some(self.camera.demand.settings()), ..self.health.status() }
    }
}

/// Waits for a change that the status `published` at that time may lack.
async fn changed_since(published: Instant, changed: &Notify) {
    sleep_until(published + MIN_STATUS_INTERVAL).await;
    changed.notified().await;
}
