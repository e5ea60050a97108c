//! Frames: pictures as pixels and as JPEG, and the slots that keep the newest of each camera.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Stamp;
use crate::lock::lock;

/// Pixels of one picture, borrowed from whoever captured it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Pixels a line; even where chroma is shared by two.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// How `data` is laid out.
    pub layout: Layout,
    /// The pixels, without padding.
    pub data: &'a [u8],
}

/// How pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A plane of luma, then planes of Cb and Cr at half the width: 4:2:2, two bytes a pixel.
    Yuv422,
    /// The same with half the height, too: 4:2:0, one and a half bytes a pixel. An odd last line has its own chroma.
    Yuv420,
    /// Blue, green, red: three bytes a pixel, as OpenCV has it.
    Bgr,
}

/// A picture as a JPEG file, before it has a number and a time.
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
    /// Counts a camera's frames from 1 since the agent's start; a gap is a dropped frame.
    pub seq: u64,
    /// When the picture was taken, as near as the source tells.
    pub captured: Stamp,
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// A JPEG file.
    pub bytes: Bytes,
}

/// A JPEG of more bytes is no frame: as base64 it would be more than a link takes.
pub const MAX_JPEG_BYTES: usize = 6 * 1024 * 1024 - 1024;

/// Rings for all who follow when a camera of an agent has a newer frame.
#[derive(Debug, Default)]
pub struct FrameNotifier(watch::Sender<()>);

impl FrameNotifier {
    /// An empty slot that rings it.
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot { newest: Arc::default(), notifier: self.0.clone() }
    }

    /// Every ring from now on; those that were not waited for are one.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// The newest frame of one camera: a new one replaces an old one whether or not anyone has taken it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slot {
    newest: Arc<Mutex<Option<Arc<Jpeg>>>>,
    notifier: watch::Sender<()>,
}

impl Slot {
    /// Replaces the camera's newest frame and wakes whoever follows, unless the capture that it is of was given up: its
    /// camera may have been cleared since.
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

    /// Takes away the camera's newest frame: there is nothing new of it, and what comes late must not have an old one.
    pub fn clear(&self) {
        let old = self.newest().take();
        drop(old);
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.newest().is_none()
    }

    /// The newest, if it comes after this one.
    #[must_use]
    pub fn after(&self, seq: u64) -> Option<Arc<Jpeg>> {
        self.newest().as_ref().filter(|jpeg| jpeg.seq > seq).map(Arc::clone)
    }

    fn newest(&self) -> MutexGuard<'_, Option<Arc<Jpeg>>> {
        lock(&self.newest)
    }
}
