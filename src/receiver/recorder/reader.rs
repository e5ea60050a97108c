//! Reads recorded files, which may be truncated or damaged. Knows only bytes; never allocates more than the file's size
//! or 64 MiB.

use std::io;

use super::ebml::{Elements, Head, MAX_HEAD_LENGTH, VOID, uint};
use super::matroska::{CuePoint, PICTURE_TRACK, SEEK_HEAD_LENGTH, SEGMENT_BODY, ebml, id};

/// Larger elements are rejected; the recorder writes none.
const MAX_ELEMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Upper bound of the gap between clusters, in ms.
const MAX_CLUSTER_GAP_MS: u64 = 86_400_000;

/// A source of bytes that can be read at any position.
pub trait ReadAt {
    /// Reads into `bytes` as much as there is; returns the number of bytes.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let length = rest.len().min(bytes.len());
        bytes[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl ReadAt for std::fs::File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, bytes, at)
    }
}

/// A block of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The track's number: 1 pictures, 2 readings.
    pub track: u64,
    /// Milliseconds from the file's start.
    pub at_ms: u64,
    /// How long it is shown, if stated.
    pub duration_ms: Option<u64>,
    /// A JPEG image or a text.
    pub body: &'a [u8],
}

impl Block<'_> {
    /// Whether it is a camera's frame.
    #[must_use]
    pub fn is_picture(&self) -> bool {
        self.track == PICTURE_TRACK
    }
}

/// The blocks of a cluster (with its head), up to the first invalid one.
pub fn blocks(cluster: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let body = body(cluster);
    let base = timestamp(body).unwrap_or_default();
    Elements(body).filter_map(move |(kind, body)| match kind {
        id::SIMPLE_BLOCK => block(base, body, None),
        id::BLOCK_GROUP => {
            let inner = |wanted| Elements(body).find(|(kind, _)| *kind == wanted).map(|(_, body)| body);
            block(base, inner(id::BLOCK)?, inner(id::BLOCK_DURATION).and_then(uint))
        }
        _ => None,
    })
}

fn body(cluster: &[u8]) -> &[u8] {
    match Head::read(cluster) {
        Some(head) if head.id == id::CLUSTER => &cluster[head.length..],
        _ => &[],
    }
}

fn timestamp(body: &[u8]) -> Option<u64> {
    let (kind, body) = Elements(body).next()?;
    uint(body).filter(|_| kind == id::TIMESTAMP)
}

/// RFC 9559, section 10. The recorder's track numbers take one byte and its blocks have no lacing.
fn block(base: u64, body: &[u8], duration_ms: Option<u64>) -> Option<Block<'_>> {
    let (&[track, high, low, _flags], body) = body.split_first_chunk()?;
    let after = i64::from(i16::from_be_bytes([high, low]));
    (track & 0x80 != 0).then_some(Block {
        track: u64::from(track & 0x7f),
        at_ms: base.saturating_add_signed(after),
        duration_ms,
        body,
    })
}

/// The complete clusters of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Time and position of each.
    pub cue_points: Vec<CuePoint>,
    /// Where the last one ends, in bytes from the start of the file.
    pub end: u64,
    /// The time of the last frame, milliseconds from the file's start.
    pub last_ms: u64,
}

/// Checks each block of a file and returns its complete clusters; `None` if it is not a recording.
///
/// # Errors
/// When the file cannot be read.
pub fn scan(file: &(impl ReadAt + ?Sized)) -> io::Result<Option<Clusters>> {
    let Some(mut position) = first_cluster(file)? else { return Ok(None) };
    let mut clusters = Clusters { cue_points: Vec::new(), end: position, last_ms: 0 };
    while let Some((head, length)) = head(file, position)?
        && head.id == id::CLUSTER
        && let Some((at_ms, last_ms)) = scan_cluster(file, position + head.length as u64, position + length)?
    {
        let before_ms = clusters.cue_points.last().map_or(0, |cue_point| cue_point.at_ms);
        if !(before_ms..before_ms.saturating_add(MAX_CLUSTER_GAP_MS)).contains(&at_ms) {
            break;
        }
        clusters.cue_points.push(CuePoint { at_ms, position });
        clusters.last_ms = clusters.last_ms.max(last_ms);
        position += length;
        clusters.end = position;
    }
    Ok(Some(clusters))
}

fn first_cluster(file: &(impl ReadAt + ?Sized)) -> io::Result<Option<u64>> {
    let ours = ebml();
    let mut front = vec![0; ours.len()];
    if fill(file, &mut front, 0)? < front.len() || front != ours {
        return Ok(None);
    }
    match head_alone(file, ours.len() as u64)? {
        Some(head) if head.id == id::SEGMENT => {}
        _ => return Ok(None),
    }
    let mut position = SEGMENT_BODY;
    while let Some((head, length)) = head(file, position)? {
        match head.id {
            VOID | id::SEEK_HEAD | id::INFO => position += length,
            id::TRACKS => return Ok(Some(position + length)),
            _ => break,
        }
    }
    Ok(None)
}

