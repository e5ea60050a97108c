use super::*;

const END: [u8; 2] = [0xff, marker::EOI];

/// The segments before the picture: the marker and body of each.
type Head = Vec<(u8, Vec<u8>)>;

/// One component of 8x8 pixels, with a one-bit code in both Huffman tables.
fn grey() -> Head {
    let code = |class_and_id: u8| [&[class_and_id, 1], [0; 16].as_slice()].concat();
    vec![
        (marker::APP0, b"AVI1 ".to_vec()),
        (marker::DQT, [&[0], [1; 64].as_slice()].concat()),
        (marker::SOF0, vec![8, 0, 8, 0, 8, 1, 7, 0x11, 0]),
        (marker::DHT, [code(0x00), code(0x10)].concat()),
        (marker::SOS, vec![1, 7, 0x00, 0, 63, 0]),
    ]
}

/// Three components, chroma at half the width and height, with the standard Huffman tables.
fn colour(width: u8) -> Head {
    let mut head = grey();
    head.remove(3);
    head[2].1 = vec![8, 0, 16, 0, width, 3, 1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0];
    head[3].1 = vec![3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0];
    head
}

fn jpeg(head: &Head, picture: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, marker::SOI];
    for (marker, body) in head {
        bytes.extend([0xff, *marker]);
        bytes.extend((body.len() as u16 + 2).to_be_bytes());
        bytes.extend(body);
    }
    [&bytes, picture, &END].concat()
}

#[test]
fn valid_jpeg_passes_and_trailing_bytes_are_left_out() {
    let bytes = jpeg(&grey(), &[0x3f]);
    let valid = ValidJpeg { bytes: &bytes, width: 8, height: 8, block: (8, 8), insert_tables_at: None };
    assert_eq!(check(&bytes), Ok(valid));
    assert_eq!(valid.complete(), bytes);
    assert_eq!(size(&bytes), Some((8, 8)));
    for behind in [&[0; 1000], b"garbage".as_slice(), &bytes, &END, &[0xff]] {
        assert_eq!(check(&[&bytes, behind].concat()), Ok(valid));
    }
}

#[test]
fn truncated_jpeg_is_refused_at_any_length() {
    let bytes = jpeg(&colour(16), &[1; 20]);
    for length in 0..bytes.len() {
        let fault = if length < 2 { Fault::NotJpeg } else { Fault::Truncated };
        assert_eq!(check(&bytes[..length]), Err(fault), "{length}");
        assert!(check(&[&bytes[..length], [0; 1000].as_slice()].concat()).is_err(), "{length}, followed by zeros");
    }
}

#[test]
fn picture_has_at_least_two_bits_per_block() {
    // Six blocks per MCU: four of luma, two of chroma.
    for (width, enough) in [(1, 2), (16, 2), (17, 3), (33, 5)] {
        assert_eq!(check(&jpeg(&colour(width), &vec![1; enough - 1])), Err(Fault::Truncated), "{width}");
        assert!(check(&jpeg(&colour(width), &vec![1; enough])).is_ok(), "{width}");
    }
    let mut head = grey();
    head[2].1[7] = 0x44;
    assert_eq!(check(&jpeg(&head, &[])), Err(Fault::Truncated));
    assert!(check(&jpeg(&head, &[1])).is_ok(), "sampling factors of a single component have no effect");
}

#[test]
fn picture_contains_only_restart_markers_and_fill_bytes() {
    assert!(check(&jpeg(&grey(), &[1, 0xff, 0, 2, 0xff, 0xd0, 3, 0xff, 0xff, 0xd7, 4, 0xff])).is_ok());
    for other in [marker::SOI, marker::SOS, marker::DHT, 0x01, 0xdc] {
        let bytes = jpeg(&grey(), &[1, 0xff, other, 0, 2]);
        assert_eq!(check(&bytes), Err(Fault::Damaged("a marker inside the picture")), "{other:02x}");
    }
}

#[test]
fn camera_segments_may_follow_the_picture() {
    let own = [0xff, marker::APP15, 0, 4, 0xff, marker::EOI, 0xff, marker::COM, 0, 2];
    let bytes = jpeg(&grey(), &[&[1], own.as_slice()].concat());
    assert_eq!(check(&bytes).map(|valid| valid.bytes), Ok(bytes.as_slice()));
    assert_eq!(check(&bytes[..bytes.len() - 2]), Err(Fault::Truncated));
    for picture in [[own.as_slice(), &[1]].concat(), [&[1], own.as_slice(), &[0]].concat()] {
        assert!(check(&jpeg(&grey(), &picture)).is_err(), "{picture:02x?}");
    }
}

