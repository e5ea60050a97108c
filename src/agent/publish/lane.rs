//! One camera's way over one link.

use std::sync::Arc;

use tokio::time::Instant;

use super::flow::Unseen;
use super::no_signal::NoSignal;
use crate::agent::demand::SharedDemand;
use crate::config;
use crate::frame::Slot;
use crate::name::Name;
use crate::wire::frame_topic;

/// A camera as links see it.
#[derive(Debug)]
pub struct View {
    /// What it is called.
    pub name: Name,
    /// Pixels a line and lines of its frames, as far as that can be known before the first.
    pub size: (u32, u32),
    /// What may be asked of it.
    pub demand: SharedDemand,
    /// Where its newest frame is.
    pub slot: Slot,
}

impl View {
    /// Of a camera that has no frame yet and of which nothing is asked.
    #[must_use]
    pub fn of(camera: &config::Camera, slot: Slot) -> View {
        let (name, size) = (camera.name.clone(), camera.expected_size());
        View { name, size, demand: SharedDemand::new(camera), slot }
    }
}

/// The cameras whose frames go over a link.
pub type Views = Arc<[Arc<View>]>;

pub(super) struct Lane {
    pub(super) view: Arc<View>,
    /// What its frames are published under.
    pub(super) topic: String,
    /// The last frame that was sent.
    pub(super) sent: u64,
    /// What is sent while it is down.
    pub(super) no_signal: NoSignal,
    /// It has been said that its frames are taken.
    pub(super) takes: bool,
    /// Since when one frame of it is waited for.
    pub(super) snapshot: Option<Instant>,
    /// What was sent and the receiver has not seen.
    pub(super) unseen: Unseen,
}

impl Lane {
    pub(super) fn of(view: Arc<View>, agent: &Name) -> Lane {
        Lane {
            topic: frame_topic(agent, &view.name),
            sent: 0,
            no_signal: NoSignal::new(view.size),
            takes: false,
            snapshot: None,
            unseen: Unseen::default(),
            view,
        }
    }

    /// The other side takes its frames, or no longer does.
    pub(super) fn take(&mut self, link: usize, takes: bool) {
        if std::mem::replace(&mut self.takes, takes) != takes {
            self.view.demand.take(link, takes);
            self.no_signal.begin();
        }
    }

    /// The other side wants one frame of it.
    pub(super) fn begin_snapshot(&mut self, link: usize) {
        self.snapshot = Some(Instant::now());
        self.view.demand.take_one(link, true);
    }

    pub(super) fn end_snapshot(&mut self, link: usize) {
        if self.snapshot.take().is_some() {
            self.view.demand.take_one(link, false);
        }
    }

    /// Nothing of it goes over the link any more.
    pub(super) fn close(mut self, link: usize) {
        self.take(link, false);
        self.end_snapshot(link);
    }
}
