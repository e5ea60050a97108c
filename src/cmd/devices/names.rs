//! The names of a device: its node, and udev's links that lead there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Roots, Warning};

#[derive(Debug)]
pub(super) struct Names {
    pub(super) node: PathBuf,
    by_id: Vec<PathBuf>,
    by_path: Vec<PathBuf>,
    /// Short names for USB devices by watchpost's udev rule (config/udev).
    by_socket: Vec<PathBuf>,
    /// The Pi's links in `/dev`.
    aliases: Vec<PathBuf>,
    /// Devices with the same identity share a by-id name.
    identity: Option<String>,
    by_id_is_shared: bool,
}

impl Names {
    /// Finds the names of the node `dev/node`, with its links below `dev/kind`.
    pub(super) fn of(roots: &Roots, kind: &str, node: &str, identity: Option<String>) -> Names {
        let links = |names| links(&roots.dev.join(kind).join(names), node);
        let (by_id, by_path) = (links("by-id"), links("by-path"));
        let by_socket = self::links(&roots.dev.join("watchpost"), node);
        let aliases = ALIASES.iter().map(|alias| roots.dev.join(alias)).filter(|link| leads_to(link, node)).collect();
        Names { node: roots.dev.join(node), by_id, by_path, by_socket, aliases, identity, by_id_is_shared: false }
    }

    /// Returns the stable names, best first: by-id follows the device to another socket, others stay with the socket, and the
    /// node can change. Omits a shared by-id link, which leads to the device that was plugged in last.
    pub(super) fn best_first(&self) -> Vec<&Path> {
        let by_id = if self.by_id_is_shared { &[] } else { &*self.by_id };
        let all = by_id.iter().chain(&self.aliases).chain(&self.by_socket).chain(&self.by_path).chain([&self.node]);
        all.map(PathBuf::as_path).collect()
    }

    /// Whether `path` leads to this device.
    pub(super) fn include(&self, path: &Path) -> bool {
        let mut links = self.by_id.iter().chain(&self.by_path).chain(&self.by_socket);
        path == self.node || links.any(|link| link == path) || path.canonicalize().is_ok_and(|path| path == self.node)
    }
}

/// The Pi's names for its built-in ports, independent of the model's nodes.
pub(super) const ALIASES: [&str; 2] = ["serial0", "serial1"];

fn leads_to(link: &Path, node: &str) -> bool {
    link.read_link().is_ok_and(|target| target.file_name() == Some(node.as_ref()))
}

/// Returns the links in `dir` that lead to `node`, sorted.
fn links(dir: &Path, node: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut links: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|link| leads_to(link, node)).collect();
    links.sort();
    links
}

/// Marks devices that share a by-id name. udev builds the name from maker, model and serial number. Two devices of a model
/// without serial numbers have the same name, and only one link.
pub(super) fn compare<'a>(all: impl Iterator<Item = &'a mut Names>) {
    let mut groups: BTreeMap<String, Vec<&mut Names>> = BTreeMap::new();
    for names in all {
        if let Some(identity) = names.identity.clone() {
            groups.entry(identity).or_default().push(names);
        }
    }
    for names in groups.into_values().filter(|group| group.len() > 1).flatten() {
        names.by_id_is_shared = true;
    }
}

/// Returns warnings about shared by-id names; `what` is the kind of device.
pub(super) fn warn<'a>(what: &str, all: impl Iterator<Item = &'a Names>) -> String {
    warnings(what, all).iter().map(|(_, warning)| warning.to_string()).collect()
}

/// Returns the warning for the devices that share the by-id name `path`.
pub(super) fn ambiguous<'a>(what: &str, all: impl Iterator<Item = &'a Names>, path: &Path) -> Option<Warning> {
    let is_of = |names: &&Names| names.by_id.iter().any(|link| link == path);
    warnings(what, all).into_iter().find(|(group, _)| group.iter().any(is_of)).map(|(_, warning)| warning)
}

fn warnings<'a>(what: &str, all: impl Iterator<Item = &'a Names>) -> Vec<(Vec<&'a Names>, Warning)> {
    let mut groups: BTreeMap<&str, Vec<&Names>> = BTreeMap::new();
    for names in all.filter(|names| names.by_id_is_shared) {
        groups.entry(names.identity.as_deref().unwrap_or_default()).or_default().push(names);
    }
    groups.into_values().map(|group| (group.clone(), warn_of_group(what, &group))).collect()
}

fn warn_of_group(what: &str, group: &[&Names]) -> Warning {
    let count = match group.len() {
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        more => more.to_string(),
    };
    let link = group.iter().find_map(|names| names.by_id.first()?.file_name());
    let name = link.map_or("a by-id name".to_owned(), |link| format!("the name {}", link.to_string_lossy()));
    let advice = if group.iter().all(|names| !names.by_socket.is_empty()) {
        "use the names below /dev/watchpost, which stay with the sockets"
    } else if group.iter().all(|names| !names.by_path.is_empty()) {
        "use the by-path names, which stay with the sockets"
    } else {
        "without by-path names from udev they cannot be told apart reliably"
    };
    Warning { what: format!("{count} {what} share {name}"), remedy: advice.to_owned() }
}
