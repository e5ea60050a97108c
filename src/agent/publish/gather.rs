//! Readings that wait for others, so that a flood is few messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::agent::health::Part;
use crate::agent::spool::SpoolHandle;
use crate::reading::Batch;

/// Readings wait this long for others, counted from the last message that had some, and a message with about so many
/// bytes of them is full: each message wakes two threads here and some at the other end, and a flood brings new lines
/// every moment.
const GATHER: Duration = Duration::from_millis(5);
const FULL: usize = 40 * 1024;

/// Batches that wait while a link takes them as they come.
const BEHIND: usize = 256;

/// Readings on their way from the feed to a message.
pub struct Gathered {
    feed: broadcast::Receiver<Arc<Batch>>,
    batches: Vec<Arc<Batch>>,
    /// About so many bytes.
    length: usize,
    /// When they may go.
    due: Instant,
    /// The number of the last reading that was taken from the feed; `None`: what came before was for nobody.
    heard: Option<u64>,
    health: Part,
    /// What is missed here can be had from there.
    spool: Option<SpoolHandle>,
    missed: bool,
}

impl Gathered {
    /// All of the feed, in which the number `heard` came last.
    #[must_use]
    pub fn new(
        feed: broadcast::Receiver<Arc<Batch>>,
        heard: Option<u64>,
        health: Part,
        spool: Option<SpoolHandle>,
    ) -> Gathered {
        if let (Some(spool), Some(heard)) = (&spool, heard) {
            spool.set_live_from(heard + 1);
        }
        Gathered { feed, batches: Vec::new(), length: 0, due: Instant::now(), heard, health, spool, missed: false }
    }

    /// Waits until there is something to be sent.
    pub async fn ready(&mut self) {
        if self.batches.is_empty()
            && let Ok(batch) = self.feed.recv().await
        {
            self.take(batch);
        }
        tokio::time::sleep_until(self.due).await;
    }

    /// What is to be sent, if it may go `now` or is due.
    pub fn message(&mut self, now: bool) -> Option<&[Arc<Batch>]> {
        while self.length < FULL {
            match self.feed.try_recv() {
                Ok(batch) => self.take(batch),
                // What is lost shows in the numbers of the next batch.
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        let may_go = now || self.length >= FULL || Instant::now() >= self.due;
        (may_go && !self.batches.is_empty()).then_some(&self.batches)
    }

    /// The message was taken.
    pub fn sent(&mut self) {
        self.batches.clear();
        self.length = 0;
        self.due = Instant::now() + GATHER;
    }

    /// Begins anew with what comes from now on.
    pub fn forget(&mut self) {
        self.feed = self.feed.resubscribe();
        self.batches.clear();
        self.length = 0;
        self.heard = None;
    }

    /// So much waits that what comes now would come late.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.feed.len() > BEHIND
    }

    /// Goes on with what comes from now on, after the number `last`; what waited is missed.
    pub fn skip(&mut self, feed: broadcast::Receiver<Arc<Batch>>, last: u64) {
        self.feed = feed;
        self.length = 0;
        self.heard = Some(last);
        self.missed = true;
        let left = std::mem::take(&mut self.batches);
        if let Some(spool) = &self.spool {
            for batch in left {
                spool.release_live(batch.seqs());
            }
            spool.set_live_from(last + 1);
        }
    }

    /// Whether something was missed that can be had from the spool, since this was last asked.
    pub fn missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    /// Batches that were not sent yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.batches.len() + self.feed.len()
    }

    fn take(&mut self, batch: Arc<Batch>) {
        let missed = self.heard.map_or(0, |heard| batch.seq - heard - 1);
        if let Some(spool) = &self.spool {
            spool.send_live(batch.seqs());
            self.missed |= missed > 0;
        } else if missed > 0 {
            self.health.count("readings_lost", missed);
        }
        self.heard = Some(batch.last_seq());
        self.length += length(&batch);
        self.batches.push(batch);
    }
}

/// At most this long is a batch as JSON, where each character of a name may be two.
fn length(batch: &Batch) -> usize {
    let values = batch.values.iter().map(|(quantity, _)| 64 + 2 * quantity.name.len() + 2 * quantity.unit.len());
    216 + values.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Stamp, WallClock};
    use crate::name::Name;
    use crate::quantity::Quantity;
    use crate::wire::Message;

    #[test]
    fn batch_on_the_wire_is_no_longer_than_estimated() {
        for name in ["t", "\"\\\"\\", &"\\".repeat(256), "温度"] {
            let quantity = Arc::new(Quantity { name: name.into(), unit: name.into(), listed: false });
            let name = Name::nearest(&"x".repeat(1_000));
            let batch = Arc::new(Batch {
                port: name.clone(),
                captured: Stamp::now(),
                synchronised: false,
                stale_after: Duration::from_hours(1_000_000),
                seq: u64::MAX - 2,
                values: vec![(Arc::clone(&quantity), -f64::MIN_POSITIVE), (quantity, f64::MAX)].into(),
            });
            let json = |batches: &[Arc<Batch>]| {
                Message::readings(&name, &name, &WallClock::default(), batches).to_json().len()
            };
            let written = json(std::slice::from_ref(&batch)) - json(&[]);
            assert!(written <= length(&batch), "{written} bytes, {} estimated", length(&batch));
        }
    }
}
