//! Options of a link's socket: queues, timeouts and limits.

use std::ffi::c_int;

use anyhow::{Context as _, Result};

use super::{MAX_PART_BYTES, Pattern};
use crate::config::Address;

/// Messages queued for a peer. A queued frame grows old, so there are few; with fewer, libzmq would wake the link's task
/// for each message.
const SEND_QUEUE: i32 = 8;

/// The same for sockets that drop messages when the queue is full: room for one burst of all cameras and the readings.
const DROPPING_SEND_QUEUE: i32 = 32;
const RECEIVE_QUEUE: i32 = 16;

/// Size of the kernel's send buffer. By default it grows to megabytes, in which frames grow old on their way to a peer that
/// does not acknowledge them. This size carries 50 Mbit/s to a peer with a round trip of 20 ms.
const SEND_BUFFER_BYTES: i32 = 128 * 1024;

/// TCP keepalive: after a second of silence a probe each second, and at most three without an answer. A peer is also given
/// up when it has not acknowledged sent data for `TCP_TIMEOUT_MS`. The kernel does this instead of ZeroMQ's heartbeats:
/// with those libzmq aborts the whole process when it closes a connection whose input is stopped, for example that of a
/// second peer on a PAIR socket (seen in 4.3.4; libzmq issues 3937, 4364 and 4767).
const KEEPALIVE_INTERVAL_S: i32 = 1;
const KEEPALIVE_PROBES: i32 = 3;
const TCP_TIMEOUT_MS: c_int = 3_000;

/// Delays between attempts to connect: the first, and the longest.
const RECONNECT_MS: i32 = 100;
const MAX_RECONNECT_MS: i32 = 2_000;

/// How long a closed socket still sends queued messages.
const LINGER_MS: i32 = 300;

/// Limit of one attempt to connect. By default the kernel retries more and more rarely during an outage, and would notice
/// its end late.
const CONNECT_TIMEOUT_MS: i32 = 2_000;

/// Limit of a handshake. Until then a silent peer occupies a descriptor and up to 14 KiB.
pub(super) const HANDSHAKE_TIMEOUT_MS: i32 = 3_000;

/// Connections that wait to be accepted. The kernel drops further ones, and then a good peer waits for a second.
const ACCEPT_BACKLOG: i32 = 1024;

/// Sets all options that do not depend on keys.
pub(super) fn set_all(socket: &mut zmq::Socket, pattern: Pattern, address: &Address) -> Result<()> {
    let drops = matches!(pattern, Pattern::Pub | Pattern::Router);
    socket.set_sndhwm(if drops { DROPPING_SEND_QUEUE } else { SEND_QUEUE })?;
    socket.set_rcvhwm(RECEIVE_QUEUE)?;
    socket.set_sndbuf(SEND_BUFFER_BYTES)?;
    // Do not queue messages for an absent peer.
    socket.set_immediate(true)?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(KEEPALIVE_INTERVAL_S)?;
    socket.set_tcp_keepalive_intvl(KEEPALIVE_INTERVAL_S)?;
    socket.set_tcp_keepalive_cnt(KEEPALIVE_PROBES)?;
    set_option(socket, zmq_sys::ZMQ_TCP_MAXRT as c_int, TCP_TIMEOUT_MS).context("libzmq refuses ZMQ_TCP_MAXRT")?;
    socket.set_connect_timeout(CONNECT_TIMEOUT_MS)?;
    socket.set_handshake_ivl(HANDSHAKE_TIMEOUT_MS)?;
    socket.set_backlog(ACCEPT_BACKLOG)?;
    socket.set_reconnect_ivl(RECONNECT_MS)?;
    socket.set_reconnect_ivl_max(MAX_RECONNECT_MS)?;
    socket.set_linger(LINGER_MS)?;
    socket.set_maxmsgsize(MAX_PART_BYTES as i64)?;
    socket.set_ipv6(address.as_str().contains('['))?;
    if pattern == Pattern::Sub {
        socket.set_subscribe(b"")?;
    }
    Ok(())
}

/// Sets an option that the zmq crate does not define.
pub(super) fn set_option(socket: &mut zmq::Socket, option: c_int, value: c_int) -> Result<()> {
    // SAFETY: these options read one int, and the socket is open.
    let failed =
        unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, (&raw const value).cast(), size_of_val(&value)) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}
