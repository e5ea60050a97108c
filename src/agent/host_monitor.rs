//! How the machine is, looked at now and then, so that a status can tell.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::host::{HostStatus, Room, Roots};
use crate::lock::lock;

/// How often it is looked at: some sixty system calls, and nothing of it changes sooner in a way that anyone could act on.
const OFTEN: Duration = Duration::from_secs(10);

/// A disk that gave no answer for so long hangs, and what it said last is no longer so.
const OUTDATED: Duration = Duration::from_secs(30);

/// What was seen last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HostMonitor(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    machine: Option<HostStatus>,
    disk: Option<(Room, Instant)>,
}

impl HostMonitor {
    /// As a status message says it; none before it was looked at.
    #[must_use]
    pub fn status(&self) -> Option<HostStatus> {
        let seen = self.seen();
        let disk = seen.disk.filter(|(_, at)| at.elapsed() < OUTDATED).map(|(disk, _)| disk);
        seen.machine.clone().map(|machine| HostStatus { disk, ..machine })
    }

    /// Looks at the machine, and at the disk that `spool` is on, until the shutdown. Each has a task of its own: a disk may
    /// hang.
    #[must_use = "the tasks end when this is dropped"]
    pub fn watch(&self, spool: Option<PathBuf>, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (roots, watched) = (Roots::default(), self.clone());
        let look = move || HostStatus::read(&roots);
        let ended = shutdown.clone();
        tasks.spawn(async move {
            ended.run_until_cancelled(again_and_again(look, |seen| watched.seen().machine = Some(seen))).await;
        });
        if let Some(path) = spool {
            let (watched, ended) = (self.clone(), shutdown.clone());
            let look = move || Room::of_disk(&path);
            tasks.spawn(async move {
                let take = |room: Option<Room>| watched.seen().disk = room.map(|room| (room, Instant::now()));
                ended.run_until_cancelled(again_and_again(look, take)).await;
            });
        }
        tasks
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.0)
    }
}

/// Looks on a thread that may wait, and one at a time: one that hangs is waited for, and left alone at the end.
async fn again_and_again<T: Send + 'static>(look: impl Fn() -> T + Clone + Send + 'static, take: impl Fn(T)) {
    let mut times = interval(OFTEN);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        match spawn_blocking(look.clone()).await {
            Ok(seen) => take(seen),
            // The runtime is being shut down.
            Err(_) => return,
        }
    }
}
