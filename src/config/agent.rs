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
use super::quantity::{self, Quantity, too_long};
use super::spool::{self, Spool};
use super::toml_error;
use crate::name::Name;
use crate::quantity::{is_label, known};

/// The most cameras of an agent, because a receiver shows no more of one agent.
pub const MAX_CAMERAS: usize = 64;

/// The most boards of an agent, for the same reason.
pub const MAX_PORTS: usize = 64;

/// The most links, so that a status has room for all of them.
const MAX_LINKS: usize = 64;

/// The agent's configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// Its name; by default the host name.
    pub name: Name,
    /// Its boards.
    pub serial: Vec<Serial>,
    /// Settings of quantities that the boards measure.
    pub quantities: Vec<Quantity>,
    /// Its cameras.
    pub cameras: Vec<Camera>,
    /// Its links to receivers.
    pub links: Vec<Outlet>,
    /// Where readings are stored until receivers acknowledge them; `None` without a spool.
    pub spool: Option<Spool>,
    /// The spool is on, but has no path and the user has no home directory.
    pub lacks_spool_path: bool,
}

/// One board on a serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serial {
    /// Name of the port; by default the last part of its path.
    pub name: Name,
    /// Path of the device, or of a link to it.
    pub port: PathBuf,
    /// Bits per second.
    pub baud: u32,
    /// Whether opening the port sets or clears the data-terminal-ready line; `None` leaves it unchanged.
    pub dtr: Option<bool>,
    /// Quantity of each label-value pair of a line, by position. If empty, the labels decide.
    pub fields: Vec<String>,
    /// Age from which a reading is stale.
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
    check_count("[[serial]]", &file.serial, MAX_PORTS)?;
    check_count("[[camera]]", &file.camera, MAX_CAMERAS)?;
    check_count("[[link]]", &file.link, MAX_LINKS)?;
    let serial: Vec<_> = file.serial.into_iter().map(|table| (table.span(), named(table.into_inner()))).collect();
    for (span, board) in &serial {
        check(span, board)?;
    }
    let serial = distinct("port", serial, |board: &Serial| &board.name, |board| Some(("port", &board.port)))?;
    let quantities = quantity::check(file.quantity)?;
    let cameras: Vec<_> = file.camera.into_iter().map(|table| (table.span(), table.into_inner())).collect();
    for (span, camera) in &cameras {
        if let Some(what) = Camera::certificate_fault(camera) {
            return Err(Fault::of("certificate", span.clone(), what.to_owned()));
        }
    }
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
        return Err(Fault::of_file("nothing to do: there is neither a [[serial]] nor a [[camera]] table; add one"));
    }
    if links.is_empty() {
        return Err(Fault::of_file("nowhere to send to: there is no [[link]] table; add one"));
    }
    let is_spool_off = file.spool.as_ref().is_some_and(|spool| spool.get_ref().off);
    let spool = Spool::check(file.spool)?;
    let lacks_spool_path = spool.is_none() && !is_spool_off;
    let name = file.name.unwrap_or_else(host_name);
    Ok(Agent { name, serial, quantities, cameras, links, spool, lacks_spool_path })
}

impl Agent {
    /// Whether a link would use a spool whose file has no path.
    #[must_use]
    pub fn wants_spool_path(&self) -> bool {
        self.lacks_spool_path && self.links.iter().any(Outlet::is_acknowledged)
    }
}

fn check_count<T>(kind: &str, tables: &[Spanned<T>], limit: usize) -> Result<(), Fault> {
    let Some(table) = tables.get(limit) else { return Ok(()) };
    let what = format!(
        "an agent has at most {limit} {kind} tables, because receivers show no more of one agent; \
         move the others to a second agent with another name"
    );
    Err(Fault::of("", table.span(), what))
}

fn check(span: &Range<usize>, board: &Serial) -> Result<(), Fault> {
    let fault = |key, what: &str| Err(Fault::of(key, span.clone(), what.to_owned()));
    if !board.port.is_absolute() {
        return fault("port", "not a whole path of a device; write for example \"/dev/ttyUSB0\"");
    }
    // From the slowest teleprinters to the fastest USB adapters.
    if !(50..=12_000_000).contains(&board.baud) {
        return fault("baud", "not a baud rate; write for example 9600 or 115200");
    }
    let mut names = BTreeSet::new();
    for field in &board.fields {
        if !is_label(field) {
            return fault(
                "fields",
                &format!(
                    "\"{field}\" cannot be a quantity; write a name with a letter and without a dash{}",
                    too_long(field)
                ),
            );
        }
        if !names.insert(known(field).map_or(field.as_str(), |known| known.name)) {
            return fault("fields", &format!("\"{field}\" is already in the list; write another quantity"));
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

/// Returns the tables if names and devices are unique.
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
            let what = format!("{} is already used by another {kind}; a device can be used only once", path.display());
            return Err(Fault::of(key, span, what));
        }
        if !names.insert(name(&table).clone()) {
            let what = format!("two {kind}s are named \"{}\"; give this one another `name`", name(&table));
            return Err(Fault::of("name", span, what));
        }
        all.push(table);
    }
    Ok(all)
}

/// Returns the name of this machine.
#[must_use]
pub fn host_name() -> Name {
    let host = nix::unistd::gethostname().unwrap_or_default();
    Name::nearest(&host.to_string_lossy())
}
