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

use super::picture::{Next, Picture};
use crate::agent::health::Part;
use crate::clock::Stamp;
use crate::config::{self, Camera};
use pipe::{Answer, LONGEST_TEXT, Malformed, Request, Told, Wish};
use program::Program;

/// The program gives a stream eight seconds to be opened. GStreamer may first look at all that it has, which can take long.
const OPENING: Duration = Duration::from_secs(30);

/// The program ends its waits for a stream itself, after two seconds, of which a file may need two.
const LIVING: Duration = Duration::from_secs(5);

pub(super) struct Video {
    program: Program,
    health: Part,
    /// What was agreed with the source, once it is open.
    how: String,
    /// The program owes an answer.
    asked: bool,
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
pub fn is_usable(film: &config::VideoSource) -> Result<()> {
    is_installed()?;
    reach::is_there(film)
}

impl Video {
    /// Begins to open it.
    pub(super) fn open(film: &config::VideoSource, camera: &Camera, health: Part) -> Result<Video> {
        is_usable(film)?;
        let source = film.text();
        if source.len() > LONGEST_TEXT {
            bail!("is longer than {LONGEST_TEXT} bytes");
        }
        let mut program = Program::start(film, &camera.name)?;
        program.ask(Request::Open { size: camera.size, length: source.len() }, &source);
        Ok(Video { program, health, how: String::new(), asked: false })
    }

    /// Whether it is open by now.
    pub(super) fn is_open(&mut self) -> Result<bool> {
        match self.program.hear(OPENING)? {
            None => Ok(false),
            Some((Answer::Opened(_), how)) => {
                self.how = String::from_utf8_lossy(&how).into_owned();
                Ok(true)
            }
            Some(_) => Err(anyhow!(Malformed)),
        }
    }

    pub(super) fn next(&mut self, wish: Option<Wish>) -> Result<Next<'_>> {
        if !self.asked {
            self.program.ask(Request::Next(wish), "");
            self.asked = true;
        }
        let Some((answer, jpeg)) = self.program.hear(LIVING)? else { return Ok(Next::Nothing) };
        self.asked = false;
        Ok(match answer {
            Answer::Nothing => Next::Nothing,
            Answer::Passed => Next::Passed,
            Answer::Oversized => Next::Oversized,
            Answer::Picture(Told { captured, width, height, replaced, .. }) => {
                if replaced > 0 {
                    self.health.count("frames_replaced", replaced.into());
                }
                Next::Taken(Stamp::at(captured), Picture::Jpeg { width, height, bytes: Bytes::from(jpeg) })
            }
            Answer::Opened(_) | Answer::Failed(_) => bail!(Malformed),
        })
    }

    pub(super) fn describe(&self) -> String {
        self.how.clone()
    }
}
