//! Which agents are away, and since when. An agent that is away stays on the wall until a viewer forgets it, or another
//! agent needs its place.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::{Agent, Wall};
use crate::clock::Stamp;
use crate::name::Name;

/// An agent silent for this long is away. Agents send a status every second.
const CONNECTED_FOR: Duration = Duration::from_secs(5);

/// An agent that sent no status is known once its messages span this time. The receiver does not keep the names of
/// peers that send only for a moment.
const KNOWN_AFTER: Duration = Duration::from_secs(10);

/// An agent that is not known leaves the wall after this time without a message.
const FORGET_UNKNOWN_AFTER: Duration = Duration::from_mins(1);

/// An agent's presence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    first_heard: Instant,
    /// Whether the receiver remembers the agent.
    is_known: bool,
    /// Since when the agent is away, in microseconds since 1970 by this machine's clock.
    away_since_us: Option<i64>,
    /// Whether the receiver remembered the agent when it started.
    is_remembered: bool,
    /// Whether it has not been heard since then.
    is_restored: bool,
}

impl Presence {
    pub(super) fn new() -> Presence {
        Presence {
            first_heard: Instant::now(),
            is_known: false,
            away_since_us: None,
            is_remembered: false,
            is_restored: false,
        }
    }
}

impl Agent {
    /// Records that a message arrived.
    pub(super) fn hear(&mut self, name: &Name) {
        let now = Instant::now();
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

    fn is_known(&self) -> bool {
        self.presence.is_known || self.status.is_some() || self.is_established()
    }

    /// Whether its messages span some time, or the receiver remembered it when it started.
    pub(super) fn is_established(&self) -> bool {
        self.presence.is_remembered || self.last_heard.duration_since(self.presence.first_heard) >= KNOWN_AFTER
    }
}

impl Wall {
    /// Puts agents on the wall that were known before the receiver started, with when they were last heard, in
    /// microseconds since 1970. The ones heard last come first if there is not room for all.
    pub fn restore(&mut self, mut remembered: Vec<(Name, i64)>) {
        remembered.sort_by_key(|(_, heard_us)| std::cmp::Reverse(*heard_us));
        let now = Instant::now();
        for (name, heard_us) in remembered.into_iter().take(self.max_agents) {
            let mut agent = Agent::new();
            let presence = &mut agent.presence;
            (presence.is_known, presence.is_remembered, presence.is_restored) = (true, true, true);
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

    /// The known agents, with when they were last heard, in microseconds since 1970.
    #[must_use]
    pub fn known(&self) -> Vec<(Name, i64)> {
        let now_us = Stamp::now().unix_us();
        let known = self.agents.iter().filter(|(_, agent)| agent.is_known());
        known.map(|(name, agent)| (name.clone(), agent.last_heard_us(now_us))).collect()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A time for the log.
fn time(unix_us: i64) -> String {
    Timestamp::from_microsecond(unix_us).unwrap_or_default().strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
