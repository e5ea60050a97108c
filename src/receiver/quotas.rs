//! Limits on what peers may use of this machine, and how much of each is in use.
//!
//! The modules that enforce limits report them here; the page, `/health` and the metrics show them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lock::lock;

/// A refusal counts as current for this long.
const CURRENT_FOR: Duration = Duration::from_mins(1);

/// A limited resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// Agents that the receiver knows.
    Agents,
    /// Cameras, ports and quantities of one agent on the wall.
    AgentParts,
    /// Series in the history.
    Series,
    /// Bytes of readings that wait for the history's disk.
    HistoryQueueBytes,
    /// Gaps in the numbers of one start of an agent, in the history.
    NumberGaps,
    /// Cameras that are recorded at the same time.
    RecordedCameras,
    /// Bytes of pictures and queues in memory.
    MemoryBytes,
    /// Connections to the links.
    Connections,
}

impl Quota {
    /// Returns an identifier for metrics and JSON.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Quota::Agents => "agents",
            Quota::AgentParts => "agent_parts",
            Quota::Series => "series",
            Quota::HistoryQueueBytes => "history_queue_bytes",
            Quota::NumberGaps => "number_gaps",
            Quota::RecordedCameras => "recorded_cameras",
            Quota::MemoryBytes => "memory_bytes",
            Quota::Connections => "connections",
        }
    }

    /// Returns what it means that the limit is reached, without names and addresses.
    #[must_use]
    pub fn consequence(self) -> &'static str {
        match self {
            Quota::Agents => "the limit of agents is reached: some agents are not shown",
            Quota::AgentParts => "an agent has more cameras, ports or quantities than the limit: some are not shown",
            Quota::Series => "the limit of series is reached: some readings are not stored",
            Quota::HistoryQueueBytes => "readings arrive faster than the disk stores them: agents repeat some later",
            Quota::NumberGaps => "the numbers of an agent's readings have too many gaps: some readings are not stored",
            Quota::RecordedCameras => "the limit of recorded cameras is reached: some cameras are not recorded",
            Quota::MemoryBytes => "the limit of memory is reached: some pictures and readings are dropped",
            Quota::Connections => "the limit of connections is reached: some peers are disconnected",
        }
    }
}

/// The state of one quota.
#[derive(Clone, Debug, Default)]
pub struct QuotaState {
    /// How much is in use.
    pub used: u64,
    /// How much may be in use.
    pub limit: u64,
    /// How often something was refused or removed because of the limit.
    pub refused: u64,
    /// The agent, peer or camera that was refused last, and when.
    pub last: Option<(Arc<str>, Instant)>,
}

impl QuotaState {
    /// Whether something was refused within the last minute.
    #[must_use]
    pub fn is_refusing(&self) -> bool {
        self.last.as_ref().is_some_and(|(_, at)| at.elapsed() < CURRENT_FOR)
    }
}

/// The state of all quotas. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Mutex<BTreeMap<Quota, QuotaState>>>);

impl Quotas {
    /// Reports how much of a quota is in use.
    pub fn set(&self, quota: Quota, used: u64, limit: u64) {
        let mut all = self.lock();
        let state = all.entry(quota).or_default();
        (state.used, state.limit) = (used, limit);
    }

    /// Counts refusals; `who` was refused.
    pub fn refuse(&self, quota: Quota, times: u64, who: &str) {
        let mut all = self.lock();
        let state = all.entry(quota).or_default();
        state.refused += times;
        state.last = Some((who.into(), Instant::now()));
    }

    /// Returns the state of every quota that was reported.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Quota, QuotaState> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Quota, QuotaState>> {
        lock(&self.0)
    }
}
