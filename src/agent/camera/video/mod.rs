//! Streams, files and pipelines. The libraries that read them can hang, corrupt memory and use much of it. So each such
//! camera has its own process, `watchpost-video`, which is installed next to this program and encodes what it reads.
//!
//! `program.rs` is the process and `pipe.rs` the protocol. `incoming.rs` and `child_stderr.rs` read what it sends.
//! `reach.rs` checks whether an address responds before a process is started for it.

mod child_stderr;
mod incoming;
pub mod pipe;
mod program;
mod reach;

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;

use super::picture::{Picture, Poll};
use crate::agent::health::Part;
use crate::clock::Stamp;
use crate::config::{self, Camera};
use pipe::{Answer, MAX_TEXT_BYTES, Malformed, PictureInfo, PictureRequest, Request};
use program::Program;

/// The program allows a stream eight seconds to open. GStreamer may first scan all its plugins, which can take long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The program answers within a second while it waits for a stream. A file may need two waits of two seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Video {
    program: Program,
    health: Part,
    /// The source's actual settings, once it is open.
    description: String,
    /// Whether an answer is outstanding.
    is_waiting: bool,
}

/// Checks that `watchpost-video` is installed.
///
/// # Errors
/// When it is missing; the error says what to do.
pub fn is_installed() -> Result<()> {
    program::find().map(drop)
}

/// Checks that `watchpost-video` is installed and that the source exists or its address responds, which may take seconds.
///
/// # Errors
/// The reason why the source cannot be used, and what to do.
pub(super) fn is_usable(source: &config::VideoSource) -> Result<()> {
    is_installed()?;
    reach::check(source)
}

impl Video {
    /// Starts opening a source, which responded when it was checked.
    pub(super) fn open(source: &config::VideoSource, camera: &Camera, health: Part) -> Result<Video> {
        let text = source.text();
        if text.len() > MAX_TEXT_BYTES {
            bail!("is longer than {MAX_TEXT_BYTES} bytes");
        }
        let mut program = Program::start(source, &camera.name)?;
        program.send(Request::Open { size: camera.size, length: text.len() }, &text);
        Ok(Video { program, health, description: String::new(), is_waiting: false })
    }

    /// Whether the source is open.
    pub(super) fn is_open(&mut self) -> Result<bool> {
        match self.program.receive(OPEN_TIMEOUT)? {
            None => Ok(false),
            Some((Answer::Opened(_), description)) => {
                self.description = String::from_utf8_lossy(&description).into_owned();
                Ok(true)
            }
            Some(_) => Err(anyhow!(Malformed)),
        }
    }

    pub(super) fn poll(&mut self, wanted: Option<PictureRequest>) -> Result<Poll<'_>> {
        if !self.is_waiting {
            self.program.send(Request::Next(wanted), "");
            self.is_waiting = true;
        }
        let Some((answer, jpeg)) = self.program.receive(ANSWER_TIMEOUT)? else { return Ok(Poll::NotReady) };
        self.is_waiting = false;
        Ok(match answer {
            Answer::NotReady => Poll::NotReady,
            Answer::Skipped => Poll::Skipped,
            Answer::TooLarge => Poll::TooLarge,
            Answer::Picture(PictureInfo { captured, width, height, replaced, .. }) => {
                if replaced > 0 {
                    self.health.count("frames_replaced", replaced.into());
                }
                Poll::Frame(Stamp::at(captured), Picture::Jpeg { width, height, bytes: Bytes::from(jpeg) })
            }
            Answer::Opened(_) | Answer::Failed(_) => bail!(Malformed),
        })
    }

    pub(super) fn describe(&self) -> String {
        self.description.clone()
    }
}
