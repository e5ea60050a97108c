//! What a spool's file holds, as an agent would send it.

use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;
use watchpost::agent::health::{Kind, Part};
use watchpost::agent::spool::Spool;
use watchpost::config::{self, Bytes};
use watchpost::name::Name;
use watchpost::wire::{Batch, PartStatus};

/// Time enough to try a second time.
const TWICE: Duration = Duration::from_secs(3);

/// What came of opening a file.
#[derive(Debug)]
pub struct Kept {
    /// With the start of the agent that they are of, in order, without what depends on when they are sent.
    pub batches: Vec<(Name, Batch)>,
    pub status: PartStatus,
}

/// Opens a spool, takes everything out of it for the link of this address and acknowledges nothing.
pub fn kept(path: &Path, link: &str) -> Kept {
    let health = Part::new(Kind::Spool, Name::nearest("spool"), String::new(), &Arc::new(Notify::new()));
    let config = config::Spool { path: path.to_owned(), max_size: Bytes(256_000_000), keep: None };
    let boot = Name::nearest("another");
    let mut spool = Spool::new(&boot, &Arc::default(), health.clone());
    let shelf = spool.keep_for(link);
    spool.begin(&config).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // A disk that is not there is waited for.
    let ask = || runtime.block_on(async { timeout(TWICE, shelf.ask()).await });
    let mut batches = Vec::new();
    let end = Instant::now() + TWICE;
    loop {
        while let Ok(page) = ask().map(|page| page.expect("the spool runs"))
            && page.numbers().is_some()
        {
            let dated = page.batches(true).into_iter();
            batches.extend(dated.map(|batch| (page.boot().clone(), Batch { age_ms: None, stale: false, ..batch })));
        }
        if health.status().up || Instant::now() > end {
            break;
        }
        // It stopped in the middle, or did not begin.
        shelf.begin_anew();
        batches.clear();
        sleep(Duration::from_millis(10));
    }
    runtime.block_on(spool.end());
    Kept { batches, status: health.status() }
}

impl Kept {
    /// Files that were set aside, because they were damaged or cut short.
    pub fn set_aside(&self) -> u64 {
        let count = |what: &str| self.status.counts.get(what).copied().unwrap_or_default();
        count("damaged_files") + count("incomplete_writes")
    }
}
