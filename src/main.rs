//! The command line.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;
use watchpost::agent::{self, spool};
use watchpost::devices::{Devices, Roots};
use watchpost::doctor::{self, Findings};
use watchpost::name::Name;
use watchpost::receiver::{Also, Receiver};
use watchpost::{check, config, demo, keygen};

/// What sensor boards measure and cameras see on a Raspberry Pi, sent together over ZeroMQ.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more: each line of a board that was refused, and why.
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent: read boards and cameras, send to every link.
    Run {
        /// The agent's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// Run the receiver: show what agents send on a page.
    Receive {
        /// The receiver's configuration [default: /etc/watchpost/receiver.toml, without it a link and the page on
        /// this machine's ports 5559 and 8080].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the header of each message on standard output, a line each.
        #[arg(long)]
        json: bool,
        /// Keep the newest JPEG of each camera as DIR/AGENT/CAMERA.jpg.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// Run everything at once with a simulated board and two test pictures; nothing to configure.
    Demo {
        /// End by itself, with a summary; exit 1 if anything did not arrive.
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Read a configuration, say what is wrong with it, or what it means on this machine.
    Check {
        /// The agent's or the receiver's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// Make a key pair for links with a curve table, or tokens for the receiver's page, and say where they belong.
    Keygen {
        /// What the two files are called before their dot [default: this machine's name].
        #[arg(conflicts_with = "token")]
        name: Option<String>,
        /// Make web.token and web-view.token, which let viewers and programs in at the receiver's page.
        #[arg(long)]
        token: bool,
        /// Where they are written; it is made if it is not there.
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Say how many readings wait for which receiver, or keep nothing more for one that has gone for good.
    Spool {
        /// The agent's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
        /// The address of a link that the configuration does not have any more.
        #[arg(long, value_name = "ADDRESS")]
        forget: Option<String>,
    },
    /// Say what would keep this machine from doing the configured job, and what to do about it.
    Doctor {
        /// The agent's or the receiver's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// List cameras and serial ports by the names that a configuration should use, and what each camera offers.
    Devices {
        /// The agent's configuration, whose cameras are to fit on their USB buses [default:
        /// /etc/watchpost/watchpost.toml if it is there].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Where the agent looks when it is told no file.
const AGENT_FILE: &str = "/etc/watchpost/watchpost.toml";

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
                Receiver::open(config).await?.run(Also { json, save }, reloads, shutdown).await.map(drop)
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
                print(&format!("nothing is kept for {link} any more\n"));
            }
            print(&spool::list(&config)?);
            Ok(())
        }
        Command::Doctor { config } => until_signal(async |shutdown| doctor(&config, shutdown).await),
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
const DESCRIPTORS: u64 = 4096;

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
/// A terminal that is closed sends the same signal: then everything ends, as its user would expect.
fn reloads<T: Send + 'static>(
    read: impl Fn() -> T + Send + 'static,
    shutdown: &CancellationToken,
) -> Result<mpsc::Receiver<T>> {
    let mut hangups = signal(SignalKind::hangup())?;
    let (reloads, taken) = mpsc::channel(1);
    let (shutdown, at_terminal) = (shutdown.clone(), std::io::stderr().is_terminal());
    tokio::spawn(async move {
        while let Some(Some(())) = shutdown.run_until_cancelled(hangups.recv()).await {
            if at_terminal && !std::io::stderr().is_terminal() {
                shutdown.cancel();
            } else if reloads.send(read()).await.is_err() {
                break;
            }
        }
    });
    Ok(taken)
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
