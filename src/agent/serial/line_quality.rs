//! Judges a port by its lines: whether they parse, and how many there are.

use std::time::{Duration, Instant};

use crate::agent::line::{Framer, Refusal};

/// The quality of a port's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No problem found so far.
    Good,
    /// Lines parse, but there are more than a board has reason to write.
    Flooding,
    /// Nothing parses, and most of it is not text: typical of a wrong baud rate.
    WrongBaud,
    /// No line parses; the refusal is that of the first one.
    NotUnderstood(Refusal),
}

/// A higher rate is a flood. At 115200 baud a board can write about this many lines of ten bytes, and nothing that it
/// measures changes this fast.
pub const FLOOD_LINES_PER_SECOND: u32 = 1_000;

/// Shorter noise comes from plugging in or from a starting board.
const MIN_ERROR_RUN: Duration = Duration::from_secs(2);

/// Older errors are forgotten, so that the verdict describes the present.
const ERROR_MEMORY: Duration = Duration::from_secs(10);

/// At a wrong baud rate, a third or more of the bytes are not text, for any two common rates. For text in another
/// encoding it is a fifth.
const NOISE_SHARE: f64 = 0.25;

/// The shortest time over which the line rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Tracks the quality of one port's lines.
#[derive(Debug)]
pub struct LineQuality {
    stale_after: Duration,
    since: Instant,
    lines: u32,
    flooding: bool,
    error_run: Option<ErrorRun>,
}

/// The lines that did not parse since the last one that did.
#[derive(Debug)]
struct ErrorRun {
    first: Instant,
    last: Instant,
    /// When the counts below were last reset.
    recent: Instant,
    refusal: Refusal,
    bytes: usize,
    noise: usize,
}

impl LineQuality {
    /// Starts without any lines; readings are stale after `stale_after`.
    #[must_use]
    pub fn new(stale_after: Duration, now: Instant) -> LineQuality {
        LineQuality { stale_after, since: now, lines: 0, flooding: false, error_run: None }
    }

    /// Counts a line that parsed, at least in part.
    pub fn accept(&mut self) {
        self.lines += 1;
        self.error_run = None;
    }

    /// Counts a line that did not parse.
    pub fn refuse(&mut self, line: &[u8], refusal: Refusal, now: Instant) {
        self.lines += 1;
        let noise = noise_in(line);
        // A truncated first line is expected as long as it is text.
        if noise > 0 || refusal != Refusal::Tail {
            let error_run = self.extend_error_run(refusal, now);
            error_run.bytes += line.len();
            error_run.noise += noise;
        }
    }

    /// Returns the current verdict; `framer` has the unfinished line.
    pub fn assess(&mut self, framer: &Framer, now: Instant) -> Verdict {
        let elapsed = now - self.since;
        if elapsed >= RATE_WINDOW {
            self.flooding = f64::from(self.lines) / elapsed.as_secs_f64() > f64::from(FLOOD_LINES_PER_SECOND);
            (self.since, self.lines) = (now, 0);
        }
        // At a wrong baud rate there may never be a newline.
        let (partial, noise) = (framer.partial().len(), noise_in(framer.partial()));
        if noise > 0 || framer.is_skipping() {
            self.extend_error_run(Refusal::TooLong, now);
        }
        if let Some(error_run) = &self.error_run {
            let lasts = error_run.last - error_run.first;
            let is_noise = (error_run.noise + noise) as f64 > NOISE_SHARE * (error_run.bytes + partial) as f64;
            if is_noise && lasts >= MIN_ERROR_RUN {
                return Verdict::WrongBaud;
            }
            if lasts >= MIN_ERROR_RUN.max(self.stale_after) {
                return Verdict::NotUnderstood(error_run.refusal);
            }
        }
        if self.flooding { Verdict::Flooding } else { Verdict::Good }
    }

    fn extend_error_run(&mut self, refusal: Refusal, now: Instant) -> &mut ErrorRun {
        let new = || ErrorRun { first: now, last: now, recent: now, refusal, bytes: 0, noise: 0 };
        let error_run = self.error_run.get_or_insert_with(new);
        error_run.last = now;
        if now - error_run.recent > ERROR_MEMORY {
            *error_run = ErrorRun { first: error_run.first, ..new() };
        }
        error_run
    }
}

/// Number of bytes that are not text: invalid UTF-8, or control characters that boards do not write.
fn noise_in(bytes: &[u8]) -> usize {
    const ESCAPE: u8 = 0x1b;
    let is_noise = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != ESCAPE;
    let of = |chunk: std::str::Utf8Chunk<'_>| chunk.invalid().len() + chunk.valid().bytes().filter(is_noise).count();
    bytes.utf8_chunks().map(of).sum()
}
