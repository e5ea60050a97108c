//! Test harness: runs programs, and simulates boards, cameras, peers and failures.

mod agent;
mod bench;
mod board;
mod browser;
mod clock;
mod faulty;
pub mod ffmpeg;
pub mod film;
pub mod http;
pub mod http_camera;
pub mod hub;
pub mod installed;
mod intruder;
mod keys;
mod manager;
mod pi;
pub mod program;
pub mod recordings;
mod sender;
mod sockets;
pub mod zmtp;
mod spool_contents;
mod stopwatch;
pub mod viewer;

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use agent::{FakeAgent, Unacknowledged, batch, reading};
pub use bench::{Bench, Receiver, saved};
pub use board::Board;
pub use browser::Browser;
pub use clock::Clock;
pub use faulty::{Fault, faulty, repair};
pub use film::film;
pub use installed::peer;
#[cfg(feature = "opencv")]
pub use installed::sample_video;
pub use intruder::Intruder;
pub use keys::Shows;
pub use manager::{Manager, STALL_LIMIT, SuspendedThread, WATCHDOG};
pub use pi::Pi;
pub use program::Program;
pub use sender::Sender;
pub use sockets::{Peer, free_port, pair, readings, subscriber};
pub use spool_contents::read_spool;
pub use stopwatch::Stopwatch;

/// Upper bound of every wait; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The current time, in microseconds since 1970.
pub fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_micros() as i64
}

/// Polls `look` until it returns something; panics after [`PATIENCE`].
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "timed out after {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(5));
    }
}
