//! Metrics of the history and the recorder.

use super::{Kind, Site, Text};
use crate::receiver::history::Reader;
use crate::receiver::recorder::Library;

pub(super) fn write(site: &Site, text: &mut Text) {
    history(site.history.as_ref().ok(), text);
    recorder(site.library.as_deref(), text);
}

fn history(reader: Option<&Reader>, text: &mut Text) {
    let up = f64::from(reader.is_some_and(|reader| reader.cause().is_empty()));
    text.family("history_up", Kind::Gauge, "Whether the history stores readings.", [([], up)]);
    let expired = reader.map_or(0, Reader::expired) as f64;
    text.family("history_expired_readings_total", Kind::Counter, "Readings deleted after `keep`.", [([], expired)]);
    let removed = reader.map_or(0, Reader::unconfirmed_removed) as f64;
    let help = "Readings removed because no other reading had their label.";
    text.family("history_unconfirmed_removed_total", Kind::Counter, help, [([], removed)]);
}

fn recorder(library: Option<&Library>, text: &mut Text) {
    let state = library.map(Library::state).unwrap_or_default();
    let up = f64::from(state.on && state.cause.is_empty());
    text.family("recorder_up", Kind::Gauge, "Whether the recorder records frames.", [([], up)]);
    let counts = library.map(Library::stats).unwrap_or_default();
    let (files, bytes) = library.map(Library::size).unwrap_or_default();
    text.family("recorder_frames_total", Kind::Counter, "Frames written to files.", [([], counts.frames as f64)]);
    text.family("recorder_written_bytes_total", Kind::Counter, "Bytes written to files.", [([], counts.bytes as f64)]);
    let lost = counts.lost.iter().map(|(cause, count)| ([("cause", *cause)], *count as f64));
    text.family("recorder_lost_frames_total", Kind::Counter, "Frames received but not recorded, by cause.", lost);
    text.family(
        "recorder_implausible_times_total",
        Kind::Counter,
        "Frames dated by their arrival, because their capture time could not be true.",
        [([], counts.implausible_times as f64)],
    );
    let removed = counts.removed.iter().map(|(cause, count)| ([("cause", *cause)], *count as f64));
    text.family("recorder_removed_files_total", Kind::Counter, "Finished files that were deleted, by cause.", removed);
    text.family("recorder_files", Kind::Gauge, "Finished files.", [([], files as f64)]);
    text.family("recorder_bytes", Kind::Gauge, "Size of all finished files.", [([], bytes as f64)]);
}
