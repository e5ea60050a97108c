//! One link of the agent: sends each message as soon as the peer accepts it.
//!
//! While the peer accepts nothing, the link prepares nothing. Only the newest frame waits in its slot, and readings wait in
//! their bounded feed, so a stalled peer never slows sensors, cameras or other links.
//!
//! `session.rs` runs the link, `send.rs` picks the next message, `frames.rs` handles pictures and `control.rs` the peer's
//! messages. `peer_state.rs`, `subscriptions.rs` and `camera_stream.rs` hold what the session knows of its peer and sends
//! of each camera.

mod backlog;
mod batcher;
mod camera_stream;
mod card;
mod congestion_window;
mod control;
mod flow_control;
mod frames;
mod no_signal;
mod peer_state;
mod refusals;
mod send;
mod session;
mod subscriptions;

pub use backlog::Backlog;
pub use batcher::LiveReadings;
pub use camera_stream::{SharedCamera, SharedCameras};
pub use session::{Inputs, Session};
