//! Which agents are away, since when, and for how long they were connected. An agent that is away stays on the wall until a
//! viewer forgets it, or another agent needs its place.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{Agent, Wall};
use crate::clock::Stamp;
use crate::name::Name;
use crate::receiver::quotas::Quota;

/// An agent silent for this long is away. Agents send a status every second.
const CONNECTED_FOR: Duration = Duration::from_secs(5);

/// An agent that sent no status is known once it was connected for this time. The receiver does not keep the names of
/// peers that send only for a moment.
const KNOWN_AFTER: Duration = Duration::from_secs(10);

/// An agent is established once it was connected for this time in total. Agents that are not make room first when all
/// places are taken. An agent of an installation is connected for days, so one that is established and then silent has
/// failed, and its user must hear about it. A name that was used for less is probably a mistake, or one of the many names
/// of a hostile peer, who has to keep a connection for each one open for this time.
const ESTABLISHED_AFTER: Duration = Duration::from_mins(1);

/// An agent that is not known leaves the wall after this time without a message.
const FORGET_UNKNOWN_AFTER: Duration = Duration::from_mins(1);

/// An agent's presence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    /// For how long it was connected in total, up to [`ESTABLISHED_AFTER`].
    connected_for: Duration,
    /// Whether the receiver remembers the agent.
    is_known: bool,
    /// Since when the agent is away, in microseconds since 1970 by this machine's clock.
    away_since_us: Option<i64>,
    /// Whether the agent has not been heard since the receiver started.
    is_restored: bool,
}

impl Presence {
    pub(super) fn new() -> Presence {
        Presence { connected_for: Duration::ZERO, is_known: false, away_since_us: None, is_restored: false }
    }
}

/// A known agent, as the roster keeps it.
#[derive(Debug)]
pub struct Remembered {
    /// Its name.
    pub name: Name,
    /// When it was last heard, in microseconds since 1970.
    pub last_heard_us: i64,
    /// Whether it was connected for long enough to keep its place when all are taken.
    pub is_established: bool,
}

impl Agent {
    /// Records that a message arrived.
    pub(super) fn hear(&mut self, name: &Name) {
        let now = Instant::now();
        // The time without a connection does not count.
        let connected_for = self.presence.connected_for + now.duration_since(self.last_heard).min(CONNECTED_FOR);
        self.presence.connected_for = connected_for.min(ESTABLISHED_AFTER);
        self.presence.is_restored = false;
        self.last_heard = now;
        if let Some(since_us) = self.presence.away_since_us.take() {
            info!("agent {name}: back; it was away since {}", time(since_us));
        }
    }

    /// Whether it sent a message within the last five seconds.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.last_heard.elapsed() < CONNECTED_FOR
    }

    /// Since when a known agent is away, in microseconds since 1970; `None` while it is connected.
    #[must_use]
    pub fn away_since_us(&self) -> Option<i64> {
        self.presence.away_since_us
    }

    /// Time since its last message. If that came before the receiver started, this depends on the clock.
    #[must_use]
    pub fn silence(&self) -> Duration {
        match self.presence.away_since_us {
            Some(since_us) if self.presence.is_restored => {
                Duration::from_micros(Stamp::now().unix_us().saturating_sub(since_us).try_into().unwrap_or(0))
            }
            _ => self.last_heard.elapsed(),
        }
    }

    /// When it was last heard, in microseconds since 1970; `now_us` is the present.
    #[must_use]
    pub fn last_heard_us(&self, now_us: i64) -> i64 {
        self.presence.away_since_us.unwrap_or_else(|| now_us.saturating_sub(micros(self.last_heard.elapsed())))
    }

    pub(super) fn is_known(&self) -> bool {
        self.presence.is_known || self.status.is_some() || self.presence.connected_for >= KNOWN_AFTER
    }

    fn is_established(&self) -> bool {
        self.presence.connected_for >= ESTABLISHED_AFTER
    }

    /// The order in which agents make room for others: those that are not established first, then those that have been
    /// silent for longest.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (self.is_established(), self.last_heard)
    }
}

