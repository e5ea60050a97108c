//! Counts frames that cannot be sent, by cause; fails when a camera has given nothing else for some time.

use std::fmt::Display;
use std::time::Instant;

use anyhow::{Result, bail};

use super::STALL_TIMEOUT;
use crate::agent::health::Part;

pub(super) struct BrokenFrames {
    /// When the current run of broken frames started.
    since: Option<Instant>,
    health: Part,
}

impl BrokenFrames {
    pub(super) fn new(health: Part) -> BrokenFrames {
        BrokenFrames { since: None, health }
    }

    /// Whether the last frame was broken.
    pub(super) fn is_failing(&self) -> bool {
        self.since.is_some()
    }

    /// Ends the run: a frame was whole, or no link needs frames.
    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// Counts a broken frame under its fault; `why` says more.
    ///
    /// # Errors
    /// When all frames have been broken for [`STALL_TIMEOUT`].
    pub(super) fn count(&mut self, fault: &'static str, why: &dyn Display) -> Result<()> {
        self.health.count(fault, 1);
        if self.since.get_or_insert_with(Instant::now).elapsed() > STALL_TIMEOUT {
            bail!("sends only broken frames: {why}");
        }
        Ok(())
    }
}
