//! What the boards of each agent measure now, as the text that stands below its pictures.

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

/// How often the texts are made anew.
const OFTEN: Duration = Duration::from_secs(1);

/// No picture has room for more.
const MOST_LINES: usize = 24;

/// The texts, by agent.
#[derive(Clone, Debug, Default)]
pub struct Captions(Arc<Mutex<BTreeMap<Name, Arc<str>>>>);

impl Captions {
    /// What stands below this agent's pictures now.
    #[must_use]
    pub fn of(&self, agent: &Name) -> Option<Arc<str>> {
        lock(&self.0).get(agent).cloned()
    }

    /// Follows the wall until the shutdown.
    ///
    /// # Errors
    /// None.
    pub async fn follow(self, wall: watch::Receiver<Wall>, shutdown: CancellationToken) -> Result<()> {
        let mut turns = interval(OFTEN);
        while shutdown.run_until_cancelled(turns.tick()).await.is_some() {
            let agents = |wall: &Wall| wall.agents.iter().map(|(name, agent)| (name.clone(), text(agent))).collect();
            let texts = agents(&wall.borrow());
            *lock(&self.0) = texts;
        }
        Ok(())
    }
}

/// A line a quantity, such as `temperature 23.5 °C`, with its port where another has the same. What is stale is not now.
fn text(agent: &Agent) -> Arc<str> {
    let is_current = |current: &&Current| current.age() < Duration::from_millis(current.reading.stale_after_ms);
    let current: Vec<_> = agent.readings.values().filter(is_current).map(|current| &current.reading).collect();
    let mut text = String::new();
    for reading in current.iter().take(MOST_LINES) {
        let is_ambiguous = current.iter().filter(|other| other.quantity == reading.quantity).count() > 1;
        let port = if is_ambiguous { format!(" ({})", reading.port) } else { String::new() };
        let end = if text.is_empty() { "" } else { "\n" };
        let line = format!("{}{port} {} {}", reading.quantity, reading.value, reading.unit);
        // A line that is empty would end the text for some players.
        let line: String = line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        write!(text, "{end}{line}").expect("a String takes all");
    }
    text.into()
}
