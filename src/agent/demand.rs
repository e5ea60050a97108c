//! What a camera is to do now: links say it, the camera follows.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::config::{self, Fps, Quality};
use crate::wire::Settings;

/// What is asked of one camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// It is switched on, or was asked for a snapshot.
    pub on: bool,
    /// The most frames a second that are passed on.
    pub fps: Fps,
    /// JPEG quality, where a frame has to be encoded.
    pub quality: Quality,
    /// The links that take its frames now, by their place in the configuration.
    takers: BTreeSet<usize>,
    /// The links that want just one.
    snapshots: BTreeSet<usize>,
    is_switched_on: bool,
}

impl Demand {
    /// Some link takes its frames: while none does, nothing is copied, encoded or decoded for it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.takers.is_empty() || !self.snapshots.is_empty()
    }
}

/// One camera's demand, shared by all links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedDemand(watch::Sender<Demand>);

impl SharedDemand {
    /// What the configuration asks for, with no link yet that takes anything.
    #[must_use]
    pub fn new(camera: &config::Camera) -> SharedDemand {
        let config::Camera { on, fps, quality, .. } = *camera;
        SharedDemand(watch::Sender::new(Demand {
            on,
            fps,
            quality,
            takers: BTreeSet::new(),
            snapshots: BTreeSet::new(),
            is_switched_on: on,
        }))
    }

    /// The demand from now on.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Demand> {
        self.0.subscribe()
    }

    /// A link takes the camera's frames, or no longer does.
    pub fn take(&self, link: usize, takes: bool) {
        self.0.send_if_modified(|demand| if takes { demand.takers.insert(link) } else { demand.takers.remove(&link) });
    }

    /// A link wants one frame, of a camera that is switched off, too; or has it, or no longer wants it.
    pub fn take_one(&self, link: usize, wants: bool) {
        self.0.send_if_modified(|demand| {
            let is_new = if wants { demand.snapshots.insert(link) } else { demand.snapshots.remove(&link) };
            demand.on = demand.is_switched_on || !demand.snapshots.is_empty();
            is_new
        });
    }

    /// Changes what is not `None`; false when all of it was so already.
    #[must_use]
    pub fn set(&self, on: Option<bool>, fps: Option<Fps>, quality: Option<Quality>) -> bool {
        self.0.send_if_modified(|demand| {
            let before = (demand.is_switched_on, demand.fps, demand.quality);
            demand.is_switched_on = on.unwrap_or(demand.is_switched_on);
            demand.on = demand.is_switched_on || !demand.snapshots.is_empty();
            demand.fps = fps.unwrap_or(demand.fps);
            demand.quality = quality.unwrap_or(demand.quality);
            before != (demand.is_switched_on, demand.fps, demand.quality)
        })
    }

    /// As a status says it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let Demand { is_switched_on: on, fps, quality, .. } = *self.0.borrow();
        Settings { on, fps, quality }
    }
}
