//! The connections below a socket, as libzmq tells of them.

use std::collections::BTreeSet;
use std::os::fd::RawFd;

use anyhow::{Context as _, Result};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use zmq::SocketEvent::{ACCEPTED, CONNECTED, DISCONNECTED};

/// Where libzmq tells; each socket has a context, and with it such names, of its own.
const TOLD_AT: &str = "inproc://connections";

pub(super) struct Connections {
    // Dropped in this order: out of the poll while the descriptor is open.
    changes: AsyncFd<RawFd>,
    told: zmq::Socket,
    /// By their descriptors, which is what an event has.
    open: BTreeSet<u32>,
    ended: u64,
}

impl Connections {
    /// Of a socket that is neither bound nor connected yet.
    pub(super) fn of(socket: &zmq::Socket, context: &zmq::Context) -> Result<Connections> {
        let events = [ACCEPTED, CONNECTED, DISCONNECTED].map(|event| i32::from(event.to_raw()));
        socket.monitor(TOLD_AT, events.iter().sum()).context("cannot be watched")?;
        let told = context.socket(zmq::PAIR)?;
        told.connect(TOLD_AT)?;
        // SAFETY: the descriptor is the socket's for as long as that lives, and `changes` is dropped before it.
        let changes = unsafe { AsyncFd::register_with_interest(told.get_fd()?, Interest::READABLE) }
            .map_err(|error| anyhow::Error::new(error.into_parts().1))?;
        Ok(Connections { changes, told, open: BTreeSet::new(), ended: 0 })
    }

    /// Waits until there may be something to take in.
    pub(super) async fn changed(&mut self) -> Result<()> {
        self.changes.readable().await?.clear_ready();
        Ok(())
    }

    /// Takes in what was told.
    pub(super) fn take_in(&mut self) -> Result<()> {
        loop {
            let event = match self.told.recv_msg(zmq::DONTWAIT) {
                Ok(event) => event,
                Err(zmq::Error::EINTR) => continue,
                Err(zmq::Error::EAGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            // zmq_socket_monitor(3): 16 bits of event and 32 of value, here a descriptor, and a second part for the address.
            if event.get_more() {
                self.told.recv_msg(0)?;
            }
            let [e0, e1, v0, v1, v2, v3] = event[..] else { continue };
            let (event, descriptor) = (u16::from_ne_bytes([e0, e1]), u32::from_ne_bytes([v0, v1, v2, v3]));
            if event == DISCONNECTED.to_raw() {
                self.open.remove(&descriptor);
                self.ended += 1;
            } else {
                self.open.insert(descriptor);
            }
        }
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many have ended so far.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }
}
