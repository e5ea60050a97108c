//! Reads the machine's condition at intervals, for the status.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::host::{HostStatus, Room, Roots};
use crate::lock::lock;

/// One reading takes about sixty system calls, and no value needs a faster reaction.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// A disk that does not answer for this long hangs, and its last values are not reported.
const MAX_DISK_AGE: Duration = Duration::from_secs(30);

/// The last values read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HostMonitor(Arc<Mutex<Latest>>);

#[derive(Debug, Default)]
struct Latest {
    host: Option<HostStatus>,
    disk: Option<(Room, Instant)>,
}

impl HostMonitor {
    /// The machine's condition for the status; `None` before the first reading.
    #[must_use]
    pub fn status(&self) -> Option<HostStatus> {
        let latest = self.latest();
        let disk = latest.disk.filter(|(_, at)| at.elapsed() < MAX_DISK_AGE).map(|(disk, _)| disk);
        latest.host.clone().map(|host| HostStatus { disk, ..host })
    }

    /// Polls the machine, and the disk of the path `spool`, until the shutdown. The disk has its own task, because it may
    /// hang.
    #[must_use = "the tasks stop when this is dropped"]
    pub fn watch(&self, spool: Option<PathBuf>, shutdown: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (roots, monitor, stop) = (Roots::default(), self.clone(), shutdown.clone());
        let read = move || HostStatus::look(&roots);
        tasks.spawn(async move {
            stop.run_until_cancelled(poll(read, |host| monitor.latest().host = Some(host))).await;
        });
        if let Some(path) = spool {
            let (monitor, stop) = (self.clone(), shutdown.clone());
            let read = move || Room::of_disk(&path);
            tasks.spawn(async move {
                let store = |room: Option<Room>| monitor.latest().disk = room.map(|room| (room, Instant::now()));
                stop.run_until_cancelled(poll(read, store)).await;
            });
        }
        tasks
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        lock(&self.0)
    }
}

/// Reads and stores a value at intervals, on a blocking thread. A reading that hangs delays the next one, but not the
/// shutdown.
async fn poll<T: Send + 'static>(read: impl Fn() -> T + Clone + Send + 'static, store: impl Fn(T)) {
    let mut times = interval(POLL_INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        match spawn_blocking(read.clone()).await {
            Ok(value) => store(value),
            // The runtime is shutting down.
            Err(_) => return,
        }
    }
}
