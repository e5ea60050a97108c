//! The agent's configuration file.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::camera::{Camera, Source};
use super::error::Fault;
use super::link::{Outlet, OutletTable};
use super::period::Period;
use super::quantity::{self, Quantity};
use super::spool::{self, Spool};
use super::toml_error;
use crate::name::Name;
use crate::quantity::{is_label, known};

/// What an agent is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// What it is called; the host's name when the file says nothing.
    pub name: Name,
    /// Its boards.
    pub serial: Vec<Serial>,
    /// What is said of the quantities that the boards measure.
    pub quantities: Vec<Quantity>,
    /// Its cameras.
    pub cameras: Vec<Camera>,
    /// Where everything goes.
    pub links: Vec<Outlet>,
    /// Where readings are kept until their receivers have them, if they are.
    pub spool: Option<Spool>,
}

/// One board on a serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// What the port is called; the last part of its path when the file says nothing.
    pub name: Name,
    /// The device, or a link to it.
    pub port: PathBuf,
    /// Symbols a second.
    pub baud: u32,
    /// Whether the data-terminal-ready line is set or cleared when the port is opened; none: it is left alone.
    pub dtr: Option<bool>,
    /// The n-th label-value pair of a line is this quantity; empty: the labels decide.
    pub fields: Vec<String>,
    /// The age at which a reading is no longer a current value.
    pub stale_after: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<Name>,
    #[serde(default)]
    serial: Vec<Spanned<SerialTable>>,
    #[serde(default)]
    quantity: quantity::Tables,
    #[serde(default)]
    camera: Vec<Spanned<Camera>>,
    #[serde(default)]
    link: Vec<Spanned<OutletTable>>,
    spool: Option<Spanned<spool::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SerialTable {
    name: Option<Name>,
    port: PathBuf,
    #[serde(default = "default_baud")]
    baud: u32,
    dtr: Option<bool>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default = "default_stale_after")]
    stale_after: Period,
}

fn default_baud() -> u32 {
    115_200
}

fn default_stale_after() -> Period {
    Period(Duration::from_secs(10))
}

pub(super) fn parse(text: &str) -> Result<Agent, Fault> {
    let file: File = toml_error::parse(text)?;
    let serial: Vec<_> = file.serial.into_iter().map(|table| (table.span(), named(table.into_inner()))).collect();
    for (span, board) in &serial {
        check(span, board)?;
    }
    let serial = distinct("port", serial, |board: &Serial| &board.name, |board| Some(("port", &board.port)))?;
    let quantities = quantity::check(file.quantity)?;
    let cameras = file.camera.into_iter().map(|table| (table.span(), table.into_inner())).collect();
    let cameras = distinct(
        "camera",
        cameras,
        |camera: &Camera| &camera.name,
        |camera| match &camera.source {
            Source::Device(path) => Some(("source", path)),
            Source::Pattern | Source::Video(_) => None,
        },
    )?;
    let names: Vec<Name> = cameras.iter().map(|camera| camera.name.clone()).collect();
    let links = file.link.into_iter().map(|table| OutletTable::check(table, &names)).collect::<Result<Vec<_>, _>>()?;
    if serial.is_empty() && cameras.is_empty() {
        return Err(Fault::of_file("nothing to do: there is neither a [[serial]] nor a [[camera]] table"));
    }
    if links.is_empty() {
        return Err(Fault::of_file("nowhere to send to: there is no [[link]] table"));
    }
    let spool = Spool::check(file.spool)?;
    Ok(Agent { name: file.name.unwrap_or_else(host_name), serial, quantities, cameras, links, spool })
}

fn check(span: &Range<usize>, board: &Serial) -> Result<(), Fault> {
    let fault = |key, what: &str| Err(Fault::of(key, span.clone(), what.to_owned()));
    if !board.port.is_absolute() {
        return fault("port", "a port is a device's whole path; write for example \"/dev/ttyUSB0\"");
    }
    // From the slowest of teleprinters to the fastest of USB adapters.
    if !(50..=12_000_000).contains(&board.baud) {
        return fault("baud", "not a baud rate; write for example 9600 or 115200");
    }
    let mut names = BTreeSet::new();
    for field in &board.fields {
        if !is_label(field) {
            return fault("fields", &format!("\"{field}\" cannot be a quantity: its name needs a letter and no dash"));
        }
        if !names.insert(known(field).map_or(field.as_str(), |known| known.name)) {
            return fault("fields", &format!("\"{field}\" is there already; each field is a quantity of its own"));
        }
    }
    Ok(())
}

fn named(table: SerialTable) -> Serial {
    let last = table.port.file_name().unwrap_or(table.port.as_os_str()).to_string_lossy();
    Serial {
        name: table.name.unwrap_or_else(|| Name::nearest(&last)),
        port: table.port,
        baud: table.baud,
        dtr: table.dtr,
        fields: table.fields,
        stale_after: table.stale_after.0,
    }
}

/// What the tables hold, if no two have the same name or the same device.
fn distinct<T>(
    kind: &str,
    tables: Vec<(Range<usize>, T)>,
    name: impl Fn(&T) -> &Name,
    device: impl Fn(&T) -> Option<(&'static str, &Path)>,
) -> Result<Vec<T>, Fault> {
    let (mut names, mut devices) = (BTreeSet::new(), BTreeSet::new());
    let mut all = Vec::new();
    for (span, table) in tables {
        if let Some((key, path)) = device(&table)
            && !devices.insert(path.to_owned())
        {
            let what =
                format!("{} is used by another {kind} already, and a device can be used but once", path.display());
            return Err(Fault::of(key, span, what));
        }
        if !names.insert(name(&table).clone()) {
            let what = format!("two {kind}s are named \"{}\"; give this one a `name` of its own", name(&table));
            return Err(Fault::of("name", span, what));
        }
        all.push(table);
    }
    Ok(all)
}

/// What this machine is called.
#[must_use]
pub fn host_name() -> Name {
    let host = nix::unistd::gethostname().unwrap_or_default();
    Name::nearest(&host.to_string_lossy())
}
