// The bytes of packed texts: placeholders, the characters from space to z, and then those that stand
// for two bytes. build.rs includes this file, too.

/// The byte that stands for `{what}`.
pub(super) const WHAT: u8 = 1;
/// The byte that stands for `{0}`.
pub(super) const FIRST: u8 = 2;
/// The byte that stands for `{1}`.
pub(super) const SECOND: u8 = 3;
/// What lies between a character and its byte.
const SHIFT: u8 = b' ' - (SECOND + 1);
/// The first byte that stands for two.
const FIRST_PAIR: u8 = b'z' - SHIFT + 1;
