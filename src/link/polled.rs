//! A libzmq socket that tokio can wait for.

use std::os::fd::RawFd;

use anyhow::Result;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A socket, and the descriptor through which libzmq tells that something changed: on its edges only, so that after each
/// wake-up the socket has to be used until it has nothing more.
pub(super) struct Polled {
    // Dropped in this order: out of the poll while the descriptor is open.
    changes: AsyncFd<RawFd>,
    pub(super) socket: zmq::Socket,
}

impl Polled {
    pub(super) fn new(socket: zmq::Socket) -> Result<Polled> {
        // SAFETY: the descriptor is the socket's for as long as that lives, and `changes` is dropped before it.
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
