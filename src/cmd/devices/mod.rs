//! Lists cameras and serial ports with the names to use in a configuration.
//!
//! `names.rs` knows udev's links, and `usb.rs` sysfs. `cameras.rs` and `ports.rs` find and describe devices. `bus.rs`
//! calculates whether the cameras of a configuration fit on their USB buses.

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

/// Directories with devices and their properties.
#[derive(Debug)]
pub struct Roots {
    /// `/dev`, with udev's links.
    pub dev: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

/// The devices of this machine.
#[derive(Debug)]
pub struct Devices {
    cameras: Vec<Camera>,
    ports: Vec<Port>,
}

impl Devices {
    /// Finds devices. Queries cameras, which disturbs no other program. Does not open ports, because that resets many boards.
    #[must_use]
    pub fn find(roots: &Roots) -> Devices {
        Devices { cameras: cameras::find(roots), ports: ports::find(roots) }
    }

    /// Describes the devices.
    #[must_use]
    pub fn describe(&self) -> String {
        cameras::describe(&self.cameras) + "\n" + &ports::describe(&self.ports)
    }

    /// Describes the cameras of a configuration on this machine, with warnings about their USB buses.
    #[must_use]
    pub fn assess(&self, config: &config::Agent, file: &Path) -> String {
        bus::assess(&self.cameras, &config.cameras, file)
    }

    /// Returns warnings about cameras of a configuration that need more bandwidth than their USB bus has.
    #[must_use]
    pub fn crowded(&self, config: &config::Agent) -> Vec<Warning> {
        bus::crowded(&self.cameras, &config.cameras)
    }

    /// Returns a warning if `path` is a by-id name that several cameras or ports share.
    #[must_use]
    pub fn ambiguous(&self, path: &Path) -> Option<Warning> {
        let cameras = names::ambiguous("cameras", self.cameras.iter().map(|camera| &camera.names), path);
        cameras.or_else(|| ports::ambiguous(&self.ports, path))
    }
}

/// A problem with devices, and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The problem.
    pub what: String,
    /// The remedy.
    pub remedy: String,
}

impl fmt::Display for Warning {
    /// Formats it as a paragraph of a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  warning: {}:\n           {}", self.what, self.remedy)
    }
}

/// Characters of a line after its label.
const WIDTH: usize = 90;

/// Adds a line with its label in a separate column.
fn line(text: &mut String, label: &str, what: impl std::fmt::Display) {
    writeln!(text, "{}", format!("    {label:<8} {what}").trim_end()).expect("writing to a String cannot fail");
}

/// As [`line()`], with as many lines as the items need.
fn lines(text: &mut String, label: &str, items: impl Iterator<Item = String>) {
    let mut rows = vec![String::new()];
    for item in items {
        let row = rows.last_mut().expect("never empty");
        if row.is_empty() {
            *row = item;
        } else if row.len() + item.len() < WIDTH {
            write!(row, "  {item}").expect("writing to a String cannot fail");
        } else {
            rows.push(item);
        }
    }
    for (place, row) in rows.iter().enumerate() {
        line(text, if place == 0 { label } else { "" }, row);
    }
}

/// Adds the best name as a line for the configuration, and the others below it.
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
