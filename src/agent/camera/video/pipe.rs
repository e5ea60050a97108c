//! The protocol between the agent and `watchpost-video`, over that program's standard input and output.
//!
//! The program first sends a greeting with its version. The agent sends a source, and the program answers that the
//! source is open, or why opening it failed. Then it answers each request for a picture once: unrequested pictures
//! would become stale in the pipe.
//!
//! Each message starts with a head of [`HEAD_BYTES`] bytes: six little-endian numbers. The first is the message's kind,
//! the second the number of bytes that follow.

use std::time::Duration;

use crate::config::{Fps, Quality, Size};
use crate::frame::MAX_JPEG_BYTES;

/// The length of a head, and of the greeting.
pub const HEAD_BYTES: usize = 48;

/// The maximum length of a source and of a text, in bytes.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// The maximum width and height of a JPEG.
const MAX_SIDE: u64 = 65_535;

/// The data is not a message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data from watchpost-video is damaged")]
pub struct Malformed;

/// The greeting is a line of text in every version, so that each version can read that of any other.
#[must_use]
pub fn greeting() -> [u8; HEAD_BYTES] {
    let mut line = [b' '; HEAD_BYTES];
    let text = concat!("watchpost-video ", env!("CARGO_PKG_VERSION")).as_bytes();
    line[..text.len()].copy_from_slice(text);
    line[HEAD_BYTES - 1] = b'\n';
    line
}

/// The version in a greeting.
///
/// # Errors
/// When the bytes are not a greeting.
pub fn version(greeting: &[u8; HEAD_BYTES]) -> Result<&str, Malformed> {
    let line = std::str::from_utf8(greeting).ok().and_then(|line| line.strip_prefix("watchpost-video "));
    line.and_then(|line| line.strip_suffix('\n')).map(str::trim_end).ok_or(Malformed)
}

/// A message from the agent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Request {
    /// Open the source whose text follows, and scale its pictures to `size`, if given.
    Open {
        /// The size of the pictures.
        size: Option<Size>,
        /// Length of the source's text, as written in the configuration, in bytes.
        length: usize,
    },
    /// Answer soon: with the newest picture if one is requested.
    Next(Option<PictureRequest>),
}

/// The rate and quality of the requested pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureRequest {
    /// The highest rate.
    pub fps: Fps,
    /// The JPEG quality.
    pub quality: Quality,
}

const OPEN: u64 = 1;
const NEXT: u64 = 2;

impl Request {
    /// Encodes the head.
    #[must_use]
    pub fn to_head(self) -> [u8; HEAD_BYTES] {
        bytes(match self {
            Request::Open { size, length } => {
                let Size { width, height } = size.unwrap_or(Size { width: 0, height: 0 });
                [OPEN, length as u64, width.into(), height.into(), 0, 0]
            }
            Request::Next(None) => [NEXT, 0, 0, 0, 0, 0],
            Request::Next(Some(PictureRequest { fps, quality })) => {
                [NEXT, 0, fps.get().to_bits(), quality.get().into(), 0, 0]
            }
        })
    }

    /// Decodes a head.
    ///
    /// # Errors
    /// When it is not a head that the agent sends.
    pub fn from_head(head: &[u8; HEAD_BYTES]) -> Result<Request, Malformed> {
        match numbers(head) {
            [OPEN, length, width, height, 0, 0] => {
                let length = bounded(length, MAX_TEXT_BYTES)?;
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
                Ok(Request::Next(Some(PictureRequest { fps, quality })))
            }
            _ => Err(Malformed),
        }
    }
}

/// A message from the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The source is open; a description of this many bytes follows.
    Opened(usize),
    /// The program gives up; a reason of this many bytes follows.
    Failed(usize),
    /// No picture yet.
    NotReady,
    /// A picture that is not wanted, or not at this rate; it was not decoded.
    Skipped,
    /// A picture whose JPEG is larger than [`MAX_JPEG_BYTES`].
    TooLarge,
    /// The newest picture, whose JPEG follows.
    Picture(PictureInfo),
}

/// Describes a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureInfo {
    /// The time on the system's monotonic clock when it was taken, in microseconds.
    pub captured: Duration,
    /// Pixels per line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Number of waiting pictures that it replaced.
    pub replaced: u32,
    /// Length of its JPEG, in bytes.
    pub length: usize,
}

const OPENED: u64 = 1;
const FAILED: u64 = 2;
const NOT_READY: u64 = 3;
const SKIPPED: u64 = 4;
const TOO_LARGE: u64 = 5;
const PICTURE: u64 = 6;

impl Answer {
    /// Encodes the head.
    #[must_use]
    pub fn to_head(self) -> [u8; HEAD_BYTES] {
        bytes(match self {
            Answer::Opened(length) => [OPENED, length as u64, 0, 0, 0, 0],
            Answer::Failed(length) => [FAILED, length as u64, 0, 0, 0, 0],
            Answer::NotReady => [NOT_READY, 0, 0, 0, 0, 0],
            Answer::Skipped => [SKIPPED, 0, 0, 0, 0, 0],
            Answer::TooLarge => [TOO_LARGE, 0, 0, 0, 0, 0],
            Answer::Picture(PictureInfo { captured, width, height, replaced, length }) => {
                let captured = captured.as_micros() as u64;
                [PICTURE, length as u64, captured, width.into(), height.into(), replaced.into()]
            }
        })
    }

