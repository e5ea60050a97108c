//! One link of the receiver: messages in, onto the wall.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::replies::Replies;
use super::wall::Wall;
use crate::config::{InPattern, Inlet};
use crate::link::{Link, OnRefusal, Opening, Refusal};
use crate::wire::{Tally, decode};

/// At the end, what is on its way is awaited until it is quiet for so long, but not for longer in all.
const QUIET: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(1);

/// How often agents are told that somebody listens.
const HELLO: Duration = Duration::from_secs(1);

/// What somebody should know who has connected two agents to a pair.
const OTHERS: &str =
    "another agent waits, a pair has one; the pattern router, with dealer at the agents, has any number";

/// The wait between tries to open the link once more.
const AGAIN: Duration = Duration::from_secs(1);

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
        let mut came = Came {
            tally: Tally::default(),
            replies: Replies::of(&self.inlet),
            malformed: Trouble::default(),
            dropped: Trouble::default(),
            others: Trouble::default(),
        };
        let mut in_a_row = 0_u32;
        let mut hellos = interval(HELLO);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = hellos.tick() => {
                    came.replies.greet(&mut self.link)?;
                    if self.link.leaves_others_alone() {
                        came.others.log(self.link.address(), &OTHERS);
                    }
                }
                parts = self.link.receive() => if let Some(parts) = parts? {
                    self.take(&parts, &mut came)?;
                } else {
                    let opening = self.link.opening();
                    self.link.close().await;
                    let Some(link) = shutdown.run_until_cancelled(opened(opening)).await else {
                        return Ok(came.tally);
                    };
                    self.link = link;
                },
            }
            in_a_row = in_a_row.wrapping_add(1);
            if in_a_row.is_multiple_of(FAIR) {
                tokio::task::yield_now().await;
            }
        }
        let end = Instant::now() + LAST;
        while let Ok(parts) = timeout(QUIET, self.link.receive()).await {
            let Some(parts) = parts? else { break };
            self.take(&parts, &mut came)?;
            if Instant::now() > end {
                break;
            }
        }
        self.link.close().await;
        Ok(came.tally)
    }

    fn take(&mut self, parts: &[Bytes], came: &mut Came) -> Result<()> {
        let (peer, parts) = match parts {
            [peer, parts @ ..] if self.inlet.pattern == InPattern::Router => (peer.clone(), parts),
            _ => (Bytes::new(), parts),
        };
        match decode(self.inlet.format, &self.inlet.shown_as, parts) {
            Ok(message) => {
                came.tally.add(&message);
                if let Some(lines) = &self.lines {
                    // A slow reader loses lines; it does not make the wall old.
                    if let Err(TrySendError::Full(_)) = lines.try_send(message.to_json()) {
                        came.dropped.log(self.link.address(), &"a line was dropped, standard output is not read");
                    }
                }
                came.replies.answer(&mut self.link, &peer, &message)?;
                self.wall.send_modify(|wall| wall.apply(message));
            }
            Err(error) => came.malformed.log(
                self.link.address(),
                &format_args!(
                    "malformed message ({error}); this link's format is {}, is the agent's the same?",
                    self.inlet.format
                ),
            ),
        }
        Ok(())
    }
}

/// Peers that are remembered, so that the same one is logged now and then only.
const MOST_REFUSED: usize = 64;

/// Logs who does not come in over a link.
#[must_use]
pub fn on_refusal(address: String) -> OnRefusal {
    let refused = Mutex::new(BTreeMap::<String, Trouble>::new());
    Arc::new(move |refusal: &Refusal| {
        let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() == MOST_REFUSED && !refused.contains_key(&refusal.who) {
            refused.clear();
        }
        refused.entry(refusal.who.clone()).or_default().log(&address, &refusal.text);
    })
}

/// A link once more, which may not be had at once: a key that is being changed, no descriptors.
async fn opened(opening: Opening) -> Link {
    let mut trouble = Trouble::default();
    loop {
        match opening.clone().open() {
            Ok(link) => return link,
            Err(error) => trouble.log(opening.end.address().as_str(), &format_args!("{error:#}")),
        }
        sleep(AGAIN).await;
    }
}

/// What came over a link.
struct Came {
    tally: Tally,
    replies: Replies,
    malformed: Trouble,
    dropped: Trouble,
    others: Trouble,
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
            warn!("link {address}: {what} ({} so far)", self.count);
        }
    }
}
