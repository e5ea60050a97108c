//! One serial port: opened, read, and opened again for as long as the agent runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::health::Part;
use super::line::{Framer, Labels, Refusal, pairs};
use crate::clock::Stamp;
use crate::config;
use crate::reading::{Quantity, State};

/// The waits between tries to open a port.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A line has no pause in it: what comes after this much silence begins at a line's start.
const SILENCE: Duration = Duration::from_millis(50);

/// Reads the port until `shutdown`; whatever goes wrong, it is closed and tried again.
pub async fn run(port: config::Serial, state: Arc<State>, health: Part, shutdown: CancellationToken) {
    let mut reader = Reader { labels: Labels::new(&port.fields), values: Vec::new(), port, state, health };
    let mut wait = FIRST_WAIT;
    loop {
        let mut heard = false;
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = reader.run_once(&mut heard) => result,
        };
        if let Err(error) = result {
            reader.health.down(&format!("{error:#}"));
        }
        // What worked, and what is merely not plugged in, is looked for at the quickest.
        let quick = heard || !reader.port.port.exists();
        wait = if quick { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

struct Reader {
    port: config::Serial,
    state: Arc<State>,
    health: Part,
    labels: Labels,
    /// Of the line at hand; kept for its memory.
    values: Vec<(Quantity, f64)>,
}

impl Reader {
    async fn run_once(&mut self, heard: &mut bool) -> Result<()> {
        let port = self.port.clone();
        // Some drivers take seconds to open a port that hangs.
        let mut stream = tokio::task::spawn_blocking(move || open(&port)).await??;
        self.health.up(&format!("open at {} baud", self.port.baud));
        self.health.count("opened", 1);
        let mut buffer = [0; 4096];
        let mut read = timeout(SILENCE, stream.read(&mut buffer)).await.ok();
        let mut framer = Framer::new(read.is_some());
        loop {
            let read = match read.take() {
                Some(read) => read,
                None => stream.read(&mut buffer).await,
            };
            match read {
                Ok(0) => bail!("unplugged"),
                Ok(length) => {
                    *heard = true;
                    framer.push(&buffer[..length], |line| self.take(line));
                }
                // A hang-up of the other side is an I/O error on a terminal.
                Err(error) => return Err(error).context("unplugged"),
            }
        }
    }

    fn take(&mut self, line: Result<&[u8], Refusal>) {
        let captured = Stamp::now();
        self.values.clear();
        if let Err(refusal) = line.and_then(|line| self.parse(line)) {
            self.values.clear();
            self.refuse(refusal);
            debug!("port {}: {refusal}: {:?}", self.port.name, String::from_utf8_lossy(line.unwrap_or_default()));
        }
        if !self.values.is_empty() {
            self.health.count("lines", 1);
            self.state.record(&self.port.name, self.port.stale_after, captured, &self.values);
        }
    }

    /// Collects the line's values; fails when nothing of the line holds.
    fn parse(&mut self, line: &[u8]) -> Result<(), Refusal> {
        for (index, pair) in pairs(line).enumerate() {
            let value = match pair {
                Err(refusal @ (Refusal::Garbled | Refusal::Undecodable)) => return Err(refusal),
                Err(refusal) => Err(refusal),
                Ok(pair) => self.labels.quantity(index, pair),
            };
            match value {
                Ok((quantity, _)) if self.values.iter().any(|(other, _)| other.name == quantity.name) => {
                    self.refuse(Refusal::Repeated);
                }
                Ok(value) => self.values.push(value),
                Err(refusal) => self.refuse(refusal),
            }
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) {
        self.health.count(refusal.to_string(), 1);
    }
}

fn open(port: &config::Serial) -> Result<SerialStream> {
    let path = port.port.to_str().context("the port's path is not UTF-8")?;
    match tokio_serial::new(path, port.baud).open_native_async() {
        Ok(stream) => {
            // What came before is of an unknown time.
            stream.clear(ClearBuffer::Input).context("cannot be cleared")?;
            Ok(stream)
        }
        Err(_) if !port.port.exists() => bail!("no such port"),
        Err(error) => Err(error).context("cannot be opened"),
    }
}
