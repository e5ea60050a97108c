//! Writes watchpost's man pages and shell completions into a directory, generated from its command-line definition.

#[path = "../../../src/cli.rs"]
#[allow(dead_code, reason = "the manual needs only the definitions")]
mod cli;

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).expect("the directory to write into"));
    std::fs::create_dir_all(&dir)?;
    // Man pages for the help subcommands would contain nothing new.
    let mut command = cli::Cli::command().disable_help_subcommand(true);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "watchpost", &dir)?;
    }
    clap_mangen::generate_to(command, &dir)
}
