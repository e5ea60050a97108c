//! What a port's lines tell of the port itself: whether anything on it is understood, and how much of it there is.

use std::time::{Duration, Instant};

use crate::agent::line::{Framer, Refusal};

/// How a port that speaks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be, as far as anyone can tell yet.
    Good,
    /// Good, but more lines than a board has a reason to write.
    Flooding,
    /// Nothing is understood, and most of it is no text: what a wrong baud rate looks like.
    WrongBaud,
    /// No line is understood; this is why the first was not.
    NotUnderstood(Refusal),
}

/// More lines a second are a flood. A board at 115200 baud can write about as many, of ten bytes each, and nothing
/// that it measures changes as fast.
pub const FLOOD_LINES_PER_SECOND: u32 = 1_000;

/// Noise for so long is not merely that of a plug or of a board that starts.
const MIN_ERROR_RUN: Duration = Duration::from_secs(2);

/// What was heard is forgotten after so long, so that the verdict is one of now.
const ERROR_MEMORY: Duration = Duration::from_secs(10);

/// Of what a board at another rate writes, a third to all is no text, for any two usual rates; of text in another
/// encoding it is a fifth.
const NOISE_SHARE: f64 = 0.25;

/// The lines a second are counted over this time at least.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Listens to one port.
#[derive(Debug)]
pub struct LineQuality {
    stale_after: Duration,
    since: Instant,
    lines: u32,
    flooding: bool,
    error_run: Option<ErrorRun>,
}

/// What was not understood since the last line that was.
#[derive(Debug)]
struct ErrorRun {
    first: Instant,
    last: Instant,
    /// Since then what follows was heard.
    recent: Instant,
    refusal: Refusal,
    bytes: usize,
    noise: usize,
}

impl LineQuality {
    /// Nothing was heard yet; a reading is stale after `stale_after`.
    #[must_use]
    pub fn new(stale_after: Duration, now: Instant) -> LineQuality {
        LineQuality { stale_after, since: now, lines: 0, flooding: false, error_run: None }
    }

    /// A line was understood, at least in part.
    pub fn accept(&mut self) {
        self.lines += 1;
        self.error_run = None;
    }

    /// Nothing of a line was understood.
    pub fn refuse(&mut self, line: &[u8], refusal: Refusal, now: Instant) {
        self.lines += 1;
        let noise = noise_in(line);
        // The rest of a line is no wonder when it is text.
        if noise > 0 || refusal != Refusal::Tail {
            let error_run = self.extend_error_run(refusal, now);
            error_run.bytes += line.len();
            error_run.noise += noise;
        }
    }

    /// What is known now; `framer` has the line that has no end yet.
    pub fn assess(&mut self, framer: &Framer, now: Instant) -> Verdict {
        let elapsed = now - self.since;
        if elapsed >= RATE_WINDOW {
            self.flooding = f64::from(self.lines) / elapsed.as_secs_f64() > f64::from(FLOOD_LINES_PER_SECOND);
            (self.since, self.lines) = (now, 0);
        }
        // At a wrong rate there may never be a newline.
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

/// How many of the bytes are no text: not UTF-8, or control characters that no board writes.
fn noise_in(bytes: &[u8]) -> usize {
    const ESCAPE: u8 = 0x1b;
    let is_noise = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != ESCAPE;
    let of = |chunk: std::str::Utf8Chunk<'_>| chunk.invalid().len() + chunk.valid().bytes().filter(is_noise).count();
    bytes.utf8_chunks().map(of).sum()
}
