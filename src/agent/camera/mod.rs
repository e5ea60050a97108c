//! One camera: opened, captured, encoded where that is needed, and opened again for as long as the agent runs.
//!
//! `usb.rs` is the policy of V4L2 devices over `v4l2.rs` and the kernel's structs in `videodev2.rs`, `opencv.rs` is streams and files, `pattern.rs`
//! needs nothing. Each source gives the newest picture it has; nothing is queued here.

#[cfg(feature = "opencv")]
mod opencv;
mod pace;
mod pattern;
mod usb;
mod v4l2;
mod videodev2;

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::encode::Encoder;
use super::health::Part;
use crate::clock::Stamp;
use crate::config;
use crate::frame::{Frame, Jpeg, Slot};

/// The waits between tries to open a camera.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest a source waits for a picture before it lets its thread look at the shutdown.
const PATIENCE: Duration = Duration::from_millis(250);

/// A source that gave no picture for this long is opened anew.
const STALLED: Duration = Duration::from_secs(2);

/// A picture as its source gives it.
enum Picture<'a> {
    /// The camera's own JPEG, passed on as it is.
    Jpeg { width: u32, height: u32, bytes: Bytes },
    /// Pixels, to be encoded.
    Pixels(Frame<'a>),
}

enum Source {
    Pattern(pattern::Pattern),
    Usb(Box<usb::Usb>),
    #[cfg(feature = "opencv")]
    Film(opencv::Film),
}

impl Source {
    fn open(camera: &config::Camera, health: &Part) -> Result<Source> {
        Ok(match &camera.source {
            config::Source::Pattern => Source::Pattern(pattern::Pattern::new(camera)),
            config::Source::Device(path) => Source::Usb(Box::new(usb::Usb::open(path, camera, health.clone())?)),
            #[cfg(feature = "opencv")]
            config::Source::Film(film) => Source::Film(opencv::Film::open(film, camera)?),
            #[cfg(not(feature = "opencv"))]
            config::Source::Film(_) => anyhow::bail!("this build is without OpenCV"),
        })
    }

    /// The newest picture and when it was taken; `None` when there is none yet or it is not wanted at this rate.
    fn next(&mut self) -> Result<Option<(Stamp, Picture<'_>)>> {
        match self {
            Source::Pattern(pattern) => Ok(pattern.next()),
            Source::Usb(usb) => usb.next(),
            #[cfg(feature = "opencv")]
            Source::Film(film) => film.next(),
        }
    }

    /// What was agreed with the source, for status and log.
    fn describe(&self) -> String {
        match self {
            Source::Pattern(pattern) => pattern.describe(),
            Source::Usb(usb) => usb.describe(),
            #[cfg(feature = "opencv")]
            Source::Film(film) => film.describe(),
        }
    }
}

/// What a camera's thread works with.
pub struct Camera {
    /// Its table in the configuration.
    pub config: config::Camera,
    /// Where its newest frame goes.
    pub slot: Slot,
    /// Where it reports.
    pub health: Part,
    /// When to end.
    pub shutdown: CancellationToken,
    /// For waits that end with the shutdown.
    pub runtime: Handle,
}

impl Camera {
    /// Captures until the shutdown; whatever goes wrong, the camera is closed and tried again.
    pub fn run(self) {
        let mut encoder = Encoder::new(self.config.quality);
        let mut wait = FIRST_WAIT;
        let mut seq = 0;
        while !self.shutdown.is_cancelled() {
            let frames_before = seq;
            if let Err(error) = self.run_once(&mut encoder, &mut seq) {
                self.health.down(&format!("{error:#}"));
                // What worked, and what is merely not plugged in, is looked for at the quickest.
                wait = if seq > frames_before || self.is_missing() { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
                let _ = self.runtime.block_on(async { timeout(wait, self.shutdown.cancelled()).await });
            }
        }
    }

    fn run_once(&self, encoder: &mut Encoder, seq: &mut u64) -> Result<()> {
        let mut source = Source::open(&self.config, &self.health)?;
        self.health.count("opened", 1);
        let how = source.describe();
        while !self.shutdown.is_cancelled() {
            let Some((captured, picture)) = source.next()? else { continue };
            let (width, height, bytes) = match picture {
                Picture::Jpeg { width, height, bytes } => (width, height, bytes),
                Picture::Pixels(frame) => (frame.width, frame.height, encoder.encode(frame)?),
            };
            *seq += 1;
            self.slot.put(Jpeg { seq: *seq, captured, width, height, bytes });
            self.health.up(&how);
            self.health.count("frames", 1);
        }
        Ok(())
    }

    fn is_missing(&self) -> bool {
        match &self.config.source {
            config::Source::Pattern => false,
            config::Source::Device(path) => !path.exists(),
            config::Source::Film(film) => !film.contains("://") && !std::path::Path::new(film).exists(),
        }
    }
}
