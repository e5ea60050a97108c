//! What kinds of sockets there are.

use crate::config::{InPattern, OutPattern};

/// The socket patterns in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One peer, both directions.
    Pair,
    /// Sends to all subscribers.
    Pub,
    /// Receives everything.
    Sub,
    /// One of many peers of a ROUTER, both directions.
    Dealer,
    /// Any number of DEALERs: each message begins with a part that names the peer.
    Router,
    /// One peer that answers each message before it gets the next.
    Req,
}

impl From<OutPattern> for Pattern {
    fn from(pattern: OutPattern) -> Pattern {
        match pattern {
            OutPattern::Pair => Pattern::Pair,
            OutPattern::Pub => Pattern::Pub,
            OutPattern::Dealer => Pattern::Dealer,
            OutPattern::Req => Pattern::Req,
        }
    }
}

impl From<InPattern> for Pattern {
    fn from(pattern: InPattern) -> Pattern {
        match pattern {
            InPattern::Pair => Pattern::Pair,
            InPattern::Sub => Pattern::Sub,
            InPattern::Router => Pattern::Router,
        }
    }
}
