//! USB cameras: which format to ask for, and how to have the newest frame of the driver's queue.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::broken::Broken;
use super::pace::Pace;
use super::picture::{Next, Picture};
use super::v4l2::{Device, Filled, Format, FourCc, Stream};
use super::{PATIENCE, STALLED};
use crate::agent::health::Part;
use crate::clock::Stamp;
use crate::config::{Camera, Fps};
use crate::frame::{Frame, Layout};
use crate::jpeg::{self, Fault};

/// One that the driver fills, one that we read, and two for when this thread is late.
const BUFFERS: u32 = 4;

/// This thread was held up, because the machine slept or had too much to do, and what the driver has is of before.
const LATE: Duration = Duration::from_secs(1);

pub(super) struct Usb {
    stream: Stream,
    format: Format,
    rate: Option<f64>,
    pace: Pace,
    health: Part,
    /// When there was a frame.
    last: Instant,
    /// How many in a row were too old.
    old: u32,
    broken: Broken,
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
            _ => in_words(error),
        })?;
        let offered = device.formats();
        let Some(fourcc) = FourCc::USABLE.into_iter().find(|f| offered.contains(f)) else {
            let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!("offers neither MJPG nor YUYV but {offered}");
        };
        let wish = camera.size.unwrap_or_default();
        let format = device.set_format(fourcc, wish.width, wish.height).map_err(in_words)?;
        if format.fourcc != fourcc || format.width < 2 || format.height < 2 {
            bail!("was asked for {fourcc} and gives {}x{} {}", format.width, format.height, format.fourcc);
        }
        let rate = device.set_rate(camera.fps.get());
        let stream = Stream::start(device, BUFFERS).map_err(in_words)?;
        let (pace, broken, now) = (Pace::of(camera.fps), Broken::new(health.clone()), Instant::now());
        Ok(Usb { stream, format, rate, pace, health, last: now, old: 0, broken, sequence: None, planes: Vec::new() })
    }

    pub(super) fn next(&mut self, fps: Fps, wanted: bool) -> Result<Next<'_>> {
        self.pace.keep(fps);
        let start = Instant::now();
        self.stream.wait(PATIENCE).context("failed")?;
        if start.elapsed() > 2 * PATIENCE {
            // It was not the camera that took so long.
            self.last = Instant::now();
        }
        let Some(filled) = self.newest()? else {
            // In the dark some cameras take several of their intervals for a picture.
            let patience = self.rate.map_or(STALLED, |fps| STALLED.max(Duration::from_secs_f64(4.0 / fps)));
            if self.last.elapsed() > patience {
                bail!("gives no frames");
            }
            return Ok(Next::Nothing);
        };
        self.last = Instant::now();
        if !wanted {
            let is_broken = self.stream.bytes(&filled).is_empty();
            self.give_back(filled)?;
            self.broken.end();
            return Ok(if is_broken { Next::Nothing } else { Next::Passed });
        }
        // After a broken frame the next is looked at, whatever the rate: one that is not is no sign that the camera works.
        if !self.broken.is_going_on() && !self.pace.takes_now() {
            self.give_back(filled)?;
            return Ok(Next::Passed);
        }
        let Some(captured) = self.time_of(&filled) else {
            self.give_back(filled)?;
            return Ok(Next::Nothing);
        };
        if self.format.fourcc == FourCc::YUYV { self.planar(filled, captured) } else { self.own_jpeg(filled, captured) }
    }

    pub(super) fn describe(&self) -> String {
        let Format { fourcc, width, height, .. } = self.format;
        let rate =
            self.rate.map(|fps| format!(", {} frames a second", (fps * 100.0).round() / 100.0)).unwrap_or_default();
        format!("{width}x{height} {fourcc}{rate}")
    }

    /// The last of all filled buffers; the ones before go back unread.
    fn newest(&mut self) -> Result<Option<Filled>> {
        let mut newest = None;
        while let Some(filled) = self.stream.dequeue().map_err(in_words)? {
            self.count_gap(filled.sequence);
            if let Some(older) = newest.replace(filled) {
                self.health.count("frames_replaced", 1);
                self.give_back(older)?;
            }
        }
        Ok(newest)
    }

    /// When it was captured; `None` when that is too long ago. More than it has buffers the driver cannot have kept: then
    /// it is the driver's clock that is wrong.
    fn time_of(&mut self, filled: &Filled) -> Option<Stamp> {
        if filled.captured.age() <= LATE {
            self.old = 0;
            return Some(filled.captured);
        }
        if self.old == BUFFERS {
            return Some(Stamp::now());
        }
        self.old += 1;
        self.health.count("frames_too_old", 1);
        None
    }

    fn count_gap(&mut self, sequence: u32) {
        let missed = self.sequence.map_or(0, |last| sequence.wrapping_sub(last).saturating_sub(1));
        // A step back is a driver that counts anew.
        if missed > 0 && missed < u32::MAX / 2 {
            self.health.count("frames_dropped_by_driver", missed.into());
        }
        self.sequence = Some(sequence);
    }

    /// The camera's own JPEG, copied once, and the buffer given back before anyone works on them.
    fn own_jpeg(&mut self, filled: Filled, captured: Stamp) -> Result<Next<'_>> {
        let sound = jpeg::check(self.stream.bytes(&filled)).map(|jpeg| (jpeg.width, jpeg.height, jpeg.complete()));
        self.give_back(filled)?;
        let Some((width, height, bytes)) = self.judge(sound)? else { return Ok(Next::Nothing) };
        Ok(Next::Taken(captured, Picture::Jpeg { width, height, bytes }))
    }

    /// YUYV taken apart into planes, as the encoder wants it, and the buffer given back before the encoding.
    fn planar(&mut self, filled: Filled, captured: Stamp) -> Result<Next<'_>> {
        let Format { width, height, bytes_per_line, .. } = self.format;
        let width = width & !1;
        let whole = yuyv_to_planes(self.stream.bytes(&filled), width, height, bytes_per_line, &mut self.planes);
        self.give_back(filled)?;
        if self.judge(whole.ok_or(Fault::Cut))?.is_none() {
            return Ok(Next::Nothing);
        }
        let frame = Frame { width, height, layout: Layout::Yuv420, data: &self.planes };
        Ok(Next::Taken(captured, Picture::Pixels(frame)))
    }

    /// Counts a broken frame under its fault; fails when there is nothing else any more.
    fn judge<T>(&mut self, frame: Result<T, Fault>) -> Result<Option<T>> {
        match frame {
            Ok(frame) => {
                self.broken.end();
                Ok(Some(frame))
            }
            Err(fault) => self.broken.count(fault.name(), &fault).map(|()| None),
        }
    }

    fn give_back(&self, filled: Filled) -> Result<()> {
        self.stream.give_back(filled).map_err(in_words)
    }
}

