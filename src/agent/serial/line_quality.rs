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
pub const FLOOD: u32 = 1_000;

/// Noise for so long is not merely that of a plug or of a board that starts.
const DOUBTFUL: Duration = Duration::from_secs(2);

/// What was heard is forgotten after so long, so that the verdict is one of now.
const MEMORY: Duration = Duration::from_secs(10);

/// Of what a board at another rate writes, a third to all is no text, for any two usual rates; of text in another
/// encoding it is a fifth.
const NOISE: f64 = 0.25;

/// The lines a second are counted over this time at least.
const WINDOW: Duration = Duration::from_secs(1);

/// Listens to one port.
#[derive(Debug)]
pub struct Hearing {
    stale_after: Duration,
    since: Instant,
    lines: u32,
    flooding: bool,
    doubt: Option<Doubt>,
}

/// What was not understood since the last line that was.
#[derive(Debug)]
struct Doubt {
    first: Instant,
    last: Instant,
    /// Since then what follows was heard.
    recent: Instant,
    refusal: Refusal,
    bytes: usize,
    noise: usize,
}

impl Hearing {
    /// Nothing was heard yet; a reading is stale after `stale_after`.
    #[must_use]
    pub fn new(stale_after: Duration, now: Instant) -> Hearing {
        Hearing { stale_after, since: now, lines: 0, flooding: false, doubt: None }
    }

    /// A line was understood, at least in part.
    pub fn good(&mut self) {
        self.lines += 1;
        self.doubt = None;
    }

    /// Nothing of a line was understood.
    pub fn refused(&mut self, line: &[u8], refusal: Refusal, now: Instant) {
        self.lines += 1;
        let noise = noise_in(line);
        // The rest of a line is no wonder when it is text.
        if noise > 0 || refusal != Refusal::Tail {
            let doubt = self.doubt(refusal, now);
            doubt.bytes += line.len();
            doubt.noise += noise;
        }
    }

    /// What is known now; `framer` has the line that has no end yet.
    pub fn judge(&mut self, framer: &Framer, now: Instant) -> Verdict {
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            self.flooding = f64::from(self.lines) / elapsed.as_secs_f64() > f64::from(FLOOD);
            (self.since, self.lines) = (now, 0);
        }
        // At a wrong rate there may never be a newline.
        let (begun, noise) = (framer.begun().len(), noise_in(framer.begun()));
        if noise > 0 || framer.is_skipping() {
            self.doubt(Refusal::TooLong, now);
        }
        if let Some(doubt) = &self.doubt {
            let lasts = doubt.last - doubt.first;
            let is_noise = (doubt.noise + noise) as f64 > NOISE * (doubt.bytes + begun) as f64;
            if is_noise && lasts >= DOUBTFUL {
                return Verdict::WrongBaud;
            }
            if lasts >= DOUBTFUL.max(self.stale_after) {
                return Verdict::NotUnderstood(doubt.refusal);
            }
        }
        if self.flooding { Verdict::Flooding } else { Verdict::Good }
    }

    fn doubt(&mut self, refusal: Refusal, now: Instant) -> &mut Doubt {
        let new = || Doubt { first: now, last: now, recent: now, refusal, bytes: 0, noise: 0 };
        let doubt = self.doubt.get_or_insert_with(new);
        doubt.last = now;
        if now - doubt.recent > MEMORY {
            *doubt = Doubt { first: doubt.first, ..new() };
        }
        doubt
    }
}

/// How many of the bytes are no text: not UTF-8, or control characters that no board writes.
fn noise_in(bytes: &[u8]) -> usize {
    const ESCAPE: u8 = 0x1b;
    let is_noise = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace() && *byte != ESCAPE;
    let of = |chunk: std::str::Utf8Chunk<'_>| chunk.invalid().len() + chunk.valid().bytes().filter(is_noise).count();
    bytes.utf8_chunks().map(of).sum()
}
