//! The command line. It does not know the commands' code, because the manual is generated from this file alone
//! (cross/manual).

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The agent's default configuration file.
pub const AGENT_FILE: &str = "/etc/watchpost/watchpost.toml";

/// Streams sensor readings and camera frames from a Raspberry Pi over ZeroMQ.
#[derive(Parser)]
#[command(name = "watchpost", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Log more, for example each refused line of a board with the reason.
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
    /// Run the receiver: show, record and store what agents send.
    Receive {
        /// The receiver's configuration [default: /etc/watchpost/receiver.toml; without that file, a link on port
        /// 5559 and the page on port 8080 of this machine].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print the header of each message to standard output, one JSON object per line.
        #[arg(long)]
        json: bool,
        /// Write the newest JPEG of each camera to DIR/AGENT/CAMERA.jpg.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// Run agent and receiver with a simulated board and two test pictures; needs no configuration.
    Demo {
        /// Stop after N seconds with a summary; exit with 1 if anything did not arrive.
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Check a configuration: show its errors, or what it means on this machine.
    Check {
        /// The agent's or the receiver's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// Create a key pair for encrypted links, or tokens for the receiver's page, and show how to configure them.
    Keygen {
        /// Name of the two files, before the extension [default: this machine's name].
        #[arg(conflicts_with = "token")]
        name: Option<String>,
        /// Create web.token and web-view.token, which viewers and programs need to open the receiver's page.
        #[arg(long)]
        token: bool,
        /// Directory for the files; it is created if necessary.
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
    /// List the agents that the running receiver knows, or forget or merge one that is away.
    Agents {
        /// The receiver's configuration [default: /etc/watchpost/receiver.toml, if it exists].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Forget this agent. Its readings and recordings stay.
        #[arg(long, value_name = "NAME", conflicts_with = "merge")]
        forget: Option<String>,
        /// Also delete the readings and recordings of the forgotten agent.
        #[arg(long, requires = "forget")]
        delete_data: bool,
        /// Continue the readings and recordings of this agent, which was renamed, under its new name.
        #[arg(long, value_name = "OLD", requires = "into")]
        merge: Option<String>,
        /// The new name of the renamed agent.
        #[arg(long, value_name = "NEW", requires = "merge")]
        into: Option<String>,
    },
    /// Find problems that would keep this machine from running a configuration, and show how to fix them.
    Doctor {
        /// The agent's or the receiver's configuration.
        #[arg(long, value_name = "FILE", default_value = AGENT_FILE)]
        config: PathBuf,
    },
    /// Report to the services whether the clock is synchronised, because they may not query it. Run by watchpost-clock.service.
    #[command(hide = true)]
    Clock,
    /// List cameras and serial ports by the names to use in a configuration, and the modes of each camera.
    Devices {
        /// The agent's configuration; shows whether its cameras fit on their USB buses [default:
        /// /etc/watchpost/watchpost.toml, if it exists].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}