/// The times of a cluster and of its last frame; `None` if it is incomplete.
fn scan_cluster(file: &(impl ReadAt + ?Sized), begin: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
    let mut front = [0; MAX_HEAD_LENGTH + 8];
    let length = fill(file, &mut front, begin)?;
    let Some(at_ms) = timestamp(&front[..length]) else { return Ok(None) };
    let (mut position, mut last_ms) = (begin, at_ms);
    while position < end {
        let Some((head, length)) = head(file, position)? else { return Ok(None) };
        if !matches!(head.id, id::TIMESTAMP | id::SIMPLE_BLOCK | id::BLOCK_GROUP | VOID) {
            return Ok(None);
        }
        if head.id == id::SIMPLE_BLOCK {
            let mut front = [0; 4];
            fill(file, &mut front, position + head.length as u64)?;
            last_ms = last_ms.max(block(at_ms, &front, None).map_or(0, |block| block.at_ms));
        }
        position += length;
    }
    Ok((position == end).then_some((at_ms, last_ms)))
}

/// The head at `position` and the element's length including it; `None` if it is incomplete.
fn head(file: &(impl ReadAt + ?Sized), position: u64) -> io::Result<Option<(Head, u64)>> {
    let Some(head) = head_alone(file, position)? else { return Ok(None) };
    let length = head.size.and_then(|size| size.checked_add(head.length as u64));
    let Some((length, end)) = length.and_then(|length| Some((length, position.checked_add(length)?))) else {
        return Ok(None);
    };
    let is_there = end == position || file.read_at(&mut [0], end - 1)? == 1;
    Ok(is_there.then_some((head, length)))
}

fn head_alone(file: &(impl ReadAt + ?Sized), position: u64) -> io::Result<Option<Head>> {
    let mut bytes = [0; MAX_HEAD_LENGTH];
    let length = fill(file, &mut bytes, position)?;
    Ok(Head::read(&bytes[..length]))
}

/// Reads the list of clusters from the cues; `None` if the file has no valid cues.
///
/// # Errors
/// When the file cannot be read.
pub fn cues(file: &(impl ReadAt + ?Sized)) -> io::Result<Option<Vec<CuePoint>>> {
    let mut front = [0; SEEK_HEAD_LENGTH];
    if fill(file, &mut front, SEGMENT_BODY)? < front.len() {
        return Ok(None);
    }
    let Some(position) = cues_position(&front).and_then(|position| position.checked_add(SEGMENT_BODY)) else {
        return Ok(None);
    };
    let Some(cues) = element(file, position, id::CUES)? else { return Ok(None) };
    let points = Elements(body_of(&cues)).filter(|(kind, _)| *kind == id::CUE_POINT);
    let cue_points: Option<Vec<CuePoint>> = points.map(|(_, point)| cue_point(point)).collect();
    Ok(cue_points.filter(|cue_points| {
        !cue_points.is_empty() && cue_points.is_sorted_by_key(|cue_point| (cue_point.at_ms, cue_point.position))
    }))
}

fn cues_position(front: &[u8]) -> Option<u64> {
    let (_, seeks) = Elements(front).next().filter(|(kind, _)| *kind == id::SEEK_HEAD)?;
    let mut seeks = Elements(seeks).map(|(_, seek)| seek);
    let is_cues =
        |seek: &&[u8]| Elements(seek).any(|(kind, what)| kind == id::SEEK_ID && what == id::CUES.to_be_bytes());
    let (_, position) = Elements(seeks.find(is_cues)?).find(|(kind, _)| *kind == id::SEEK_POSITION)?;
    uint(position)
}

fn cue_point(point: &[u8]) -> Option<CuePoint> {
    let find = |of, wanted| Elements(of).find(|(kind, _)| *kind == wanted).map(|(_, body)| body);
    let at_ms = uint(find(point, id::CUE_TIME)?)?;
    let positions = find(point, id::CUE_TRACK_POSITIONS)?;
    let position = uint(find(positions, id::CUE_CLUSTER_POSITION)?)?.checked_add(SEGMENT_BODY)?;
    Some(CuePoint { at_ms, position })
}

/// Reads the cluster at `position`, with its head; `None` if it is incomplete.
///
/// # Errors
/// When the file cannot be read.
pub fn cluster(file: &(impl ReadAt + ?Sized), position: u64) -> io::Result<Option<Vec<u8>>> {
    element(file, position, id::CLUSTER)
}

