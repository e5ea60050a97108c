//! USB cameras: chooses a format and takes the newest frame of the driver's queue.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::broken::BrokenFrames;
use super::pace::Pace;
use super::picture::{Picture, Poll};
use super::v4l2::{Device, Filled, Format, FourCc, Stream};
use super::{POLL_TIMEOUT, STALL_TIMEOUT};
use crate::agent::health::Part;
use crate::clock::Stamp;
use crate::config::{Camera, Fps};
use crate::frame::{Frame, Layout};
use crate::jpeg::{self, Fault};

/// One that the driver fills, one that is read, and two in case this thread is late.
const BUFFERS: u32 = 4;

/// An older frame means that this thread was held up, because the machine slept or was busy.
const MAX_FRAME_AGE: Duration = Duration::from_secs(1);

pub(super) struct Usb {
    stream: Stream,
    format: Format,
    rate: Option<f64>,
    pace: Pace,
    health: Part,
    /// When the last frame arrived.
    last_frame: Instant,
    /// Number of consecutive frames that were too old.
    consecutive_stale: u32,
    broken: BrokenFrames,
    sequence: Option<u32>,
    planes: Vec<u8>,
}

impl Usb {
    pub(super) fn open(path: &Path, camera: &Camera, health: Part) -> Result<Usb> {
        let device = Device::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow::anyhow!("no such device"),
            io::ErrorKind::PermissionDenied => {
                anyhow::anyhow!("no permission to open it; is the user in the group \"video\"?")
            }
            _ => describe(error),
        })?;
        let offered = device.formats();
        let Some(fourcc) = FourCc::USABLE.into_iter().find(|f| offered.contains(f)) else {
            let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!("offers only {offered}; use a camera with MJPG or YUYV");
        };
        let wanted_size = camera.size.unwrap_or_default();
        let format = device.set_format(fourcc, wanted_size.width, wanted_size.height).map_err(describe)?;
        if format.fourcc != fourcc || format.width < 2 || format.height < 2 {
            bail!("offers {fourcc} but sends {}x{} {}", format.width, format.height, format.fourcc);
        }
        let rate = device.set_rate(camera.fps.get());
        let stream = Stream::start(device, BUFFERS).map_err(describe)?;
        let (pace, broken, now) = (Pace::of(camera.fps), BrokenFrames::new(health.clone()), Instant::now());
        Ok(Usb {
            stream,
            format,
            rate,
            pace,
            health,
            last_frame: now,
            consecutive_stale: 0,
            broken,
            sequence: None,
            planes: Vec::new(),
        })
    }

    pub(super) fn poll(&mut self, fps: Fps, wanted: bool) -> Result<Poll<'_>> {
        self.pace.set_fps(fps);
        let start = Instant::now();
        self.stream.wait(POLL_TIMEOUT).context("failed")?;
        if start.elapsed() > 2 * POLL_TIMEOUT {
            // This thread was held up, not the camera.
            self.last_frame = Instant::now();
        }
        let Some(filled) = self.newest()? else {
            // In the dark, some cameras take several intervals for one picture.
            let patience = self.rate.map_or(STALL_TIMEOUT, |fps| STALL_TIMEOUT.max(Duration::from_secs_f64(4.0 / fps)));
            if self.last_frame.elapsed() > patience {
                bail!("sends no frames");
            }
            return Ok(Poll::NotReady);
        };
        self.last_frame = Instant::now();
        if !wanted {
            let is_broken = self.stream.bytes(&filled).is_empty();
            self.give_back(filled)?;
            self.broken.reset();
            return Ok(if is_broken { Poll::NotReady } else { Poll::Skipped });
        }
        // Check the frame after a broken one even if it is not due: a skipped frame does not prove that the camera
        // works.
        if !self.broken.is_failing() && !self.pace.accepts_now() {
            self.give_back(filled)?;
            return Ok(Poll::Skipped);
        }
        let Some(captured) = self.capture_time(&filled) else {
            self.give_back(filled)?;
            return Ok(Poll::NotReady);
        };
        if self.format.fourcc == FourCc::YUYV {
            self.planar(filled, captured)
        } else {
            self.camera_jpeg(filled, captured)
        }
    }

    pub(super) fn describe(&self) -> String {
        let Format { fourcc, width, height, .. } = self.format;
        let rate =
            self.rate.map(|fps| format!(", {} frames per second", (fps * 100.0).round() / 100.0)).unwrap_or_default();
        format!("{width}x{height} {fourcc}{rate}")
    }

    /// Returns the newest filled buffer; older ones go back to the driver unread.
    fn newest(&mut self) -> Result<Option<Filled>> {
        let mut newest = None;
        while let Some(filled) = self.stream.dequeue().map_err(describe)? {
            self.count_gap(filled.sequence);
            if let Some(older) = newest.replace(filled) {
                self.health.count("frames_replaced", 1);
                self.give_back(older)?;
            }
        }
        Ok(newest)
    }

    /// When the frame was captured; `None` if too long ago. If more frames in a row are too old than there are buffers,
    /// the driver's clock is wrong and the current time is used.
    fn capture_time(&mut self, filled: &Filled) -> Option<Stamp> {
        if filled.captured.age() <= MAX_FRAME_AGE {
            self.consecutive_stale = 0;
            return Some(filled.captured);
        }
        if self.consecutive_stale == BUFFERS {
            return Some(Stamp::now());
        }
        self.consecutive_stale += 1;
        self.health.count("frames_too_old", 1);
        None
    }

    fn count_gap(&mut self, sequence: u32) {
        let missed = self.sequence.map_or(0, |last| sequence.wrapping_sub(last).saturating_sub(1));
        // A step back means that the driver restarted its count.
        if missed > 0 && missed < u32::MAX / 2 {
            self.health.count("frames_dropped_by_driver", missed.into());
        }
        self.sequence = Some(sequence);
    }

    /// Copies the camera's own JPEG once and returns the buffer before the copy is processed.
    fn camera_jpeg(&mut self, filled: Filled, captured: Stamp) -> Result<Poll<'_>> {
        let checked = jpeg::check(self.stream.bytes(&filled)).map(|jpeg| (jpeg.width, jpeg.height, jpeg.complete()));
        self.give_back(filled)?;
        let Some((width, height, bytes)) = self.check(checked)? else { return Ok(Poll::NotReady) };
        Ok(Poll::Frame(captured, Picture::Jpeg { width, height, bytes }))
    }

    /// Splits YUYV into the planes that the encoder needs, and returns the buffer before encoding.
    fn planar(&mut self, filled: Filled, captured: Stamp) -> Result<Poll<'_>> {
        let Format { width, height, bytes_per_line, .. } = self.format;
        let width = width & !1;
        let whole = yuyv_to_planes(self.stream.bytes(&filled), width, height, bytes_per_line, &mut self.planes);
        self.give_back(filled)?;
        if self.check(whole.ok_or(Fault::Truncated))?.is_none() {
            return Ok(Poll::NotReady);
        }
        let frame = Frame { width, height, layout: Layout::Yuv420, data: &self.planes };
        Ok(Poll::Frame(captured, Picture::Pixels(frame)))
    }

    /// Counts a broken frame under its fault. Fails when all frames have been broken for some time.
    fn check<T>(&mut self, frame: Result<T, Fault>) -> Result<Option<T>> {
        match frame {
            Ok(frame) => {
                self.broken.reset();
                Ok(Some(frame))
            }
            Err(fault) => self.broken.count(fault.name(), &fault).map(|()| None),
        }
    }

    fn give_back(&self, filled: Filled) -> Result<()> {
        self.stream.give_back(filled).map_err(describe)
    }
}

