//! What a link sends of a camera that is down, where its receiver has no other way to know: a picture that says so, once
//! a second. An old frame is never sent again.

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

/// A camera that is back within this time is not missed, and one that starts needs some.
const MISSED: Duration = Duration::from_secs(1);

/// Somewhat less than a second, because a status comes each second.
const AGAIN: Duration = Duration::from_millis(900);

/// A status is not older than this.
const KNOWN: Duration = Duration::from_millis(1_100);

/// A clock that was set makes the time on a card wrong by more than this.
const SET: i64 = 2_000_000;

/// One camera's, on one link.
pub(super) struct NoSignal {
    /// As its frames are, or will be.
    size: (u32, u32),
    /// No card before.
    due: Instant,
    card: Option<Card>,
}

/// The last one that was drawn.
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

    /// A frame was sent, and the card is to be like it.
    pub(super) fn frame_was_sent(&mut self, jpeg: &Jpeg) {
        self.size = even((jpeg.width, jpeg.height));
    }

    /// A card was sent.
    pub(super) fn was_sent(&mut self) {
        self.due = Instant::now() + AGAIN;
    }

    /// The link takes the camera's frames from now on; how it is, is not known yet.
    pub(super) fn begin(&mut self) {
        self.due = Instant::now() + KNOWN;
    }

    /// Whether a card is to be sent, a camera being so.
    pub(super) fn is_due(&self, camera: &PartStatus) -> bool {
        !camera.up && u128::from(camera.for_ms) >= MISSED.as_millis() && Instant::now() >= self.due
    }

    /// The card, which is drawn once for as long as it holds.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub(super) fn jpeg(&mut self, camera: &PartStatus) -> Result<Jpeg> {
        let since_us = Stamp::ago(Duration::from_millis(camera.for_ms)).unix_us();
        let holds = |card: &&Card| {
            card.size == self.size && card.cause == camera.cause && (card.since_us - since_us).abs() < SET
        };
        let bytes = match self.card.as_ref().filter(holds) {
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

/// Chroma is of two pixels.
fn even((width, height): (u32, u32)) -> (u32, u32) {
    (width.max(2) & !1, height)
}

/// In this machine's time zone.
fn since(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or_default().to_zoned(TimeZone::system());
    at.strftime("since %-d %b %Y, %H:%M:%S %Z").to_string()
}
