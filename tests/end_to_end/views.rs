use std::collections::HashMap;
use std::fs;

use serde_json::Value;
use turbojpeg::PixelFormat;
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

use crate::harness::{Bench, free_port, subscriber};

/// Neither dimension is a multiple of a 4:2:2 block, which has 16x8 pixels.
const SIZE: (u32, u32) = (200, 116);
const BLOCK: (usize, usize) = (16, 8);

/// Each configuration, with the transformation that it stands for.
const VIEWS: [(&str, Transform); 14] = [
    ("", Picture::clone),
    ("rotate = 90", rotate),
    ("rotate = 180", |picture| rotate(&rotate(picture))),
    ("rotate = 270", rotate_left),
    ("flip = 'horizontal'", mirror),
    ("flip = 'vertical'", |picture| rotate(&rotate(&mirror(picture)))),
    ("rotate = 90, flip = 'horizontal'", |picture| mirror(&rotate(picture))),
    ("rotate = 90, flip = 'vertical'", |picture| rotate(&rotate(&mirror(&rotate(picture))))),
    ("rotate = 180, flip = 'horizontal'", |picture| mirror(&rotate(&rotate(picture)))),
    ("rotate = 180, flip = 'vertical'", mirror),
    ("rotate = 270, flip = 'horizontal'", |picture| mirror(&rotate_left(picture))),
    ("crop = '64x40+32+16'", |picture| part(picture, 32, 16)),
    // The crop starts at a block's edge; a rotated block has 8x16 pixels.
    ("crop = '64x40+47+23'", |picture| part(picture, 32, 16)),
    ("crop = '64x40+47+23', rotate = 270", |picture| part(&whole_blocks(rotate_left(picture)), 40, 16)),
];

type Transform = fn(&Picture) -> Picture;

/// Lines of pixels: the luma, and whether the right or the lower edge cuts off the pixel's block.
type Picture = Vec<Vec<(u8, [bool; 2])>>;

/// Rotates by 90 degrees clockwise.
fn rotate(picture: &Picture) -> Picture {
    (0..picture[0].len()).map(|x| picture.iter().rev().map(|line| line[x]).collect()).collect()
}

fn rotate_left(picture: &Picture) -> Picture {
    rotate(&rotate(&rotate(picture)))
}

fn mirror(picture: &Picture) -> Picture {
    picture.iter().map(|line| line.iter().rev().copied().collect()).collect()
}

fn part(picture: &Picture, x: usize, y: usize) -> Picture {
    picture[y..y + 40].iter().map(|line| line[x..x + 64].to_vec()).collect()
}

/// Removes blocks that were cut off and are now at the left or upper edge.
fn whole_blocks(mut picture: Picture) -> Picture {
    for edge in [0, 1] {
        while picture[0].iter().all(|(_, cut)| cut[edge]) {
            picture.remove(0);
        }
        while picture.iter().all(|line| line[0].1[edge]) {
            for line in &mut picture {
                line.remove(0);
            }
        }
    }
    picture
}

/// The luma of a JPEG.
fn decoded(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let image = turbojpeg::decompress(jpeg, PixelFormat::GRAY).expect("a JPEG");
    image.pixels.chunks(image.pitch).map(|line| line[..image.width].to_vec()).collect()
}

fn picture(jpeg: &[u8]) -> Picture {
    let is_cut = |position: usize, length: u32, block: usize| position >= length as usize / block * block;
    let lines = decoded(jpeg).into_iter().enumerate();
    lines
        .map(|(y, line)| {
            let pixels = line.into_iter().enumerate();
            pixels.map(|(x, luma)| (luma, [is_cut(x, SIZE.0, BLOCK.0), is_cut(y, SIZE.1, BLOCK.1)])).collect()
        })
        .collect()
}

/// Writes a picture without symmetry twice: clean, and with a stray byte between its segments. Returns the JPEG.
fn still(bench: &Bench) -> Vec<u8> {
    let (width, height) = SIZE;
    let point = |i: u32| (i % width, i / width);
    let mut data: Vec<u8> = (0..width * height).map(point).map(|(x, y)| (x / 2 + y + x * y / 300) as u8).collect();
    data.resize((width * height * 2) as usize, 128);
    let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
    let jpeg = Encoder::default().encode(frame, Quality::try_from(95).expect("a quality")).expect("a picture");
    fs::write(bench.path("clean"), &jpeg).expect("a temporary file");
    fs::write(bench.path("odd"), [&jpeg[..2], &[0x21], &jpeg[2..]].concat()).expect("a temporary file");
    jpeg.to_vec()
}

#[test]
fn rotate_flip_and_crop_are_lossless() {
    let bench = Bench::new();
    let still = picture(&still(&bench));
    let port = free_port();
    let cameras = (0..).zip(VIEWS).map(|(node, (view, _))| {
        let film = bench.path(if view.is_empty() { "clean" } else { "odd" });
        bench.plug_camera_of(node, &format!("MJPG {}x{} 10 {}", SIZE.0, SIZE.1, film.display()));
        let comma = if view.is_empty() { "" } else { "," };
        format!("{{ name = '{node}', source = '/dev/video{node}', fps = 2{comma} {view} }},\n")
    });
    let cameras: String = cameras.collect();
    let _agent = bench.agent(&format!(
        "name = 'a'\nlink = [{{ pattern = 'pub', bind = 'tcp://127.0.0.1:{port}' }}]\ncamera = [{cameras}]"
    ));
    let socket = subscriber(port, &["frame/"]);
    let mut frames = HashMap::new();
    while frames.len() < VIEWS.len() {
        let parts = socket.recv_multipart(0).expect("a frame");
        let header: Value = serde_json::from_slice(&parts[1]).expect("JSON");
        frames.insert(header["camera"].as_str().expect("a name").to_owned(), (header, parts[2].clone()));
    }
    for (node, (view, transform)) in VIEWS.iter().enumerate() {
        let (header, jpeg) = &frames[&node.to_string()];
        let (seen, wanted) = (decoded(jpeg), whole_blocks(transform(&still)));
        assert_eq!((seen[0].len(), seen.len()), (wanted[0].len(), wanted.len()), "{view}");
        assert_eq!((header["width"].as_u64(), header["height"].as_u64()), {
            (Some(seen[0].len() as u64), Some(seen.len() as u64))
        });
        for (y, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
            // The coefficients are the same, but decoders round a rotated block in another order.
            let same = seen.iter().zip(wanted).all(|(seen, (wanted, _))| seen.abs_diff(*wanted) <= 2);
            assert!(same, "{view}, line {y}: {seen:?} instead of {wanted:?}");
        }
    }
}

#[test]
fn crop_outside_the_picture_is_reported() {
    let bench = Bench::new();
    let receiver = bench.pair_receiver();
    let _agent = bench.agent(&format!(
        r#"
        camera = [{{ name = "door", source = "pattern", size = "320x240", rotate = 90, crop = "240x320+16+0" }}]
        link = [{{ pattern = "pair", connect = "{}" }}]
        "#,
        receiver.link
    ));
    let cause = "crop 240x320+16+0 is not inside the 240x320 picture";
    receiver.program.wait_for_json("the cause", |message| message["cameras"][0]["cause"] == cause);
}
