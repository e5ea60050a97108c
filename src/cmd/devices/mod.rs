//! What is plugged into this machine, told so that a configuration can be written from it.
//!
//! `names.rs` knows udev's links, `usb.rs` what sysfs says of a device on USB, `cameras.rs` and `ports.rs` find and show,
//! `bus.rs` sees whether the cameras of a configuration fit on their bus.

mod bus;
mod cameras;
mod names;
mod ports;
mod usb;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::config;
use cameras::Camera;
use ports::Port;

/// Where devices and what is known of them are found.
#[derive(Debug)]
pub struct Roots {
    /// `/dev`, with udev's links.
    pub dev: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

/// What was found.
#[derive(Debug)]
pub struct Devices {
    cameras: Vec<Camera>,
    ports: Vec<Port>,
}

impl Devices {
    /// Looks. Cameras are opened and asked, which disturbs nobody; ports are not, because that resets many boards.
    #[must_use]
    pub fn find(roots: &Roots) -> Devices {
        Devices { cameras: cameras::find(roots), ports: ports::find(roots) }
    }

    /// What was found, for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        cameras::describe(&self.cameras) + "\n" + &ports::describe(&self.ports)
    }

    /// What the cameras of a configuration will be on this machine, and what they ask too much of.
    #[must_use]
    pub fn assess(&self, config: &config::Agent, file: &Path) -> String {
        bus::assess(&self.cameras, &config.cameras, file)
    }

    /// What the cameras of a configuration ask too much of their USB buses.
    #[must_use]
    pub fn crowded(&self, config: &config::Agent) -> Vec<Warning> {
        bus::crowded(&self.cameras, &config.cameras)
    }

    /// That this by-id name is one of several cameras or ports, and leads to one of them, if it is.
    #[must_use]
    pub fn ambiguous(&self, path: &Path) -> Option<Warning> {
        let cameras = names::ambiguous("cameras", self.cameras.iter().map(|camera| &camera.names), path);
        cameras.or_else(|| ports::ambiguous(&self.ports, path))
    }
}

/// What will go wrong with devices, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// In words.
    pub what: String,
    /// To be done.
    pub remedy: String,
}

impl fmt::Display for Warning {
    /// A paragraph of a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  warning: {}:\n           {}", self.what, self.remedy)
    }
}

/// How much stands on a line beside its label.
const WIDTH: usize = 90;

/// A line with its label in a column of its own.
fn line(text: &mut String, label: &str, what: impl std::fmt::Display) {
    writeln!(text, "{}", format!("    {label:<8} {what}").trim_end()).expect("a String takes all");
}

/// As [`line()`], with as many lines as the items need; no item is cut.
fn lines(text: &mut String, label: &str, items: impl Iterator<Item = String>) {
    let mut rows = vec![String::new()];
    for item in items {
        let row = rows.last_mut().expect("never empty");
        if row.is_empty() {
            *row = item;
        } else if row.len() + item.len() < WIDTH {
            write!(row, "  {item}").expect("a String takes all");
        } else {
            rows.push(item);
        }
    }
    for (place, row) in rows.iter().enumerate() {
        line(text, if place == 0 { label } else { "" }, row);
    }
}

/// The best name as the configuration has it, the others below.
fn name_lines(text: &mut String, key: &str, names: &[&Path]) {
    let mut names = names.iter().map(|name| name.display());
    if let Some(best) = names.next() {
        line(text, &format!("{key:<6} ="), format_args!("\"{best}\""));
    }
    for (place, name) in names.enumerate() {
        line(text, if place == 0 { "also" } else { "" }, name);
    }
}

fn no_permission(group: &str) -> String {
    format!(
        "no permission to open it: put this user in the group \"{group}\" \
         (sudo usermod -aG {group} $USER) and log in again"
    )
}
