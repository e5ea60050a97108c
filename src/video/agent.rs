//! Talks to the agent over standard input and output.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::Builder;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stdout};
use watchpost::agent::camera::video::pipe::{self, Answer, HEAD_BYTES, Malformed, PictureRequest, Request};
use watchpost::config::{Size, Source, VideoSource};

/// The pipe to the agent.
pub(super) struct Answers(File);

impl Answers {
    /// Takes over standard output. From now on, text that libraries print goes to standard error.
    pub(super) fn take_stdout() -> Result<Answers> {
        let own = io::stdout().as_fd().try_clone_to_owned().context("no standard output")?;
        dup2_stdout(io::stderr()).context("no standard error")?;
        Ok(Answers(own.into()))
    }

    pub(super) fn send_greeting(&mut self) -> io::Result<()> {
        self.0.write_all(&pipe::greeting())
    }

    pub(super) fn send(&mut self, answer: Answer, body: &[u8]) -> io::Result<()> {
        self.0.write_all(&answer.to_head())?;
        self.0.write_all(body)
    }

    /// Sends an answer with text: that the source is open, or why it failed.
    pub(super) fn send_text(&mut self, answer: fn(usize) -> Answer, text: &str) -> io::Result<()> {
        let text = pipe::truncated(text);
        self.send(answer(text.len()), text.as_bytes())
    }
}

/// Reads which source to open, and the size of its pictures.
pub(super) fn read_open_request() -> Result<(VideoSource, Option<Size>)> {
    let mut stdin = io::stdin().lock();
    let Request::Open { size, length } = Request::from_head(&read_head(&mut stdin)?)? else { bail!(Malformed) };
    let mut source = vec![0; length];
    stdin.read_exact(&mut source)?;
    match Source::try_from(String::from_utf8(source)?) {
        Ok(Source::Video(source)) => Ok((source, size)),
        _ => bail!(Malformed),
    }
}

/// The agent's requests for pictures; at most one is outstanding.
///
/// A thread reads them while the agent runs, and kills the program when the agent exits, even if FFmpeg hangs.
pub(super) fn picture_requests() -> Result<Receiver<Option<PictureRequest>>> {
    let (sender, requests) = sync_channel(1);
    let listen = move || {
        let mut stdin = io::stdin().lock();
        while let Ok(Request::Next(request)) = read_head(&mut stdin).and_then(|head| Ok(Request::from_head(&head)?)) {
            // If nothing receives it, the program is exiting already.
            let _ = sender.send(request);
        }
        // An orderly exit would run the libraries' cleanup, which could hang.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    };
    Builder::new().name("requests".into()).spawn(listen).context("cannot start its input thread")?;
    Ok(requests)
}

fn read_head(pipe: &mut impl Read) -> Result<[u8; HEAD_BYTES]> {
    let mut head = [0; HEAD_BYTES];
    pipe.read_exact(&mut head)?;
    Ok(head)
}
