//! Frames: pictures as pixels and as JPEG, and the slots that keep the newest of each camera.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Stamp;

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
pub const LARGEST_JPEG: usize = 6 * 1024 * 1024 - 1024;

/// The newest JPEG of each camera, in the order of the configuration. A new one replaces an old one whether or not
/// anyone has taken it.
pub type Newest = Vec<Option<Arc<Jpeg>>>;

/// The slots of an agent's cameras.
#[derive(Debug)]
pub struct Slots(watch::Sender<Newest>);

impl Slots {
    /// Empty ones for so many cameras.
    #[must_use]
    pub fn new(cameras: usize) -> Slots {
        Slots(watch::Sender::new(vec![None; cameras]))
    }

    /// The slot of one camera, by its place in the configuration.
    #[must_use]
    pub fn of(&self, camera: usize) -> Slot {
        Slot { camera, newest: self.0.clone() }
    }

    /// The newest frames of all cameras, from now on.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Newest> {
        self.0.subscribe()
    }
}

/// Puts frames of one camera into its slot.
#[derive(Clone, Debug)]
pub struct Slot {
    camera: usize,
    newest: watch::Sender<Newest>,
}

impl Slot {
    /// Replaces the camera's newest frame and wakes whoever follows, unless the capture that it is of was given up: its
    /// camera may have been cleared since.
    pub fn put(&self, jpeg: Jpeg, is_given_up: impl FnOnce() -> bool) {
        let jpeg = Some(Arc::new(jpeg));
        // The old one is dropped outside the lock.
        let mut old = None;
        self.newest.send_if_modified(|newest| {
            if is_given_up() {
                return false;
            }
            old = std::mem::replace(&mut newest[self.camera], jpeg);
            true
        });
        drop(old);
    }

    /// Takes away the camera's newest frame: there is nothing new of it, and what comes late must not have an old one.
    pub fn clear(&self) {
        let mut old = None;
        // Nobody need know.
        self.newest.send_if_modified(|newest| {
            old = newest[self.camera].take();
            false
        });
        drop(old);
    }
}
