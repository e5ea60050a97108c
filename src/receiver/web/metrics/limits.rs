//! Metrics of limits and of agents that are refused because of their name.

use std::collections::BTreeSet;

use super::{Kind, Site, Text};

pub(super) fn write(site: &Site, text: &mut Text) {
    quotas(site, text);
    refused_agents(site, text);
}

fn quotas(site: &Site, text: &mut Text) {
    let all = site.quotas.all();
    let each = |of: fn(u64, u64, u64) -> u64| {
        all.iter()
            .map(move |(quota, state)| ([("quota", quota.id())], of(state.used, state.limit, state.refused) as f64))
    };
    text.family("quota_used", Kind::Gauge, "How much of a limited resource is in use.", each(|used, _, _| used));
    text.family("quota_limit", Kind::Gauge, "How much of a limited resource may be in use.", each(|_, limit, _| limit));
    let help = "How often something was refused or removed because of the limit.";
    text.family("quota_refused_total", Kind::Counter, help, each(|_, _, refused| refused));
}

fn refused_agents(site: &Site, text: &mut Text) {
    let by_cause = site.refused.by_cause();
    let by_cause = by_cause.iter().map(|(cause, count)| ([("cause", *cause)], *count as f64));
    let help = "Messages refused because of the agent's name, by cause.";
    text.family("agents_refused_total", Kind::Counter, help, by_cause);
    let current = site.refused.current();
    // A peer may have entries that differ only in their text.
    let current: BTreeSet<_> =
        current.iter().map(|(refused, _)| (&*refused.agent, &*refused.peer, refused.cause)).collect();
    let current =
        current.into_iter().map(|(agent, peer, cause)| ([("agent", agent), ("peer", peer), ("cause", cause)], 1.0));
    let help = "Agents that are being refused because of their name; 1 for each.";
    text.family("agent_refused", Kind::Gauge, help, current);
}
