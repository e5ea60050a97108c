//! What the page warns of, as JSON: agents that are refused because of their name, and limits that are reached.

use serde_json::{Value, json};

use super::Site;

/// The agents that are being refused now, with the reason and the remedy.
pub(super) fn refused(site: &Site) -> Value {
    let current = site.refused.current();
    let each = current.iter().map(|(refused, refusals)| {
        json!({
            "agent": refused.agent, "peer": refused.peer, "other": refused.other, "cause": refused.cause,
            "text": refused.text, "count": refusals.count, "since_ms": refusals.first.elapsed().as_millis() as u64,
        })
    });
    each.collect()
}

/// The limits that refuse something now.
pub(super) fn quotas(site: &Site) -> Value {
    let all = site.quotas.all();
    let refusing = all.iter().filter(|(_, state)| state.is_refusing());
    let each = refusing.map(|(quota, state)| {
        let last = state.last.as_ref().map_or("", |(who, _)| &**who);
        json!({
            "quota": quota.id(), "used": state.used, "limit": state.limit, "refused": state.refused, "last": last,
            "text": format!("{}; last: {last}", quota.consequence()),
        })
    });
    each.collect()
}
