//! One link of the receiver: messages in, onto the wall.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::wall::Wall;
use crate::config::Inlet;
use crate::link::Link;
use crate::wire::{Tally, decode};

/// At the end, what is on its way is awaited until it is quiet for so long, but not for longer in all.
const QUIET: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(1);

/// Malformed messages of one link are logged this often at most.
const LOG: Duration = Duration::from_mins(1);

/// After so many messages in a row others get their turn.
const FAIR: u32 = 32;

/// A link's worker.
pub struct Intake {
    /// Its table in the configuration.
    pub inlet: Inlet,
    /// Its socket.
    pub link: Link,
    /// What is known.
    pub wall: watch::Sender<Wall>,
    /// Who wants each message's header as a line.
    pub lines: Option<mpsc::Sender<String>>,
}

impl Intake {
    /// Receives until the shutdown, then what is still on its way; gives the count of what came.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut malformed = Malformed::default();
        let mut in_a_row = 0_u32;
        loop {
            let parts = tokio::select! {
                () = shutdown.cancelled() => break,
                parts = self.link.receive() => parts?,
            };
            self.take(&parts, &mut tally, &mut malformed, &shutdown).await;
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(FAIR) {
                tokio::task::yield_now().await;
            }
        }
        let end = Instant::now() + LAST;
        while let Ok(parts) = timeout(QUIET, self.link.receive()).await {
            self.take(&parts?, &mut tally, &mut malformed, &shutdown).await;
            if Instant::now() > end {
                break;
            }
        }
        Ok(tally)
    }

    async fn take(
        &mut self,
        parts: &[Bytes],
        tally: &mut Tally,
        malformed: &mut Malformed,
        shutdown: &CancellationToken,
    ) {
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                tally.add(&message);
                if let Some(lines) = &self.lines {
                    // Whoever reads the lines sets the pace, as in any pipe, but does not hold up the end.
                    let _ = shutdown.run_until_cancelled(lines.send(message.to_json())).await;
                }
                self.wall.send_modify(|wall| wall.apply(message));
            }
            Err(error) => malformed.log(self.link.address(), &error),
        }
    }
}

/// Counts, and logs now and then.
#[derive(Default)]
struct Malformed {
    count: u64,
    logged: Option<Instant>,
}

impl Malformed {
    fn log(&mut self, address: &str, error: &crate::wire::Malformed) {
        self.count += 1;
        if self.logged.is_none_or(|at| at.elapsed() > LOG) {
            self.logged = Some(Instant::now());
            warn!("link {address}: malformed message ({error}); {} so far", self.count);
        }
    }
}
