//! How large JPEGs are, by size, quality and content: the source of the sizing table in docs/recording.md and of the estimate
//! in `watchpost check`. Decodes a film and a photo with ffmpeg, encodes them with watchpost's encoder, and takes the test
//! picture from a running agent. `cargo bench --no-default-features --bench sizes`.

#[allow(dead_code, unused_imports, reason = "the tests need more of it")]
#[path = "../tests/end_to_end/harness/mod.rs"]
mod harness;

use std::process::Command;

use harness::{Bench, Peer};
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};

const SIZES: [(u32, u32); 4] = [(320, 240), (640, 480), (768, 576), (1280, 720)];
const QUALITIES: [i64; 8] = [10, 30, 50, 70, 80, 90, 95, 100];

/// From Debian's package opencv-doc: 80 s of people on a street (768x576), and plants on rough cloth (1282x1110).
const DATA: &str = "/usr/share/doc/opencv-doc/examples/data";
const FILM: (&str, (u32, u32)) = ("vtest.avi", (768, 576));
const PHOTO: (&str, (u32, u32)) = ("aloeL.jpg", (1282, 1110));

fn main() {
    println!("Mean size of a JPEG in kB, and bytes per pixel\n");
    println!("content   size      {}", QUALITIES.map(|quality| format!("quality {quality:<8}")).join(""));
    for size in SIZES {
        for (name, (file, own)) in [("film", FILM), ("photo", PHOTO)] {
            if size.0 <= own.0 && size.1 <= own.1 {
                print(name, size, &means(&decoded(file, size), size));
            }
        }
        print("pattern", size, &QUALITIES.map(|quality| pattern(size, quality)));
    }
}

fn print(content: &str, (width, height): (u32, u32), means: &[f64]) {
    let pixels = f64::from(width * height);
    let cells: Vec<_> = means.iter().map(|bytes| format!("{:>6.1} {:<9.3}", bytes / 1000.0, bytes / pixels)).collect();
    println!("{content:<9} {:<9} {}", format!("{width}x{height}"), cells.join(""));
}

/// Every tenth frame of the file, in blue, green and red, cut to the shape of `size` and scaled to it.
fn decoded(file: &str, (width, height): (u32, u32)) -> Vec<u8> {
    let fit = format!(
        "select=not(mod(n\\,10)),scale={width}:{height}:force_original_aspect_ratio=increase:flags=area,crop={width}:{height}"
    );
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-i",
            &format!("{DATA}/{file}"),
            "-vf",
            &fit,
            "-pix_fmt",
            "bgr24",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-",
        ])
        .output()
        .expect("ffmpeg starts");
    assert!(output.status.success() && !output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The mean size of the frames' JPEGs, by quality.
fn means(frames: &[u8], (width, height): (u32, u32)) -> [f64; QUALITIES.len()] {
    let mut encoder = Encoder::default();
    QUALITIES.map(|quality| {
        let quality = Quality::try_from(quality).expect("a quality");
        let frames = frames.chunks_exact((width * height * 3) as usize);
        let count = frames.len() as f64;
        let sizes = frames.map(|data| {
            let frame = Frame { width, height, layout: Layout::Bgr, data };
            encoder.encode(frame, quality).expect("a picture").len() as f64
        });
        sizes.sum::<f64>() / count
    })
}

/// The mean size of the test picture's JPEGs.
fn pattern((width, height): (u32, u32), quality: i64) -> f64 {
    const FRAMES: usize = 20;
    let (bench, peer) = (Bench::new(), Peer::new());
    let _agent = bench.agent(&format!(
        "camera = [{{ name = \"a\", source = \"pattern\", size = \"{width}x{height}\", quality = {quality} }}]\n\
         link = [{{ pattern = \"pair\", connect = \"{}\" }}]",
        peer.address
    ));
    let messages = std::iter::repeat_with(|| peer.socket.recv_multipart(0).expect("a message"));
    let sizes = messages.filter_map(|parts| parts.get(2).map(Vec::len)).take(FRAMES);
    sizes.sum::<usize>() as f64 / FRAMES as f64
}