/// What a driver's error means to a person.
fn in_words(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        Some(nix::libc::ENODEV) => anyhow::anyhow!("unplugged"),
        Some(nix::libc::EBUSY) => anyhow::anyhow!("another program is using it"),
        Some(nix::libc::ENOSPC) => anyhow::anyhow!(
            "no bandwidth left on its USB bus; use a smaller size, fewer frames a second or another port"
        ),
        _ => anyhow::Error::new(error).context("failed"),
    }
}

/// Y0 Cb Y1 Cr to a plane of each, with the chroma of two lines as one: nobody sees it, and it is a quarter less to
/// encode. `None` when there are too few bytes.
fn yuyv_to_planes(yuyv: &[u8], width: u32, height: u32, bytes_per_line: u32, planes: &mut Vec<u8>) -> Option<()> {
    let (width, height) = (width as usize, height as usize);
    let pitch = (bytes_per_line as usize).max(width * 2);
    if yuyv.len() < pitch * (height - 1) + width * 2 {
        return None;
    }
    let of_chroma = width / 2 * height.div_ceil(2);
    planes.resize(width * height + of_chroma * 2, 0);
    let (y, chroma) = planes.split_at_mut(width * height);
    let (cb, cr) = chroma.split_at_mut(of_chroma);
    let chroma = cb.chunks_exact_mut(width / 2).zip(cr.chunks_exact_mut(width / 2));
    // What may stand behind the last line is no line.
    let yuyv = &yuyv[..yuyv.len().min(pitch * height)];
    for ((y, (cb, cr)), two) in y.chunks_mut(width * 2).zip(chroma).zip(yuyv.chunks(pitch * 2)) {
        for (y, line) in y.chunks_exact_mut(width).zip(two.chunks(pitch)) {
            take_luma(line, y);
        }
        let upper = &two[..width * 2];
        take_chroma(upper, two.get(pitch..pitch + width * 2).unwrap_or(upper), cb, cr);
    }
    Some(())
}

/// Words and not bytes are taken apart, because the compiler makes vectors of these: four times as quick.
fn take_luma(line: &[u8], y: &mut [u8]) {
    for (y, two) in y.iter_mut().zip(line.as_chunks().0) {
        *y = u16::from_le_bytes(*two) as u8;
    }
}

/// The mean of each byte of two words: what both have, and half of what one has.
fn take_chroma(upper: &[u8], lower: &[u8], cb: &mut [u8], cr: &mut [u8]) {
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
        // Three lines of two pixels with padding. The last line does not share its chroma.
        let yuyv = [1, 10, 2, 20, 0, 0, 3, 30, 4, 41, 0, 0, 5, 255, 6, 254];
        let mut planes = Vec::new();
        assert_eq!(yuyv_to_planes(&yuyv, 2, 3, 6, &mut planes), Some(()));
        assert_eq!(planes, [1, 2, 3, 4, 5, 6, 20, 255, 30, 254]);
        assert_eq!(yuyv_to_planes(&yuyv[..15], 2, 3, 6, &mut planes), None);
    }
}
