//! Compares our check of cameras' JPEGs, sound and damaged, with libjpeg-turbo's decoder.

mod agree;
mod pictures;

use std::fs;

use agree::Decoded;
use fastrand::Rng;
use turbojpeg::PixelFormat;
use watchpost::frame::Layout;
use watchpost::jpeg;

#[test]
fn damaged_pictures_that_pass_are_decoded() {
    let mut rng = Rng::new();
    let originals = pictures::originals(&mut rng);
    let (mut passed, mut too_strict) = (0, 0);
    for _ in 0..100_000 {
        let jpeg = pictures::damaged(&mut rng, &originals);
        if agree::on_bytes(&jpeg) {
            passed += 1;
        } else if matches!(agree::decode(&jpeg), Decoded::Clean { .. }) {
            too_strict += 1;
        }
    }
    println!("{passed} passed; {too_strict} of those refused are decoded without a warning");
    // Both results must be common.
    assert!((15_000..85_000).contains(&passed), "{passed} passed");
    assert!(too_strict < 20, "{too_strict} refused needlessly");
}

#[test]
fn undamaged_pictures_pass_and_are_decoded() {
    for jpeg in pictures::originals(&mut Rng::new()) {
        let sound = jpeg::check(&jpeg).expect("a sound picture");
        assert_eq!(sound.bytes, jpeg);
        let image = turbojpeg::decompress(&sound.complete(), PixelFormat::RGB).expect("a picture");
        assert_eq!((image.width, image.height), (sound.width as usize, sound.height as usize));
    }
}

#[test]
fn missing_standard_tables_are_inserted() {
    let mut rng = Rng::new();
    for layout in [Layout::Yuv422, Layout::Bgr] {
        let jpeg = pictures::encoded(&mut rng, layout, 64, 48, 80);
        let bare = pictures::without_tables(&jpeg);
        let whole = jpeg::check(&bare).expect("a sound picture").complete();
        // The same tables as the encoder wrote, in one segment instead of four.
        assert_eq!((whole.len(), bare.len()), (jpeg.len() - 3 * 4, whole.len() - 420));
        let pixels = [&jpeg[..], &whole].map(|jpeg| turbojpeg::decompress(jpeg, PixelFormat::RGB).expect("a picture"));
        assert!(pixels[0].pixels == pixels[1].pixels);
    }
}

/// Checks the fuzzer's corpus; `cargo +nightly fuzz run jpeg` extends it.
#[test]
fn fuzzer_corpus_that_passes_is_decoded() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/jpeg");
    let files: Vec<_> = fs::read_dir(corpus).expect("the corpus").map(|file| file.expect("a file").path()).collect();
    let passed = files.iter().filter(|file| agree::on_bytes(&fs::read(file).expect("a file"))).count();
    assert!(passed > 5, "{passed} of {files:?}");
}
