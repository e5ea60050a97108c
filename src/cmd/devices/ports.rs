//! The serial ports: USB and built-in ones.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::names::{self, ALIASES, Names};
use super::usb::{self, Usb};
use super::{Roots, Warning, line, name_lines, no_permission};

/// Prefixes of the nodes: adapters, boards with USB, and the Pi's built-in ports.
const KINDS: [&str; 3] = ["ttyUSB", "ttyACM", "ttyAMA"];

#[derive(Debug)]
pub(super) struct Port {
    name: String,
    names: Names,
    may_be_opened: bool,
}

pub(super) fn find(roots: &Roots) -> Vec<Port> {
    let mut ports: Vec<Port> = nodes(&roots.dev).iter().map(|node| probe(roots, node)).collect();
    names::compare(ports.iter_mut().map(|port| &mut port.names));
    ports
}

/// Returns the names of the nodes, without duplicates, in numerical order.
fn nodes(dev: &Path) -> Vec<String> {
    let entries = fs::read_dir(dev).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    // A ttyS node is listed only if an alias leads to it: most are not connected to anything.
    let aliased = ALIASES.iter().filter_map(|alias| {
        let target = dev.join(alias).read_link().ok()?;
        target.file_name()?.to_str().filter(|node| dev.join(node).exists()).map(str::to_owned)
    });
    let mut nodes: Vec<_> =
        names.filter(|name| KINDS.iter().any(|kind| name.starts_with(kind))).chain(aliased).collect();
    nodes.sort_by_cached_key(|node| {
        let kind = node.trim_end_matches(|c: char| c.is_ascii_digit());
        (kind.to_owned(), node[kind.len()..].parse::<u32>().ok())
    });
    nodes.dedup();
    nodes
}

fn probe(roots: &Roots, node: &str) -> Port {
    let device = usb::device(&roots.sys, "tty", node);
    let usb = device.as_deref().and_then(usb::parent);
    let identity = device.as_deref().zip(usb.as_ref()).map(|(device, usb)| identity(device, usb));
    let name = match usb {
        Some(usb) => usb.product.unwrap_or_else(|| "a serial port on USB".to_owned()),
        None => "This computer's built-in port".to_owned(),
    };
    let may_be_opened = access(&roots.dev.join(node), AccessFlags::R_OK | AccessFlags::W_OK).is_ok();
    Port { name, names: Names::of(roots, "serial", node, identity), may_be_opened }
}

/// Returns the identity with the numbers in udev's `if00-port0`, because an adapter may have several ports.
fn identity(device: &Path, usb: &Usb) -> String {
    let interface = usb::ancestor_with(device, "bInterfaceNumber");
    let interface = interface.and_then(|interface| usb::attribute(interface, "bInterfaceNumber"));
    let port = usb::attribute(device, "port_number");
    format!("{} {} {}", usb.identity, interface.unwrap_or_default(), port.unwrap_or_default())
}

pub(super) fn describe(ports: &[Port]) -> String {
    let mut text = "Serial ports\n".to_owned();
    if ports.is_empty() {
        text += "\n  None. Plug in a board with a data cable, not a charging cable; `lsusb` lists USB devices, and\n  \
                 `sudo dmesg -w` shows what happens when you plug in a cable.\n";
    }
    for port in ports {
        writeln!(text, "\n  {}", port.name).expect("writing to a String cannot fail");
        name_lines(&mut text, "port", &port.names.best_first());
        if !port.may_be_opened {
            line(&mut text, "but", no_permission("dialout"));
        }
    }
    text + &names::warn("ports", ports.iter().map(|port| &port.names))
}

pub(super) fn ambiguous(ports: &[Port], path: &Path) -> Option<Warning> {
    names::ambiguous("ports", ports.iter().map(|port| &port.names), path)
}
