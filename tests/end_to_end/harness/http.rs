//! Requests to the receiver's page, as any bytes at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::PATIENCE;

/// What came for a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case, each with its value.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// Sends these bytes and gives what comes until the other side closes; none if that is no answer.
pub fn raw(page: &str, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(page).expect("the page's port");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // Whoever is refused early may find the connection closed.
    let _ = stream.write_all(request);
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came);
    let end = came.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&came[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(Answer { status, headers, body: came[end + 4..].to_vec() })
}

/// A request with these headers besides those that each has.
#[track_caller]
pub fn ask(page: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let usual = [("Host", page), ("Connection", "close"), ("Content-Length", &body.len().to_string())];
    let is_said = |name: &str| headers.iter().any(|(said, _)| *said == name);
    let usual = usual.into_iter().filter(|(name, _)| !is_said(name));
    let lines = usual.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines = lines.collect::<Vec<_>>().concat();
    let answer = raw(page, format!("{method} {path} HTTP/1.1\r\n{lines}\r\n{body}").as_bytes());
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

#[track_caller]
pub fn get(page: &str, path: &str) -> Answer {
    ask(page, "GET", path, &[], "")
}

#[track_caller]
pub fn post(page: &str, path: &str, body: &str) -> Answer {
    ask(page, "POST", path, &[("Content-Type", "application/json")], body)
}
