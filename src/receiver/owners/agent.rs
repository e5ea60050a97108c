//! The owners of one agent name.
//!
//! - A start of an agent owns its name with all its connections, until the last of them has ended. Without a key it has
//!   one connection: its boot, which others can read in an unencrypted network, does not prove that a second one is its.
//! - In formats without starts, a connection owns each camera whose frames it sends. Programs of one host may share an
//!   agent name that way. They cannot share it with a start.
//! - A peer with a key takes a name over from peers without one.
//! - A name has at most as many cameras as the wall shows. Further ones are refused, because nobody could own them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Proof;
use crate::config::MAX_CAMERAS;
use crate::link::Origin;
use crate::name::Name;

/// The owners of a name.
#[derive(Default)]
pub(super) struct Agent {
    start: Option<Start>,
    cameras: BTreeMap<Name, CameraOwner>,
}

struct Start {
    /// `None` after only backlog.
    boot: Option<Name>,
    /// At least one.
    owners: Vec<Arc<Origin>>,
}

struct CameraOwner {
    origin: Arc<Origin>,
    is_assigned: bool,
}

/// Why a claim fails.
pub(super) enum Refusal {
    /// Another connection owns the name.
    InUse {
        by: Arc<Origin>,
        /// It belongs to the same start of the agent.
        is_same_start: bool,
    },
    /// The name has [`MAX_CAMERAS`] cameras, and this is another one.
    TooManyCameras,
}

fn is_same(one: &Origin, other: &Origin) -> bool {
    one.connection == other.connection
}

/// A key proves more than an address.
fn outranks(one: &Origin, other: &Origin) -> bool {
    one.key.is_some() && other.key.is_none()
}

impl Agent {
    /// Whether nobody owns the name.
    pub(super) fn is_free(&self) -> bool {
        self.start.is_none() && self.cameras.is_empty()
    }

    /// Claims the name. A connection that has ended only asks whether nobody else owns it.
    pub(super) fn claim(&mut self, origin: &Arc<Origin>, proof: Proof) -> Result<(), Refusal> {
        match proof {
            Proof::Start(boot) => self.claim_start(origin, Some(boot)),
            Proof::Backlog => self.claim_start(origin, None),
            Proof::Camera { camera, is_assigned } => self.claim_camera(origin, camera, is_assigned),
        }
    }

    /// Removes a connection that has ended; returns true if it was the last one of its kind.
    pub(super) fn release(&mut self, connection: u64) -> bool {
        let cameras = self.cameras.len();
        self.cameras.retain(|_, camera| camera.origin.connection != connection);
        let Some(start) = &mut self.start else { return self.cameras.len() < cameras };
        start.owners.retain(|owner| owner.connection != connection);
        let is_over = start.owners.is_empty();
        if is_over {
            self.start = None;
        }
        is_over
    }

    fn claim_start(&mut self, origin: &Arc<Origin>, boot: Option<&Name>) -> Result<(), Refusal> {
        let mut senders =
            self.cameras.values().filter(|camera| !camera.is_assigned && !is_same(&camera.origin, origin));
        if let Some(other) = senders.find(|camera| !outranks(origin, &camera.origin)) {
            return Err(Refusal::by(&other.origin));
        }
        let start = self.start.as_mut().filter(|start| !start.is_outranked_by(origin));
        match start {
            Some(start) => start.claim(origin, boot),
            None if origin.has_ended => Ok(()),
            None => {
                self.cameras.retain(|_, camera| camera.is_assigned);
                self.start = Some(Start { boot: boot.cloned(), owners: vec![Arc::clone(origin)] });
                Ok(())
            }
        }
    }

    fn claim_camera(&mut self, origin: &Arc<Origin>, camera: &Name, is_assigned: bool) -> Result<(), Refusal> {
        let start = self.start.as_ref().filter(|start| !is_assigned && !start.is_outranked_by(origin));
        if let Some(start) = start {
            return if start.has(origin) { Ok(()) } else { Err(Refusal::by(&start.owners[0])) };
        }
        match self.cameras.get(camera) {
            Some(known) if is_same(&known.origin, origin) => return Ok(()),
            Some(known) if !outranks(origin, &known.origin) => return Err(Refusal::by(&known.origin)),
            None if self.cameras.len() >= MAX_CAMERAS => self.make_room(origin)?,
            Some(_) | None => {}
        }
        if !origin.has_ended {
            if !is_assigned {
                self.start = None;
            }
            self.cameras.insert(camera.clone(), CameraOwner { origin: Arc::clone(origin), is_assigned });
        }
        Ok(())
    }

    /// Makes room for a camera of a peer with a key: a camera of a peer without one loses its owner.
    fn make_room(&mut self, origin: &Origin) -> Result<(), Refusal> {
        let mut cameras = self.cameras.iter();
        let outranked = cameras.find(|(_, camera)| outranks(origin, &camera.origin)).map(|(name, _)| name.clone());
        let outranked = outranked.ok_or(Refusal::TooManyCameras)?;
        if !origin.has_ended {
            self.cameras.remove(&outranked);
        }
        Ok(())
    }
}

impl Start {
    fn is_outranked_by(&self, origin: &Arc<Origin>) -> bool {
        self.owners.iter().all(|known| outranks(origin, known))
    }

    fn has(&self, origin: &Arc<Origin>) -> bool {
        self.owners.iter().any(|known| is_same(known, origin))
    }

    fn claim(&mut self, origin: &Arc<Origin>, boot: Option<&Name>) -> Result<(), Refusal> {
        let is_same_boot = boot.is_some() && self.boot.as_ref() == boot;
        if self.has(origin) {
            if is_same_boot || boot.is_none() {
                return Ok(());
            }
            if self.owners.len() == 1 {
                // The agent has restarted.
                self.boot = boot.cloned();
                return Ok(());
            }
            // It has left the start that the other connections belong to.
            self.owners.retain(|known| !is_same(known, origin));
        } else if is_same_boot && origin.key.is_some() {
            if !origin.has_ended {
                self.owners.push(Arc::clone(origin));
            }
            return Ok(());
        }
        Err(Refusal::InUse { by: Arc::clone(&self.owners[0]), is_same_start: is_same_boot })
    }
}

impl Refusal {
    fn by(origin: &Arc<Origin>) -> Refusal {
        Refusal::InUse { by: Arc::clone(origin), is_same_start: false }
    }
}
