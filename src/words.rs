//! Tables of words.

/// The word with this index, of words that end with a zero byte each: a table without pointers.
pub fn word(words: &'static str, index: usize) -> &'static str {
    let (mut begin, mut left) = (0, index);
    for (at, byte) in words.bytes().enumerate() {
        match (byte, left) {
            (0, 0) => return words.get(begin..at).unwrap_or_default(),
            (0, _) => (begin, left) = (at + 1, left - 1),
            _ => {}
        }
    }
    ""
}
