//! The picture that a link sends once a second for a camera that is down, in formats without status messages. The link never
//! repeats an old frame.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::card;
use crate::agent::encode::Encoder;
use crate::clock::Stamp;
use crate::config::Quality;
use crate::frame::{Frame, Jpeg, Layout};
use crate::wire::PartStatus;

/// How long a camera must be down before its picture is sent. Shorter interruptions and starts do not need one.
const MIN_DOWN_TIME: Duration = Duration::from_secs(1);

/// The time between two pictures: slightly less than the second between two statuses.
const REPEAT_INTERVAL: Duration = Duration::from_millis(900);

/// The greatest age of a status.
const MAX_STATUS_AGE: Duration = Duration::from_millis(1_100);

/// A card is drawn again when its time is off by this much, because the clock was set.
const MAX_CLOCK_STEP_US: i64 = 2_000_000;

/// The no-signal picture of one camera on one link.
pub(super) struct NoSignal {
    /// The size of the camera's frames.
    size: (u32, u32),
    /// When the next card may be sent.
    due: Instant,
    card: Option<Card>,
}

/// The last card drawn.
struct Card {
    size: (u32, u32),
    cause: String,
    since_us: i64,
    jpeg: bytes::Bytes,
}

impl NoSignal {
    pub(super) fn new(size: (u32, u32)) -> NoSignal {
        NoSignal { size: even(size), due: Instant::now(), card: None }
    }

    /// Records a sent frame. The next card has its size.
    pub(super) fn frame_was_sent(&mut self, jpeg: &Jpeg) {
        self.size = even((jpeg.width, jpeg.height));
    }

    /// Records a sent card.
    pub(super) fn was_sent(&mut self) {
        self.due = Instant::now() + REPEAT_INTERVAL;
    }

    /// Waits for a current status before the next card.
    pub(super) fn restart(&mut self) {
        self.due = Instant::now() + MAX_STATUS_AGE;
    }

    /// Whether to send a card for a camera with this status.
    pub(super) fn is_due(&self, camera: &PartStatus) -> bool {
        !camera.up && u128::from(camera.for_ms) >= MIN_DOWN_TIME.as_millis() && Instant::now() >= self.due
    }

    /// Returns the card, drawn again only if the last one does not match.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(super) fn jpeg(&mut self, camera: &PartStatus) -> Result<Jpeg> {
        let since_us = Stamp::ago(Duration::from_millis(camera.for_ms)).unix_us();
        let matches = |card: &&Card| {
            let is_same_time = (card.since_us - since_us).abs() < MAX_CLOCK_STEP_US;
            card.size == self.size && card.cause == camera.cause && is_same_time
        };
        let bytes = match self.card.as_ref().filter(matches) {
            Some(card) => card.jpeg.clone(),
            None => self.draw(camera, since_us)?,
        };
        let (width, height) = self.size;
        Ok(Jpeg { seq: 0, captured: Stamp::now(), width, height, bytes })
    }

    fn draw(&mut self, camera: &PartStatus, since_us: i64) -> Result<bytes::Bytes> {
        let (width, height) = self.size;
        let data = card::draw(width, height, &camera.name, &camera.cause, &since(since_us));
        let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
        let jpeg = Encoder::default().encode(frame, Quality::default())?;
        self.card = Some(Card { size: self.size, cause: camera.cause.clone(), since_us, jpeg: jpeg.clone() });
        Ok(jpeg)
    }
}

/// Rounds the width down to even, because two pixels share a chroma sample.
fn even((width, height): (u32, u32)) -> (u32, u32) {
    (width.max(2) & !1, height)
}

/// Formats a time in this machine's time zone.
fn since(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("since %-d %b %Y, %H:%M:%S %Z").to_string()
}
