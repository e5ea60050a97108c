//! Reports when connections receive bytes. A connection reports once and then rests, so that a busy one does not wake the
//! link's task for each packet, and an idle one never does. The kernel drops a report if libzmq has read the bytes by then,
//! so a report may be late.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use anyhow::Result;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Connections taken at once; the rest follows.
const EVENTS_AT_ONCE: usize = 64;

/// The connections of a link, by file descriptor. The kernel forgets those that libzmq closes.
pub(super) struct Arrivals(AsyncFd<Set>);

struct Set(Epoll);

impl AsRawFd for Set {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.as_raw_fd()
    }
}

impl Arrivals {
    pub(super) fn new() -> Result<Arrivals> {
        let set = Set(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        // SAFETY: the set is closed only after the runtime has forgotten it.
        let set = unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) };
        Ok(Arrivals(set.map_err(|error| error.into_parts().1)?))
    }

    /// Waits until a connection that does not rest may have received bytes.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }

    /// Adds a connection, or ends its rest. It reports when it next has bytes that libzmq has not read yet.
    pub(super) fn watch(&self, connection: u32) {
        let Ok(socket) = RawFd::try_from(connection) else { return };
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, connection.into());
        let set = &self.0.get_ref().0;
        // SAFETY: a descriptor that libzmq closed meanwhile only makes these calls fail.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        if set.modify(socket, &mut event).is_err() {
            // Other connections and messages wake the link's task, too.
            let _ = set.add(socket, event);
        }
    }

    /// Returns the connections that received bytes. They rest now.
    pub(super) fn take(&self) -> Vec<u32> {
        let mut arrived = Vec::new();
        let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
        while let Ok(count @ 1..) = self.0.get_ref().0.wait(&mut events, EpollTimeout::ZERO) {
            arrived.extend(events[..count].iter().filter_map(|event| u32::try_from(event.data()).ok()));
        }
        arrived
    }
}
