//! What the other side of a link says, and what is done about it.

use bytes::Bytes;
use tracing::info;

use super::audience::Heard;
use super::{Pending, Publisher};
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::wire::Control;

impl Publisher {
    /// Takes in what the other side says.
    pub(super) fn hear(&mut self, parts: &[Bytes], pending: &mut Pending) {
        match pending.audience.hear(parts) {
            // What was said to nobody is gone.
            Heard::FirstSubscriber => self.readings.forget(),
            Heard::Asks(control) => self.obey(control, pending),
            Heard::Malformed(malformed) => {
                self.health.count("malformed_control_messages", 1);
                self.health.remark("malformed", || format!("a malformed message of the receiver: {malformed}"));
            }
            Heard::Nothing => {}
        }
    }

    /// Does what a receiver asks for, as far as it concerns a camera of this link.
    fn obey(&mut self, control: Control, pending: &mut Pending) {
        let place = |name: &Name| {
            let place = pending.lanes.iter().position(|lane| lane.view.name == *name);
            if place.is_none() {
                self.health.count("unknown_cameras_requested", 1);
                self.health.remark("unknown camera", || {
                    format!("the receiver speaks of a camera {name}, which this link does not have")
                });
            }
            place
        };
        match control {
            Control::Seen { camera, boot, seq } if boot == self.boot => {
                pending.audience.has_seen();
                // One that is gone is still spoken of by whoever has not heard that.
                if let Some(lane) = pending.lanes.iter_mut().find(|lane| lane.view.name == camera) {
                    lane.unseen.seen(seq);
                }
            }
            Control::Set { camera, on, fps, quality } => {
                if place(&camera).is_some_and(|camera| pending.lanes[camera].view.demand.set(on, fps, quality)) {
                    info!("camera {camera}: set by the receiver at {}", self.outlet.end.address());
                    self.health.has_news();
                }
            }
            Control::Snapshot { camera } => {
                if let Some(camera) = place(&camera) {
                    pending.lanes[camera].begin_snapshot(self.number);
                }
            }
            // What another start of this agent has sent.
            Control::Seen { .. } => {}
            Control::Hello { acks, .. } => {
                if let Some(backlog) = &mut self.backlog {
                    backlog.hello(acks);
                }
            }
            Control::Ack { boot, first, seq } => {
                if let Some(backlog) = &mut self.backlog {
                    backlog.ack(&boot, SeqRange::new(first, seq));
                }
            }
        }
    }
}
