//! A CURVE key, as bytes and as text.

use std::fmt;

/// A public or secret CURVE key (ZeroMQ RFC 26). Its text form has 40 characters of Z85 (RFC 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

/// Z85's digits from 0 to 84.
const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

impl Key {
    /// Parses 40 characters of Z85.
    #[must_use]
    pub fn from_z85(text: &str) -> Option<Key> {
        let mut key = [0; 32];
        if text.len() != 40 {
            return None;
        }
        for (bytes, digits) in key.chunks_exact_mut(4).zip(text.as_bytes().chunks_exact(5)) {
            let number = digits.iter().try_fold(0_u32, |number, character| {
                let digit = DIGITS.iter().position(|digit| digit == character)?;
                number.checked_mul(85)?.checked_add(digit as u32)
            })?;
            bytes.copy_from_slice(&number.to_be_bytes());
        }
        Some(Key(key))
    }
}

impl fmt::Display for Key {
    /// `{:.8}` prints the start, which is enough to tell keys apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(40);
        for bytes in self.0.chunks_exact(4) {
            let number = bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
            let powers = [85 * 85 * 85 * 85, 85 * 85 * 85, 85 * 85, 85, 1];
            text.extend(powers.map(|power| DIGITS[(number / power % 85) as usize] as char));
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_text_matches_libzmq_and_reads_back() {
        for seed in 0..=255 {
            let key = Key(std::array::from_fn(|index| (index as u8).wrapping_mul(37).wrapping_add(seed)));
            assert_eq!(zmq::z85_encode(&key.0).expect("32 bytes"), key.to_string());
            assert_eq!(Key::from_z85(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn invalid_text_is_not_a_key() {
        let good = Key([255; 32]).to_string();
        let too_large = "#".repeat(40);
        for text in ["", &good[1..], &format!("{good}0"), &good.replace('0', "\""), &too_large, &"é".repeat(20)] {
            assert_eq!(Key::from_z85(text), None, "{text}");
        }
    }
}
