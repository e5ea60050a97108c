//! The process `watchpost-video`: starts it, talks to it, and kills it when it hangs or is no longer needed.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::child_stderr::ChildStderrLog;
use super::incoming::{Incoming, IncomingPipe};
use super::pipe::{Answer, Request};
use crate::agent::camera::POLL_TIMEOUT;
use crate::config::{VideoSource, without_passwords};

const PROGRAM: &str = "watchpost-video";

/// Options for FFmpeg, in the environment variable that OpenCV reads. RTSP over TCP is OpenCV's default without this
/// variable, and UDP damages pictures. Without `fpsprobesize` FFmpeg reads 20 frames to find the frame rate, which
/// takes longer than a slow camera may take to open.
const FFMPEG_OPTIONS: (&str, &str) = ("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_flags;prefer_tcp|fpsprobesize;0");

/// The program's path, next to this one.
///
/// # Errors
/// When it is missing; the error says what to do.
pub(super) fn find() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find the directory of watchpost")?.with_file_name(PROGRAM);
    if !program.is_file() {
        let directory = program.parent().unwrap_or(&program).display();
        bail!("needs {PROGRAM}, which is not in {directory}; install it there, from the same build as watchpost");
    }
    Ok(program)
}

/// A running program; killed when dropped.
pub(super) struct Program {
    child: Child,
    requests: ChildStdin,
    answers: IncomingPipe<ChildStdout>,
    stderr: ChildStderrLog<ChildStderr>,
    /// How long the agent has waited for the next answer.
    silent: Duration,
}

impl Program {
    pub(super) fn start(source: &VideoSource, camera: &str) -> Result<Program> {
        let mut command = Command::new(find()?);
        command.arg(camera).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if matches!(source, VideoSource::Stream(_)) && std::env::var_os(FFMPEG_OPTIONS.0).is_none() {
            command.env(FFMPEG_OPTIONS.0, FFMPEG_OPTIONS.1);
        }
        let mut child = command.spawn().with_context(|| format!("cannot start {PROGRAM}"))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(answers), Some(stderr)) = pipes else { bail!("{PROGRAM} has no pipes") };
        let (answers, stderr) = (IncomingPipe::new(answers), ChildStderrLog::new(stderr, camera));
        let program = Program { child, requests, answers, stderr, silent: Duration::ZERO };
        for pipe in program.pipes() {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot make its pipes non-blocking")?;
        }
        Ok(program)
    }

    /// Standard output, and standard error until it is closed.
    fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(self.answers.as_fd()), self.stderr.pipe.as_ref().map(AsFd::as_fd)].into_iter().flatten()
    }

    /// Sends a request. Never blocks: the program always reads, and requests are small.
    pub(super) fn send(&mut self, request: Request, body: &str) {
        // If the program has exited, `receive` reports it.
        let _ = self.requests.write_all(&[&request.to_head(), body.as_bytes()].concat());
    }

    /// Returns the next answer; waits for at most [`POLL_TIMEOUT`].
    ///
    /// # Errors
    /// When the program was silent for longer than `limit` in total, has exited, or failed.
    pub(super) fn receive(&mut self, limit: Duration) -> Result<Option<(Answer, Vec<u8>)>> {
        let start = Instant::now();
        self.wait()?;
        // A longer wait means that the whole machine was held up, perhaps the program too.
        self.silent += start.elapsed().min(POLL_TIMEOUT);
        self.stderr.read();
        match self.answers.read()? {
            Incoming::Answer(Answer::Failed(_), words) => {
                bail!("{}", without_passwords(&String::from_utf8_lossy(&words)))
            }
            Incoming::Answer(answer, body) => {
                self.silent = Duration::ZERO;
                Ok(Some((answer, body)))
            }
            Incoming::Partial if self.silent > limit => bail!("hangs in its driver or stream"),
            Incoming::Partial => Ok(None),
            Incoming::Closed => Err(self.ended()),
        }
    }

    /// Waits until the program has written something.
    fn wait(&self) -> Result<()> {
        let mut pipes: Vec<PollFd> = self.pipes().map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
        match poll(&mut pipes, PollTimeout::try_from(POLL_TIMEOUT).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("poll on its pipes failed"),
        }
    }

    /// Why the program exited.
    fn ended(&mut self) -> anyhow::Error {
        // It exits, or closed a pipe that it needs. A program that is exiting already keeps its own exit status.
        let _ = self.child.kill();
        match self.child.wait() {
            Err(error) => anyhow::Error::new(error).context(format!("cannot wait for {PROGRAM} to exit")),
            Ok(status) => match (status.signal(), self.stderr.last()) {
                (Some(signal), _) => {
                    let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                    anyhow!("{PROGRAM} was killed by signal {signal} ({name})")
                }
                (None, Some(line)) => anyhow!("{PROGRAM} exited: {line}"),
                (None, None) => anyhow!("{PROGRAM} exited with {status}"),
            },
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
