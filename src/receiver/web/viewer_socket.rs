//! A viewer's WebSocket: what it was sent, and what it confirmed.
//!
//! A ping follows each text message, and the next text is sent when its pong has arrived. So texts never queue up in front
//! of frames, and a viewer that reads nothing is noticed.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Error;
use axum::extract::ws::{Message as Frame, WebSocket};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::sent_frames::SentFrames;

/// A viewer from which nothing arrives for this long, not even a pong, is disconnected.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait at shutdown for a viewer that accepts no data.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

pub(super) struct ViewerSocket {
    socket: WebSocket,
    /// The frames that were sent and confirmed.
    pub(super) frames: SentFrames,
    heard: Instant,
    awaits_pong: bool,
}

/// What happened first.
enum Event {
    Ready,
    Received(Option<Result<Frame, Error>>),
}

impl ViewerSocket {
    pub(super) fn new(socket: WebSocket) -> ViewerSocket {
        ViewerSocket { socket, frames: SentFrames::default(), heard: Instant::now(), awaits_pong: false }
    }

    /// Whether the viewer has read the last text.
    pub(super) fn takes_text(&self) -> bool {
        !self.awaits_pong
    }

    pub(super) async fn send_text(&mut self, text: String) -> Result<()> {
        self.awaits_pong = true;
        self.send([Frame::Text(text.into()), Frame::Ping(Bytes::new())]).await
    }

    pub(super) async fn send_frame(&mut self, message: Bytes) -> Result<()> {
        self.send([Frame::Binary(message)]).await
    }

    /// Waits for a message and handles it. Cancel-safe.
    ///
    /// # Errors
    /// When the viewer has left, or was silent for too long.
    pub(super) async fn receive(&mut self) -> Result<()> {
        let message = timeout_at(self.heard + SILENCE_TIMEOUT, self.socket.recv()).await;
        self.handle(message.context("silent viewer")?)
    }

    /// Closes the WebSocket.
    pub(super) async fn close(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, self.socket.send(Frame::Close(None))).await;
    }

    async fn send(&mut self, messages: impl IntoIterator<Item = Frame>) -> Result<()> {
        for message in messages {
            self.until(SinkExt::poll_ready_unpin).await?;
            self.socket.start_send_unpin(message)?;
        }
        self.until(SinkExt::poll_flush_unpin).await
    }

    /// Waits until `poll` is ready. Handles messages that arrive meanwhile, because they show that a viewer still reads,
    /// although slowly.
    async fn until(
        &mut self,
        mut poll: impl FnMut(&mut WebSocket, &mut Context<'_>) -> Poll<Result<(), Error>>,
    ) -> Result<()> {
        loop {
            let event = poll_fn(|cx| match poll(&mut self.socket, cx) {
                Poll::Ready(result) => Poll::Ready(result.map(|()| Event::Ready)),
                Poll::Pending => self.socket.poll_next_unpin(cx).map(|message| Ok(Event::Received(message))),
            });
            match timeout_at(self.heard + SILENCE_TIMEOUT, event).await.context("silent viewer")?? {
                Event::Ready => return Ok(()),
                Event::Received(message) => self.handle(message)?,
            }
        }
    }

    fn handle(&mut self, message: Option<Result<Frame, Error>>) -> Result<()> {
        match message.context("left")?? {
            Frame::Text(text) => self.frames.acknowledge(&text),
            Frame::Pong(_) => self.awaits_pong = false,
            Frame::Close(_) => bail!("left"),
            Frame::Binary(_) | Frame::Ping(_) => {}
        }
        self.heard = Instant::now();
        Ok(())
    }
}
