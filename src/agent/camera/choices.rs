//! The sizes and rates that a device lists (V4L2, `VIDIOC_ENUM_FRAMESIZES` and `VIDIOC_ENUM_FRAMEINTERVALS`).

use std::os::fd::AsRawFd as _;

use super::v4l2::{Device, FourCc};
// The names are those of the C header, which has no namespaces.
#[allow(clippy::wildcard_imports)]
use super::videodev2::*;
use crate::config::Size;

/// Sizes on offer: a single one, or a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// A single size.
    One(Size),
    /// All sizes from `least` to `most`, in steps of `step`. Drivers that do not name a step use one pixel.
    Range {
        /// The smallest.
        least: Size,
        /// The largest.
        most: Size,
        /// The difference between two neighbouring sizes.
        step: Size,
    },
}

/// Frame rates on offer, in frames per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// These rates; empty when the driver does not list any.
    Each(Vec<f64>),
    /// All rates from `least` to `most`.
    Range {
        /// The slowest.
        least: f64,
        /// The fastest.
        most: f64,
    },
}

impl Device {
    /// The sizes of a format, in the driver's order.
    pub(super) fn sizes(&self, fourcc: FourCc) -> Vec<Sizes> {
        let pixel_format = u32::from_le_bytes(fourcc.0);
        let mut sizes = Vec::new();
        for index in 0.. {
            let mut size = FrmSizeEnum { index, pixel_format, ..zeroed() };
            // SAFETY: the struct is the one of ENUM_FRAMESIZES and outlives the call.
            if unsafe { enum_framesizes(self.0.as_raw_fd(), &raw mut size) }.is_err() {
                break;
            }
            if size.type_ != FRMSIZE_TYPE_DISCRETE {
                // SAFETY: for the other types the driver fills `stepwise`, and any bytes are valid integers.
                let of = unsafe { size.size.stepwise };
                sizes.push(Sizes::Range {
                    least: Size { width: of.min_width, height: of.min_height },
                    most: Size { width: of.max_width, height: of.max_height },
                    step: Size { width: of.step_width, height: of.step_height },
                });
                // The driver lists at most one range.
                break;
            }
            // SAFETY: for the discrete type the driver fills `discrete`, and any bytes are valid integers.
            let FrmSizeDiscrete { width, height } = unsafe { size.size.discrete };
            sizes.push(Sizes::One(Size { width, height }));
        }
        sizes
    }

    /// The rates of a format at a size, in the driver's order.
    pub(super) fn rates(&self, fourcc: FourCc, Size { width, height }: Size) -> Rates {
        let pixel_format = u32::from_le_bytes(fourcc.0);
        let mut rates = Vec::new();
        for index in 0.. {
            let mut interval = FrmIvalEnum { index, pixel_format, width, height, ..zeroed() };
            // SAFETY: the struct is the one of ENUM_FRAMEINTERVALS and outlives the call.
            if unsafe { enum_frameintervals(self.0.as_raw_fd(), &raw mut interval) }.is_err() {
                break;
            }
            if interval.type_ != FRMIVAL_TYPE_DISCRETE {
                // SAFETY: for the other types the driver fills `stepwise`, and any bytes are valid integers.
                let FrmIvalStepwise { min, max, .. } = unsafe { interval.interval.stepwise };
                return Rates::Range { least: rate(max), most: rate(min) };
            }
            // SAFETY: for the discrete type the driver fills `discrete`, and any bytes are valid integers.
            rates.push(rate(unsafe { interval.interval.discrete }));
        }
        Rates::Each(rates)
    }
}

/// Frames per second at an interval in seconds; infinite for an interval of zero.
fn rate(interval: Fraction) -> f64 {
    f64::from(interval.denominator) / f64::from(interval.numerator)
}
