//! A camera's frames and readings as a Matroska file (RFC 9559, whose sections the numbers are of). Knows nothing but bytes.
//!
//! The file is one segment of a size that is not known while it grows: what is said of it, two tracks, and clusters, each
//! with its size and whole when it is written. Room is left at the front for what is known at the end: where the cues are, with
//! which players seek, and how long it is. A file that was cut anywhere plays up to the last whole cluster.

use bytes::Bytes;

use super::ebml::{put, put_head, put_master, put_uint, put_void, put_wide_head, wide_size};

/// Ids: of EBML (RFC 8794, section 11.2), and by the sections of RFC 9559.
pub(super) mod id {
    pub(in super::super) const EBML: u32 = 0x1A45_DFA3;
    /// 5.1.
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    /// 5.1.1.
    pub(in super::super) const SEEK_HEAD: u32 = 0x114D_9B74;
    pub(in super::super) const SEEK: u32 = 0x4DBB;
    pub(in super::super) const SEEK_ID: u32 = 0x53AB;
    pub(in super::super) const SEEK_POSITION: u32 = 0x53AC;
    /// 5.1.2.
    pub(in super::super) const INFO: u32 = 0x1549_A966;
    /// 5.1.3.
    pub(in super::super) const CLUSTER: u32 = 0x1F43_B675;
    pub(in super::super) const TIMESTAMP: u32 = 0xE7;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(in super::super) const BLOCK_GROUP: u32 = 0xA0;
    pub(in super::super) const BLOCK: u32 = 0xA1;
    pub(in super::super) const BLOCK_DURATION: u32 = 0x9B;
    /// 5.1.4.
    pub(in super::super) const TRACKS: u32 = 0x1654_AE6B;
    /// 5.1.5.
    pub(in super::super) const CUES: u32 = 0x1C53_BB6B;
    pub(in super::super) const CUE_POINT: u32 = 0xBB;
    pub(in super::super) const CUE_TIME: u32 = 0xB3;
    pub(in super::super) const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub(in super::super) const CUE_TRACK: u32 = 0xF7;
    pub(in super::super) const CUE_CLUSTER_POSITION: u32 = 0xF1;
}

/// The tracks' numbers.
pub(super) const PICTURES: u64 = 1;
pub(super) const READINGS: u64 = 2;

/// Bytes of the EBML header; then comes the segment's head, and behind that its size and positions count.
const EBML_LENGTH: usize = 40;
pub(super) const BODY: u64 = EBML_LENGTH as u64 + 12;

/// Room for the seek head, the first of the segment.
pub(super) const SEEK_HEAD_LENGTH: usize = 64;

/// Then comes the info with a head of 12 bytes, and the duration is its first.
const DURATION_AT: u64 = BODY + SEEK_HEAD_LENGTH as u64 + 12;
const DURATION_LENGTH: usize = 11;

/// 2001-01-01T00:00:00Z in microseconds since 1970: dates count from there (RFC 8794, section 7.6).
const MILLENNIUM_US: i64 = 978_307_200_000_000;

/// What is said of a file.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// What its times count from, microseconds since 1970.
    pub start_us: i64,
    /// Of the pictures.
    pub width: u32,
    /// Of the pictures.
    pub height: u32,
    /// For people.
    pub title: &'a str,
}

/// Where a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its first frame's time, milliseconds from the file's start.
    pub at_ms: u64,
    /// Bytes from the file's beginning.
    pub position: u64,
}

/// What a file begins with, up to its first cluster.
#[must_use]
pub fn header(about: &About<'_>) -> Vec<u8> {
    let mut out = ebml();
    put_wide_head(&mut out, id::SEGMENT, None);
    put_void(&mut out, SEEK_HEAD_LENGTH);
    let info = info(about);
    put_wide_head(&mut out, id::INFO, Some(info.len() as u64));
    out.extend_from_slice(&info);
    put_master(&mut out, id::TRACKS, |tracks| {
        put_master(tracks, 0xAE, |track| pictures(track, about));
        put_master(tracks, 0xAE, readings);
    });
    out
}

/// RFC 8794, section 11.2. Simple blocks are of version 2.
pub(super) fn ebml() -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    put_master(&mut out, id::EBML, |out| {
        put_uint(out, 0x4286, 1);
        put_uint(out, 0x42F7, 1);
        put_uint(out, 0x42F2, 4);
        put_uint(out, 0x42F3, 8);
        put(out, 0x4282, b"matroska");
        put_uint(out, 0x4287, 4);
        put_uint(out, 0x4285, 2);
    });
    debug_assert_eq!(out.len(), EBML_LENGTH);
    out
}

fn info(about: &About<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_void(&mut out, DURATION_LENGTH);
    // TimestampScale: nanoseconds of a unit.
    put_uint(&mut out, 0x002A_D7B1, 1_000_000);
    // DateUTC, in nanoseconds.
    put(&mut out, 0x4461, &about.start_us.saturating_sub(MILLENNIUM_US).saturating_mul(1000).to_be_bytes());
    // Title, MuxingApp, WritingApp.
    put(&mut out, 0x7BA9, about.title.as_bytes());
    put(&mut out, 0x4D80, PROGRAM.as_bytes());
    put(&mut out, 0x5741, PROGRAM.as_bytes());
    out
}

const PROGRAM: &str = concat!("watchpost ", env!("CARGO_PKG_VERSION"));

/// What tracks of any type have: number, UID, type, no lacing, language, name, codec.
fn track(out: &mut Vec<u8>, number: u64, kind: u64, name: &str, codec: &str) {
    put_uint(out, 0xD7, number);
    put_uint(out, 0x73C5, number);
    put_uint(out, 0x83, kind);
    put_uint(out, 0x9C, 0);
    put(out, 0x0022_B59C, b"und");
    put(out, 0x536E, name.as_bytes());
    put(out, 0x86, codec.as_bytes());
}

