//! Compares the cost of checking a camera's JPEG with the cost of copying it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use watchpost::agent::encode::Encoder;
use watchpost::config::Quality;
use watchpost::frame::{Frame, Layout};
use watchpost::jpeg;

/// Width, height, and a quality that yields about 40 KB and 450 KB.
const PICTURES: [(u32, u32, i64); 2] = [(640, 480, 84), (1920, 1080, 89)];

fn jpegs(criterion: &mut Criterion) {
    for (width, height, quality) in PICTURES {
        let jpeg = picture(width, height, quality);
        let mut group = criterion.benchmark_group(format!("{width}x{height}, {} KB", jpeg.len() / 1000));
        group.throughput(Throughput::Bytes(jpeg.len() as u64));
        group.bench_function("scan", |bencher| bencher.iter(|| jpeg::check(black_box(&jpeg)).is_ok()));
        let mut copy = vec![0; jpeg.len()];
        group.bench_function("copy", |bencher| bencher.iter(|| black_box(&mut copy).copy_from_slice(black_box(&jpeg))));
        group.finish();
    }
}

/// A smooth picture with sensor noise.
fn picture(width: u32, height: u32, quality: i64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(1);
    let data: Vec<u8> = (0..width * height * 2).map(|i| (i / 1000) as u8 / 2 + rng.u8(..12)).collect();
    let quality = Quality::try_from(quality).expect("a quality");
    let frame = Frame { width, height, layout: Layout::Yuv422, data: &data };
    let jpeg = Encoder::default().encode(frame, quality).expect("a picture");
    assert!(jpeg::check(&jpeg).is_ok());
    jpeg.to_vec()
}

criterion_group!(benches, jpegs);
criterion_main!(benches);
