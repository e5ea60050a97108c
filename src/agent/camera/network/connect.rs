//! Connections to network cameras, with time limits.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::Address;

/// Limit of each step: a name lookup, a connection, an answer.
pub(in crate::agent::camera) const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the camera.
///
/// # Errors
/// The reason in words.
pub(super) async fn connect(address: &Address) -> Result<TcpStream> {
    let found = timeout(STEP_TIMEOUT, lookup_host((&*address.host, address.port))).await;
    let found = found.map_err(|_| anyhow!("no name server answered; check the network"))?;
    let addresses: Vec<SocketAddr> = found.context("cannot resolve its host name")?.collect();
    if addresses.is_empty() {
        bail!("its host name has no address");
    }
    let stream = in_time(TcpStream::connect(&*addresses)).await?.map_err(describe)?;
    // Requests are small, and each waits for its answer.
    stream.set_nodelay(true).context("cannot be reached")?;
    Ok(stream)
}

/// Waits for one step.
///
/// # Errors
/// When it takes too long.
pub(super) async fn in_time<T>(step: impl Future<Output = T>) -> Result<T> {
    timeout(STEP_TIMEOUT, step).await.map_err(|_| no_answer())
}

/// Words an error of a connection.
pub(in crate::agent::camera) fn describe(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::TimedOut => no_answer(),
        ErrorKind::ConnectionRefused => anyhow!("connection refused"),
        _ => anyhow::Error::new(error).context("cannot be reached"),
    }
}

fn no_answer() -> anyhow::Error {
    anyhow!("no reply within {} s", STEP_TIMEOUT.as_secs())
}
