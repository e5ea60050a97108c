//! Remembers agents across restarts: their names, and when each was last heard, in a small file. On start they are on the
//! wall as away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::log_throttle::LogThrottle;
use super::wall::Wall;
use crate::name::Name;
use crate::store::{StoreError, beside, claim, set_aside};

/// How often to look for agents that went silent.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the file is written while only times change.
const SAVE_INTERVAL: Duration = Duration::from_mins(1);

/// How long to wait for the disk at the start.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the disk at the end; see `FOLLOWERS_TIMEOUT` in `running.rs`.
const END_TIMEOUT: Duration = Duration::from_millis(400);

/// A larger file is not ours: this holds 250,000 agents with the longest names.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The file's contents.
#[derive(Default, Deserialize, Serialize)]
struct Contents {
    /// When each agent was last heard, in microseconds since 1970.
    last_heard_us: BTreeMap<Name, i64>,
}

/// The agents that the receiver remembers.
pub(super) struct Roster {
    /// The file and its lock. `None`: agents are remembered until the receiver stops.
    file: Option<(PathBuf, File)>,
    /// What the file holds: the agents, and which of them were away.
    saved: BTreeMap<Name, bool>,
    saved_at: Option<Instant>,
    /// The write that is under way.
    writing: Option<JoinHandle<io::Result<()>>>,
    failures: LogThrottle,
}

impl Roster {
    /// Reads the file and puts its agents on the wall.
    pub(super) async fn open(path: Option<PathBuf>, wall: &mut Wall) -> Roster {
        let mut file = None;
        if let Some(path) = path {
            let opened = timeout(LOAD_TIMEOUT, spawn_blocking(move || load(path))).await;
            match opened.map_err(|_| "the disk does not respond".to_owned()) {
                Ok(Ok(Ok((opened, contents)))) => {
                    file = Some(opened);
                    restore(contents, wall);
                }
                Ok(Ok(Err(error))) | Err(error) => warn!("agents: not remembered across restarts: {error}"),
                Ok(Err(_)) => {}
            }
        }
        let (saved, failures) = (BTreeMap::new(), LogThrottle::default());
        Roster { file, saved, saved_at: None, writing: None, failures }
    }

    /// Follows the wall and keeps the file up to date until the shutdown. Does not wait for the disk: agents go away while
    /// it hangs, too.
    pub(super) async fn follow(mut self, wall: watch::Sender<Wall>, shutdown: CancellationToken) -> Result<()> {
        let mut checks = interval(CHECK_INTERVAL);
        while shutdown.run_until_cancelled(checks.tick()).await.is_some() {
            wall.send_if_modified(Wall::update_presence);
            if self.writing.as_ref().is_none_or(JoinHandle::is_finished) {
                self.finish_writing().await;
                self.save_changes(&wall);
            }
        }
        let save = async {
            self.finish_writing().await;
            self.save(&wall, agents(&wall.borrow()));
            self.finish_writing().await;
        };
        if timeout(END_TIMEOUT, save).await.is_err() {
            warn!("agents: the disk does not respond; changes of the last minute may be forgotten");
        }
        Ok(())
    }

    fn save_changes(&mut self, wall: &watch::Sender<Wall>) {
        let agents = agents(&wall.borrow());
        if agents != self.saved || self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL) {
            self.save(wall, agents);
        }
    }

    /// Starts to write the file. After an error, the next try is a minute later.
    fn save(&mut self, wall: &watch::Sender<Wall>, agents: BTreeMap<Name, bool>) {
        let Some((file, _)) = &self.file else { return };
        let file = file.clone();
        let contents = Contents { last_heard_us: wall.borrow().known().into_iter().collect() };
        self.writing = Some(spawn_blocking(move || write(&file, &contents)));
        (self.saved, self.saved_at) = (agents, Some(Instant::now()));
    }

    /// Waits until the last write is complete, and logs its error.
    async fn finish_writing(&mut self) {
        let Some(writing) = &mut self.writing else { return };
        let written = writing.await;
        self.writing = None;
        if let Ok(Err(error)) = written {
            let what = format_args!("cannot be remembered: {}; retrying every minute", StoreError::from(error));
            self.failures.log(&"agents", &what);
        }
    }
}

/// The known agents, and whether each is away.
fn agents(wall: &Wall) -> BTreeMap<Name, bool> {
    let is_away = |name: &Name| wall.agents.get(name).is_some_and(|agent| agent.away_since_us().is_some());
    wall.known().into_iter().map(|(name, _)| (name.clone(), is_away(&name))).collect()
}

fn restore(contents: Contents, wall: &mut Wall) {
    if contents.last_heard_us.is_empty() {
        return;
    }
    wall.restore(contents.last_heard_us.into_iter().collect());
    let names: Vec<_> = wall.agents.keys().map(|name| &**name).collect();
    info!("agents: remembered {}; away until they connect", names.join(", "));
}

/// Locks and reads the file. A missing one is empty; a damaged one is moved aside.
fn load(path: PathBuf) -> Result<((PathBuf, File), Contents), String> {
    let failed = |error: StoreError| format!("{} cannot be used: {error}", path.display());
    let lock = claim(&path).map_err(failed)?;
    let contents = match read(&path) {
        Ok(contents) => contents,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let aside = set_aside(&path, &path).map_err(|error| failed(error.into()))?;
            let (path, aside) = (path.display(), aside.display());
            warn!("agents: {path} is damaged ({error}); moved to {aside}; agents are remembered from now on");
            Contents::default()
        }
        Err(error) => return Err(failed(error.into())),
    };
    Ok(((path, lock), contents))
}

fn read(path: &Path) -> io::Result<Contents> {
    let size = fs::metadata(path)?.len();
    if size > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} MB", size / 1_000_000)));
    }
    serde_json::from_slice(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Replaces the file, so that a power cut leaves the old or the new one.
fn write(path: &Path, contents: &Contents) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.sync_data()?;
    fs::rename(new, path)
}
