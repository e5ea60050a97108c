//! The agent: boards and cameras in, links out.
//!
//! A tokio task a port (`serial/`, parsing by `line/`) and a thread a camera (`camera/`, `encode.rs`, `transform.rs`)
//! bring readings and frames, as far as links ask for them (`demand.rs`); a task a link (`publish/`) takes them from the
//! shared state and the newest-frame slots. Readings are kept in `spool/` until their receivers have them. Each reports to its
//! part in `health.rs`, from which, and from what `host_monitor.rs` sees, a status is made each second and when there is news.
//! Those of a kind are a `WorkerSet`, of whom some end and some begin when the configuration changes (`follow.rs`).

pub mod camera;
pub mod demand;
pub mod encode;
mod follow;
pub mod health;
pub mod line;
pub mod host_monitor;
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
use follow::Changed;
use health::{Kind, Part};
use host_monitor::HostMonitor;
use publish::{View, Views};
use spool::{Spool, SpoolHandle};
use summary::summary;

/// How often a status is made; sooner when a part is otherwise than before, but never sooner than this after the last:
/// what comes together is said together.
const STATUS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// What takes longer to begin is not waited for with the word that all has begun.
const BEGINNING: Duration = Duration::from_secs(10);

/// Configurations to go on with, or what is wrong with the file.
pub type Reloads = mpsc::Receiver<Result<config::Agent, config::Error>>;

/// Runs the agent until the shutdown; gives what its links have sent.
///
/// A new configuration that comes meanwhile is taken: what it says anew begins, what it no longer says ends, and what did
/// not change is not interrupted. With another name or spool, or with the first link that needs a spool or without the last,
/// all begins anew.
///
/// # Errors
/// When a part ends that should never end, or a thread cannot be started.
pub async fn run(config: config::Agent, mut reloads: Reloads, shutdown: CancellationToken) -> Result<Totals> {
    let mut sent = Totals::default();
    let mut next = Some(config);
    let mut manager = Manager::of_environment();
    while let Some(config) = next {
        let mut agent = Agent::start(config, &shutdown).await?;
        let ended = agent.watch(&mut reloads, &mut manager, &shutdown).await;
        if shutdown.is_cancelled() {
            manager.stopping();
        }
        sent.merge(agent.end().await?);
        next = ended?;
    }
    Ok(sent)
}

struct Agent {
    config: config::Agent,
    boot: Name,
    state: Arc<State>,
    bell: FrameNotifier,
    news: Arc<Notify>,
    machine: HostMonitor,
    /// Who look at the machine.
    host_tasks: JoinSet<()>,
    status: watch::Sender<Arc<Status>>,
    cameras: WorkerSet<config::Camera, CameraWorker, ()>,
    /// What a board says is read as the configuration says of quantities.
    ports: WorkerSet<(config::Serial, Vec<config::Quantity>), Part, ()>,
    /// Without their cameras, which come and go while a link goes on.
    links: WorkerSet<Outlet, LinkWorker, Totals>,
    spool: Option<(Spool, Part)>,
    spooling: Option<JoinHandle<()>>,
    spooled: CancellationToken,
    /// The frames of each camera so far, by name: one that begins anew counts on.
    frames: BTreeMap<Name, Arc<AtomicU64>>,
    /// So many links there were.
    last_link: usize,
    /// What was sent by links that there are no more.
    sent: Totals,
    /// When it started, or took a new configuration.
    begun: Instant,
    /// The last configuration was not taken.
    refused: bool,
}

/// What the agent has of a camera's worker.
struct CameraWorker {
    health: Part,
    view: Arc<View>,
    /// Its thread's.
    heartbeat: Heartbeat,
}

/// What the agent has of a link's.
struct LinkWorker {
    health: Part,
    views: watch::Sender<Views>,
    spool: Option<SpoolHandle>,
}

impl Agent {
    async fn start(config: config::Agent, shutdown: &CancellationToken) -> Result<Agent> {
        let boot = Name::random();
        let (state, news) = (Arc::<State>::default(), Arc::default());
        let spool = config.spool.as_ref().filter(|_| keeps(&config)).map(|spool| {
            let health = Part::new(Kind::Spool, Name::nearest("spool"), spool.path.display().to_string(), &news);
            (Spool::new(&boot, &state, health.clone()), health)
        });
        let sources = shutdown.child_token();
        let machine = HostMonitor::default();
        let mut agent = Agent {
            host_tasks: machine.watch(config.spool.as_ref().map(|spool| spool.path.clone()), &sources),
            machine,
            bell: FrameNotifier::default(),
            news,
            status: watch::Sender::new(Arc::new(no_parts(&config.name, &boot))),
            boot,
            cameras: WorkerSet::new("camera", sources.clone()),
            ports: WorkerSet::new("port", sources),
            links: WorkerSet::new("link", CancellationToken::new()),
            spool,
            spooling: None,
            spooled: CancellationToken::new(),
            frames: BTreeMap::new(),
            last_link: 0,
            sent: Totals::default(),
            begun: Instant::now(),
            refused: false,
            config: config.clone(),
            state,
        };
        info!("agent {} started, boot {}", agent.config.name, agent.boot);
        let feed = agent.state.follow().0;
        agent.follow(config).await?;
        if let (Some((spool, _)), Some(config)) = (&mut agent.spool, &agent.config.spool) {
            spool.start(config)?;
            agent.spooling = Some(tokio::spawn(spool.keep_all(feed, agent.spooled.clone())));
        }
        agent.tell();
        Ok(agent)
    }

