//! TOML to plain, checked structs. Everything is checked here and nowhere else. This module knows no component that
//! uses it.
//!
//! A value checks itself while it is read (`address.rs`, `camera.rs`, `view.rs`), so its error has a line number. Checks
//! that concern several tables are in `agent.rs` and `receiver.rs`. `toml_error.rs` words the parser's errors.

mod address;
mod agent;
mod camera;
mod curve;
mod error;
mod limits;
mod link;
mod period;
mod quantity;
mod receiver;
mod record;
mod redaction;
mod spool;
mod storage;
mod toml_error;
mod toml_syntax;
#[cfg(test)]
mod toml_tests;
mod view;
mod web;

use std::path::Path;

use error::Fault;

pub use address::{Address, Endpoint};
pub use agent::{Agent, MAX_CAMERAS, MAX_PORTS, Serial, host_name};
pub use camera::{Camera, Fps, Quality, Size, Source, VideoSource};
pub use curve::{Agents, Curve, ServerKey};
pub use error::Error;
pub use limits::Limits;
pub use link::{Format, InPattern, Inlet, OutPattern, Outlet, ShownAs};
pub use period::Period;
pub use quantity::Quantity;
pub use receiver::{History, Receiver};
pub use record::{Record, Recorded};
pub use redaction::without_passwords;
pub use spool::Spool;
pub use storage::{Bytes, state_dir};
pub use view::{Crop, Flip, Rotate};
pub use web::Web;

/// A configuration of either program.
#[derive(Debug)]
pub enum Either {
    /// The agent's.
    Agent(Agent),
    /// The receiver's, which has only links, a page, a history and recordings.
    Receiver(Receiver),
}

/// Reads the agent's configuration.
///
/// # Errors
/// If the file cannot be read or anything in it is wrong. The error says where, and what to write instead.
pub fn agent(path: &Path) -> Result<Agent, Error> {
    agent_from(&error::read(path)?, path)
}

/// Parses the agent's configuration; `path` is for the error.
///
/// # Errors
/// As [`agent()`].
pub fn agent_from(text: &str, path: &Path) -> Result<Agent, Error> {
    let hint = "this is a receiver's configuration; use `watchpost receive` for it, or name the agent's file";
    agent::parse(text)
        .map_err(|fault| Error::in_file(path, text, unless_other_kind(text, fault, hint, RECEIVER_TABLES)))
}

/// Reads the receiver's configuration.
///
/// # Errors
/// As [`agent()`].
pub fn receiver(path: &Path) -> Result<Receiver, Error> {
    let text = error::read(path)?;
    let hint = "this is an agent's configuration; use `watchpost run` for it, or name the receiver's file";
    receiver::parse(&text)
        .map_err(|fault| Error::in_file(path, &text, unless_other_kind(&text, fault, hint, AGENT_TABLES)))
}

/// The tables that only the file of one program has.
const AGENT_TABLES: &[&str] = &["serial", "camera", "quantity", "spool"];
const RECEIVER_TABLES: &[&str] = &["web", "history", "record", "limits"];

/// Returns the fault, or `hint` if the file has only `tables`, which belong to the other kind of file.
fn unless_other_kind(text: &str, fault: Fault, hint: &str, tables: &[&str]) -> Fault {
    let file: toml::Table = toml::from_str(text).unwrap_or_default();
    let mut keys = file.keys().filter(|key| !matches!(key.as_str(), "link" | "name")).peekable();
    let is_other_kind = keys.peek().is_some() && keys.all(|key| tables.contains(&key.as_str()));
    if is_other_kind { Fault::of_file(hint) } else { fault }
}

/// Reads a configuration of either kind, told apart by its tables.
///
/// # Errors
/// As [`agent()`].
pub fn either(path: &Path) -> Result<Either, Error> {
    let text = error::read(path)?;
    let table: toml::Table = toml_error::parse(&text).map_err(|fault| Error::in_file(path, &text, fault))?;
    if is_receivers(&table, path) { receiver(path).map(Either::Receiver) } else { agent(path).map(Either::Agent) }
}

/// Whether the tables of a file are a receiver's. A file that has only links is one if they could not be an agent's.
fn is_receivers(table: &toml::Table, path: &Path) -> bool {
    let mut keys = table.keys().map(String::as_str).filter(|key| *key != "link").peekable();
    if keys.peek().is_some() {
        return keys.all(|key| RECEIVER_TABLES.contains(&key));
    }
    let links = table.get("link").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_named_so = path.file_name().is_some_and(|name| name.to_string_lossy().contains("receiver"));
    let is_agents = |link: &toml::Value| match link.get("pattern").and_then(toml::Value::as_str) {
        Some("sub" | "router") => false,
        Some("pair") => link.get("cameras").is_some() || link.get("connect").is_some() && !is_named_so,
        _ => true,
    };
    !links.is_empty() && !links.iter().any(is_agents)
}
