//! Checks whether a source responds before a process is started for it. FFmpeg does not report why it cannot open a
//! source. And starting a process every few seconds for an absent camera would use more CPU than a working one.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::agent::camera::network::address::Address;
use crate::agent::camera::network::connect::{STEP_TIMEOUT, describe};
use crate::config::VideoSource;

/// Checks that a file exists, or that the other end of a stream accepts connections.
///
/// # Errors
/// The reason why it does not.
pub(super) fn check(source: &VideoSource) -> Result<()> {
    match source {
        VideoSource::File(path) if !path.exists() => bail!("no such file"),
        VideoSource::File(_) => Ok(()),
        VideoSource::Stream(address) => connect(address),
        // A property can be an address, as in `location=ADDRESS`. If that host refuses the connection, OpenCV 4.6 can
        // wait for the pipeline forever.
        VideoSource::Pipeline(pipeline) => {
            let values = pipeline.split_whitespace().filter_map(|word| word.split_once('='));
            values.map(|(_, value)| value.trim_matches('"')).try_for_each(connect)
        }
    }
}

/// Connects to an address. Addresses that do not use TCP always pass.
fn connect(address: &str) -> Result<()> {
    let Some(Address { host, port, .. }) = Address::parse(address) else { return Ok(()) };
    let deadline = Instant::now() + STEP_TIMEOUT;
    let mut connected = Err(anyhow!("its host name has no address"));
    for address in (&*host, port).to_socket_addrs().context("cannot resolve its host name")? {
        let time_left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        connected = TcpStream::connect_timeout(&address, time_left).map(drop).map_err(describe);
        if connected.is_ok() {
            break;
        }
    }
    connected
}
