//! Writes frames and readings as a Matroska file (RFC 9559; section numbers refer to it). Does no I/O.
//!
//! A file is one segment, of unknown size while it is written: information, two tracks, and clusters that each have a
//! size and are written as a whole. Space is reserved at the front for the position of the cues, which players need for
//! seeking, and the duration; both are filled in at the end. A truncated file plays up to its last complete cluster.

use bytes::Bytes;

use super::ebml::{put, put_head, put_master, put_uint, put_void, put_wide_head, wide_size};

/// Element ids: of EBML (RFC 8794, section 11.2), and by section of RFC 9559.
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

/// Track numbers.
pub(super) const PICTURE_TRACK: u64 = 1;
pub(super) const READING_TRACK: u64 = 2;

/// Bytes of the EBML header. The segment's head follows; sizes and positions in the segment count from its body.
const EBML_LENGTH: usize = 40;
pub(super) const SEGMENT_BODY: u64 = EBML_LENGTH as u64 + 12;

/// Bytes reserved for the seek head, the segment's first element.
pub(super) const SEEK_HEAD_LENGTH: usize = 64;

/// The info element follows, with a head of 12 bytes; the duration is its first element.
const DURATION_POSITION: u64 = SEGMENT_BODY + SEEK_HEAD_LENGTH as u64 + 12;
const DURATION_LENGTH: usize = 11;

/// 2001-01-01T00:00:00Z in microseconds since 1970, the epoch of dates (RFC 8794, section 7.6).
const DATE_EPOCH_US: i64 = 978_307_200_000_000;

/// Information in a file's header.
#[derive(Clone, Debug)]
pub struct FileInfo<'a> {
    /// Zero of its timestamps, in microseconds since 1970.
    pub start_us: i64,
    /// Width of the pictures.
    pub width: u32,
    /// Height of the pictures.
    pub height: u32,
    /// Title shown by players.
    pub title: &'a str,
}

/// Time and position of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CuePoint {
    /// Its first frame's time, milliseconds from the file's start.
    pub at_ms: u64,
    /// Bytes from the start of the file.
    pub position: u64,
}

/// Returns the start of a file, up to its first cluster.
#[must_use]
pub fn header(file: &FileInfo<'_>) -> Vec<u8> {
    let mut out = ebml();
    put_wide_head(&mut out, id::SEGMENT, None);
    put_void(&mut out, SEEK_HEAD_LENGTH);
    let info = info(file);
    put_wide_head(&mut out, id::INFO, Some(info.len() as u64));
    out.extend_from_slice(&info);
    put_master(&mut out, id::TRACKS, |tracks| {
        put_master(tracks, 0xAE, |track| pictures(track, file));
        put_master(tracks, 0xAE, readings);
    });
    out
}

/// The EBML header: RFC 8794, section 11.2. Simple blocks need version 2.
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

fn info(file: &FileInfo<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put_void(&mut out, DURATION_LENGTH);
    // TimestampScale: nanoseconds per unit.
    put_uint(&mut out, 0x002A_D7B1, 1_000_000);
    // DateUTC, in nanoseconds.
    put(&mut out, 0x4461, &file.start_us.saturating_sub(DATE_EPOCH_US).saturating_mul(1000).to_be_bytes());
    // Title, MuxingApp, WritingApp.
    put(&mut out, 0x7BA9, file.title.as_bytes());
    put(&mut out, 0x4D80, PROGRAM.as_bytes());
    put(&mut out, 0x5741, PROGRAM.as_bytes());
    out
}

const PROGRAM: &str = concat!("watchpost ", env!("CARGO_PKG_VERSION"));

/// Fields of every track: number, UID, type, no lacing, language, name, codec.
fn track(out: &mut Vec<u8>, number: u64, kind: u64, name: &str, codec: &str) {
    put_uint(out, 0xD7, number);
    put_uint(out, 0x73C5, number);
    put_uint(out, 0x83, kind);
    put_uint(out, 0x9C, 0);
    put(out, 0x0022_B59C, b"und");
    put(out, 0x536E, name.as_bytes());
    put(out, 0x86, codec.as_bytes());
}

fn pictures(out: &mut Vec<u8>, file: &FileInfo<'_>) {
    track(out, PICTURE_TRACK, 1, "pictures", "V_MJPEG");
    // Video, with width and height.
    put_master(out, 0xE0, |video| {
        put_uint(video, 0xB0, file.width.into());
        put_uint(video, 0xBA, file.height.into());
    });
}

fn readings(out: &mut Vec<u8>) {
    track(out, READING_TRACK, 17, "readings", "S_TEXT/UTF8");
}

/// A cluster being built. It can span at most 32 seconds, because the time of a block is a signed 16-bit number.
#[derive(Debug)]
pub struct Cluster {
    at_ms: u64,
    last_ms: u64,
    /// The heads of all picture blocks.
    block_heads: Vec<u8>,
    /// For each picture, the end of its head in `block_heads`, and the JPEG.
    frames: Vec<(usize, Bytes)>,
    /// Bytes of all pictures.
    picture_bytes: usize,
}

