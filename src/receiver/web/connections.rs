//! Connections, each with its place (`places.rs`), which none keeps by being slow.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::{Place, Places};
use crate::receiver::log_throttle::LogThrottle;

/// A request's head is there within this time, also the next one on a connection that stays.
const HEAD: Duration = Duration::from_secs(10);

/// Bytes of a head, and of small answers that wait to be sent.
const BUFFER: usize = 32 * 1024;

/// Whoever takes nothing of an answer for so long does not get the rest.
const STALLED: Duration = Duration::from_secs(30);

/// At the end, so long may an answer go on that had begun.
const LAST: Duration = Duration::from_millis(200);

/// The wait after a connection that could not be accepted: most likely descriptors ran out.
const AGAIN: Duration = Duration::from_millis(200);

/// Accepts connections until the shutdown, and waits for the last ones.
pub(super) async fn serve(listener: TcpListener, routes: Router, shutdown: &CancellationToken) {
    let places = Places::new();
    let conversations = TaskTracker::new();
    let accept = async {
        let mut trouble = LogThrottle::default();
        loop {
            let free = places.free().await;
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(place) = free.take(from.ip()) else { continue };
                    // Frames go out at once; without this they are only later.
                    let _ = stream.set_nodelay(true);
                    let connection = Connection { stream, stalled: None, _place: place };
                    conversations.spawn(converse(connection, routes.clone(), shutdown.clone()));
                }
                Err(error) => {
                    trouble.log(&"page", &format_args!("cannot take a connection ({error})"));
                    sleep(AGAIN).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
    conversations.close();
    conversations.wait().await;
}

/// Answers on one connection; how it ends is nobody's business but its viewer's.
async fn converse(connection: Connection, routes: Router, shutdown: CancellationToken) {
    let mut words = http1::Builder::new();
    words.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(BUFFER);
    let conversation = words.serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    let mut conversation = std::pin::pin!(conversation.with_upgrades());
    tokio::select! {
        _ = conversation.as_mut() => {}
        () = shutdown.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            let _ = timeout(LAST, conversation).await;
        }
    }
}

/// A connection, which has its place among them until it is dropped, as a WebSocket, too.
struct Connection {
    stream: TcpStream,
    /// Since nothing more is taken.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl Connection {
    /// What came of a try to send, or an error once none came to anything for too long.
    fn unless_stalled<T>(&mut self, came: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if came.is_ready() {
            self.stalled = None;
            return came;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stalled(came, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.unless_stalled(came, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
