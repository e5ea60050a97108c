//! A libzmq socket for tokio, and the parts that it receives.

use std::os::fd::RawFd;

use anyhow::Result;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket with the file descriptor that signals its changes. The signal is edge-triggered: after each wake-up, use the
/// socket until it has nothing more.
pub(super) struct Polled {
    // Dropped first: leave the poll while the descriptor is still open.
    changes: AsyncFd<RawFd>,
    pub(super) socket: zmq::Socket,
}

impl Polled {
    pub(super) fn new(socket: zmq::Socket) -> Result<Polled> {
        // SAFETY: the descriptor is valid while the socket lives, and `changes` is dropped before the socket.
        let changes = unsafe { AsyncFd::register_with_interest(socket.get_fd()?, Interest::READABLE) }
            .map_err(|error| anyhow::Error::new(error.into_parts().1))?;
        Ok(Polled { changes, socket })
    }

    /// Waits until something may have changed.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.changes.readable().await?.clear_ready();
        Ok(())
    }
}

/// One part in libzmq's memory, shared instead of copied.
pub(super) struct Received(pub(super) zmq::Message);

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Repeats a call that a signal interrupted.
pub(super) fn retried<T>(mut call: impl FnMut() -> zmq::Result<T>) -> zmq::Result<T> {
    loop {
        match call() {
            Err(zmq::Error::EINTR) => {}
            result => return result,
        }
    }
}
