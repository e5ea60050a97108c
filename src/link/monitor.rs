//! Events of connections, which libzmq sends over a separate socket (`zmq_socket_monitor`).

use anyhow::{Context as _, Result};
use zmq::SocketEvent;

use super::polled::Polled;

/// An event of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A connection was opened; its file descriptor.
    Open(u32),
    /// A handshake succeeded.
    Ready,
    /// An attempt to connect failed.
    Unreachable,
    /// A connection was closed, before or after its handshake.
    Lost(u32),
    /// A handshake failed.
    Failed(Failure),
}

/// Why a handshake failed, as far as libzmq knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server does not permit the client's key.
    Refused,
    /// The other side closed the connection, or the handshake timed out.
    Other,
    /// It was not a handshake, or for another key: libzmq reports only the closed connection.
    Unreadable,
}

/// The subscribed events. Without `HANDSHAKE_FAILED_PROTOCOL`: when libzmq 4.3.4 reports that event for a connection with
/// damaged bytes, it loses the reason for closing it, and the connection occupies a PAIR socket forever.
const EVENTS: i32 = SocketEvent::ACCEPTED as i32
    | SocketEvent::CONNECTED as i32
    | SocketEvent::HANDSHAKE_SUCCEEDED as i32
    | SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32
    | SocketEvent::HANDSHAKE_FAILED_AUTH as i32
    | SocketEvent::DISCONNECTED as i32
    | SocketEvent::CLOSED as i32;

/// Events of a link's connections.
pub(super) struct Monitor(Polled);

impl Monitor {
    /// Starts the events; call it before the first connection. Keep the monitor until [`stop`]: libzmq's I/O thread waits for
    /// a reader of its events.
    pub(super) fn start(context: &zmq::Context, socket: &zmq::Socket) -> Result<Monitor> {
        let events = "inproc://events";
        socket.monitor(events, EVENTS).context("cannot watch connections")?;
        let reader = context.socket(zmq::PAIR)?;
        reader.set_linger(0)?;
        // No limit, so that thread never waits for us.
        reader.set_rcvhwm(0)?;
        reader.connect(events)?;
        Ok(Monitor(Polled::new(reader)?))
    }

    /// Waits until there may be an event.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.0.changed().await
    }

    /// Returns the next event, if there is one.
    pub(super) fn next(&self) -> Result<Option<Event>> {
        loop {
            match self.0.socket.recv_multipart(zmq::DONTWAIT) {
                Ok(parts) => {
                    if let Some(event) = parts.first().and_then(|part| event(part)) {
                        return Ok(Some(event));
                    }
                }
                Err(zmq::Error::EAGAIN) => return Ok(None),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Stops the events of a socket, by a second monitor that replaces the first and subscribes to none.
pub(super) fn stop(socket: &zmq::Socket) {
    // This fails only while libzmq shuts down, and then no events follow.
    let _ = socket.monitor("inproc://nothing", 0);
}

/// Decodes the first part of an event: a 16-bit type and a 32-bit value, both in native byte order.
fn event(part: &[u8]) -> Option<Event> {
    let (kind, value) = part.split_first_chunk::<2>()?;
    let value = u32::from_ne_bytes(value.try_into().ok()?);
    let kind = u32::from(u16::from_ne_bytes(*kind));
    Some(match kind {
        zmq_sys::ZMQ_EVENT_ACCEPTED | zmq_sys::ZMQ_EVENT_CONNECTED => Event::Open(value),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Event::Ready,
        zmq_sys::ZMQ_EVENT_CLOSED => Event::Unreachable,
        zmq_sys::ZMQ_EVENT_DISCONNECTED => Event::Lost(value),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => Event::Failed(Failure::Refused),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => Event::Failed(Failure::Other),
        _ => return None,
    })
}
