//! Remembers agents across restarts: their names, when each was last heard, and which are new, in a small file. On start
//! they are on the wall as away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::log_throttle::LogThrottle;
use super::wall::{Remembered, Wall};
use crate::name::{Name, StoredName};
use crate::store::{StoreError, beside, claim, set_aside};

/// How often to look for agents that went silent.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the file is written while only times change.
const SAVE_INTERVAL: Duration = Duration::from_mins(1);

/// How long to wait for the disk at the start.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the disk at the end. The receiver abandons tasks that take 100 ms longer.
const END_TIMEOUT: Duration = Duration::from_millis(400);

/// Size of an agent in the file: a name of 64 letters of four bytes may occur twice.
const MAX_AGENT_BYTES: u64 = 600;

/// A file that a receiver with more agents wrote may be larger than this one needs, but a larger one than this is not ours.
const MIN_FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// How many remembered agents the log names.
const MAX_LOGGED: usize = 20;

/// The file's contents.
#[derive(Default, Deserialize, Serialize)]
struct Contents {
    /// When each agent was last heard, in microseconds since 1970.
    last_heard_us: BTreeMap<StoredName, i64>,
    /// The agents that are not established. Earlier versions did not write them.
    #[serde(default)]
    new: BTreeSet<StoredName>,
}

/// The agents that the receiver remembers.
pub(super) struct Roster {
    /// The file and its lock. `None`: agents are remembered until the receiver stops.
    file: Option<Arc<(PathBuf, File)>>,
    /// What the file holds, or the write in progress: the agents, and which of them were away.
    saved: BTreeMap<Name, bool>,
    saved_at: Option<Instant>,
    /// The write in progress.
    write: Option<JoinHandle<io::Result<()>>>,
    failures: LogThrottle,
}

impl Roster {
    /// Reads the file and puts its agents on the wall.
    pub(super) async fn open(path: Option<PathBuf>, wall: &mut Wall) -> Roster {
        let mut file = None;
        if let Some(path) = path {
            let limit = MIN_FILE_LIMIT.max((wall.max_agents() as u64).saturating_mul(MAX_AGENT_BYTES));
            let opened = timeout(LOAD_TIMEOUT, spawn_blocking(move || load(path, limit))).await;
            match opened.map_err(|_| "the disk does not respond".to_owned()) {
                Ok(Ok(Ok((opened, contents)))) => {
                    file = Some(Arc::new(opened));
                    restore(contents, wall);
                }
                Ok(Ok(Err(error))) | Err(error) => warn!("agents: not remembered across restarts: {error}"),
                Ok(Err(_)) => {}
            }
        }
        let (saved, failures) = (BTreeMap::new(), LogThrottle::default());
        Roster { file, saved, saved_at: None, write: None, failures }
    }

    /// Follows the wall and keeps the file up to date until the shutdown. Never waits for the disk before that, because a
    /// disk that hangs must not hide that agents are away.
    pub(super) async fn follow(mut self, wall: watch::Sender<Wall>, shutdown: CancellationToken) -> Result<()> {
        let mut checks = interval(CHECK_INTERVAL);
        while shutdown.run_until_cancelled(checks.tick()).await.is_some() {
            wall.send_if_modified(Wall::update_presence);
            if self.write.as_ref().is_some_and(JoinHandle::is_finished) {
                self.finish_write().await;
            }
            self.save_if_due(&wall.borrow());
        }
        let last_save = async {
            self.finish_write().await;
            self.save(&wall.borrow());
            self.finish_write().await;
        };
        if timeout(END_TIMEOUT, last_save).await.is_err() {
            warn!("agents: the disk takes too long; the latest changes are not saved");
        }
        Ok(())
    }

