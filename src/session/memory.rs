//! What nodes read and write: main memory, constants, and parameters of the file.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Accelerator, driver::ACTIVATION_ALIGNMENT},
    model::{
        Source, Span,
        operands::{Operand, Operands, Parameters},
        range,
    },
};

/// Alignment of main memory.
pub const ALIGNMENT: usize = 16;
/// Alignment of what is read into the buffer: the KPU reads parameters there.
const BUFFER_ALIGNMENT: usize = ACTIVATION_ALIGNMENT;

/// Something that a node reads; its address must be a multiple of `align`.
#[derive(Clone, Copy, Default)]
struct Blob {
    /// Bytes of the file, else of main memory.
    in_file: bool,
    span: Span,
    align: usize,
}

/// What a node reads, in the order in which kernels take it. The constants of the model begin at
/// `constants` in the file.
fn blobs(operands: &Operands, constants: usize) -> impl Iterator<Item = Blob> + '_ {
    let input = move |operand: &Operand| {
        let (start, len) = (operand.range.start as usize, operand.bytes());
        let in_file = operand.range.memory() == range::Memory::Constants;
        let offset = if in_file { constants.saturating_add(start) } else { start };
        Blob { in_file, span: Span { offset, len }, align: operand.dtype.size() }
    };
    let parameters = |&Parameters { span, align }: &_| Blob { in_file: true, span, align };
    let inputs = operands.inputs.iter().flatten().map(input);
    inputs.chain(operands.parameters.iter().flatten().map(parameters))
}

/// Bytes of buffer for what a node reads from the file and cannot use where it lies.
pub fn buffered(operands: &Operands, source: &dyn Source, constants: usize) -> usize {
    let copied = blobs(operands, constants)
        .filter(|blob| blob.in_file && in_place(source, blob.span, blob.align).is_none());
    copied.map(|blob| blob.span.len + BUFFER_ALIGNMENT - 1).sum()
}

/// The memories of a running model.
pub struct Memory<'m> {
    source: &'m dyn Source,
    /// Where the model's constants begin in the file.
    constants: usize,
    main: &'m mut [u8],
    buffer: &'m mut [u8],
}

/// What a kernel takes: up to three slices that it reads and one that it writes.
pub type Bound<'b> = ([&'b [u8]; 3], &'b mut [u8]);

impl<'m> Memory<'m> {
    /// Main memory of `main` bytes from the beginning of `memory`, the rest is the buffer.
    pub fn new(
        source: &'m dyn Source,
        constants: usize,
        memory: &'m mut [u8],
        main: usize,
    ) -> Result<Self> {
        let (have, skip) = (memory.len(), padding(memory, ALIGNMENT));
        let needed = skip.saturating_add(main);
        let (main, buffer) = memory
            .get_mut(skip..)
            .and_then(|memory| memory.split_at_mut_checked(main))
            .ok_or_else(|| {
                Error::about(Kind::NoMemory, What::ModelsMainMemory, [needed as u64, have as u64])
            })?;
        main.fill(0);
        Ok(Self { source, constants, main, buffer })
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
        let end = span.offset.saturating_add(span.len);
        self.main.get_mut(span.offset..end).ok_or_else(|| outside(span, len))
    }

    /// What a node reads and writes; the output is in main memory and apart from the inputs.
    #[inline(never)]
    pub fn bind(&mut self, operands: &Operands) -> Result<Bound<'_>> {
        let len = self.main.len();
        let write = operands.output.as_ref().map_or(Span::default(), |output| Span {
            offset: output.range.start as usize,
            len: output.bytes(),
        });
        let end = write.offset.saturating_add(write.len);
        let (before, rest) =
            self.main.split_at_mut_checked(write.offset).ok_or_else(|| outside(write, len))?;
        let (output, behind) =
            rest.split_at_mut_checked(write.len).ok_or_else(|| outside(write, len))?;
        let (before, behind) = (&*before, &*behind);
        let mut buffer = &mut *self.buffer;
        let mut bound = [&[][..]; 3];
        for (slot, blob) in bound.iter_mut().zip(blobs(operands, self.constants)) {
            let span = blob.span;
            *slot = if blob.in_file {
                match in_place(self.source, span, blob.align) {
                    Some(bytes) => bytes,
                    None => read(self.source, span, &mut buffer)?,
                }
            } else if span.offset >= end {
                let moved = Span { offset: span.offset - end, ..span };
                moved.of(behind).map_err(|_| outside(span, len))?
            } else {
                span.of(before).map_err(|_| outside(span, len))?
            };
            if padding(slot, blob.align) > 0 {
                return Err(misaligned(span.offset));
            }
        }
        Ok((bound, output))
    }

    /// As [`bind`](Self::bind), for a layer of the KPU, to which parameters are shown that were read.
    pub fn bind_shared(
        &mut self,
        operands: &Operands,
        accelerator: &mut dyn Accelerator,
    ) -> Result<Bound<'_>> {
        let streamed = self.source.bytes().is_none();
        let (parameters, output) = self.bind(operands)?;
        if streamed {
            parameters.iter().for_each(|bytes| accelerator.share(bytes));
        }
        Ok((parameters, output))
    }
}

/// Reads a span into the beginning of the buffer, which is left with the rest.
fn read<'b>(source: &dyn Source, span: Span, buffer: &mut &'b mut [u8]) -> Result<&'b [u8]> {
    let space = core::mem::take(buffer);
    let (have, skip) = (space.len(), padding(space, BUFFER_ALIGNMENT));
    let needed = skip.saturating_add(span.len);
    let (own, rest) =
        space.get_mut(skip..).and_then(|space| space.split_at_mut_checked(span.len)).ok_or_else(
            || Error::about(Kind::NoMemory, What::ParametersOfANode, [needed as u64, have as u64]),
        )?;
    *buffer = rest;
    source.read(span.offset, own)?;
    Ok(own)
}

/// The bytes of a span where they lie, if they can be used there.
pub fn in_place(source: &dyn Source, span: Span, align: usize) -> Option<&[u8]> {
    let bytes = span.of(source.bytes()?).ok()?;
    (padding(bytes, align) == 0).then_some(bytes)
}

/// Bytes from the begin of a slice to an address that is a multiple of `align`, a power of two.
fn padding(bytes: &[u8], align: usize) -> usize {
    bytes.as_ptr().addr().wrapping_neg() & align.wrapping_sub(1)
}

fn outside(span: Span, size: usize) -> Error {
    let end = span.offset.saturating_add(span.len);
    Error::about(Kind::OutOfMemoryRange, What::WhatANodeReadsOrWrites, [end as u64, size as u64])
}

/// The floats of bound bytes, whose alignment [`Memory::bind`] has checked.
#[inline(never)]
pub fn floats(bytes: &[u8]) -> &[f32] {
    bytemuck::try_cast_slice(bytes).unwrap_or_default()
}

/// As [`floats`], for writing.
#[inline(never)]
pub fn floats_mut(bytes: &mut [u8]) -> &mut [f32] {
    bytemuck::try_cast_slice_mut(bytes).unwrap_or_default()
}

/// As [`floats`], for integers.
pub fn integers(bytes: &[u8]) -> &[i32] {
    bytemuck::try_cast_slice(bytes).unwrap_or_default()
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
    Error::about(Kind::Misaligned, What::ATensor, [len as u64, 4])
}
