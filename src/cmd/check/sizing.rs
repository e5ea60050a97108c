//! How much disk space recorded frames take.

use std::time::Duration;

use crate::config::{Bytes, Camera, Fps, Quality, Size, Source};

/// Mean bytes per pixel of a JPEG by its quality, measured with this encoder on 640x480 frames of a street
/// (`cargo bench --bench sizes`). Plain pictures take a third of it, and detailed ones half as much again.
const BYTES_PER_PIXEL: [(u8, f64); 8] =
    [(10, 0.036), (30, 0.073), (50, 0.101), (70, 0.138), (80, 0.173), (90, 0.253), (95, 0.364), (100, 0.730)];

/// The default `fps` of a camera.
const DEFAULT_FPS: f64 = 25.0;

const DAY: Duration = Duration::from_hours(24);

/// What the frames of a camera take in a day, if all are recorded; `None` if its source decides the size.
pub(super) fn per_day(camera: &Camera) -> Option<Bytes> {
    if matches!(camera.source, Source::Video(_)) && camera.size.is_none() && camera.crop.is_none() {
        return None;
    }
    Some(estimate(camera.expected_size(), camera.quality, camera.fps.get()))
}

/// What a camera of the default size and quality takes in a day, at a limited frame rate perhaps.
pub(super) fn default_per_day(fps: Option<Fps>) -> (Size, f64, Bytes) {
    let (size, fps) = (Size::default(), fps.map_or(DEFAULT_FPS, Fps::get));
    (size, fps, estimate((size.width, size.height), Quality::default(), fps))
}

/// How long this much space lasts, in words.
pub(super) fn lasts(space: Bytes, per_day: Bytes) -> (Duration, String) {
    let time = DAY.mul_f64(space.0 as f64 / per_day.0.max(1) as f64);
    let minutes = time.as_secs() / 60;
    let words = match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    };
    (time, words)
}

fn estimate((width, height): (u32, u32), quality: Quality, fps: f64) -> Bytes {
    let frame = f64::from(width) * f64::from(height) * bytes_per_pixel(quality.get());
    Bytes((frame * fps * DAY.as_secs_f64()) as u64)
}

/// Between two measured qualities, a straight line.
fn bytes_per_pixel(quality: u8) -> f64 {
    let above =
        BYTES_PER_PIXEL.iter().position(|(measured, _)| *measured >= quality).unwrap_or(BYTES_PER_PIXEL.len() - 1);
    let (low, high) = (BYTES_PER_PIXEL[above.saturating_sub(1)], BYTES_PER_PIXEL[above]);
    if high.0 <= quality || low.0 == high.0 {
        return high.1;
    }
    let part = f64::from(quality - low.0) / f64::from(high.0 - low.0);
    low.1 + part * (high.1 - low.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_quality_never_takes_less() {
        let all: Vec<f64> = (1..=100).map(bytes_per_pixel).collect();
        assert!(all.is_sorted() && (all[79] - 0.173).abs() < 1e-9 && (all[84] - 0.213).abs() < 1e-9, "{all:?}");
    }

    #[test]
    fn durations_have_a_fitting_unit() {
        let words = |days: f64| lasts(Bytes((days * 1e9) as u64), Bytes(1_000_000_000)).1;
        assert_eq!([0.01, 0.0834, 1.5, 30.5].map(words), ["14 min", "2 h", "36 h", "30 days"]);
    }
}
