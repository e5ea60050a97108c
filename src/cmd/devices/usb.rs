//! Properties of the USB device of a node, from sysfs.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Usb {
    /// The number of its bus.
    pub(super) bus: String,
    /// In Mbit/s: 480 is USB 2.
    pub(super) speed: f64,
    /// Its product name.
    pub(super) product: Option<String>,
    /// Maker, model and serial number, if it has one. Devices with the same identity share a by-id name.
    pub(super) identity: String,
}

/// Returns the directory of the device that has the node `sys/class/CLASS/NODE`.
pub(super) fn device(sys: &Path, class: &str, node: &str) -> Option<PathBuf> {
    sys.join("class").join(class).join(node).join("device").canonicalize().ok()
}

/// Returns the USB device that `device` is a part of.
pub(super) fn parent(device: &Path) -> Option<Usb> {
    let usb = ancestor_with(device, "idVendor")?;
    let of = |name| attribute(usb, name);
    let identity = [of("idVendor"), of("idProduct"), of("serial")].map(Option::unwrap_or_default).join(" ");
    Some(Usb { bus: of("busnum")?, speed: of("speed")?.parse().ok()?, product: of("product"), identity })
}

/// Returns the nearest directory from `device` upwards that has this attribute.
pub(super) fn ancestor_with<'a>(device: &'a Path, attribute: &str) -> Option<&'a Path> {
    device.ancestors().find(|directory| directory.join(attribute).exists())
}

/// Returns an attribute's value, if it is not empty.
pub(super) fn attribute(directory: &Path, name: &str) -> Option<String> {
    let value = fs::read_to_string(directory.join(name)).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}
