//! A link's pictures: which is sent next, and which are asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::lane::Lane;
use super::{Pending, Publisher};
use crate::config::Format;
use crate::frame::Jpeg;
use crate::link::Link;
use crate::wire::{Message, PartStatus};

/// A camera that gives no frame for this long is not waited for with a snapshot.
const SNAPSHOT: Duration = Duration::from_secs(10);

impl Publisher {
    pub(super) fn send_frame(&mut self, link: &mut Link, pending: &mut Pending) -> Result<bool> {
        let Some((camera, jpeg)) = self.next_frame(pending) else { return Ok(false) };
        let before = pending.lanes[camera].sent;
        let name = &pending.lanes[camera].view.name;
        let message = Message::frame(&self.agent, name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message, pending)?;
        if sent {
            let skipped = jpeg.seq - before - 1;
            // Those before the first are not missed by anyone.
            if before > 0 && skipped > 0 {
                self.health.count("frames_skipped", skipped);
            }
            let lane = &mut pending.lanes[camera];
            lane.no_signal.frame_was_sent(&jpeg);
            lane.unseen.sent(jpeg.seq);
            lane.end_snapshot(self.number);
            lane.sent = jpeg.seq;
            pending.turn = camera + 1;
        }
        Ok(sent)
    }

    /// The newest frame of the next camera in turn that has one to be sent.
    fn next_frame(&mut self, pending: &Pending) -> Option<(usize, Arc<Jpeg>)> {
        self.frames.mark_unchanged();
        let cameras = pending.lanes.len();
        (0..cameras).map(|step| (pending.turn + step) % cameras).find_map(|camera| {
            let lane = &pending.lanes[camera];
            // One that is switched off may capture for another link's snapshot.
            let is_on = || lane.view.demand.settings().on;
            let takes = || lane.takes && pending.audience.is_open_for(&lane.unseen) && is_on();
            if lane.snapshot.is_none() && !takes() {
                return None;
            }
            lane.view.slot.after(lane.sent).map(|jpeg| (camera, jpeg))
        })
    }

    /// A camera that is down, of which this link's receiver is to be told by a picture now, and how it is.
    pub(super) fn next_down(&self, pending: &Pending) -> Option<(usize, PartStatus)> {
        if self.outlet.format == Format::Watchpost {
            return None;
        }
        let status = self.status.borrow();
        pending.lanes.iter().enumerate().find_map(|(camera, lane)| {
            let part = status.cameras.iter().find(|part| part.name == lane.view.name)?;
            // While there is a frame, the camera is back, and the status does not know yet.
            let is_told = lane.takes && lane.view.slot.is_empty() && lane.no_signal.is_due(part);
            is_told.then(|| (camera, part.clone()))
        })
    }

    pub(super) fn send_no_signal(
        &self,
        link: &mut Link,
        (camera, part): (usize, PartStatus),
        pending: &mut Pending,
    ) -> Result<bool> {
        let Ok(jpeg) = pending.lanes[camera].no_signal.jpeg(&part) else {
            self.health.count("placeholder_errors", 1);
            pending.lanes[camera].no_signal.was_sent();
            return Ok(true);
        };
        let message = Message::frame(&self.agent, &part.name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message.of_no_signal(&part.cause), pending)?;
        if sent {
            pending.lanes[camera].no_signal.was_sent();
        }
        Ok(sent)
    }

    /// Tells the cameras whose frames the other side takes now.
    pub(super) fn demand(&self, pending: &mut Pending) {
        for lane in &mut pending.lanes {
            let takes = pending.audience.takes(&lane.topic);
            lane.take(self.number, takes);
            if lane.snapshot.is_some_and(|since| since.elapsed() > SNAPSHOT || !takes) {
                lane.end_snapshot(self.number);
            }
        }
    }

    /// Takes in which cameras there are now: those that stay go on where they were.
    pub(super) fn follow_cameras(&mut self, pending: &mut Pending) {
        let mut before = std::mem::take(&mut pending.lanes);
        for view in self.views.borrow_and_update().iter() {
            let place = before.iter().position(|lane| Arc::ptr_eq(&lane.view, view));
            let lane = place.map(|place| before.swap_remove(place));
            pending.lanes.push(lane.unwrap_or_else(|| Lane::of(Arc::clone(view), &self.agent)));
        }
        for lane in before {
            lane.close(self.number);
        }
    }
}
