//! A ZeroMQ socket with an address, for tokio tasks.
//!
//! libzmq tells of changes through one file descriptor (`polled.rs`), and on its edges only: after each wake-up, and
//! after each send or receive, its events have to be asked for anew. [`Link`] keeps to that, so that its users may simply
//! try, and wait for [`Link::changed`] when there is nothing to do. A link belongs to one task, which also answers the
//! socket's inbound side: a bound PAIR that only ever sends never notices that its peer was restarted.
//!
//! Beside the socket stand two more, which the same task attends to meanwhile (`peers.rs`): one that tells what becomes of
//! connections (`monitor.rs`), so that a refusal has a reason (`refusal.rs`), and on a CURVE server the one that is asked
//! who may come (`gate.rs`).

mod connections;
mod gate;
mod monitor;
mod pattern;
mod peers;
mod polled;
mod refusal;

use std::ffi::c_int;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use nix::sys::socket::{SockaddrStorage, getpeername};
use tokio::time::timeout;

pub use pattern::Pattern;
pub use refusal::{OnRefusal, Refusal};

use crate::config::{Address, Curve, Endpoint};
use peers::Peers;
use polled::Polled;

/// Messages that wait for a peer: few, because a waiting frame grows old, but with fewer libzmq tells of each one that it
/// took, and each time wakes the link's task; where new ones are dropped when it is full, on PUB a burst of all cameras and
/// the readings with it.
const QUEUE: i32 = 8;
const DROPPING_QUEUE: i32 = 32;
const RECEIVE_QUEUE: i32 = 16;

/// Bytes of the kernel's buffer for what is sent. Left to itself it grows to megabytes, in which frames grow old on their
/// way to a peer that does not say what it has seen; these are 50 megabits a second to one that answers in 20 ms.
const SEND_BUFFER: i32 = 128 * 1024;

/// No part of a message is larger, in either direction: a peer that sends one is disconnected, so none is sent.
pub const MAX_PART_BYTES: usize = 8 * 1024 * 1024;

/// More parts than any format has, with the peer's name on ROUTER.
const MOST_PARTS: usize = 5;

/// A peer is asked for a sign of life after a second of silence and each second (KEEPALIVE), and given up after three
/// without one, or when it has not confirmed what was sent for so long (SILENCE, milliseconds). The kernel does this,
/// not ZeroMQ's heartbeats: with those libzmq aborts the whole process when a connection whose input is stopped, such
/// as that of a second peer on a PAIR, is closed (seen in 4.3.4; libzmq issues 3937, 4364 and 4767).
const KEEPALIVE: i32 = 1;
const KEEPALIVES: i32 = 3;
const SILENCE: c_int = 3_000;

/// Milliseconds. A lost connection is tried again at first at once, then every two seconds; what was handed over before
/// a close may take a third of one more.
const RECONNECT: i32 = 100;
const RECONNECT_MOST: i32 = 2_000;
const LINGER: i32 = 300;

/// So long a link is waited for at its end.
const CLOSING: Duration = Duration::from_secs(2);

/// Milliseconds. Left to itself the kernel asks less and less often while a network is cut, and would find out late that
/// it is healed.
const CONNECT: i32 = 2_000;

/// Milliseconds that a handshake may take. Until then a peer that says nothing occupies a descriptor and up to 14 KiB.
const HANDSHAKE: i32 = 3_000;

/// Connections that wait to be accepted; beyond them the kernel drops what comes, and a good peer waits for a second.
const BACKLOG: i32 = 1024;

/// What happened to a connection is known to its socket within this time.
const KNOWN: Duration = Duration::from_secs(1);

/// Peers get their turn after so many messages that came without a pause.
const FAIR: u32 = 32;

/// An open socket. It has a libzmq context, and with it an I/O thread, of its own: that thread looks up host names, and
/// one that has no answer must not hold up other links.
pub struct Link {
    // Dropped in this order: nobody comes any more when there is nobody to ask, and the context goes after its sockets.
    polled: Polled,
    peers: Peers,
    context: zmq::Context,
    /// At the address that it got.
    options: LinkOptions,
    /// When a bound PAIR's connection ended: whoever came besides was left alone.
    lost: Option<Instant>,
    in_a_row: u32,
    /// What was said when it was asked last, if nothing was done since.
    known: Option<Events>,
}

/// What a link can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// A message waits.
    pub readable: bool,
    /// A message would be taken: on PAIR, a peer is there and keeps up.
    pub writable: bool,
}

/// How a link is opened.
#[derive(Clone)]
pub struct LinkOptions {
    /// The kind of socket.
    pub pattern: Pattern,
    /// Where it is bound or connects to.
    pub end: Endpoint,
    /// What it is encrypted with, if it is.
    pub curve: Option<Curve>,
    /// Who hears of peers that do not come in, or of this end if it is the one that does not.
    pub refused: OnRefusal,
}

