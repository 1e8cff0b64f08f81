//! The one place that turns bytes into fields, and fields into bytes.

use super::{
    range::Range,
    source::{Source, Span, truncated},
};
use crate::error::{Error, Kind, Result, What};
use bytemuck::Pod;

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
        let mut field = F::zeroed();
        self.parts(F::PARTS, bytemuck::must_cast_slice_mut(core::slice::from_mut(&mut field)));
        field
    }

    /// Reads a field behind which the caller wants to know whether all went well.
    pub fn checked<F: Field>(&mut self) -> Result<F> {
        let field = self.field();
        self.done().map(|()| field)
    }

    /// Reads the words of these parts and checks what can be checked of each alone.
    #[inline(never)]
    pub(super) fn parts(&mut self, parts: &[Part], mut words: &mut [u32]) {
        for &part in parts {
            let Some((own, rest)) = words.split_at_mut_checked(part.words()) else { return };
            let offset = self.offset;
            if part == Part::RANGE {
                self.parts(Range::PARTS, own);
            } else {
                own.iter_mut().for_each(|word| *word = self.word());
            }
            if let Err(error) = part.check(own) {
                self.fail(error.at(offset as u64));
            }
            words = rest;
        }
    }

    fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill(&mut word);
        u32::from_le_bytes(word)
    }

    /// Fills `out`, a few bytes: at most as many as the window has.
    #[inline(never)]
    pub(super) fn fill(&mut self, out: &mut [u8]) {
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

/// A value with a fixed place in the file: 32-bit words that stand there as they do in memory.
pub trait Field: Pod {
    /// What its words are, in file order.
    const PARTS: &'static [Part];
    /// What it is as a part of another field.
    const PART: Part = Part::plain(Self::PARTS);
    /// All zeros.
    const ZERO: &'static Self;

    /// Hands the bytes that are read to `sink`.
    fn write(&self, sink: Sink<'_>) {
        sink(bytemuck::bytes_of(self));
    }
}

#[cfg(target_endian = "big")]
compile_error!("fields stand in memory as in the file, little-endian");

macro_rules! numbers {
    ($($type:ty: $words:literal, $zero:literal;)*) => {$(
        impl Field for $type {
            const PARTS: &'static [Part] = &[Part($words)];
            const ZERO: &'static Self = &$zero;
        }

        impl<const N: usize> Field for [$type; N] {
            const PARTS: &'static [Part] = &[Part((N * size_of::<$type>() / 4) as u8)];
            const ZERO: &'static Self = &[$zero; N];
        }
    )*};
}

numbers! {
    u32: 1, 0;
    i32: 1, 0;
    f32: 1, 0.0;
    u64: 2, 0;
}

impl Field for [u8; 4] {
    const PARTS: &'static [Part] = &[Part(1)];
    const ZERO: &'static Self = &[0; 4];
}

/// Some words of a field: fewer than 48 that may be any numbers, or some of which more is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Part(u8);

impl Part {
    /// A [`Range`].
    pub(super) const RANGE: Self = Self(48);
    /// Four sizes of at least 1.
    pub(super) const SHAPE: Self = Self(49);
    /// The first of the choices.
    const CHOICE: u8 = 50;

    /// The part of a number that must be less than a count.
    pub(super) const fn choice(row: Choices) -> Self {
        Self(Self::CHOICE + row as u8)
    }

    /// Number of words.
    const fn words(self) -> usize {
        match self {
            Self::RANGE | Self::SHAPE => 4,
            Self(Self::CHOICE..) => 1,
            Self(words) => words as usize,
        }
    }

    /// All these parts, which may be any numbers, as one.
    pub(super) const fn plain(parts: &[Self]) -> Self {
        let (mut index, mut words) = (0, 0);
        while index < parts.len() {
            assert!(parts[index].0 < Self::RANGE.0, "more is known of these words");
            words += parts[index].0;
            index += 1;
        }
        Self(words)
    }

    /// A row of a table: the parts behind `before` words, those of any numbers taken together.
    pub(super) const fn row(before: u8, parts: &[Self]) -> [Self; PARTS] {
        let mut row = [Self(0); PARTS];
        row[0] = Self(before);
        let (mut index, mut at) = (0, 0);
        while index < parts.len() {
            let part = parts[index];
            if part.0 < Self::RANGE.0 && row[at].0 < Self::RANGE.0 {
                row[at].0 += part.0;
            } else {
                at += (row[at].0 > 0) as usize;
                row[at] = part;
            }
            index += 1;
        }
        row
    }

    fn check(self, words: &[u32]) -> Result<()> {
        match self {
            Self::SHAPE => super::v4::range::check(words),
            _ => {
                let choice = CHOICES.get(usize::from(self.0).wrapping_sub(Self::CHOICE.into()));
                match (choice, words) {
                    (Some(&(what, count)), &[number]) if number >= u32::from(count) => {
                        Err(Error::about(Kind::Field, what, [number.into(), 0]))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Most parts of a body, if those of any numbers are taken together.
pub(super) const PARTS: usize = 8;

/// Defines a struct whose fields stand in file order, with its [`Field`] implementation.
macro_rules! body {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl crate::model::reader::Field for $name {
            const PARTS: &'static [crate::model::reader::Part] =
                &[$(<$type as crate::model::reader::Field>::PART,)*];
            const ZERO: &'static Self =
                &Self { $($field: *<$type as crate::model::reader::Field>::ZERO,)* };
        }
    };
}

/// Numbers that stand for one of a few things: what errors call it, and of how many.
macro_rules! choices {
    ($($choice:ident $what:ident $count:literal)*) => {
        #[derive(Clone, Copy)]
        pub(super) enum Choices { $($choice,)* }

        const CHOICES: &[(What, u8)] = &[$((What::$what, $count),)*];
    };
}

choices! {
    Memory Memory 3
    Dtype ElementType 2
    BinaryOp BinaryOperator 6
    UnaryOp UnaryOperator 10
    ReduceOp ReduceOperator 4
    ResizeMode ResizeMode 2
    Activation Activation 3
}

/// Defines how an enum stands in the file: as a number that counts its items, checked when it is
/// read.
macro_rules! choice {
    ($name:ident as $code:ident { $first:ident $(, $item:ident = $number:literal)* }) => {
        #[doc = concat!("A [`", stringify!($name), "`] as it stands in the file.")]
        #[derive(Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(transparent)]
        pub struct $code(u32);

        impl $code {
            /// The choice.
            pub fn get(self) -> $name {
                match self.0 {
                    $($number => $name::$item,)*
                    _ => $name::$first,
                }
            }
        }

        impl From<$name> for $code {
            fn from(choice: $name) -> Self {
                Self(choice as u32)
            }
        }

        impl core::fmt::Debug for $code {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.get().fmt(f)
            }
        }

        impl crate::model::reader::Field for $code {
            const PARTS: &'static [crate::model::reader::Part] = &[crate::model::reader::Part::choice(
                crate::model::reader::Choices::$name,
            )];
            const PART: crate::model::reader::Part =
                crate::model::reader::Part::choice(crate::model::reader::Choices::$name);
            const ZERO: &'static Self = &Self(0);
        }
    };
}

pub(super) use {body, choice};

/// Checks a count that must lie in `1..=max`.
#[inline(never)]
pub(super) fn check_count(what: What, value: i64, max: i64) -> Result<()> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::about(Kind::Field, what, [value as u64, 0]))
}
