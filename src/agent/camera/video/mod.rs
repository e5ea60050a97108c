//! Streams, files and pipelines. Libraries that read them can hang for ever, damage memory and take much of it, so each such
//! camera is a process, `watchpost-video`, which is found beside this program and encodes what it reads.
//!
//! `program.rs` is the process, `pipe.rs` what is said to it and by it, `incoming.rs` and `complaints.rs` what comes from it;
//! `reach.rs` says of an address why nothing comes from it, before a process is started for it.

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

/// The program gives a stream eight seconds to be opened. GStreamer may first look at all that it has, which can take long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The program ends its waits for a stream itself, after two seconds, of which a file may need two.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Video {
    program: Program,
    health: Part,
    /// What was agreed with the source, once it is open.
    description: String,
    /// The program owes an answer.
    is_waiting: bool,
}

/// Whether the program is there that reads films.
///
/// # Errors
/// That it is not, and what to do about it.
pub fn is_installed() -> Result<()> {
    program::find().map(drop)
}

/// Whether that program is there, and the film is, as far as its address tells. Waits for an answer, for seconds perhaps.
///
/// # Errors
/// What there is instead, and what to do about it.
pub fn is_usable(source: &config::VideoSource) -> Result<()> {
    is_installed()?;
    reach::check(source)
}

impl Video {
    /// Begins to open it.
    pub(super) fn open(source: &config::VideoSource, camera: &Camera, health: Part) -> Result<Video> {
        is_usable(source)?;
        let text = source.text();
        if text.len() > MAX_TEXT_BYTES {
            bail!("is longer than {MAX_TEXT_BYTES} bytes");
        }
        let mut program = Program::start(source, &camera.name)?;
        program.send(Request::Open { size: camera.size, length: text.len() }, &text);
        Ok(Video { program, health, description: String::new(), is_waiting: false })
    }

    /// Whether it is open by now.
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
