//! How the receiver is, in one line, for the service manager.

use std::time::Duration;

use super::web::{Site, causes};

/// An agent says how it is each second; one that was silent for longer is not heard.
const SILENT: Duration = Duration::from_secs(5);

/// What is heard, where the page is, and what is the matter.
pub(super) fn summary(site: &Site, page: &str, refused: bool) -> String {
    let wall = site.wall.borrow();
    let heard = wall.agents.values().filter(|agent| agent.heard.elapsed() < SILENT).count();
    let silent = wall.agents.len() - heard;
    let silent = if silent > 0 { format!(", silent: {silent}") } else { String::new() };
    drop(wall);
    let mut line = format!("agents heard: {heard}{silent}; the page is at http://{page}/");
    let refused = refused.then(|| "the last configuration was not taken, see the log".to_owned());
    for cause in causes(site).into_iter().chain(refused) {
        line = format!("{line}; {cause}");
    }
    line
}