/// Words a driver's error for a person.
fn describe(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(nix::libc::ENODEV) => anyhow::anyhow!("unplugged"),
        Some(nix::libc::EBUSY) => anyhow::anyhow!("another program is using it"),
        Some(nix::libc::ENOSPC) => {
            anyhow::anyhow!("no bandwidth left on its USB bus; use a smaller size, a lower frame rate or another port")
        }
        _ => anyhow::Error::new(error).context("failed"),
    }
}

/// Splits Y0 Cb Y1 Cr into one plane each. Two lines share their chroma: the loss is invisible and saves a quarter of
/// the encoding. `None` when there are too few bytes.
fn yuyv_to_planes(yuyv: &[u8], width: u32, height: u32, bytes_per_line: u32, planes: &mut Vec<u8>) -> Option<()> {
    let (width, height) = (width as usize, height as usize);
    let pitch = (bytes_per_line as usize).max(width * 2);
    if yuyv.len() < pitch * (height - 1) + width * 2 {
        return None;
    }
    let chroma_bytes = width / 2 * height.div_ceil(2);
    planes.resize(width * height + chroma_bytes * 2, 0);
    let (y, chroma) = planes.split_at_mut(width * height);
    let (cb, cr) = chroma.split_at_mut(chroma_bytes);
    let chroma = cb.chunks_exact_mut(width / 2).zip(cr.chunks_exact_mut(width / 2));
    // Ignore bytes behind the last line.
    let yuyv = &yuyv[..yuyv.len().min(pitch * height)];
    for ((y, (cb, cr)), two) in y.chunks_mut(width * 2).zip(chroma).zip(yuyv.chunks(pitch * 2)) {
        for (y, line) in y.chunks_exact_mut(width).zip(two.chunks(pitch)) {
            copy_luma(line, y);
        }
        let upper = &two[..width * 2];
        average_chroma(upper, two.get(pitch..pitch + width * 2).unwrap_or(upper), cb, cr);
    }
    Some(())
}

/// Splits words instead of bytes, because the compiler vectorises that: four times as fast.
fn copy_luma(line: &[u8], y: &mut [u8]) {
    for (y, two) in y.iter_mut().zip(line.as_chunks().0) {
        *y = u16::from_le_bytes(*two) as u8;
    }
}

/// Averages each byte of two words: the bits that both have, plus half of those that one has.
fn average_chroma(upper: &[u8], lower: &[u8], cb: &mut [u8], cr: &mut [u8]) {
    let fours = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    for ((cb, cr), (upper, lower)) in cb.iter_mut().zip(cr).zip(fours) {
        let (upper, lower) = (u32::from_le_bytes(*upper), u32::from_le_bytes(*lower));
        let mean = (upper & lower) + (((upper ^ lower) >> 1) & 0x7f7f_7f7f);
        (*cb, *cr) = ((mean >> 8) as u8, (mean >> 24) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuyv_becomes_planes_with_chroma_of_two_lines() {
        // Three lines of two pixels, with padding. The last line has its own chroma.
        let yuyv = [1, 10, 2, 20, 0, 0, 3, 30, 4, 41, 0, 0, 5, 255, 6, 254];
        let mut planes = Vec::new();
        assert_eq!(yuyv_to_planes(&yuyv, 2, 3, 6, &mut planes), Some(()));
        assert_eq!(planes, [1, 2, 3, 4, 5, 6, 20, 255, 30, 254]);
        assert_eq!(yuyv_to_planes(&yuyv[..15], 2, 3, 6, &mut planes), None);
    }
}