impl Cluster {
    /// Creates an empty cluster at the time of its first frame, in milliseconds from the file's start.
    #[must_use]
    pub fn new(at_ms: u64) -> Cluster {
        Cluster { at_ms, last_ms: at_ms, block_heads: Vec::new(), frames: Vec::new(), picture_bytes: 0 }
    }

    /// The time of the first frame.
    #[must_use]
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Adds an offset to all times, for a file that starts earlier.
    pub fn shift(&mut self, by_ms: u64) {
        self.at_ms += by_ms;
        self.last_ms += by_ms;
    }

    /// The time of the last frame.
    #[must_use]
    pub fn last_ms(&self) -> u64 {
        self.last_ms
    }

    /// The number of frames.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Bytes of all pictures.
    #[must_use]
    pub fn picture_bytes(&self) -> usize {
        self.picture_bytes
    }

    /// Adds a picture without copying it.
    pub fn add(&mut self, at_ms: u64, jpeg: Bytes) {
        put_head(&mut self.block_heads, id::SIMPLE_BLOCK, 4 + jpeg.len());
        put_block_head(&mut self.block_heads, PICTURE_TRACK, at_ms.saturating_sub(self.at_ms), KEYFRAME);
        self.last_ms = self.last_ms.max(at_ms);
        self.picture_bytes += jpeg.len();
        self.frames.push((self.block_heads.len(), jpeg));
    }

    /// Returns the cluster's head and the caption, which precede the pictures.
    #[must_use]
    pub fn front(&self, text: &str, duration_ms: u64) -> Vec<u8> {
        let mut first = Vec::with_capacity(64 + text.len());
        put_uint(&mut first, id::TIMESTAMP, self.at_ms);
        if !text.is_empty() {
            put_master(&mut first, id::BLOCK_GROUP, |group| {
                put_head(group, id::BLOCK, 4 + text.len());
                put_block_head(group, READING_TRACK, 0, 0);
                group.extend_from_slice(text.as_bytes());
                put_uint(group, id::BLOCK_DURATION, duration_ms);
            });
        }
        let mut front = Vec::with_capacity(16 + first.len());
        put_head(&mut front, id::CLUSTER, first.len() + self.block_heads.len() + self.picture_bytes);
        front.extend_from_slice(&first);
        front
    }

    /// The bytes after the front: each picture's block head, then its JPEG.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.frames.iter().flat_map(move |(end, jpeg)| {
            let head = &self.block_heads[start..*end];
            start = *end;
            [head, jpeg]
        })
    }
}

/// Section 10.2: the frame can be decoded alone.
const KEYFRAME: u8 = 0x80;

/// Sections 10.1 and 10.2. The track number is encoded like an EBML size.
fn put_block_head(out: &mut Vec<u8>, track: u64, offset_ms: u64, flags: u8) {
    let [high, low] = i16::try_from(offset_ms).unwrap_or(i16::MAX).to_be_bytes();
    out.extend_from_slice(&[0x80 | track as u8, high, low, flags]);
}

/// Bytes to overwrite in a file.
#[derive(Debug)]
pub struct Edit {
    /// Position from the start of the file.
    pub at: u64,
    /// The new bytes.
    pub bytes: Vec<u8>,
}

/// Returns the cues to append to a file whose last cluster ends at `end`, and the edits to apply to the front
/// afterwards.
#[must_use]
pub fn trailer(cue_points: &[CuePoint], end: u64, duration_ms: u64) -> (Vec<u8>, [Edit; 3]) {
    let mut cues = Vec::new();
    put_master(&mut cues, id::CUES, |cues| {
        for cue_point in cue_points {
            put_master(cues, id::CUE_POINT, |point| {
                put_uint(point, id::CUE_TIME, cue_point.at_ms);
                put_master(point, id::CUE_TRACK_POSITIONS, |positions| {
                    put_uint(positions, id::CUE_TRACK, PICTURE_TRACK);
                    put_uint(positions, id::CUE_CLUSTER_POSITION, cue_point.position - SEGMENT_BODY);
                });
            });
        }
    });
    let mut duration = Vec::new();
    put(&mut duration, 0x4489, &(duration_ms as f64).to_be_bytes());
    let size = wide_size(Some(end + cues.len() as u64 - SEGMENT_BODY)).to_vec();
    let edits = [
        Edit { at: DURATION_POSITION, bytes: duration },
        Edit { at: SEGMENT_BODY, bytes: seek_head(end) },
        Edit { at: SEGMENT_BODY - 8, bytes: size },
    ];
    (cues, edits)
}

/// The seek head, padded to the reserved length.
fn seek_head(cues: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, id::SEEK_HEAD, |out| {
        for (id, position) in [(id::INFO, SEGMENT_BODY + SEEK_HEAD_LENGTH as u64), (id::CUES, cues)] {
            put_master(out, id::SEEK, |seek| {
                put(seek, id::SEEK_ID, &id.to_be_bytes());
                put(seek, id::SEEK_POSITION, &(position - SEGMENT_BODY).to_be_bytes());
            });
        }
    });
    let rest = SEEK_HEAD_LENGTH - out.len();
    put_void(&mut out, rest);
    out
}
