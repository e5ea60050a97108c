//! A camera's thread: opens the source once, then captures and encodes until the source fails or the thread is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::finish::Finisher;
use super::picture::Poll;
use super::source::{CaptureRequest, Source};
use crate::agent::demand::Demand;
use crate::agent::health::Part;
use crate::config;
use crate::frame::{Jpeg, JpegImage, Slot};
use crate::service::Heartbeat;

/// Devices open at once. The name of a stream's host may need a lookup, which can take five seconds.
const DEVICE_OPEN_TIMEOUT: Duration = Duration::from_secs(8);
const VIDEO_OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The thread beats before each wait for a frame.
pub(super) const FRAME_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The thread also beats before encoding. That takes longer for large pictures and on a busy machine.
const ENCODE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a source may take to open.
pub(super) fn open_timeout(source: &config::Source) -> Duration {
    match source {
        config::Source::Video(_) => VIDEO_OPEN_TIMEOUT,
        config::Source::Device(_) | config::Source::Pattern => DEVICE_OPEN_TIMEOUT,
    }
}

/// The thread's state.
#[derive(Clone)]
pub(super) struct Capture {
    pub(super) config: config::Camera,
    pub(super) slot: Slot,
    pub(super) health: Part,
    pub(super) demand: watch::Receiver<Demand>,
    pub(super) stop: CancellationToken,
    /// Number of frames of this camera so far.
    pub(super) frames: Arc<AtomicU64>,
    /// Set once the source has given a picture.
    pub(super) worked: Arc<AtomicBool>,
    /// Watched by the watchdog once the source has given a picture.
    pub(super) heartbeat: Heartbeat,
}

impl Capture {
    /// Captures until it is stopped.
    ///
    /// # Errors
    /// When the source cannot be opened or fails.
    pub(super) fn run(&self) -> Result<()> {
        let mut source = Source::open(&self.config, &self.health)?;
        while !source.is_open(&self.config, &self.health)? {
            self.beat(FRAME_TIMEOUT);
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
        self.health.count("opened", 1);
        let description = source.describe();
        let mut finisher = Finisher::of(&self.config, &self.health)?;
        while !self.stop.is_cancelled() {
            self.beat(FRAME_TIMEOUT);
            let request = self.request();
            let polled = source.poll(request)?;
            // An abandoned thread that woke up must not publish anything.
            if self.stop.is_cancelled() {
                break;
            }
            let (captured, picture) = match polled {
                Poll::NotReady => continue,
                Poll::Skipped => {
                    if !request.is_wanted {
                        self.slot.clear();
                    }
                    if finisher.is_working() {
                        self.report_up(&description);
                    }
                    continue;
                }
                Poll::TooLarge => {
                    finisher.count_too_large()?;
                    continue;
                }
                Poll::Frame(captured, picture) => (captured, picture),
            };
            self.beat(ENCODE_TIMEOUT);
            let Some(JpegImage { width, height, bytes }) = finisher.finish(picture, request.quality)? else { continue };
            if self.stop.is_cancelled() {
                break;
            }
            let seq = self.frames.fetch_add(1, Ordering::Relaxed) + 1;
            self.report_up(&description);
            self.health.count("frames", 1);
            self.slot.put(Jpeg { seq, captured, width, height, bytes }, || self.stop.is_cancelled());
        }
        Ok(())
    }

    fn request(&self) -> CaptureRequest {
        let demand = self.demand.borrow();
        let (fps, quality) = (demand.settings.fps, demand.settings.quality);
        CaptureRequest { fps, quality, is_wanted: demand.is_wanted() }
    }

    /// Shows that the thread is alive and beats again within `patience`. The watchdog expects beats only after the
    /// source has given a picture. An abandoned thread does not beat, because that would hide that it hung.
    fn beat(&self, patience: Duration) {
        if self.stop.is_cancelled() {
            return;
        }
        self.heartbeat.expect_within(patience);
        if self.worked.load(Ordering::Relaxed) {
            self.heartbeat.beat();
        }
    }

    fn report_up(&self, description: &str) {
        self.worked.store(true, Ordering::Relaxed);
        self.health.up(description);
    }
}
