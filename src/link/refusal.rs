//! Messages about refused connections.

use std::sync::Arc;

use super::monitor::Failure;
use crate::key::Key;

/// The public keys of an encrypted end that connects.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) own: Key,
    /// The key that the bound end must have.
    pub(super) server: Key,
}

/// A connection that was refused by this end or by the other.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The same for each attempt of the same peer, so repetitions can be left out of the log.
    pub who: String,
    /// The reason and the remedy.
    pub text: String,
}

/// Called for every refusal, in the link's task.
pub type OnRefusal = Arc<dyn Fn(&Refusal) + Send + Sync>;

impl Refusal {
    pub(super) fn of(who: String, reason: &str) -> Refusal {
        let text = if reason.is_empty() { format!("refused {who}") } else { format!("refused {who}: {reason}") };
        Refusal { who, text }
    }

    /// Returns the refusal of a peer whose address libzmq does not report, or `None` if the gate knows more.
    pub(super) fn of_peer(failure: Failure, is_encrypted: bool) -> Option<Refusal> {
        let who = match (failure, is_encrypted) {
            (Failure::Refused, _) => return None,
            (Failure::Other, true) => "a peer that did not complete the ZeroMQ handshake or does not use CURVE",
            (Failure::Unreadable, true) => {
                "a peer whose `server_key` is not this end's key, or that does not use CURVE or ZeroMQ"
            }
            (Failure::Other | Failure::Unreadable, false) => {
                "a peer that did not complete the ZeroMQ handshake, or uses CURVE, for which this link needs a curve table"
            }
        };
        Some(Refusal::of(who.to_owned(), ""))
    }

    /// Returns the refusal of this end, which has these keys, by the bound end.
    pub(super) fn by_server(failure: Failure, keys: Option<Keys>) -> Refusal {
        let text = match (failure, keys) {
            (Failure::Refused, Some(Keys { own, .. })) => {
                format!("the other end refuses this end's key {own:.8}…: add it to the other end's allowed_keys_dir")
            }
            (_, Some(Keys { own, server })) => format!(
                "the other end aborts the handshake: this end's key {own:.8}… is not in its allowed_keys_dir, \
                 `server_key` {server:.8}… is not its key, it has no curve table, or it does not speak ZeroMQ; \
                 the log of the other end says which"
            ),
            (_, None) => {
                "the other end aborted the ZeroMQ handshake; if it is encrypted, this link needs a curve table, \
                          too; otherwise check that the port is a ZeroMQ port"
                    .to_owned()
            }
        };
        Refusal { who: text.clone(), text }
    }
}
