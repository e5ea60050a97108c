//! Frames as pixels and as JPEG, and the slots that hold the newest frame of each camera.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Stamp;
use crate::lock::lock;

/// The pixels of one picture, borrowed from its source.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Pixels per line, even where two pixels share their chroma.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The layout of `data`.
    pub layout: Layout,
    /// The pixels, without padding.
    pub data: &'a [u8],
}

/// The layout of pixels in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A plane of luma, then planes of Cb and Cr at half the width: 4:2:2, two bytes per pixel.
    Yuv422,
    /// As [`Layout::Yuv422`], with chroma at half the height: 4:2:0, 1.5 bytes per pixel. An odd last line has its own
    /// chroma.
    Yuv420,
    /// Blue, green, red: three bytes per pixel, as in OpenCV.
    Bgr,
}

/// A JPEG file that has no number and time yet.
#[derive(Clone, Debug)]
pub struct JpegImage {
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// A JPEG file.
    pub bytes: Bytes,
}

/// One encoded picture of a camera.
#[derive(Clone, Debug)]
pub struct Jpeg {
    /// The frame's number, from 1 at the agent's start. A gap is a dropped frame.
    pub seq: u64,
    /// When the picture was taken, as precisely as the source reports.
    pub captured: Stamp,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// A JPEG file.
    pub bytes: Bytes,
}

/// The largest JPEG that is a frame: with base64, a larger one would exceed a link's message size.
pub const MAX_JPEG_BYTES: usize = 6 * 1024 * 1024 - 1024;

/// Notifies followers when any camera of an agent has a newer frame.
#[derive(Debug, Default)]
pub struct FrameNotifier(watch::Sender<()>);

impl FrameNotifier {
    /// A new, empty slot that notifies through this notifier.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot { newest: Arc::default(), notifier: self.0.clone() }
    }

    /// Notifications from now on; unread ones are merged into one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// The newest frame of one camera. A new frame replaces the old one, whether or not anyone has taken it. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Slot {
    newest: Arc<Mutex<Option<Arc<Jpeg>>>>,
    notifier: watch::Sender<()>,
}

impl Slot {
    /// Replaces the newest frame and notifies followers. Does nothing if the capture was given up, because its camera's
    /// slot may have been cleared since.
    pub fn put(&self, jpeg: Jpeg, is_given_up: impl FnOnce() -> bool) {
        let jpeg = Arc::new(jpeg);
        let mut newest = self.newest();
        if is_given_up() {
            return;
        }
        let old = newest.replace(jpeg);
        drop(newest);
        self.notifier.send_replace(());
        drop(old);
    }

    /// Removes the frame, because it is out of date: late followers must not receive it.
    pub fn clear(&self) {
        let old = self.newest().take();
        drop(old);
    }

    /// Whether the slot holds no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest().is_none()
    }

    /// The newest frame, if its number is greater than `seq`.
    #[must_use]
    pub fn after(&self, seq: u64) -> Option<Arc<Jpeg>> {
        self.newest().as_ref().filter(|jpeg| jpeg.seq > seq).map(Arc::clone)
    }

    fn newest(&self) -> MutexGuard<'_, Option<Arc<Jpeg>>> {
        lock(&self.newest)
    }
}
