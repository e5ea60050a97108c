//! What was recorded: which files there are, and what is in them at a moment.
//!
//! The catalogue is in memory, by the files' names, and is kept up by the recorder's threads; a file is opened when somebody
//! wants to see it, and of it the cues and one cluster are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;

use super::figures::{Figures, State};
use super::matroska::Mark;
use super::reader::{self, blocks};
use super::segment::{MS, Open, Times, dir_of};
use crate::lock::lock;
use crate::name::Name;

/// Agent and camera.
pub(super) type Camera = (Name, Name);

/// A gap of this many microseconds is none.
pub(super) const GAP_US: i64 = 2_000_000;

/// Of a camera, in one answer: more than a wide screen has room for.
const MOST_SPANS: i64 = 1_000;

/// Files that may have a moment: where a clock was set back they overlap.
const OVERLAPPING: usize = 4;

/// The recordings.
#[derive(Debug)]
pub struct Library {
    dir: PathBuf,
    catalogue: Mutex<Catalogue>,
    figures: Mutex<Figures>,
    state: Mutex<State>,
}

/// By camera and beginning.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) cameras: BTreeMap<Camera, BTreeMap<i64, Entry>>,
    /// Of all files that are finished, as much as they take of the disk.
    pub(super) bytes: u64,
    /// How many are.
    pub(super) files: usize,
}

/// A file.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Finished { duration_ms: u64, bytes: u64 },
    Open(Arc<Open>),
}

impl Entry {
    fn end_us(&self, start_us: i64) -> i64 {
        match self {
            Entry::Finished { duration_ms, .. } => {
                start_us.saturating_add(i64::try_from(*duration_ms).unwrap_or(i64::MAX).saturating_mul(MS))
            }
            Entry::Open(open) => open.end_us(),
        }
    }
}

impl Catalogue {
    pub(super) fn insert(&mut self, camera: &Camera, start_us: i64, entry: Entry) {
        self.remove(camera, start_us);
        if let Entry::Finished { bytes, .. } = entry {
            self.bytes += bytes;
            self.files += 1;
        }
        self.cameras.entry(camera.clone()).or_default().insert(start_us, entry);
    }

    pub(super) fn remove(&mut self, camera: &Camera, start_us: i64) {
        let Some(files) = self.cameras.get_mut(camera) else { return };
        if let Some(Entry::Finished { bytes, .. }) = files.remove(&start_us) {
            self.bytes -= bytes;
            self.files -= 1;
        }
        if files.is_empty() {
            self.cameras.remove(camera);
        }
    }

    /// The finished file that begins first of all, with its end. What begins after a moment that is yet to come was recorded
    /// while the clock was wrong, nobody knows when: it counts as older than all else.
    pub(super) fn oldest(&self, future_us: i64, stuck: &Stuck) -> Option<(Camera, Times, i64)> {
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
            let is_usable = stuck.len() < MOST_STUCK;
            let file = || first(files, stuck, future_us).or_else(|| first(files, stuck, i64::MIN));
            Some((camera, is_usable.then(file).flatten()?))
        });
        let (camera, (times, end_us)) =
            firsts.min_by_key(|(_, (times, _))| (times.start_us < future_us, times.start_us))?;
        Some((camera.clone(), times, end_us))
    }
}

/// Beginnings of files that cannot be removed, by camera. Of one that has as many, no other is tried.
pub(super) type Stuck = BTreeMap<Camera, BTreeSet<i64>>;

const MOST_STUCK: usize = 16;

/// What was recorded of a camera.
#[derive(Debug)]
pub struct Spans {
    /// Its agent.
    pub agent: Name,
    /// Its name there.
    pub camera: Name,
    /// From and to, microseconds since 1970; what lies between was not recorded.
    pub spans: Vec<(i64, i64)>,
}

