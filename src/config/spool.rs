//! The agent's `[spool]` table.

use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::error::Fault;
use super::period::Period;
use super::storage::{Bytes, state_dir};

/// Where readings are stored until receivers acknowledge them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Path of the file.
    pub path: PathBuf,
    /// The oldest readings are dropped above this file size.
    pub max_size: Bytes,
    /// Older readings are dropped; `None` keeps them while there is room.
    pub keep: Option<Period>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    path: Option<PathBuf>,
    max_size: Option<Bytes>,
    keep: Option<Period>,
    #[serde(default)]
    pub(super) off: bool,
}

/// Lower limit of `max_size`: a smaller file has hardly any room for readings.
const MIN_SIZE: Bytes = Bytes(1_000_000);

fn default_max_size() -> Bytes {
    Bytes(256_000_000)
}

impl Spool {
    pub(super) fn check(table: Option<Spanned<Table>>) -> Result<Option<Spool>, Fault> {
        let (span, table) = table.map_or((0..0, Table::default()), |table| (table.span(), table.into_inner()));
        let fault = |key, what: &str| Err(Fault::of(key, Range::clone(&span), what.to_owned()));
        if table.off {
            if table.path.is_some() || table.max_size.is_some() || table.keep.is_some() {
                return fault("off", "a spool that is off has no other keys; remove this line or the others");
            }
            return Ok(None);
        }
        let max_size = table.max_size.unwrap_or_else(default_max_size);
        if max_size < MIN_SIZE {
            return fault("max_size", &format!("{max_size} is too small; write at least \"{MIN_SIZE}\""));
        }
        let path = match table.path {
            Some(path) if !path.is_absolute() => {
                return fault("path", "not a whole path; write for example \"/var/lib/watchpost/spool.sqlite\"");
            }
            Some(path) => Some(path),
            None => state_dir().map(|dir| dir.join("spool.sqlite")),
        };
        Ok(path.map(|path| Spool { path, max_size, keep: table.keep }))
    }
}
