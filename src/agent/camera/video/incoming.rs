//! Assembles the messages of `watchpost-video` from the bytes in its pipe.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result, bail};

use super::pipe::{Answer, HEAD_BYTES, Malformed, version};

/// The result of reading the pipe.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// The answer is not complete yet.
    Partial,
    /// An answer, and the bytes after its head.
    Answer(Answer, Vec<u8>),
    /// The program closed the pipe, perhaps in the middle of an answer.
    Closed,
}

/// A pipe that is read without waiting, and the part of an answer that has arrived.
pub(super) struct IncomingPipe<R> {
    pipe: R,
    expected: Expected,
    /// A buffer as long as the expected part, and how much of it is filled. Pictures are read into the memory that is
    /// sent.
    bytes: Vec<u8>,
    filled: usize,
}

enum Expected {
    Greeting,
    Head,
    Body(Answer),
}

impl<R: Read> IncomingPipe<R> {
    pub(super) fn new(pipe: R) -> IncomingPipe<R> {
        IncomingPipe { pipe, expected: Expected::Greeting, bytes: vec![0; HEAD_BYTES], filled: 0 }
    }

    /// Reads until an answer is complete or no more data is available.
    ///
    /// # Errors
    /// When the program has another version, or its data is damaged.
    pub(super) fn read(&mut self) -> Result<Incoming> {
        loop {
            match self.pipe.read(&mut self.bytes[self.filled..]) {
                Ok(0) if self.filled < self.bytes.len() => return Ok(Incoming::Closed),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Incoming::Partial),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("its pipe failed"),
            }
            if self.filled == self.bytes.len()
                && let Some((answer, body)) = self.take()?
            {
                return Ok(Incoming::Answer(answer, body));
            }
        }
    }

    /// Handles the completed part and prepares for the next one.
    fn take(&mut self) -> Result<Option<(Answer, Vec<u8>)>> {
        let head = || self.bytes.as_array().ok_or(Malformed);
        let (expected, length, answer) = match self.expected {
            Expected::Greeting => {
                same_version(head()?)?;
                (Expected::Head, HEAD_BYTES, None)
            }
            Expected::Head => match Answer::from_head(head()?)? {
                whole if whole.length() == 0 => (Expected::Head, HEAD_BYTES, Some(whole)),
                begun => (Expected::Body(begun), begun.length(), None),
            },
            Expected::Body(whole) => (Expected::Head, HEAD_BYTES, Some(whole)),
        };
        (self.expected, self.filled) = (expected, 0);
        let body = std::mem::replace(&mut self.bytes, vec![0; length]);
        Ok(answer.map(|answer| (answer, if answer.length() == 0 { Vec::new() } else { body })))
    }
}

impl<R: AsFd> AsFd for IncomingPipe<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn same_version(greeting: &[u8; HEAD_BYTES]) -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    match version(greeting) {
        Ok(version) if version == own => Ok(()),
        Ok(other) => bail!("watchpost-video is version {other} but watchpost is {own}: install both from one build"),
        Err(Malformed) => {
            bail!("watchpost-video is a different program: install the one from the same build as watchpost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipe::greeting;
    use super::*;

    /// Returns one byte at a time, and nothing in between.
    struct ByteByByte<'a>(&'a [u8], bool);

    impl Read for ByteByByte<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(&mut into[..1]) }
        }
    }

    fn answers_of(mut incoming: IncomingPipe<impl Read>) -> Vec<Incoming> {
        let mut answers = Vec::new();
        loop {
            match incoming.read().expect("nothing damaged") {
                Incoming::Partial => {}
                Incoming::Closed => return answers,
                answer @ Incoming::Answer(..) => answers.push(answer),
            }
        }
    }

    #[test]
    fn answers_do_not_depend_on_how_their_bytes_arrive() {
        let bytes = [&greeting()[..], &Answer::Opened(3).to_head(), b"how", &Answer::Skipped.to_head()].concat();
        let answers =
            [Incoming::Answer(Answer::Opened(3), b"how".to_vec()), Incoming::Answer(Answer::Skipped, Vec::new())];
        for end in 0..=bytes.len() {
            let whole = usize::from(end >= 2 * HEAD_BYTES + 3) + usize::from(end == bytes.len());
            assert_eq!(answers_of(IncomingPipe::new(&bytes[..end])), answers[..whole], "{end}");
            assert_eq!(answers_of(IncomingPipe::new(ByteByByte(&bytes[..end], false))), answers[..whole], "{end}");
        }
    }

    #[test]
    fn another_version_or_program_is_named_in_the_error() {
        let bytes = |bytes: &str| {
            let greeting = format!("{bytes:<47}\n");
            IncomingPipe::new(greeting.as_bytes()).read().expect_err("a refusal").to_string()
        };
        assert!(bytes("watchpost-video 99.0").starts_with("watchpost-video is version 99.0 but watchpost is "));
        assert!(bytes("busybox").starts_with("watchpost-video is a different program"));
    }

    #[test]
    fn damaged_data_is_an_error() {
        let bytes = [greeting(), [0xff; HEAD_BYTES]].concat();
        assert!(IncomingPipe::new(&bytes[..]).read().is_err());
    }
}
