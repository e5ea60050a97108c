//! A moving test picture that needs no hardware: colour bars, a grey ramp, a moving disc and the frame's number.

use super::POLL_TIMEOUT;
use super::pace::Pace;
use super::picture::{Picture, Poll};
use crate::clock::Stamp;
use crate::config::{Camera, Fps, Size};
use crate::frame::{Frame, Layout};

/// 75 % colour bars as Y, Cb, Cr (ITU-R BT.601).
const BARS: [[u8; 3]; 7] =
    [[180, 128, 128], [162, 44, 142], [131, 156, 44], [112, 72, 58], [84, 184, 198], [65, 100, 212], [35, 212, 114]];

/// The digits, three by five dots, one bit per dot from the top left.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

const WHITE: u8 = 235;
const BLACK: u8 = 16;
const NEUTRAL: u8 = 128;

pub(super) struct Pattern {
    size: Size,
    pace: Pace,
    fps: f64,
    number: u64,
    /// Makes two patterns look different.
    phase: usize,
    still: Vec<u8>,
    picture: Vec<u8>,
}

impl Pattern {
    pub(super) fn new(camera: &Camera) -> Pattern {
        let size = camera.size.unwrap_or_default();
        let phase = camera.name.bytes().map(usize::from).sum();
        let still = still(size, phase);
        let picture = still.clone();
        Pattern { size, pace: Pace::of(camera.fps), fps: camera.fps.get(), number: 0, phase, still, picture }
    }

    pub(super) fn poll(&mut self, fps: Fps, wanted: bool) -> Poll<'_> {
        self.pace.set_fps(fps);
        if !self.pace.wait_until_due(POLL_TIMEOUT) {
            return Poll::NotReady;
        }
        self.number += 1;
        if !wanted {
            return Poll::Skipped;
        }
        self.picture.copy_from_slice(&self.still);
        self.draw_disc();
        self.draw_number();
        let Size { width, height } = self.size;
        let frame = Frame { width, height, layout: Layout::Yuv422, data: &self.picture };
        Poll::Frame(Stamp::now(), Picture::Pixels(frame))
    }

    pub(super) fn describe(&self) -> String {
        format!("{} test picture, {} frames per second", self.size, self.fps)
    }

    /// Draws a white disc on a path that takes half a minute to repeat.
    fn draw_disc(&mut self) {
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let seconds = self.number as f64 / self.fps + self.phase as f64;
        let radius = height / 9.0;
        let x0 = width / 2.0 + (width / 2.0 - radius) * (seconds * 0.63).sin();
        let y0 = height / 3.0 + (height / 3.0 - radius) * (seconds * 0.84).cos();
        for y in (y0 - radius).max(0.0) as usize..(y0 + radius) as usize {
            let half = (radius.powi(2) - (y as f64 - y0).powi(2)).max(0.0).sqrt();
            self.fill(y, (x0 - half).max(0.0) as usize, (x0 + half) as usize, WHITE);
        }
    }

    fn draw_number(&mut self) {
        let dot = (self.size.height as usize / 80).max(1);
        let top = self.size.height as usize - 8 * dot;
        for (position, digit) in format!("{:06}", self.number % 1_000_000).bytes().enumerate() {
            let bits = DIGITS[usize::from(digit - b'0')];
            for index in (0..15).filter(|index| bits >> (14 - index) & 1 == 1) {
                let left = (3 + position * 4 + index % 3) * dot;
                for y in 0..dot {
                    self.fill(top + index / 3 * dot + y, left, left + dot, WHITE);
                }
            }
        }
    }

    /// Fills part of a line with a grey.
    fn fill(&mut self, y: usize, from: usize, to: usize, luma: u8) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (from, to) = (from.min(width), to.min(width));
        if y >= height || from >= to {
            return;
        }
        self.picture[y * width + from..y * width + to].fill(luma);
        let chroma = width * height + y * width / 2;
        self.picture[chroma + from / 2..chroma + to / 2].fill(NEUTRAL);
        let second = chroma + width * height / 2;
        self.picture[second + from / 2..second + to / 2].fill(NEUTRAL);
    }
}

/// The still part: bars at the top, a grey ramp and black below.
fn still(size: Size, phase: usize) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let colour = |x: usize, y: usize| match y * 12 / height {
        0..=7 => BARS[(x * BARS.len() / width + phase) % BARS.len()],
        8..=9 => [BLACK + (x * usize::from(WHITE - BLACK) / width) as u8, NEUTRAL, NEUTRAL],
        _ => [BLACK, NEUTRAL, NEUTRAL],
    };
    let mut planes = Vec::with_capacity(width * height * 2);
    for (component, step) in [(0, 1), (1, 2), (2, 2)] {
        for y in 0..height {
            planes.extend((0..width).step_by(step).map(|x| colour(x, y)[component]));
        }
    }
    planes
}
