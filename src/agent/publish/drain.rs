//! How much of a backlog may be on its way at once.
//!
//! Acknowledgements tell how long a page took. What takes longer than the quickest did has waited behind other pages on the
//! way, and so would a live reading: then there is less on its way from then on. The idea is that of LEDBAT (RFC 6817).

use std::time::{Duration, Instant};

/// Bytes on their way: at first, and at most.
const FIRST: usize = 8 * 1024;
const MOST: usize = 4 * 1024 * 1024;

/// The wait behind other pages that is aimed at.
const QUEUE: Duration = Duration::from_millis(50);

/// The quickest is forgotten after so long: networks and disks change.
const MEMORY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Drain {
    window: usize,
    on_its_way: usize,
    /// The quickest lately, and since this is looked at.
    quickest: Duration,
    recent: Duration,
    since: Instant,
    /// When it was last made less.
    lessened: Option<Instant>,
}

impl Default for Drain {
    fn default() -> Drain {
        Drain {
            window: FIRST,
            on_its_way: 0,
            quickest: Duration::MAX,
            recent: Duration::MAX,
            since: Instant::now(),
            lessened: None,
        }
    }
}

impl Drain {
    /// Whether another page of so many bytes may go. One may always be on its way.
    pub(super) fn is_open(&self, bytes: usize) -> bool {
        self.on_its_way == 0 || self.on_its_way + bytes <= self.window
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.on_its_way += bytes;
    }

    /// A page that was sent so long ago is there.
    pub(super) fn arrived(&mut self, bytes: usize, delay: Duration, now: Instant) {
        let was_full = self.on_its_way + bytes > self.window;
        self.on_its_way = self.on_its_way.saturating_sub(bytes);
        if now - self.since > MEMORY {
            (self.quickest, self.recent, self.since) = (self.recent, Duration::MAX, now);
        }
        self.recent = self.recent.min(delay);
        self.quickest = self.quickest.min(delay);
        if delay.saturating_sub(self.quickest) < QUEUE {
            // What was not made use of tells nothing of more. At first twice as much each time, until that was too much, then
            // one page more.
            if was_full {
                let more = if self.lessened.is_some() { bytes * bytes / self.window.max(bytes) } else { bytes };
                self.window = (self.window + more).min(MOST);
            }
        } else if self.lessened.is_none_or(|at| now - at > delay) {
            // Once for all that were on their way together.
            self.lessened = Some(now);
            self.window = (self.window / 2).max(bytes);
        }
    }

    /// Of a page nothing was heard.
    pub(super) fn lost(&mut self, bytes: usize) {
        self.on_its_way = self.on_its_way.saturating_sub(bytes);
        self.window = FIRST.min(self.window);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const PAGE: usize = 8 * 1024;

    /// Simulates sending for `time` over a path of `rate` bytes per second, with a disk that takes `disk` per write.
    /// Returns the throughput in bytes per second, and the longest queue in the second half of that time.
    fn drain(rate: usize, disk: Duration, time: Duration) -> (f64, Duration) {
        let (mut drain, start) = (Drain::default(), Instant::now());
        let on_path = Duration::from_secs_f64(PAGE as f64 / rate as f64);
        let (mut now, mut path_is_free) = (start, start);
        let (mut arrivals, mut arrived, mut longest) = (VecDeque::new(), 0, Duration::ZERO);
        while now < start + time {
            while drain.is_open(PAGE) {
                drain.sent(PAGE);
                path_is_free = path_is_free.max(now) + on_path;
                arrivals.push_back((now, path_is_free + disk));
            }
            if now > start + time / 2 {
                longest = longest.max(path_is_free.saturating_duration_since(now));
            }
            let (sent, at) = arrivals.pop_front().expect("a page in flight");
            now = at;
            arrived += PAGE;
            drain.arrived(PAGE, now - sent, now);
        }
        (arrived as f64 / time.as_secs_f64(), longest)
    }

    #[test]
    fn slow_path_is_busy_without_a_long_queue() {
        for disk in [1, 20, 200].map(Duration::from_millis) {
            let (rate, longest) = drain(250_000, disk, Duration::from_secs(30));
            assert!(rate > 100_000.0, "{rate} of 250,000 bytes per second");
            assert!(longest < Duration::from_millis(150), "{longest:?} with a disk that takes {disk:?}");
        }
    }

    #[test]
    fn fast_path_is_used_despite_a_slow_disk() {
        let (rate, _) = drain(100_000_000, Duration::from_millis(50), Duration::from_secs(30));
        assert!(rate > 20_000_000.0, "{rate} bytes per second");
    }
}
