//! The command line, carried out.

mod cli;

use std::fs::{self, File};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;
use watchpost::agent::{self, spool};
use watchpost::cmd::devices::{Devices, Roots};
use watchpost::cmd::doctor::{self, Findings};
use watchpost::cmd::{check, demo, keygen};
use watchpost::name::Name;
use watchpost::receiver::{Options, Receiver};
use watchpost::{clock, config};

use cli::{AGENT_FILE, Cli, Command};

/// Where the receiver looks when it is told no file.
const RECEIVER_FILE: &str = "/etc/watchpost/receiver.toml";

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watchpost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    log_to_stderr(cli.verbose);
    match cli.command {
        Command::Run { config } => {
            let file = config;
            let config = config::agent(&file)?;
            until_signal(async |shutdown| {
                let reloads = reloads(move || config::agent(&file), &shutdown)?;
                agent::run(config, reloads, shutdown).await.map(drop)
            })
        }
        Command::Receive { config, json, save } => {
            let file = config;
            let config = receiver_config(file.as_deref())?;
            until_signal(async |shutdown| {
                let reloads = reloads(move || receiver_config(file.as_deref()), &shutdown)?;
                Receiver::open(config).await?.run(Options { json, save }, reloads, shutdown).await.map(drop)
            })
        }
        Command::Demo { seconds } => until_signal(async |shutdown| demo::run(seconds, shutdown).await),
        Command::Check { config } => {
            let meaning = check::describe(&config::either(&config)?);
            print(&meaning.text);
            ensure!(meaning.errors == 0, "{} does not work as it is, see each `error:` above", config.display());
            Ok(())
        }
        Command::Keygen { token: true, dir, .. } => {
            print(&keygen::tokens(&dir)?);
            Ok(())
        }
        Command::Keygen { name, dir, token: false } => {
            let name = name.map_or_else(|| Ok(config::host_name()), Name::try_from)?;
            print(&keygen::run(&name, &dir)?);
            Ok(())
        }
        Command::Spool { config, forget } => {
            let config = config::agent(&config)?;
            if let Some(link) = forget {
                spool::forget(&config, &link)?;
                print(&format!("dropped the readings for {link}\n"));
            }
            print(&spool::list(&config)?);
            Ok(())
        }
        Command::Doctor { config } => until_signal(async |shutdown| doctor(&config, shutdown).await),
        Command::Clock => until_signal(async |shutdown| Ok(clock::tell(shutdown).await?)),
        Command::Devices { config } => devices(config.as_deref()),
    }
}

/// What takes long is told when it is known.
async fn doctor(file: &Path, shutdown: CancellationToken) -> Result<()> {
    let config = config::either(file)?;
    let mut tell = print;
    let mut findings = Findings::new(&mut tell);
    let examined = shutdown.run_until_cancelled(doctor::examine(&config, file, &mut findings)).await;
    ensure!(examined.is_some(), "ended before all was looked at");
    ensure!(findings.errors == 0, "this machine cannot do what {} asks for, see each `error:` above", file.display());
    Ok(())
}

/// The list comes first: it helps to repair the file.
fn devices(file: Option<&Path>) -> Result<()> {
    let devices = Devices::find(&Roots { dev: "/dev".into(), sys: "/sys".into() });
    print(&devices.describe());
    let usual = Path::new(AGENT_FILE);
    if let Some(file) = file.or_else(|| usual.exists().then_some(usual)) {
        print(&format!("\n{}", devices.judge(&config::agent(file)?, file)));
    }
    Ok(())
}

fn print(text: &str) {
    // Nobody who reads it is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn receiver_config(file: Option<&Path>) -> Result<config::Receiver, config::Error> {
    let usual = Path::new(RECEIVER_FILE);
    match file.or_else(|| usual.exists().then_some(usual)) {
        Some(file) => config::receiver(file),
        None => Ok(config::Receiver::default()),
    }
}

/// Connections that say nothing occupy a descriptor each, for a few seconds, and libzmq burns a core while none is left.
/// The usual limit of 1,024 is soon reached; this is one that still bounds their memory, at 60 MiB.
const DESCRIPTORS: rlim_t = 4096;

fn make_room() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < DESCRIPTORS
    {
        // With fewer it works as well, as long as nobody wants to disturb it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard);
    }
}

/// Runs `work`, which is told to end by SIGTERM or Ctrl-C.
fn until_signal(work: impl AsyncFnOnce(CancellationToken) -> Result<()>) -> Result<()> {
    make_room();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("blocking")
        // Longer than from one look at the machine to the next.
        .thread_keep_alive(Duration::from_mins(1))
        .build()
        .context("cannot start")?;
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let watched = shutdown.clone();
        let watching = tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => info!("ending on SIGTERM"),
                _ = interrupt.recv() => info!("ending on SIGINT"),
                () = watched.cancelled() => {}
            }
            watched.cancel();
        });
        let result = work(shutdown.clone()).await;
        shutdown.cancel();
        watching.await?;
        result
    });
    // Someone's standard output that takes nothing must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Reads the configuration again at each SIGHUP, for whoever goes on with it.
///
/// A terminal that is closed sends the same signal: then everything ends, as its user would expect, who has not said `nohup`.
fn reloads<T: Send + 'static>(
    read: impl Fn() -> T + Send + 'static,
    shutdown: &CancellationToken,
) -> Result<mpsc::Receiver<T>> {
    // Before the signal is taken, when nobody ignores it any more.
    let at_terminal = has_terminal() && !ignores_hangups();
    let mut hangups = signal(SignalKind::hangup())?;
    let (reloads, taken) = mpsc::channel(1);
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        while let Some(Some(())) = shutdown.run_until_cancelled(hangups.recv()).await {
            if at_terminal && !has_terminal() {
                shutdown.cancel();
            } else if reloads.send(read()).await.is_err() {
                break;
            }
        }
    });
    Ok(taken)
}

/// Wherever input and output go.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// As proc(5) has it: a bit for each signal, from 1 on.
fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits & 1 == 1)
}

/// Lines for a person, or for journald, which has its own clock.
fn log_to_stderr(verbose: bool) {
    let level = if verbose { tracing::Level::DEBUG } else { tracing::Level::INFO };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if std::env::var_os("JOURNAL_STREAM").is_some() { log.without_time().init() } else { log.init() }
}
