//! The one place that turns bytes into fields, and fields into bytes.

use super::source::{Source, Span, truncated};
use crate::error::{Error, Kind, Result};

/// Receives the bytes of what is written.
pub type Sink<'w> = &'w mut dyn FnMut(&[u8]);

/// Reads fields one after the other, up to an end; little-endian.
pub struct Reader<'s> {
    source: &'s dyn Source,
    offset: usize,
    end: usize,
    window: [u8; 64],
    window_begin: usize,
    window_len: usize,
}

impl<'s> Reader<'s> {
    /// A reader of the bytes `offset..end` of the source.
    pub fn new(source: &'s dyn Source, offset: usize, end: usize) -> Self {
        let end = end.min(source.len());
        Self { source, offset, end, window: [0; 64], window_begin: 0, window_len: 0 }
    }

    /// File offset of the next field.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes up to the end.
    pub fn remaining(&self) -> usize {
        self.end.saturating_sub(self.offset)
    }

    /// Steps over `len` bytes and says where they are.
    pub fn take(&mut self, len: usize) -> Result<Span> {
        if len > self.remaining() {
            return Err(truncated(self.offset, len, self.end));
        }
        let span = Span { offset: self.offset, len };
        self.offset += len;
        Ok(span)
    }

    /// [`take`](Self::take) of `count` items of `size` bytes.
    pub fn take_items(&mut self, count: usize, size: usize) -> Result<Span> {
        let offset = self.offset;
        let len = count.checked_mul(size).ok_or_else(|| truncated(offset, usize::MAX, self.end))?;
        self.take(len)
    }

    /// Reads the next field.
    pub fn field<F: Field>(&mut self) -> Result<F> {
        F::read(self)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let span = self.take(N)?;
        let mut array = [0; N];
        if let Some(bytes) = self.source.bytes() {
            array.copy_from_slice(span.of(bytes)?);
            return Ok(array);
        }
        let held = self.window_begin..self.window_begin + self.window_len;
        if !(held.contains(&span.offset) && span.offset + N <= held.end) {
            self.window_begin = span.offset;
            self.window_len = (self.end - span.offset).min(self.window.len());
            let window = self.window.get_mut(..self.window_len).unwrap_or_default();
            self.source.read(span.offset, window)?;
        }
        let in_window = Span { offset: span.offset - self.window_begin, len: N };
        array.copy_from_slice(in_window.of(&self.window)?);
        Ok(array)
    }
}

/// A value with a fixed place in the file.
pub trait Field: Sized {
    /// Reads the value and checks what can be checked of it alone.
    fn read(reader: &mut Reader<'_>) -> Result<Self>;

    /// Writes the bytes that [`read`](Self::read) reads.
    fn write(&self, sink: Sink<'_>);
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                reader.array().map(Self::from_le_bytes)
            }

            fn write(&self, sink: Sink<'_>) {
                sink(&self.to_le_bytes());
            }
        }
    )*};
}

numbers! { u8 u32 i32 u64 f32 }

impl<F: Field + Copy + Default, const N: usize> Field for [F; N] {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut array = [F::default(); N];
        for item in &mut array {
            *item = F::read(reader)?;
        }
        Ok(array)
    }

    fn write(&self, sink: Sink<'_>) {
        for item in self {
            item.write(sink);
        }
    }
}

/// Defines a struct whose fields stand in file order, with its [`Field`] implementation.
macro_rules! body {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Field for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                Ok(Self { $($field: reader.field()?,)* })
            }

            fn write(&self, sink: Sink<'_>) {
                $(self.$field.write(sink);)*
            }
        }
    };
}

/// Defines an enum that is stored as a u32, with its [`Field`] implementation.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$item_doc:meta])* $item:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name { $($(#[$item_doc])* $item = $value,)* }

        impl Field for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let offset = reader.offset();
                match reader.field::<u32>()? {
                    $($value => Ok($name::$item),)*
                    other => Err(Error::about(Kind::Field, $what, [u64::from(other), 0]).at(offset as u64)),
                }
            }

            fn write(&self, sink: Sink<'_>) {
                (*self as u32).write(sink);
            }
        }
    };
}

pub(super) use {body, choice};

/// A count that must lie in `1..=max`.
pub(super) fn count(what: &'static str, value: i64, max: i64) -> Result<usize> {
    if (1..=max).contains(&value) {
        Ok(value as usize)
    } else {
        Err(Error::about(Kind::Field, what, [value as u64, 0]))
    }
}
