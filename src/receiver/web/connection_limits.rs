//! Limits the number of connections, in total and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// A browser opens up to six and a WebSocket. Above the limit, new connections wait.
const MAX_CONNECTIONS: usize = 256;

/// Limit per address, so that one client cannot lock out the others. A proxy counts as one address.
const MAX_PER_ADDRESS: usize = 128;

/// Hands out permits.
#[derive(Clone)]
pub(super) struct ConnectionLimits {
    total: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Room for a connection from any address.
pub(super) struct Reservation {
    permit: OwnedSemaphorePermit,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Room for a connection of one address; freed when dropped.
pub(super) struct Permit {
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _total: OwnedSemaphorePermit,
}

impl ConnectionLimits {
    pub(super) fn new() -> ConnectionLimits {
        ConnectionLimits { total: Arc::new(Semaphore::new(MAX_CONNECTIONS)), by_address: Arc::default() }
    }

    /// Waits until the total is below the limit.
    pub(super) async fn reserve(&self) -> Reservation {
        let permit = Arc::clone(&self.total).acquire_owned().await.expect("the semaphore is never closed");
        Reservation { permit, by_address: Arc::clone(&self.by_address) }
    }
}

impl Reservation {
    /// Assigns the reservation to an address; `None` if the address has reached its limit.
    pub(super) fn assign(self, address: IpAddr) -> Option<Permit> {
        let address = network_of(address);
        let mut by_address = lock(&self.by_address);
        let count = by_address.entry(address).or_default();
        if *count == MAX_PER_ADDRESS {
            return None;
        }
        *count += 1;
        drop(by_address);
        Some(Permit { address, by_address: self.by_address, _total: self.permit })
    }
}

/// The address to count by: for IPv6 the /64 network, because one host can use all its addresses.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut by_address = lock(&self.by_address);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
