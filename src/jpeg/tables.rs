//! Quantisation and Huffman tables: whether they can be, and which there are.

use super::Fault;

const BAD_QUANTISATION_TABLE: Fault = Fault::Damaged("an invalid quantisation table");
const BAD_HUFFMAN_TABLE: Fault = Fault::Damaged("an invalid Huffman table");

/// What a Huffman table codes (B.2.4.2).
#[derive(Clone, Copy)]
pub(super) enum Class {
    Dc,
    Ac,
}

/// Which tables were defined, of the four of each kind; of Huffman tables also whether they can be, which matters only
/// where one is used.
#[derive(Default)]
pub(super) struct Tables {
    quantisation: [bool; 4],
    huffman: [[Option<bool>; 4]; 2],
}

impl Tables {
    /// A segment DQT (B.2.4.1).
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

    /// A segment DHT (B.2.4.2).
    pub(super) fn define_huffman(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut rest = body;
        while let Some((&class_and_id, lengths)) = rest.split_first() {
            let (lengths, symbols) = lengths.split_first_chunk().ok_or(BAD_HUFFMAN_TABLE)?;
            let count = lengths.iter().map(|codes| usize::from(*codes)).sum();
            let (symbols, next) = symbols.split_at_checked(count).filter(|_| count <= 256).ok_or(BAD_HUFFMAN_TABLE)?;
            let (class, is_valid) = match class_and_id >> 4 {
                // Of a difference of DC coefficients libjpeg reads at most so many bits.
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

    /// Whether it can be; `None` if it was not defined.
    pub(super) fn huffman(&self, class: Class, id: u8) -> Option<bool> {
        self.huffman[class as usize].get(usize::from(id)).copied().flatten()
    }
}

/// Whether there is a code of so many words of 1 to 16 bits (C.2): they are given out in order, and none is all ones.
fn is_code(lengths: &[u8; 16]) -> bool {
    let mut next = 0;
    lengths.iter().enumerate().all(|(place, codes)| {
        next = next * 2 + u32::from(*codes);
        next < 2 << place
    })
}
