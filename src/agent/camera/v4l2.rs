//! A safe interface to V4L2's ioctls and mapped buffers: a device is queried and configured, then streams.

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use nix::libc::{O_NONBLOCK, c_void, off_t};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

// The names are those of the C header, which has no namespaces.
#[allow(clippy::wildcard_imports)]
use super::videodev2::*;
use crate::clock::Stamp;

/// The four characters of a pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourCc(pub(super) [u8; 4]);

impl FourCc {
    pub(super) const MJPG: FourCc = FourCc(*b"MJPG");
    pub(super) const JPEG: FourCc = FourCc(*b"JPEG");
    pub(super) const YUYV: FourCc = FourCc(*b"YUYV");

    /// The usable formats, best first: a camera's own JPEG costs nothing here.
    pub(super) const USABLE: [FourCc; 3] = [FourCc::MJPG, FourCc::JPEG, FourCc::YUYV];
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// The format that the driver chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub(super) fourcc: FourCc,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bytes from one line to the next; 0 for compressed formats.
    pub(super) bytes_per_line: u32,
}

/// The description of a device node.
pub(super) struct Identity {
    pub(super) driver: String,
    pub(super) card: String,
    /// Where the device is plugged in, such as `usb-0000:01:00.0-1.2`.
    pub(super) bus: String,
    /// Whether it captures video and streams, unlike metadata, output and conversion nodes.
    pub(super) streams: bool,
    /// Whether it sends no frames until its pipeline is set up through the media controller.
    pub(super) needs_pipeline: bool,
}

fn until_nul(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).into_owned()
}

/// An open capture device.
pub(super) struct Device(pub(super) File);

impl Device {
    /// # Errors
    /// When it cannot be opened or captures no video.
    pub(super) fn open(path: &Path) -> io::Result<Device> {
        let (device, what) = Device::identify(path)?;
        if !what.streams {
            return Err(io::Error::other("not a camera that streams"));
        }
        Ok(device)
    }

    /// Opens a node of any kind.
    pub(super) fn identify(path: &Path) -> io::Result<(Device, Identity)> {
        let device = Device(OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path)?);
        let capability = device.capability()?;
        // Prefer the node's own capabilities: one camera has several nodes, some for metadata.
        let caps = if capability.capabilities & CAP_DEVICE_CAPS == 0 {
            capability.capabilities
        } else {
            capability.device_caps
        };
        let identity = Identity {
            driver: until_nul(&capability.driver),
            card: until_nul(&capability.card),
            bus: until_nul(&capability.bus_info),
            streams: caps & CAP_VIDEO_CAPTURE != 0 && caps & CAP_STREAMING != 0,
            needs_pipeline: caps & CAP_IO_MC != 0,
        };
        Ok((device, identity))
    }

    fn capability(&self) -> io::Result<Capability> {
        let mut capability = zeroed();
        // SAFETY: the struct is the one of QUERYCAP and outlives the call.
        unsafe { querycap(self.0.as_raw_fd(), &raw mut capability) }?;
        Ok(capability)
    }

    /// The pixel formats on offer, in the driver's order.
    pub(super) fn formats(&self) -> Vec<FourCc> {
        let one = |index| {
            let mut desc = FmtDesc { index, type_: VIDEO_CAPTURE, ..zeroed() };
            // SAFETY: the struct is the one of ENUM_FMT and outlives the call.
            unsafe { enum_fmt(self.0.as_raw_fd(), &raw mut desc) }.ok()?;
            Some(FourCc(desc.pixelformat.to_le_bytes()))
        };
        (0..).map_while(one).collect()
    }

    /// Requests a format; returns the nearest one that the driver has.
    pub(super) fn set_format(&self, fourcc: FourCc, width: u32, height: u32) -> io::Result<Format> {
        let pixelformat = u32::from_le_bytes(fourcc.0);
        let wanted = PixFormat { width, height, pixelformat, field: FIELD_NONE, ..zeroed() };
        let mut format = FormatArg { type_: VIDEO_CAPTURE, ..zeroed() };
        format.fmt.pix = wanted;
        // SAFETY: the struct is the one of S_FMT and outlives the call.
        unsafe { s_fmt(self.0.as_raw_fd(), &raw mut format) }?;
        // SAFETY: for VIDEO_CAPTURE the driver fills `pix`, and any bytes are valid integers.
        let pix = unsafe { format.fmt.pix };
        Ok(Format {
            fourcc: FourCc(pix.pixelformat.to_le_bytes()),
            width: pix.width,
            height: pix.height,
            bytes_per_line: pix.bytesperline,
        })
    }

    /// Requests a rate; returns the one that the driver chose, if it reports one.
    pub(super) fn set_rate(&self, fps: f64) -> Option<f64> {
        let interval = Fraction { numerator: 1000, denominator: (fps * 1000.0).round() as u32 };
        let capture = CaptureParm { timeperframe: interval, ..zeroed() };
        let mut parm = StreamParm { type_: VIDEO_CAPTURE, ..zeroed() };
        parm.parm.capture = capture;
        // SAFETY: the struct is the one of S_PARM and outlives the call.
        unsafe { s_parm(self.0.as_raw_fd(), &raw mut parm) }.ok()?;
        // SAFETY: for VIDEO_CAPTURE the driver fills `capture`, and any bytes are valid integers.
        let Fraction { numerator, denominator } = unsafe { parm.parm.capture }.timeperframe;
        (numerator > 0 && denominator > 0).then(|| f64::from(denominator) / f64::from(numerator))
    }
}

