//! Lists what a camera offers, without streaming, and what the agent would choose.

use std::io;
use std::path::Path;

pub use super::choices::{Rates, Sizes};
pub use super::v4l2::FourCc;
use super::v4l2::{Device, Identity};
use crate::config::{Camera, Size};

/// A capture device and its formats.
#[derive(Debug)]
pub struct Offer {
    /// The camera's name.
    pub card: String,
    /// Where it is plugged in, in the driver's words: `usb-0000:01:00.0-1.2`, `platform:…`.
    pub bus: String,
    /// Whether it belongs to the computer's own camera pipeline, which sends no pictures unless software sets it up.
    pub is_pipeline: bool,
    /// The pixel formats, in the driver's order.
    pub formats: Vec<Format>,
}

/// A pixel format with its sizes.
#[derive(Debug)]
pub struct Format {
    /// The format's name.
    pub fourcc: FourCc,
    /// The format's sizes, each with its rates. A range has the rates of its largest size.
    pub choices: Vec<(Sizes, Rates)>,
}

/// The format, size and rate that the driver will choose.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The format.
    pub fourcc: FourCc,
    /// The offered size nearest to the configured one.
    pub size: Size,
    /// Frames per second: the nearest offered rate, or the configured one if the driver does not list rates.
    pub fps: f64,
}

/// Queries the device at `path`. `None`: not a camera but, for example, a metadata or converter node.
///
/// # Errors
/// When the node cannot be opened or is not a V4L2 device.
pub fn of(path: &Path) -> io::Result<Option<Offer>> {
    let (device, Identity { driver, card, bus, streams, needs_pipeline }) = Device::identify(path)?;
    if !streams {
        return Ok(None);
    }
    // The Pi's image processor does not set the flag for its nodes, which return frames written to another node.
    let is_pipeline = needs_pipeline || driver == "bcm2835-isp";
    let formats = if is_pipeline { Vec::new() } else { formats(&device) };
    Ok(Some(Offer { card, bus, is_pipeline, formats }))
}

fn formats(device: &Device) -> Vec<Format> {
    let with_rates = |fourcc, sizes| {
        let (Sizes::One(largest) | Sizes::Range { most: largest, .. }) = sizes;
        (sizes, device.rates(fourcc, largest))
    };
    let choices = |fourcc| device.sizes(fourcc).into_iter().map(|sizes| with_rates(fourcc, sizes)).collect();
    device.formats().into_iter().map(|fourcc| Format { fourcc, choices: choices(fourcc) }).collect()
}

impl FourCc {
    /// Whether the agent can use it.
    #[must_use]
    pub fn is_usable(self) -> bool {
        FourCc::USABLE.contains(&self)
    }

    /// Whether its pictures are JPEGs, which are passed on as they are.
    #[must_use]
    pub fn is_jpeg(self) -> bool {
        self == FourCc::MJPG || self == FourCc::JPEG
    }
}

impl Offer {
    /// The format that the agent uses.
    #[must_use]
    pub fn used(&self) -> Option<&Format> {
        FourCc::USABLE.iter().find_map(|usable| self.formats.iter().find(|format| format.fourcc == *usable))
    }

    /// The format, size and rate that the driver will choose for a configured camera. `None` if it has no usable format
    /// or does not list its sizes.
    #[must_use]
    pub fn settled(&self, camera: &Camera) -> Option<Settled> {
        let format = self.used()?;
        let wanted = camera.size.unwrap_or_default();
        let near = format.choices.iter().map(|(sizes, rates)| (nearest_size(*sizes, wanted), rates));
        let (size, rates) = near.min_by_key(|(size, _)| difference(*size, wanted))?;
        Some(Settled { fourcc: format.fourcc, size, fps: nearest_rate(rates, camera.fps.get()) })
    }
}

fn nearest_size(sizes: Sizes, wanted: Size) -> Size {
    let nearest = |least: u32, most: u32, step: u32, wanted: u32| {
        let wanted = wanted.clamp(least, most.max(least));
        wanted - (wanted - least) % step.max(1)
    };
    match sizes {
        Sizes::One(size) => size,
        Sizes::Range { least, most, step } => Size {
            width: nearest(least.width, most.width, step.width, wanted.width),
            height: nearest(least.height, most.height, step.height, wanted.height),
        },
    }
}

/// The area that only one of two sizes covers, which is how uvcvideo chooses (`uvc_v4l2_try_format`).
fn difference(one: Size, other: Size) -> u64 {
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let both = area(one.width.min(other.width), one.height.min(other.height));
    area(one.width, one.height) + area(other.width, other.height) - 2 * both
}

/// Chooses by the time between two frames, as uvcvideo does (`uvc_try_frame_interval`).
fn nearest_rate(rates: &Rates, wanted: f64) -> f64 {
    let distance = |rate: f64| (1.0 / rate - 1.0 / wanted).abs();
    match rates {
        Rates::Each(rates) => {
            rates.iter().copied().min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(wanted)
        }
        Rates::Range { least, most } => wanted.max(*least).min(*most),
    }
}