    /// Decodes a head. Rejects lengths above that of the largest picture.
    ///
    /// # Errors
    /// When it is not a head that the program sends.
    pub fn from_head(head: &[u8; HEAD_BYTES]) -> Result<Answer, Malformed> {
        match numbers(head) {
            [OPENED, length, 0, 0, 0, 0] => Ok(Answer::Opened(bounded(length, MAX_TEXT_BYTES)?)),
            [FAILED, length, 0, 0, 0, 0] => Ok(Answer::Failed(bounded(length, MAX_TEXT_BYTES)?)),
            [NOT_READY, 0, 0, 0, 0, 0] => Ok(Answer::NotReady),
            [SKIPPED, 0, 0, 0, 0, 0] => Ok(Answer::Skipped),
            [TOO_LARGE, 0, 0, 0, 0, 0] => Ok(Answer::TooLarge),
            [PICTURE, length @ 1..=u64::MAX, captured, width @ 1..=MAX_SIDE, height @ 1..=MAX_SIDE, replaced] => {
                Ok(Answer::Picture(PictureInfo {
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

    /// Number of bytes that follow the head.
    #[must_use]
    pub fn length(self) -> usize {
        match self {
            Answer::Opened(length) | Answer::Failed(length) | Answer::Picture(PictureInfo { length, .. }) => length,
            Answer::NotReady | Answer::Skipped | Answer::TooLarge => 0,
        }
    }
}

/// The part of a text that fits into a message.
#[must_use]
pub fn truncated(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

fn bytes(numbers: [u64; 6]) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    for (chunk, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *chunk = number.to_le_bytes();
    }
    bytes
}

fn numbers(bytes: &[u8; HEAD_BYTES]) -> [u64; 6] {
    let mut numbers = [0; 6];
    for (number, chunk) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = u64::from_le_bytes(*chunk);
    }
    numbers
}

fn bounded(length: u64, max: usize) -> Result<usize, Malformed> {
    usize::try_from(length).ok().filter(|length| *length <= max).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Vec<Answer> {
        let captured = Duration::from_micros(1_234_567_890_123);
        let info = PictureInfo { captured, width: 768, height: 576, replaced: 3, length: MAX_JPEG_BYTES };
        let texts = [Answer::Opened(0), Answer::Opened(MAX_TEXT_BYTES), Answer::Failed(17)];
        [&texts[..], &[Answer::NotReady, Answer::Skipped, Answer::TooLarge, Answer::Picture(info)]].concat()
    }

    fn requests() -> Vec<Request> {
        let size = Some(Size { width: 640, height: 480 });
        let wanted = |fps, quality| PictureRequest {
            fps: Fps::try_from(fps).expect("a rate"),
            quality: Quality::try_from(quality).expect("a quality"),
        };
        let opens = [Request::Open { size, length: 12 }, Request::Open { size: None, length: MAX_TEXT_BYTES }];
        let nexts = [None, Some(wanted(0.01, 1)), Some(wanted(12.5, 100))].map(Request::Next);
        [&opens[..], &nexts].concat()
    }

    #[test]
    fn messages_survive_encoding_and_decoding() {
        assert_eq!(version(&greeting()), Ok(env!("CARGO_PKG_VERSION")));
        for answer in answers() {
            assert_eq!(Answer::from_head(&answer.to_head()), Ok(answer));
        }
        for request in requests() {
            assert_eq!(Request::from_head(&request.to_head()), Ok(request));
        }
        assert_eq!(truncated(&"é".repeat(MAX_TEXT_BYTES)).len(), MAX_TEXT_BYTES);
    }

    #[test]
    fn damaged_heads_are_rejected_or_bounded() {
        let heads = answers().into_iter().map(Answer::to_head).chain(requests().into_iter().map(Request::to_head));
        for head in heads.chain([greeting()]) {
            for bit in 0..HEAD_BYTES * 8 {
                let mut damaged = head;
                damaged[bit / 8] ^= 1 << (bit % 8);
                if let Ok(answer) = Answer::from_head(&damaged) {
                    assert!(answer.length() <= MAX_JPEG_BYTES, "{answer:?}");
                    // The decoder ignored no bits.
                    assert_eq!(answer.to_head(), damaged);
                }
                if let Ok(request) = Request::from_head(&damaged) {
                    assert_eq!(request.to_head(), damaged);
                }
            }
        }
    }

    #[test]
    fn impossible_heads_are_rejected() {
        for numbers in [
            [0; 6],
            [PICTURE + 1, 0, 0, 0, 0, 0],
            [PICTURE, 0, 0, 1, 1, 0],
            [PICTURE, MAX_JPEG_BYTES as u64 + 1, 0, 1, 1, 0],
            [PICTURE, u64::MAX, 0, 1, 1, 0],
            [PICTURE, 1, 0, 0, 1, 0],
            [PICTURE, 1, 0, 1, MAX_SIDE + 1, 0],
            [PICTURE, 1, 0, 1, 1, 1 << 32],
            [FAILED, MAX_TEXT_BYTES as u64 + 1, 0, 0, 0, 0],
            [SKIPPED, 1, 0, 0, 0, 0],
        ] {
            assert_eq!(Answer::from_head(&bytes(numbers)), Err(Malformed), "{numbers:?}");
        }
        for numbers in [
            [OPEN, MAX_TEXT_BYTES as u64 + 1, 0, 0, 0, 0],
            [OPEN, 1, 640, 0, 0, 0],
            [NEXT, 0, f64::NAN.to_bits(), 80, 0, 0],
            [NEXT, 0, 25_f64.to_bits(), 101, 0, 0],
        ] {
            assert_eq!(Request::from_head(&bytes(numbers)), Err(Malformed), "{numbers:?}");
        }
        assert_eq!(version(&[b'x'; HEAD_BYTES]), Err(Malformed));
        assert_eq!(version(&[0xff; HEAD_BYTES]), Err(Malformed));
    }
}