/// A frame as it was recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it was taken, microseconds since 1970 by the receiver's clock.
    pub at_us: i64,
    /// The time of the next one; none: it is the last.
    pub next_us: Option<i64>,
    /// A JPEG file.
    pub jpeg: Bytes,
}

impl Library {
    pub(super) fn new(dir: PathBuf) -> Library {
        Library { dir, catalogue: Mutex::default(), figures: Mutex::default(), state: Mutex::default() }
    }

    /// What the recorder did until now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.change_figures().clone()
    }

    /// Whether it records.
    #[must_use]
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// Files that are there, and how many bytes they take, without those that grow.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let catalogue = self.catalogue();
        (catalogue.files, catalogue.bytes)
    }

    /// When the oldest recording begins, microseconds since 1970.
    #[must_use]
    pub fn oldest_us(&self) -> Option<i64> {
        self.catalogue().cameras.values().filter_map(|files| files.first_key_value()).map(|(start, _)| *start).min()
    }

    /// What was recorded between two moments, of all cameras or those of one name or agent. Where that is long, short gaps
    /// are none: a camera has at most 1,000 spans.
    #[must_use]
    pub fn spans(&self, from_us: i64, to_us: i64, agent: Option<&Name>, camera: Option<&Name>) -> Vec<Spans> {
        if from_us > to_us {
            return Vec::new();
        }
        let catalogue = self.catalogue();
        let is_wanted =
            |one: &Camera| agent.is_none_or(|name| *name == one.0) && camera.is_none_or(|name| *name == one.1);
        let cameras = catalogue.cameras.iter().filter(|(name, _)| is_wanted(name));
        let spans = cameras.map(|((agent, camera), files)| {
            let before = files.range(..from_us).rev().take(OVERLAPPING).collect::<Vec<_>>().into_iter().rev();
            let times = before.chain(files.range(from_us..=to_us)).map(|(start, entry)| (*start, entry.end_us(*start)));
            let within = times.filter(|(_, end)| *end >= from_us);
            let within: Vec<_> = within.map(|(start, end)| (start.max(from_us), end.min(to_us))).collect();
            Spans { agent: agent.clone(), camera: camera.clone(), spans: joined(&within) }
        });
        spans.filter(|spans| !spans.spans.is_empty()).collect()
    }

    /// The last frame of a camera at or before a moment, if it was recorded then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn picture(&self, agent: &Name, camera: &Name, at_us: i64) -> io::Result<Option<Picture>> {
        let camera = (agent.clone(), camera.clone());
        let mut found: Option<Picture> = None;
        for (start_us, entry) in self.around(&camera, at_us) {
            let Some(film) = self.open(&camera, start_us, &entry)? else { continue };
            let picture = film.picture(at_us)?;
            let is_later = |one: &Picture| found.as_ref().is_none_or(|other| other.at_us < one.at_us);
            found = picture.filter(is_later).or(found);
        }
        let Some(mut picture) = found else { return Ok(None) };
        if picture.next_us.is_none() {
            // A file that has begun meanwhile may have the frame: then nothing is known of the next.
            picture.next_us = self.start_after(&camera, picture.at_us).filter(|next_us| *next_us > at_us);
        }
        Ok(Some(picture))
    }

    /// Files that may have a frame for this moment, the latest first.
    fn around(&self, camera: &Camera, at_us: i64) -> Vec<(i64, Entry)> {
        let catalogue = self.catalogue();
        let Some(files) = catalogue.cameras.get(camera) else { return Vec::new() };
        let before = files.range(..=at_us).rev().take(OVERLAPPING);
        let near = before.filter(|(start, entry)| entry.end_us(**start).saturating_add(GAP_US) >= at_us);
        near.map(|(start, entry)| (*start, entry.clone())).collect()
    }

    pub(super) fn start_after(&self, camera: &Camera, at_us: i64) -> Option<i64> {
        let catalogue = self.catalogue();
        let after = catalogue.cameras.get(camera)?.range(at_us.saturating_add(1)..).next();
        after.map(|(start, _)| *start)
    }

    /// The file that begins at or after a moment, or goes on beyond it, with its beginning.
    pub(super) fn film_from(&self, camera: &Camera, mut at_us: i64) -> io::Result<Option<Film>> {
        loop {
            let first = {
                let catalogue = self.catalogue();
                let Some(files) = catalogue.cameras.get(camera) else { return Ok(None) };
                let before = files.range(..=at_us).next_back().filter(|(start, entry)| entry.end_us(**start) >= at_us);
                let first = before.or_else(|| files.range(at_us.saturating_add(1)..).next());
                first.map(|(start, entry)| (*start, entry.clone()))
            };
            let Some((start_us, entry)) = first else { return Ok(None) };
            if let Some(film) = self.open(camera, start_us, &entry)? {
                return Ok(Some(film));
            }
            // It was removed, as the oldest is; the next is there.
            let Some(next_us) = self.start_after(camera, start_us) else { return Ok(None) };
            at_us = next_us;
        }
    }

    /// None: it is gone, or holds nothing.
    fn open(&self, camera: &Camera, start_us: i64, entry: &Entry) -> io::Result<Option<Film>> {
        match entry {
            Entry::Open(open) => {
                let (file, marks) = (Arc::clone(&open.file), open.whole().marks.clone());
                Ok(Some(Film { file, marks, start_us }))
            }
            Entry::Finished { duration_ms, .. } => {
                let times = Times { start_us, duration_ms: Some(*duration_ms) };
                let file = match File::open(dir_of(&self.dir, camera).join(times.file_name())) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    file => file?,
                };
                let marks = match reader::cues(&file)? {
                    Some(marks) => marks,
                    // Its end is damaged or was never written; what is before it is none the worse.
                    None => reader::scan(&file)?.map(|whole| whole.marks).unwrap_or_default(),
                };
                Ok(Some(Film { file: Arc::new(file), marks, start_us }))
            }
        }
    }

    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        lock(&self.catalogue)
    }

    pub(super) fn change_figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    pub(super) fn set_state(&self, cause: &str) {
        let mut state = lock(&self.state);
        if !state.on || state.cause != cause {
            *state = State { on: true, cause: cause.to_owned() };
        }
    }
}

