//! The agent: boards and cameras in, links out.
//!
//! A tokio task a port (`serial/`, parsing by `line/`) and a thread a camera (`camera/`, `encode.rs`, `transform.rs`)
//! bring readings and frames, as far as links ask for them (`demand.rs`); a task a link (`publish/`) takes them from the
//! shared state and the newest-frame slots. Readings are kept in `spool/` until their receivers have them. Each reports to its
//! part in `health.rs`, from which, and from what `machine.rs` sees, a status is made each second and when there is news.

pub mod camera;
pub mod demand;
pub mod encode;
pub mod health;
pub mod line;
pub mod machine;
pub mod publish;
pub mod serial;
pub mod spool;
pub mod transform;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{self, OutPattern, Outlet};
use crate::frame::Slots;
use crate::name::Name;
use crate::reading::State;
use crate::wire::{self, PartStatus, Status, Tally};
use camera::Camera;
use demand::SharedDemand;
use health::{Kind, Part};
use machine::Watched;
use publish::{Backlog, Gathered, Publisher};
use serial::Port;
use spool::Spool;

/// How often a status is made; sooner when a part is otherwise than before, but never sooner than this after the last:
/// what comes together is said together.
const STATUS: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the agent until the shutdown; gives what each link has sent.
///
/// # Errors
/// When a part ends that should never end, or a thread cannot be started.
pub async fn run(config: config::Agent, shutdown: CancellationToken) -> Result<Vec<Tally>> {
    let agent = Agent::new(config);
    info!("agent {} started, boot {}", agent.config.name, agent.boot);
    let sources = shutdown.child_token();
    let links_end = CancellationToken::new();
    let spool = agent.spool()?;
    let mut links = JoinSet::new();
    for publisher in agent.publishers(spool.as_ref()) {
        links.spawn(publisher.run(links_end.clone()));
    }
    let spooled = CancellationToken::new();
    let spooling = spool.as_ref().map(|spool| tokio::spawn(spool.follow(agent.state.follow().0, spooled.clone())));
    let mut ports = JoinSet::new();
    for (port, health) in agent.config.serial.iter().zip(agent.health_of(Kind::Port)) {
        let port = Port {
            config: port.clone(),
            quantities: agent.config.quantities.clone(),
            state: Arc::clone(&agent.state),
            health: health.clone(),
        };
        ports.spawn(port.run(sources.clone()));
    }
    let mut cameras = JoinSet::new();
    for camera in agent.cameras() {
        cameras.spawn(camera.run(sources.clone()));
    }
    let disk = agent.config.spool.as_ref().map(|spool| spool.path.clone());
    let machine = agent.machine.watch(disk, &sources);
    let watched = agent.watch(&mut cameras, &mut ports, &mut links, spool.as_ref(), &shutdown).await;

    // Sources first, links last: what was captured until now is still sent.
    sources.cancel();
    ports.join_all().await;
    cameras.join_all().await;
    machine.join_all().await;
    spooled.cancel();
    if let Some(spooling) = spooling {
        spooling.await?;
    }
    links_end.cancel();
    let sent = links.join_all().await;
    if let Some(spool) = spool {
        spool.end().await;
    }
    watched.map(|()| sent)
}

struct Agent {
    config: config::Agent,
    boot: Name,
    state: Arc<State>,
    slots: Slots,
    demands: Vec<SharedDemand>,
    health: Vec<Part>,
    news: Arc<Notify>,
    machine: Watched,
    status: watch::Sender<Arc<Status>>,
}

impl Agent {
    fn new(config: config::Agent) -> Agent {
        let boot = Name::random();
        let news = Arc::default();
        let part = |kind, name, source| Part::new(kind, name, source, &news);
        let cameras = config.cameras.iter().map(|c| part(Kind::Camera, c.name.clone(), c.source.to_string()));
        let ports = config.serial.iter().map(|s| part(Kind::Port, s.name.clone(), s.port.display().to_string()));
        let links = config.links.iter().enumerate().map(|(index, l)| {
            let name = format!("{:?}-{}", l.pattern, index + 1).to_lowercase();
            part(Kind::Link, Name::nearest(&name), format!("{}{}", l.end.address(), l.secrecy()))
        });
        let spool = config.spool.iter().filter(|_| config.links.iter().any(Outlet::is_acknowledged));
        let spool = spool.map(|spool| part(Kind::Spool, Name::nearest("spool"), spool.path.display().to_string()));
        let health: Vec<Part> = cameras.chain(ports).chain(links).chain(spool).collect();
        let slots = Slots::new(config.cameras.len());
        let demands: Vec<SharedDemand> = config.cameras.iter().map(SharedDemand::new).collect();
        let machine = Watched::default();
        let status = watch::Sender::new(Arc::new(status(&config.name, &boot, &health, &demands, &machine)));
        Agent { config, boot, state: Arc::default(), slots, demands, health, news, machine, status }
    }

