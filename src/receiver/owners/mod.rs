//! Who owns which agent name, over all links of the receiver. No sockets.
//!
//! Identity comes from the connection, not from the message:
//! - With CURVE, a connection may use the name of its key, and the names that the configuration lists for that key.
//! - A connection keeps the first name that it used.
//! - A name belongs to the agent's start that claimed it, until its connections have ended (`agent.rs`).

mod agent;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::refused_agents::RefusedAgent;
use crate::config::{Format, Inlet, MAX_CAMERAS};
use crate::link::Origin;
use crate::lock::lock;
use crate::name::Name;
use crate::wire::Message;
use agent::{Agent, Refusal};

/// A power cut leaves a connection half-open for up to four seconds, in which its agent may already have another one. A
/// name counts as used twice once its owner sends again, or after this time.
const GRACE: Duration = Duration::from_secs(5);

/// The causes of refusals, as identifiers.
const NAME_IN_USE: &str = "name_in_use";
const NAME_NOT_PERMITTED: &str = "name_not_permitted";
const TOO_MANY_CAMERAS: &str = "too_many_cameras";
/// The connection's first name is still permitted.
pub const SECOND_NAME: &str = "second_name";

/// Limit on the refused peers of one name that wait to be reported.
const MAX_CONTENDERS: usize = 8;

/// The owners of all agent names. Cheap to clone.
#[derive(Clone, Default)]
pub struct Owners(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The number of the newest link.
    newest_link: u64,
    /// Connections that sent messages and have not ended.
    connections: HashMap<u64, Connection>,
    /// The names in use.
    agents: HashMap<Name, Named>,
}

#[derive(Default)]
struct Connection {
    link: u64,
    /// The first name that it used and may use.
    name: Option<Name>,
    /// The first name that it was refused. Reports show this one, so that changing names do not make many reports.
    refused: Option<Name>,
}

#[derive(Default)]
struct Named {
    agent: Agent,
    /// Since when other peers that use the name wait to be reported.
    contested_since: Option<Instant>,
    contenders: Vec<Report>,
}

/// A message's claim to an agent name.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The name.
    pub agent: &'a Name,
    /// What the message shows of the agent.
    pub proof: Proof<'a>,
}

/// What a message shows of its agent.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// The agent's current start.
    Start(&'a Name),
    /// Readings that waited. Their start may be an earlier one.
    Backlog,
    /// Only the camera, in a format without starts.
    Camera {
        /// Its name.
        camera: &'a Name,
        /// The receiver's configuration gives both names.
        is_assigned: bool,
    },
}

impl<'a> Claim<'a> {
    /// The claim of a message in this format.
    #[must_use]
    pub fn of(message: &'a Message, format: Format) -> Claim<'a> {
        let proof = match message {
            Message::Readings(readings) if readings.backlog => Proof::Backlog,
            Message::Readings(readings) => Proof::Start(&readings.boot),
            Message::Status(status) => Proof::Start(&status.boot),
            Message::Frame(header, _) => match &header.boot {
                Some(boot) => Proof::Start(boot),
                None => Proof::Camera { camera: &header.camera, is_assigned: format == Format::Base64 },
            },
        };
        Claim { agent: message.agent(), proof }
    }
}

/// Refused messages to report: their peer, and how many.
pub type Report = (RefusedAgent, u64);

/// The answer to a claim.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Why the message is refused: `name_in_use`, `name_not_permitted`, `too_many_cameras` or `second_name`.
    pub refused: Option<&'static str>,
    /// What to report now. Most messages have nothing to report, not even each refused one.
    pub reports: Vec<Report>,
}

/// The owners, for one link. Its connections own nothing any more when it is dropped.
pub struct LinkOwners {
    owners: Owners,
    link: u64,
}

