//! Kinds of ZeroMQ sockets.

use crate::config::{InPattern, OutPattern};

/// The socket patterns that watchpost uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One peer, both directions.
    Pair,
    /// Sends to any number of subscribers.
    Pub,
    /// Receives everything.
    Sub,
    /// One of many peers of a ROUTER, both directions.
    Dealer,
    /// Serves any number of DEALERs; the first part of each message names the peer.
    Router,
    /// One peer, which answers each message before it gets the next one.
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
