//! The command line: what can be said. It knows nothing of what is done then, so that the manual is made of it alone
//! (cross/manual).

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Where the agent looks when it is told no file.
pub const AGENT_FILE: &str = "/etc/watchpost/watchpost.toml";

/// What sensor boards measure and cameras see on a Raspberry Pi, sent together over ZeroMQ.
#[derive(Parser)]
#[command(name = "watchpost", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Log more: each line of a board that was refused, and why.
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

#[derive(Subcommand)]
pub enum Command {
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
    /// List spooled readings per link, or drop those of a removed link.
    Spool {
        /// The agent's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
        /// Drop the readings of the link with this address, which is no longer in the configuration.
        #[arg(long, value_name = "ADDRESS")]
        forget: Option<String>,
    },
    /// Say what would keep this machine from doing the configured job, and what to do about it.
    Doctor {
        /// The agent's or the receiver's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// Tell the services whether the clock is synchronised, because they may not ask: watchpost-clock.service runs it.
    #[command(hide = true)]
    Clock,
    /// List cameras and serial ports by the names that a configuration should use, and what each camera offers.
    Devices {
        /// The agent's configuration, whose cameras are to fit on their USB buses [default:
        /// /etc/watchpost/watchpost.toml if it is there].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}
