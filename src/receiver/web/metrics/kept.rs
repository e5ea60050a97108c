//! The history and the recorder.

use super::{Kind, Site, Text};
use crate::receiver::history::Reader;
use crate::receiver::recorder::Library;

pub(super) fn write(site: &Site, text: &mut Text) {
    history(site.history.as_ref().ok(), text);
    recorder(site.library.as_deref(), text);
}

fn history(reader: Option<&Reader>, text: &mut Text) {
    let up = f64::from(reader.is_some_and(|reader| reader.cause().is_empty()));
    text.family("history_up", Kind::Gauge, "Whether readings are kept.", [([], up)]);
    let expired = reader.map_or(0, Reader::expired) as f64;
    text.family("history_expired_readings_total", Kind::Counter, "Readings that went for their age.", [([], expired)]);
}

fn recorder(library: Option<&Library>, text: &mut Text) {
    let state = library.map(Library::state).unwrap_or_default();
    let up = f64::from(state.on && state.cause.is_empty());
    text.family("recorder_up", Kind::Gauge, "Whether frames are recorded.", [([], up)]);
    let figures = library.map(Library::figures).unwrap_or_default();
    let (files, bytes) = library.map(Library::size).unwrap_or_default();
    text.family("recorder_frames_total", Kind::Counter, "Frames that are in files.", [([], figures.frames as f64)]);
    text.family("recorder_written_bytes_total", Kind::Counter, "What was written.", [([], figures.bytes as f64)]);
    let lost = figures.lost.iter().map(|(cause, count)| ([("cause", *cause)], *count as f64));
    text.family("recorder_lost_frames_total", Kind::Counter, "Frames that came and are in no file.", lost);
    let removed = figures.removed.iter().map(|(cause, count)| ([("cause", *cause)], *count as f64));
    text.family("recorder_removed_files_total", Kind::Counter, "Files that made room for others.", removed);
    text.family("recorder_files", Kind::Gauge, "Files that are finished.", [([], files as f64)]);
    text.family("recorder_bytes", Kind::Gauge, "What they take.", [([], bytes as f64)]);
}
