//! Limits how many bytes of a backlog are in flight.
//!
//! Acknowledgements show how long each page took. A page that took much longer than the fastest one waited in a queue, and
//! live readings would wait there too, so the window shrinks. The algorithm follows LEDBAT (RFC 6817).

use std::time::{Duration, Instant};

/// The window at first and at most, in bytes.
const INITIAL_WINDOW: usize = 8 * 1024;
const MAX_WINDOW: usize = 4 * 1024 * 1024;

/// The queueing delay that the window aims for.
const TARGET_DELAY: Duration = Duration::from_millis(50);

/// The base delay is measured again after this time, because networks and disks change.
const BASE_DELAY_LIFETIME: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct CongestionWindow {
    /// The window's size in bytes.
    size: usize,
    /// Bytes without an acknowledgement.
    in_flight: usize,
    /// The shortest delay of the previous and the current measurement.
    base_delay: Duration,
    /// The shortest delay of the current measurement.
    measured_delay: Duration,
    measuring_since: Instant,
    shrunk_at: Option<Instant>,
}

impl Default for CongestionWindow {
    fn default() -> CongestionWindow {
        CongestionWindow {
            size: INITIAL_WINDOW,
            in_flight: 0,
            base_delay: Duration::MAX,
            measured_delay: Duration::MAX,
            measuring_since: Instant::now(),
            shrunk_at: None,
        }
    }
}

impl CongestionWindow {
    /// Whether another page of this size may be sent. One page is always allowed.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.in_flight == 0 || self.in_flight + bytes <= self.size
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.in_flight += bytes;
    }

    /// Records the acknowledgement of a page that was sent `delay` ago, and adapts the window.
    pub(super) fn acknowledged(&mut self, bytes: usize, delay: Duration, now: Instant) {
        let was_full = self.in_flight + bytes > self.size;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.measure(delay, now);
        if delay.saturating_sub(self.base_delay) < TARGET_DELAY {
            // A window that was not full shows nothing about a larger one.
            if was_full {
                self.grow(bytes);
            }
        } else if self.shrunk_at.is_none_or(|at| now - at > delay) {
            // Shrink once for all pages that were in flight together.
            self.shrunk_at = Some(now);
            self.size = (self.size / 2).max(bytes);
        }
    }

    fn measure(&mut self, delay: Duration, now: Instant) {
        if now - self.measuring_since > BASE_DELAY_LIFETIME {
            self.base_delay = self.measured_delay;
            (self.measured_delay, self.measuring_since) = (Duration::MAX, now);
        }
        self.measured_delay = self.measured_delay.min(delay);
        self.base_delay = self.base_delay.min(delay);
    }

    /// Doubles the window each round trip until it has shrunk once, then adds one page per round trip.
    fn grow(&mut self, bytes: usize) {
        let growth = if self.shrunk_at.is_some() { bytes * bytes / self.size.max(bytes) } else { bytes };
        self.size = (self.size + growth).min(MAX_WINDOW);
    }

    /// Records that a page was not acknowledged in time.
    pub(super) fn lost(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        self.size = INITIAL_WINDOW.min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const PAGE: usize = 8 * 1024;

    /// Simulates sending for `time` over a path of `rate` bytes a second to a disk with this latency. Returns the bytes that
    /// arrived per second, and the longest queueing delay in the second half of the time.
    fn simulate(rate: usize, disk: Duration, time: Duration) -> (f64, Duration) {
        let (mut window, start) = (CongestionWindow::default(), Instant::now());
        let on_path = Duration::from_secs_f64(PAGE as f64 / rate as f64);
        let (mut now, mut path_is_free) = (start, start);
        let (mut arrivals, mut arrived, mut longest) = (VecDeque::new(), 0, Duration::ZERO);
        while now < start + time {
            while window.has_room(PAGE) {
                window.sent(PAGE);
                path_is_free = path_is_free.max(now) + on_path;
                arrivals.push_back((now, path_is_free + disk));
            }
            if now > start + time / 2 {
                longest = longest.max(path_is_free.saturating_duration_since(now));
            }
            let (sent, at) = arrivals.pop_front().expect("a page in flight");
            now = at;
            arrived += PAGE;
            window.acknowledged(PAGE, now - sent, now);
        }
        (arrived as f64 / time.as_secs_f64(), longest)
    }

    #[test]
    fn slow_path_is_busy_without_a_long_queue() {
        for disk in [1, 20, 200].map(Duration::from_millis) {
            let (rate, longest) = simulate(250_000, disk, Duration::from_secs(30));
            assert!(rate > 100_000.0, "{rate} of 250,000 bytes per second");
            assert!(longest < Duration::from_millis(150), "{longest:?} with a disk latency of {disk:?}");
        }
    }

    #[test]
    fn fast_path_is_used_despite_a_slow_disk() {
        let (rate, _) = simulate(100_000_000, Duration::from_millis(50), Duration::from_secs(30));
        assert!(rate > 20_000_000.0, "{rate} bytes per second");
    }
}
