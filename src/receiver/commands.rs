//! Viewers' commands for cameras, on their route to the agents.
//!
//! Each two-route link registers the agents it hears, and its `Inbox` gets the commands for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::lock::lock;
use crate::name::Name;
use crate::wire::Control;

/// Orders waiting for one link's task; it takes them as fast as messages.
const ORDER_QUEUE: usize = 64;

/// An agent silent for this long is unreachable; it sends a status every second.
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a link may take to pass an order on before it counts as busy.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Routes to all reachable agents. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    /// Limit on the routes: the network must not fill memory.
    max_agents: usize,
    routes: Arc<Mutex<HashMap<Name, Route>>>,
}

/// The link that an agent was last heard on.
struct Route {
    orders: mpsc::Sender<Order>,
    peer: Bytes,
    connection: u64,
    last_heard: Instant,
}

/// A command for a peer of a link.
pub struct Order {
    /// Its routing id on a router; empty for other patterns.
    pub peer: Bytes,
    /// The connection that owns the agent's name.
    pub connection: u64,
    /// The command.
    pub control: Control,
    /// Gets whether the link took it.
    pub taken: oneshot::Sender<bool>,
}

/// Why a command did not reach an agent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The agent is not connected over a two-route link.
    #[error("agent not reachable: commands need a connected link with pattern pair or router and format watchpost")]
    Unreached,
    /// Its link is busy.
    #[error("the link to this agent is busy; try again in a second")]
    Busy,
}

impl Commands {
    /// Routes to at most this many agents.
    #[must_use]
    pub fn new(max_agents: usize) -> Commands {
        Commands { max_agents, routes: Arc::default() }
    }

    /// A new link's inbox.
    #[must_use]
    pub fn inbox(&self) -> Inbox {
        let (sender, orders) = mpsc::channel(ORDER_QUEUE);
        Inbox { commands: self.clone(), sender, orders }
    }

    /// Whether an agent can be reached now.
    #[must_use]
    pub fn reaches(&self, agent: &Name) -> bool {
        self.routes().get(agent).is_some_and(Route::is_open)
    }

    /// Sends a command to an agent; returns when its link has taken it.
    ///
    /// # Errors
    /// When the agent cannot be reached.
    pub async fn send(&self, agent: &Name, control: Control) -> Result<(), SendError> {
        let (taken, answer) = oneshot::channel();
        {
            let routes = self.routes();
            let route = routes.get(agent).filter(|route| route.is_open()).ok_or(SendError::Unreached)?;
            let order = Order { peer: route.peer.clone(), connection: route.connection, control, taken };
            route.orders.try_send(order).map_err(|_| SendError::Busy)?;
        }
        match timeout(SEND_TIMEOUT, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) | Err(_) => Err(SendError::Busy),
            Ok(Err(_)) => Err(SendError::Unreached),
        }
    }

    fn routes(&self) -> MutexGuard<'_, HashMap<Name, Route>> {
        lock(&self.routes)
    }
}

impl Route {
    fn is_open(&self) -> bool {
        self.last_heard.elapsed() < AGENT_TIMEOUT && !self.orders.is_closed()
    }
}

/// Commands for the agents of one link.
pub struct Inbox {
    commands: Commands,
    sender: mpsc::Sender<Order>,
    orders: mpsc::Receiver<Order>,
}

impl Inbox {
    /// Routes commands for an agent to the connection on which it sent a message. Call it only if the connection owns the
    /// agent's name.
    pub fn set_route(&self, agent: &Name, peer: &Bytes, connection: u64) {
        let mut routes = self.commands.routes();
        if let Some(route) = routes.get_mut(agent) {
            route.last_heard = Instant::now();
            if route.connection != connection {
                (route.peer, route.orders) = (peer.clone(), self.sender.clone());
                route.connection = connection;
            }
            return;
        }
        if routes.len() >= self.commands.max_agents {
            routes.retain(|_, route| route.is_open());
        }
        if routes.len() < self.commands.max_agents {
            let (orders, peer, last_heard) = (self.sender.clone(), peer.clone(), Instant::now());
            let route = Route { orders, peer, connection, last_heard };
            routes.insert(agent.clone(), route);
        }
    }

    /// Removes the routes to a connection that has ended.
    pub fn connection_ended(&self, connection: u64) {
        self.commands.routes().retain(|_, route| route.connection != connection);
    }

    /// Returns the next order. Cancel-safe.
    pub async fn next(&mut self) -> Option<Order> {
        self.orders.recv().await
    }
}
