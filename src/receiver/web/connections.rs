//! Accepts connections within their limits (`connection_limits.rs`) and closes slow ones.

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

use super::connection_limits::{ConnectionLimits, Permit};
use crate::receiver::log_throttle::LogThrottle;

/// How long a client may take to send a request's header, also on a kept-alive connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Buffer for a request's header and for small responses.
const BUFFER_BYTES: usize = 32 * 1024;

/// A client that accepts no data for this long is disconnected.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long responses may take to finish at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// How long to wait after a failed accept, most likely for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Accepts connections until the shutdown, then waits for the open ones.
pub(super) async fn serve(listener: TcpListener, routes: Router, shutdown: &CancellationToken) {
    let limits = ConnectionLimits::new();
    let tasks = TaskTracker::new();
    let accept = async {
        let mut failures = LogThrottle::default();
        loop {
            let reservation = limits.reserve().await;
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(permit) = reservation.assign(from.ip()) else { continue };
                    // Without it frames are sent later, but are not lost.
                    let _ = stream.set_nodelay(true);
                    let connection = Connection { stream, write_deadline: None, _permit: permit };
                    tasks.spawn(serve_connection(connection, routes.clone(), shutdown.clone()));
                }
                Err(error) => {
                    failures.log(&"page", &format_args!("cannot accept a connection: {error}; retrying"));
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection; errors concern only this client and are dropped.
async fn serve_connection(connection: Connection, routes: Router, shutdown: CancellationToken) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(BUFFER_BYTES);
    let connection = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection.with_upgrades());
    tokio::select! {
        _ = connection.as_mut() => {}
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(DRAIN_TIMEOUT, connection).await;
        }
    }
}

/// A connection, also as a WebSocket. It holds its permit until it is dropped.
struct Connection {
    stream: TcpStream,
    /// Set while the client accepts no data.
    write_deadline: Option<Pin<Box<Sleep>>>,
    _permit: Permit,
}

impl Connection {
    /// Passes on the result of a write, or an error if writes have stalled for too long.
    fn check_stalled<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.write_deadline = None;
            return result;
        }
        let deadline = self.write_deadline.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.check_stalled(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.check_stalled(result, cx)
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