    /// Makes a status each second, and when there is news, and takes new configurations, until the shutdown or until a
    /// configuration comes with which all begins anew; fails when a worker ends before.
    async fn watch(
        &mut self,
        reloads: &mut Reloads,
        manager: &mut Manager,
        shutdown: &CancellationToken,
    ) -> Result<Option<config::Agent>> {
        let mut seconds = interval(STATUS);
        let mut made = Instant::now();
        loop {
            tokio::select! {
                // First, because the shutdown ends workers too.
                biased;
                () = shutdown.cancelled() => return Ok(None),
                _ = seconds.tick() => self.state.clock.look(),
                () = news_since(made, &self.news) => {}
                (_, error) = self.cameras.ended() => return Err(error),
                (_, error) = self.ports.ended() => return Err(error),
                (_, error) = self.links.ended() => return Err(error),
                Some(read) = reloads.recv() => {
                    manager.reloading();
                    self.begun = Instant::now();
                    self.refused = read.is_err();
                    match read {
                        Err(error) => error!("the new configuration is not taken, all goes on as before: {error}"),
                        Ok(config) if self.begins_anew_with(&config) => {
                            info!("the new configuration has another name, or needs another spool: all begins anew");
                            return Ok(Some(config));
                        }
                        Ok(config) => self.reload(config).await?,
                    }
                }
            }
            made = Instant::now();
            self.tell();
            self.tell_manager(manager);
        }
    }

    fn tell_manager(&self, manager: &mut Manager) {
        let parts = self.cameras.handles().map(|camera| &camera.health).chain(self.ports.handles());
        let mut parts = parts.chain(self.links.handles().map(|link| &link.health));
        if parts.all(Part::has_begun) || self.begun.elapsed() > BEGINNING {
            manager.ready();
        }
        let refused = if self.refused { "; the last configuration was not taken, see the log" } else { "" };
        manager.status(format!("{}{refused}", summary(&self.status.borrow())));
        let spool = self.spool.iter().map(|(spool, _)| spool.heartbeat());
        manager.alive(self.cameras.handles().map(|camera| &camera.heartbeat).chain(spool));
    }

    fn begins_anew_with(&self, config: &config::Agent) -> bool {
        config.name != self.config.name || config.spool != self.config.spool || keeps(config) != keeps(&self.config)
    }

    async fn reload(&mut self, config: config::Agent) -> Result<()> {
        let Changed { ended, begun } = self.follow(config).await?;
        let list = |parts: Vec<String>| if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        info!("the new configuration is taken; ended: {}; begun: {}; all else goes on", list(ended), list(begun));
        if let Some((spool, _)) = &self.spool {
            spool.warn_about_unconfigured_links();
        }
        Ok(())
    }

    /// Has all know how it is now.
    fn tell(&self) {
        if let Some((spool, _)) = &self.spool {
            spool.report();
        }
        self.status.send_replace(Arc::new(self.status()));
    }

    fn status(&self) -> Status {
        let cameras = self.cameras.handles();
        Status {
            cameras: cameras.map(|CameraWorker { health, view, .. }| camera_status(health, view)).collect(),
            ports: self.ports.handles().map(Part::status).collect(),
            links: self.links.handles().map(|link| link.health.status()).collect(),
            spool: self.spool.as_ref().map(|(_, health)| health.status()),
            machine: self.machine.status().map(Box::new),
            ..no_parts(&self.config.name, &self.boot)
        }
    }

    /// Ends everything; gives what was sent.
    async fn end(mut self) -> Result<Totals> {
        // As in `follow`.
        self.cameras.end().await;
        self.ports.end().await;
        self.host_tasks.shutdown().await;
        self.spooled.cancel();
        if let Some(spooling) = self.spooling {
            spooling.await?;
        }
        self.links.end().await.into_iter().for_each(|sent| self.sent.merge(sent));
        if let Some((spool, _)) = self.spool {
            spool.stop().await;
        }
        Ok(self.sent)
    }
}

/// There is a spool to be kept: links of some patterns and formats have nobody who could acknowledge anything.
fn keeps(config: &config::Agent) -> bool {
    config.spool.is_some() && config.links.iter().any(Outlet::is_acknowledged)
}

fn no_parts(agent: &Name, boot: &Name) -> Status {
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
    }
}

fn camera_status(health: &Part, view: &View) -> PartStatus {
    PartStatus { settings: Some(view.demand.settings()), ..health.status() }
}

/// Waits for news that the last status, `made` then, may not have.
async fn news_since(made: Instant, news: &Notify) {
    sleep_until(made + PAUSE).await;
    news.notified().await;
}
