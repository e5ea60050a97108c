//! The receiver's state in one line, for the service manager.

use std::time::Duration;

use super::web::{Site, causes};

/// An agent silent for this long is not connected; it sends a status every second.
const AGENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connected agents, the page's address, and problems.
pub(super) fn summary(site: &Site, page: &str, rejected: bool) -> String {
    let wall = site.wall.borrow();
    let connected = wall.agents.values().filter(|agent| agent.last_heard.elapsed() < AGENT_TIMEOUT).count();
    let silent = wall.agents.len() - connected;
    let silent = if silent > 0 { format!(", silent: {silent}") } else { String::new() };
    drop(wall);
    let mut line = format!("agents connected: {connected}{silent}; page at http://{page}/");
    let rejected = rejected.then(|| "the last configuration was rejected, see the log".to_owned());
    for cause in causes(site).into_iter().chain(rejected) {
        line = format!("{line}; {cause}");
    }
    line
}
