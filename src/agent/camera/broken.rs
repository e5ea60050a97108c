//! Frames that cannot be sent: counted by cause, and after a while of nothing else the camera is no camera.

use std::fmt::Display;
use std::time::Instant;

use anyhow::{Result, bail};

use super::STALL_TIMEOUT;
use crate::agent::health::Part;

pub(super) struct BrokenFrames {
    /// No frame was whole since then.
    since: Option<Instant>,
    health: Part,
}

impl BrokenFrames {
    pub(super) fn new(health: Part) -> BrokenFrames {
        BrokenFrames { since: None, health }
    }

    /// The last frame was.
    pub(super) fn is_failing(&self) -> bool {
        self.since.is_some()
    }

    /// A frame was whole, or nobody wants to know.
    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// Counts one under its fault; `why` says more.
    ///
    /// # Errors
    /// When there have been no others for some time.
    pub(super) fn count(&mut self, fault: &'static str, why: &dyn Display) -> Result<()> {
        self.health.count(fault, 1);
        if self.since.get_or_insert_with(Instant::now).elapsed() > STALL_TIMEOUT {
            bail!("gives only broken frames: {why}");
        }
        Ok(())
    }
}
