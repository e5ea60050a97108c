//! One serial port: opened, read, and opened again for as long as the agent runs.

mod hearing;

use std::convert::Infallible;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::termios::{ControlFlags, SetArg, tcgetattr, tcsetattr};
use tokio::io::AsyncReadExt as _;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{sleep, timeout};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::health::Part;
use super::line::{Framer, Line, Parser, Refusal};
use crate::clock::Stamp;
use crate::config;
use crate::reading::State;
use hearing::{FLOOD, Hearing, Verdict};

/// The waits between tries to open a port.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A line has no pause in it: what comes after this much silence begins at a line's start.
const PAUSE: Duration = Duration::from_millis(50);

/// Linux keeps 4 KiB of a terminal's input for its reader; so much in one read is a flood.
const BUFFER: usize = 4096;

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
#[error("silent: nothing is heard")]
struct Silent;

struct Reader {
    port: Port,
    parser: Parser,
    hearing: Hearing,
    /// What was last said of the port.
    told: Option<Verdict>,
    /// Something was heard since this was cleared.
    heard: bool,
}

impl Reader {
    fn new(port: Port) -> Reader {
        let parser = Parser::new(&port.config.fields, &port.quantities);
        Reader { port, parser, hearing: Hearing::new(Instant::now()), told: None, heard: false }
    }

    async fn run(&mut self) {
        let (mut wait, mut silent) = (Duration::ZERO, false);
        loop {
            self.heard = false;
            let Err(error) = self.run_once(silent, wait).await;
            self.port.health.down(&format!("{error:#}"));
            // What worked, and what is merely not plugged in, is looked for at the quickest.
            let quick = self.heard || !self.port.config.port.exists();
            wait = if quick { FIRST_WAIT } else { (wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT) };
            silent = error.is::<Silent>();
            // A board that speaks seldom must find someone who listens: a silent port is opened again at once, and it is
            // the next time that is waited for.
            if !silent {
                sleep(wait).await;
            }
        }
    }

    /// `silent`: nothing was heard the last time, either; so the port is not said to work before anything is, and what
    /// is waited for is so much longer.
    async fn run_once(&mut self, silent: bool, longer: Duration) -> Result<Infallible> {
        let config = self.port.config.clone();
        let patience = config.stale_after + if silent { longer } else { Duration::ZERO };
        // Some drivers take seconds to open a port that hangs.
        let mut stream = spawn_blocking(move || open(&config)).await??;
        self.port.health.count("opened", 1);
        self.told = None;
        if !silent {
            self.hearing = Hearing::new(Instant::now());
            self.tell(Verdict::Good);
        }
        let mut buffer = [0; BUFFER];
        let first = timeout(PAUSE, stream.read(&mut buffer)).await;
        let mut framer = Framer::new(first.is_ok());
        if let Ok(read) = first {
            self.take(&mut framer, &buffer[..received(read)?]);
        }
        loop {
            let read = timeout(patience, stream.read(&mut buffer)).await;
            let length = received(read.map_err(|_| Silent)?)?;
            self.take(&mut framer, &buffer[..length]);
            if length == BUFFER {
                // Others' turn.
                yield_now().await;
            }
        }
    }

    fn take(&mut self, framer: &mut Framer, bytes: &[u8]) {
        self.heard = true;
        let (captured, now) = (Stamp::now(), Instant::now());
        let mut good = 0;
        self.parser.clear();
        framer.push(bytes, |line| good += u64::from(self.take_line(line, now)));
        if good > 0 {
            self.port.state.record(
                &self.port.config.name,
                self.port.config.stale_after,
                captured,
                self.parser.values(),
            );
        }
        self.port.health.count("bytes", bytes.len() as u64);
        self.port.health.count("lines", good);
        let verdict = self.hearing.judge(framer, now);
        self.tell(verdict);
    }

    /// True when the line had a reading.
    fn take_line(&mut self, line: Line<'_>, now: Instant) -> bool {
        let (line, cut) = match line {
            Line::Whole(line) => (line, None),
            Line::Tail(line) => (line, Some(Refusal::Tail)),
            Line::TooLong(line) => (line, Some(Refusal::TooLong)),
        };
        let mut refused = None;
        let mut refuse = |refusal: Refusal| {
            refused.get_or_insert(refusal);
            self.port.health.count(refusal.name(), 1);
            debug!("port {}: {refusal}: {:?}", self.port.config.name, String::from_utf8_lossy(line));
        };
        let values = match cut {
            None => self.parser.parse(line, &mut refuse),
            Some(refusal) => {
                refuse(refusal);
                &[]
            }
        };
        if !values.is_empty() {
            self.hearing.good();
        } else if let Some(refusal) = refused {
            self.hearing.refused(line, refusal, now);
        }
        !values.is_empty()
    }

    fn tell(&mut self, verdict: Verdict) {
        if self.told == Some(verdict) {
            return;
        }
        self.told = Some(verdict);
        let (health, baud) = (&self.port.health, self.port.config.baud);
        match verdict {
            Verdict::Good => health.up(&format!("open at {baud} baud")),
            Verdict::Flooding => health.up(&format!("flooding: more than {FLOOD} lines a second")),
            Verdict::WrongBaud => health.down(&format!("undecodable bytes: is {baud} the board's baud rate?")),
            Verdict::NotUnderstood(why) => health.down(&format!("no line is understood: {why}")),
        }
    }
}

/// How much was read. A hang-up of the other side is an I/O error or an end of file, as the driver likes.
fn received(read: std::io::Result<usize>) -> Result<usize> {
    let length = read.context("unplugged")?;
    ensure!(length > 0, "unplugged");
    Ok(length)
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
        Err(error) if error.description.contains("lock") => bail!("in use by another program"),
        Err(error) => return Err(error).context("cannot be opened"),
    };
    if port.dtr.is_none() {
        stay_connected(&stream).context("cannot be set up")?;
    }
    // What came before is of an unknown time.
    stream.clear(ClearBuffer::Input).context("cannot be cleared")?;
    Ok(stream)
}

/// Leaves the data-terminal-ready line as it is when the port is closed: many boards start anew when it is set again.
fn stay_connected(stream: &SerialStream) -> Result<()> {
    // SAFETY: the descriptor is the stream's, which outlives the borrow.
    let terminal = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    let mut settings = tcgetattr(terminal)?;
    settings.control_flags.remove(ControlFlags::HUPCL);
    Ok(tcsetattr(terminal, SetArg::TCSANOW, &settings)?)
}
