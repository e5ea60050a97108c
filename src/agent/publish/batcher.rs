//! Collects live readings into batches, so that many readings need few messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::agent::health::Part;
use crate::agent::spool::SpoolHandle;
use crate::reading::Batch;

/// The shortest time between two messages with readings. Each message wakes two threads here and some at the receiver, and
/// busy boards send lines all the time.
const BATCH_INTERVAL: Duration = Duration::from_millis(5);

/// A message with about this many bytes is sent at once.
const FULL_MESSAGE_BYTES: usize = 40 * 1024;

/// A link with more waiting batches than this is behind.
const MAX_WAITING_BATCHES: usize = 256;

/// Readings between the feed and the next message.
pub struct LiveReadings {
    feed: broadcast::Receiver<Arc<Batch>>,
    batches: Vec<Arc<Batch>>,
    /// An upper bound of their size as JSON.
    bytes: usize,
    /// When they are sent even if the message is not full.
    due: Instant,
    /// The number of the last reading from the feed; `None` if earlier readings had no receiver and are not missed.
    last_seq: Option<u64>,
    health: Part,
    /// The spool, if it keeps the readings that this link skips.
    spool: Option<SpoolHandle>,
    has_gap: bool,
}

impl LiveReadings {
    /// Follows the feed from now on; `last_seq` is the number of the last reading before it.
    #[must_use]
    pub fn new(
        feed: broadcast::Receiver<Arc<Batch>>,
        last_seq: Option<u64>,
        health: Part,
        spool: Option<SpoolHandle>,
    ) -> LiveReadings {
        if let (Some(spool), Some(last)) = (&spool, last_seq) {
            spool.set_live_from(last + 1);
        }
        LiveReadings {
            feed,
            batches: Vec::new(),
            bytes: 0,
            due: Instant::now(),
            last_seq,
            health,
            spool,
            has_gap: false,
        }
    }

    /// Waits until there is a message to send.
    pub async fn ready(&mut self) {
        if self.batches.is_empty()
            && let Ok(batch) = self.feed.recv().await
        {
            self.add(batch);
        }
        tokio::time::sleep_until(self.due).await;
    }

    /// The batches of the next message, if it is full, due or requested `now`.
    pub fn message(&mut self, now: bool) -> Option<&[Arc<Batch>]> {
        while self.bytes < FULL_MESSAGE_BYTES {
            match self.feed.try_recv() {
                Ok(batch) => self.add(batch),
                // The number of the next batch shows how many were lost.
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => break,
            }
        }
        let is_due = now || self.bytes >= FULL_MESSAGE_BYTES || Instant::now() >= self.due;
        (is_due && !self.batches.is_empty()).then_some(&self.batches)
    }

    /// Removes the batches of the last message, which was sent.
    pub fn mark_sent(&mut self) {
        self.batches.clear();
        self.bytes = 0;
        self.due = Instant::now() + BATCH_INTERVAL;
    }

    /// Discards all waiting readings and continues with the next new one.
    pub fn restart(&mut self) {
        self.feed = self.feed.resubscribe();
        self.batches.clear();
        self.bytes = 0;
        self.last_seq = None;
    }

    /// Whether new readings would be late because too many batches wait.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.feed.len() > MAX_WAITING_BATCHES
    }

    /// Leaves all waiting readings to the spool and continues with `feed`, which starts after the number `last`.
    pub fn skip(&mut self, feed: broadcast::Receiver<Arc<Batch>>, last: u64) {
        self.feed = feed;
        self.bytes = 0;
        self.last_seq = Some(last);
        self.has_gap = true;
        let skipped = std::mem::take(&mut self.batches);
        if let Some(spool) = &self.spool {
            for batch in skipped {
                spool.release_live(batch.seqs());
            }
            spool.set_live_from(last + 1);
        }
    }

    /// Whether readings were left to the spool since the last call.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.has_gap)
    }

    /// How many batches are unsent.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.batches.len() + self.feed.len()
    }

    fn add(&mut self, batch: Arc<Batch>) {
        let missed = self.last_seq.map_or(0, |last| batch.seq - last - 1);
        if let Some(spool) = &self.spool {
            spool.send_live(batch.seqs());
            self.has_gap |= missed > 0;
        } else if missed > 0 {
            self.health.count("readings_lost", missed);
        }
        self.last_seq = Some(batch.last_seq());
        self.bytes += max_json_bytes(&batch);
        self.batches.push(batch);
    }
}

/// An upper bound of a batch's size as JSON, in which each character of a name may take two.
fn max_json_bytes(batch: &Batch) -> usize {
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
            assert!(written <= max_json_bytes(&batch), "{written} bytes, {} estimated", max_json_bytes(&batch));
        }
    }
}
