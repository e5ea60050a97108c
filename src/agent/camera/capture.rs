//! A camera's thread: opened once, captured and encoded until it fails or is told to stop.

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

/// Devices are opened at once. A stream's name may have to be looked up first, and has five seconds to answer.
const DEVICE_OPEN_TIMEOUT: Duration = Duration::from_secs(8);
const VIDEO_OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// A capture shows that it lives before each wait for a frame.
pub(super) const FRAME_TIMEOUT: Duration = Duration::from_millis(1_500);

/// And before it encodes one, which takes longer the larger it is, and the more else a small machine has to do.
const ENCODE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a source may take to be opened.
pub(super) fn open_timeout(source: &config::Source) -> Duration {
    match source {
        config::Source::Video(_) => VIDEO_OPEN_TIMEOUT,
        config::Source::Device(_) | config::Source::Pattern => DEVICE_OPEN_TIMEOUT,
    }
}

/// What the thread works with.
#[derive(Clone)]
pub(super) struct Capture {
    pub(super) config: config::Camera,
    pub(super) slot: Slot,
    pub(super) health: Part,
    pub(super) demand: watch::Receiver<Demand>,
    pub(super) stop: CancellationToken,
    /// The camera's frames so far.
    pub(super) frames: Arc<AtomicU64>,
    /// The source gave a picture.
    pub(super) worked: Arc<AtomicBool>,
    /// Heard of once it has.
    pub(super) heartbeat: Heartbeat,
}

impl Capture {
    /// Captures until it is stopped.
    ///
    /// # Errors
    /// When the source cannot be opened or fails.
    pub(super) fn run(&self) -> Result<()> {
        let mut source = Source::open(&self.config, &self.health)?;
        while !source.is_open()? {
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
            // Whoever was given up while it hung is no longer to be heard.
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

    /// Shows that the thread is alive, and that its next beat is due within `patience`. The watchdog expects beats only of
    /// a source that has worked. An abandoned thread does not beat: a revived one must not hide that it hung.
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
