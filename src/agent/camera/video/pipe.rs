//! What the agent and `watchpost-video` say to each other over that program's standard input and output: to bytes and back.
//!
//! The program first says which version it is. It is told its source, says that it is open or what it failed with, and from
//! then on gives one answer to each question: a picture that nobody has asked for would grow old in the pipe.
//!
//! All that is said is a head of [`HEAD`] bytes, six numbers with the lowest byte first; the first is what it is and the
//! second how many bytes follow.

use std::time::Duration;

use crate::config::{Fps, Quality, Size};
use crate::frame::MAX_JPEG_BYTES;

/// Bytes of a head, and of the greeting.
pub const HEAD: usize = 48;

/// The most bytes of a source, and of a text.
pub const LONGEST_TEXT: usize = 8 * 1024;

/// The widest and highest that a JPEG can be.
const MOST_PIXELS: u64 = 65_535;

/// What came is nothing that the other end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came through the pipe of watchpost-video is damaged")]
pub struct Malformed;

/// What every version says first, as a line, so that each understands every other.
#[must_use]
pub fn greeting() -> [u8; HEAD] {
    let mut line = [b' '; HEAD];
    let said = concat!("watchpost-video ", env!("CARGO_PKG_VERSION")).as_bytes();
    line[..said.len()].copy_from_slice(said);
    line[HEAD - 1] = b'\n';
    line
}

/// The version that a greeting tells.
///
/// # Errors
/// When it is no greeting.
pub fn version(greeting: &[u8; HEAD]) -> Result<&str, Malformed> {
    let line = std::str::from_utf8(greeting).ok().and_then(|line| line.strip_prefix("watchpost-video "));
    line.and_then(|line| line.strip_suffix('\n')).map(str::trim_end).ok_or(Malformed)
}

/// What the agent says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Open the source whose text follows, in this many bytes, and scale its pictures to this size, if to any.
    Open {
        /// The size wished for.
        size: Option<Size>,
        /// Bytes of the source, as it stands in the configuration.
        length: usize,
    },
    /// Answer, soon: with the newest picture, if pictures are wanted.
    Next(Option<Wish>),
}

/// Which pictures are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// The most a second.
    pub fps: Fps,
    /// How they are to be encoded.
    pub quality: Quality,
}

const OPEN: u64 = 1;
const NEXT: u64 = 2;

impl Request {
    /// The head.
    #[must_use]
    pub fn to_head(self) -> [u8; HEAD] {
        bytes(match self {
            Request::Open { size, length } => {
                let Size { width, height } = size.unwrap_or(Size { width: 0, height: 0 });
                [OPEN, length as u64, width.into(), height.into(), 0, 0]
            }
            Request::Next(None) => [NEXT, 0, 0, 0, 0, 0],
            Request::Next(Some(Wish { fps, quality })) => [NEXT, 0, fps.get().to_bits(), quality.get().into(), 0, 0],
        })
    }

    /// What the head says.
    ///
    /// # Errors
    /// When the agent says no such thing.
    pub fn of_head(head: &[u8; HEAD]) -> Result<Request, Malformed> {
        match numbers(head) {
            [OPEN, length, width, height, 0, 0] => {
                let length = bounded(length, LONGEST_TEXT)?;
                let size = match (width, height) {
                    (0, 0) => None,
                    _ => Some(Size::try_from(format!("{width}x{height}")).map_err(|_| Malformed)?),
                };
                Ok(Request::Open { size, length })
            }
            [NEXT, 0, 0, 0, 0, 0] => Ok(Request::Next(None)),
            [NEXT, 0, fps, quality, 0, 0] => {
                let fps = Fps::try_from(f64::from_bits(fps)).map_err(|_| Malformed)?;
                let quality = i64::try_from(quality).map_err(|_| Malformed)?;
                let quality = Quality::try_from(quality).map_err(|_| Malformed)?;
                Ok(Request::Next(Some(Wish { fps, quality })))
            }
            _ => Err(Malformed),
        }
    }
}

/// What the program says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The source is open; what was agreed with it follows in words, in this many bytes.
    Opened(usize),
    /// It ends, for a reason that follows in words, in this many bytes.
    Failed(usize),
    /// There is no picture yet.
    Nothing,
    /// There was a picture that nobody wants, or not at this rate; it was not decoded.
    Passed,
    /// There was one whose JPEG is larger than [`MAX_JPEG_BYTES`].
    Oversized,
    /// The newest picture, whose JPEG follows.
    Picture(Told),
}

/// What is told of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What the system's monotonic clock showed when it was taken; microseconds are kept.
    pub captured: Duration,
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// How many it has replaced that were waiting.
    pub replaced: u32,
    /// Bytes of its JPEG.
    pub length: usize,
}

const OPENED: u64 = 1;
const FAILED: u64 = 2;
const NOTHING: u64 = 3;
const PASSED: u64 = 4;
const OVERSIZED: u64 = 5;
const PICTURE: u64 = 6;

impl Answer {
    /// The head.
    #[must_use]
    pub fn to_head(self) -> [u8; HEAD] {
        bytes(match self {
            Answer::Opened(length) => [OPENED, length as u64, 0, 0, 0, 0],
            Answer::Failed(length) => [FAILED, length as u64, 0, 0, 0, 0],
            Answer::Nothing => [NOTHING, 0, 0, 0, 0, 0],
            Answer::Passed => [PASSED, 0, 0, 0, 0, 0],
            Answer::Oversized => [OVERSIZED, 0, 0, 0, 0, 0],
            Answer::Picture(Told { captured, width, height, replaced, length }) => {
                let captured = captured.as_micros() as u64;
                [PICTURE, length as u64, captured, width.into(), height.into(), replaced.into()]
            }
        })
    }

