//! The one place that turns bytes into fields, and fields into bytes.

use super::source::{Source, Span, truncated};
use crate::error::{Error, Kind, Result, What};

/// Receives the bytes of what is written.
pub type Sink<'w> = &'w mut dyn FnMut(&[u8]);

/// Reads fields one after the other, up to an end; little-endian.
///
/// What goes wrong is remembered, the first of it: from then on every field is 0 and nothing
/// remains, until [`done`](Self::done) tells. So a body is read without a branch behind each field.
pub struct Reader<'s> {
    source: &'s dyn Source,
    offset: usize,
    end: usize,
    error: Option<Error>,
    window: [u8; 64],
    window_begin: usize,
    window_len: usize,
}

impl<'s> Reader<'s> {
    /// A reader of the bytes `offset..end` of the source.
    #[inline(never)]
    pub fn new(source: &'s dyn Source, offset: usize, end: usize) -> Self {
        let end = end.min(source.len());
        Self { source, offset, end, error: None, window: [0; 64], window_begin: 0, window_len: 0 }
    }

    /// A reader of a span.
    #[inline(never)]
    pub fn of(source: &'s dyn Source, span: Span) -> Self {
        Self::new(source, span.offset, span.offset.saturating_add(span.len))
    }

    /// File offset of the next field.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes up to the end; none once something went wrong.
    pub fn remaining(&self) -> usize {
        self.end.saturating_sub(self.offset)
    }

    /// The first thing that went wrong, if anything did.
    pub fn done(&self) -> Result<()> {
        self.error.map_or(Ok(()), Err)
    }

    /// Remembers an error, unless there is one already.
    #[inline(never)]
    pub fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
        self.end = self.offset;
    }

    /// The value, or the type's default where there is an error to remember.
    pub fn accept<T: Default>(&mut self, result: Result<T>) -> T {
        result.unwrap_or_else(|error| {
            self.fail(error);
            T::default()
        })
    }

    /// Steps over `len` bytes and says where they are.
    #[inline(never)]
    pub fn take(&mut self, len: usize) -> Span {
        if len > self.remaining() {
            self.fail(truncated(self.offset, len, self.end));
            return Span::default();
        }
        let span = Span { offset: self.offset, len };
        self.offset += len;
        span
    }

    /// [`take`](Self::take) of `count` items of `size` bytes.
    pub fn take_items(&mut self, count: usize, size: usize) -> Span {
        self.take(count.saturating_mul(size))
    }

    /// Reads the next field.
    pub fn field<F: Field>(&mut self) -> F {
        F::read(self)
    }

    /// Reads a field behind which the caller wants to know whether all went well.
    pub fn checked<F: Field>(&mut self) -> Result<F> {
        let field = self.field();
        self.done().map(|()| field)
    }

    /// Reads a number that must be less than `count`.
    #[inline(never)]
    pub(super) fn choice(&mut self, what: What, count: u32) -> u32 {
        let (offset, number) = (self.offset, self.field());
        if number >= count {
            let error = Error::about(Kind::Field, what, [u64::from(number), 0]);
            self.fail(error.at(offset as u64));
            return 0;
        }
        number
    }

    #[inline(never)]
    fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill(&mut word);
        u32::from_le_bytes(word)
    }

    /// Reads a few bytes, at most as many as the window has.
    fn fill(&mut self, out: &mut [u8]) {
        let span = self.take(out.len());
        if span.len == 0 {
            return;
        }
        let held = self.window_begin..self.window_begin + self.window_len;
        if !(held.contains(&span.offset) && span.offset + span.len <= held.end) {
            self.window_begin = span.offset;
            self.window_len = (self.end.saturating_sub(span.offset)).min(self.window.len());
            let window = self.window.get_mut(..self.window_len).unwrap_or_default();
            if let Err(error) = self.source.read(span.offset, window) {
                self.window_len = 0;
                self.fail(error);
            }
        }
        let held = self.window.get(span.offset.saturating_sub(self.window_begin)..);
        for (out, &byte) in out.iter_mut().zip(held.unwrap_or_default()).take(span.len) {
            *out = byte;
        }
    }
}

/// A value with a fixed place in the file.
pub trait Field: Sized {
    /// Reads the value and checks what can be checked of it alone.
    fn read(reader: &mut Reader<'_>) -> Self;

    /// Writes the bytes that [`read`](Self::read) reads.
    fn write(&self, sink: Sink<'_>);
}

macro_rules! numbers {
    ($($type:ty: $reader:ident => $value:expr;)*) => {$(
        impl Field for $type {
            fn read($reader: &mut Reader<'_>) -> Self {
                $value
            }

            fn write(&self, sink: Sink<'_>) {
                sink(&self.to_le_bytes());
            }
        }
    )*};
}

numbers! {
    u8: reader => {
        let mut byte = [0];
        reader.fill(&mut byte);
        byte[0]
    };
    u32: reader => reader.word();
    i32: reader => reader.word() as i32;
    u64: reader => {
        let low = reader.word();
        u64::from(low) | u64::from(reader.word()) << 32
    };
    f32: reader => f32::from_bits(reader.word());
}

impl<F: Field, const N: usize> Field for [F; N] {
    fn read(reader: &mut Reader<'_>) -> Self {
        core::array::from_fn(|_| F::read(reader))
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
            #[inline(never)]
            fn read(reader: &mut Reader<'_>) -> Self {
                Self { $($field: reader.field(),)* }
            }

            fn write(&self, sink: Sink<'_>) {
                $(self.$field.write(sink);)*
            }
        }
    };
}

/// Defines an enum that is stored as a u32, counted from 0, with its [`Field`] implementation.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident, $what:ident { $($(#[$item_doc:meta])* $item:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum $name { $($(#[$item_doc])* $item = $value,)* }

        impl Field for $name {
            #[inline(never)]
            fn read(reader: &mut Reader<'_>) -> Self {
                const ALL: &[$name] = &[$($name::$item,)*];
                let number = reader.choice(crate::error::What::$what, ALL.len() as u32);
                ALL.get(number as usize).copied().unwrap_or(ALL[0])
            }

            fn write(&self, sink: Sink<'_>) {
                (*self as u32).write(sink);
            }
        }
    };
}

pub(super) use {body, choice};

/// A count that must lie in `1..=max`.
#[inline(never)]
pub(super) fn count(what: What, value: i64, max: i64) -> Result<usize> {
    if (1..=max).contains(&value) {
        Ok(value as usize)
    } else {
        Err(Error::about(Kind::Field, what, [value as u64, 0]))
    }
}
