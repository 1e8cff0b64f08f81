//! Every error of the library: what went wrong, where, and what to do.
//!
//! An [`Error`] is 16 bytes of numbers, so that it costs a chip nothing and is handed on in two
//! registers; the text is put together from two tables, of [kinds](Kind) and of [parts](What), by
//! whoever has room for it.

mod kind;
mod packed;
mod what;

use core::{
    fmt::{self, Write},
    num::NonZeroU64,
};
pub use kind::{Code, Kind};
use packed::Text;
pub use what::What;

/// A result whose error is ours.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What went wrong, where, and the numbers that the text needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    /// From the lowest bit: 8 of the kind plus one, 8 of the part, 16 of the node plus one and 32 of
    /// the offset plus one, 0 where they are not known.
    place: NonZeroU64,
    /// The numbers of the text, 32 bits each.
    values: u64,
}

const NODE: u32 = 16;
const OFFSET: u32 = 32;
const NODES: u64 = u16::MAX as u64;

impl Error {
    /// An error with no numbers.
    pub const fn new(kind: Kind) -> Self {
        Self::of(kind, What::Nothing)
    }

    /// An error about `what`, with no numbers.
    pub const fn of(kind: Kind, what: What) -> Self {
        Self::placed((kind as u64 + 1) | (what as u64) << 8, 0)
    }

    /// An error of these bits; the kind's are never all 0.
    const fn placed(place: u64, values: u64) -> Self {
        let place = match NonZeroU64::new(place) {
            Some(place) => place,
            None => NonZeroU64::MIN,
        };
        Self { place, values }
    }

    /// An error about `what`, with the numbers of its text; of one that 32 bits cannot hold, the
    /// largest that they can.
    #[cold]
    #[inline(never)]
    pub const fn about(kind: Kind, what: What, values: [u64; 2]) -> Self {
        let [first, second] = values;
        // A negative number keeps its lower half.
        let is_i32 = first as i64 == first as i32 as i64;
        let first = if is_i32 { first as u32 as u64 } else { saturated(first) };
        Self { values: first | saturated(second) << 32, ..Self::of(kind, what) }
    }

    /// The same error, at a byte offset of the file; an offset already known stays.
    #[cold]
    #[inline(never)]
    pub const fn at(self, offset: u64) -> Self {
        match self.offset() {
            None => self.with(saturated(offset.saturating_add(1)) << OFFSET),
            Some(_) => self,
        }
    }

    /// The same error, at a node; a node already known stays.
    #[cold]
    #[inline(never)]
    pub const fn at_node(self, node: u32) -> Self {
        match self.node() {
            None => self.with(((node as u64 + 1) & NODES) << NODE),
            Some(_) => self,
        }
    }

    /// The same error with more bits of the place.
    const fn with(self, bits: u64) -> Self {
        Self::placed(self.place.get() | bits, self.values)
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        Kind::ALL.get(usize::from(self.place.get() as u8) - 1).copied().unwrap_or(Kind::Empty)
    }

    /// The part of the model or of the call that is meant; may be empty.
    pub fn what(&self) -> &'static str {
        What::TEXTS.get(usize::from(self.part())).copied().unwrap_or_default()
    }

    const fn part(&self) -> u8 {
        (self.place.get() >> 8) as u8
    }

    /// The numbers of the text, in its order.
    pub fn values(&self) -> [u64; 2] {
        [u64::from(self.values as u32), self.values >> 32]
    }

    /// Index of the node (kmodel v3: layer) at fault.
    pub const fn node(&self) -> Option<u32> {
        match self.place.get() >> NODE & NODES {
            0 => None,
            next => Some(next as u32 - 1),
        }
    }

    /// Byte offset in the model file.
    pub const fn offset(&self) -> Option<u64> {
        (self.place.get() >> OFFSET).checked_sub(1)
    }

    /// MaixPy's number.
    pub fn code(&self) -> Code {
        self.kind().code()
    }

    /// What the user can do; may be empty.
    pub fn hint(&self) -> &'static str {
        self.kind().hint()
    }

    /// Hands the text to `out`, byte by byte of ASCII: the node, the text of the table, the offset.
    #[inline(never)]
    pub fn write(&self, out: &mut dyn FnMut(u8)) {
        if let Some(node) = self.node() {
            write_text("node ", out);
            write_decimal(u64::from(node), out);
            write_text(": ", out);
        }
        let [first, second] = self.values();
        Text::Kind(self.kind()).unpack(&mut |byte| match byte {
            packed::WHAT => Text::What(self.part()).unpack(out),
            packed::FIRST => self.write_number(first, out),
            packed::SECOND => self.write_number(second, out),
            _ => out(byte),
        });
        if let Some(offset) = self.offset() {
            write_text(" (at byte ", out);
            write_decimal(offset, out);
            out(b')');
        }
    }

    /// Hands what the user can do to `out`, as [`write`](Self::write) does; may be nothing.
    pub fn write_hint(&self, out: &mut dyn FnMut(u8)) {
        Text::Hint(self.kind()).unpack(out);
    }

    fn write_number(&self, number: u64, out: &mut dyn FnMut(u8)) {
        match self.kind() {
            Kind::ImageSize => write_image_size(number, out),
            Kind::UnknownOperator | Kind::NotAModel | Kind::Scrambled => {
                write_text("0x", out);
                write_digits(number, 16, out);
            }
            Kind::Field | Kind::Parameter if (number as i32) < 0 => {
                out(b'-');
                write_decimal((number as i32).unsigned_abs().into(), out);
            }
            _ => write_decimal(number, out),
        }
    }
}

