//! What the receiver has at an address of its page's port.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::PATIENCE;

/// An answer whose body is still to be read.
pub struct Fetched {
    pub status: u16,
    /// In lower case, a line each.
    pub headers: String,
    pub body: BufReader<TcpStream>,
}

/// Asks as programs did that know no chunks, so that the body is as it comes.
#[track_caller]
pub fn fetch(page: &str, path: &str) -> Fetched {
    let mut stream = TcpStream::connect(page).expect("the page's port");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {page}\r\n\r\n").as_bytes()).expect("it listens");
    let mut body = BufReader::new(stream);
    let mut lines = body.by_ref().lines().map(|line| line.expect("an answer"));
    let status = lines.next().unwrap_or_else(|| panic!("no answer to {path}"));
    let status = status.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    Fetched { status, headers: headers.join("\n"), body }
}

impl Fetched {
    pub fn text(mut self) -> String {
        let mut text = String::new();
        self.body.read_to_string(&mut text).expect("text");
        text
    }
}

/// The same, of what is JSON, with its status.
#[track_caller]
pub fn fetch_json(page: &str, path: &str) -> (u16, Value) {
    let fetched = fetch(page, path);
    let (status, text) = (fetched.status, fetched.text());
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {status} {text}, of {path}")))
}
