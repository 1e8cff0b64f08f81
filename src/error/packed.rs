//! Reads the texts of the tables as `build/texts.rs` packed them, in the bytes of `alphabet.rs`, so
//! that a chip keeps half of them.

use super::Kind;

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts.bin"));

include!("alphabet.rs");

/// Bytes of all pairs.
const PAIRS: usize = 2 * (256 - FIRST_PAIR as usize);

/// A text of one of the tables.
pub(super) enum Text {
    Kind(Kind),
    Hint(Kind),
    What(u8),
}

impl Text {
    /// Hands the text to `out`, byte by byte.
    pub(super) fn unpack(self, out: &mut dyn FnMut(u8)) {
        let index = match self {
            Self::Kind(kind) => kind as usize,
            Self::Hint(kind) => Kind::ALL.len() + kind as usize,
            Self::What(what) => 2 * Kind::ALL.len() + usize::from(what),
        };
        let mut before = index;
        for &byte in PACKED.iter().skip(PAIRS) {
            match (byte, before) {
                (0, 0) => return,
                (0, _) => before -= 1,
                (_, 0) => expand(byte, out),
                _ => {}
            }
        }
    }
}

/// Hands what a byte stands for to `out`; the bytes of a pair are always lower.
fn expand(mut byte: u8, out: &mut dyn FnMut(u8)) {
    while let Some(pair) = byte.checked_sub(FIRST_PAIR) {
        let [first, second] =
            PACKED.as_chunks().0.get(usize::from(pair)).copied().unwrap_or_default();
        expand(first, out);
        byte = second;
    }
    out(if byte > SECOND { byte + SHIFT } else { byte });
}
