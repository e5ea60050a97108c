//! Reads a stream, a file or a pipeline with OpenCV. The agent of the same build starts one such process per camera. A
//! hang or a crash affects only this process, and OpenCV stays out of the agent's memory.
//!
//! `agent.rs` talks to the agent. `source.rs` encodes the newest picture on request. `reader.rs` is a thread that reads
//! at the source's rate, so that a slow encoder never adds a delay. `segments.rs` is that rate for HLS. `video.rs` wraps OpenCV.

mod agent;
mod source;
mod reader;
mod segments;
mod video;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use watchpost::agent::camera::video::pipe::Answer;

use agent::Answers;
use source::Source;

/// Reads one stream, file or pipeline for `watchpost run`, which starts this program for each such camera. You cannot
/// use it by hand.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The camera's name, which tells processes apart.
    #[arg(value_name = "CAMERA")]
    _camera: String,
}

fn main() -> ExitCode {
    Cli::parse();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watchpost-video: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    if std::io::stdin().is_terminal() {
        bail!("is started by `watchpost run`; do not run it by hand");
    }
    // Ctrl-C and systemd signal every process of the service. This one exits with the agent, which may still need it.
    SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block()?;
    let mut answers = Answers::take_stdout()?;
    answers.send_greeting()?;
    if let Err(error) = serve(&mut answers) {
        answers.send_text(Answer::Failed, &format!("{error:#}"))?;
    }
    Ok(())
}

/// Answers requests until something fails. When the agent exits, so does this program.
fn serve(answers: &mut Answers) -> Result<()> {
    let (source, size) = agent::read_open_request()?;
    let requests = agent::picture_requests()?;
    let mut source = Source::open(&source, size)?;
    answers.send_text(Answer::Opened, source.describe())?;
    for request in requests {
        let (answer, jpeg) = source.poll(request)?;
        answers.send(answer, &jpeg)?;
    }
    Ok(())
}
