//! The agent's state in one line, for the service manager.

use crate::wire::{PartStatus, Status};

/// Counts the parts of each kind that are up, and names the first part that is down with its cause.
pub(super) fn summary(status: &Status) -> String {
    let kinds = [("cameras", &status.cameras), ("ports", &status.ports), ("links", &status.links)];
    let counts = kinds.iter().filter(|(_, parts)| !parts.is_empty()).map(|(kind, parts)| {
        let up = parts.iter().filter(|part| part.up).count();
        format!("{up} of {} {kind} up", parts.len())
    });
    let mut line = counts.collect::<Vec<_>>().join(", ");
    let all = kinds.iter().flat_map(|(_, parts)| parts.iter()).chain(&status.spool);
    if let Some(PartStatus { name, cause, .. }) = all.into_iter().find(|part| !part.up) {
        line = format!("{line}; {name}: {cause}");
    }
    line
}
