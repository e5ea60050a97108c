//! Reads a stream, a file or a pipeline with OpenCV, for the agent of the same build, which starts this program for each such
//! camera: what hangs in it is killed, what it breaks is its own, and no agent has OpenCV in its memory.
//!
//! `agent.rs` is what is said to the agent and by it; `source.rs` encodes its newest picture when the agent asks for one;
//! `reader.rs` is a thread that reads at the source's rate whatever becomes of the pictures, so that a slow encoder never
//! builds a delay; `video.rs` is what it reads from.

mod agent;
mod source;
mod reader;
mod video;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use watchpost::agent::camera::video::pipe::Answer;

use agent::Answers;
use source::Source;

/// Reads one stream, file or pipeline for `watchpost run`, which starts this program beside it for each such camera and
/// says over standard input what it is to read. It is of no use by hand.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The camera's name, to tell one process from another.
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
        bail!("is started by `watchpost run`; you cannot use it by hand");
    }
    // Ctrl-C and systemd tell every process of the service; this one ends with the agent, which may still need it.
    SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]).thread_block()?;
    let mut answers = Answers::take_stdout()?;
    answers.send_greeting()?;
    if let Err(error) = serve(&mut answers) {
        answers.send_text(Answer::Failed, &format!("{error:#}"))?;
    }
    Ok(())
}

/// Plays until something fails. The end of the agent is this program's at once.
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
