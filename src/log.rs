//! The log: lines on standard error for a person, or for journald.

use std::io::{self, IsTerminal as _, Write};

use tracing::Level;
use watchpost::os_error::without_numbers;

/// Starts the log. journald adds its own time to each line.
pub fn start(verbose: bool) {
    let log = tracing_subscriber::fmt()
        .with_max_level(if verbose { Level::DEBUG } else { Level::INFO })
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| Lines);
    if std::env::var_os("JOURNAL_STREAM").is_some() { log.without_time().init() } else { log.init() }
}

/// Writes whole lines, without the numbers of system errors.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match str::from_utf8(line) {
            Ok(text) => io::stderr().write_all(without_numbers(text).as_bytes())?,
            Err(_) => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
