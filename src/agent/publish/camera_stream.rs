//! One camera's frames over one link.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::flow_control::InFlight;
use super::no_signal::NoSignal;
use crate::agent::demand::SharedDemand;
use crate::config;
use crate::frame::{Jpeg, Slot};
use crate::name::Name;
use crate::wire::frame_topic;

/// A camera as links see it.
#[derive(Debug)]
pub struct SharedCamera {
    /// The camera's name.
    pub name: Name,
    /// Expected width and height of its frames, in pixels.
    pub size: (u32, u32),
    /// The requests of links.
    pub demand: SharedDemand,
    /// Its newest frame.
    pub slot: Slot,
}

impl SharedCamera {
    /// A camera without a frame and without demand.
    #[must_use]
    pub fn new(camera: &config::Camera, slot: Slot) -> SharedCamera {
        let (name, size) = (camera.name.clone(), camera.expected_size());
        SharedCamera { name, size, demand: SharedDemand::new(camera), slot }
    }
}

/// The cameras whose frames go over a link.
pub type SharedCameras = Arc<[Arc<SharedCamera>]>;

/// At most this many changes of a camera's settings are logged in one interval.
const MAX_LOGGED_CHANGES: u32 = 10;
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Limits the log lines about changed settings, because a receiver can change them thousands of times a second.
#[derive(Default)]
pub(super) struct SettingsLog {
    since: Option<Instant>,
    logged: u32,
    unlogged: u64,
}

impl SettingsLog {
    /// Counts a change; returns the end of its log line, or `None` if there were too many.
    pub(super) fn changed(&mut self) -> Option<String> {
        if self.since.is_none_or(|since| since.elapsed() > LOG_INTERVAL) {
            (self.since, self.logged) = (Some(Instant::now()), 0);
        }
        if self.logged == MAX_LOGGED_CHANGES {
            self.unlogged += 1;
            return None;
        }
        self.logged += 1;
        let earlier = std::mem::take(&mut self.unlogged);
        Some(if earlier > 0 { format!("; {earlier} earlier changes were not logged") } else { String::new() })
    }
}

pub(super) struct CameraStream {
    pub(super) camera: Arc<SharedCamera>,
    /// The topic of its frames.
    pub(super) topic: String,
    /// The number of the last frame sent; 0 before the first.
    pub(super) sent: u64,
    /// The picture to send while the camera is down.
    pub(super) no_signal: NoSignal,
    /// The camera knows that this link needs its frames.
    pub(super) is_wanted: bool,
    /// When the peer requested a snapshot that was not sent yet.
    pub(super) snapshot_since: Option<Instant>,
    /// Frames that the receiver has not acknowledged.
    pub(super) in_flight: InFlight,
    pub(super) settings_log: SettingsLog,
}

impl CameraStream {
    pub(super) fn new(camera: Arc<SharedCamera>, agent: &Name) -> CameraStream {
        CameraStream {
            topic: frame_topic(agent, &camera.name),
            sent: 0,
            no_signal: NoSignal::new(camera.size),
            is_wanted: false,
            snapshot_since: None,
            in_flight: InFlight::default(),
            settings_log: SettingsLog::default(),
            camera,
        }
    }

    /// Records that a frame was sent; returns how many frames were skipped since the one before it.
    pub(super) fn frame_was_sent(&mut self, jpeg: &Jpeg, link: usize) -> u64 {
        // Frames before the first are not missed.
        let skipped = if self.sent > 0 { jpeg.seq - self.sent - 1 } else { 0 };
        self.no_signal.frame_was_sent(jpeg);
        self.in_flight.sent(jpeg.seq);
        self.end_snapshot(link);
        self.sent = jpeg.seq;
        skipped
    }

    /// Sets whether the peer wants this camera's frames.
    pub(super) fn set_wanted(&mut self, link: usize, is_wanted: bool) {
        if std::mem::replace(&mut self.is_wanted, is_wanted) != is_wanted {
            self.camera.demand.set_consumer(link, is_wanted);
            self.no_signal.restart();
        }
    }

    /// Requests one frame for the peer.
    pub(super) fn start_snapshot(&mut self, link: usize) {
        self.snapshot_since = Some(Instant::now());
        self.camera.demand.request_snapshot(link);
    }

    pub(super) fn end_snapshot(&mut self, link: usize) {
        if self.snapshot_since.take().is_some() {
            self.camera.demand.end_snapshot(link);
        }
    }

    /// Withdraws all demand of this link.
    pub(super) fn close(mut self, link: usize) {
        self.set_wanted(link, false);
        self.end_snapshot(link);
    }
}
