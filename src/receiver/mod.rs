//! The receiver: takes messages from links and serves the page.
//!
//! `running.rs` starts everything, applies reloads and ends it. One task per link (`links.rs`, `intake.rs`) applies
//! messages to the wall, the newest state of all agents (`wall.rs`; `live_frame.rs`, `frame_rate.rs` and `port.rs` for
//! the recent past of cameras and serial ports), unless another agent owns the name that they use (`owners/`,
//! `refused_agents.rs`). `budget.rs` bounds what agents put into memory, by default to half of it (`machine_memory.rs`);
//! `quotas.rs` has every limit and how much of it is in use.
//! Each viewer of the page (`web/`) and `--save` (`save.rs`) follow the wall at their own pace. Readings are stored in
//! the history (`history/`) and then acknowledged (`replies.rs`), frames are recorded (`recorder/`), and viewers'
//! commands return to the agents (`commands.rs`). `roster.rs` remembers agents across restarts.

pub mod budget;
pub mod commands;
mod frame_rate;
mod machine_memory;
mod log_throttle;
pub mod link_stats;
pub mod history;
pub mod intake;
mod links;
pub mod live_frame;
pub mod owners;
pub mod port;
pub mod quotas;
pub mod recorder;
pub mod refused_agents;
mod replies;
mod roster;
mod running;
pub mod save;
mod summary;
pub mod wall;
pub mod web;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{self, Inlet};
use crate::link::{Link, LinkOptions};
use crate::service::Manager;
use crate::wire::Totals;
use budget::Budget;
use history::History;
use quotas::Quotas;
use recorder::Recorder;
use roster::Roster;
use running::{Outcome, Running, Runtime};
use wall::Wall;
use web::Access;

/// Uses of messages other than the page.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Print the header of each message on standard output, one JSON line each.
    pub json: bool,
    /// Save the newest frame of each camera as a file below this directory.
    pub save: Option<PathBuf>,
}

/// New configurations, or what is wrong with the file.
pub type Reloads = mpsc::Receiver<Result<config::Receiver, config::Error>>;

/// A receiver whose links and page are open.
pub struct Receiver {
    config: config::Receiver,
    links: Vec<(Inlet, Link)>,
    page: TcpListener,
    access: Access,
    /// The history, or why it is missing; an empty text if it is switched off.
    history: Result<History, String>,
    recorder: Option<Recorder>,
    quotas: Quotas,
    budget: Budget,
    wall: Wall,
    roster: Roster,
}

impl Receiver {
    /// Opens the links, the page's port and the history, and remembers agents.
    ///
    /// # Errors
    /// When an address, a key, the configured history file or the recorder's threads are not available.
    pub async fn open(config: config::Receiver) -> Result<Receiver> {
        let quotas = Quotas::default();
        let budget = Budget::new(config.limits.memory, quotas.clone());
        let mut links = Vec::new();
        for inlet in config.links.clone() {
            let link = link_options(&inlet).open()?;
            info!("link {}: open, format {}{}", link.address(), inlet.format, inlet.secrecy());
            links.push((inlet, link));
        }
        let access = Access::open(&config.web)?;
        let listen = config.web.listen;
        let page = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot serve the page on {listen}; stop the other receiver, or set [web] listen to another port")
        })?;
        let history = match &config.history {
            Some(history) => open_history(history, &quotas, &budget).await?,
            None => Err(String::new()),
        };
        let recorder = config.record.as_ref().map_or(Ok(None), |record| open_recorder(record, &budget, &quotas))?;
        let mut wall = Wall::new(config.limits.agents, budget.texts.clone(), quotas.clone());
        let roster = Roster::open(config.agents_file(), &mut wall).await;
        Ok(Receiver { config, links, page, access, history, recorder, quotas, budget, wall, roster })
    }

    /// The page's address.
    ///
    /// # Errors
    /// When the system does not report it.
    pub fn page(&self) -> Result<SocketAddr> {
        Ok(self.page.local_addr()?)
    }

    /// The links' addresses, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.links.iter().map(|(_, link)| link.address().to_owned()).collect()
    }

    /// Receives until shutdown; returns the totals received.
    ///
    /// Applies each new configuration: links start and stop while others keep running. Another page, history or
    /// recorder restarts the receiver; if that fails, it restarts with the previous configuration.
    ///
    /// # Errors
    /// When a socket fails, or files cannot be written.
    pub async fn run(self, options: Options, reloads: Reloads, shutdown: CancellationToken) -> Result<Totals> {
        let manager = Manager::of_environment();
        let mut runtime = Runtime { reloads, manager, shutdown, rejected: false };
        let mut arrived = Totals::default();
        let mut receiver = self;
        loop {
            let previous = receiver.config.clone();
            let mut running = Running::start(receiver, &options, &runtime.shutdown);
            let outcome = running.watch(&mut runtime).await;
            let (totals, ended) = running.end(&outcome, &mut runtime).await;
            arrived.merge(totals);
            receiver = match outcome {
                Outcome::Failed(error) => return Err(error),
                Outcome::Shutdown => return ended.map(|()| arrived),
                Outcome::Restart(config) => {
                    ended?;
                    match Receiver::open(*config).await {
                        Ok(receiver) => receiver,
                        Err(error) => {
                            runtime.rejected = true;
                            error!("new configuration failed, reverting to the previous one: {error:#}");
                            Receiver::open(previous).await?
                        }
                    }
                }
            };
        }
    }
}

/// The options to open an inlet's link with.
fn link_options(inlet: &Inlet) -> LinkOptions {
    let refused = intake::on_refusal(inlet.end.address().to_string());
    let (end, curve) = (inlet.end.clone(), inlet.curve.clone());
    LinkOptions { pattern: inlet.pattern.into(), end, curve, identify: true, refused }
}

/// Opens the history, or returns why it is missing, because the receiver works without it. Fails if the configuration
/// names the file.
async fn open_history(config: &config::History, quotas: &Quotas, budget: &Budget) -> Result<Result<History, String>> {
    let Some(file) = config.file() else {
        let cause = "this user has no home directory; set [history] path";
        warn!("history: readings are not stored: {cause}");
        return Ok(Err(cause.to_owned()));
    };
    let error = match History::open(file.clone(), config, quotas.clone(), budget.history_queue.clone()).await {
        Ok(history) => return Ok(Ok(history)),
        Err(error) => format!("{} cannot be used ({error})", file.display()),
    };
    if config.path.is_some() {
        bail!("history: {error}; set [history] path to another file, or off = true to store nothing");
    }
    warn!("history: readings are not stored: {error}; set [history] path to another file");
    Ok(Err(error))
}

/// Opens the recorder; without a directory for recordings, the receiver works without it.
fn open_recorder(config: &config::Record, budget: &Budget, quotas: &Quotas) -> Result<Option<Recorder>> {
    let Some(dir) = config.place() else {
        warn!("recorder: nothing is recorded: this user has no home directory; set [record] dir");
        return Ok(None);
    };
    Ok(Some(Recorder::open(config, dir, budget.recorder.clone(), quotas.clone()).context("cannot record")?))
}

/// Prints lines until the channel or standard output is closed.
fn print(mut lines: mpsc::Receiver<running::Line>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    while let Some((line, _memory)) = lines.blocking_recv() {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            result => result.context("cannot print")?,
        }
    }
    Ok(())
}
