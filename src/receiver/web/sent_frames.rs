//! The frames that a viewer was sent, and which of them it has drawn.

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use crate::name::Name;
use crate::receiver::budget::{Budget, Share};
use crate::receiver::live_frame::LiveFrame;
use crate::receiver::wall::Wall;

/// Copies of a frame while it is sent: the message, and the WebSocket's buffer.
const COPIES: usize = 2;

/// The last frame sent of each camera, by agent and camera.
#[derive(Default)]
pub(super) struct SentFrames(HashMap<Name, HashMap<Name, Sent>>);

/// The last frame sent of a camera, and whether its acknowledgement is pending.
#[derive(Clone, Copy)]
struct Sent {
    number: u64,
    is_pending: bool,
}

/// A viewer's message: the camera (`AGENT/CAMERA`) whose frame it has drawn.
#[derive(Deserialize)]
struct Ack {
    seen: String,
}

impl SentFrames {
    /// Handles a viewer's message.
    pub(super) fn acknowledge(&mut self, text: &str) {
        let ack = serde_json::from_str::<Ack>(text).ok();
        let name = |text: &str| Name::try_from(text.to_owned()).ok();
        let sent = ack.and_then(|Ack { seen }| {
            let (agent, camera) = seen.split_once('/')?;
            self.0.get_mut(&name(agent)?)?.get_mut(&name(camera)?)
        });
        if let Some(sent) = sent {
            sent.is_pending = false;
        }
    }

    /// Cameras with a new frame whose last one was acknowledged.
    pub(super) fn due(&self, wall: &Wall) -> Vec<(Name, Name)> {
        let mut due = Vec::new();
        for (agent, view) in &wall.agents {
            let sent = self.0.get(agent);
            for (name, camera) in &view.cameras {
                let sent = sent.and_then(|sent| sent.get(name));
                if camera.newest.is_some() && sent.is_none_or(|sent| !sent.is_pending && sent.number != camera.number) {
                    due.push((agent.clone(), name.clone()));
                }
            }
        }
        due
    }

    /// A camera's newest frame as a message, and the memory for it while it is sent; marks it as pending. `None` if there is
    /// no frame or no memory.
    pub(super) fn take(
        &mut self,
        wall: &Wall,
        (agent, camera): (Name, Name),
        budget: &Budget,
    ) -> Option<(Bytes, Share)> {
        let view = wall.agents.get(&agent)?.cameras.get(&camera)?;
        let newest = view.newest.as_ref()?;
        let memory = budget.outgoing.take_fairly(&agent, COPIES * newest.jpeg.len())?;
        self.0.entry(agent).or_default().insert(camera, Sent { number: view.number, is_pending: true });
        Some((message(view.number, newest), memory))
    }

    /// Forgets cameras that left the wall.
    pub(super) fn retain(&mut self, wall: &Wall) {
        self.0.retain(|agent, sent| {
            let view = wall.agents.get(agent);
            sent.retain(|camera, _| view.is_some_and(|view| view.cameras.contains_key(camera)));
            !sent.is_empty()
        });
    }
}

/// A frame message: length of the header (four bytes, big-endian), header, JPEG.
fn message(number: u64, frame: &LiveFrame) -> Bytes {
    let header = json!({
        "agent": frame.header.agent,
        "camera": frame.header.camera,
        "seq": number,
        "captured_at_us": frame.captured_at_us,
        "age_ms": frame.age().as_millis() as u64,
        "width": frame.header.width,
        "height": frame.header.height,
    })
    .to_string();
    let mut message = BytesMut::with_capacity(4 + header.len() + frame.jpeg.len());
    message.put_u32(header.len() as u32);
    message.put_slice(header.as_bytes());
    message.put_slice(&frame.jpeg);
    message.freeze()
}
