//! Checks whether a source responds before a process is started for it. FFmpeg does not report why it cannot open a
//! source. And starting a process every few seconds for an absent camera would use more CPU than a working one.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::config::VideoSource;

/// Timeout for a network camera's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that a file exists, or that the other end of a stream responds.
///
/// # Errors
/// The reason why it does not.
pub(super) fn check(source: &VideoSource) -> Result<()> {
    match source {
        VideoSource::File(path) if !path.exists() => bail!("no such file"),
        VideoSource::File(_) => Ok(()),
        VideoSource::Stream(address) => check_address(address, ANSWER_TIMEOUT),
        // A property can be an address, as in `location=ADDRESS`. If that host refuses the connection, OpenCV 4.6 can
        // wait for the pipeline forever.
        VideoSource::Pipeline(pipeline) => {
            let values = pipeline.split_whitespace().filter_map(|word| word.split_once('='));
            values.map(|(_, value)| value.trim_matches('"')).try_for_each(|value| check_address(value, ANSWER_TIMEOUT))
        }
    }
}

/// Connects to the address within `limit`; an RTSP server must also answer. Addresses that do not use TCP always pass.
///
/// # Errors
/// When it cannot connect or gets no answer.
fn check_address(address: &str, limit: Duration) -> Result<()> {
    let Some((host, port)) = host_and_port(address) else { return Ok(()) };
    let deadline = Instant::now() + limit;
    let time_left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = Err(anyhow!("its host name has no address"));
    for address_of_host in (host, port).to_socket_addrs().context("cannot resolve its host name")? {
        stream = TcpStream::connect_timeout(&address_of_host, time_left()).map_err(|error| describe(error, limit));
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    let Some((user_and_host, path)) = address.strip_prefix("rtsp://").map(split_path) else { return Ok(()) };
    let host = user_and_host.rsplit_once('@').map_or(user_and_host, |(_, host)| host);
    // FFmpeg's first request (RFC 2326, 10.1), which needs no password. Any answer will do, even a closed connection.
    let request = format!("OPTIONS rtsp://{host}{path} RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    stream.set_read_timeout(Some(time_left())).context("cannot be reached")?;
    match stream.write_all(request.as_bytes()).and_then(|()| stream.read(&mut [0; 16])) {
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => Err(no_answer(limit)),
        _ => Ok(()),
    }
}

fn describe(error: std::io::Error, limit: Duration) -> anyhow::Error {
    match error.kind() {
        ErrorKind::TimedOut => no_answer(limit),
        ErrorKind::ConnectionRefused => anyhow!("connection refused"),
        _ => anyhow::Error::new(error).context("cannot be reached"),
    }
}

/// The error of an address that did not answer within `limit`.
fn no_answer(limit: Duration) -> anyhow::Error {
    anyhow!("no reply within {} s", limit.as_secs())
}

fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = address.split_once("://")?;
    let default_port = match scheme {
        "rtsp" => 554,
        "http" => 80,
        "https" => 443,
        "rtmp" => 1935,
        _ => return None,
    };
    let host = split_path(rest).0;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    // An IPv6 address is in brackets because it contains colons.
    let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    Some((host, port.map_or(Some(default_port), |port| port.parse().ok())?))
}

/// Splits an address without its scheme into the part before the path, and the path.
fn split_path(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn address_has_a_host_and_a_port() {
        assert_eq!(host_and_port("rtsp://cam/live?x=1"), Some(("cam", 554)));
        assert_eq!(host_and_port("rtsp://me:a@b:c@10.0.0.9:8554/live"), Some(("10.0.0.9", 8554)));
        assert_eq!(host_and_port("http://[fe80::1]:81?action=stream"), Some(("fe80::1", 81)));
        assert_eq!(host_and_port("https://[::1]/"), Some(("::1", 443)));
        assert_eq!(host_and_port("udp://239.0.0.1:5000"), None);
        assert_eq!(host_and_port("http://cam:99999/"), None);
    }
}
