//! What becomes of connections: libzmq tells of each over a socket of its own (`zmq_socket_monitor`).

use anyhow::{Context as _, Result};
use zmq::SocketEvent;

use super::polled::Polled;

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It is there, by its descriptor.
    Open(u32),
    /// Both sides are content.
    Ready,
    /// Nobody is there.
    Nobody,
    /// It was lost, with or without a handshake before.
    Lost(u32),
    /// The handshake went wrong.
    Failed(Failure),
}

/// What was wrong with a handshake, as far as libzmq knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server knows who it is and does not want it.
    Refused,
    /// It was ended by the other side or by time.
    Other,
    /// It is none, or one for another key: libzmq tells of the end only.
    Senseless,
}

/// Only what is asked for comes. Not `HANDSHAKE_FAILED_PROTOCOL`: telling of it makes libzmq 4.3.4 forget why it ends a
/// connection whose bytes were damaged, and that one keeps the place of a PAIR's peer for ever.
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
    /// Begins before the first connection. Until it ends, by [`stop`], the monitor must live: libzmq's I/O thread waits for
    /// whoever reads its events.
    pub(super) fn start(context: &zmq::Context, socket: &zmq::Socket) -> Result<Monitor> {
        let events = "inproc://events";
        socket.monitor(events, EVENTS).context("cannot watch connections")?;
        let reader = context.socket(zmq::PAIR)?;
        reader.set_linger(0)?;
        // However many there are, that thread never waits.
        reader.set_rcvhwm(0)?;
        reader.connect(events)?;
        Ok(Monitor(Polled::new(reader)?))
    }

    /// Waits until there may be an event.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.0.changed().await
    }

    /// The next event, if there is one.
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

/// Ends the events of a socket: another monitor takes the place of the first, and asks for none.
pub(super) fn stop(socket: &zmq::Socket) {
    // It fails only when libzmq is being shut down, and then there are none.
    let _ = socket.monitor("inproc://nothing", 0);
}

/// The first part of an event: what, in 16 bits, and a value, in 32, both in the machine's order.
fn event(part: &[u8]) -> Option<Event> {
    let (what, value) = part.split_first_chunk::<2>()?;
    let value = u32::from_ne_bytes(value.try_into().ok()?);
    let what = u32::from(u16::from_ne_bytes(*what));
    Some(match what {
        zmq_sys::ZMQ_EVENT_ACCEPTED | zmq_sys::ZMQ_EVENT_CONNECTED => Event::Open(value),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => Event::Ready,
        zmq_sys::ZMQ_EVENT_CLOSED => Event::Nobody,
        zmq_sys::ZMQ_EVENT_DISCONNECTED => Event::Lost(value),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => Event::Failed(Failure::Refused),
        zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => Event::Failed(Failure::Other),
        _ => return None,
    })
}
