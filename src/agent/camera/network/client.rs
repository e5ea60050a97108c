//! Requests to an HTTP camera: over one connection if possible, with user and password, and never to another host.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HOST, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_util::either::Either;

use super::address::{Address, Scheme};
use super::connect::{connect, in_time};
use super::login::Login;
use super::tls;
use crate::agent::camera::refusal::Refusal;
use crate::config::without_passwords;

/// How many requests may follow each other until an answer: challenges and redirects.
const MAX_REQUESTS: u32 = 6;

/// The largest head of an answer, and the most that is read ahead of its body.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// How much of a redirect's target a cause shows.
const MAX_LOCATION_CHARS: usize = 200;

pub(super) struct Client {
    pub(super) address: Address,
    /// File with the camera's certificate, if its table names one.
    certificate: Option<PathBuf>,
    login: Login,
    /// The connection, while the camera keeps it open.
    connection: Option<SendRequest<String>>,
}

impl Client {
    pub(super) fn new(address: Address, certificate: Option<PathBuf>) -> Client {
        let login = Login::new(address.login.clone());
        Client { address, certificate, login, connection: None }
    }

    /// Requests the address. Answers challenges and follows redirects on the same host.
    ///
    /// # Errors
    /// The reason in words.
    pub(super) async fn get(&mut self) -> Result<Response<Incoming>> {
        for _ in 0..MAX_REQUESTS {
            let response = self.request().await?;
            match response.status() {
                StatusCode::UNAUTHORIZED => {
                    let challenges = response.headers().get_all(WWW_AUTHENTICATE).into_iter();
                    self.login.challenge(challenges.filter_map(|value| value.to_str().ok()))?;
                }
                status if status.is_redirection() => self.redirect(&response)?,
                _ => {
                    self.login.accepted();
                    return Ok(response);
                }
            }
            discard(response.into_body()).await;
        }
        bail!(Refusal::of("redirects too often"))
    }

    fn redirect(&mut self, response: &Response<Incoming>) -> Result<()> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let refusal = || {
            let location: String = without_passwords(location).chars().take(MAX_LOCATION_CHARS).collect();
            Refusal::of(format!("redirects to another host or scheme, {location:?}; write that address if it is right"))
        };
        self.address = self.address.redirected(location).ok_or_else(refusal)?;
        Ok(())
    }

    /// Sends one request and waits for the head of the answer.
    async fn request(&mut self) -> Result<Response<Incoming>> {
        // The camera may close the connection while the request is on its way, or not have sent its last answer completely.
        if let Some(mut connection) = self.connection.take()
            && let Ok(Ok(())) = in_time(connection.ready()).await
            && let Ok(Ok(response)) = in_time(connection.send_request(self.head()?)).await
        {
            self.connection = Some(connection);
            return Ok(response);
        }
        let mut connection = self.open().await?;
        let response = in_time(connection.send_request(self.head()?)).await?.map_err(describe)?;
        self.connection = Some(connection);
        Ok(response)
    }

    fn head(&mut self) -> Result<Request<String>> {
        let mut request = Request::get(&self.address.target)
            .header(HOST, self.address.authority())
            .header(USER_AGENT, concat!("watchpost/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .header(CACHE_CONTROL, "no-cache");
        if let Some(authorization) = self.login.authorization("GET", &self.address.target) {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(String::new()).context("is not a valid address")
    }

    async fn open(&self) -> Result<SendRequest<String>> {
        let stream = connect(&self.address).await?;
        let stream = match self.address.scheme {
            Scheme::Https => {
                Either::Right(tls::encrypt(stream, &self.address.host, self.certificate.as_deref()).await?)
            }
            _ => Either::Left(stream),
        };
        let mut builder = http1::Builder::new();
        // Cameras write such heads, and other programs accept them.
        builder.allow_spaces_after_header_name_in_responses(true);
        builder.allow_obsolete_multiline_headers_in_responses(true);
        builder.ignore_invalid_headers_in_responses(true);
        builder.max_buf_size(MAX_BUFFER_BYTES);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(describe)?;
        // Ends with the last answer. Its errors reach the request or the answer.
        tokio::spawn(async {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Reads what is left of an answer, as far as it is short, so that the next request can use its connection.
async fn discard(mut body: Incoming) {
    let read = async {
        let mut length = 0;
        while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
            && length <= MAX_BUFFER_BYTES
        {
            length += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Without an end in time, the next request opens a new connection.
    let _ = in_time(read).await;
}

/// The camera's answer is not HTTP.
#[derive(Debug, thiserror::Error)]
#[error("does not answer in HTTP")]
pub(super) struct NotHttp;

fn describe(error: hyper::Error) -> anyhow::Error {
    if error.is_parse() {
        return NotHttp.into();
    }
    if error.is_incomplete_message() || error.is_canceled() {
        return anyhow!("closes the connection without an answer");
    }
    anyhow::Error::new(error).context("cannot be reached")
}