/// A device that streams into mapped buffers. Dropping it stops the stream and unmaps the buffers.
pub(super) struct Stream {
    // Declared before the device, so that the buffers are unmapped while it is open.
    buffers: Vec<Mapping>,
    device: Device,
}

/// A filled buffer, which the driver does not touch until it is returned.
pub(super) struct Filled {
    index: u32,
    length: usize,
    /// The sensor's frame number. A gap means that a frame found no free buffer.
    pub(super) sequence: u32,
    /// When the frame was captured.
    pub(super) captured: Stamp,
}

impl Stream {
    /// Maps `count` buffers, or as many as the driver allows, and starts the stream.
    pub(super) fn start(device: Device, count: u32) -> io::Result<Stream> {
        let mut request = RequestBuffers { count, type_: VIDEO_CAPTURE, memory: MEMORY_MMAP, ..zeroed() };
        // SAFETY: the struct is the one of REQBUFS and outlives the call.
        unsafe { reqbufs(device.0.as_raw_fd(), &raw mut request) }?;
        let mut stream = Stream { buffers: Vec::new(), device };
        for index in 0..request.count {
            let mut buffer = buffer(index);
            // SAFETY: the struct is the one of QUERYBUF and outlives the call.
            unsafe { querybuf(stream.device.0.as_raw_fd(), &raw mut buffer) }?;
            // SAFETY: for MEMORY_MMAP the driver fills `offset`.
            let offset = unsafe { buffer.m.offset };
            stream.buffers.push(Mapping::new(&stream.device.0, buffer.length, offset)?);
            stream.queue(index)?;
        }
        // SAFETY: STREAMON reads one int.
        unsafe { streamon(stream.device.0.as_raw_fd(), &raw const VIDEO_CAPTURE_INT) }?;
        Ok(stream)
    }

    /// Waits for a filled buffer; returns false after `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.device.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the oldest filled buffer, without waiting.
    pub(super) fn dequeue(&self) -> io::Result<Option<Filled>> {
        let mut buffer = buffer(0);
        // SAFETY: the struct is the one of DQBUF and outlives the call.
        match unsafe { dqbuf(self.device.0.as_raw_fd(), &raw mut buffer) } {
            Ok(_) => Ok(Some(Filled {
                index: buffer.index,
                length: if buffer.flags & BUF_FLAG_ERROR == 0 { buffer.bytesused as usize } else { 0 },
                sequence: buffer.sequence,
                captured: stamp(&buffer),
            })),
            Err(nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a filled buffer; empty when the driver flagged it as broken.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let all = self.buffers.get(filled.index as usize).map_or(&[][..], Mapping::bytes);
        &all[..filled.length.min(all.len())]
    }

    /// Returns a buffer to the driver.
    // Taken by value, so that nothing can read the buffer afterwards.
    #[allow(clippy::needless_pass_by_value)]
    pub(super) fn give_back(&self, filled: Filled) -> io::Result<()> {
        self.queue(filled.index)
    }

    fn queue(&self, index: u32) -> io::Result<()> {
        let mut buffer = buffer(index);
        // SAFETY: the struct is the one of QBUF and outlives the call; nothing reads the buffer now, because its
        // `Filled`, if there was one, was consumed.
        unsafe { qbuf(self.device.0.as_raw_fd(), &raw mut buffer) }?;
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: STREAMOFF reads one int. It fails when the camera is unplugged, which stops the stream as well.
        let _ = unsafe { streamoff(self.device.0.as_raw_fd(), &raw const VIDEO_CAPTURE_INT) };
    }
}

/// The driver's timestamp if it uses the monotonic clock and is not in the future; otherwise the current time.
fn stamp(buffer: &Buffer) -> Stamp {
    if buffer.flags & BUF_FLAG_TIMESTAMP_MASK != BUF_FLAG_TIMESTAMP_MONOTONIC {
        return Stamp::now();
    }
    let (seconds, micros) = (buffer.timestamp.tv_sec as u64, buffer.timestamp.tv_usec as u64);
    Stamp::at(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

/// One of the driver's buffers, mapped into memory.
struct Mapping {
    start: NonNull<c_void>,
    length: NonZeroUsize,
}

// SAFETY: only the mapping owns the memory, on any thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(device: &File, length: u32, offset: u32) -> io::Result<Mapping> {
        let length =
            NonZeroUsize::new(length as usize).ok_or(io::Error::other("the driver returned an empty buffer"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // `off_t` has 32 bits on 32-bit systems.
        #[allow(clippy::cast_lossless)]
        let offset = offset as off_t;
        // SAFETY: a new mapping, placed by the kernel, overlaps no other memory.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, device, offset) }?;
        Ok(Mapping { start, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for `length` bytes while self lives; the driver does not write into a dequeued buffer.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.length.get()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by us, and no slice of it outlives self.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}
