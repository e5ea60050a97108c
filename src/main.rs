//! Runs the command that the command line names.

mod cli;
mod log;

use std::fs::{self, File};
use std::io::Write as _;
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
use watchpost::cmd::{agents, check, demo, keygen};
use watchpost::name::Name;
use watchpost::os_error::without_numbers;
use watchpost::receiver::{Options, Receiver};
use watchpost::{clock, config};

use cli::{AGENT_FILE, Cli, Command};

/// The receiver's default configuration file.
const RECEIVER_FILE: &str = "/etc/watchpost/receiver.toml";

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watchpost: {}", without_numbers(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    log::start(cli.verbose);
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
            ensure!(meaning.errors == 0, "{} does not work on this machine; see each `error:` above", config.display());
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
        Command::Agents { config, forget, delete_data, merge, into } => {
            let config = receiver_config(config.as_deref())?;
            let forget = forget.map(|agent| agents::Change::Forget { agent, with_data: delete_data });
            let merge = merge.zip(into).map(|(agent, into)| agents::Change::Merge { agent, into });
            print(&agents::run(&config.web, forget.or(merge).as_ref())?);
            Ok(())
        }
        Command::Doctor { config } => until_signal(async |shutdown| doctor(&config, shutdown).await),
        Command::Clock => until_signal(async |shutdown| Ok(clock::publish(shutdown).await?)),
        Command::Devices { config } => devices(config.as_deref()),
    }
}

/// Prints each finding as soon as it is known, because some take seconds.
async fn doctor(file: &Path, shutdown: CancellationToken) -> Result<()> {
    let config = config::either(file)?;
    let mut report = print;
    let mut findings = Findings::new(&mut report);
    let examined = shutdown.run_until_cancelled(doctor::examine(&config, file, &mut findings)).await;
    ensure!(examined.is_some(), "interrupted before all checks finished");
    ensure!(findings.errors == 0, "this machine cannot run {}; see each `error:` above", file.display());
    Ok(())
}

/// Prints the list before it reads the configuration, because the list helps to correct the file.
fn devices(file: Option<&Path>) -> Result<()> {
    let devices = Devices::find(&Roots { dev: "/dev".into(), sys: "/sys".into() });
    print(&devices.describe());
    let default = Path::new(AGENT_FILE);
    if let Some(file) = file.or_else(|| default.exists().then_some(default)) {
        print(&format!("\n{}", devices.assess(&config::agent(file)?, file)));
    }
    Ok(())
}

fn print(text: &str) {
    // A closed stdout is not an error.
    let _ = std::io::stdout().write_all(without_numbers(text).as_bytes());
}

fn receiver_config(file: Option<&Path>) -> Result<config::Receiver, config::Error> {
    let default = Path::new(RECEIVER_FILE);
    match file.or_else(|| default.exists().then_some(default)) {
        Some(file) => config::receiver(file),
        None => Ok(config::Receiver::default()),
    }
}

/// Open files that this process may have. Links use at most half of them, because libzmq uses a whole core while none is
/// free. The usual limit of 1,024 is too low for a thousand agents.
const MAX_DESCRIPTORS: rlim_t = 65_536;

fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < MAX_DESCRIPTORS
    {
        // A lower limit matters only under attack.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, MAX_DESCRIPTORS.min(hard), hard);
    }
}

/// Runs `work`; SIGTERM and Ctrl-C cancel its token.
fn until_signal(work: impl AsyncFnOnce(CancellationToken) -> Result<()>) -> Result<()> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("blocking")
        // Longer than the interval between two polls of the machine's state.
        .thread_keep_alive(Duration::from_mins(1))
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let watched = shutdown.clone();
        let watching = tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => info!("stopping on SIGTERM"),
                _ = interrupt.recv() => info!("stopping on SIGINT"),
                () = watched.cancelled() => {}
            }
            watched.cancel();
        });
        let result = work(shutdown.clone()).await;
        shutdown.cancel();
        watching.await?;
        result
    });
    // A blocked write to standard output must not delay the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Reads the configuration at each SIGHUP and sends it to the returned channel.
///
/// A closed terminal sends the same signal. Then it cancels `shutdown`, unless the user started watchpost with `nohup`.
fn reloads<T: Send + 'static>(
    read: impl Fn() -> T + Send + 'static,
    shutdown: &CancellationToken,
) -> Result<mpsc::Receiver<T>> {
    // Before we handle the signal: afterwards it is no longer ignored.
    let at_terminal = has_terminal() && !ignores_hangups();
    let mut hangups = signal(SignalKind::hangup())?;
    let (reloads, received) = mpsc::channel(1);
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        while let Some(Some(())) = shutdown.run_until_cancelled(hangups.recv()).await {
            if at_terminal && !has_terminal() {
                info!("stopping because the terminal was closed");
                shutdown.cancel();
            } else if reloads.send(read()).await.is_err() {
                break;
            }
        }
    });
    Ok(received)
}

/// Whether the process has a terminal, even if its input and output are redirected.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP is ignored: `SigIgn` in proc(5) has a bit for each signal, starting at signal 1.
fn ignores_hangups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits & 1 == 1)
}