/// The error when the segment with this marker has this body.
fn refused(head: &Head, marker: u8, body: &[u8]) -> String {
    let mut head = head.clone();
    head.iter_mut().find(|(own, _)| *own == marker).expect("one of its segments").1 = body.to_vec();
    check(&jpeg(&head, &[1; 100])).expect_err("no longer valid").to_string()
}

#[test]
fn invalid_headers_are_refused() {
    use marker::{SOF0, SOS};
    let size = "an invalid size";
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 0, 0, 8, 1, 7, 0x11, 0]), size);
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 0, 1, 7, 0x11, 0]), size);
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0xff, 0xdd, 1, 7, 0x11, 0]), size);
    let kind = "not one or three components of 8 bits";
    assert_eq!(refused(&grey(), SOF0, &[12, 0, 8, 0, 8, 1, 7, 0x11, 0]), kind);
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 8, 2, 7, 0x11, 0, 8, 0x11, 0]), kind);
    let length = "a header of the wrong length";
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 8, 3, 7, 0x11, 0]), length);
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 8, 1, 7, 0x11, 0, 0]), length);
    assert_eq!(refused(&grey(), SOS, &[]), length);
    assert_eq!(refused(&grey(), SOS, &[2, 7, 0, 0, 63, 0]), length);
    let sampling = "invalid sampling factors";
    for factors in [0x01, 0x10, 0x51, 0x15] {
        assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 8, 1, 7, factors, 0]), sampling);
    }
    for [y, cb, cr] in [[0x42, 0x11, 0x12], [0x31, 0x21, 0x11], [0x22, 0x22, 0x22]] {
        assert_eq!(refused(&colour(16), SOF0, &[8, 0, 16, 0, 16, 3, 1, y, 0, 2, cb, 0, 3, cr, 0]), sampling);
    }
    let components = "a scan whose components differ from the frame's";
    assert_eq!(refused(&grey(), SOS, &[1, 8, 0, 0, 63, 0]), components);
    assert_eq!(refused(&colour(16), SOS, &[1, 1, 0, 0, 63, 0]), components);
    assert_eq!(refused(&colour(16), SOS, &[3, 2, 0, 1, 0, 3, 0, 0, 63, 0]), components);
    for coefficients in [[0, 0, 0], [1, 63, 0], [0, 63, 1]] {
        let mut head = grey();
        head[4].1[3..].copy_from_slice(&coefficients);
        assert!(check(&jpeg(&head, &[1])).is_ok(), "{coefficients:?}, which some cameras write");
    }
}

#[test]
fn invalid_or_insert_tables_at_are_refused() {
    use marker::{DHT, DQT, SOF0, SOS};
    let quantisation = "an invalid quantisation table";
    let table = |id: u8, values: &[u8]| [&[id], values].concat();
    assert_eq!(refused(&grey(), DQT, &table(0, &[1; 63])), quantisation);
    assert_eq!(refused(&grey(), DQT, &table(4, &[1; 64])), quantisation);
    assert_eq!(refused(&grey(), DQT, &table(0x10, &[1; 127])), quantisation);
    let huffman = "an invalid Huffman table";
    let missing = "a missing or invalid table";
    let codes = |lengths: [u8; 4]| [&[0x10], lengths.as_slice(), &[0; 12], &[0; 100]].concat();
    let unused = |body: &[u8]| {
        let mut head = grey();
        head.insert(1, (DHT, [&[body[0] | 1], &body[1..]].concat()));
        check(&jpeg(&head, &[1])).is_ok()
    };
    for (lengths, count) in [([2, 0, 0, 0], 2), ([0, 4, 0, 0], 4), ([1, 1, 2, 0], 4), ([0, 1, 2, 8], 11)] {
        let table = &codes(lengths)[..17 + count];
        assert_eq!(refused(&grey(), DHT, table), missing, "{lengths:?}: a code of all ones");
        assert!(unused(table), "{lengths:?}");
    }
    let many = [&[0x10], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 2].as_slice(), &[0; 257]].concat();
    assert_eq!(refused(&grey(), DHT, &many), huffman);
    assert_eq!(refused(&grey(), DHT, &codes([1, 1, 1, 1])[..17 + 3]), huffman);
    assert_eq!(refused(&grey(), DHT, &[0; 16]), huffman);
    for class_and_id in [0x04, 0x14, 0x20] {
        assert_eq!(refused(&grey(), DHT, &[&[class_and_id], [0; 16].as_slice()].concat()), huffman);
    }
    let difference = |bits: u8| [&[0x00, 1], [0; 15].as_slice(), &[bits]].concat();
    assert_eq!(refused(&grey(), DHT, &difference(16)), missing);
    assert!(unused(&difference(16)));

    assert_eq!(refused(&grey(), DQT, &table(1, &[1; 64])), missing);
    assert_eq!(refused(&grey(), SOF0, &[8, 0, 8, 0, 8, 1, 7, 0x11, 4]), missing);
    for tables in [0x02, 0x20, 0x40, 0x04] {
        assert_eq!(refused(&grey(), SOS, &[1, 7, tables, 0, 63, 0]), missing);
    }
    assert_eq!(refused(&colour(16), SOS, &[3, 1, 0, 2, 0, 3, 2, 0, 63, 0]), missing);
}

