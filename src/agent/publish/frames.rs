//! Sends frames and no-signal pictures, and tells cameras which frames the link needs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::camera_stream::CameraStream;
use super::session::Session;
use crate::config::Format;
use crate::frame::Jpeg;
use crate::wire::{Message, PartStatus};

/// How long a snapshot waits for a frame of its camera.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    /// Sends the newest frame of the next camera that has one; returns whether it did.
    pub(super) fn send_frame(&mut self) -> Result<bool> {
        let Some((index, jpeg)) = self.next_frame() else { return Ok(false) };
        let inputs = &self.inputs;
        let name = &self.streams[index].camera.name;
        let message = Message::frame(&inputs.agent, name, &inputs.boot, &jpeg, &inputs.state.current());
        let sent = self.send(&message)?;
        if sent {
            let skipped = self.streams[index].frame_was_sent(&jpeg, self.number);
            if skipped > 0 {
                self.health.count("frames_skipped", skipped);
            }
            self.next_stream = index + 1;
        }
        Ok(sent)
    }

    /// The next camera in turn that has an unsent frame which the peer accepts, and that frame.
    fn next_frame(&mut self) -> Option<(usize, Arc<Jpeg>)> {
        self.inputs.frames.mark_unchanged();
        let count = self.streams.len();
        (0..count).map(|step| (self.next_stream + step) % count).find_map(|index| {
            let stream = &self.streams[index];
            // A camera that is switched off may still capture for another link's snapshot.
            let is_on = || stream.camera.demand.settings().on;
            let is_wanted = || stream.is_wanted && self.peer.accepts_frame(&stream.in_flight) && is_on();
            if stream.snapshot_since.is_none() && !is_wanted() {
                return None;
            }
            stream.camera.slot.after(stream.sent).map(|jpeg| (index, jpeg))
        })
    }

    /// The next camera that is down and due for a no-signal picture on this link, and its status.
    pub(super) fn next_down(&self) -> Option<(usize, PartStatus)> {
        if self.outlet.format == Format::Watchpost {
            return None;
        }
        let status = self.inputs.status.borrow();
        self.streams.iter().enumerate().find_map(|(index, stream)| {
            let part = status.cameras.iter().find(|part| part.name == stream.camera.name)?;
            // With a frame in its slot the camera is up again, and only the status is old.
            let is_due = stream.is_wanted && stream.camera.slot.is_empty() && stream.no_signal.is_due(part);
            is_due.then(|| (index, part.clone()))
        })
    }

    /// Sends a no-signal picture of a camera that is down.
    pub(super) fn send_no_signal(&mut self, (index, part): (usize, PartStatus)) -> Result<bool> {
        let Ok(jpeg) = self.streams[index].no_signal.jpeg(&part) else {
            self.health.count("placeholder_errors", 1);
            self.streams[index].no_signal.was_sent();
            return Ok(true);
        };
        let inputs = &self.inputs;
        let message = Message::frame(&inputs.agent, &part.name, &inputs.boot, &jpeg, &inputs.state.current());
        let sent = self.send(&message.of_no_signal(&part.cause))?;
        if sent {
            self.streams[index].no_signal.was_sent();
        }
        Ok(sent)
    }

    /// Tells each camera whether this link needs its frames now, and ends snapshots that cannot be served.
    pub(super) fn update_demand(&mut self) {
        for stream in &mut self.streams {
            let is_wanted = self.peer.wants_frames(&stream.topic);
            stream.set_wanted(self.number, is_wanted);
            if stream.snapshot_since.is_some_and(|since| since.elapsed() > SNAPSHOT_TIMEOUT || !is_wanted) {
                stream.end_snapshot(self.number);
            }
        }
    }

    /// Opens and closes streams to match the current cameras; streams of cameras that stay continue.
    pub(super) fn follow_cameras(&mut self) {
        let mut previous = std::mem::take(&mut self.streams);
        for camera in self.inputs.cameras.borrow_and_update().iter() {
            let index = previous.iter().position(|stream| Arc::ptr_eq(&stream.camera, camera));
            let stream = index.map(|index| previous.swap_remove(index));
            self.streams.push(stream.unwrap_or_else(|| CameraStream::new(Arc::clone(camera), &self.inputs.agent)));
        }
        for stream in previous {
            stream.close(self.number);
        }
    }
}
