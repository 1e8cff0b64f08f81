//! Packs the texts of errors to half their size: many bytes stand for two others. The reader is
//! `src/error/packed.rs`.

use std::collections::BTreeMap;

macro_rules! kinds {
    ($($kind:ident, $code:ident, $text:literal, $hint:literal;)*) => {
        const TEXTS: &[&str] = &[$($text,)*];
        const HINTS: &[&str] = &[$($hint,)*];
    };
}

macro_rules! whats {
    ($($name:ident $text:literal)*) => {
        const WHATS: &[&str] = &[$($text,)*];
    };
}

include!("../src/error/kinds.rs");
include!("../src/error/whats.rs");
include!("../src/error/alphabet.rs");

/// The pairs, filled up to all that bytes can name, and behind them the texts: of kinds, their
/// hints, and of parts, each ended by a zero byte.
pub fn packed() -> Vec<u8> {
    let mut texts: Vec<Vec<u8>> =
        [TEXTS, HINTS, WHATS].into_iter().flatten().map(|text| bytes(text)).collect();
    let mut pairs = Vec::new();
    for byte in FIRST_PAIR..=u8::MAX {
        let pair = most_common(&texts);
        pairs.extend(pair);
        texts.iter_mut().for_each(|text| *text = replaced(text, pair, byte));
    }
    let ended = texts.into_iter().flat_map(|text| text.into_iter().chain([0]));
    pairs.into_iter().chain(ended).collect()
}

/// A text's bytes, each placeholder one of them.
fn bytes(text: &str) -> Vec<u8> {
    let text = [("{what}", WHAT), ("{0}", FIRST), ("{1}", SECOND)]
        .into_iter()
        .fold(text.to_string(), |text, (part, byte)| {
            text.replace(part, &char::from(byte).to_string())
        });
    let shifted = |byte| match byte {
        ..=SECOND => byte,
        b' '..=b'z' => byte - SHIFT,
        _ => panic!("only the characters from space to z are packed: {text}"),
    };
    text.bytes().map(shifted).collect()
}

fn most_common(texts: &[Vec<u8>]) -> [u8; 2] {
    let mut counts = BTreeMap::new();
    for pair in texts.iter().flat_map(|text| text.windows(2)) {
        *counts.entry([pair[0], pair[1]]).or_insert(0) += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map_or([b' ' - SHIFT; 2], |(pair, _)| pair)
}

fn replaced(text: &[u8], pair: [u8; 2], byte: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let matches = rest.starts_with(&pair);
        out.push(if matches { byte } else { first });
        rest = if matches { &rest[2..] } else { behind };
    }
    out
}
