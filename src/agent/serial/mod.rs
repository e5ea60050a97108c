//! One serial port: opened, read, and reopened while the agent runs.

mod line_quality;

use std::convert::Infallible;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::termios::{ControlFlags, SetArg, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt as _;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{sleep, timeout};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::health::Part;
use super::line::{Framer, Line, Parser, Refusal};
use crate::backoff::Backoff;
use crate::clock::Stamp;
use crate::config::{self, Serial as Config};
use crate::quantity::Quantity;
use crate::reading::State;
use line_quality::{FLOOD_LINES_PER_SECOND, LineQuality, Verdict};

/// Bounds of the delay between attempts to open a port.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Lines have no pauses: data after this much silence starts a new line.
const LINE_GAP: Duration = Duration::from_millis(50);

/// The size of the kernel's terminal input buffer. A read of half of it is a flood.
const READ_BUFFER: usize = 4096;
const FLOOD_READ: usize = READ_BUFFER / 2;

/// How often to check that the port's path still leads to the open device.
const DEVICE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A port's worker.
pub struct Port {
    /// The port's table in the configuration.
    pub config: config::Serial,
    /// The configured quantities.
    pub quantities: Vec<config::Quantity>,
    /// Receives the readings.
    pub state: Arc<State>,
    /// Receives status and counts.
    pub health: Part,
}

impl Port {
    /// Reads the port until shutdown; closes and reopens it on any failure.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut reader = Reader::new(self);
        let _ = shutdown.run_until_cancelled(reader.run()).await;
    }
}

/// No data for too long.
#[derive(Debug, thiserror::Error)]
#[error("silent: no data within stale_after")]
struct Silent;

struct Reader {
    port: Port,
    parser: Parser,
    /// Values of the current read; kept to reuse its memory.
    values: Vec<(Arc<Quantity>, f64)>,
    quality: LineQuality,
    /// The last verdict that was reported.
    reported: Option<Verdict>,
    /// Whether a line has parsed since this was cleared.
    has_worked: bool,
}

impl Reader {
    fn new(port: Port) -> Reader {
        let parser = Parser::new(&port.config.fields, &port.quantities);
        let quality = LineQuality::new(port.config.stale_after, Instant::now());
        Reader { port, parser, values: Vec::new(), quality, reported: None, has_worked: false }
    }

    async fn run(&mut self) {
        let mut backoff = Backoff::new(FIRST_RETRY_DELAY, MAX_RETRY_DELAY);
        let (mut delay, mut was_silent) = (Duration::ZERO, false);
        loop {
            self.has_worked = false;
            let Err(error) = self.run_once(was_silent, delay).await;
            self.port.health.down(&format!("{error:#}"));
            // Retry soon if the port has worked, or is not plugged in.
            if self.has_worked || !self.port.config.port.exists() {
                backoff.reset();
            }
            delay = backoff.delay();
            was_silent = error.is::<Silent>();
            // A board that rarely writes needs an open port. So a silent port is reopened at once, and the delay
            // extends the next wait for data instead.
            if !was_silent {
                sleep(delay).await;
            }
        }
    }

    /// Opens the port and reads until it fails. If it `was_silent` before, it is not reported as up before data
    /// arrives, and may be silent for `extra_wait` longer.
    async fn run_once(&mut self, was_silent: bool, extra_wait: Duration) -> Result<Infallible> {
        let config = self.port.config.clone();
        let silence_limit = config.stale_after + if was_silent { extra_wait } else { Duration::ZERO };
        // Opening a port that hangs takes seconds with some drivers.
        let mut stream = spawn_blocking(move || open(&config)).await??;
        self.port.health.count("opened", 1);
        self.reported = None;
        if !was_silent {
            self.quality = LineQuality::new(self.port.config.stale_after, Instant::now());
            self.report(Verdict::Good);
        }
        // Not by the path, which may lead to another device by now.
        let device = device(&PathBuf::from(format!("/proc/self/fd/{}", stream.as_raw_fd())));
        let mut buffer = [0; READ_BUFFER];
        let first = timeout(LINE_GAP, stream.read(&mut buffer)).await;
        let mut framer = Framer::new(first.is_ok());
        if let Ok(read) = first {
            self.handle(&mut framer, &buffer[..received(read)?]);
        }
        let (mut last_read, mut last_check) = (Instant::now(), Instant::now());
        loop {
            let read = timeout(silence_limit.min(DEVICE_CHECK_INTERVAL), stream.read(&mut buffer)).await;
            if let Ok(read) = read {
                let length = received(read)?;
                last_read = Instant::now();
                self.handle(&mut framer, &buffer[..length]);
                if length >= FLOOD_READ {
                    // Let other tasks run.
                    yield_now().await;
                }
            } else if last_read.elapsed() >= silence_limit {
                return Err(Silent.into());
            }
            if last_check.elapsed() >= DEVICE_CHECK_INTERVAL {
                last_check = Instant::now();
                ensure!(!leads_elsewhere(&self.port.config.port, device), "its name now leads to another device");
            }
        }
    }

