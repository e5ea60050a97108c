//! What viewers want of cameras, on its way to the agents.
//!
//! Each link that agents listen on notes which of them it hears (`Inbox`), and is given what is for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::lock::lock;
use crate::name::Name;
use crate::wire::Control;

/// Orders that wait for one link's task; it takes them as fast as messages.
const WAITING: usize = 64;

/// Agents that are remembered: what comes from a network must not fill memory.
const MOST: usize = 1024;

/// An agent says how it is each second; what was silent for three is not waited for.
const GONE: Duration = Duration::from_secs(3);

/// A link that has not passed an order on by now is too busy.
const TAKEN: Duration = Duration::from_secs(1);

/// The way to every agent that listens. Cheap to clone.
#[derive(Clone, Default)]
pub struct Commands {
    ways: Arc<Mutex<HashMap<Name, Way>>>,
}

/// Where an agent was heard last.
struct Way {
    orders: mpsc::Sender<Order>,
    peer: Bytes,
    heard: Instant,
}

/// What is to be said to a peer of a link.
pub struct Order {
    /// What its messages begin with on a router; elsewhere empty.
    pub peer: Bytes,
    /// The words.
    pub control: Control,
    /// Hears whether the link took it.
    pub taken: oneshot::Sender<bool>,
}

/// Why nothing can be said to an agent.
#[derive(Debug, thiserror::Error)]
pub enum NoWay {
    /// It is not heard over any link on which it would listen.
    #[error(
        "nothing reaches this agent now: it is reached while it is heard over a link of the pattern pair or router in \
         the format watchpost"
    )]
    Unreached,
    /// Its link has too much to do.
    #[error("the link to this agent is busy; try again in a second")]
    Busy,
}

impl Commands {
    /// One link's end.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        let (sender, orders) = mpsc::channel(WAITING);
        Inbox { commands: self.clone(), sender, orders }
    }

    /// Whether an agent would hear what is said to it now.
    #[must_use]
    pub fn reaches(&self, agent: &Name) -> bool {
        self.ways().get(agent).is_some_and(Way::is_open)
    }

    /// Says something to an agent; when this is done its link has taken it.
    ///
    /// # Errors
    /// When nothing reaches it.
    pub async fn send(&self, agent: &Name, control: Control) -> Result<(), NoWay> {
        let (taken, answer) = oneshot::channel();
        {
            let ways = self.ways();
            let way = ways.get(agent).filter(|way| way.is_open()).ok_or(NoWay::Unreached)?;
            let order = Order { peer: way.peer.clone(), control, taken };
            way.orders.try_send(order).map_err(|_| NoWay::Busy)?;
        }
        match timeout(TAKEN, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) | Err(_) => Err(NoWay::Busy),
            Ok(Err(_)) => Err(NoWay::Unreached),
        }
    }

    fn ways(&self) -> MutexGuard<'_, HashMap<Name, Way>> {
        lock(&self.ways)
    }
}

impl Way {
    fn is_open(&self) -> bool {
        self.heard.elapsed() < GONE && !self.orders.is_closed()
    }
}

/// What one link has of the commands.
pub struct Inbox {
    commands: Commands,
    sender: mpsc::Sender<Order>,
    orders: mpsc::Receiver<Order>,
}

impl Inbox {
    /// An agent that listens was heard over this link.
    pub fn heard(&self, agent: &Name, peer: &Bytes) {
        let mut ways = self.commands.ways();
        if let Some(way) = ways.get_mut(agent) {
            way.heard = Instant::now();
            if way.peer != *peer || !way.orders.same_channel(&self.sender) {
                (way.peer, way.orders) = (peer.clone(), self.sender.clone());
            }
            return;
        }
        if ways.len() == MOST {
            ways.retain(|_, way| way.is_open());
        }
        if ways.len() < MOST {
            let way = Way { orders: self.sender.clone(), peer: peer.clone(), heard: Instant::now() };
            ways.insert(agent.clone(), way);
        }
    }

    /// What is to be said next. It can be asked again and again, and loses nothing.
    pub async fn next(&mut self) -> Option<Order> {
        self.orders.recv().await
    }
}
