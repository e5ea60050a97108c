//! Programs, boards and cameras for the tests.

mod agent;
mod bench;
mod board;
mod browser;
mod clock;
mod faulty;
pub mod film;
pub mod http;
pub mod hub;
pub mod installed;
mod kept;
mod keys;
mod manager;
mod pi;
pub mod played;
pub mod program;
pub mod recordings;
mod sender;
mod sockets;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use agent::{Agent, Unsent, batch};
pub use bench::{Bench, Receiver, saved};
pub use board::Board;
pub use browser::Browser;
pub use clock::Clock;
pub use faulty::{Fault, faulty, heal};
pub use film::film;
pub use installed::peer;
#[cfg(feature = "opencv")]
pub use installed::sample_video;
pub use kept::kept;
pub use keys::Shows;
pub use manager::{GIVEN_UP, Held, Manager, WATCHDOG};
pub use pi::Pi;
pub use program::Program;
pub use sender::Sender;
pub use sockets::{Peer, free_port, pair, readings, subscriber};

/// The longest that anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Now, in microseconds since 1970.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64
}

/// Looks until there is something to be found.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}