/// Spans with nothing between them, or too little to matter beside all of them, are one.
fn joined(spans: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut joined: Vec<(i64, i64)> = Vec::new();
    let first = spans.first().map_or(0, |(from, _)| *from);
    let last = spans.iter().map(|(_, to)| *to).max().unwrap_or(first);
    let apart = (last.saturating_sub(first) / MOST_SPANS).max(GAP_US);
    for &(from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= end.saturating_add(apart) => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A file that is looked into.
pub(super) struct Film {
    file: Arc<File>,
    pub(super) marks: Vec<Mark>,
    pub(super) start_us: i64,
}

impl Film {
    pub(super) fn us(&self, at_ms: u64) -> i64 {
        self.start_us.saturating_add(i64::try_from(at_ms).unwrap_or(i64::MAX).saturating_mul(MS))
    }

    /// The number of the last cluster that begins at or before a moment.
    pub(super) fn cluster_at(&self, at_us: i64) -> Option<usize> {
        self.marks.partition_point(|mark| self.us(mark.at_ms) <= at_us).checked_sub(1)
    }

    pub(super) fn cluster(&self, number: usize) -> io::Result<Option<Bytes>> {
        let Some(mark) = self.marks.get(number) else { return Ok(None) };
        Ok(reader::cluster(&*self.file, mark.position)?.map(Bytes::from))
    }

    fn picture(&self, at_us: i64) -> io::Result<Option<Picture>> {
        let Some(number) = self.cluster_at(at_us) else { return Ok(None) };
        let Some(cluster) = self.cluster(number)? else { return Ok(None) };
        let mut found = None;
        let mut next_us = self.marks.get(number + 1).map(|mark| self.us(mark.at_ms));
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
