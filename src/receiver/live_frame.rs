//! A received frame.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock::Stamp;
use crate::wire::FrameHeader;

/// A longer age is not plausible: no frame waits that long.
const MAX_AGE_US: u64 = 86_400_000_000;

/// The first capture time that is not plausible: the year 2200, in microseconds since 1970.
const END_US: i64 = 7_258_118_400_000_000;

/// A received frame.
#[derive(Debug)]
pub struct LiveFrame {
    /// Its header.
    pub header: FrameHeader,
    /// A JPEG file.
    pub jpeg: Bytes,
    /// When it arrived.
    pub received: Instant,
    /// When it was captured, microseconds since 1970 by this machine's clock, with the accuracy of [`LiveFrame::age`]. It is
    /// the time of arrival if the frame has no plausible age.
    pub captured_at_us: i64,
}

impl LiveFrame {
    /// A frame that arrived now.
    #[must_use]
    pub fn now(header: FrameHeader, jpeg: Bytes) -> LiveFrame {
        let captured_at_us = Stamp::now().unix_us().saturating_sub_unsigned(plausible_age_us(&header).unwrap_or(0));
        LiveFrame { header, jpeg, received: Instant::now(), captured_at_us }
    }

    /// Time since its capture: its age when sent, by the agent's clock, and the time since it arrived here. The time on the
    /// network is not included, because the two clocks need not agree.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_micros(self.header.age_us) + self.received.elapsed()
    }

    /// Whether its age and its capture time can be true.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        plausible_age_us(&self.header).is_some() && (0..END_US).contains(&self.header.captured_at_us)
    }
}

fn plausible_age_us(header: &FrameHeader) -> Option<u64> {
    Some(header.age_us).filter(|age_us| *age_us <= MAX_AGE_US)
}
