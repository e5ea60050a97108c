//! The catalogue of recordings, and access to what they hold at a given time.
//!
//! The catalogue is in memory, built from file names, and maintained by the recorder's threads. A file is opened only
//! on request, and only its cues and one cluster are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::matroska::CuePoint;
use super::reader::{self, blocks};
use super::segment::{OpenFile, Times, US_PER_MS, dir_of};
use super::stats::{RecorderState, RecorderStats};
use crate::lock::lock;
use crate::name::Name;

/// Agent and camera.
pub(super) type CameraId = (Name, Name);

/// Gaps shorter than this (microseconds) are merged.
pub(super) const GAP_US: i64 = 2_000_000;

/// Maximum spans per camera in one answer: more than a wide screen can show.
const MAX_SPANS: i64 = 1_000;

/// How many files may overlap, because the clock was set back.
const MAX_OVERLAPS: usize = 4;

/// The recordings.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    catalogue: Mutex<Catalogue>,
    stats: Mutex<RecorderStats>,
    state: Mutex<RecorderState>,
}

/// All files, by camera and start time.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) cameras: BTreeMap<CameraId, BTreeMap<i64, Entry>>,
    /// Bytes of finished files, in whole disk blocks.
    pub(super) bytes: u64,
    /// Number of finished files.
    pub(super) files: usize,
}

/// A file.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Finished { duration_ms: u64, bytes: u64 },
    Open(Arc<OpenFile>),
}

impl Entry {
    fn end_us(&self, start_us: i64) -> i64 {
        match self {
            Entry::Finished { duration_ms, .. } => {
                start_us.saturating_add(i64::try_from(*duration_ms).unwrap_or(i64::MAX).saturating_mul(US_PER_MS))
            }
            Entry::Open(open) => open.end_us(),
        }
    }
}

impl Catalogue {
    pub(super) fn insert(&mut self, camera: &CameraId, start_us: i64, entry: Entry) {
        self.remove(camera, start_us);
        if let Entry::Finished { bytes, .. } = entry {
            self.bytes += bytes;
            self.files += 1;
        }
        self.cameras.entry(camera.clone()).or_default().insert(start_us, entry);
    }

    pub(super) fn remove(&mut self, camera: &CameraId, start_us: i64) {
        let Some(files) = self.cameras.get_mut(camera) else { return };
        if let Some(Entry::Finished { bytes, .. }) = files.remove(&start_us) {
            self.bytes -= bytes;
            self.files -= 1;
        }
        if files.is_empty() {
            self.cameras.remove(camera);
        }
    }

    /// The finished file that starts first, and its end. A file that starts after `future_us` was recorded while the
    /// clock was wrong, at an unknown time, and counts as older than all others.
    pub(super) fn oldest(&self, future_us: i64, stuck: &Stuck) -> Option<(CameraId, Times, i64)> {
        let none = BTreeSet::new();
        let first = |files: &BTreeMap<i64, Entry>, stuck: &BTreeSet<i64>, from_us: i64| {
            let mut files = files.range(from_us..).filter(|(start_us, _)| !stuck.contains(start_us));
            files.find_map(|(start_us, entry)| match entry {
                Entry::Finished { duration_ms, .. } => {
                    let times = Times { start_us: *start_us, duration_ms: Some(*duration_ms) };
                    Some((times, entry.end_us(*start_us)))
                }
                Entry::Open(_) => None,
            })
        };
        let firsts = self.cameras.iter().filter_map(|(camera, files)| {
            let stuck = stuck.get(camera).unwrap_or(&none);
            let is_usable = stuck.len() < MAX_STUCK;
            let file = || first(files, stuck, future_us).or_else(|| first(files, stuck, i64::MIN));
            Some((camera, is_usable.then(file).flatten()?))
        });
        let (camera, (times, end_us)) =
            firsts.min_by_key(|(_, (times, _))| (times.start_us < future_us, times.start_us))?;
        Some((camera.clone(), times, end_us))
    }
}

/// Start times of files that could not be deleted, by camera. A camera with [`MAX_STUCK`] of them is skipped.
pub(super) type Stuck = BTreeMap<CameraId, BTreeSet<i64>>;

const MAX_STUCK: usize = 16;

/// When a camera was recorded.
#[derive(Debug)]
pub struct CameraSpans {
    /// The camera's agent.
    pub agent: Name,
    /// The camera's name.
    pub camera: Name,
    /// Start and end of each recorded span, in microseconds since 1970.
    pub spans: Vec<(i64, i64)>,
}

