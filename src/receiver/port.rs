//! What an agent's statuses, one after the other, tell of a serial port.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::PartStatus;

/// A rate is of at least so many lines, or this time, so that it stands still, and over at least a few seconds; but of no
/// more than the last minutes, so that it is still of now.
const ENOUGH_LINES: u64 = 100;
const ENOUGH_MS: u64 = 15_000;
const CALM_MS: u64 = 3_000;
const LONGEST_MS: u64 = 5 * 60 * 1_000;

/// What a port counts besides refusals. A line whose beginning was missed is there at each opening and is no wonder.
const NO_REFUSALS: [&str; 4] = ["bytes", "cut_line", "lines", "opened"];

/// One serial port.
#[derive(Debug, Default)]
pub struct Port {
    /// Since it is up: the statuses that told of new lines. Of these the rate is made and not of all, because a board
    /// that speaks every ten seconds would seem now faster and now slower between its lines.
    news: VecDeque<Told>,
    last: Option<Told>,
    refused: Option<u64>,
    refused_at: Option<Instant>,
}

/// Good lines so far, as told after so many milliseconds of being up: by the agent's clock, which a link that holds
/// messages up does not disturb.
#[derive(Clone, Copy, Debug)]
struct Told {
    at_ms: u64,
    lines: u64,
}

impl Port {
    /// Takes in what a status says of it.
    pub fn note(&mut self, part: &PartStatus, now: Instant) {
        let refused = refusals(part).map(|(_, count)| count).fold(0, u64::saturating_add);
        if self.refused.replace(refused).is_some_and(|before| refused > before) {
            self.refused_at = Some(now);
        }
        let told = Told { at_ms: part.for_ms, lines: part.counts.get("lines").copied().unwrap_or(0) };
        let goes_on = |before: Told| told.at_ms >= before.at_ms && told.lines >= before.lines;
        if !part.up || !self.last.is_some_and(goes_on) {
            // What was before it went down says nothing of now.
            self.news.clear();
            self.last = part.up.then_some(told);
            return;
        }
        // Over another link a status comes a second time.
        let news = self.last.replace(told).is_some_and(|before| told.lines > before.lines && told.at_ms > before.at_ms);
        if news {
            self.news.push_back(told);
            while self.news.get(1).is_some_and(|next| is_enough(*next, told)) || self.news[0].is_too_long_before(told) {
                self.news.pop_front();
            }
        }
    }

    /// Good lines a second; none until two statuses had news.
    #[must_use]
    pub fn lines_per_s(&self) -> Option<f64> {
        let (first, last) = (self.news.front()?, self.news.back()?);
        let gaps = self.news.len() as f64 - 1.0;
        let told_ms = (last.at_ms - first.at_ms) as f64;
        // News that is later than usual lowers the rate while it is awaited.
        let awaited_ms = (self.last?.at_ms - first.at_ms) as f64 * gaps / (gaps + 1.0);
        (gaps > 0.0).then(|| (last.lines - first.lines) as f64 * 1_000.0 / told_ms.max(awaited_ms))
    }

    /// How long ago lines were last refused; none if that was before the first status.
    #[must_use]
    pub fn refused_ago(&self) -> Option<Duration> {
        self.refused_at.map(|at| at.elapsed())
    }
}

impl Told {
    fn is_too_long_before(self, now: Told) -> bool {
        now.at_ms - self.at_ms > LONGEST_MS
    }
}

fn is_enough(from: Told, to: Told) -> bool {
    let ms = to.at_ms - from.at_ms;
    ms >= ENOUGH_MS || (to.lines - from.lines >= ENOUGH_LINES && ms >= CALM_MS)
}

/// Lines and values that were refused since the agent started, by cause.
pub fn refusals(part: &PartStatus) -> impl Iterator<Item = (&str, u64)> {
    let counts = part.counts.iter().map(|(cause, count)| (cause.as_ref(), *count));
    counts.filter(|(cause, count)| *count > 0 && !NO_REFUSALS.contains(cause))
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

    /// A port after a status a second, each with as many lines as `lines` says of the second.
    fn port(seconds: u64, lines: impl Fn(u64) -> u64) -> Port {
        let mut port = Port::default();
        for second in 0..=seconds {
            port.note(&status(true, second, &[("lines", lines(second))]), Instant::now());
        }
        port
    }

    #[track_caller]
    fn assert_rate(port: &Port, expected: f64) {
        let rate = port.lines_per_s().expect("a rate");
        assert!((rate - expected).abs() < expected / 100.0, "{rate} lines/s, not {expected}");
    }

    #[test]
    fn a_rate_is_told_from_the_second_news_on() {
        assert_eq!(port(1, |second| second * 4).lines_per_s(), None);
        assert_rate(&port(2, |second| second * 4), 4.0);
        assert_rate(&port(2, |second| second * 98_304), 98_304.0);
    }

    #[test]
    fn a_board_that_speaks_every_ten_seconds_has_the_same_rate_in_each_of_them() {
        for seconds in 100..120 {
            assert_rate(&port(seconds, |second| second / 10), 0.1);
            assert_rate(&port(seconds, |second| second / 10 * 5), 0.5);
        }
    }

    #[test]
    fn a_board_that_becomes_faster_or_silent_is_soon_said_to_be() {
        assert_rate(&port(64, |second| second + second.saturating_sub(60) * 1_999), 2_000.0);
        let stopped = port(70, |second| second.min(10));
        assert!(stopped.lines_per_s().is_some_and(|rate| rate < 0.2), "{stopped:?}");
    }

    #[test]
    fn a_flood_that_is_over_is_soon_forgotten() {
        assert_rate(&port(80, |second| second.min(60) * 2_000 + second.saturating_sub(60)), 1.0);
    }

    #[test]
    fn what_was_before_an_unplugging_is_not_in_the_rate() {
        let mut port = port(60, |second| second * 50);
        port.note(&status(false, 0, &[("lines", 3_000)]), Instant::now());
        assert_eq!(port.lines_per_s(), None);
        for second in 0..10 {
            port.note(&status(true, second, &[("lines", 3_000 + second * 2)]), Instant::now());
        }
        assert_rate(&port, 2.0);
        // Down and up again between two statuses.
        port.note(&status(true, 0, &[("lines", 3_020)]), Instant::now());
        assert_eq!(port.lines_per_s(), None);
    }

    #[test]
    fn a_status_that_comes_twice_is_no_news() {
        let mut port = Port::default();
        for second in 0..5 {
            for _ in 0..2 {
                port.note(&status(true, second, &[("lines", second * 4)]), Instant::now());
            }
        }
        assert_rate(&port, 4.0);
    }

    #[test]
    fn refusals_are_lately_only_when_their_number_grew_and_a_cut_line_is_none() {
        let mut port = Port::default();
        for (cause, lately) in [("garbled_line", false), ("cut_line", false), ("lines", false), ("not_a_number", true)]
        {
            let counts = [("garbled_line", 7), (cause, 7)];
            port.note(&status(true, 1, &counts), Instant::now());
            assert_eq!(port.refused_ago().is_some(), lately, "{cause}");
        }
        let told = status(true, 1, &[("cut_line", 1), ("garbled_line", 7), ("lines", 9), ("out_of_range", 0)]);
        assert_eq!(refusals(&told).collect::<Vec<_>>(), [("garbled_line", 7)]);
    }
}
