use super::*;
use crate::agent::encode::Encoder;
use crate::config::Quality;
use crate::frame::{Frame, Layout};

/// A JPEG of one grey.
fn jpeg(grey: u8, width: u32) -> Vec<u8> {
    let data = vec![grey; (width * 32 * 3) as usize];
    let frame = Frame { width, height: 32, layout: Layout::Bgr, data: &data };
    Encoder::default().encode(frame, Quality::default()).expect("a JPEG").to_vec()
}

/// What a parser returns for a stream that arrives in pieces of this length.
fn parsed(boundary: &str, stream: &[u8], step: usize) -> Result<Vec<Bytes>, TooLarge> {
    let (mut parser, mut jpegs) = (Multipart::new(boundary), Vec::new());
    for piece in stream.chunks(step) {
        parser.push(piece);
        while let Some(jpeg) = parser.next()? {
            jpegs.push(jpeg);
        }
        let most = MAX_JPEG_BYTES + step;
        assert!(parser.buffer.len() <= most, "it keeps {} bytes", parser.buffer.len());
    }
    Ok(jpegs)
}

/// A stream of these JPEGs, each between texts in which LENGTH stands for its length.
fn stream(before: &str, between: (&str, &str), jpegs: &[Vec<u8>]) -> Vec<u8> {
    let part = |jpeg: &Vec<u8>| {
        let head = between.0.replace("LENGTH", &jpeg.len().to_string());
        [head.as_bytes(), jpeg, between.1.as_bytes()].concat()
    };
    [before.as_bytes().to_vec(), jpegs.iter().flat_map(part).collect()].concat()
}

