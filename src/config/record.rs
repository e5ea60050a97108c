//! The receiver's `[record]` table: which pictures are kept, where, and for how long.

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

/// Where, and how much.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The directory, by its whole path; none: in this user's usual place.
    pub dir: Option<PathBuf>,
    /// What is older goes.
    pub keep: Period,
    /// The oldest goes when all is larger.
    pub max_size: Bytes,
    /// How long a file is.
    pub segment: Period,
    /// Of each camera at most; none: every frame that comes.
    pub fps: Option<Fps>,
    /// Which cameras; none named: all.
    pub cameras: Vec<Recorded>,
}

/// A camera that is recorded, as `"AGENT/CAMERA"` or, of any agent, `"CAMERA"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Recorded {
    /// None: any.
    pub agent: Option<Name>,
    /// As its agent calls it.
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

/// Less than this is no film.
const LEAST: Bytes = Bytes(1_000_000);

/// A segment is a file of its own, and one that is lost is not to be a day.
const SHORTEST: Period = Period(Duration::from_secs(1));
const LONGEST: Period = Period(Duration::from_hours(6));

impl Default for Record {
    /// What an empty table says.
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
    /// What is recorded when nobody has said anything: little.
    #[must_use]
    pub fn unasked() -> Record {
        Record { max_size: Bytes(2_000_000_000), fps: Fps::try_from(1.0).ok(), ..Record::default() }
    }

    /// The directory. None: nothing is said of it, and this user has no usual place.
    #[must_use]
    pub fn place(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| state_dir().map(|dir| dir.join("recordings")))
    }

    /// Whether this camera is to be recorded.
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
        if record.max_size < LEAST {
            return fault("max_size", format!("{} holds next to nothing; write at least \"{LEAST}\"", record.max_size));
        }
        if !(SHORTEST..=LONGEST).contains(&record.segment) {
            let what = format!("a file of {} is no use; write \"{SHORTEST}\" to \"{LONGEST}\"", record.segment);
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
    fn empty_table_records_everything_and_nonsense_is_refused() {
        let usual = check("[record]").expect("a table").expect("on");
        assert!(usual.fps.is_none() && usual.cameras.is_empty());
        assert_eq!((usual.keep.to_string(), usual.max_size.to_string()), ("7d".to_owned(), "10 GB".to_owned()));
        assert!(check("[record]\noff = true").expect("a table").is_none());
        for (line, what) in [
            ("dir = \"recordings\"", "not a whole path; write for example"),
            ("max_size = \"10 kB\"", "holds next to nothing; write at least \"1.0 MB\""),
            ("segment = \"10ms\"", "is no use; write \"1s\" to \"6h\""),
            ("segment = \"1d\"", "is no use; write \"1s\" to \"6h\""),
            ("fps = 0", "not a frame rate"),
            ("cameras = [\"a/b/c\"]", "cannot be a name"),
        ] {
            let told = check(&format!("[record]\n{line}")).expect_err("wrong");
            assert!(told.contains(what), "{line}: {told}");
        }
    }
}
