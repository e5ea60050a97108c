//! The state that links request of a camera.

use std::collections::BTreeSet;

use tokio::sync::watch;

use crate::config::{self, Fps, Quality};
use crate::wire::Settings;

/// The settings of one camera and the links that need its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// The current settings.
    pub settings: Settings,
    /// The numbers of links that need its frames.
    consumers: BTreeSet<usize>,
    /// The numbers of links that need one frame.
    snapshots: BTreeSet<usize>,
}

impl Demand {
    /// Whether the camera captures: it is switched on, or a link requested a snapshot.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.settings.on || !self.snapshots.is_empty()
    }

    /// Whether any link needs its frames. Otherwise no frame is copied, decoded or encoded.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.consumers.is_empty() || !self.snapshots.is_empty()
    }
}

/// One camera's demand, shared by all links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SharedDemand(watch::Sender<Demand>);

impl SharedDemand {
    /// The settings of the configuration, and no link yet.
    #[must_use]
    pub fn new(camera: &config::Camera) -> SharedDemand {
        let config::Camera { on, fps, quality, .. } = *camera;
        let settings = Settings { on, fps, quality };
        SharedDemand(watch::Sender::new(Demand { settings, consumers: BTreeSet::new(), snapshots: BTreeSet::new() }))
    }

    /// Subscribes to changes of the demand.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Demand> {
        self.0.subscribe()
    }

    /// Sets whether a link needs the camera's frames.
    pub fn set_consumer(&self, link: usize, needs_frames: bool) {
        self.0.send_if_modified(|demand| {
            let consumers = &mut demand.consumers;
            if needs_frames { consumers.insert(link) } else { consumers.remove(&link) }
        });
    }

    /// Requests one frame for a link, even if the camera is switched off.
    pub fn request_snapshot(&self, link: usize) {
        self.0.send_if_modified(|demand| demand.snapshots.insert(link));
    }

    /// Ends a link's request for one frame.
    pub fn end_snapshot(&self, link: usize) {
        self.0.send_if_modified(|demand| demand.snapshots.remove(&link));
    }

    /// Changes the settings that are not `None`; returns whether any of them changed.
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

    /// The current settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.borrow().settings
    }
}
