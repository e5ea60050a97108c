//! The recording of a camera between two times, as one Matroska stream.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::library::{CameraId, Library, Recording};
use super::matroska::{Cluster, FileInfo, header};
use super::reader::{Block, blocks};
use super::segment::US_PER_MS;
use crate::jpeg;
use crate::name::Name;

/// A stream that is read in pieces.
pub struct Range {
    library: Arc<Library>,
    camera: CameraId,
    /// Start of the part that is not read yet.
    from_us: i64,
    to_us: i64,
    /// The time base of the stream; `None` before the first frame.
    start_us: Option<i64>,
    recording: Option<(Recording, usize)>,
}

impl Range {
    /// Creates the stream; times are microseconds since 1970.
    #[must_use]
    pub fn new(library: Arc<Library>, agent: Name, camera: Name, from_us: i64, to_us: i64) -> Range {
        Range { library, camera: (agent, camera), from_us, to_us, start_us: None, recording: None }
    }

    /// Returns the next piece of about a second, or `None` at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.from_us <= self.to_us {
            let Some((recording, number)) = self.recording.take() else {
                let Some(recording) = self.library.recording_from(&self.camera, self.from_us)? else { return Ok(None) };
                let number = recording.cluster_at(self.from_us).unwrap_or(0);
                self.from_us = self.from_us.max(recording.start_us);
                self.recording = Some((recording, number));
                continue;
            };
            let Some(cluster) = recording.cluster(number)? else {
                // Skip a damaged cluster.
                if number < recording.cue_points.len() {
                    self.recording = Some((recording, number + 1));
                    continue;
                }
                // The file ends here; continue with the next.
                let Some(next_us) = self.library.start_after(&self.camera, recording.start_us) else { return Ok(None) };
                self.from_us = self.from_us.max(next_us);
                continue;
            };
            let piece = self.piece(&recording, &cluster);
            self.recording = Some((recording, number + 1));
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// Returns the part of a cluster that is in the range, if any.
    fn piece(&mut self, recording: &Recording, cluster: &Bytes) -> Option<Bytes> {
        let mut frames = blocks(cluster).filter(Block::is_picture).filter(|block| {
            let at_us = recording.us(block.at_ms);
            (self.from_us..=self.to_us).contains(&at_us)
        });
        let first = frames.next();
        let Some(first) = first else {
            // The range ends here.
            if blocks(cluster).any(|block| recording.us(block.at_ms) > self.to_us) {
                self.from_us = i64::MAX;
            }
            return None;
        };
        let first_us = recording.us(first.at_ms);
        let mut out = Vec::with_capacity(cluster.len() + 1024);
        let start_us = *self.start_us.get_or_insert_with(|| {
            let (width, height) = jpeg::size(first.body).unwrap_or((640, 480));
            let title = format!("{}/{}", self.camera.0, self.camera.1);
            out = header(&FileInfo { start_us: first_us, width, height, title: &title });
            first_us
        });
        let at_ms = |block: &Block<'_>| ((recording.us(block.at_ms) - start_us) / US_PER_MS).max(0) as u64;
        let mut copy = Cluster::new(at_ms(&first));
        let mut last_us = first_us;
        for block in std::iter::once(first).chain(frames) {
            last_us = recording.us(block.at_ms);
            copy.add(at_ms(&block), cluster.slice_ref(block.body));
        }
        let text = blocks(cluster).find(|block| !block.is_picture());
        let duration_ms = text.and_then(|text| text.duration_ms).unwrap_or(1000);
        let caption = text.and_then(|text| std::str::from_utf8(text.body).ok()).unwrap_or_default();
        out.extend_from_slice(&copy.front(caption, duration_ms));
        copy.pieces().for_each(|piece| out.extend_from_slice(piece));
        self.from_us = last_us.saturating_add(1);
        Some(out.into())
    }
}
