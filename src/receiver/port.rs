//! The recent past of a serial port, from the statuses of its agent: its line rate and when it last refused a line.

use std::collections::VecDeque;
use std::time::Instant;

use crate::wire::PartStatus;

/// A rate covers at least this many lines within at least [`MIN_WINDOW_MS`], or [`FULL_WINDOW_MS`], so that it is steady; and
/// at most [`MAX_WINDOW_MS`], so that it is current.
const FULL_WINDOW_LINES: u64 = 100;
const FULL_WINDOW_MS: u64 = 15_000;
const MIN_WINDOW_MS: u64 = 3_000;
const MAX_WINDOW_MS: u64 = 5 * 60 * 1_000;

/// Counters of a port that are not refusals. A truncated first line occurs on every open and is expected.
const OTHER_COUNTERS: [&str; 4] = ["bytes", "cut_line", "lines", "opened"];

/// One serial port.
#[derive(Debug, Default)]
pub struct Port {
    /// Samples with new lines since the port is up. The rate is computed from these only: with all samples, the rate of a
    /// board that writes every ten seconds would go up and down between its lines.
    samples: VecDeque<Sample>,
    last: Option<Sample>,
    refused: Option<u64>,
    refused_at: Option<Instant>,
}

/// The number of good lines at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Milliseconds since the port is up, by the agent's clock: delays on the link do not matter.
    at_ms: u64,
    lines: u64,
}

impl Port {
    /// Adds the port's part of a status.
    pub fn update(&mut self, part: &PartStatus, now: Instant) {
        let refused = refusals(part).map(|(_, count)| count).fold(0, u64::saturating_add);
        if self.refused.replace(refused).is_some_and(|before| refused > before) {
            self.refused_at = Some(now);
        }
        let sample = Sample { at_ms: part.for_ms, lines: part.counts.get("lines").copied().unwrap_or(0) };
        let continues = |before: Sample| sample.at_ms >= before.at_ms && sample.lines >= before.lines;
        if !part.up || !self.last.is_some_and(continues) {
            // The port was down in between.
            self.samples.clear();
            self.last = part.up.then_some(sample);
            return;
        }
        // Each further link delivers the same status again.
        let is_new =
            self.last.replace(sample).is_some_and(|before| sample.lines > before.lines && sample.at_ms > before.at_ms);
        if is_new {
            self.samples.push_back(sample);
            while self.samples.get(1).is_some_and(|next| is_full_window(*next, sample))
                || self.samples[0].is_outdated_at(sample)
            {
                self.samples.pop_front();
            }
        }
    }

    /// Good lines per second; `None` until two statuses had new lines.
    #[must_use]
    pub fn lines_per_s(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let gaps = self.samples.len() as f64 - 1.0;
        let window_ms = (last.at_ms - first.at_ms) as f64;
        // Lines that are overdue lower the rate already.
        let overdue_ms = (self.last?.at_ms - first.at_ms) as f64 * gaps / (gaps + 1.0);
        (gaps > 0.0).then(|| (last.lines - first.lines) as f64 * 1_000.0 / window_ms.max(overdue_ms))
    }

    /// When lines were last refused; `None` if that was before the first status.
    #[must_use]
    pub fn refused_at(&self) -> Option<Instant> {
        self.refused_at
    }
}

impl Sample {
    fn is_outdated_at(self, now: Sample) -> bool {
        now.at_ms - self.at_ms > MAX_WINDOW_MS
    }
}

fn is_full_window(from: Sample, to: Sample) -> bool {
    let ms = to.at_ms - from.at_ms;
    ms >= FULL_WINDOW_MS || (to.lines - from.lines >= FULL_WINDOW_LINES && ms >= MIN_WINDOW_MS)
}

