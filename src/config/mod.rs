//! TOML to plain, checked structs. Everything is checked here, at the door, and nowhere again; this module knows no
//! component that will use it.
//!
//! A value checks itself as it is read (`address.rs`, `camera.rs`, `view.rs`), so that the error carries its line; what
//! concerns several tables at once is checked in `agent.rs` and `receiver.rs`.

mod address;
mod agent;
mod camera;
mod curve;
mod error;
mod link;
mod period;
mod quantity;
mod receiver;
mod record;
mod spool;
mod storage;
mod view;
mod web;

use std::path::Path;

pub use address::{Address, Endpoint};
pub use agent::{Agent, Serial, host_name};
pub use camera::{Camera, Fps, Quality, Size, Source, VideoSource, without_passwords};
pub use curve::{Curve, ServerKey};
pub use error::Error;
pub use link::{Format, InPattern, Inlet, OutPattern, Outlet, ShownAs};
pub use period::Period;
pub use quantity::Quantity;
pub use receiver::{History, Receiver};
pub use record::{Record, Recorded};
pub use spool::Spool;
pub use storage::{Bytes, state_dir};
pub use view::{Crop, Flip, Rotate};
pub use web::Web;

/// What a configuration file is for.
#[derive(Debug)]
pub enum Either {
    /// The agent's.
    Agent(Agent),
    /// The receiver's: it has links, perhaps a page, a history and recordings, and nothing else.
    Receiver(Receiver),
}

/// Reads the agent's configuration.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; the error says where and what to write instead.
pub fn agent(path: &Path) -> Result<Agent, Error> {
    agent_from(&error::read(path)?, path)
}

/// The agent's configuration in `text`; `path` is for the error.
///
/// # Errors
/// As [`agent()`].
pub fn agent_from(text: &str, path: &Path) -> Result<Agent, Error> {
    agent::parse(text).map_err(|fault| Error::in_file(path, text, fault))
}

/// Reads the receiver's configuration.
///
/// # Errors
/// As [`agent()`].
pub fn receiver(path: &Path) -> Result<Receiver, Error> {
    let text = error::read(path)?;
    receiver::parse(&text).map_err(|fault| Error::in_file(path, &text, fault))
}

/// Reads a configuration of either kind, told apart by its tables.
///
/// # Errors
/// As [`agent()`].
pub fn either(path: &Path) -> Result<Either, Error> {
    let text = error::read(path)?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| Error::in_file(path, &text, error::Fault::from(e)))?;
    if !table.is_empty() && table.keys().all(|key| matches!(key.as_str(), "link" | "web" | "history" | "record")) {
        receiver(path).map(Either::Receiver)
    } else {
        agent(path).map(Either::Agent)
    }
}