#[test]
fn misplaced_segments_are_refused() {
    let with = |offset: usize, marker: u8, body: &[u8]| {
        let mut head = grey();
        head.insert(offset, (marker, body.to_vec()));
        check(&jpeg(&head, &[1])).map_or_else(Fault::name, |_| "valid")
    };
    for (marker, body) in [(marker::COM, b"a camera".as_slice()), (marker::APP15, &END), (marker::DRI, &[0, 4])] {
        assert_eq!(with(0, marker, body), "valid");
    }
    for repeated in grey().iter().filter(|(marker, _)| matches!(*marker, marker::DQT | marker::DHT)) {
        assert_eq!(with(3, repeated.0, &repeated.1), "valid");
    }
    assert_eq!(with(0, marker::DRI, &[4]), "damaged_frames");
    for marker in [0x02, 0xbf, marker::SOI, marker::EOI, 0xdc, 0xde, 0xf0, 0xfd] {
        assert_eq!(with(1, marker, &[0, 0]), "damaged_frames", "{marker:02x}");
    }
    // All other codings, a second frame, and a frame that comes too late.
    let frame = &grey()[2].1;
    for sof in (marker::SOF0..=marker::SOF15).filter(|sof| *sof != marker::DHT) {
        assert_eq!(with(3, sof, frame), "damaged_frames", "{sof:02x}");
    }
    let mut head = grey();
    head.remove(2);
    assert_eq!(check(&jpeg(&head, &[1])), Err(Fault::Damaged("a scan before the frame header")));
}

#[test]
fn garbage_between_segments_is_skipped() {
    let bytes = jpeg(&grey(), &[1]);
    let with = |garbage: &[u8]| check(&[&bytes[..2], garbage, &bytes[2..]].concat()).map(|valid| valid.width);
    for garbage in
        [&[0xff, 0xff], [0, 7].as_slice(), &[0xff, 0, 0xff, 1, 0xff, marker::RST0], &[0xff, marker::COM, 0, 0]]
    {
        assert_eq!(with(garbage), Ok(8), "{garbage:02x?}");
    }
    assert_eq!(with(&[0xff, marker::DRI, 0, 1]), Err(Fault::Damaged("a segment without a length")));
    assert_eq!(with(&[0xff, marker::SOI]), Err(Fault::Damaged("bytes outside any segment")));
}

#[test]
fn standard_tables_are_inserted_when_missing() {
    let bytes = jpeg(&colour(16), &[1; 20]);
    let valid = check(&bytes).expect("valid");
    let whole = valid.complete();
    let scan = bytes.windows(2).position(|two| two == [0xff, marker::SOS]).expect("a scan");
    assert_eq!(whole, [&bytes[..scan], &standard::TABLES, &bytes[scan..]].concat());
    let again = check(&whole).expect("valid");
    assert_eq!(again, ValidJpeg { bytes: &whole, width: 16, height: 16, block: (16, 16), insert_tables_at: None });
    assert_eq!(again.complete(), whole);
    // The camera's own tables take precedence, because they follow the standard ones.
    let mut head = colour(16);
    head.insert(2, grey()[3].clone());
    let bytes = jpeg(&head, &[1; 20]);
    let offset = bytes.windows(2).position(|two| two == [0xff, marker::DHT]).expect("a table");
    let whole = check(&bytes).expect("valid").complete();
    assert_eq!(whole, [&bytes[..offset], &standard::TABLES, &bytes[offset..]].concat());
    assert_eq!(check(&whole).expect("valid").complete(), whole);
}

#[test]
fn size_is_read_from_other_codings_too() {
    let mut head = grey();
    head[2] = (marker::SOF2, vec![8, 1, 2, 3, 4, 1, 7, 0x11, 0]);
    head.swap(2, 3);
    assert_eq!(size(&jpeg(&head, &[])), Some((0x304, 0x102)));
    head.remove(3);
    assert_eq!(size(&jpeg(&head, &[])), None);
    assert_eq!(size(b"GIF89a"), None);
}
