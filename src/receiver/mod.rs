//! The receiver: links in, the wall, and the page that shows it.
//!
//! A task a link (`intake.rs`) puts what comes onto the wall (`wall.rs`, with what statuses tell of a serial port over
//! time in `port.rs`); each viewer of the page (`web/`) and the saving of pictures (`save.rs`) follow the wall at
//! their own pace. Readings go into the history (`history/`), too, which says when they are there for good, so that an agent
//! need not send them again (`replies.rs`). Frames are recorded (`recorder/`). What viewers want of cameras goes back to the
//! agents (`commands.rs`).

pub mod commands;
mod complaint;
pub mod counts;
pub mod history;
pub mod intake;
pub mod port;
pub mod recorder;
mod replies;
pub mod save;
pub mod wall;
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
use tracing::{info, warn};

use crate::config::{self, Inlet};
use crate::link::{Link, Opening};
use crate::wire::Tally;
use commands::Commands;
use counts::LinkCounts;
use history::History;
use intake::Intake;
use recorder::Recorder;
use wall::Wall;
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

/// A receiver whose links and page are open.
pub struct Receiver {
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
        for inlet in config.links {
            let pattern = inlet.pattern.into();
            let refused = intake::on_refusal(inlet.end.address().to_string());
            let (end, curve) = (inlet.end.clone(), inlet.curve.clone());
            let link = Opening { pattern, end, curve, refused }.open()?;
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
            Some(history) => open_history(history, links.len()).await?,
            None => Err(String::new()),
        };
        let recorder = config.record.as_ref().map_or(Ok(None), open_recorder)?;
        Ok(Receiver { links, page, access, history, recorder })
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
    /// # Errors
    /// When a socket fails, or files cannot be written.
    pub async fn run(mut self, also: Also, shutdown: CancellationToken) -> Result<Tally> {
        info!("the page is at http://{}/, {}", self.page()?, self.access);
        let wall = watch::Sender::new(Wall::default());
        let mut tasks = JoinSet::new();
        let followers_end = CancellationToken::new();
        let mut followers = JoinSet::new();
        let counts: Vec<_> = self.links.iter().map(|(_, link)| LinkCounts::of(link.address())).collect();
        let site = Site {
            wall: wall.subscribe(),
            access: Arc::new(self.access),
            commands: Commands::default(),
            history: self.history.as_ref().map(History::reader).map_err(Clone::clone),
            library: self.recorder.as_ref().map(Recorder::library),
            links: counts.clone().into(),
            viewers: TaskTracker::new(),
            shutdown: followers_end.clone(),
        };
        let commands = site.commands.clone();
        followers.spawn(web::serve(self.page, site));
        if let Some(recorder) = &self.recorder {
            followers.spawn(recorder.captions().follow(wall.subscribe(), followers_end.clone()));
        }
        if let Some(dir) = also.save {
            followers.spawn(save::run(dir, wall.subscribe(), followers_end.clone()));
        }
        let lines = also.json.then(|| {
            let (lines, printed) = mpsc::channel(LINES);
            followers.spawn(async { tokio::task::spawn_blocking(|| print(printed)).await? });
            lines
        });
        let mut feeds = self.history.iter_mut().flat_map(History::feeds).collect::<Vec<_>>().into_iter();
        for ((inlet, link), counts) in self.links.into_iter().zip(counts) {
            let (wall, lines, history, desk) = (wall.clone(), lines.clone(), feeds.next(), commands.desk());
            let recorder = self.recorder.as_ref().map(Recorder::feed);
            let intake = Intake { inlet, link, wall, lines, history, recorder, desk, counts };
            tasks.spawn(intake.run(shutdown.clone()));
        }
        drop(lines);

        let mut came = Tally::default();
        let mut failed = None;
        loop {
            tokio::select! {
                // Followers end before only when they fail or nobody reads their lines; then the receiver ends.
                Some(ended) = followers.join_next() => {
                    failed = failed.or(ended?.err());
                    shutdown.cancel();
                }
                ended = tasks.join_next() => match ended {
                    Some(Ok(Ok(tally))) => came.merge(tally),
                    // The others end as they should, and what came over them is kept.
                    Some(Ok(Err(error))) => {
                        failed = failed.or(Some(error));
                        shutdown.cancel();
                    }
                    Some(Err(error)) => return Err(error.into()),
                    None => break,
                },
            }
        }
        followers_end.cancel();
        let (history, recorder) = (self.history, self.recorder);
        tokio::join!(
            async {
                if let Ok(history) = history {
                    history.end().await;
                }
            },
            async {
                if let Some(recorder) = recorder {
                    recorder.end().await;
                }
            },
        );
        // Lines that nobody takes would keep their printer for ever.
        while let Ok(Some(ended)) = timeout(FOLLOWERS_END, followers.join_next()).await {
            failed = failed.or(ended?.err());
        }
        failed.map_or(Ok(came), Err)
    }
}

/// Without a history the receiver still shows what comes; who has said where it is to be kept is told at once. Gives why there
/// is none.
async fn open_history(config: &config::History, links: usize) -> Result<Result<History, String>> {
    let Some(file) = config.file() else {
        let cause = "this user has no home; [history] path = … says where";
        warn!("history: no reading is kept, because {cause}");
        return Ok(Err(cause.to_owned()));
    };
    let trouble = match History::open(file.clone(), config.keep, links).await {
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
