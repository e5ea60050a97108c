//! Tasks that read JPEGs from an HTTP camera, and the place where the newest waits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONTENT_TYPE;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::{Content, check_status, content};
use super::client::Client;
use super::connect::in_time;
use super::multipart::{Multipart, TooLarge};
use crate::clock::Stamp;
use crate::config::Fps;
use crate::frame::MAX_JPEG_BYTES;

/// A JPEG, when it was complete, and its number.
#[derive(Clone, Default)]
pub(super) struct Arrived {
    pub(super) jpeg: Bytes,
    pub(super) captured: Option<Stamp>,
    pub(super) number: u64,
}

/// The newest JPEG; each one replaces the one before.
pub(super) struct Newest(pub(super) watch::Sender<Arrived>);

impl Newest {
    fn put(&self, jpeg: Bytes) {
        self.0.send_modify(|newest| {
            *newest = Arrived { jpeg, captured: Some(Stamp::now()), number: newest.number + 1 };
        });
    }
}

/// The body of an answer.
pub(super) struct Body {
    incoming: Incoming,
    /// Bytes that were read to find out what they are.
    first: Bytes,
}

impl Body {
    pub(super) fn new(incoming: Incoming) -> Body {
        Body { incoming, first: Bytes::new() }
    }

    /// Reads some bytes without taking them.
    pub(super) async fn peek(&mut self) -> Result<&[u8]> {
        if let Some(first) = in_time(self.next()).await?? {
            self.first = first;
        }
        Ok(&self.first)
    }

    /// Whether the camera states how long it is.
    pub(super) fn has_length(&self) -> bool {
        self.incoming.size_hint().exact().is_some()
    }

    /// Reads it as one picture.
    async fn whole(&mut self) -> Result<Bytes> {
        let length = self.incoming.size_hint().lower();
        if length > MAX_JPEG_BYTES as u64 {
            return Err(TooLarge.into());
        }
        let mut whole = BytesMut::with_capacity(length as usize);
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > MAX_JPEG_BYTES {
                return Err(TooLarge.into());
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// The next bytes; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.first.is_empty() {
            return Ok(Some(std::mem::take(&mut self.first)));
        }
        loop {
            match poll_fn(|context| Pin::new(&mut self.incoming).poll_frame(context)).await {
                None => return Ok(None),
                // However a camera closes the connection, its stream has ended.
                Some(Err(_)) => return Err(ended()),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

fn ended() -> anyhow::Error {
    anyhow!("ended")
}

/// Reads a Motion JPEG stream until it ends; returns why.
pub(super) async fn read_stream(mut body: Body, boundary: String, newest: Newest) -> anyhow::Error {
    let mut parser = Multipart::new(&boundary);
    let read = async {
        while let Some(bytes) = body.next().await? {
            parser.push(&bytes);
            while let Some(jpeg) = parser.next()? {
                newest.put(jpeg);
            }
        }
        Err(ended())
    };
    failure(read).await
}

/// Requests one JPEG after the other at the rate in `fps` until that fails; returns why. `body` has the first one.
pub(super) async fn read_pictures(
    mut client: Client,
    mut body: Body,
    mut fps: watch::Receiver<Fps>,
    newest: Newest,
) -> anyhow::Error {
    let read = async {
        let mut last = Instant::now();
        loop {
            newest.put(in_time(body.whole()).await??);
            last = wait_until_due(last, &mut fps).await;
            let response = client.get().await?;
            let (Content::Picture | Content::Unknown) = content_of(&response, &client)? else {
                bail!("no longer answers with a JPEG");
            };
            body = Body::new(response.into_body());
        }
    };
    failure(read).await
}

/// What an answer contains.
///
/// # Errors
/// Why it has no pictures.
pub(super) fn content_of(response: &Response<Incoming>, client: &Client) -> Result<Content> {
    let status = response.status();
    check_status(status.as_u16(), status.canonical_reason().unwrap_or_default())?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(content(content_type, client.address.path())?)
}

/// Waits until the next request is due, one interval after the last. Requests that are late are not made up for.
async fn wait_until_due(last: Instant, fps: &mut watch::Receiver<Fps>) -> Instant {
    loop {
        let due = last + Duration::from_secs_f64(1.0 / fps.borrow_and_update().get());
        tokio::select! {
            () = sleep_until(due) => return due.max(Instant::now()),
            Ok(()) = fps.changed() => {}
        }
    }
}

async fn failure(read: impl Future<Output = Result<()>>) -> anyhow::Error {
    read.await.err().unwrap_or_else(ended)
}
