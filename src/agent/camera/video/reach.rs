//! Whether a film is there at all. FFmpeg does not say why it opened nothing, and to start a process and its libraries every
//! few seconds for a camera that is switched off would cost more than a camera that works.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::config::VideoSource;

/// A network camera is there within this time, or is not.
const ANSWER: Duration = Duration::from_secs(5);

/// Looks for a file, and for the other end of a stream.
///
/// # Errors
/// What is there instead.
pub(super) fn is_there(film: &VideoSource) -> Result<()> {
    match film {
        VideoSource::File(path) if !path.exists() => bail!("no such file"),
        VideoSource::File(_) => Ok(()),
        VideoSource::Stream(address) => answers(address, ANSWER),
        // `location=ADDRESS` of a source in it: one that refuses can make OpenCV 4.6 wait for the pipeline for ever.
        VideoSource::Pipeline(pipeline) => {
            let values = pipeline.split_whitespace().filter_map(|word| word.split_once('='));
            values.map(|(_, value)| value.trim_matches('"')).try_for_each(|value| answers(value, ANSWER))
        }
    }
}

/// Connects to the address, and has RTSP answer, within `limit`. What is no TCP is taken as it is.
///
/// # Errors
/// What came instead of a connection, and that nothing came over it.
fn answers(address: &str, limit: Duration) -> Result<()> {
    let Some((host, port)) = host_and_port(address) else { return Ok(()) };
    let end = Instant::now() + limit;
    let left = || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut stream = Err(anyhow!("its name has no address"));
    for place in (host, port).to_socket_addrs().context("cannot be found")? {
        stream = TcpStream::connect_timeout(&place, left()).map_err(|error| in_words(error, limit));
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    let Some((user_and_host, path)) = address.strip_prefix("rtsp://").map(split_path) else { return Ok(()) };
    let host = user_and_host.rsplit_once('@').map_or(user_and_host, |(_, host)| host);
    // What FFmpeg asks first (RFC 2326, 10.1), and for no password. Any answer is one, a closed connection too.
    let question = format!("OPTIONS rtsp://{host}{path} RTSP/1.0\r\nCSeq: 1\r\n\r\n");
    stream.set_read_timeout(Some(left())).context("cannot be reached")?;
    match stream.write_all(question.as_bytes()).and_then(|()| stream.read(&mut [0; 16])) {
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => Err(silent(limit)),
        _ => Ok(()),
    }
}

fn in_words(error: std::io::Error, limit: Duration) -> anyhow::Error {
    match error.kind() {
        ErrorKind::TimedOut => silent(limit),
        ErrorKind::ConnectionRefused => anyhow!("refuses the connection"),
        _ => anyhow::Error::new(error).context("cannot be reached"),
    }
}

/// What an address is that says nothing for so long.
fn silent(limit: Duration) -> anyhow::Error {
    anyhow!("gave no answer for {} s", limit.as_secs())
}

fn host_and_port(address: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = address.split_once("://")?;
    let usual = match scheme {
        "rtsp" => 554,
        "http" => 80,
        "https" => 443,
        "rtmp" => 1935,
        _ => return None,
    };
    let host = split_path(rest).0;
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    // An IPv6 address stands in brackets, because it has colons of its own.
    let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port))),
    };
    Some((host, port.map_or(Some(usual), |port| port.parse().ok())?))
}

/// What stands before the path, and the path.
fn split_path(rest: &str) -> (&str, &str) {
    rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn host_and_port_are_read_from_an_address() {
        assert_eq!(host_and_port("rtsp://cam/live?x=1"), Some(("cam", 554)));
        assert_eq!(host_and_port("rtsp://me:a@b:c@10.0.0.9:8554/live"), Some(("10.0.0.9", 8554)));
        assert_eq!(host_and_port("http://[fe80::1]:81?action=stream"), Some(("fe80::1", 81)));
        assert_eq!(host_and_port("https://[::1]/"), Some(("::1", 443)));
        assert_eq!(host_and_port("udp://239.0.0.1:5000"), None);
        assert_eq!(host_and_port("http://cam:99999/"), None);
    }
}
