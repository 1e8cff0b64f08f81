//! What nodes read and write: main memory, constants, and parameters of the file.

use crate::{
    error::{Error, Kind, Result},
    kpu::{Accelerator, driver::ACTIVATION_ALIGNMENT},
    model::{Source, Span},
};
use core::ops::Range;

/// Alignment of main memory.
pub const ALIGNMENT: usize = 16;
/// Alignment of what is read into the buffer: the KPU reads parameters there.
const BUFFER_ALIGNMENT: usize = ACTIVATION_ALIGNMENT;

/// Something that a node reads.
#[derive(Clone, Copy, Debug)]
pub enum Blob {
    /// Bytes of main memory.
    Main(Span),
    /// Bytes of the file, at an address that is a multiple of the second number.
    File(Span, usize),
}

impl Blob {
    /// Parameters that are floats or 32-bit integers.
    pub fn words(span: Span) -> Self {
        Self::File(span, 4)
    }

    /// Parameters that are bytes.
    pub fn bytes(span: Span) -> Self {
        Self::File(span, 1)
    }
}

/// The memories of a running model.
pub struct Memory<'m> {
    source: &'m dyn Source,
    main: &'m mut [u8],
    buffer: &'m mut [u8],
}

impl<'m> Memory<'m> {
    /// Main memory of `main` bytes from the beginning of `memory`, the rest is the buffer.
    pub fn new(source: &'m dyn Source, memory: &'m mut [u8], main: usize) -> Result<Self> {
        let (have, skip) = (memory.len(), memory.as_ptr().align_offset(ALIGNMENT));
        let needed = skip.saturating_add(main);
        let (main, buffer) = memory
            .get_mut(skip..)
            .and_then(|memory| memory.split_at_mut_checked(main))
            .ok_or(Error::about(
                Kind::NoMemory,
                "the model's main memory",
                [needed as u64, have as u64],
            ))?;
        main.fill(0);
        Ok(Self { source, main, buffer })
    }

    /// The file.
    pub fn source(&self) -> &'m dyn Source {
        self.source
    }

    /// Bytes of main memory.
    pub fn main(&self, span: Span) -> Result<&[u8]> {
        span.of(self.main).map_err(|_| outside(span, self.main.len()))
    }

    /// Bytes of main memory, for writing.
    pub fn main_mut(&mut self, span: Span) -> Result<&mut [u8]> {
        let len = self.main.len();
        self.main.get_mut(range(span)).ok_or(outside(span, len))
    }

    /// What `read` is, without anything to write.
    pub fn read<const N: usize>(&mut self, read: [Blob; N]) -> Result<[&[u8]; N]> {
        self.bind(read, Span::default()).map(|(read, _)| read)
    }

    /// The parameters of a KPU layer, where the accelerator sees them.
    pub fn parameters(
        &mut self,
        spans: [Span; 3],
        accelerator: &mut dyn Accelerator,
    ) -> Result<[&[u8]; 3]> {
        let streamed = self.source.bytes().is_none();
        let parameters = self.read(spans.map(Blob::bytes))?;
        if streamed {
            parameters.iter().for_each(|bytes| accelerator.share(bytes));
        }
        Ok(parameters)
    }

    /// What a node reads and writes; `write` is in main memory and apart from all that is read.
    pub fn bind<const N: usize>(
        &mut self,
        read: [Blob; N],
        write: Span,
    ) -> Result<([&[u8]; N], &mut [u8])> {
        let len = self.main.len();
        let (before, rest) =
            self.main.split_at_mut_checked(write.offset).ok_or(outside(write, len))?;
        let (output, behind) = rest.split_at_mut_checked(write.len).ok_or(outside(write, len))?;
        let (before, behind, end) = (&*before, &*behind, write.offset + write.len);
        let mut buffer = &mut *self.buffer;
        let mut bound = [&[][..]; N];
        for (slot, blob) in bound.iter_mut().zip(read) {
            *slot = match blob {
                Blob::Main(span) if span.offset >= end => {
                    let moved = Span { offset: span.offset - end, ..span };
                    moved.of(behind).map_err(|_| outside(span, len))?
                }
                Blob::Main(span) => span.of(before).map_err(|_| outside(span, len))?,
                Blob::File(span, align) => match in_place(self.source, span, align) {
                    Some(bytes) => bytes,
                    None => {
                        let needed = buffered(span.len);
                        let have = buffer.len();
                        let (own, rest) =
                            buffer.split_at_mut_checked(needed).ok_or(Error::about(
                                Kind::NoMemory,
                                "the parameters of a node",
                                [needed as u64, have as u64],
                            ))?;
                        buffer = rest;
                        let skip = own.as_ptr().align_offset(BUFFER_ALIGNMENT);
                        let own = own.get_mut(skip..skip + span.len).unwrap_or_default();
                        self.source.read(span.offset, own)?;
                        own
                    }
                },
            };
        }
        Ok((bound, output))
    }
}

/// Bytes of buffer for a span that is not used in place.
pub fn buffered(len: usize) -> usize {
    len + BUFFER_ALIGNMENT - 1
}

/// The bytes of a span where they lie, if they can be used there.
pub fn in_place(source: &dyn Source, span: Span, align: usize) -> Option<&[u8]> {
    let bytes = span.of(source.bytes()?).ok()?;
    (bytes.as_ptr().align_offset(align) == 0).then_some(bytes)
}

fn range(span: Span) -> Range<usize> {
    span.offset..span.offset.saturating_add(span.len)
}

fn outside(span: Span, size: usize) -> Error {
    let end = span.offset.saturating_add(span.len);
    Error::about(Kind::OutOfMemoryRange, "what a node reads or writes", [end as u64, size as u64])
}

/// Bytes as floats or integers; the address must fit.
pub fn cast<T: bytemuck::AnyBitPattern>(bytes: &[u8]) -> Result<&[T]> {
    bytemuck::try_cast_slice(bytes).map_err(|_| misaligned(bytes.len()))
}

/// As [`cast`], for writing.
pub fn cast_mut<T: bytemuck::NoUninit + bytemuck::AnyBitPattern>(
    bytes: &mut [u8],
) -> Result<&mut [T]> {
    let len = bytes.len();
    bytemuck::try_cast_slice_mut(bytes).map_err(|_| misaligned(len))
}

fn misaligned(len: usize) -> Error {
    Error::about(Kind::Misaligned, "a tensor", [len as u64, 4])
}