impl LinkOptions {
    /// Opens the socket and binds or connects it.
    ///
    /// # Errors
    /// When a bound address is in use or not of this machine, a host has no address, a key is not to be had, or
    /// descriptors run out.
    pub fn open(mut self) -> Result<Link> {
        let context = zmq::Context::new();
        let mut socket = context.socket(match self.pattern {
            Pattern::Pair => zmq::PAIR,
            // XPUB is PUB to its subscribers; to us it tells what they subscribe to.
            Pattern::Pub => zmq::XPUB,
            Pattern::Sub => zmq::SUB,
            Pattern::Dealer => zmq::DEALER,
            Pattern::Router => zmq::ROUTER,
            Pattern::Req => zmq::REQ,
        })?;
        set_options(&mut socket, self.pattern, self.end.address())?;
        let mut polled = Polled::new(socket)?;
        let peers = Peers::open(&context, &mut polled.socket, &self)?;
        if let (Endpoint::Bind(address), Ok(Ok(endpoint))) = (&mut self.end, polled.socket.get_last_endpoint()) {
            *address = Address::try_from(endpoint).unwrap_or_else(|_| address.clone());
        }
        Ok(Link { polled, peers, context, options: self, lost: None, in_a_row: 0, known: None })
    }
}

impl Link {
    /// Where it is; for a bound end with any free port, the port it got.
    #[must_use]
    pub fn address(&self) -> &str {
        self.options.end.address().as_str()
    }

    /// How it would be opened once more, at the same address.
    #[must_use]
    pub fn options(&self) -> LinkOptions {
        self.options.clone()
    }

    /// Why the other side does not want this end, if it is there and that is known.
    #[must_use]
    pub fn refusal_reason(&self) -> Option<&str> {
        self.peers.refusal_reason.as_deref()
    }

    /// So many have shaken hands with this end and are still there.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.connections.peers()
    }

    /// What can be done now. Asking takes in what the descriptor told of, so wait only for what this says is not there.
    ///
    /// # Errors
    /// When libzmq is being shut down.
    pub fn events(&mut self) -> Result<Events> {
        if let Some(known) = self.known {
            return Ok(known);
        }
        let events = self.polled.socket.get_events()?;
        let events = Events { readable: events.contains(zmq::POLLIN), writable: events.contains(zmq::POLLOUT) };
        if events.writable {
            self.peers.has_peer();
        }
        self.known = Some(events);
        Ok(events)
    }

    /// Hands a message to libzmq; false when it takes none now.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn try_send(&mut self, parts: &[Bytes]) -> Result<bool> {
        self.known = None;
        let last = parts.len().saturating_sub(1);
        for (index, part) in parts.iter().enumerate() {
            let more = if index < last { zmq::SNDMORE } else { 0 };
            match retried(|| self.polled.socket.send(&part[..], zmq::DONTWAIT | more)) {
                Ok(()) => {}
                // Only the first part can be refused while a peer is there: libzmq takes the others with it. EFSM: the last
                // message on a REQ has no answer yet.
                Err(zmq::Error::EAGAIN | zmq::Error::EFSM) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The next message, if there is one; parts beyond what any format has are left out.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn try_receive(&mut self) -> Result<Option<Vec<Bytes>>> {
        self.known = None;
        self.in_a_row = self.in_a_row.wrapping_add(1);
        if self.in_a_row.is_multiple_of(FAIR) {
            self.attend()?;
        }
        let mut parts = Vec::with_capacity(MOST_PARTS);
        loop {
            let part = match retried(|| self.polled.socket.recv_msg(zmq::DONTWAIT)) {
                Ok(part) => part,
                // EFSM: nothing was asked on a REQ.
                Err(zmq::Error::EAGAIN | zmq::Error::EFSM) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let more = part.get_more();
            if parts.len() < MOST_PARTS {
                parts.push(Bytes::from_owner(Received(part)));
            }
            if !more {
                return Ok(Some(parts));
            }
        }
    }

    /// Waits for the next message; `None`: there is none any more, because it [`Link::needs_reopen`].
    ///
    /// # Errors
    /// As [`Link::events`].
    pub async fn receive(&mut self) -> Result<Option<Vec<Bytes>>> {
        loop {
            if let Some(parts) = self.try_receive()? {
                return Ok(Some(parts));
            }
            if self.needs_reopen()? {
                return Ok(None);
            }
            if !self.events()?.readable {
                self.changed().await?;
            }
        }
    }

    /// Closes it, and waits, not on this thread, until what was handed over is off or its time is up. A name that libzmq looks
    /// up at the time, of a server that does not answer, is left behind: it can be neither interrupted nor waited for.
    pub async fn close(self) {
        let context = self.context.clone();
        drop(self);
        // Only a panic of the closing could fail here, and there is nobody left to tell.
        let _ = timeout(CLOSING, tokio::task::spawn_blocking(move || drop(context))).await;
    }

    /// Waits until something may have changed: a message came, a peer takes more, came, went or was refused.
    ///
    /// # Errors
    /// When the runtime is being shut down.
    pub async fn changed(&mut self) -> Result<()> {
        tokio::select! {
            changed = self.polled.changed() => changed?,
            changed = self.peers.changed() => {
                changed?;
                self.attend()?;
            }
        }
        self.known = None;
        Ok(())
    }

    fn attend(&mut self) -> Result<()> {
        let ended = self.ended();
        self.peers.attend(&self.polled.socket)?;
        if self.is_exclusive() && self.ended() > ended {
            self.lost = Some(Instant::now());
        }
        Ok(())
    }

    fn is_exclusive(&self) -> bool {
        self.options.pattern == Pattern::Pair && matches!(self.options.end, Endpoint::Bind(_))
    }

    /// Its peer is gone, and others that were connected meanwhile are never taken in: a bound PAIR leaves them alone for
    /// ever. It has to be closed and opened once more.
    ///
    /// # Errors
    /// As [`Link::events`].
    pub fn needs_reopen(&mut self) -> Result<bool> {
        // libzmq tells of the connection's end before its socket knows.
        self.lost = self.lost.filter(|lost| lost.elapsed() < KNOWN && self.peers.connections.peers() > 0);
        Ok(self.lost.is_some() && !self.events()?.writable)
    }

    /// Somebody is connected beside its one peer, and left alone until that one is gone.
    #[must_use]
    pub fn has_waiting_peer(&self) -> bool {
        self.is_exclusive() && self.peers.connections.peers() > 1
    }

    /// Where the first of those is that it leaves alone, if the system still knows.
    #[must_use]
    pub fn next_peer(&self) -> Option<IpAddr> {
        // libzmq's descriptor, and so one of this process.
        let socket = RawFd::try_from(self.peers.connections.next()?).ok()?;
        let address: SockaddrStorage = getpeername(socket).ok()?;
        let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
        v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().to_canonical()))
    }

    /// How often its peer has gone so far, the first one where there are several, and with it what was on its way.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.peers.connections.ended()
    }
}