    fn save_if_due(&mut self, wall: &Wall) {
        let is_old = self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL);
        if self.write.is_none() && (is_old || agents(wall) != self.saved) {
            self.save(wall);
        } else if is_old {
            self.report(&"the disk does not respond");
            self.saved_at = Some(Instant::now());
        }
    }

    /// Starts to write the file. It stays locked while the write lasts, even if the receiver abandons it.
    fn save(&mut self, wall: &Wall) {
        let Some(file) = self.file.clone() else { return };
        let contents = Contents::of(wall.known());
        (self.saved, self.saved_at) = (agents(wall), Some(Instant::now()));
        self.write = Some(spawn_blocking(move || write(&file.0, &contents)));
    }

    /// Waits for the write in progress. After an error, the next try is a minute later.
    async fn finish_write(&mut self) {
        let Some(write) = &mut self.write else { return };
        let written = write.await;
        self.write = None;
        if let Ok(Err(error)) = written {
            self.report(&StoreError::from(error));
        }
    }

    fn report(&mut self, error: &dyn Display) {
        self.failures.log(&"agents", &format_args!("cannot be remembered: {error}; retrying every minute"));
    }
}

impl Contents {
    fn of(known: Vec<Remembered>) -> Contents {
        let new = known.iter().filter(|agent| !agent.is_established).map(|agent| StoredName(agent.name.clone()));
        let new = new.collect();
        let last_heard_us = known.into_iter().map(|agent| (StoredName(agent.name), agent.last_heard_us)).collect();
        Contents { last_heard_us, new }
    }

    fn into_agents(self) -> Vec<Remembered> {
        let Contents { last_heard_us, new } = self;
        let agent = |(name, last_heard_us)| {
            let is_established = !new.contains(&name);
            Remembered { name: name.0, last_heard_us, is_established }
        };
        last_heard_us.into_iter().map(agent).collect()
    }
}

/// The known agents, and whether each is away.
fn agents(wall: &Wall) -> BTreeMap<Name, bool> {
    let is_away = |name: &Name| wall.agents.get(name).is_some_and(|agent| agent.away_since_us().is_some());
    wall.known().into_iter().map(|Remembered { name, .. }| (name.clone(), is_away(&name))).collect()
}

fn restore(contents: Contents, wall: &mut Wall) {
    wall.restore(contents.into_agents());
    let mut names: Vec<_> = wall.agents.keys().map(|name| &**name).collect();
    let more = names.len().saturating_sub(MAX_LOGGED);
    names.truncate(MAX_LOGGED);
    match (&*names.join(", "), more) {
        ("", _) => {}
        (names, 0) => info!("agents: remembered {names}; away until they connect"),
        (names, more) => info!("agents: remembered {names} and {more} more; away until they connect"),
    }
}

/// Locks and reads the file. A missing one is empty, and so is a damaged one, which is renamed.
fn load(path: PathBuf, limit: u64) -> Result<((PathBuf, File), Contents), String> {
    let failed = |error: StoreError| format!("{} cannot be used: {error}", path.display());
    let lock = claim(&path).map_err(failed)?;
    let contents = match read(&path, limit).map_err(|error| failed(error.into()))? {
        Ok(contents) => contents,
        Err(what) => {
            let aside = set_aside(&path, &path).map_err(|error| failed(error.into()))?;
            let (path, aside) = (path.display(), aside.display());
            warn!("agents: {path} {what}; moved to {aside}; agents are remembered from now on");
            Contents::default()
        }
    };
    Ok(((path, lock), contents))
}

/// Reads the file; the inner error says why the contents cannot be used.
fn read(path: &Path, limit: u64) -> io::Result<Result<Contents, String>> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Contents::default())),
        file => file?.len(),
    };
    if length > limit {
        return Ok(Err(format!("is too large ({length} bytes; the limit is {limit})")));
    }
    Ok(serde_json::from_slice(&fs::read(path)?).map_err(|error| format!("is damaged ({error})")))
}

/// Replaces the file, so that a power cut leaves the old or the new one.
fn write(path: &Path, contents: &Contents) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.sync_data()?;
    fs::rename(new, path)
}
