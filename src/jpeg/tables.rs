//! The quantisation and Huffman tables that a JPEG defines, and whether they are valid.

use super::Fault;

const BAD_QUANTISATION_TABLE: Fault = Fault::Damaged("an invalid quantisation table");
const BAD_HUFFMAN_TABLE: Fault = Fault::Damaged("an invalid Huffman table");

/// The kind of coefficients that a Huffman table codes (B.2.4.2).
#[derive(Clone, Copy)]
pub(super) enum Class {
    Dc,
    Ac,
}

/// The defined tables, of the four of each kind. Also records whether a Huffman table is valid, which only matters if a
/// scan uses it.
#[derive(Default)]
pub(super) struct Tables {
    quantisation: [bool; 4],
    huffman: [[Option<bool>; 4]; 2],
}

impl Tables {
    /// Reads a DQT segment (B.2.4.1).
    pub(super) fn define_quantisation(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut rest = body;
        while let Some((&precision_and_id, values)) = rest.split_first() {
            let bytes = if precision_and_id >> 4 == 0 { 64 } else { 128 };
            rest = values.get(bytes..).ok_or(BAD_QUANTISATION_TABLE)?;
            let id = usize::from(precision_and_id & 15);
            *self.quantisation.get_mut(id).ok_or(BAD_QUANTISATION_TABLE)? = true;
        }
        Ok(())
    }

    /// Reads a DHT segment (B.2.4.2).
    pub(super) fn define_huffman(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut rest = body;
        while let Some((&class_and_id, lengths)) = rest.split_first() {
            let (lengths, symbols) = lengths.split_first_chunk().ok_or(BAD_HUFFMAN_TABLE)?;
            let count = lengths.iter().map(|codes| usize::from(*codes)).sum();
            let (symbols, next) = symbols.split_at_checked(count).filter(|_| count <= 256).ok_or(BAD_HUFFMAN_TABLE)?;
            let (class, is_valid) = match class_and_id >> 4 {
                // libjpeg reads at most this many bits of a difference of DC coefficients.
                0 => (Class::Dc, symbols.iter().all(|symbol| *symbol <= 15)),
                1 => (Class::Ac, true),
                _ => return Err(BAD_HUFFMAN_TABLE),
            };
            let id = usize::from(class_and_id & 15);
            *self.huffman[class as usize].get_mut(id).ok_or(BAD_HUFFMAN_TABLE)? = Some(is_valid && is_code(lengths));
            rest = next;
        }
        Ok(())
    }

    pub(super) fn has_quantisation(&self, id: u8) -> bool {
        self.quantisation.get(usize::from(id)) == Some(&true)
    }

    /// Whether the table is valid; `None` if it was not defined.
    pub(super) fn huffman(&self, class: Class, id: u8) -> Option<bool> {
        self.huffman[class as usize].get(usize::from(id)).copied().flatten()
    }
}

/// Whether a prefix code with this many codes of 1 to 16 bits exists (C.2). Codes are assigned in order; none is all
/// ones.
fn is_code(lengths: &[u8; 16]) -> bool {
    let mut next = 0;
    lengths.iter().enumerate().all(|(index, codes)| {
        next = next * 2 + u32::from(*codes);
        next < 2 << index
    })
}
