//! Places for connections: so many, and not all of them for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// A browser has six and its WebSocket; beyond these, others wait for one to end.
const MOST: usize = 256;

/// Of one address, so that it keeps nobody else out. A proxy in front of the receiver is one address, too.
const MOST_OF_ONE: usize = 128;

/// All places.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One that is free.
pub(super) struct Free {
    permit: OwnedSemaphorePermit,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One that is taken, until it is dropped.
pub(super) struct Place {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new() -> Places {
        Places { all: Arc::new(Semaphore::new(MOST)), taken: Arc::default() }
    }

    /// Waits for one.
    pub(super) async fn free(&self) -> Free {
        let permit = Arc::clone(&self.all).acquire_owned().await.expect("it is never closed");
        Free { permit, taken: Arc::clone(&self.taken) }
    }
}

impl Free {
    /// Takes it; none if the address has its share already.
    pub(super) fn take(self, address: IpAddr) -> Option<Place> {
        let address = house(address);
        let mut taken = lock(&self.taken);
        let count = taken.entry(address).or_default();
        if *count == MOST_OF_ONE {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { address, taken: self.taken, _permit: self.permit })
    }
}

/// Whose address it is: of IPv6 one host has as many as it likes, in a network of 64 bits.
fn house(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}
