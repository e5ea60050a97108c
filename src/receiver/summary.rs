//! The receiver's state in one line, for the service manager.

use super::web::{Site, causes};

/// Connected agents, the page's address, and problems.
pub(super) fn summary(site: &Site, page: &str, rejected: bool) -> String {
    let connected = site.wall.borrow().agents.values().filter(|agent| agent.is_connected()).count();
    let mut line = format!("agents connected: {connected}; page at http://{page}/");
    let rejected = rejected.then(|| "the last configuration was rejected, see the log".to_owned());
    for cause in causes(site).into_iter().chain(rejected) {
        line = format!("{line}; {cause}");
    }
    line
}
