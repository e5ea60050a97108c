//! `watchpost agents`: lists the agents that the running receiver knows, and forgets or merges one, over its HTTP API.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::token::Tokens;
use crate::config::Web;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for the answer: a slow disk takes long to delete many recordings.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(15);

/// Limit of an answer.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// A change to an agent that is away.
#[derive(Clone, Debug)]
pub enum Change {
    /// Forget it.
    Forget {
        /// Its name.
        agent: String,
        /// Whether to delete its readings and recordings.
        with_data: bool,
    },
    /// Continue its readings and recordings under another name.
    Merge {
        /// The old name.
        agent: String,
        /// The new name.
        into: String,
    },
}

/// Makes a change through the receiver with this page, if there is one, and returns the list of agents.
///
/// # Errors
/// If the receiver does not run, or refuses the request.
pub fn run(web: &Web, change: Option<&Change>) -> Result<String> {
    let receiver = Api::new(web)?;
    match change {
        None => {}
        Some(Change::Forget { agent, with_data }) => {
            let data = if *with_data { "delete" } else { "keep" };
            receiver.request("DELETE", &format!("/api/agents/{}?data={data}", encoded(agent)), "")?;
        }
        Some(Change::Merge { agent, into }) => {
            let body = json!({ "into": into }).to_string();
            receiver.request("POST", &format!("/api/agents/{}/merge", encoded(agent)), &body)?;
        }
    }
    let answer = receiver.request("GET", "/api/agents", "")?;
    let Answer { agents } = serde_json::from_value(answer).context("the receiver has another version")?;
    Ok(list(&agents))
}

#[derive(Deserialize)]
struct Answer {
    agents: Vec<Agent>,
}

#[derive(Deserialize)]
struct Agent {
    name: String,
    state: String,
    last_heard_us: Option<i64>,
    series: bool,
    recordings: bool,
}

fn list(agents: &[Agent]) -> String {
    if agents.is_empty() {
        return "the receiver knows no agent\n".to_owned();
    }
    let width = agents.iter().map(|agent| agent.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for agent in agents {
        let heard = agent.last_heard_us.and_then(|us| Timestamp::from_microsecond(us).ok());
        let heard = heard.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
        let data = [(agent.series, "readings"), (agent.recordings, "recordings")];
        let data: Vec<_> = data.into_iter().filter_map(|(has, what)| has.then_some(what)).collect();
        let data = if data.is_empty() { "no data".to_owned() } else { data.join(", ") };
        writeln!(text, "{:width$}  {:9}  last heard {heard:23}  {data}", agent.name, agent.state)
            .expect("writing to a String cannot fail");
    }
    text
}

/// The receiver's HTTP API.
struct Api {
    address: SocketAddr,
    /// The header that proves the role; empty without tokens.
    authorization: String,
}

impl Api {
    fn new(web: &Web) -> Result<Api> {
        let tokens = Tokens::read(web)?;
        let authorization =
            tokens.map(|tokens| format!("Authorization: Bearer {}\r\n", tokens.control.word())).unwrap_or_default();
        let ip = match web.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Ok(Api { address: (ip, web.listen.port()).into(), authorization })
    }

    /// Sends a request and returns the JSON of the answer.
    fn request(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let Api { address, authorization } = self;
        let mut stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT).with_context(|| {
            format!(
                "the receiver does not answer at {address}; start it, or name its configuration with --config, \
                 because this command needs the running receiver"
            )
        })?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        // HTTP/1.0 avoids chunked bodies.
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).context("the receiver closed the connection")?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).context("the receiver gave no answer")?;
        parse(&String::from_utf8_lossy(&answer)).with_context(|| format!("the receiver at {address}"))
    }
}

/// Returns the JSON of a successful answer; the error is the receiver's message.
fn parse(answer: &str) -> Result<Value> {
    let (head, body) = answer.split_once("\r\n\r\n").context("does not speak HTTP; another program uses its port")?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    let json: Value = serde_json::from_str(body).context("is not watchpost; another program uses its port")?;
    if !status.starts_with('2') {
        bail!("refused: {}", json["error"].as_str().unwrap_or(status));
    }
    Ok(json)
}

/// The name as a part of a path.
fn encoded(name: &str) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.bytes().map(|byte| if is_safe(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
