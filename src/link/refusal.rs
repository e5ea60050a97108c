//! What is said of a connection that did not come about.

use std::sync::Arc;

use super::monitor::Failure;
use crate::key::Key;

/// The public keys of an encrypted end that connects.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) own: Key,
    /// Which it expects to find.
    pub(super) server: Key,
}

/// Somebody was refused, by this end or by the other.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The same for each try of the same peer, so that it need not be said each time.
    pub who: String,
    /// All that is known, and what to do about it.
    pub text: String,
}

/// Sent again and again to who listens, from the link's task.
pub type OnRefusal = Arc<dyn Fn(&Refusal) + Send + Sync>;

impl Refusal {
    pub(super) fn of(who: String, why: &str) -> Refusal {
        let text = if why.is_empty() { format!("refused {who}") } else { format!("refused {who}: {why}") };
        Refusal { who, text }
    }

    /// A peer that came to this end, of which libzmq does not say where it is; none if the gate knows more.
    pub(super) fn of_peer(failure: Failure, is_encrypted: bool) -> Option<Refusal> {
        let who = match (failure, is_encrypted) {
            (Failure::Refused, _) => return None,
            (Failure::Other, true) => "a peer that did not finish the handshake of ZeroMQ, or does not use CURVE",
            (Failure::Senseless, true) => {
                "a peer whose `server_key` is not this end's key, or that does not use CURVE or ZeroMQ"
            }
            (Failure::Other | Failure::Senseless, false) => {
                "a peer that did not finish the handshake of ZeroMQ, or uses CURVE, for which this link needs a curve table"
            }
        };
        Some(Refusal::of(who.to_owned(), ""))
    }

    /// This end, which has these keys, by the bound one.
    pub(super) fn by_server(failure: Failure, keys: Option<Keys>) -> Refusal {
        let text = match (failure, keys) {
            (Failure::Refused, Some(Keys { own, .. })) => {
                format!("the other end refuses this end's key {own:.8}…: it belongs into its allowed_keys_dir")
            }
            (_, Some(Keys { own, server })) => format!(
                "the other end breaks off the handshake: this end's key {own:.8}… is not in its allowed_keys_dir, \
                 `server_key` {server:.8}… is not its key, or it has no curve table; its log says which"
            ),
            (_, None) => "what is there breaks off the handshake of ZeroMQ; if it uses CURVE, this link needs a curve \
                          table, too"
                .to_owned(),
        };
        Refusal { who: text.clone(), text }
    }
}