fn pictures(out: &mut Vec<u8>, about: &About<'_>) {
    track(out, PICTURES, 1, "pictures", "V_MJPEG");
    // Video, with width and height.
    put_master(out, 0xE0, |video| {
        put_uint(video, 0xB0, about.width.into());
        put_uint(video, 0xBA, about.height.into());
    });
}

fn readings(out: &mut Vec<u8>) {
    track(out, READINGS, 17, "readings", "S_TEXT/UTF8");
}

/// A cluster that grows: frames of at most 32 seconds, because a block's time is 16 bits with a sign.
#[derive(Debug)]
pub struct Cluster {
    at_ms: u64,
    last_ms: u64,
    /// All but the pictures.
    small: Vec<u8>,
    /// The bytes of `small` that stand before a picture end here, and the picture.
    frames: Vec<(usize, Bytes)>,
    /// Of the pictures.
    large: usize,
}

impl Cluster {
    /// An empty one; its time is that of its first frame, milliseconds from the file's start.
    #[must_use]
    pub fn new(at_ms: u64) -> Cluster {
        Cluster { at_ms, last_ms: at_ms, small: Vec::new(), frames: Vec::new(), large: 0 }
    }

    /// The time of the first frame.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Counts times from a file's start that is so much earlier.
    pub fn delay(&mut self, by_ms: u64) {
        self.at_ms += by_ms;
        self.last_ms += by_ms;
    }

    /// The time of the last frame.
    #[must_use]
    pub fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// How many frames it has.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all pictures.
    #[must_use]
    pub fn picture_bytes(&self) -> usize {
        self.large
    }

    /// Adds a picture, which is not copied.
    pub fn add(&mut self, at_ms: u64, jpeg: Bytes) {
        put_head(&mut self.small, id::SIMPLE_BLOCK, 4 + jpeg.len());
        put_block_head(&mut self.small, PICTURES, at_ms.saturating_sub(self.at_ms), KEYFRAME);
        self.last_ms = self.last_ms.max(at_ms);
        self.large += jpeg.len();
        self.frames.push((self.small.len(), jpeg));
    }

    /// What stands before all pictures: the cluster's head, and the text that is shown from its time on.
    #[must_use]
    pub fn front(&self, text: &str, for_ms: u64) -> Vec<u8> {
        let mut first = Vec::with_capacity(64 + text.len());
        put_uint(&mut first, id::TIMESTAMP, self.at_ms);
        if !text.is_empty() {
            put_master(&mut first, id::BLOCK_GROUP, |group| {
                put_head(group, id::BLOCK, 4 + text.len());
                put_block_head(group, READINGS, 0, 0);
                group.extend_from_slice(text.as_bytes());
                put_uint(group, id::BLOCK_DURATION, for_ms);
            });
        }
        let mut front = Vec::with_capacity(16 + first.len());
        put_head(&mut front, id::CLUSTER, first.len() + self.small.len() + self.large);
        front.extend_from_slice(&first);
        front
    }

    /// What comes behind the front, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut begin = 0;
        self.frames.iter().flat_map(move |(end, jpeg)| {
            let head = &self.small[begin..*end];
            begin = *end;
            [head, jpeg]
        })
    }
}

/// Section 10.2: this frame needs no other.
const KEYFRAME: u8 = 0x80;

/// Sections 10.1 and 10.2; the track's number is a size.
fn put_block_head(out: &mut Vec<u8>, track: u64, after_ms: u64, flags: u8) {
    let [high, low] = i16::try_from(after_ms).unwrap_or(i16::MAX).to_be_bytes();
    out.extend_from_slice(&[0x80 | track as u8, high, low, flags]);
}

/// Bytes that are put in the place of others.
#[derive(Debug)]
pub struct Edit {
    /// From the file's beginning.
    pub at: u64,
    /// What is to be there.
    pub bytes: Vec<u8>,
}

/// What makes a file whole that ends at `end` after its last cluster: cues, to be written there, and what is to be put into the
/// front when they are.
#[must_use]
pub fn ending(marks: &[Mark], end: u64, duration_ms: u64) -> (Vec<u8>, [Edit; 3]) {
    let mut cues = Vec::new();
    put_master(&mut cues, id::CUES, |cues| {
        for mark in marks {
            put_master(cues, id::CUE_POINT, |point| {
                put_uint(point, id::CUE_TIME, mark.at_ms);
                put_master(point, id::CUE_TRACK_POSITIONS, |place| {
                    put_uint(place, id::CUE_TRACK, PICTURES);
                    put_uint(place, id::CUE_CLUSTER_POSITION, mark.position - BODY);
                });
            });
        }
    });
    let mut duration = Vec::new();
    put(&mut duration, 0x4489, &(duration_ms as f64).to_be_bytes());
    let size = wide_size(Some(end + cues.len() as u64 - BODY)).to_vec();
    let edits = [
        Edit { at: DURATION_AT, bytes: duration },
        Edit { at: BODY, bytes: seek_head(end) },
        Edit { at: BODY - 8, bytes: size },
    ];
    (cues, edits)
}

/// Of the length for which room was left.
fn seek_head(cues: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, id::SEEK_HEAD, |out| {
        for (what, position) in [(id::INFO, BODY + SEEK_HEAD_LENGTH as u64), (id::CUES, cues)] {
            put_master(out, id::SEEK, |seek| {
                put(seek, id::SEEK_ID, &what.to_be_bytes());
                put(seek, id::SEEK_POSITION, &(position - BODY).to_be_bytes());
            });
        }
    });
    let rest = SEEK_HEAD_LENGTH - out.len();
    put_void(&mut out, rest);
    out
}
