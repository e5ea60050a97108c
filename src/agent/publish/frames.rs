//! A link's pictures: which is sent next, and which are asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::{Pending, Publisher};
use crate::config::Format;
use crate::frame::Jpeg;
use crate::link::Link;
use crate::wire::Message;

/// A camera that gives no frame for this long is not waited for with a snapshot.
const SNAPSHOT: Duration = Duration::from_secs(10);

impl Publisher {
    pub(super) fn send_frame(&mut self, link: &mut Link, pending: &mut Pending) -> Result<bool> {
        let Some((camera, jpeg)) = self.next_frame(pending) else { return Ok(false) };
        let skipped = jpeg.seq - pending.sent[camera] - 1;
        let name = &self.cameras[camera].name;
        let message = Message::frame(&self.agent, name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message, pending)?;
        if sent {
            // Those before the first are not missed by anyone.
            if pending.sent[camera] > 0 && skipped > 0 {
                self.health.count("frames skipped", skipped);
            }
            pending.no_signal[camera].frame_was_sent(&jpeg);
            pending.audience.frame_was_sent(camera, jpeg.seq);
            self.end_snapshot(camera, pending);
            pending.sent[camera] = jpeg.seq;
            pending.turn = camera + 1;
        }
        Ok(sent)
    }

    /// The newest frame of the next camera in turn that has one to be sent.
    fn next_frame(&mut self, pending: &Pending) -> Option<(usize, Arc<Jpeg>)> {
        let newest = self.newest.borrow_and_update();
        let cameras = newest.len();
        (0..cameras).map(|step| (pending.turn + step) % cameras).find_map(|camera| {
            let jpeg = newest[camera].as_ref()?;
            // One that is switched off may capture for another link's snapshot.
            let is_on = || self.demands[camera].settings().on;
            let takes = pending.takes[camera] && pending.audience.is_open_for(camera) && is_on();
            let fresh = jpeg.seq > pending.sent[camera] && (takes || pending.snapshots[camera].is_some());
            fresh.then(|| (camera, Arc::clone(jpeg)))
        })
    }

    /// A camera that is down, of which this link's receiver is to be told by a picture now.
    pub(super) fn next_down(&self, pending: &Pending) -> Option<usize> {
        if self.outlet.format == Format::Watchpost {
            return None;
        }
        let (status, newest) = (self.status.borrow(), self.newest.borrow());
        // While there is a frame, the camera is back, and the status does not know yet.
        let is_down = |camera: usize| pending.takes[camera] && newest[camera].is_none();
        (0..self.cameras.len())
            .find(|camera| is_down(*camera) && pending.no_signal[*camera].is_due(&status.cameras[*camera]))
    }

    pub(super) fn send_no_signal(&self, link: &mut Link, camera: usize, pending: &mut Pending) -> Result<bool> {
        let status = Arc::clone(&self.status.borrow());
        let status = &status.cameras[camera];
        let Ok(jpeg) = pending.no_signal[camera].jpeg(status) else {
            self.health.count("pictures that could not be drawn", 1);
            pending.no_signal[camera].was_sent();
            return Ok(true);
        };
        let message = Message::frame(&self.agent, &status.name, &self.boot, &jpeg, &self.state.current());
        let sent = self.send(link, &message.of_no_signal(&status.cause), pending)?;
        if sent {
            pending.no_signal[camera].was_sent();
        }
        Ok(sent)
    }

    /// Tells the cameras whose frames the other side takes now.
    pub(super) fn demand(&self, pending: &mut Pending) {
        for (camera, demand) in self.demands.iter().enumerate() {
            let takes = pending.audience.takes(camera);
            if std::mem::replace(&mut pending.takes[camera], takes) != takes {
                demand.take(self.number, takes);
                pending.no_signal[camera].begin();
            }
            if pending.snapshots[camera].is_some_and(|since| since.elapsed() > SNAPSHOT || !takes) {
                self.end_snapshot(camera, pending);
            }
        }
    }

    fn end_snapshot(&self, camera: usize, pending: &mut Pending) {
        if pending.snapshots[camera].take().is_some() {
            self.demands[camera].take_one(self.number, false);
        }
    }
}