impl Wall {
    /// The most agents that it can have.
    #[must_use]
    pub fn max_agents(&self) -> usize {
        self.max_agents
    }

    /// Puts agents on the wall that were known before the receiver started. If there is not room for all, established ones
    /// come first, then the ones heard last.
    pub fn restore(&mut self, mut remembered: Vec<Remembered>) {
        remembered.sort_by_key(|agent| std::cmp::Reverse((agent.is_established, agent.last_heard_us)));
        let excess = remembered.split_off(self.max_agents.min(remembered.len()));
        if let Some(Remembered { name, .. }) = excess.first() {
            self.quotas.refuse(Quota::Agents, excess.len() as u64, name);
            let message = format_args!(
                "forgotten, and {} more: the limit of {} agents is reached",
                excess.len() - 1,
                self.max_agents
            );
            warn!("agent {name}: {message}");
        }
        let now = Instant::now();
        for Remembered { name, last_heard_us: heard_us, is_established } in remembered {
            let mut agent = Agent::new();
            (agent.presence.is_known, agent.presence.is_restored) = (true, true);
            agent.presence.connected_for = if is_established { ESTABLISHED_AFTER } else { Duration::ZERO };
            agent.presence.away_since_us = Some(heard_us);
            // With a wrong clock, the time may be in the future; the agent is away all the same.
            let silence = agent.silence().max(super::SILENT_AFTER);
            agent.last_heard = now.checked_sub(silence).unwrap_or(now);
            self.agents.insert(name, agent);
        }
        self.report_agents();
    }

    /// Updates which agents are away, and drops silent ones that are not known; returns whether anything changed. Call it
    /// every second.
    pub fn update_presence(&mut self) -> bool {
        let now_us = Stamp::now().unix_us();
        let mut is_changed = false;
        for (name, agent) in &mut self.agents {
            agent.presence.is_known = agent.is_known();
            if agent.presence.is_known && !agent.is_connected() && agent.presence.away_since_us.is_none() {
                let (silence, heard_us) = (agent.last_heard.elapsed(), agent.last_heard_us(now_us));
                agent.presence.away_since_us = Some(heard_us);
                is_changed = true;
                self.edition += 1;
                agent.edition = self.edition;
                warn!(
                    "agent {name}: silent for {} s; last heard at {}; check its power, network and log",
                    silence.as_secs(),
                    time(heard_us)
                );
            }
        }
        let before = self.agents.len();
        self.agents.retain(|_, agent| agent.presence.is_known || agent.last_heard.elapsed() < FORGET_UNKNOWN_AFTER);
        let is_fewer = self.agents.len() < before;
        self.edition += u64::from(is_fewer);
        is_changed |= is_fewer;
        self.report_agents();
        is_changed
    }

    /// Forgets an agent; returns whether it was on the wall.
    pub fn forget(&mut self, name: &Name) -> bool {
        let is_removed = self.agents.remove(name).is_some();
        self.edition += u64::from(is_removed);
        is_removed
    }

    /// The number of known agents that are away.
    #[must_use]
    pub fn away(&self) -> usize {
        self.agents.values().filter(|agent| agent.away_since_us().is_some()).count()
    }

    /// The known agents, by name.
    #[must_use]
    pub fn known(&self) -> Vec<Remembered> {
        let now_us = Stamp::now().unix_us();
        let known = self.agents.iter().filter(|(_, agent)| agent.is_known());
        let remembered = |(name, agent): (&Name, &Agent)| Remembered {
            name: name.clone(),
            last_heard_us: agent.last_heard_us(now_us),
            is_established: agent.is_established(),
        };
        known.map(remembered).collect()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A time for the log.
fn time(unix_us: i64) -> String {
    Timestamp::from_microsecond(unix_us).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
