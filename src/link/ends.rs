//! What the kernel knows about a connection of libzmq.
//!
//! libzmq may have closed a connection a moment ago, and its descriptor may already be another file. [`Ends`] tells
//! whether it is still the same connection.

use std::net::IpAddr;
use std::os::fd::{BorrowedFd, RawFd};

use nix::libc;
use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, getsockname, setsockopt, shutdown};

nix::ioctl_read_bad!(unread_bytes, libc::FIONREAD, libc::c_int);

/// Both addresses of a connection. Connections over Unix sockets of the same link have the same ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ends {
    local: SockaddrStorage,
    peer: SockaddrStorage,
}

impl Ends {
    /// Returns the ends of a connection, by its descriptor; `None` if it is closed.
    pub(super) fn of(connection: u32) -> Option<Ends> {
        let socket = RawFd::try_from(connection).ok()?;
        Some(Ends { local: getsockname(socket).ok()?, peer: getpeername(socket).ok()? })
    }

    /// Returns the peer's address; `None` over a Unix socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let v4 = self.peer.as_sockaddr_in().map(|address| address.ip().into());
        v4.or_else(|| self.peer.as_sockaddr_in6().map(|address| address.ip().to_canonical()))
    }

    /// Ends the connection if the descriptor still belongs to it. libzmq then closes it, which resets it: otherwise a peer
    /// with a full window would wait for minutes before it learned of the end.
    pub(super) fn shut_down(&self, connection: u32) {
        if Ends::of(connection).as_ref() == Some(self)
            && let Ok(socket) = RawFd::try_from(connection)
        {
            // SAFETY: only used here, where the descriptor is open. Should libzmq close it right now, both calls fail.
            let borrowed = unsafe { BorrowedFd::borrow_raw(socket) };
            let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
            // An error means that the peer ended it first.
            let _ = setsockopt(&borrowed, Linger, &at_once);
            let _ = shutdown(socket, Shutdown::Both);
        }
    }
}

/// Returns how many bytes libzmq has read from a connection; `None` if it is closed or not over TCP.
pub(super) fn bytes_read(connection: u32) -> Option<u64> {
    let socket = RawFd::try_from(connection).ok()?;
    // SAFETY: the struct consists of numbers, for which zero is valid.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the kernel writes at most `length` bytes to `info`.
    let failed =
        unsafe { libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length) };
    if failed != 0 {
        return None;
    }
    let mut unread = 0;
    // SAFETY: the kernel writes one int.
    unsafe { unread_bytes(socket, &raw mut unread) }.ok()?;
    Some(info.tcpi_bytes_received.saturating_sub(u64::try_from(unread).ok()?))
}
