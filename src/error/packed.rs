//! Reads the texts of the tables as `build/texts.rs` packed them: a byte from 128 on stands for two
//! others, so that a chip keeps half of the bytes.

use super::Kind;

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts.bin"));

/// The bytes that stand for `{what}`, `{0}` and `{1}`.
pub(super) const WHAT: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const SECOND: u8 = 3;

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
        let texts = PACKED.get(256..).unwrap_or_default();
        for &byte in texts.split(|&byte| byte == 0).nth(index).unwrap_or_default() {
            expand(byte, out);
        }
    }
}

/// What a byte stands for; the bytes of a pair are always lower.
fn expand(byte: u8, out: &mut dyn FnMut(u8)) {
    let pair = byte.checked_sub(128).map(|pair| usize::from(pair) * 2);
    match pair.and_then(|pair| PACKED.get(pair..pair + 2)) {
        Some(&[first, second]) => {
            expand(first, out);
            expand(second, out);
        }
        _ => out(byte),
    }
}
