//! Tables of words.

/// The word with this index, of words that end with a zero byte each: a table without pointers.
pub fn word(words: &'static str, index: usize) -> &'static str {
    let mut ends = words.bytes().enumerate().filter(|&(_, byte)| byte == 0).map(|(end, _)| end);
    let begin = index.checked_sub(1).map_or(Some(0), |before| ends.nth(before).map(|end| end + 1));
    let span = begin.zip(ends.next()).and_then(|(begin, end)| words.get(begin..end));
    span.unwrap_or_default()
}
