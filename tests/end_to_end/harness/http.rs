//! HTTP requests to the receiver, including malformed ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::PATIENCE;

/// The response to a request.
#[derive(Debug)]
pub struct Answer<Body = Vec<u8>> {
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

impl<Body> Answer<Body> {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The numeric value of a header.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.header(name)?.parse().ok()
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {} {}", self.status, self.text()))
    }
}

/// Sends `request` and reads the head of the response; `None` if it is not HTTP.
fn begin(page: &str, request: &[u8]) -> Option<Answer<BufReader<TcpStream>>> {
    let mut stream = TcpStream::connect(page).expect("the page's port");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // The receiver may reject a request early and close the connection.
    let _ = stream.write_all(request);
    let mut body = BufReader::new(stream);
    let mut lines = body.by_ref().lines().map_while(Result::ok);
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let headers = lines.take_while(|line| !line.is_empty());
    let headers =
        headers.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())));
    let headers = headers.collect();
    Some(Answer { status, headers, body })
}

/// Sends `request` and reads the response until the receiver closes the connection.
pub fn raw(page: &str, request: &[u8]) -> Option<Answer> {
    let Answer { status, headers, body: mut rest } = begin(page, request)?;
    let mut body = Vec::new();
    let _ = rest.read_to_end(&mut body);
    Some(Answer { status, headers, body })
}

/// Sends a request with additional headers. HTTP/1.0 avoids chunked bodies.
#[track_caller]
pub fn ask(page: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let usual = [("Host", page), ("Content-Length", &body.len().to_string())];
    let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
    let usual = usual.into_iter().filter(|(name, _)| !is_given(name));
    let lines = usual.chain(headers.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines = lines.collect::<Vec<_>>().concat();
    let answer = raw(page, format!("{method} {path} HTTP/1.0\r\n{lines}\r\n{body}").as_bytes());
    answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
}

#[track_caller]
pub fn get(page: &str, path: &str) -> Answer {
    ask(page, "GET", path, &[], "")
}

/// The status and the JSON body of a response.
#[track_caller]
pub fn get_json(page: &str, path: &str) -> (u16, Value) {
    let answer = get(page, path);
    (answer.status, answer.json())
}

/// A response whose body is not read yet.
#[track_caller]
pub fn open(page: &str, path: &str) -> Answer<BufReader<TcpStream>> {
    let answer = begin(page, format!("GET {path} HTTP/1.0\r\nHost: {page}\r\n\r\n").as_bytes());
    answer.unwrap_or_else(|| panic!("no answer to {path}"))
}

#[track_caller]
pub fn post(page: &str, path: &str, body: &str) -> Answer {
    ask(page, "POST", path, &[("Content-Type", "application/json")], body)
}
