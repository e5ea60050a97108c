//! Reads a spool file as an agent would send it.

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

/// Long enough for the spool to retry once.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The contents of a spool file.
#[derive(Debug)]
pub struct SpoolContents {
    /// Each batch with the boot of its agent, in order. Fields that depend on the time of sending are cleared.
    pub batches: Vec<(Name, Batch)>,
    pub status: PartStatus,
}

/// Reads every batch that a spool holds for the link with this address, without acknowledging any.
pub fn read_spool(path: &Path, link: &str) -> SpoolContents {
    let health = Part::new(Kind::Spool, Name::nearest("spool"), String::new(), &Arc::new(Notify::new()));
    let config = config::Spool { path: path.to_owned(), max_size: Bytes(256_000_000), keep: None };
    let boot = Name::nearest("another");
    let mut spool = Spool::new(&boot, &Arc::default(), health.clone());
    let handle = spool.add_link(link);
    spool.start(&config).expect("a thread");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // The spool waits for a missing disk.
    let ask = || runtime.block_on(async { timeout(TIMEOUT, handle.request_page()).await });
    let mut batches = Vec::new();
    let end = Instant::now() + TIMEOUT;
    loop {
        while let Ok(page) = ask().map(|page| page.expect("the spool runs"))
            && page.seqs().is_some()
        {
            let dated = page.batches(true).into_iter();
            batches.extend(dated.map(|batch| (page.boot().clone(), Batch { age_ms: None, stale: false, ..batch })));
        }
        if health.status().up || Instant::now() > end {
            break;
        }
        // The spool failed to open, or stopped halfway: start over.
        handle.reset_in_flight();
        batches.clear();
        sleep(Duration::from_millis(10));
    }
    runtime.block_on(spool.stop());
    SpoolContents { batches, status: health.status() }
}

impl SpoolContents {
    /// The number of files set aside because they were damaged or incomplete.
    pub fn set_aside(&self) -> u64 {
        let count = |key: &str| self.status.counts.get(key).copied().unwrap_or_default();
        count("damaged_files") + count("incomplete_writes")
    }
}
