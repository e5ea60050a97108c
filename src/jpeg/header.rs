//! The headers of the frame and of its scan.

use super::Fault;
use super::tables::{Class, Tables};

/// The longest side that libjpeg accepts, below the 65,535 of B.2.2.
const MAX_SIDE: u32 = 65_500;

/// The maximum number of blocks in an MCU of several components (B.2.3).
const MAX_BLOCKS_PER_MCU: usize = 10;

const BAD_LENGTH: Fault = Fault::Damaged("a header of the wrong length");
const BAD_SIZE: Fault = Fault::Damaged("an invalid size");
const BAD_SAMPLING: Fault = Fault::Damaged("invalid sampling factors");
const BAD_COMPONENT_COUNT: Fault = Fault::Damaged("not one or three components of 8 bits");
const WRONG_COMPONENTS: Fault = Fault::Damaged("a scan whose components differ from the frame's");
const BAD_TABLE: Fault = Fault::Damaged("a missing or invalid table");

/// The frame header of sequential coding (B.2.2).
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Identifier, sampling factors and quantisation table of each component.
    components: &'a [[u8; 3]],
}

/// Width and height. Zero is refused: libjpeg does not read a height that is only given after the scan (B.2.5).
pub(super) fn size(body: &[u8]) -> Option<(u32, u32)> {
    let &[_, h1, h0, w1, w0, ..] = body else { return None };
    let size = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
    (size.0 > 0 && size.1 > 0).then_some(size)
}

impl<'a> Frame<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Frame<'a>, Fault> {
        let &[precision, _, _, _, _, count, ref components @ ..] = body else { return Err(BAD_LENGTH) };
        if precision != 8 || !matches!(count, 1 | 3) {
            return Err(BAD_COMPONENT_COUNT);
        }
        let (components, []) = components.as_chunks() else { return Err(BAD_LENGTH) };
        if components.len() != usize::from(count) {
            return Err(BAD_LENGTH);
        }
        let (width, height) = size(body).filter(|size| size.0.max(size.1) <= MAX_SIDE).ok_or(BAD_SIZE)?;
        let frame = Frame { width, height, components };
        if frame.has_valid_sampling() { Ok(frame) } else { Err(BAD_SAMPLING) }
    }

    /// Horizontal and vertical sampling factors of each component.
    fn factors(&self) -> impl Iterator<Item = (usize, usize)> {
        self.components.iter().map(|[_, factors, _]| ((factors >> 4).into(), (factors & 15).into()))
    }

    fn max_factors(&self) -> (usize, usize) {
        self.factors().fold((1, 1), |max, (h, v)| (max.0.max(h), max.1.max(v)))
    }

    fn has_valid_sampling(&self) -> bool {
        let max = self.max_factors();
        // libjpeg scales a component only by whole numbers.
        let is_whole = |(h, v)| matches!((h, v), (1..=4, 1..=4)) && max.0.is_multiple_of(h) && max.1.is_multiple_of(v);
        self.factors().all(is_whole) && self.blocks_per_mcu() <= MAX_BLOCKS_PER_MCU
    }

    /// Blocks per MCU. A single component always has one, whatever its factors (A.2.2).
    fn blocks_per_mcu(&self) -> usize {
        if self.components.len() == 1 { 1 } else { self.factors().map(|(h, v)| h * v).sum() }
    }

    /// Width and height of an MCU, in pixels.
    pub(super) fn mcu_size(&self) -> (u32, u32) {
        let (h, v) = if self.components.len() == 1 { (1, 1) } else { self.max_factors() };
        (8 * h as u32, 8 * v as u32)
    }

    /// Blocks in the picture (A.2).
    pub(super) fn blocks(&self) -> usize {
        let (width, height) = self.mcu_size();
        self.width.div_ceil(width) as usize * self.height.div_ceil(height) as usize * self.blocks_per_mcu()
    }

    /// Checks that a scan (B.2.3) has all components in the frame's order, with defined tables. Ignores the coefficient
    /// range: sequential decoders do not need it, and some cameras write nonsense. Returns whether all Huffman tables
    /// were defined; the first two of each class may be missing, because standard tables replace them.
    pub(super) fn check_scan(&self, header: &[u8], tables: &Tables) -> Result<bool, Fault> {
        let Some((&count, parts)) = header.split_first() else { return Err(BAD_LENGTH) };
        let Some((parts, _coefficients)) = parts.split_last_chunk::<3>() else { return Err(BAD_LENGTH) };
        let (parts, []) = parts.as_chunks() else { return Err(BAD_LENGTH) };
        if parts.len() != usize::from(count) {
            return Err(BAD_LENGTH);
        }
        let ids = self.components.iter().map(|[id, ..]| id);
        if !ids.eq(parts.iter().map(|[id, _]| id)) {
            return Err(WRONG_COMPONENTS);
        }
        let has_quantisation_tables = self.components.iter().all(|[.., id]| tables.has_quantisation(*id));
        let codes = || parts.iter().flat_map(|[_, ids]| [(Class::Dc, ids >> 4), (Class::Ac, ids & 15)]);
        let decodable = codes().all(|(class, id)| tables.huffman(class, id).unwrap_or(id < 2));
        if !(has_quantisation_tables && decodable) {
            return Err(BAD_TABLE);
        }
        Ok(codes().all(|(class, id)| tables.huffman(class, id).is_some()))
    }
}