fn element(file: &(impl ReadAt + ?Sized), position: u64, kind: u32) -> io::Result<Option<Vec<u8>>> {
    let Some((_, length)) = head(file, position)?.filter(|(head, _)| head.id == kind) else { return Ok(None) };
    if length > MAX_ELEMENT_BYTES {
        return Ok(None);
    }
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let mut bytes = vec![0; length];
    Ok((fill(file, &mut bytes, position)? == length).then_some(bytes))
}

fn body_of(element: &[u8]) -> &[u8] {
    Head::read(element).map_or(&[], |head| &element[head.length..])
}

/// Reads until `bytes` is full or the file ends.
fn fill(file: &(impl ReadAt + ?Sized), bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], at.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::receiver::recorder::matroska::{Cluster, FileInfo, header, trailer};

    const INFO: FileInfo<'static> =
        FileInfo { start_us: 1_795_284_000_000_000, width: 640, height: 480, title: "shed/door" };

    fn jpeg(number: u64) -> Bytes {
        Bytes::from(vec![number as u8; 20 + number as usize])
    }

    /// Returns four clusters of five frames, 40 ms apart, with their ends and cue points.
    fn recorded() -> (Vec<u8>, Vec<u64>, Vec<CuePoint>) {
        let (mut file, mut ends, mut cue_points) = (header(&INFO), Vec::new(), Vec::new());
        for number in 0..4 {
            let mut cluster = Cluster::new(number * 1000);
            (0..5).for_each(|frame| cluster.add(number * 1000 + frame * 40, jpeg(number * 5 + frame)));
            cue_points.push(CuePoint { at_ms: number * 1000, position: file.len() as u64 });
            file.extend(cluster.front(&format!("temperature {number} °C"), 1000));
            cluster.pieces().for_each(|piece| file.extend_from_slice(piece));
            ends.push(file.len() as u64);
        }
        (file, ends, cue_points)
    }

    fn finished() -> Vec<u8> {
        let (mut file, ends, cue_points) = recorded();
        let (cues, edits) = trailer(&cue_points, ends[3], 4000);
        file.extend(cues);
        for edit in edits {
            file[edit.at as usize..][..edit.bytes.len()].copy_from_slice(&edit.bytes);
        }
        file
    }

    #[test]
    fn file_is_read_as_written() {
        let (file, ends, cue_points) = recorded();
        let clusters = scan(&*file).expect("bytes").expect("ours");
        assert_eq!(clusters, Clusters { cue_points: cue_points.clone(), end: ends[3], last_ms: 3160 });
        assert_eq!(cues(&*file).expect("bytes"), None);
        for (number, cue_point) in (0..).zip(&cue_points) {
            let cluster = cluster(&*file, cue_point.position).expect("bytes").expect("a cluster");
            let mut blocks = blocks(&cluster);
            let text = blocks.next().expect("a text");
            assert_eq!((text.track, text.at_ms, text.duration_ms), (2, number * 1000, Some(1000)));
            assert_eq!(text.body, format!("temperature {number} °C").as_bytes());
            let frames: Vec<_> = blocks.map(|block| (block.is_picture(), block.at_ms, block.body.to_vec())).collect();
            let wanted = (0..5).map(|frame| (true, number * 1000 + frame * 40, jpeg(number * 5 + frame).to_vec()));
            assert_eq!(frames, wanted.collect::<Vec<_>>());
        }
    }

    #[test]
    fn finished_file_has_cues_and_the_same_content() {
        let (_, ends, cue_points) = recorded();
        let file = finished();
        assert_eq!(cues(&*file).expect("bytes"), Some(cue_points.clone()));
        assert_eq!(scan(&*file).expect("bytes"), Some(Clusters { cue_points, end: ends[3], last_ms: 3160 }));
    }

    #[test]
    fn truncation_loses_only_the_cluster_it_hits() {
        let (_, ends, _) = recorded();
        let file = finished();
        for cut in 0..file.len() {
            let Some(clusters) = scan(&file[..cut]).expect("bytes") else {
                assert!(cut < header(&INFO).len(), "{cut}");
                continue;
            };
            assert_eq!(clusters.cue_points.len(), ends.iter().filter(|end| **end <= cut as u64).count(), "{cut}");
        }
    }

    #[test]
    fn damage_causes_no_panic_and_no_large_allocation() {
        let file = finished();
        for offset in 0..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, file[offset] ^ 0x40] {
                let mut file = file.clone();
                file[offset] = value;
                let cue_points = cues(&*file).expect("bytes").unwrap_or_default();
                let scanned = scan(&*file).expect("bytes").map(|clusters| clusters.cue_points).unwrap_or_default();
                for cue_point in cue_points.iter().chain(&scanned) {
                    let cluster = cluster(&*file, cue_point.position).expect("bytes").unwrap_or_default();
                    assert!(cluster.len() <= file.len() && blocks(&cluster).count() <= 6);
                }
            }
        }
    }
}
