//! What a camera is to do now: links say it, the camera follows.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::config::{self, Fps, Quality};
use crate::wire::Settings;

/// What is asked of one camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// How it is set.
    pub settings: Settings,
    /// The links that take its frames now, by their numbers.
    takers: BTreeSet<usize>,
    /// The links that want just one.
    snapshots: BTreeSet<usize>,
}

impl Demand {
    /// It is switched on, or was asked for a snapshot.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.on || !self.snapshots.is_empty()
    }

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
        let settings = Settings { on, fps, quality };
        SharedDemand(watch::Sender::new(Demand { settings, takers: BTreeSet::new(), snapshots: BTreeSet::new() }))
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
        self.0.send_if_modified(
            |demand| if wants { demand.snapshots.insert(link) } else { demand.snapshots.remove(&link) },
        );
    }

    /// Changes what is not `None`; false when all of it was so already.
    #[must_use]
    pub fn set(&self, on: Option<bool>, fps: Option<Fps>, quality: Option<Quality>) -> bool {
        self.0.send_if_modified(|Demand { settings, .. }| {
            let before = *settings;
            settings.on = on.unwrap_or(before.on);
            settings.fps = fps.unwrap_or(before.fps);
            settings.quality = quality.unwrap_or(before.quality);
            *settings != before
        })
    }

    /// How it is set now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.borrow().settings
    }
}
