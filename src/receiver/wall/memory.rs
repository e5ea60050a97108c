//! Makes room when memory runs short: the agent with the largest share loses its oldest frames, or its texts.

use std::mem::size_of;
use std::time::Instant;

use super::{Agent, Current, Wall};
use crate::host::HostStatus;
use crate::name::Name;
use crate::receiver::quotas::Quota;
use crate::wire::PartStatus;

/// Overhead of an allocation: a text's two counters, and the allocator's header.
const ALLOCATION: usize = 32;

/// Memory for a counter of a part, with its name.
const COUNTER: usize = 96;

impl Wall {
    /// Removes an agent's oldest frame; returns whether there was one.
    pub fn remove_oldest_frame(&mut self, agent: &Name) -> bool {
        let Some(agent) = self.agents.get_mut(agent) else { return false };
        let shown = agent.cameras.values_mut().filter(|camera| camera.newest.is_some());
        let Some(oldest) = shown.min_by_key(|camera| camera.changed) else { return false };
        (oldest.newest, oldest.changed) = (None, Instant::now());
        self.edition += 1;
        agent.edition = self.edition;
        true
    }

    /// Accounts an agent's readings and status. If they do not fit, the agents with the largest shares lose theirs.
    pub(super) fn account_texts(&mut self, name: &Name) {
        let Some(agent) = self.agents.get_mut(name) else { return };
        agent.memory = None;
        let length = agent.text_bytes();
        loop {
            if let Some(share) = self.texts.take(name, length) {
                self.agents.entry(name.clone()).and_modify(|agent| agent.memory = Some(share));
                return;
            }
            let largest = self.texts.largest_first(name, length).swap_remove(0);
            self.quotas.refuse(Quota::MemoryBytes, 1, &largest);
            let what = "no memory for its readings and status; set a higher [limits] memory";
            self.refusals.log(&format_args!("agent {largest}"), &what);
            self.edition += 1;
            let edition = self.edition;
            self.agents.entry(largest.clone()).and_modify(|agent| {
                agent.clear_texts();
                agent.edition = edition;
            });
            if largest == *name {
                return;
            }
        }
    }
}

impl Agent {
    fn clear_texts(&mut self) {
        self.readings.clear();
        self.ports.clear();
        (self.status, self.memory) = (None, None);
    }

    /// Estimated bytes of its readings and its status.
    fn text_bytes(&self) -> usize {
        let of_reading = |current: &Current| {
            let reading = &current.reading;
            2 * size_of::<Current>() + 3 * ALLOCATION + reading.port.len() + reading.quantity.len() + reading.unit.len()
        };
        let readings: usize = self.readings.values().map(of_reading).sum();
        let parts = self.status.iter().flat_map(|(status, _)| {
            status.cameras.iter().chain(&status.ports).chain(&status.links).chain(&status.spool)
        });
        readings + parts.map(part_bytes).sum::<usize>() + size_of::<HostStatus>()
    }
}

fn part_bytes(part: &PartStatus) -> usize {
    let texts = part.name.len() + part.source.len() + part.cause.len();
    let counters: usize = part.counts.keys().map(|name| COUNTER + name.len()).sum();
    size_of::<PartStatus>() + 3 * ALLOCATION + texts + counters
}
