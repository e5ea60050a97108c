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

/// What is not understood for so long is not merely noise of a plug or of a board that starts.
const DOUBTFUL: Duration = Duration::from_secs(2);

/// The lines a second are counted over this time at least.
const WINDOW: Duration = Duration::from_secs(1);

/// Listens to one port.
#[derive(Debug)]
pub struct Hearing {
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
    refusal: Refusal,
    text: usize,
    noise: usize,
}

impl Hearing {
    /// Nothing was heard yet.
    #[must_use]
    pub fn new(now: Instant) -> Hearing {
        Hearing { since: now, lines: 0, flooding: false, doubt: None }
    }

    /// A line was understood, at least in part.
    pub fn good(&mut self) {
        self.lines += 1;
        self.doubt = None;
    }

    /// Nothing of a line was understood.
    pub fn refused(&mut self, line: &[u8], refusal: Refusal, now: Instant) {
        self.lines += 1;
        let noise = is_noise(line);
        // The rest of a line is no wonder when it is text.
        if noise || refusal != Refusal::Tail {
            let doubt = self.doubt(refusal, now);
            *(if noise { &mut doubt.noise } else { &mut doubt.text }) += line.len();
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
        let noise = if is_noise(framer.begun()) { framer.begun().len() } else { 0 };
        if noise > 0 || framer.is_skipping() {
            self.doubt(Refusal::Undecodable, now);
        }
        match &self.doubt {
            Some(doubt) if doubt.last - doubt.first >= DOUBTFUL => {
                if doubt.noise + noise > doubt.text {
                    Verdict::WrongBaud
                } else {
                    Verdict::NotUnderstood(doubt.refusal)
                }
            }
            _ if self.flooding => Verdict::Flooding,
            _ => Verdict::Good,
        }
    }

    fn doubt(&mut self, refusal: Refusal, now: Instant) -> &mut Doubt {
        let doubt = self.doubt.get_or_insert(Doubt { first: now, last: now, refusal, text: 0, noise: 0 });
        doubt.last = now;
        doubt
    }
}

/// Whether the bytes are no text: not UTF-8, apart from a character that is cut at their end, or with control
/// characters that no board writes.
fn is_noise(bytes: &[u8]) -> bool {
    let readable = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    !readable || bytes.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}
