//! The receiver's `[limits]` table.

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use super::storage::Bytes;

/// Limits on what agents may use of the receiver's machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of pictures and queues in memory; `None` for half of what the receiver may use.
    pub memory: Option<Bytes>,
    /// Number of agents.
    #[serde(default = "default_agents")]
    pub agents: usize,
}

fn default_agents() -> usize {
    4096
}

/// Lower limit of `memory`: a viewer's copies of one picture of the largest size must fit into their part of it.
const MIN_MEMORY: Bytes = Bytes(128_000_000);

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory: None, agents: default_agents() }
    }
}

impl Limits {
    pub(super) fn check(table: Spanned<Limits>) -> Result<Limits, Fault> {
        let span = table.span();
        let limits = table.into_inner();
        if let Some(memory) = limits.memory.filter(|memory| *memory < MIN_MEMORY) {
            return Err(Fault::of("memory", span, format!("{memory} is too small; write at least \"{MIN_MEMORY}\"")));
        }
        if limits.agents == 0 {
            return Err(Fault::of("agents", span, "no agent could be shown; write at least 1".to_owned()));
        }
        Ok(limits)
    }
}
