//! What was recorded of a camera between two moments, as one Matroska stream.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::library::{Camera, Film, Library};
use super::matroska::{About, Cluster, header};
use super::reader::{Block, blocks};
use super::segment::MS;
use crate::jpeg;
use crate::name::Name;

/// A stream that is read piece by piece.
pub struct Range {
    library: Arc<Library>,
    camera: Camera,
    /// What comes next begins at or after this.
    from_us: i64,
    to_us: i64,
    /// What times count from; none before the first frame.
    start_us: Option<i64>,
    film: Option<(Film, usize)>,
}

impl Range {
    /// From and to are microseconds since 1970.
    #[must_use]
    pub fn new(library: Arc<Library>, agent: Name, camera: Name, from_us: i64, to_us: i64) -> Range {
        Range { library, camera: (agent, camera), from_us, to_us, start_us: None, film: None }
    }

    /// The next piece, of about a second; none: that was all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        while self.from_us <= self.to_us {
            let Some((film, number)) = self.film.take() else {
                let Some(film) = self.library.film_from(&self.camera, self.from_us)? else { return Ok(None) };
                let number = film.cluster_at(self.from_us).unwrap_or(0);
                self.from_us = self.from_us.max(film.start_us);
                self.film = Some((film, number));
                continue;
            };
            let Some(cluster) = film.cluster(number)? else {
                // A damaged one costs none but itself.
                if number < film.marks.len() {
                    self.film = Some((film, number + 1));
                    continue;
                }
                // The end of this one: the next begins later.
                let Some(next_us) = self.library.start_after(&self.camera, film.start_us) else { return Ok(None) };
                self.from_us = self.from_us.max(next_us);
                continue;
            };
            let piece = self.piece(&film, &cluster);
            self.film = Some((film, number + 1));
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// What of a cluster is in the range, if anything is.
    fn piece(&mut self, film: &Film, cluster: &Bytes) -> Option<Bytes> {
        let mut frames = blocks(cluster).filter(Block::is_picture).filter(|block| {
            let at_us = film.us(block.at_ms);
            (self.from_us..=self.to_us).contains(&at_us)
        });
        let first = frames.next();
        let Some(first) = first else {
            // Beyond the range nothing more is read.
            if blocks(cluster).any(|block| film.us(block.at_ms) > self.to_us) {
                self.from_us = i64::MAX;
            }
            return None;
        };
        let first_us = film.us(first.at_ms);
        let mut out = Vec::with_capacity(cluster.len() + 1024);
        let start_us = *self.start_us.get_or_insert_with(|| {
            let (width, height) = jpeg::size(first.body).unwrap_or((640, 480));
            let title = format!("{}/{}", self.camera.0, self.camera.1);
            out = header(&About { start_us: first_us, width, height, title: &title });
            first_us
        });
        let at_ms = |block: &Block<'_>| ((film.us(block.at_ms) - start_us) / MS).max(0) as u64;
        let mut copy = Cluster::new(at_ms(&first));
        let mut last_us = first_us;
        for block in std::iter::once(first).chain(frames) {
            last_us = film.us(block.at_ms);
            copy.add(at_ms(&block), cluster.slice_ref(block.body));
        }
        let text = blocks(cluster).find(|block| !block.is_picture());
        let shown_ms = text.and_then(|text| text.for_ms).unwrap_or(1000);
        let text = text.and_then(|text| std::str::from_utf8(text.body).ok()).unwrap_or_default();
        out.extend_from_slice(&copy.front(text, shown_ms));
        copy.pieces().for_each(|piece| out.extend_from_slice(piece));
        self.from_us = last_us.saturating_add(1);
        Some(out.into())
    }
}
