//! The wall's JSON in pieces, which all viewers share. A piece is made when something in it has changed and a viewer
//! wants it; each viewer gets the pieces that are newer than its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::aged_json::{Age, AgedJson, to_json};
use super::{Site, wall_json};
use crate::lock::lock;
use crate::name::Name;
use crate::receiver::commands::Commands;
use crate::receiver::wall::{Agent, Current, Wall};

/// How often to look for changes that no message announces, such as the end of an agent's messages.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// A text has room for this many bytes of readings, however long the rest of it is.
const MIN_READINGS_BYTES: usize = 4 * 1024;

/// The pieces of all agents. Cheap to clone.
#[derive(Clone, Default)]
pub struct WallPieces(Arc<Mutex<Pieces>>);

#[derive(Default)]
struct Pieces {
    receiver: Piece,
    agents: BTreeMap<Name, AgentPieces>,
    /// Grows with each change; a later change of a piece has a higher number.
    revision: u64,
}

/// Some members of the wall.
#[derive(Default)]
struct Piece {
    /// As it is now.
    json: AgedJson,
    /// As it was when it got its revision.
    published: AgedJson,
    /// 0 before it is made for the first time.
    revision: u64,
    made: Option<Instant>,
}

#[derive(Default)]
struct AgentPieces {
    /// The edition of the wall's agent that the pieces are made of.
    edition: u64,
    head: Piece,
    /// In the wall's order.
    readings: Vec<ReadingPiece>,
    /// The revision of the last removal of readings.
    removal: u64,
}

struct ReadingPiece {
    port: Name,
    quantity: Arc<str>,
    received: Instant,
    revision: u64,
    /// See [`wall_json::reading`].
    json: String,
    age: Age,
}

/// The newest revisions that a viewer has of an agent.
#[derive(Clone, Copy, Default)]
pub(super) struct SentAgent {
    head: u64,
    readings: u64,
    removal: u64,
}

impl WallPieces {
    /// Appends the members of the receiver, each with a comma before it, if they changed since the revision `sent`.
    pub(super) fn write_receiver(&self, site: &Site, sent: &mut u64, text: &mut String) {
        let mut pieces = lock(&self.0);
        let Pieces { receiver, revision, .. } = &mut *pieces;
        if receiver.is_old() {
            receiver.replace(wall_json::receiver(site), revision);
        }
        if *sent < receiver.revision {
            *sent = receiver.revision;
            text.push(',');
            receiver.json.write(Instant::now(), text);
        }
    }

    /// Appends an agent's object, with a comma before it unless the list is empty, if something in it changed since
    /// `sent`. Readings are left out once the text has `max_bytes`. Returns true if no reading was left out.
    pub(super) fn write_agent(
        &self,
        (name, agent): (&Name, &Agent),
        commands: &Commands,
        sent: &mut SentAgent,
        max_bytes: usize,
        text: &mut String,
    ) -> bool {
        let mut pieces = lock(&self.0);
        let Pieces { agents, revision, .. } = &mut *pieces;
        let pieces = agents.entry(name.clone()).or_default();
        pieces.refresh(name, agent, commands, revision);
        pieces.write(name, sent, max_bytes, text)
    }

    /// Drops the pieces of agents that left the wall.
    pub(super) fn retain(&self, wall: &Wall) {
        lock(&self.0).agents.retain(|name, _| wall.agents.contains_key(name));
    }
}

impl Piece {
    fn is_old(&self) -> bool {
        self.made.is_none_or(|made| made.elapsed() >= REFRESH_INTERVAL)
    }

    /// Replaces the JSON; it gets a new revision if viewers have to get it.
    fn replace(&mut self, json: AgedJson, revision: &mut u64) {
        if self.made.replace(Instant::now()).is_none() || !json.is_same(&self.published) {
            self.revision = next(revision);
            self.published.clone_from(&json);
        }
        self.json = json;
    }
}

fn next(revision: &mut u64) -> u64 {
    *revision += 1;
    *revision
}

