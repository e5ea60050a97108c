//! The receiver: links in, the wall, and the page that shows it.
//!
//! A task a link (`intake.rs`; `links.rs` is all of them) puts what comes onto the wall (`wall.rs`, with what statuses tell
//! of a serial port over time in `port.rs`); each viewer of the page (`web/`) and the saving of pictures (`save.rs`) follow the wall at
//! their own pace. Readings go into the history (`history/`), too, which says when they are there for good, so that an agent
//! need not send them again (`replies.rs`). Frames are recorded (`recorder/`). What viewers want of cameras goes back to the
//! agents (`commands.rs`).

pub mod commands;
mod log_throttle;
pub mod link_stats;
pub mod history;
pub mod intake;
mod links;
pub mod port;
pub mod recorder;
mod replies;
pub mod save;
mod summary;
pub mod wall;
mod watch_over;
pub mod web;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::{self, Inlet};
use crate::link::{Link, LinkOptions};
use crate::service::Manager;
use crate::wire::Totals;
use crate::workers::WorkerSet;
use commands::Commands;
use history::History;
use links::Links;
use recorder::Recorder;
use wall::Wall;
use watch_over::{End, Said, watch_over};
use web::{Access, Site};

/// Lines that wait for whoever reads them; more are dropped and counted.
const LINES: usize = 4096;

/// A follower that has not ended by now is left behind.
const FOLLOWERS_END: Duration = Duration::from_millis(500);

/// What to do with messages besides showing them.
#[derive(Clone, Debug, Default)]
pub struct Also {
    /// Print each message's header on standard output, a line each.
    pub json: bool,
    /// Keep each camera's newest frame as a file below this directory.
    pub save: Option<PathBuf>,
}

/// Configurations to go on with, or what is wrong with the file.
pub type Reloads = mpsc::Receiver<Result<config::Receiver, config::Error>>;

/// A receiver whose links and page are open.
pub struct Receiver {
    config: config::Receiver,
    links: Vec<(Inlet, Link)>,
    page: TcpListener,
    access: Access,
    /// Or why there is none; nothing if that was asked for.
    history: Result<History, String>,
    recorder: Option<Recorder>,
}

impl Receiver {
    /// Opens the links, the page's port and the history.
    ///
    /// # Errors
    /// When an address cannot be had, or the file that the history is to be in.
    pub async fn open(config: config::Receiver) -> Result<Receiver> {
        let mut links = Vec::new();
        for inlet in config.links.clone() {
            let link = options(&inlet).open()?;
            info!("link {}: open, format {}{}", link.address(), inlet.format, inlet.secrecy());
            links.push((inlet, link));
        }
        let access = Access::open(&config.web)?;
        let listen = config.web.listen;
        let page = TcpListener::bind(listen).await.with_context(|| {
            format!(
                "cannot serve the page on {listen}; is another receiver running? ([web] listen = … chooses another)"
            )
        })?;
        let history = match &config.history {
            Some(history) => open_history(history).await?,
            None => Err(String::new()),
        };
        let recorder = config.record.as_ref().map_or(Ok(None), open_recorder)?;
        Ok(Receiver { config, links, page, access, history, recorder })
    }