/// Packs an image size into one number of an [`Error`], for [`Kind::ImageSize`]; an image has few
/// channels.
pub const fn image_size(width: usize, height: usize, channels: usize) -> u64 {
    (field(width, 14) << 18 | field(height, 14) << 4 | field(channels, 4)) as u64
}

/// The number, or the largest that so many bits can hold.
const fn field(number: usize, bits: u32) -> usize {
    let largest = (1 << bits) - 1;
    if number < largest { number } else { largest }
}

const fn saturated(value: u64) -> u64 {
    if value < u32::MAX as u64 { value } else { u32::MAX as u64 }
}

fn write_image_size(packed: u64, out: &mut dyn FnMut(u8)) {
    write_decimal(packed >> 18, out);
    out(b'x');
    write_decimal(packed >> 4 & 0x3FFF, out);
    out(b'x');
    write_decimal(packed & 0xF, out);
}

/// Hands a text to `out`, byte by byte.
#[inline(never)]
fn write_text(text: &str, out: &mut dyn FnMut(u8)) {
    text.bytes().for_each(out);
}

/// Hands a number to `out`, digit by digit.
pub(crate) fn write_decimal(value: u64, out: &mut dyn FnMut(u8)) {
    write_digits(value, 10, out);
}

fn write_digits(value: u64, base: u64, out: &mut dyn FnMut(u8)) {
    if value >= base {
        write_digits(value / base, base, out);
    }
    let digit = (value % base) as u8;
    out(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.write(&mut |byte| result = result.and_then(|()| f.write_char(byte.into())));
        result
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_holds_what_where_and_numbers() {
        let error = Error::about(Kind::OutOfFile, What::Weights, [500, 400]).at_node(19).at(64);
        assert_eq!(
            error.to_string(),
            "node 19: the weights ends at byte 500, the file has 400 (at byte 64)"
        );
        assert_eq!(error.code() as u16, 2003);
        let error = Error::about(
            Kind::ImageSize,
            What::Nothing,
            [image_size(320, 240, 3), image_size(224, 224, 3)],
        );
        assert_eq!(
            error.to_string(),
            "the model wants an image of 224x224x3, the image is 320x240x3"
        );
        let error = Error::about(Kind::UnknownOperator, What::Nothing, [0x2003, 0]);
        assert_eq!(error.to_string(), "operator 0x2003 is not known");
    }

    #[test]
    fn texts_are_read_as_they_were_packed() {
        let read = |text: Text| {
            let mut out = String::new();
            text.unpack(&mut |byte| match byte {
                packed::WHAT => out += "{what}",
                packed::FIRST => out += "{0}",
                packed::SECOND => out += "{1}",
                _ => out.push(byte.into()),
            });
            out
        };
        for &kind in Kind::ALL {
            assert_eq!(read(Text::Kind(kind)), kind.text());
            assert_eq!(read(Text::Hint(kind)), kind.hint());
        }
        for (part, text) in What::TEXTS.iter().enumerate() {
            assert_eq!(read(Text::What(part as u8)), *text);
        }
    }

    #[test]
    fn every_placeholder_is_known() {
        for kind in Kind::ALL {
            for part in kind.text().split('{').skip(1) {
                let name = part.split_once('}').expect("closed").0;
                assert!(["what", "0", "1"].contains(&name), "{kind:?} has {{{name}}}");
            }
        }
    }
}