#[test]
fn each_way_to_write_a_stream_gives_the_same_jpegs() {
    let jpegs = [jpeg(10, 32), jpeg(200, 64), jpeg(90, 32)];
    for (boundary, before, head, after) in [
        ("b", "", "--b\r\nContent-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        ("b", "\r\n", "--b\r\nContent-Type: image/jpeg\r\n\r\n", "\r\n"),
        ("b", "", "\r\n--b\r\nContent-Type: image/jpg\r\ncontent-length:LENGTH\r\n\r\n", ""),
        ("b", "", "--b\r\nContent-Type: image/jpeg; charset=utf-8\r\n\r\n", "\r\n"),
        ("b", "", "--b\r\n\r\n", "\r\n"),
        ("b", "", "--b\nContent-Type: image/jpeg\nContent-Length: LENGTH\n\n", "\n"),
        ("--b", "", "--b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        ("--b", "", "----b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        ("b", "", "b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        ("other", "", "--b\r\nContent-Length: LENGTH\r\n\r\n", "\r\n"),
        ("", "", "--b\r\n\r\n", "\r\n"),
        ("b", "", "Content-Length: LENGTH\r\n\r\n", "\r\n--b\r\n"),
        ("b", "Welcome\r\nto the camera: 1", "\r\n--b\r\n\r\n", "\r\n"),
        ("b", "", "--b\r\nContent-Length: LENGTH\r\n", "\r\n"),
        ("b", "", "--b\r\nContent-Length: 7\r\n\r\n", "\r\n"),
        ("b", "", "--b\r\nContent-Length: 99999\r\n\r\n", "\r\n"),
        ("b", "", "--b\r\nContent-Length: many\r\n\r\n", "\r\n"),
        ("b", "", "--b\r\nContent-Length: LENGTH\r\n\r\n\r\n", "\r\n\r\n\r\n"),
        ("b", "", "--b\r\nX-Timestamp: 1: 2\r\nContent-Length: LENGTH\r\n\r\n", "\0\0\0\r\n"),
        ("", "", "", ""),
    ] {
        let stream = stream(before, (head, after), &jpegs);
        for step in [1, 2, 3, 7, 100, stream.len()] {
            let parsed = parsed(boundary, &stream, step).expect("nothing is too large");
            assert!(parsed == jpegs, "{boundary:?} {head:?} {after:?} in steps of {step}: {}", parsed.len());
        }
    }
}

#[test]
fn jpeg_is_complete_before_the_next_boundary_arrives() {
    let jpeg = jpeg(10, 32);
    for head in ["--b\r\n\r\n", "--b\r\nContent-Length: LENGTH\r\n\r\n", "--b\r\nContent-Length: 5000\r\n\r\n"] {
        let stream = stream("", (head, ""), std::slice::from_ref(&jpeg));
        assert_eq!(parsed("b", &stream, 50), Ok(vec![jpeg.clone().into()]), "{head:?}");
    }
}

#[test]
fn jpegs_without_an_end_marker_end_at_their_length_or_boundary() {
    let jpegs = [10, 200, 90].map(|grey| jpeg(grey, 32)[..600].to_vec());
    for head in ["--b\r\n\r\n", "--b\r\nContent-Length: LENGTH\r\n\r\n"] {
        let stream = stream("", (head, "\r\n"), &jpegs);
        for step in [1, 64, stream.len()] {
            let found = parsed("b", &[&stream[..], b"--b\r\n"].concat(), step).expect("nothing is too large");
            assert!(found == jpegs, "{head:?} in steps of {step}: {found:?}");
        }
    }
}

#[test]
fn other_parts_and_second_pictures_are_skipped() {
    let (first, second) = (jpeg(10, 32), jpeg(200, 64));
    let part = |head: &str, body: &[u8]| [b"--b\r\n", head.as_bytes(), b"\r\n", body, b"\r\n"].concat();
    let preview = [&first[..], &second].concat();
    let stream = [
        part("Content-Type: audio/basic\r\n", &second),
        part("Content-Type: text/plain\r\nContent-Length: 3\r\n", b"\xff\xd8\xff"),
        part("", &preview),
        part(&format!("Content-Length: {}\r\n", preview.len()), &preview),
        part("", &second),
    ];
    for step in [1, 10, 10_000] {
        let found = parsed("b", &stream.concat(), step).expect("nothing is too large");
        assert!(found == [&first[..], &first, &second], "in steps of {step}: {}", found.len());
    }
}

#[test]
fn picture_above_the_limit_is_refused_before_it_is_read() {
    let stream = b"--b\r\nContent-Length: 2000000000\r\n\r\n";
    assert_eq!(parsed("b", stream, 1), Err(TooLarge));
    let endless = [b"--b\r\n\r\n\xff\xd8\xff\xda\0\x02", &vec![7; MAX_JPEG_BYTES][..]].concat();
    assert_eq!(parsed("b", &endless, 10_000), Err(TooLarge));
    assert_eq!(parsed("b", &vec![b'a'; 100_000], 10_000), Ok(Vec::new()));
}

#[test]
fn damaged_streams_neither_panic_nor_grow() {
    let heads = "--b\r\nContent-Type: image/jpeg\r\nContent-Length: LENGTH\r\n\r\n";
    let whole = stream("", (heads, "\r\n"), &[jpeg(10, 32), jpeg(200, 64), jpeg(90, 32)]);
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..fastrand::usize(1..20) {
            let at = fastrand::usize(..damaged.len());
            match fastrand::u8(..3) {
                0 => damaged[at] = fastrand::u8(..),
                1 => drop(damaged.drain(at..(at + fastrand::usize(..50)).min(damaged.len() - 1).max(at))),
                _ => damaged.splice(at..at, whole[..fastrand::usize(..200)].iter().copied()).for_each(drop),
            }
        }
        // A length that was damaged may be too large.
        let _ = parsed("b", &damaged, fastrand::usize(1..500));
    }
}

/// After damage, the parser finds the next picture again.
#[test]
fn picture_after_a_damaged_one_is_whole() {
    let (first, second) = (jpeg(10, 32), jpeg(200, 64));
    let heads = "--b\r\nContent-Length: LENGTH\r\n\r\n";
    for cut in 4..first.len() {
        let stream = [
            stream("", (heads, "\r\n"), std::slice::from_ref(&first))[..cut + 30].to_vec(),
            b"\r\n".to_vec(),
            stream("", (heads, "\r\n"), &[second.clone(), second.clone()]),
        ];
        let found = parsed("b", &stream.concat(), 64).expect("nothing is too large");
        assert_eq!(found.last().map(Bytes::len), Some(second.len()), "cut at {cut}");
        assert!(found.len() >= 2 && found.last().is_some_and(|jpeg| *jpeg == second), "cut at {cut}");
    }
}
