//! Captions: the current readings of each agent as text below its pictures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::lock::lock;
use crate::name::Name;
use crate::receiver::wall::{Agent, Current, Wall};

/// How often the captions are rebuilt.
const UPDATE_INTERVAL: Duration = Duration::from_secs(1);

/// More lines do not fit on a picture.
const MAX_LINES: usize = 24;

/// The captions, by agent.
#[derive(Clone, Debug, Default)]
pub struct Captions(Arc<Mutex<BTreeMap<Name, Arc<str>>>>);

impl Captions {
    /// The agent's current caption.
    #[must_use]
    pub fn of(&self, agent: &Name) -> Option<Arc<str>> {
        lock(&self.0).get(agent).cloned()
    }

    /// Rebuilds the captions from the wall until the shutdown.
    ///
    /// # Errors
    /// None.
    pub async fn follow(self, wall: watch::Receiver<Wall>, shutdown: CancellationToken) -> Result<()> {
        let mut ticks = interval(UPDATE_INTERVAL);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            let texts = texts(&wall.borrow());
            *lock(&self.0) = texts;
        }
        Ok(())
    }
}

/// The captions of agents that have cameras. Agents without cameras have no pictures to caption.
fn texts(wall: &Wall) -> BTreeMap<Name, Arc<str>> {
    let agents = wall.agents.iter().filter(|(_, agent)| !agent.cameras.is_empty());
    agents.map(|(name, agent)| (name.clone(), text(agent))).collect()
}

/// One line per current reading, such as `temperature 23.5 °C`, with the port if several have the quantity.
fn text(agent: &Agent) -> Arc<str> {
    let is_current = |current: &&Current| current.age() < Duration::from_millis(current.reading.stale_after_ms);
    let current: Vec<_> = agent.readings.values().filter(is_current).map(|current| &current.reading).collect();
    let mut text = String::new();
    for reading in current.iter().take(MAX_LINES) {
        let is_ambiguous = current.iter().filter(|other| other.quantity == reading.quantity).count() > 1;
        let port = if is_ambiguous { format!(" ({})", reading.port) } else { String::new() };
        let separator = if text.is_empty() { "" } else { "\n" };
        let line = format!("{}{port} {} {}", reading.quantity, reading.value, reading.unit);
        // Some players end the text at an empty line.
        let line: String = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(text, "{separator}{line}").expect("writing to a String cannot fail");
    }
    text.into()
}
