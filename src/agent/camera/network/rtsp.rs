//! Asks an RTSP camera for its stream (RFC 2326, OPTIONS and DESCRIBE), without starting it. FFmpeg does not say why it cannot
//! open one.

use anyhow::{Result, bail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::address::Address;
use super::answer::check_status;
use super::connect::{connect, in_time};
use super::login::Login;
use super::sdp;

/// The largest answer.
const MAX_ANSWER_BYTES: u64 = 128 * 1024;

/// How much of the camera's words for a code a cause shows.
const MAX_REASON_CHARS: usize = 80;

/// How many challenges may follow each other until an answer.
const MAX_REQUESTS: u32 = 4;

/// An answer of the camera.
#[derive(Debug, Default)]
struct Answer {
    code: u16,
    reason: String,
    challenges: Vec<String>,
    body: String,
}

/// Asks for the stream. An answer that is no answer to this question passes, because FFmpeg may understand it.
///
/// # Errors
/// The reason in words why the camera has no pictures.
pub(super) async fn ask(address: &Address) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    // FFmpeg's first request, which needs no password. Some cameras expect it.
    if connection.request("OPTIONS", "").await?.is_none() {
        return Ok(());
    }
    for _ in 0..MAX_REQUESTS {
        let Some(answer) = connection.request("DESCRIBE", "Accept: application/sdp\r\n").await? else { return Ok(()) };
        match answer.code {
            401 => connection.login.challenge(answer.challenges.iter().map(String::as_str))?,
            // FFmpeg follows them.
            300..=399 => return Ok(()),
            code => {
                check_status(code, &answer.reason)?;
                return Ok(sdp::check(&answer.body)?);
            }
        }
    }
    bail!("asks for a login again and again")
}

struct Connection {
    stream: BufReader<TcpStream>,
    url: String,
    login: Login,
    number: u32,
}

impl Connection {
    async fn open(address: &Address) -> Result<Connection> {
        let stream = BufReader::new(connect(address).await?);
        Ok(Connection { stream, url: address.public(), login: Login::new(address.login.clone()), number: 0 })
    }

    /// Sends a request; returns the answer, or nothing if it cannot be understood.
    async fn request(&mut self, method: &str, headers: &str) -> Result<Option<Answer>> {
        self.number += 1;
        let (url, number) = (&self.url, self.number);
        let login = self.login.authorization(method, url);
        let login = login.map(|login| format!("Authorization: {login}\r\n")).unwrap_or_default();
        let request =
            format!("{method} {url} RTSP/1.0\r\nCSeq: {number}\r\nUser-Agent: watchpost\r\n{headers}{login}\r\n");
        let exchange = async {
            self.stream.write_all(request.as_bytes()).await.ok()?;
            read_answer(&mut (&mut self.stream).take(MAX_ANSWER_BYTES)).await
        };
        in_time(exchange).await
    }
}

/// The camera's words for a code, as far as a cause may show them.
fn words(reason: &str) -> String {
    reason.chars().filter(|char| !char.is_control()).take(MAX_REASON_CHARS).collect()
}

async fn read_answer(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Answer> {
    let mut answer = Answer::default();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let (code, reason) = line.strip_prefix("RTSP/1.")?.get(2..)?.trim().split_once(' ').unwrap_or_default();
    (answer.code, answer.reason) = (code.parse().ok()?, words(reason));
    let mut length = 0;
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "www-authenticate" => answer.challenges.push(value.trim().to_owned()),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).await.ok()?;
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Option<(u16, usize, String)> {
        let answer = read_answer(&mut text.as_bytes()).await?;
        Some((answer.code, answer.challenges.len(), answer.body))
    }

    #[test]
    fn words_of_a_code_are_short_and_printable() {
        assert_eq!(words("Not\u{7} Found"), "Not Found");
        assert_eq!(words(&"x".repeat(100_000)).len(), MAX_REASON_CHARS);
    }

    #[tokio::test]
    async fn answers_are_read_with_their_bodies() {
        let text = "RTSP/1.0 200 OK\r\nCSeq: 2\r\ncontent-length:3\r\n\r\nv=0rest";
        assert_eq!(read(text).await, Some((200, 0, "v=0".to_owned())));
        let text = "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Basic\nWWW-Authenticate: Digest\n\n";
        assert_eq!(read(text).await, Some((401, 2, String::new())));
        for text in ["", "HTTP/1.0 200 OK\r\n\r\n", "RTSP/1.0 200 OK\r\n", "RTSP/1.0\r\n\r\n", "RTSP/1.0 é x\r\n\r\n"]
        {
            assert_eq!(read(text).await, None, "{text:?}");
        }
    }
}
