//! What `watchpost-video` says, put together as it comes.

use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result, bail};

use super::pipe::{Answer, HEAD, Malformed, version};

/// What has come.
#[derive(Debug, PartialEq)]
pub(super) enum Came {
    /// Not all of an answer yet.
    Nothing,
    /// An answer, and what follows its head.
    Answer(Answer, Vec<u8>),
    /// The program is gone, whether or not it had said all.
    End,
}

/// A pipe that is read without waiting, and the part of an answer that has come through it.
pub(super) struct Incoming<R> {
    pipe: R,
    awaited: Awaited,
    /// As long as what is awaited, and how much of it is there: a picture is read into the memory that it is sent from.
    bytes: Vec<u8>,
    filled: usize,
}

enum Awaited {
    Greeting,
    Head,
    Body(Answer),
}

impl<R: Read> Incoming<R> {
    pub(super) fn new(pipe: R) -> Incoming<R> {
        Incoming { pipe, awaited: Awaited::Greeting, bytes: vec![0; HEAD], filled: 0 }
    }

    /// Reads until there is an answer or no more.
    ///
    /// # Errors
    /// When it is of another version, or damaged.
    pub(super) fn read(&mut self) -> Result<Came> {
        loop {
            match self.pipe.read(&mut self.bytes[self.filled..]) {
                Ok(0) if self.filled < self.bytes.len() => return Ok(Came::End),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Came::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("its pipe failed"),
            }
            if self.filled == self.bytes.len()
                && let Some((answer, body)) = self.take()?
            {
                return Ok(Came::Answer(answer, body));
            }
        }
    }

    /// What is awaited is there, and the next is awaited.
    fn take(&mut self) -> Result<Option<(Answer, Vec<u8>)>> {
        let head = || self.bytes.as_array().ok_or(Malformed);
        let (awaited, length, answer) = match self.awaited {
            Awaited::Greeting => {
                same_version(head()?)?;
                (Awaited::Head, HEAD, None)
            }
            Awaited::Head => match Answer::of_head(head()?)? {
                whole if whole.length() == 0 => (Awaited::Head, HEAD, Some(whole)),
                begun => (Awaited::Body(begun), begun.length(), None),
            },
            Awaited::Body(whole) => (Awaited::Head, HEAD, Some(whole)),
        };
        (self.awaited, self.filled) = (awaited, 0);
        let body = std::mem::replace(&mut self.bytes, vec![0; length]);
        Ok(answer.map(|answer| (answer, if answer.length() == 0 { Vec::new() } else { body })))
    }
}

impl<R: AsFd> AsFd for Incoming<R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn same_version(greeting: &[u8; HEAD]) -> Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    match version(greeting) {
        Ok(version) if version == own => Ok(()),
        Ok(other) => bail!("watchpost-video is of version {other}, watchpost of {own}: install both from one build"),
        Err(Malformed) => bail!("watchpost-video is another program: install the one of watchpost's own build"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipe::greeting;
    use super::*;

    /// Returns one byte at a time, and would block in between.
    struct Trickle<'a>(&'a [u8], bool);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::WouldBlock.into()) } else { self.0.read(&mut into[..1]) }
        }
    }

    fn all(mut incoming: Incoming<impl Read>) -> Vec<Came> {
        let mut came = Vec::new();
        loop {
            match incoming.read().expect("undamaged bytes") {
                Came::Nothing => {}
                Came::End => return came,
                answer @ Came::Answer(..) => came.push(answer),
            }
        }
    }

    #[test]
    fn answers_do_not_depend_on_how_bytes_arrive() {
        let said = [&greeting()[..], &Answer::Opened(3).to_head(), b"how", &Answer::Passed.to_head()].concat();
        let answers = [Came::Answer(Answer::Opened(3), b"how".to_vec()), Came::Answer(Answer::Passed, Vec::new())];
        for end in 0..=said.len() {
            let whole = usize::from(end >= 2 * HEAD + 3) + usize::from(end == said.len());
            assert_eq!(all(Incoming::new(&said[..end])), answers[..whole], "{end}");
            assert_eq!(all(Incoming::new(Trickle(&said[..end], false))), answers[..whole], "{end}");
        }
    }

    #[test]
    fn other_version_or_program_is_reported() {
        let said = |said: &str| {
            let greeting = format!("{said:<47}\n");
            Incoming::new(greeting.as_bytes()).read().expect_err("a foreign greeting").to_string()
        };
        assert!(said("watchpost-video 99.0").starts_with("watchpost-video is of version 99.0, watchpost of "));
        assert!(said("busybox").starts_with("watchpost-video is another program"));
    }

    #[test]
    fn damaged_answer_is_an_error() {
        let said = [greeting(), [0xff; HEAD]].concat();
        assert!(Incoming::new(&said[..]).read().is_err());
    }
}