    fn handle(&mut self, framer: &mut Framer, bytes: &[u8]) {
        let (captured, now) = (Stamp::now(), Instant::now());
        let mut good = 0;
        framer.push(bytes, |line| good += u64::from(self.handle_line(line, now)));
        if good > 0 {
            self.has_worked = true;
            let Config { name, stale_after, .. } = &self.port.config;
            self.port.state.record(name, *stale_after, captured, &mut self.values);
        }
        self.port.health.count("bytes", bytes.len() as u64);
        self.port.health.count("lines", good);
        let verdict = self.quality.assess(framer, now);
        self.report(verdict);
    }

    /// Handles a line; returns true if it had a reading.
    fn handle_line(&mut self, line: Line<'_>, now: Instant) -> bool {
        let before = self.values.len();
        let (line, refusals): (_, &[Refusal]) = match line {
            Line::Whole(line) => (line, self.parser.parse(line, &mut self.values)),
            Line::Tail(line) => (line, &[Refusal::Tail]),
            Line::TooLong(line) => (line, &[Refusal::TooLong]),
        };
        for refusal in refusals {
            self.port.health.count(refusal.name(), 1);
            debug!("port {}: {refusal}: {:?}", self.port.config.name, String::from_utf8_lossy(line));
        }
        let good = self.values.len() > before;
        let first = refusals.first().copied();
        if let Some(refusal) = first.filter(|refusal| *refusal != Refusal::Tail) {
            self.port.health.warn(refusal.name(), || {
                format!("{refusal} in {:?}; watchpost -v run shows each such line", String::from_utf8_lossy(line))
            });
        }
        match first {
            _ if good => self.quality.accept(),
            Some(refusal) => self.quality.refuse(line, refusal, now),
            None => {}
        }
        good
    }

    fn report(&mut self, verdict: Verdict) {
        if self.reported == Some(verdict) {
            return;
        }
        self.reported = Some(verdict);
        let (health, baud) = (&self.port.health, self.port.config.baud);
        match verdict {
            Verdict::Good => health.up(&format!("open at {baud} baud")),
            Verdict::Flooding => health.up(&format!("flooding: more than {FLOOD_LINES_PER_SECOND} lines a second")),
            Verdict::WrongBaud => health.down(&format!("undecodable bytes: is {baud} the board's baud rate?")),
            Verdict::NotUnderstood(why) => health.down(&format!("no line contains a reading: {why}")),
        }
    }
}

/// The device number behind a path.
fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|file| file.rdev())
}

/// Whether the path leads to another device. A missing path may be a link that udev is about to renew.
fn leads_elsewhere(path: &Path, opened: Option<u64>) -> bool {
    device(path).is_some_and(|now| Some(now) != opened)
}

/// The length of a read. Unplugging shows as an end of file or as one of these errors, depending on driver and timing.
fn received(read: std::io::Result<usize>) -> Result<usize> {
    match read {
        Ok(0) => bail!("unplugged"),
        Ok(length) => Ok(length),
        Err(error) if is_gone(&error) => bail!("unplugged"),
        Err(error) => Err(error).context("cannot be read"),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EIO | Errno::ENODEV | Errno::ENXIO))
}

fn open(port: &config::Serial) -> Result<SerialStream> {
    let path = port.port.to_str().context("the port's path is not UTF-8")?;
    let mut builder = tokio_serial::new(path, port.baud);
    if let Some(dtr) = port.dtr {
        builder = builder.dtr_on_open(dtr);
    }
    let stream = match builder.open_native_async() {
        Ok(stream) => stream,
        Err(_) if !port.port.exists() => bail!("no such port"),
        // serialport reports a locked or exclusive terminal only in the description, not in its kind.
        Err(error) if ["lock", "busy"].iter().any(|word| error.description.contains(word)) => {
            bail!("in use by another program")
        }
        Err(error) => return Err(error).context("cannot be opened"),
    };
    keep_dtr_on_close(&stream).context("cannot be set up")?;
    // Older input was captured at an unknown time.
    stream.clear(ClearBuffer::Input).context("cannot be cleared")?;
    Ok(stream)
}

/// Leaves the DTR line unchanged when the port is closed: many boards restart when it is raised again.
fn keep_dtr_on_close(stream: &SerialStream) -> Result<()> {
    // SAFETY: the stream owns the descriptor and outlives the borrow.
    let terminal = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    let mut settings = tcgetattr(terminal)?;
    settings.control_flags.remove(ControlFlags::HUPCL);
    Ok(tcsetattr(terminal, SetArg::TCSANOW, &settings)?)
}
