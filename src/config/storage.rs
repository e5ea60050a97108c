//! The state directory, and sizes in bytes.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// A number of bytes, written as `"256 MB"`. Units are powers of 1,000, as on disk labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Bytes, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let times: Option<u64> = match unit.trim() {
            "kB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        let bytes = times.zip(number.parse::<u64>().ok()).and_then(|(times, number)| times.checked_mul(number));
        bytes
            .filter(|bytes| *bytes > 0)
            .map(Bytes)
            .ok_or_else(|| format!("{text:?} is not a size; write \"256 MB\" or \"2 GB\""))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, unit) = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")]
            .into_iter()
            .find(|(whole, _)| self.0 >= *whole)
            .unwrap_or((1, "B"));
        let number = self.0 as f64 / whole as f64;
        if number < 10.0 && whole > 1 { write!(f, "{number:.1} {unit}") } else { write!(f, "{number:.0} {unit}") }
    }
}

/// Returns the user's state directory: systemd's `StateDirectory=`, the one of the XDG Base Directory Specification, or the
/// home of a service's user. Returns `None` if the user has no home.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    let whole = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // A unit may have several, separated by colons.
    let systemd = std::env::var("STATE_DIRECTORY").ok();
    let systemd = systemd.and_then(|all| all.split(':').next().map(PathBuf::from)).filter(|path| path.is_absolute());
    systemd.or_else(|| whole("XDG_STATE_HOME").map(|dir| dir.join("watchpost"))).or_else(|| {
        let home = whole("HOME")?;
        Some(if home.starts_with("/var/lib") { home } else { home.join(".local/state/watchpost") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        let read = |text: &str| Bytes::try_from(text.to_owned());
        assert_eq!(read("256 MB"), Ok(Bytes(256_000_000)));
        assert_eq!(read("5kB"), Ok(Bytes(5_000)));
        for wrong in ["", "256", "MB", "-1 MB", "0 MB", "1.5 GB", "9999999999999 GB", "1 MiB"] {
            assert!(read(wrong).is_err_and(|text| text.contains("write \"256 MB\"")), "{wrong}");
        }
        assert_eq!(
            ["999", "1500", "256000000"].map(|n| Bytes(n.parse().expect("a number")).to_string()),
            ["999 B", "1.5 kB", "256 MB"]
        );
    }
}
