//! What the page warns of, as JSON: agents that are refused because of their name, and limits that are reached.

use serde_json::{Value, json};

use super::aged_json::{Age, AgedJson};
use crate::receiver::quotas::Quotas;
use crate::receiver::refused_agents::RefusedAgents;

/// The agents that are being refused now, with the reason and the remedy.
pub(super) fn refused(agents: &RefusedAgents) -> impl Iterator<Item = AgedJson> {
    agents.current().into_iter().map(|(refused, refusals)| {
        let mut json = AgedJson::default();
        json.member("agent", &refused.agent);
        json.member("peer", &refused.peer);
        json.member("other", &refused.other);
        json.member("cause", &refused.cause);
        json.member("text", &refused.text);
        json.member("count", &refusals.count);
        json.age("since_ms", Some(Age::of(refusals.first)));
        json
    })
}

/// The limits that refuse something now.
pub(super) fn quotas(quotas: &Quotas) -> Value {
    let all = quotas.all();
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