    fn health_of(&self, kind: Kind) -> impl Iterator<Item = &Part> {
        self.health.iter().filter(move |part| part.is(kind))
    }

    /// The spool, if there is to be one: links of some patterns and formats have nobody who could acknowledge anything.
    fn spool(&self) -> Result<Option<Spool>> {
        let (Some(config), Some(health)) = (&self.config.spool, self.health_of(Kind::Spool).next()) else {
            return Ok(None);
        };
        let kept = self.config.links.iter().filter(|link| link.is_acknowledged());
        let links = kept.map(|link| link.end.address().to_string()).collect();
        Spool::start(config, links, &self.boot, &self.state, health.clone()).map(Some)
    }

    fn publishers(&self, spool: Option<&Spool>) -> impl Iterator<Item = Publisher> {
        let mut kept = 0;
        self.config.links.iter().zip(self.health_of(Kind::Link)).enumerate().map(move |(number, (outlet, health))| {
            // A pub link begins with its first subscriber.
            let heard = (outlet.pattern != OutPattern::Pub).then_some(0);
            let kept_by = spool.filter(|_| outlet.is_acknowledged());
            let ours = kept_by.map(|spool| {
                kept += 1;
                spool.shelf(kept - 1)
            });
            let (feed, _) = self.state.follow();
            Publisher {
                number,
                agent: self.config.name.clone(),
                boot: self.boot.clone(),
                outlet: outlet.clone(),
                cameras: self.config.cameras.clone(),
                demands: self.demands.clone(),
                state: Arc::clone(&self.state),
                readings: Gathered::new(feed, heard, health.clone(), ours.clone()),
                backlog: ours.map(Backlog::new),
                newest: self.slots.follow(),
                status: self.status.subscribe(),
                health: health.clone(),
            }
        })
    }

    fn cameras(&self) -> impl Iterator<Item = Camera> {
        let cameras = self.config.cameras.iter().zip(self.health_of(Kind::Camera)).enumerate();
        cameras.map(|(place, (config, health))| Camera {
            config: config.clone(),
            slot: self.slots.of(place),
            health: health.clone(),
            demand: self.demands[place].follow(),
        })
    }

    /// Makes a status each second, and when there is news, until the shutdown; fails when a worker ends before.
    async fn watch(
        &self,
        cameras: &mut JoinSet<()>,
        ports: &mut JoinSet<()>,
        links: &mut JoinSet<Tally>,
        spool: Option<&Spool>,
        shutdown: &CancellationToken,
    ) -> Result<()> {
        let mut seconds = interval(STATUS);
        let mut made = Instant::now();
        loop {
            tokio::select! {
                // First, because the shutdown ends workers too.
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = seconds.tick() => self.state.clock.look(),
                () = self.news_since(made) => {}
                Some(ended) = cameras.join_next() => bail!("a camera's task ended: {ended:?}"),
                Some(ended) = ports.join_next() => bail!("a port's task ended: {ended:?}"),
                Some(ended) = links.join_next() => bail!("a link's task ended: {ended:?}"),
            }
            made = Instant::now();
            if let Some(spool) = spool {
                spool.report();
            }
            let Agent { config, boot, health, demands, machine, .. } = self;
            self.status.send_replace(Arc::new(status(&config.name, boot, health, demands, machine)));
        }
    }

    /// Waits for news that the last status, `made` then, may not have.
    async fn news_since(&self, made: Instant) {
        sleep_until(made + PAUSE).await;
        self.news.notified().await;
    }
}

fn status(agent: &Name, boot: &Name, health: &[Part], demands: &[SharedDemand], machine: &Watched) -> Status {
    let of = |kind| health.iter().filter(move |part| part.is(kind)).map(Part::status);
    let cameras = of(Kind::Camera).zip(demands);
    Status {
        v: wire::VERSION,
        agent: agent.clone(),
        boot: boot.clone(),
        cameras: cameras.map(|(part, demand)| PartStatus { settings: Some(demand.settings()), ..part }).collect(),
        ports: of(Kind::Port).collect(),
        links: of(Kind::Link).collect(),
        spool: of(Kind::Spool).next(),
        machine: machine.status().map(Box::new),
        readings: Vec::new(),
    }
}
