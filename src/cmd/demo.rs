//! Agent and receiver in one process, with a simulated board on a pseudo-terminal and two test pictures.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};
use tokio_serial::{SerialPort as _, SerialStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent;
use crate::config;
use crate::name::Name;
use crate::receiver::{Options, Receiver};
use crate::wire::Totals;

/// Interval of the simulated board's lines.
const BOARD_INTERVAL: Duration = Duration::from_millis(250);

/// Runs the demo until the shutdown, or for `seconds`; then prints what was sent and received.
///
/// # Errors
/// If a part cannot start, or anything that was sent did not arrive.
pub async fn run(seconds: Option<u64>, shutdown: CancellationToken) -> Result<()> {
    let directory = StateDir::new()?;
    let receiver = open_receiver(&directory).await?;
    println!("\n  Open  http://{}/  to see it. Press Ctrl-C to stop.\n", receiver.page()?);
    let (board, port) = SerialStream::pair().context("cannot open a pseudo-terminal")?;
    let terminal = port.name().context("the pseudo-terminal has no name")?;
    let agent = agent_config(&terminal, &receiver.addresses()[0])?;

    let receiver_end = CancellationToken::new();
    let receiving = tokio::spawn(receiver.run(Options::default(), mpsc::channel(1).1, receiver_end.clone()));
    let simulating = tokio::spawn(simulate(board, shutdown.child_token()));
    let ending = tokio::spawn(end_after(seconds, shutdown.clone()));
    let sent = agent::run(agent, mpsc::channel(1).1, shutdown.clone()).await;
    shutdown.cancel();
    receiver_end.cancel();
    ending.await?;
    simulating.await??;
    let arrived = receiving.await??;
    // A pseudo-terminal exists only while one of its ends is open.
    drop(port);

    let sent = sent?;
    println!("{}", summary(&sent, &arrived));
    ensure!(arrived == sent && arrived.frames.len() == 2 && arrived.readings.len() == 5, "not everything arrived");
    Ok(())
}

/// A temporary directory for history and recordings, so that made-up data never mixes with real data.
struct StateDir(PathBuf);

impl StateDir {
    fn new() -> Result<StateDir> {
        let directory = StateDir(std::env::temp_dir().join(format!("watchpost-demo-{}", Name::random())));
        let created = DirBuilder::new().mode(0o700).create(&directory.0);
        created.with_context(|| format!("cannot create {}", directory.0.display()))?;
        Ok(directory)
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

async fn open_receiver(directory: &StateDir) -> Result<Receiver> {
    let mut config = config::Receiver::default();
    config.links[0].end = config::Endpoint::Bind(config::Address::any_local_port());
    config.history =
        Some(config::History { path: Some(directory.0.join("history.sqlite")), ..config::History::default() });
    let (dir, max_size) = (Some(directory.0.join("recordings")), config::Bytes(200_000_000));
    config.record = Some(config::Record { dir, max_size, ..config::Record::default() });
    if let Ok(receiver) = Receiver::open(config.clone()).await {
        return Ok(receiver);
    }
    info!("port {} is in use; the page gets another port", config.web.listen.port());
    config.web.listen.set_port(0);
    Receiver::open(config).await
}

fn agent_config(terminal: &str, link: &str) -> Result<config::Agent> {
    let text = format!(
        r#"
        name = "demo"
        [[serial]]
        name = "board"
        port = "{terminal}"
        [[camera]]
        name = "bench"
        source = "pattern"
        [[camera]]
        name = "door"
        source = "pattern"
        [[link]]
        pattern = "pair"
        connect = "{link}"
        [spool]
        off = true
        "#
    );
    Ok(config::agent_from(&text, "the demo's own configuration".as_ref())?)
}

/// Writes lines of a climate and a gas board, as in a greenhouse on a day of one minute.
async fn simulate(mut board: SerialStream, shutdown: CancellationToken) -> Result<()> {
    let mut turns = interval(BOARD_INTERVAL);
    let start = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = turns.tick() => {}
        }
        let day = start.elapsed().as_secs_f64() / 60.0 * std::f64::consts::TAU;
        let (temperature, humidity) = (22.5 + 3.0 * day.sin(), 61.0 - 9.0 * day.sin());
        let (mq2, light, mq9) =
            (310.0 + 25.0 * (day * 3.0).sin(), 540.0 + 300.0 * day.sin(), 120.0 + 8.0 * (day * 5.0).cos());
        let lines = format!("t-{temperature:.1}-h-{humidity:.0}\r\nmq2-{mq2:.0}-light-{light:.0}-mq9-{mq9:.0}\r\n");
        board.write_all(lines.as_bytes()).await.context("the simulated board failed")?;
    }
}

async fn end_after(seconds: Option<u64>, shutdown: CancellationToken) {
    if let Some(seconds) = seconds {
        let _ = shutdown.run_until_cancelled(sleep(Duration::from_secs(seconds))).await;
        shutdown.cancel();
    }
}

fn summary(sent: &Totals, received: &Totals) -> String {
    let mut table = format!("{:<24}{:>10}{:>10}\n", "", "sent", "received");
    let mut row = |kind: &str, name: &str, sent: Option<&u64>, received: Option<&u64>| {
        let (sent, received) = (sent.copied().unwrap_or(0), received.copied().unwrap_or(0));
        let mark = if sent == received { "" } else { "   MISSING" };
        writeln!(table, "{:<24}{sent:>10}{received:>10}{mark}", format!("{kind} {name}"))
            .expect("writing to a String cannot fail");
    };
    for camera in sent.frames.keys().chain(received.frames.keys()).collect::<BTreeSet<_>>() {
        row("frames of", camera, sent.frames.get(camera), received.frames.get(camera));
    }
    for quantity in sent.readings.keys().chain(received.readings.keys()).collect::<BTreeSet<_>>() {
        row("readings of", quantity, sent.readings.get(quantity), received.readings.get(quantity));
    }
    table
}
