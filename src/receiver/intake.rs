//! One link of the receiver: messages in, onto the wall.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::wall::Wall;
use crate::config::Inlet;
use crate::link::{Link, OnRefusal, Refusal};
use crate::wire::{Tally, decode};

/// At the end, what is on its way is awaited until it is quiet for so long, but not for longer in all.
const QUIET: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(1);

/// The same trouble of one link is logged this often at most.
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
        let (mut malformed, mut dropped) = (Trouble::default(), Trouble::default());
        let mut in_a_row = 0_u32;
        loop {
            let parts = tokio::select! {
                () = shutdown.cancelled() => break,
                parts = self.link.receive() => parts?,
            };
            self.take(&parts, &mut tally, &mut malformed, &mut dropped);
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(FAIR) {
                tokio::task::yield_now().await;
            }
        }
        let end = Instant::now() + LAST;
        while let Ok(parts) = timeout(QUIET, self.link.receive()).await {
            self.take(&parts?, &mut tally, &mut malformed, &mut dropped);
            if Instant::now() > end {
                break;
            }
        }
        self.link.close().await;
        Ok(tally)
    }

    fn take(&mut self, parts: &[Bytes], tally: &mut Tally, malformed: &mut Trouble, dropped: &mut Trouble) {
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                tally.add(&message);
                if let Some(lines) = &self.lines {
                    // A slow reader loses lines; it does not make the wall old.
                    if let Err(TrySendError::Full(_)) = lines.try_send(message.to_json()) {
                        dropped.log(self.link.address(), &"a line was dropped, standard output is not read");
                    }
                }
                self.wall.send_modify(|wall| wall.apply(message));
            }
            Err(error) => malformed.log(
                self.link.address(),
                &format_args!(
                    "malformed message ({error}); this link's format is {}, is the agent's the same?",
                    self.inlet.format
                ),
            ),
        }
    }
}

/// Peers that are remembered, so that the same one is logged now and then only.
const MOST_REFUSED: usize = 64;

/// Logs who does not come in over a link.
#[must_use]
pub fn on_refusal(address: String) -> OnRefusal {
    let mut refused = BTreeMap::<String, Trouble>::new();
    Box::new(move |refusal: &Refusal| {
        if refused.len() == MOST_REFUSED && !refused.contains_key(&refusal.who) {
            refused.clear();
        }
        refused.entry(refusal.who.clone()).or_default().log(&address, &refusal.text);
    })
}

/// Counts, and logs now and then.
#[derive(Default)]
struct Trouble {
    count: u64,
    logged: Option<Instant>,
}

impl Trouble {
    fn log(&mut self, address: &str, what: &dyn Display) {
        self.count += 1;
        if self.logged.is_none_or(|at| at.elapsed() > LOG) {
            self.logged = Some(Instant::now());
            warn!("link {address}: {what}; {} so far", self.count);
        }
    }
}
