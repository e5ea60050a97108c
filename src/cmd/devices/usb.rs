//! What sysfs says of the USB device behind a node.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) struct Usb {
    /// The number of its bus.
    pub(super) bus: String,
    /// In Mbit/s: 480 is USB 2.
    pub(super) speed: f64,
    /// What it calls itself.
    pub(super) product: Option<String>,
    /// Maker, model and serial number if it has one; another with the same has the same by-id name, up to what numbers
    /// the nodes of one device.
    pub(super) identity: String,
}

/// The directory that describes the parent of `sys/class/CLASS/NODE`.
pub(super) fn device(sys: &Path, class: &str, node: &str) -> Option<PathBuf> {
    sys.join("class").join(class).join(node).join("device").canonicalize().ok()
}

/// The USB device that `device` is a part of.
pub(super) fn parent(device: &Path) -> Option<Usb> {
    let usb = ancestor_with(device, "idVendor")?;
    let of = |name| attribute(usb, name);
    let identity = [of("idVendor"), of("idProduct"), of("serial")].map(Option::unwrap_or_default).join(" ");
    Some(Usb { bus: of("busnum")?, speed: of("speed")?.parse().ok()?, product: of("product"), identity })
}

/// The nearest directory from `device` upwards that has this attribute.
pub(super) fn ancestor_with<'a>(device: &'a Path, attribute: &str) -> Option<&'a Path> {
    device.ancestors().find(|directory| directory.join(attribute).exists())
}

/// An attribute's value, if there is one.
pub(super) fn attribute(directory: &Path, name: &str) -> Option<String> {
    let value = fs::read_to_string(directory.join(name)).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}
