//! What a node reads and writes, in one form for both versions: checked once, then bound to memory.

use super::{
    range::{Limits, Memory, Range},
    reader::{Field, Reader},
    source::Span,
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::{KPU_RAM_BYTES, ROW_BYTES, rows},
    tensor::{Dtype, ImageShape, Shape},
};

/// A tensor that the CPU reads or writes.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// What the node calls it.
    pub what: What,
    /// The bytes that are set apart for it.
    pub range: Range,
    /// The type of element that the operator wants.
    pub dtype: Dtype,
    /// Number of elements.
    pub elements: usize,
}

/// Parameters of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Where they are.
    pub span: Span,
    /// Their address must be a multiple of this.
    pub align: usize,
}

/// What a node tells of the shape of what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputShape {
    /// Nothing.
    Unknown,
    /// N, C, H, W.
    Known(Shape),
    /// That of its first input.
    AsInput,
    /// That of the first input of a concatenation, but for the dimension behind `outer` parts.
    Concatenated {
        /// Number of outer repetitions.
        outer: usize,
    },
}

/// What a node reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// Tensors that the CPU reads; but for the inputs of a concatenation.
    pub inputs: [Option<Operand>; 2],
    /// The tensor that the CPU writes.
    pub output: Option<Operand>,
    /// Parameters, in the order in which kernels take them.
    pub parameters: [Option<Parameters>; 3],
    /// Where the result is, in whatever memory.
    pub written: Range,
    /// The shape of the result.
    pub shape: OutputShape,
}

impl Operand {
    /// A tensor.
    pub const fn new(what: What, range: Range, dtype: Dtype, elements: usize) -> Self {
        Self { what, range, dtype, elements }
    }

    /// The first `bytes` bytes of the tensor, whatever they stand for.
    pub fn bytes_of(self, bytes: usize) -> Self {
        Self { dtype: Dtype::U8, elements: bytes, ..self }
    }

    /// Number of bytes.
    pub fn bytes(&self) -> usize {
        self.elements.saturating_mul(self.dtype.size())
    }

    /// Checks that the tensor can be read.
    pub fn check_read(&self, limits: &Limits) -> Result<()> {
        self.range.check_read(self.what, self.dtype, self.elements, limits)
    }

    /// Checks that the tensor can be read and that writing the output leaves it alone.
    pub fn check_apart(&self, output: &Operand, limits: &Limits) -> Result<()> {
        self.check_read(limits)?;
        self.range.check_apart(self.what, self.bytes(), &output.range, output.bytes())
    }
}

impl Default for Operands {
    #[inline(never)]
    fn default() -> Self {
        Self {
            inputs: [None; 2],
            output: None,
            parameters: [None; 3],
            written: *Range::ZERO,
            shape: OutputShape::Unknown,
        }
    }
}

impl Operands {
    /// Of a node that only reads one tensor.
    pub fn reading(input: Operand) -> Self {
        Self { inputs: [Some(input), None], ..Self::default() }
    }

    /// Adds a tensor that is read.
    #[inline(never)]
    pub(super) fn read(&mut self, what: What, range: &Range, dtype: Dtype, n: usize) {
        if let Some(free) = self.inputs.iter_mut().find(|input| input.is_none()) {
            *free = Some(Operand::new(what, *range, dtype, n));
        }
    }

    /// Sets the tensor that is written.
    #[inline(never)]
    pub(super) fn write(&mut self, range: &Range, dtype: Dtype, n: usize) {
        self.output = Some(Operand::new(What::Output, *range, dtype, n));
        self.written = *range;
    }

    /// Adds the parameters that follow in a body: `count` items of `size` bytes.
    #[inline(never)]
    pub(super) fn take(
        &mut self,
        reader: &mut Reader<'_>,
        count: usize,
        size: usize,
        align: usize,
    ) -> Result<()> {
        self.parameter(reader.take_items(count, size), align);
        reader.done()
    }

    /// Adds parameters whose address must be a multiple of `align`.
    #[inline(never)]
    pub(super) fn parameter(&mut self, span: Span, align: usize) {
        if let Some(free) = self.parameters.iter_mut().find(|parameter| parameter.is_none()) {
            *free = Some(Parameters { span, align });
        }
    }

    /// Sets images in KPU RAM as what is written.
    #[inline(never)]
    pub(super) fn write_kpu(
        &mut self,
        row: usize,
        batches: usize,
        image: ImageShape,
    ) -> Result<()> {
        check_kpu_rows(What::Output, row, batches, image)?;
        self.written = kpu_range(row, batches, image);
        self.shape = OutputShape::Known(images(batches, image));
        Ok(())
    }

    /// Checks that everything lies inside its memory, has the type, size and alignment that the
    /// operator wants, and that the output is apart from the inputs.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        if let Some(output) = &self.output {
            output.range.check_write(output.what, output.dtype, output.elements, limits)?;
        }
        self.inputs.iter().flatten().try_for_each(|input| match &self.output {
            Some(output) => input.check_apart(output, limits),
            None => input.check_read(limits),
        })
    }
}

/// N, C, H, W of a batch of images.
pub fn images(batches: usize, image: ImageShape) -> Shape {
    [batches, image.channels, image.height, image.width]
}

/// The rows of a batch of images in KPU RAM.
pub fn kpu_range(row: usize, batches: usize, image: ImageShape) -> Range {
    let size = rows(image) * batches * ROW_BYTES;
    Range::new(Memory::Kpu, Dtype::U8, (row * ROW_BYTES) as u32, size as u32)
}

/// Checks that `batches` images which begin at `row` lie inside KPU RAM.
pub(super) fn check_kpu_rows(
    what: What,
    row: usize,
    batches: usize,
    image: ImageShape,
) -> Result<()> {
    let rows = rows(image).saturating_mul(batches).saturating_add(row);
    let end = rows.saturating_mul(ROW_BYTES);
    if end > KPU_RAM_BYTES {
        return Err(Error::about(Kind::KpuRam, what, [end as u64, KPU_RAM_BYTES as u64]));
    }
    Ok(())
}

/// Checks that images lie at the begin of a range of KPU RAM, and gives their first row.
pub(super) fn check_kpu_images(what: What, range: &Range, [n, c, h, w]: Shape) -> Result<usize> {
    if range.memory() != Memory::Kpu {
        return Err(Error::about(Kind::WrongMemory, what, [range.memory() as u64, 0]));
    }
    let start = range.start as usize;
    if !start.is_multiple_of(ROW_BYTES) {
        return Err(Error::about(Kind::Misaligned, what, [start as u64, ROW_BYTES as u64]));
    }
    check_kpu_rows(what, start / ROW_BYTES, n, ImageShape::new(c, h, w))?;
    Ok(start / ROW_BYTES)
}