impl Drop for Link {
    /// The I/O thread must not wait for a reader of events that is gone.
    fn drop(&mut self) {
        monitor::stop(&self.polled.socket);
    }
}

/// libzmq's memory of one part, shared instead of copied.
struct Received(zmq::Message);

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn set_options(socket: &mut zmq::Socket, pattern: Pattern, address: &Address) -> Result<()> {
    let drops = matches!(pattern, Pattern::Pub | Pattern::Router);
    socket.set_sndhwm(if drops { DROPPING_QUEUE } else { QUEUE })?;
    socket.set_rcvhwm(RECEIVE_QUEUE)?;
    socket.set_sndbuf(SEND_BUFFER)?;
    // Nothing is queued for a peer that is not there.
    socket.set_immediate(true)?;
    socket.set_tcp_keepalive(1)?;
    socket.set_tcp_keepalive_idle(KEEPALIVE)?;
    socket.set_tcp_keepalive_intvl(KEEPALIVE)?;
    socket.set_tcp_keepalive_cnt(KEEPALIVES)?;
    set_option(socket, zmq_sys::ZMQ_TCP_MAXRT as c_int, SILENCE).context("libzmq refuses ZMQ_TCP_MAXRT")?;
    socket.set_connect_timeout(CONNECT)?;
    socket.set_handshake_ivl(HANDSHAKE)?;
    socket.set_backlog(BACKLOG)?;
    socket.set_reconnect_ivl(RECONNECT)?;
    socket.set_reconnect_ivl_max(RECONNECT_MOST)?;
    socket.set_linger(LINGER)?;
    socket.set_maxmsgsize(MAX_PART_BYTES as i64)?;
    socket.set_ipv6(address.as_str().contains('['))?;
    if pattern == Pattern::Sub {
        socket.set_subscribe(b"")?;
    }
    Ok(())
}

/// Sets an option that the zmq crate has no name for.
fn set_option(socket: &mut zmq::Socket, option: c_int, value: c_int) -> Result<()> {
    // SAFETY: these options read one int, and the socket is open.
    let failed =
        unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, (&raw const value).cast(), size_of_val(&value)) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// A signal is no reason to give up.
fn retried<T>(mut call: impl FnMut() -> zmq::Result<T>) -> zmq::Result<T> {
    loop {
        match call() {
            Err(zmq::Error::EINTR) => {}
            result => return result,
        }
    }
}
