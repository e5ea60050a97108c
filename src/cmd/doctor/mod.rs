//! What would keep this machine from doing the configured job, in words and with the remedy.
//!
//! `sources.rs` looks at boards and cameras, `links.rs` at keys and at the other ends, `places.rs` at disks, `condition.rs` at
//! the machine itself; `who.rs` knows whose rights count.

mod condition;
mod links;
mod places;
mod sources;
mod who;

use std::path::Path;
use std::time::Duration;

use crate::config::{Agent, Either, Receiver};
use crate::host::Roots;
use who::Who;

/// What is there answers within this time, or is as good as not there.
const ANSWER: Duration = Duration::from_secs(3);

/// What was found, told as it is found.
pub struct Findings<'a> {
    tell: &'a mut dyn FnMut(&str),
    /// How many of them keep it from its job.
    pub errors: usize,
}

impl<'a> Findings<'a> {
    /// None yet; each is told in a line, and what to do about it in another.
    pub fn new(tell: &'a mut dyn FnMut(&str)) -> Findings<'a> {
        Findings { tell, errors: 0 }
    }

    fn ok(&mut self, what: &str) {
        (self.tell)(&format!("ok       {what}\n"));
    }

    /// It works, but not as well as it should, or not for long.
    fn warning(&mut self, what: &str, remedy: &str) {
        (self.tell)(&format!("warning: {what}\n         {remedy}\n"));
    }

    /// It does not work.
    fn error(&mut self, what: &str, remedy: &str) {
        self.errors += 1;
        (self.tell)(&format!("error:   {what}\n         {remedy}\n"));
    }

    /// What other modules say in one sentence, with the remedy behind a semicolon.
    fn error_of(&mut self, what: &str, error: &str) {
        let (cause, remedy) = error.split_once("; ").unwrap_or((error, "mend that, and ask again"));
        self.error(&format!("{what}: {cause}"), remedy);
    }
}

/// Looks at everything that the configuration in `file` needs. Boards are not opened, because that resets many; cameras are
/// asked what they offer, peers are greeted and left, and nothing is written.
pub async fn examine(config: &Either, file: &Path, findings: &mut Findings<'_>) {
    let users = Who::all();
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

async fn examine_agent(agent: &Agent, users: &[Who], findings: &mut Findings<'_>) {
    sources::examine(agent, users, findings).await;
    if let Some(spool) = places::spool(agent) {
        places::examine("spool", spool, false, users, findings).await;
    }
    for link in &agent.links {
        let opening = links::Wanted { pattern: link.pattern.into(), end: &link.end, curve: link.curve.as_ref() };
        opening.examine(users, findings).await;
    }
}

async fn examine_receiver(receiver: &Receiver, users: &[Who], findings: &mut Findings<'_>) {
    for link in &receiver.links {
        let opening = links::Wanted { pattern: link.pattern.into(), end: &link.end, curve: link.curve.as_ref() };
        opening.examine(users, findings).await;
    }
    links::examine_page(&receiver.web, findings);
    for (what, place, is_directory) in places::of_receiver(receiver) {
        places::examine(what, &place, is_directory, users, findings).await;
    }
}
