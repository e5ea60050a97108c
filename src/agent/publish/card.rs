//! Draws the no-signal picture: the camera's name, the cause, and when the camera went down.

use std::convert::Infallible;

use embedded_graphics::Drawable as _;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X10, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Gray8, GrayColor as _};
use embedded_graphics::prelude::Pixel;
use embedded_graphics::text::{Baseline, Text};

const BACKGROUND: u8 = 32;
const BRIGHT: u8 = 235;
const DIM: u8 = 160;
const NEUTRAL: u8 = 128;

/// Longer causes are cut.
const MAX_CAUSE_LINES: usize = 3;

/// Draws a card as planes of 4:2:2 ([`crate::frame::Layout::Yuv422`]). The width must be even.
pub(super) fn draw(width: u32, height: u32, camera: &str, cause: &str, since: &str) -> Vec<u8> {
    let mut card = Card { width: width as usize, height: height as usize, luma: Vec::new() };
    card.luma.reserve(card.width * card.height * 2);
    card.luma.resize(card.width * card.height, BACKGROUND);
    let (font, scale) = if width < 480 { (&FONT_6X10, 1) } else { (&FONT_10X20, (width / 640).max(1)) };
    let title = Writing { font: &FONT_10X20, scale: (width / 180).max(1), grey: BRIGHT };
    let (large, small) = (Writing { font, scale, grey: BRIGHT }, Writing { font, scale, grey: DIM });
    let columns = (width * 9 / 10 / small.advance()).max(1) as usize;
    let cause = wrapped(cause, columns);
    let lines = [("NO SIGNAL", title), ("", small), (camera, large)].into_iter();
    let lines: Vec<_> = lines.chain(cause.iter().map(|line| (line.as_str(), small))).chain([(since, small)]).collect();
    let total: u32 = lines.iter().map(|(_, writing)| writing.line()).sum();
    let mut y = height.saturating_sub(total) / 2;
    for (line, writing) in lines {
        card.write(line, y, writing);
        y += writing.line();
    }
    // The chroma planes are neutral: the picture is grey.
    card.luma.resize(card.width * card.height * 2, NEUTRAL);
    card.luma
}

/// Wraps words into lines of at most this many columns.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.truncate(MAX_CAUSE_LINES);
    lines
}

/// The style of a line.
#[derive(Clone, Copy)]
struct Writing {
    font: &'static MonoFont<'static>,
    /// The font's enlargement: each of its pixels becomes a square of this side.
    scale: u32,
    grey: u8,
}

impl Writing {
    /// Pixels from one letter to the next.
    fn advance(self) -> u32 {
        self.font.character_size.width * self.scale
    }

    /// Pixels from one line to the next.
    fn line(self) -> u32 {
        self.font.character_size.height * self.scale * 5 / 4
    }
}

struct Card {
    width: usize,
    height: usize,
    luma: Vec<u8>,
}

impl Card {
    /// Writes a centred line; a line that is too long is cut at both ends.
    fn write(&mut self, line: &str, y: u32, writing: Writing) {
        let left = (self.width as i32 - line.chars().count() as i32 * writing.advance() as i32) / 2;
        let style = MonoTextStyle::new(writing.font, Gray8::new(writing.grey));
        let mut scaled = Scaled { card: self, left, top: y as i32, scale: writing.scale as i32 };
        let Ok(_) = Text::with_baseline(line, Point::zero(), style, Baseline::Top).draw(&mut scaled);
    }
}

/// A view of the card that draws each pixel as a square.
struct Scaled<'a> {
    card: &'a mut Card,
    left: i32,
    top: i32,
    scale: i32,
}

impl OriginDimensions for Scaled<'_> {
    fn size(&self) -> Size {
        Size::new(self.card.width as u32, self.card.height as u32)
    }
}

impl DrawTarget for Scaled<'_> {
    type Color = Gray8;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, grey) in pixels {
            let (left, top) = (self.left + at.x * self.scale, self.top + at.y * self.scale);
            for y in top..top + self.scale {
                for x in left..left + self.scale {
                    if (0..self.card.width as i32).contains(&x) && (0..self.card.height as i32).contains(&y) {
                        self.card.luma[y as usize * self.card.width + x as usize] = grey.luma();
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn card_shows_camera_cause_and_time_at_any_size() {
        let card = draw(640, 480, "door", "unplugged", "since noon");
        assert_eq!(card.len(), 640 * 480 * 2);
        for other in
            [["yard", "unplugged", "since noon"], ["door", "hangs", "since noon"], ["door", "unplugged", "since one"]]
        {
            assert!(draw(640, 480, other[0], other[1], other[2]) != card, "{other:?}");
        }
        assert_eq!(draw(16, 16, "door", &"because ".repeat(1_000), &"x".repeat(1_000)).len(), 16 * 16 * 2);
    }
}
