//! Finds problems that would keep this machine from running a configuration, with remedies.
//!
//! `sources.rs` examines boards and cameras, `links.rs` keys and the other ends, `storage.rs` disks, and `condition.rs`
//! the machine. `user.rs` checks permissions.

mod condition;
mod links;
mod sources;
mod storage;
mod user;

use std::path::Path;
use std::time::Duration;

use crate::agent::spool::NO_PATH;
use crate::config::{Agent, Either, Receiver};
use crate::host::Roots;
use links::ConfiguredLink;
use user::User;

/// How long to wait for a response of a peer, name server or disk.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The findings, each reported as soon as it is known.
pub struct Findings<'a> {
    report: &'a mut dyn FnMut(&str),
    /// Number of findings that keep something from working.
    pub errors: usize,
}

impl<'a> Findings<'a> {
    /// Starts without findings. Each problem is reported with two lines: the problem and its remedy.
    pub fn new(report: &'a mut dyn FnMut(&str)) -> Findings<'a> {
        Findings { report, errors: 0 }
    }

    fn ok(&mut self, what: &str) {
        (self.report)(&format!("ok       {what}\n"));
    }

    /// Reports something that works, but not well, or not for long.
    fn warning(&mut self, what: &str, remedy: &str) {
        (self.report)(&format!("warning: {what}\n         {remedy}\n"));
    }

    /// Reports something that does not work.
    fn error(&mut self, what: &str, remedy: &str) {
        self.errors += 1;
        (self.report)(&format!("error:   {what}\n         {remedy}\n"));
    }

    /// As [`Findings::warning`], for a text that has its remedy after a semicolon.
    fn warning_of(&mut self, what: &str, text: &str) {
        let (cause, remedy) = text.split_once("; ").unwrap_or((text, ""));
        self.warning(&format!("{what}: {cause}"), remedy);
    }

    /// Reports an error of another module, which has its remedy after a semicolon.
    fn error_of(&mut self, what: &str, error: &str) {
        let (cause, remedy) = error.split_once("; ").unwrap_or((error, "fix that, and run `watchpost doctor` again"));
        self.error(&format!("{what}: {cause}"), remedy);
    }
}

/// Examines everything that the configuration in `file` needs. Does not open boards, because that resets many of them.
/// Queries the cameras' modes, completes a handshake with each peer, and writes nothing.
pub async fn examine(config: &Either, file: &Path, findings: &mut Findings<'_>) {
    let users = User::all();
    let names: Vec<_> = users.iter().map(|user| &*user.name).collect();
    let what = match config {
        Either::Agent(agent) => format!("agent {}", agent.name),
        Either::Receiver(_) => "receiver".to_owned(),
    };
    findings.ok(&format!("{}: {what}, for {}", file.display(), names.join(" and for ")));
    match config {
        Either::Agent(agent) => examine_agent(agent, &users, findings).await,
        Either::Receiver(receiver) => examine_receiver(receiver, &users, findings).await,
    }
    condition::examine(&Roots::default(), findings);
}

async fn examine_agent(agent: &Agent, users: &[User], findings: &mut Findings<'_>) {
    sources::examine(agent, users, findings).await;
    if let Some(spool) = storage::spool(agent) {
        storage::examine("spool", spool, false, users, findings).await;
    } else if agent.wants_spool_path() {
        findings.warning_of("spool", NO_PATH);
    }
    for link in &agent.links {
        let (pattern, end, curve) = (link.pattern.into(), &link.end, link.curve.as_ref());
        ConfiguredLink { pattern, end, curve }.examine(users, findings).await;
    }
}

async fn examine_receiver(receiver: &Receiver, users: &[User], findings: &mut Findings<'_>) {
    for link in &receiver.links {
        let (pattern, end, curve) = (link.pattern.into(), &link.end, link.curve.as_ref());
        ConfiguredLink { pattern, end, curve }.examine(users, findings).await;
    }
    links::examine_page(&receiver.web, findings);
    for (what, path, is_directory) in storage::of_receiver(receiver) {
        storage::examine(what, &path, is_directory, users, findings).await;
    }
}
