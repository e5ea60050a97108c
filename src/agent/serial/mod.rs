//! One serial port: opened, read, and opened again for as long as the agent runs.

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

/// The waits between tries to open a port.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// A line has no pause in it: what comes after this much silence begins at a line's start.
const LINE_GAP: Duration = Duration::from_millis(50);

/// Linux keeps so much of a terminal's input for its reader; half of it in one read is a flood.
const READ_BUFFER: usize = 4096;
const FLOOD_READ: usize = READ_BUFFER / 2;

/// How often it is looked whether the port's link still leads to what is open.
const DEVICE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What one port's worker has.
pub struct Port {
    /// Its table in the configuration.
    pub config: config::Serial,
    /// What the configuration says of quantities.
    pub quantities: Vec<config::Quantity>,
    /// Where its readings go.
    pub state: Arc<State>,
    /// Where it reports.
    pub health: Part,
}

impl Port {
    /// Reads the port until the shutdown; whatever goes wrong, it is closed and tried again.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut reader = Reader::new(self);
        let _ = shutdown.run_until_cancelled(reader.run()).await;
    }
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("silent: no data within stale_after")]
struct Silent;

struct Reader {
    port: Port,
    parser: Parser,
    /// What the lines of the read at hand say; kept for its memory.
    values: Vec<(Arc<Quantity>, f64)>,
    quality: LineQuality,
    /// What was last said of the port.
    reported: Option<Verdict>,
    /// A line was understood since this was cleared.
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
            // What worked, and what is merely not plugged in, is looked for at the quickest.
            if self.has_worked || !self.port.config.port.exists() {
                backoff.reset();
            }
            delay = backoff.delay();
            was_silent = error.is::<Silent>();
            // A board that speaks seldom must find someone who listens: a silent port is opened again at once, and it is
            // the next time that is waited for.
            if !was_silent {
                sleep(delay).await;
            }
        }
    }

    /// `silent`: nothing was heard the last time, either; so the port is not said to work before anything is, and what
    /// is waited for is so much longer.
    async fn run_once(&mut self, was_silent: bool, extra_wait: Duration) -> Result<Infallible> {
        let config = self.port.config.clone();
        let silence_limit = config.stale_after + if was_silent { extra_wait } else { Duration::ZERO };
        // Some drivers take seconds to open a port that hangs.
        let mut stream = spawn_blocking(move || open(&config)).await??;
        self.port.health.count("opened", 1);
        self.reported = None;
        if !was_silent {
            self.quality = LineQuality::new(self.port.config.stale_after, Instant::now());
            self.report(Verdict::Good);
        }
        // Not by the path, which may lead elsewhere by now.
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
                    // Others' turn.
                    yield_now().await;
                }
            } else if last_read.elapsed() >= silence_limit {
                return Err(Silent.into());
            }
            if last_check.elapsed() >= DEVICE_CHECK_INTERVAL {
                last_check = Instant::now();
                ensure!(!leads_elsewhere(&self.port.config.port, device), "another device has its name");
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

    /// True when the line had a reading.
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
            self.port.health.remark(refusal.name(), || {
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
            Verdict::NotUnderstood(why) => health.down(&format!("no line gives a reading: {why}")),
        }
    }
}

/// The number of the device that a path leads to.
fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|file| file.rdev())
}

/// A path that leads nowhere may be a link that udev is about to renew.
fn leads_elsewhere(path: &Path, opened: Option<u64>) -> bool {
    device(path).is_some_and(|now| Some(now) != opened)
}

/// How much was read. Gone is gone: whether it comes as an end of file or as one of these errors depends on the driver and
/// on the moment.
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
        // serialport has words but no kinds for its lock and for a terminal that is exclusive.
        Err(error) if ["lock", "busy"].iter().any(|word| error.description.contains(word)) => {
            bail!("in use by another program")
        }
        Err(error) => return Err(error).context("cannot be opened"),
    };
    keep_dtr_on_close(&stream).context("cannot be set up")?;
    // What came before is of an unknown time.
    stream.clear(ClearBuffer::Input).context("cannot be cleared")?;
    Ok(stream)
}

/// Leaves the data-terminal-ready line as it is when the port is closed: many boards start anew when it is set again.
fn keep_dtr_on_close(stream: &SerialStream) -> Result<()> {
    // SAFETY: the descriptor is the stream's, which outlives the borrow.
    let terminal = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    let mut settings = tcgetattr(terminal)?;
    settings.control_flags.remove(ControlFlags::HUPCL);
    Ok(tcsetattr(terminal, SetArg::TCSANOW, &settings)?)
}
