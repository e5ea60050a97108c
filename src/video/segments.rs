//! Plays streams that arrive in segments (HLS) at the rate of their pictures. FFmpeg reads each segment at once, and then waits
//! for seconds.

use std::time::{Duration, Instant};

/// A jump of the pictures' times by more than this is a new start.
const MAX_JUMP: Duration = Duration::from_secs(10);

/// When each picture is due.
#[derive(Default)]
pub(super) struct SegmentPace {
    /// The time of a picture in the stream, and when it was due.
    anchor: Option<(Duration, Instant)>,
}

impl SegmentPace {
    /// When the picture with this time in the stream is due, if it arrives now. A late picture delays those after it: otherwise
    /// each segment would begin with a burst.
    pub(super) fn due(&mut self, position: Duration, now: Instant) -> Instant {
        let due = self.anchor.and_then(|(first, start)| Some(start + position.checked_sub(first)?));
        let due = due.filter(|due| *due >= now && *due <= now + MAX_JUMP);
        if due.is_none() {
            self.anchor = Some((position, now));
        }
        due.unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_spread_and_late_pictures_are_shown_at_once() {
        let (mut pace, start) = (SegmentPace::default(), Instant::now());
        let ms = Duration::from_millis;
        // Position and arrival of each picture, and when it is due.
        for (position, arrival, due) in [
            (1_000, 0, 0),
            (1_040, 1, 40),
            (1_080, 41, 80),
            // The next segment is late.
            (1_120, 500, 500),
            (1_160, 501, 540),
            // The stream started over.
            (0, 541, 541),
            (40, 542, 581),
            (90_000, 582, 582),
        ] {
            assert_eq!(pace.due(ms(position), start + ms(arrival)) - start, ms(due), "{position}");
        }
    }
}
