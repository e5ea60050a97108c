//! Handles what the peer of a link sends.

use bytes::Bytes;
use tracing::info;

use super::camera_stream::CameraStream;
use super::peer_state::PeerMessage;
use super::refusals::cause;
use super::session::Session;
use crate::name::Name;
use crate::ranges::SeqRange;
use crate::wire::{Control, Limit};

/// The most readings that one refusal counts on a link without a spool: no message has more.
const MAX_REFUSED: u64 = 10_000;

impl Session {
    /// Handles one message of the peer.
    pub(super) fn handle_message(&mut self, parts: &[Bytes]) {
        match self.peer.receive(parts) {
            // Nobody could receive the readings that waited until now.
            PeerMessage::FirstSubscriber => self.inputs.readings.restart(),
            PeerMessage::Control(control) => self.handle_control(control),
            PeerMessage::Malformed(malformed) => {
                self.health.count("malformed_control_messages", 1);
                self.health.warn("malformed", || format!("malformed message from the receiver: {malformed}"));
            }
            PeerMessage::Other => {}
        }
    }

    /// Does what a receiver requests, if it concerns this link.
    fn handle_control(&mut self, control: Control) {
        match control {
            Control::Seen { camera, boot, seq } if boot == self.inputs.boot => {
                self.peer.saw_frame();
                // The camera may be gone and the receiver may not know that yet.
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.camera.name == camera) {
                    stream.in_flight.acknowledge(seq);
                }
            }
            // Acknowledges a frame that was sent before the agent restarted.
            Control::Seen { .. } => {}
            Control::Set { camera, on, fps, quality } => {
                let stream = self.stream(&camera).filter(|stream| stream.camera.demand.set(on, fps, quality));
                let Some(stream) = stream else { return };
                if let Some(earlier) = stream.settings_log.changed() {
                    let address = self.outlet.end.address();
                    info!("camera {camera}: settings changed by the receiver at {address}{earlier}");
                }
                self.health.notify_change();
            }
            Control::Snapshot { camera } => {
                let number = self.number;
                if let Some(stream) = self.stream(&camera) {
                    stream.start_snapshot(number);
                }
            }
            Control::Rejected { cause } => self.peer.was_rejected(&cause),
            Control::Hello { acks, .. } => {
                if self.peer.end_rejection() {
                    // The receiver kept nothing of what was sent so far.
                    self.has_new_status = true;
                    self.discard_in_flight();
                }
                if let Some(backlog) = &mut self.inputs.backlog {
                    backlog.hello(acks);
                }
            }
            Control::Ack { boot, first, seq } => {
                if let Some(backlog) = &mut self.inputs.backlog {
                    backlog.ack(&boot, SeqRange::new(first, seq));
                }
            }
            Control::Refused { boot, first, seq, cause: limit } => self.refuse(&boot, SeqRange::new(first, seq), limit),
        }
    }

    /// Handles readings that the receiver refused. A link without a spool has lost them.
    fn refuse(&mut self, boot: &Name, seqs: SeqRange, limit: Limit) {
        let count = match &mut self.inputs.backlog {
            Some(backlog) => backlog.refuse(boot, seqs, limit),
            None => (seqs.last - seqs.first + 1).min(MAX_REFUSED),
        };
        self.health.count("readings_refused", count);
        if self.inputs.backlog.is_none() {
            self.health.warn("refused", || {
                format!("readings lost: the receiver cannot keep them ({}), and the agent has no spool", cause(limit))
            });
        }
    }

    /// Returns a camera's stream; counts and logs a camera that this link does not carry.
    fn stream(&mut self, camera: &Name) -> Option<&mut CameraStream> {
        let stream = self.streams.iter_mut().find(|stream| stream.camera.name == *camera);
        if stream.is_none() {
            self.health.count("unknown_cameras_requested", 1);
            self.health.warn("unknown camera", || {
                format!("the receiver requested camera {camera}, which this link does not carry")
            });
        }
        stream
    }
}