    /// What the head says. Nothing is believed of it that would take more memory than the largest picture.
    ///
    /// # Errors
    /// When the program says no such thing.
    pub fn of_head(head: &[u8; HEAD]) -> Result<Answer, Malformed> {
        match numbers(head) {
            [OPENED, length, 0, 0, 0, 0] => Ok(Answer::Opened(bounded(length, LONGEST_TEXT)?)),
            [FAILED, length, 0, 0, 0, 0] => Ok(Answer::Failed(bounded(length, LONGEST_TEXT)?)),
            [NOTHING, 0, 0, 0, 0, 0] => Ok(Answer::Nothing),
            [PASSED, 0, 0, 0, 0, 0] => Ok(Answer::Passed),
            [OVERSIZED, 0, 0, 0, 0, 0] => Ok(Answer::Oversized),
            [PICTURE, length @ 1..=u64::MAX, captured, width @ 1..=MOST_PIXELS, height @ 1..=MOST_PIXELS, replaced] => {
                Ok(Answer::Picture(Told {
                    captured: Duration::from_micros(captured),
                    width: width as u32,
                    height: height as u32,
                    replaced: u32::try_from(replaced).map_err(|_| Malformed)?,
                    length: bounded(length, MAX_JPEG_BYTES)?,
                }))
            }
            _ => Err(Malformed),
        }
    }

    /// How many bytes follow.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Answer::Opened(length) | Answer::Failed(length) | Answer::Picture(Told { length, .. }) => length,
            Answer::Nothing | Answer::Passed | Answer::Oversized => 0,
        }
    }
}

/// As much of a text as may be said.
#[must_use]
pub fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

fn bytes(numbers: [u64; 6]) -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn numbers(bytes: &[u8; HEAD]) -> [u64; 6] {
    let mut numbers = [0; 6];
    for (number, place) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = u64::from_le_bytes(*place);
    }
    numbers
}

fn bounded(length: u64, most: usize) -> Result<usize, Malformed> {
    usize::try_from(length).ok().filter(|length| *length <= most).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Vec<Answer> {
        let captured = Duration::from_micros(1_234_567_890_123);
        let told = Told { captured, width: 768, height: 576, replaced: 3, length: MAX_JPEG_BYTES };
        let texts = [Answer::Opened(0), Answer::Opened(LONGEST_TEXT), Answer::Failed(17)];
        [&texts[..], &[Answer::Nothing, Answer::Passed, Answer::Oversized, Answer::Picture(told)]].concat()
    }

    fn requests() -> Vec<Request> {
        let size = Some(Size { width: 640, height: 480 });
        let wish = |fps, quality| Wish {
            fps: Fps::try_from(fps).expect("a rate"),
            quality: Quality::try_from(quality).expect("a quality"),
        };
        let opens = [Request::Open { size, length: 12 }, Request::Open { size: None, length: LONGEST_TEXT }];
        let nexts = [None, Some(wish(0.01, 1)), Some(wish(12.5, 100))].map(Request::Next);
        [&opens[..], &nexts].concat()
    }

    #[test]
    fn messages_are_read_as_written() {
        assert_eq!(version(&greeting()), Ok(env!("CARGO_PKG_VERSION")));
        for answer in answers() {
            assert_eq!(Answer::of_head(&answer.to_head()), Ok(answer));
        }
        for request in requests() {
            assert_eq!(Request::of_head(&request.to_head()), Ok(request));
        }
        assert_eq!(short(&"é".repeat(LONGEST_TEXT)).len(), LONGEST_TEXT);
    }

    #[test]
    fn damaged_messages_are_refused_or_bounded() {
        let heads = answers().into_iter().map(Answer::to_head).chain(requests().into_iter().map(Request::to_head));
        for head in heads.chain([greeting()]) {
            for bit in 0..HEAD * 8 {
                let mut damaged = head;
                damaged[bit / 8] ^= 1 << (bit % 8);
                if let Ok(answer) = Answer::of_head(&damaged) {
                    assert!(answer.length() <= MAX_JPEG_BYTES, "{answer:?}");
                    // Every bit of the head is significant.
                    assert_eq!(answer.to_head(), damaged);
                }
                if let Ok(request) = Request::of_head(&damaged) {
                    assert_eq!(request.to_head(), damaged);
                }
            }
        }
    }

    #[test]
    fn impossible_messages_are_refused() {
        for numbers in [
            [0; 6],
            [PICTURE + 1, 0, 0, 0, 0, 0],
            [PICTURE, 0, 0, 1, 1, 0],
            [PICTURE, MAX_JPEG_BYTES as u64 + 1, 0, 1, 1, 0],
            [PICTURE, u64::MAX, 0, 1, 1, 0],
            [PICTURE, 1, 0, 0, 1, 0],
            [PICTURE, 1, 0, 1, MOST_PIXELS + 1, 0],
            [PICTURE, 1, 0, 1, 1, 1 << 32],
            [FAILED, LONGEST_TEXT as u64 + 1, 0, 0, 0, 0],
            [PASSED, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(Answer::of_head(&bytes(numbers)), Err(Malformed), "{numbers:?}");
        }
        for numbers in [
            [OPEN, LONGEST_TEXT as u64 + 1, 0, 0, 0, 0],
            [OPEN, 1, 640, 0, 0, 0],
            [NEXT, 0, f64::NAN.to_bits(), 80, 0, 0],
            [NEXT, 0, 25_f64.to_bits(), 101, 0, 0],
        ] {
            assert_eq!(Request::of_head(&bytes(numbers)), Err(Malformed), "{numbers:?}");
        }
        assert_eq!(version(&[b'x'; HEAD]), Err(Malformed));
        assert_eq!(version(&[0xff; HEAD]), Err(Malformed));
    }
}