    /// Where the page is.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn page(&self) -> Result<SocketAddr> {
        Ok(self.page.local_addr()?)
    }

    /// Where the links are, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.links.iter().map(|(_, link)| link.address().to_owned()).collect()
    }

    /// Receives until the shutdown; gives the count of what came.
    ///
    /// A new configuration that comes meanwhile is taken: links begin and end while others go on. With another page, history
    /// or recorder all begins anew; when that cannot be, with the configuration of before.
    ///
    /// # Errors
    /// When a socket fails, or files cannot be written.
    pub async fn run(self, also: Also, reloads: Reloads, shutdown: CancellationToken) -> Result<Totals> {
        let mut said = Said { reloads, manager: Manager::of_environment(), shutdown: &shutdown, refused: false };
        let mut came = Totals::default();
        let mut receiver = self;
        loop {
            let before = receiver.config.clone();
            let end = receiver.serve(&also, &mut said, &mut came).await;
            receiver = match end {
                End::Shutdown => return Ok(came),
                End::Failed(error) => return Err(error),
                End::Anew(config) => match Receiver::open(*config).await {
                    Ok(receiver) => receiver,
                    Err(error) => {
                        said.refused = true;
                        error!("the new configuration cannot be used, and the one before is: {error:#}");
                        Receiver::open(before).await?
                    }
                },
            };
        }
    }

    /// Receives until it is told to end, or can no longer; adds what came.
    async fn serve(self, also: &Also, said: &mut Said<'_>, came: &mut Totals) -> End {
        let page = self.page.local_addr().map_or_else(|error| error.to_string(), |page| page.to_string());
        info!("the page is at http://{page}/, {}", self.access);
        let wall = watch::Sender::new(Wall::default());
        let (counts, counted) = watch::channel(Vec::new());
        let (headers, printed) = also.json.then(|| mpsc::channel(LINES)).unzip();
        let site = Site {
            wall: wall.subscribe(),
            access: Arc::new(self.access),
            commands: Commands::default(),
            history: self.history.as_ref().map(History::reader).map_err(Clone::clone),
            library: self.recorder.as_ref().map(Recorder::library),
            links: counted,
            viewers: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        let (history, recorder) = (self.history, self.recorder);
        let mut followers = JoinSet::new();
        followers.spawn(web::serve(self.page, site.clone()));
        if let Some(recorder) = &recorder {
            followers.spawn(recorder.captions().follow(site.wall.clone(), site.shutdown.clone()));
        }
        if let Some(dir) = also.save.clone() {
            followers.spawn(save::run(dir, site.wall.clone(), site.shutdown.clone()));
        }
        if let Some(printed) = printed {
            followers.spawn(async { tokio::task::spawn_blocking(|| print(printed)).await? });
        }
        let mut links = Links {
            workers: WorkerSet::new("link", said.shutdown.child_token()),
            counts,
            wall,
            headers,
            history: history.as_ref().ok(),
            recorder: recorder.as_ref(),
            commands: site.commands.clone(),
        };
        links.begin(self.links);
        let end = watch_over(self.config, &site, &page, &mut links, &mut followers, said).await;

        // Links first: what is on its way is still taken.
        let (totals, failed): (Vec<_>, Vec<_>) = links.workers.end().await.into_iter().partition(Result::is_ok);
        totals.into_iter().flatten().for_each(|totals| came.merge(totals));
        drop(links);
        site.shutdown.cancel();
        tokio::join!(
            async {
                if let Ok(history) = history {
                    history.end(said.patience_with_disks(&end)).await;
                }
            },
            async {
                if let Some(recorder) = recorder {
                    recorder.end().await;
                }
            },
        );
        let mut failed = failed.into_iter().find_map(Result::err);
        // Lines that nobody takes would keep their printer for ever.
        while let Ok(Some(ended)) = timeout(FOLLOWERS_END, followers.join_next()).await {
            failed = failed.or(ended.map_or_else(|error| Some(error.into()), Result::err));
        }
        match (end, failed) {
            (End::Shutdown | End::Anew(_), Some(error)) => End::Failed(error),
            (end, _) => end,
        }
    }
}

/// How a link is opened.
fn options(inlet: &Inlet) -> LinkOptions {
    let refused = intake::on_refusal(inlet.end.address().to_string());
    let (end, curve) = (inlet.end.clone(), inlet.curve.clone());
    LinkOptions { pattern: inlet.pattern.into(), end, curve, refused }
}

/// Without a history the receiver still shows what comes; who has said where it is to be kept is told at once. Gives why there
/// is none.
async fn open_history(config: &config::History) -> Result<Result<History, String>> {
    let Some(file) = config.file() else {
        let cause = "this user has no home; [history] path = … says where";
        warn!("history: no reading is kept, because {cause}");
        return Ok(Err(cause.to_owned()));
    };
    let trouble = match History::open(file.clone(), config.keep).await {
        Ok(history) => return Ok(Ok(history)),
        Err(trouble) => format!("{} cannot be used ({trouble})", file.display()),
    };
    if config.path.is_some() {
        bail!("history: {trouble}; [history] path = … names another file, and off = true keeps none");
    }
    warn!("history: no reading is kept, because {trouble}; [history] path = … names another file");
    Ok(Err(trouble))
}

/// Without a place for recordings the receiver still shows what comes.
fn open_recorder(config: &config::Record) -> Result<Option<Recorder>> {
    let Some(dir) = config.place() else {
        warn!("recorder: nothing is recorded, because this user has no home; [record] dir = … says where");
        return Ok(None);
    };
    Ok(Some(Recorder::open(config, dir).context("cannot record")?))
}

/// Prints lines until there are no more or nobody reads them.
fn print(mut lines: mpsc::Receiver<String>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    while let Some(line) = lines.blocking_recv() {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            result => result.context("cannot print")?,
        }
    }
    Ok(())
}