impl AgentPieces {
    /// Makes the pieces that have changed.
    fn refresh(&mut self, name: &Name, agent: &Agent, commands: &Commands, revision: &mut u64) {
        let is_changed = self.head.made.is_none() || self.edition != agent.edition;
        if is_changed || self.head.is_old() {
            self.head.replace(wall_json::agent(name, agent, commands), revision);
        }
        if is_changed {
            self.edition = agent.edition;
            self.refresh_readings(agent, revision);
        }
    }

    fn refresh_readings(&mut self, agent: &Agent, revision: &mut u64) {
        let mut old = std::mem::take(&mut self.readings).into_iter().peekable();
        let mut kept = 0;
        let count = old.len();
        for ((port, quantity), current) in &agent.readings {
            // Both are in the same order.
            while old.next_if(|old| (&old.port, &old.quantity) < (port, quantity)).is_some() {}
            let known = old.next_if(|old| (&old.port, &old.quantity) == (port, quantity));
            kept += usize::from(known.is_some());
            let known = known.filter(|known| known.received == current.received);
            self.readings.push(known.unwrap_or_else(|| ReadingPiece::new(current, next(revision))));
        }
        if kept < count || self.removal == 0 {
            self.removal = next(revision);
        }
    }

    /// See [`WallPieces::write_agent`].
    fn write(&self, name: &Name, sent: &mut SentAgent, max_bytes: usize, text: &mut String) -> bool {
        let has_head = sent.head < self.head.revision;
        let is_reset = sent.removal < self.removal;
        if is_reset {
            sent.readings = 0;
        }
        let changed: Vec<_> = self.readings.iter().filter(|reading| reading.revision > sent.readings).collect();
        if !has_head && !is_reset && changed.is_empty() {
            return true;
        }
        (sent.head, sent.removal) = (self.head.revision, self.removal);
        let (now, count) = (Instant::now(), changed.len());
        let mut written = 0;
        text.push_str(if text.ends_with('[') { "{\"name\":" } else { ",{\"name\":" });
        text.push_str(&to_json(name));
        if has_head {
            text.push(',');
            self.head.json.write(now, text);
        }
        if is_reset || !changed.is_empty() {
            text.push_str(if is_reset { ",\"readings\":[" } else { ",\"changed_readings\":[" });
            // Each text makes progress, also behind a long head.
            let max_bytes = max_bytes.max(text.len().saturating_add(MIN_READINGS_BYTES));
            written = write_readings(changed, sent, max_bytes, now, text);
            text.push(']');
        }
        text.push('}');
        written == count
    }
}

/// Appends changed readings until the text has `max_bytes`; returns how many.
fn write_readings(
    mut changed: Vec<&ReadingPiece>,
    sent: &mut SentAgent,
    max_bytes: usize,
    now: Instant,
    text: &mut String,
) -> usize {
    if max_bytes < usize::MAX {
        // The earliest changes first, so that each reading has its turn.
        changed.sort_unstable_by_key(|reading| reading.revision);
    }
    let mut written = 0;
    for reading in changed {
        if text.len() >= max_bytes {
            break;
        }
        reading.write(now, text);
        sent.readings = sent.readings.max(reading.revision);
        written += 1;
    }
    written
}

impl ReadingPiece {
    fn new(current: &Current, revision: u64) -> ReadingPiece {
        ReadingPiece {
            port: current.reading.port.clone(),
            quantity: Arc::clone(&current.reading.quantity),
            received: current.received,
            revision,
            json: wall_json::reading(current),
            age: Age { base_ms: current.reading.age_ms, since: current.received },
        }
    }

    /// Appends the reading, with a comma before it unless the list is empty.
    fn write(&self, now: Instant, text: &mut String) {
        let comma = if text.ends_with('[') { "" } else { "," };
        write!(text, "{comma}{}{}}}", self.json, self.age.ms(now)).expect("writing to a String cannot fail");
    }
}
