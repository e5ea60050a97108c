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
use tokio::task::spawn_blocking;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::log_throttle::LogThrottle;
use super::wall::Wall;
use crate::name::Name;
use crate::store::{StoreError, beside, claim};

/// How often to look for agents that went silent.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How often the file is written while only times change.
const SAVE_INTERVAL: Duration = Duration::from_mins(1);

/// How long to wait for the disk at the start.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A larger file is not ours.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

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
        Roster { file, saved: BTreeMap::new(), saved_at: None, failures: LogThrottle::default() }
    }

    /// Follows the wall and keeps the file up to date until the shutdown.
    pub(super) async fn follow(mut self, wall: watch::Sender<Wall>, shutdown: CancellationToken) -> Result<()> {
        let mut checks = interval(CHECK_INTERVAL);
        while shutdown.run_until_cancelled(checks.tick()).await.is_some() {
            wall.send_if_modified(Wall::update_presence);
            let agents = agents(&wall.borrow());
            if agents != self.saved || self.saved_at.is_none_or(|at| at.elapsed() >= SAVE_INTERVAL) {
                self.save(&wall, agents).await;
            }
        }
        let agents = agents(&wall.borrow());
        self.save(&wall, agents).await;
        Ok(())
    }

    /// Writes the file. After an error, the next try is a minute later.
    async fn save(&mut self, wall: &watch::Sender<Wall>, agents: BTreeMap<Name, bool>) {
        let Some((file, _)) = &self.file else { return };
        let file = file.clone();
        let contents = Contents { last_heard_us: wall.borrow().known().into_iter().collect() };
        let written = spawn_blocking(move || write(&file, &contents)).await;
        if let Ok(Err(error)) = written {
            let what = format_args!("cannot be remembered: {}; retrying every minute", StoreError::from(error));
            self.failures.log(&"agents", &what);
        }
        (self.saved, self.saved_at) = (agents, Some(Instant::now()));
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

/// Locks and reads the file. A missing or damaged one is empty.
fn load(path: PathBuf) -> Result<((PathBuf, File), Contents), String> {
    let failed = |error: StoreError| format!("{} cannot be used: {error}", path.display());
    let lock = claim(&path).map_err(failed)?;
    let bytes = match fs::metadata(&path) {
        Ok(file) if file.len() <= MAX_FILE_BYTES => fs::read(&path).map_err(|error| failed(error.into()))?,
        Ok(_) => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(((path, lock), Contents::default())),
        Err(error) => return Err(failed(error.into())),
    };
    let contents = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        warn!("agents: {} is damaged ({error}); agents are remembered from now on", path.display());
        Contents::default()
    });
    Ok(((path, lock), contents))
}

/// Replaces the file, so that a power cut leaves the old or the new one.
fn write(path: &Path, contents: &Contents) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.sync_data()?;
    fs::rename(new, path)
}