/// A recorded frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it was captured, in microseconds since 1970 by the receiver's clock.
    pub at_us: i64,
    /// The time of the next frame; `None` if this is the last.
    pub next_us: Option<i64>,
    /// A JPEG file.
    pub jpeg: Bytes,
}

impl Library {
    pub(super) fn new(dir: PathBuf) -> Library {
        Library { dir, catalogue: Mutex::default(), stats: Mutex::default(), state: Mutex::default() }
    }

    /// The recorder's counters.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        self.lock_stats().clone()
    }

    /// Whether the recorder is recording.
    #[must_use]
    pub fn state(&self) -> RecorderState {
        lock(&self.state).clone()
    }

    /// Number and bytes of finished files.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let catalogue = self.catalogue();
        (catalogue.files, catalogue.bytes)
    }

    /// When the oldest recording starts, in microseconds since 1970.
    #[must_use]
    pub fn oldest_us(&self) -> Option<i64> {
        self.catalogue().cameras.values().filter_map(|files| files.first_key_value()).map(|(start, _)| *start).min()
    }

    /// Recorded spans in a time range, of all cameras or those of a given agent or name. Merges gaps that are short
    /// compared with the range, so that a camera has at most 1,000 spans.
    #[must_use]
    pub fn spans(&self, from_us: i64, to_us: i64, agent: Option<&Name>, camera: Option<&Name>) -> Vec<CameraSpans> {
        if from_us > to_us {
            return Vec::new();
        }
        let catalogue = self.catalogue();
        let is_wanted =
            |id: &CameraId| agent.is_none_or(|name| *name == id.0) && camera.is_none_or(|name| *name == id.1);
        let cameras = catalogue.cameras.iter().filter(|(name, _)| is_wanted(name));
        let spans = cameras.map(|((agent, camera), files)| {
            let before = files.range(..from_us).rev().take(MAX_OVERLAPS).collect::<Vec<_>>().into_iter().rev();
            let times = before.chain(files.range(from_us..=to_us)).map(|(start, entry)| (*start, entry.end_us(*start)));
            let within = times.filter(|(_, end)| *end >= from_us);
            let within: Vec<_> = within.map(|(start, end)| (start.max(from_us), end.min(to_us))).collect();
            CameraSpans { agent: agent.clone(), camera: camera.clone(), spans: joined(&within) }
        });
        spans.filter(|spans| !spans.spans.is_empty()).collect()
    }

    /// The last frame of a camera at or before a time, if the camera was recorded then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn picture(&self, agent: &Name, camera: &Name, at_us: i64) -> io::Result<Option<Picture>> {
        let camera = (agent.clone(), camera.clone());
        let mut found: Option<Picture> = None;
        for (start_us, entry) in self.candidates(&camera, at_us) {
            let Some(recording) = self.open(&camera, start_us, &entry)? else { continue };
            let picture = recording.picture(at_us)?;
            let is_later = |other: &Picture| found.as_ref().is_none_or(|found| found.at_us < other.at_us);
            found = picture.filter(is_later).or(found);
        }
        let Some(mut picture) = found else { return Ok(None) };
        if picture.next_us.is_none() {
            // A file that started in the meantime may hold this moment; then the next frame is unknown.
            picture.next_us = self.start_after(&camera, picture.at_us).filter(|next_us| *next_us > at_us);
        }
        Ok(Some(picture))
    }

    /// Files that may hold a frame for this time, the latest first.
    fn candidates(&self, camera: &CameraId, at_us: i64) -> Vec<(i64, Entry)> {
        let catalogue = self.catalogue();
        let Some(files) = catalogue.cameras.get(camera) else { return Vec::new() };
        let before = files.range(..=at_us).rev().take(MAX_OVERLAPS);
        let near = before.filter(|(start, entry)| entry.end_us(**start).saturating_add(GAP_US) >= at_us);
        near.map(|(start, entry)| (*start, entry.clone())).collect()
    }

    pub(super) fn start_after(&self, camera: &CameraId, at_us: i64) -> Option<i64> {
        let catalogue = self.catalogue();
        let after = catalogue.cameras.get(camera)?.range(at_us.saturating_add(1)..).next();
        after.map(|(start, _)| *start)
    }

    /// Opens the first file that contains the time or starts after it.
    pub(super) fn recording_from(&self, camera: &CameraId, mut at_us: i64) -> io::Result<Option<Recording>> {
        loop {
            let first = {
                let catalogue = self.catalogue();
                let Some(files) = catalogue.cameras.get(camera) else { return Ok(None) };
                let before = files.range(..=at_us).next_back().filter(|(start, entry)| entry.end_us(**start) >= at_us);
                let first = before.or_else(|| files.range(at_us.saturating_add(1)..).next());
                first.map(|(start, entry)| (*start, entry.clone()))
            };
            let Some((start_us, entry)) = first else { return Ok(None) };
            if let Some(recording) = self.open(camera, start_us, &entry)? {
                return Ok(Some(recording));
            }
            // The file was deleted by retention; continue with the next.
            let Some(next_us) = self.start_after(camera, start_us) else { return Ok(None) };
            at_us = next_us;
        }
    }

    /// Opens a file; `None` if it was deleted.
    fn open(&self, camera: &CameraId, start_us: i64, entry: &Entry) -> io::Result<Option<Recording>> {
        match entry {
            Entry::Open(open) => {
                let (file, cue_points) = (Arc::clone(&open.file), open.clusters().cue_points.clone());
                Ok(Some(Recording { file, cue_points, start_us }))
            }
            Entry::Finished { duration_ms, .. } => {
                let times = Times { start_us, duration_ms: Some(*duration_ms) };
                let file = match File::open(dir_of(&self.dir, camera).join(times.file_name())) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    file => file?,
                };
                let cue_points = match reader::cues(&file)? {
                    Some(cue_points) => cue_points,
                    // The tail is damaged or missing; everything before it is still valid.
                    None => reader::scan(&file)?.map(|clusters| clusters.cue_points).unwrap_or_default(),
                };
                Ok(Some(Recording { file: Arc::new(file), cue_points, start_us }))
            }
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        lock(&self.catalogue)
    }

    pub(super) fn lock_stats(&self) -> MutexGuard<'_, RecorderStats> {
        lock(&self.stats)
    }

    pub(super) fn set_state(&self, cause: &str) {
        let mut state = lock(&self.state);
        if !state.on || state.cause != cause {
            *state = RecorderState { on: true, cause: cause.to_owned() };
        }
    }
}

