//! The receiver's `[record]` table.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::camera::Fps;
use super::error::Fault;
use super::period::Period;
use super::storage::{Bytes, state_dir};
use crate::name::Name;

/// What to record, and how long to keep it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Absolute path of the directory; by default in the user's state directory.
    pub dir: Option<PathBuf>,
    /// Older files are deleted.
    pub keep: Period,
    /// The oldest files are deleted above this total size.
    pub max_size: Bytes,
    /// Duration of one file.
    pub segment: Period,
    /// Maximum frames a second of each camera; `None` for every frame.
    pub fps: Option<Fps>,
    /// Cameras to record; empty for all.
    pub cameras: Vec<Recorded>,
}

/// A camera to record, written as `"AGENT/CAMERA"`, or `"CAMERA"` for any agent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Recorded {
    /// The agent; `None` for any.
    pub agent: Option<Name>,
    /// The camera's name.
    pub camera: Name,
}

impl TryFrom<String> for Recorded {
    type Error = String;

    fn try_from(text: String) -> Result<Recorded, String> {
        let name = |text: &str| Name::try_from(text.to_owned()).map_err(|error| error.to_string());
        match text.split_once('/') {
            Some((agent, camera)) => Ok(Recorded { agent: Some(name(agent)?), camera: name(camera)? }),
            None => Ok(Recorded { agent: None, camera: name(&text)? }),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    dir: Option<PathBuf>,
    keep: Option<Period>,
    max_size: Option<Bytes>,
    segment: Option<Period>,
    fps: Option<Fps>,
    #[serde(default)]
    cameras: Vec<Recorded>,
    #[serde(default)]
    off: bool,
}

/// Lower limit of `max_size`.
const MIN_SIZE: Bytes = Bytes(1_000_000);

/// Limits of `segment`. A lost file must not cost a day.
const MIN_SEGMENT: Period = Period(Duration::from_secs(1));
const MAX_SEGMENT: Period = Period(Duration::from_hours(6));

impl Default for Record {
    /// The defaults of a `[record]` table.
    fn default() -> Record {
        Record {
            dir: None,
            keep: Period(Duration::from_hours(7 * 24)),
            max_size: Bytes(10_000_000_000),
            segment: Period(Duration::from_mins(10)),
            fps: None,
            cameras: Vec::new(),
        }
    }
}

impl Record {
    /// Returns the settings without a configuration file, which record little.
    #[must_use]
    pub fn unasked() -> Record {
        Record { max_size: Bytes(2_000_000_000), fps: Fps::try_from(1.0).ok(), ..Record::default() }
    }

    /// Returns the directory, or `None` if it is not configured and the user has no state directory.
    #[must_use]
    pub fn place(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| state_dir().map(|dir| dir.join("recordings")))
    }

    /// Whether to record this camera.
    #[must_use]
    pub fn wants(&self, agent: &Name, camera: &Name) -> bool {
        let is_it = |one: &Recorded| one.camera == *camera && one.agent.as_ref().is_none_or(|name| name == agent);
        self.cameras.is_empty() || self.cameras.iter().any(is_it)
    }

    pub(super) fn check(table: Spanned<Table>) -> Result<Option<Record>, Fault> {
        let span = table.span();
        let Table { dir, keep, max_size, segment, fps, cameras, off } = table.into_inner();
        let fault = |key, what: String| Err(Fault::of(key, Range::clone(&span), what));
        if let Some(dir) = dir.as_ref().filter(|dir| !dir.is_absolute()) {
            let what =
                format!("{} is not a whole path; write for example \"/var/lib/watchpost/recordings\"", dir.display());
            return fault("dir", what);
        }
        let usual = Record::default();
        let record = Record {
            dir,
            keep: keep.unwrap_or(usual.keep),
            max_size: max_size.unwrap_or(usual.max_size),
            segment: segment.unwrap_or(usual.segment),
            fps,
            cameras,
        };
        if record.max_size < MIN_SIZE {
            return fault("max_size", format!("{} is too small; write at least \"{MIN_SIZE}\"", record.max_size));
        }
        if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&record.segment) {
            let what = format!("a file cannot last {}; write \"{MIN_SEGMENT}\" to \"{MAX_SEGMENT}\"", record.segment);
            return fault("segment", what);
        }
        Ok((!off).then_some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camera_names_may_include_their_agent() {
        let read = |text: &str| Recorded::try_from(text.to_owned());
        let record = Record {
            cameras: vec![read("shed/door").expect("a camera"), read("yard").expect("a camera")],
            ..Record::default()
        };
        let wants = |agent, camera| record.wants(&Name::nearest(agent), &Name::nearest(camera));
        assert!(wants("shed", "door") && wants("shed", "yard") && wants("gate", "yard"));
        assert!(!wants("gate", "door") && !wants("shed", "roof"));
        for wrong in ["", "/", "a/", "/b", "a/b/c", "../x", "a/.."] {
            assert!(read(wrong).is_err_and(|text| text.contains("cannot be a name")), "{wrong}");
        }
    }

    #[derive(Deserialize)]
    struct File {
        record: Spanned<Table>,
    }

    fn check(text: &str) -> Result<Option<Record>, String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Record::check(file.record).map_err(|fault| fault.what)
    }

    #[test]
    fn record_table_has_defaults_and_limits() {
        let usual = check("[record]").expect("a table").expect("on");
        assert!(usual.fps.is_none() && usual.cameras.is_empty());
        assert_eq!((usual.keep.to_string(), usual.max_size.to_string()), ("7d".to_owned(), "10 GB".to_owned()));
        assert!(check("[record]\noff = true").expect("a table").is_none());
        for (line, what) in [
            ("dir = \"recordings\"", "not a whole path; write for example"),
            ("max_size = \"10 kB\"", "10 kB is too small; write at least \"1.0 MB\""),
            ("segment = \"10ms\"", "cannot last 10ms; write \"1s\" to \"6h\""),
            ("segment = \"1d\"", "cannot last 1d; write \"1s\" to \"6h\""),
            ("fps = 0", "not a frame rate"),
            ("cameras = [\"a/b/c\"]", "cannot be a name"),
        ] {
            let error = check(&format!("[record]\n{line}")).expect_err("wrong");
            assert!(error.contains(what), "{line}: {error}");
        }
    }
}
