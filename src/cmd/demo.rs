//! Everything at once, with nothing to configure: a simulated board on a real pseudo-terminal, two test pictures, the
//! agent, the receiver and the page.

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

/// How often the simulated board speaks, of climate and of gas in turn.
const BOARD: Duration = Duration::from_millis(250);

/// Runs the demo until the shutdown, or for as long as it is told; then says what was sent and what arrived.
///
/// # Errors
/// When a part cannot start, or when anything that was sent did not arrive.
pub async fn run(seconds: Option<u64>, shutdown: CancellationToken) -> Result<()> {
    let place = Place::new()?;
    let receiver = open_receiver(&place).await?;
    println!("\n  Open  http://{}/  to see it. Ctrl-C ends it.\n", receiver.page()?);
    let (board, port) = SerialStream::pair().context("no pseudo-terminal to be had")?;
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
    let came = receiving.await??;
    // Held until now: a terminal whose ends are all closed is gone.
    drop(port);

    let sent = sent?;
    println!("{}", summary(&sent, &came));
    ensure!(came == sent && came.frames.len() == 2 && came.readings.len() == 5, "not everything arrived");
    Ok(())
}

/// Where it keeps what it shows of the past: what is made up is nothing to be found beside what was measured, and goes with
/// the demo.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Place> {
        let place = Place(std::env::temp_dir().join(format!("watchpost-demo-{}", Name::random())));
        let made = DirBuilder::new().mode(0o700).create(&place.0);
        made.with_context(|| format!("cannot make {}", place.0.display()))?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("{} is left behind: {error}", self.0.display());
        }
    }
}

async fn open_receiver(place: &Place) -> Result<Receiver> {
    let mut config = config::Receiver::default();
    config.links[0].end = config::Endpoint::Bind(config::Address::any_local_port());
    config.history = Some(config::History { path: Some(place.0.join("history.sqlite")), ..config::History::default() });
    let (dir, max_size) = (Some(place.0.join("recordings")), config::Bytes(200_000_000));
    config.record = Some(config::Record { dir, max_size, ..config::Record::default() });
    if let Ok(receiver) = Receiver::open(config.clone()).await {
        return Ok(receiver);
    }
    info!("port {} is taken, the page goes to another one", config.web.listen.port());
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

/// A greenhouse on a fast day: what a board of each kind would write.
async fn simulate(mut board: SerialStream, shutdown: CancellationToken) -> Result<()> {
    let mut turns = interval(BOARD);
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
        board.write_all(lines.as_bytes()).await.context("the simulated board cannot write")?;
    }
}

async fn end_after(seconds: Option<u64>, shutdown: CancellationToken) {
    if let Some(seconds) = seconds {
        let _ = shutdown.run_until_cancelled(sleep(Duration::from_secs(seconds))).await;
        shutdown.cancel();
    }
}

fn summary(sent: &Totals, came: &Totals) -> String {
    let mut table = format!("{:<24}{:>10}{:>10}\n", "", "sent", "received");
    let mut row = |kind: &str, name: &str, sent: Option<&u64>, came: Option<&u64>| {
        let (sent, came) = (sent.copied().unwrap_or(0), came.copied().unwrap_or(0));
        let mark = if sent == came { "" } else { "   MISSING" };
        writeln!(table, "{:<24}{sent:>10}{came:>10}{mark}", format!("{kind} {name}")).expect("a String takes all");
    };
    for camera in sent.frames.keys().chain(came.frames.keys()).collect::<BTreeSet<_>>() {
        row("frames of", camera, sent.frames.get(camera), came.frames.get(camera));
    }
    for quantity in sent.readings.keys().chain(came.readings.keys()).collect::<BTreeSet<_>>() {
        row("readings of", quantity, sent.readings.get(quantity), came.readings.get(quantity));
    }
    table
}