/// Merges spans whose gaps are too short to show at this scale.
fn joined(spans: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    let first = spans.first().map_or(0, |(from, _)| *from);
    let last = spans.iter().map(|(_, to)| *to).max().unwrap_or(first);
    let apart = (last.saturating_sub(first) / MAX_SPANS).max(GAP_US);
    for &(from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= end.saturating_add(apart) => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A file opened for reading.
pub(super) struct Recording {
    file: Arc<File>,
    pub(super) cue_points: Vec<CuePoint>,
    pub(super) start_us: i64,
}

impl Recording {
    pub(super) fn us(&self, at_ms: u64) -> i64 {
        self.start_us.saturating_add(i64::try_from(at_ms).unwrap_or(i64::MAX).saturating_mul(US_PER_MS))
    }

    /// The index of the last cluster that starts at or before a time.
    pub(super) fn cluster_at(&self, at_us: i64) -> Option<usize> {
        self.cue_points.partition_point(|cue_point| self.us(cue_point.at_ms) <= at_us).checked_sub(1)
    }

    pub(super) fn cluster(&self, number: usize) -> io::Result<Option<Bytes>> {
        let Some(cue_point) = self.cue_points.get(number) else { return Ok(None) };
        Ok(reader::cluster(&*self.file, cue_point.position)?.map(Bytes::from))
    }

    fn picture(&self, at_us: i64) -> io::Result<Option<Picture>> {
        let Some(number) = self.cluster_at(at_us) else { return Ok(None) };
        let Some(cluster) = self.cluster(number)? else { return Ok(None) };
        let mut found = None;
        let mut next_us = self.cue_points.get(number + 1).map(|cue_point| self.us(cue_point.at_ms));
        for block in blocks(&cluster).filter(reader::Block::is_picture) {
            let block_us = self.us(block.at_ms);
            if block_us > at_us {
                next_us = Some(block_us);
                break;
            }
            found = Some((block_us, cluster.slice_ref(block.body)));
        }
        Ok(found.map(|(at_us, jpeg)| Picture { at_us, next_us, jpeg }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_merged_only_if_too_small_to_see() {
        let second = 1_000_000;
        let apart = |gap: i64, count: i64| -> Vec<(i64, i64)> {
            (0..count).map(|number| number * (gap + second)).map(|from| (from, from + second)).collect()
        };
        assert_eq!(joined(&[]), []);
        assert_eq!(joined(&apart(GAP_US, 3)), [(0, 3 * second + 2 * GAP_US)]);
        assert_eq!(joined(&apart(GAP_US + 1, 3)), apart(GAP_US + 1, 3));
        assert_eq!(joined(&apart(10 * second, 900)).len(), 900);
        let many = apart(10 * second, 10_000);
        assert_eq!(joined(&many), [(0, many[9_999].1)]);
    }
}