impl Owners {
    /// Returns the owners for a new link.
    #[must_use]
    pub fn for_link(&self) -> LinkOwners {
        let mut state = self.lock();
        state.newest_link += 1;
        LinkOwners { owners: self.clone(), link: state.newest_link }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl LinkOwners {
    /// Decides whether a message may use its agent's name. `inlet` says which names a key permits.
    #[must_use]
    pub fn admit(&self, inlet: &Inlet, origin: &Arc<Origin>, claim: Claim, now: Instant) -> Verdict {
        self.owners.lock().admit(inlet, self.link, origin, claim, now)
    }

    /// Records that a connection has ended.
    pub fn ended(&self, connection: u64) {
        self.owners.lock().ended(connection);
    }

    /// Records that all connections of the link have ended.
    pub fn all_ended(&self) {
        let mut state = self.owners.lock();
        let connections = state.connections.iter().filter(|(_, connection)| connection.link == self.link);
        let connections: Vec<u64> = connections.map(|(number, _)| *number).collect();
        for connection in connections {
            state.ended(connection);
        }
    }
}

impl Drop for LinkOwners {
    fn drop(&mut self) {
        self.all_ended();
    }
}

impl State {
    fn admit(&mut self, inlet: &Inlet, link: u64, origin: &Arc<Origin>, claim: Claim, now: Instant) -> Verdict {
        let mut unremembered = Connection::default();
        let connection = if origin.has_ended {
            &mut unremembered
        } else {
            self.connections.entry(origin.connection).or_insert(Connection { link, ..Connection::default() })
        };
        let name = claim.agent;
        let is_assigned = matches!(claim.proof, Proof::Camera { is_assigned: true, .. });
        if let Some(key) = origin.key.as_deref()
            && !is_assigned
            && !inlet.permits(key, name)
        {
            let shown = connection.refused.get_or_insert_with(|| name.clone());
            return Verdict::refuse(not_permitted(inlet, origin, key, shown));
        }
        let first = connection.name.get_or_insert_with(|| name.clone());
        if first != name {
            let shown = connection.refused.get_or_insert_with(|| name.clone());
            return Verdict::refuse(second_name(origin, first, shown));
        }
        if origin.has_ended {
            let named = self.agents.get_mut(name);
            let refusal = named.and_then(|named| named.agent.claim(origin, claim.proof).err());
            return Verdict { refused: refusal.as_ref().map(Refusal::cause), reports: Vec::new() };
        }
        let named = self.agents.entry(name.clone()).or_default();
        match named.agent.claim(origin, claim.proof) {
            Ok(()) => Verdict { refused: None, reports: named.take_contenders() },
            Err(refusal) => {
                let reports = named.contend(refusal.report(name, origin), now);
                Verdict { refused: Some(refusal.cause()), reports }
            }
        }
    }

    fn ended(&mut self, connection: u64) {
        let Some(name) = self.connections.remove(&connection).and_then(|connection| connection.name) else { return };
        let Some(named) = self.agents.get_mut(&name) else { return };
        if named.agent.release(connection) {
            // The contenders may have the name now.
            named.take_contenders();
        }
        if named.agent.is_free() {
            self.agents.remove(&name);
        }
    }
}

impl Named {
    /// Counts a message of another peer that uses the name; returns what to report now.
    fn contend(&mut self, refused: RefusedAgent, now: Instant) -> Vec<Report> {
        let since = *self.contested_since.get_or_insert(now);
        if let Some((_, times)) = self.contenders.iter_mut().find(|(known, _)| *known == refused) {
            *times += 1;
        } else {
            self.contenders.truncate(MAX_CONTENDERS - 1);
            self.contenders.push((refused, 1));
        }
        if now.duration_since(since) < GRACE { Vec::new() } else { self.take_contenders() }
    }

    /// Returns the peers to report, because the owner is certainly there.
    fn take_contenders(&mut self) -> Vec<Report> {
        self.contested_since = None;
        std::mem::take(&mut self.contenders)
    }
}

impl Verdict {
    fn refuse(refused: RefusedAgent) -> Verdict {
        Verdict { refused: Some(refused.cause), reports: vec![(refused, 1)] }
    }
}

fn not_permitted(inlet: &Inlet, origin: &Origin, key: &str, agent: &Name) -> RefusedAgent {
    let listed = inlet.agents.get(key).into_iter().flatten().map(|agent| &**agent);
    let permitted = std::iter::once(key).chain(listed).collect::<Vec<_>>().join(", ");
    RefusedAgent {
        agent: agent.clone(),
        peer: origin.to_string(),
        other: format!("its key permits {permitted}"),
        cause: NAME_NOT_PERMITTED,
        text: format!(
            "refused {origin} as agent {agent}: its key permits the name {permitted}; set the agent's `name` to {key}, \
             or add `agents = {{ \"{key}\" = [\"{agent}\"] }}` to the receiver's curve table"
        ),
    }
}

fn second_name(origin: &Origin, first: &Name, agent: &Name) -> RefusedAgent {
    RefusedAgent {
        agent: agent.clone(),
        peer: origin.to_string(),
        other: format!("its connection belongs to agent {first}"),
        cause: SECOND_NAME,
        text: format!(
            "refused {origin} as agent {agent}: its connection belongs to agent {first}; \
             use a connection of its own for each agent"
        ),
    }
}

impl Refusal {
    fn cause(&self) -> &'static str {
        match self {
            Refusal::InUse { .. } => NAME_IN_USE,
            Refusal::TooManyCameras => TOO_MANY_CAMERAS,
        }
    }

    fn report(&self, agent: &Name, origin: &Origin) -> RefusedAgent {
        let (other, text) = match self {
            Refusal::InUse { by, is_same_start } => (by.to_string(), name_in_use(agent, origin, by, *is_same_start)),
            Refusal::TooManyCameras => too_many_cameras(agent, origin),
        };
        RefusedAgent { agent: agent.clone(), peer: origin.to_string(), other, cause: self.cause(), text }
    }
}

fn name_in_use(agent: &Name, origin: &Origin, by: &Origin, is_same_start: bool) -> String {
    if is_same_start {
        format!(
            "agent {agent} is connected from {by}, and another connection from {origin} is refused; \
             an agent with several links to this receiver needs CURVE keys"
        )
    } else if origin.key.is_some() && origin.key == by.key {
        format!(
            "two agents are named {agent} and have the same key: one at {by} is connected, the other at {origin} is \
             refused; give one of them another `name` and another key"
        )
    } else {
        format!(
            "two agents are named {agent}: one at {by} is connected, the other at {origin} is refused; \
             give one of them another `name`"
        )
    }
}

fn too_many_cameras(agent: &Name, origin: &Origin) -> (String, String) {
    let other = format!("the name has {MAX_CAMERAS} cameras");
    let text = format!(
        "refused a camera of {origin} as agent {agent}: programs with this name already send {MAX_CAMERAS} cameras, the \
         most of one agent; give some of them another name"
    );
    (other, text)
}