/// Number of refused lines and values since the agent started, by cause.
pub fn refusals(part: &PartStatus) -> impl Iterator<Item = (&str, u64)> {
    let counts = part.counts.iter().map(|(cause, count)| (cause.as_ref(), *count));
    counts.filter(|(cause, count)| *count > 0 && !OTHER_COUNTERS.contains(cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    fn status(up: bool, for_s: u64, counts: &[(&'static str, u64)]) -> PartStatus {
        PartStatus {
            name: Name::nearest("board"),
            source: String::new(),
            up,
            cause: String::new(),
            for_ms: for_s * 1_000,
            counts: counts.iter().map(|&(cause, count)| (cause.into(), count)).collect(),
            settings: None,
        }
    }

    /// Returns a port after one status per second, with line counts from `lines`.
    fn port(seconds: u64, lines: impl Fn(u64) -> u64) -> Port {
        let mut port = Port::default();
        for second in 0..=seconds {
            port.update(&status(true, second, &[("lines", lines(second))]), Instant::now());
        }
        port
    }

    #[track_caller]
    fn assert_rate(port: &Port, expected: f64) {
        let rate = port.lines_per_s().expect("a rate");
        assert!((rate - expected).abs() < expected / 100.0, "{rate} lines/s, not {expected}");
    }

    #[test]
    fn rate_is_known_from_the_second_change_on() {
        assert_eq!(port(1, |second| second * 4).lines_per_s(), None);
        assert_rate(&port(2, |second| second * 4), 4.0);
        assert_rate(&port(2, |second| second * 98_304), 98_304.0);
    }

    #[test]
    fn rate_of_a_slow_board_is_steady() {
        for seconds in 100..120 {
            assert_rate(&port(seconds, |second| second / 10), 0.1);
            assert_rate(&port(seconds, |second| second / 10 * 5), 0.5);
        }
    }

    #[test]
    fn rate_follows_faster_and_silent_boards() {
        assert_rate(&port(64, |second| second + second.saturating_sub(60) * 1_999), 2_000.0);
        let stopped = port(70, |second| second.min(10));
        assert!(stopped.lines_per_s().is_some_and(|rate| rate < 0.2), "{stopped:?}");
    }

    #[test]
    fn rate_recovers_soon_after_a_flood() {
        assert_rate(&port(80, |second| second.min(60) * 2_000 + second.saturating_sub(60)), 1.0);
    }

    #[test]
    fn rate_restarts_when_the_board_is_unplugged() {
        let mut port = port(60, |second| second * 50);
        port.update(&status(false, 0, &[("lines", 3_000)]), Instant::now());
        assert_eq!(port.lines_per_s(), None);
        for second in 0..10 {
            port.update(&status(true, second, &[("lines", 3_000 + second * 2)]), Instant::now());
        }
        assert_rate(&port, 2.0);
        // The port was down and up again between two statuses.
        port.update(&status(true, 0, &[("lines", 3_020)]), Instant::now());
        assert_eq!(port.lines_per_s(), None);
    }

    #[test]
    fn repeated_status_does_not_change_the_rate() {
        let mut port = Port::default();
        for second in 0..5 {
            for _ in 0..2 {
                port.update(&status(true, second, &[("lines", second * 4)]), Instant::now());
            }
        }
        assert_rate(&port, 4.0);
    }

    #[test]
    fn refusals_are_recent_only_if_their_count_grew() {
        let mut port = Port::default();
        for (cause, recent) in [("garbled_line", false), ("cut_line", false), ("lines", false), ("not_a_number", true)]
        {
            let counts = [("garbled_line", 7), (cause, 7)];
            port.update(&status(true, 1, &counts), Instant::now());
            assert_eq!(port.refused_at().is_some(), recent, "{cause}");
        }
        let status = status(true, 1, &[("cut_line", 1), ("garbled_line", 7), ("lines", 9), ("out_of_range", 0)]);
        assert_eq!(refusals(&status).collect::<Vec<_>>(), [("garbled_line", 7)]);
    }
}
