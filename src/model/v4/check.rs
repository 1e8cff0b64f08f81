//! Checks of kmodel v4 nodes: after them no range leaves its memory and every size fits its shape.

use super::{
    operator::*,
    range::{Limits, Memory, Range, Shape4},
};
use crate::{
    error::{Error, Kind, Result, What},
    kernels::nnil,
    kpu::memory::{KPU_RAM_BYTES, ROW_BYTES, rows},
    model::{
        operands::{Operand, Operands},
        reader::{Reader, count},
        source::Source,
    },
    tensor::{Dtype, ImageShape, Shape, elements},
};
use Dtype::{F32, U8};

/// The number of elements of a shape, at most 2^30.
#[inline(never)]
fn product(shape: &Shape) -> Result<usize> {
    elements(shape)
        .filter(|&n| n <= 1 << 30)
        .ok_or_else(|| Error::about(Kind::Count, What::NumberOfOutputElements, [u64::MAX, 1 << 30]))
}

impl ConcatInputs {
    /// Calls `each` with every input and its size in the concatenated dimension.
    pub fn each(
        &self,
        source: &dyn Source,
        each: &mut dyn FnMut(Range, usize) -> Result<()>,
    ) -> Result<()> {
        let mut ranges = Reader::of(source, self.ranges);
        let mut dims = Reader::of(source, self.dims);
        while ranges.remaining() > 0 {
            let (range, dim) = (ranges.checked()?, dims.checked::<i32>()?);
            each(range, count(What::ConcatenatedDimension, dim.into(), 1 << 30)?)?;
        }
        ranges.done()
    }
}

impl Concat {
    /// Bytes that an input of size `dim` gives.
    pub fn input_bytes(&self, dim: usize) -> Result<usize> {
        let inner = count(What::InnerSize, self.inner_size.into(), 1 << 30)?;
        let outer = count(What::OuterSize, self.outer_size.into(), 1 << 30)?;
        product(&[1, inner, outer, dim])
    }

    fn input(&self, range: Range, dim: usize) -> Result<Operand> {
        let (bytes, dtype) = (self.input_bytes(dim)?, range.dtype);
        Ok(Operand::new(What::Input, range, dtype, bytes.div_ceil(dtype.size())))
    }

    fn output_of(&self, bytes: usize) -> Operand {
        let dtype = self.output.dtype;
        Operand::new(What::Output, self.output, dtype, bytes.div_ceil(dtype.size()))
    }

    fn check(&self, inputs: &ConcatInputs, source: &dyn Source, limits: &Limits) -> Result<()> {
        let output = self.output_of(self.output.size as usize);
        let mut total = 0;
        inputs.each(source, &mut |range, dim| {
            self.input(range, dim)?.check_apart(&output, limits)?;
            total = product(&[1, 1, 1, total + self.input_bytes(dim)?])?;
            Ok(())
        })?;
        self.output_of(total).check_write(limits)
    }
}

impl KpuUpload {
    /// Number of images and the shape of one.
    pub fn images(&self) -> (usize, ImageShape) {
        let [n, c, h, w] = self.shape.0;
        (n, ImageShape::new(c, h, w))
    }

    fn check(&self) -> Result<()> {
        let (batches, image) = self.images();
        check_kpu_images(What::Output, &self.output, batches, image)
    }
}

/// Checks `batches` images at the start of a KPU RAM range.
pub(super) fn check_kpu_images(
    what: What,
    range: &Range,
    batches: usize,
    image: ImageShape,
) -> Result<()> {
    if range.memory != Memory::Kpu {
        return Err(Error::about(Kind::WrongMemory, what, [range.memory as u64, 0]));
    }
    if !(range.start as usize).is_multiple_of(ROW_BYTES) {
        return Err(Error::about(Kind::Misaligned, what, [range.start.into(), ROW_BYTES as u64]));
    }
    check_kpu_rows(what, range.start as usize / ROW_BYTES, batches, image)
}

fn check_kpu_rows(what: What, row: usize, batches: usize, image: ImageShape) -> Result<()> {
    let end = rows(image)
        .checked_mul(batches)
        .and_then(|rows| rows.checked_add(row))
        .and_then(|rows| rows.checked_mul(ROW_BYTES))
        .unwrap_or(usize::MAX);
    if end > KPU_RAM_BYTES {
        return Err(Error::about(Kind::KpuRam, what, [end as u64, KPU_RAM_BYTES as u64]));
    }
    Ok(())
}

impl KpuConv {
    fn check(&self) -> Result<()> {
        check_kpu_rows(What::Input, self.layer.src_row, self.batches, self.layer.input)?;
        check_kpu_rows(What::Output, self.layer.dst_row, self.batches, self.layer.output)
    }
}

impl Operator {
    /// Checks the node against the sizes of the memories.
    pub fn check(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        self.operands()?.check(limits)?;
        match self {
            Self::Concat(b, inputs) => b.check(inputs, source, limits),
            Self::Nnil(_, code) => {
                let mut program = [0; MAX_NNIL];
                let program = program.get_mut(..code.len).ok_or_else(|| {
                    Error::about(
                        Kind::Count,
                        What::BytesOfTheNnilProgram,
                        [code.len as u64, MAX_NNIL as u64],
                    )
                })?;
                source.read(code.offset, program)?;
                nnil::Program::parse(program)
                    .map(drop)
                    .ok_or(Error::of(Kind::Field, What::NnilProgram))
            }
            Self::KpuUpload(b) => b.check(),
            Self::KpuConv(b) => b.check(),
            _ => Ok(()),
        }
    }

    /// What the node reads and writes in main memory, constants and the file; but for the inputs
    /// and the output of a concatenation, which its own functions tell.
    #[inline(never)]
    pub fn operands(&self) -> Result<Operands> {
        let mut o = Operands::default();
        match self {
            Self::Binary(b) => {
                let sizes = b.options().elements();
                two(&mut o, [&b.a, &b.b, &b.output], F32, What::BinaryOperatorsShape, 0, sizes);
            }
            Self::QuantizedBinary(b) => {
                let sizes = b.options().shapes.elements();
                two(&mut o, [&b.a, &b.b, &b.output], U8, What::BinaryOperatorsShape, 0, sizes);
            }
            Self::MatMul(b, bias) => {
                let sizes = b.options().elements();
                two(&mut o, [&b.a, &b.b, &b.output], F32, What::RowsOfA, b.a_rows, sizes);
                o.parameter(*bias, 4);
            }
            Self::QuantizedMatMul(b, bias) => {
                let sizes = b.options().sizes.elements();
                two(&mut o, [&b.a, &b.b, &b.output], U8, What::RowsOfA, b.a_rows, sizes);
                o.parameter(*bias, 4);
            }
            Self::Conv2d(Conv2d { input, output, window, .. }, w)
            | Self::CpuConv2d(CpuConv2d { input, output, window, .. }, w)
            | Self::CpuDepthwise(CpuDepthwise { input, output, window, .. }, w) => {
                self.convolved(&mut o, [input, output], F32, window.filter_h, w);
            }
            Self::QuantizedConv2d(QuantizedConv2d { input, output, window, .. }, w)
            | Self::CpuQuantizedConv2d(CpuQuantizedConv2d { input, output, window, .. }, w)
            | Self::CpuQuantizedDepthwise(CpuQuantizedDepthwise { input, output, window, .. }, w) =>
            {
                self.convolved(&mut o, [input, output], U8, window.filter_h, w);
            }
            Self::Conv2dTranspose(b, w) => {
                o.sizes(What::FilterHeight, b.window.filter_h, b.options().weights().map(|n| [n]));
                o.read(What::Input, &b.input, F32, b.input_shape.elements());
                o.write(&b.output, F32, b.output_shape.elements());
                o.parameter(w.weights, 4);
            }
            Self::Dequantize(b) => same(&mut o, &b.input, U8, &b.output, F32),
            Self::Quantize(b) => same(&mut o, &b.input, F32, &b.output, U8),
            Self::Unary(b) => same(&mut o, &b.input, F32, &b.output, F32),
            Self::Nnil(b, code) => {
                same(&mut o, &b.input, F32, &b.output, F32);
                o.parameter(*code, 1);
            }
            Self::Reduce(b) => {
                let [n, written] = o.sizes(What::ReducedShape, 0, b.options().elements());
                o.read(What::Input, &b.input, F32, n);
                o.write(&b.output, F32, written);
            }
            Self::ReduceWindow(b) | Self::CpuReduceWindow(b) => {
                let shape = self.pool().and_then(|pool| pool.output());
                let filter = (What::FilterHeight, b.window.filter_h);
                moved(&mut o, (&b.input, &b.input_shape), &b.output, F32, filter, shape)?;
            }
            Self::MemoryCopy(b) => {
                let (bytes, from, to) = (b.input.size as usize, b.input.dtype, b.output.dtype);
                o.read(What::Input, &b.input, from, bytes / from.size());
                o.write(&b.output, to, bytes.div_ceil(to.size()));
            }
            Self::Pad(b) => {
                let (shape, what) = (b.options().output(), (What::Padding, b.pads.h.before));
                moved(&mut o, (&b.input, &b.input_shape), &b.output, b.input.dtype, what, shape)?;
            }
            Self::ResizeImage(b) => {
                let (shape, what) = (b.options().output(), (What::OutputHeight, b.out_height));
                moved(&mut o, (&b.input, &b.input_shape), &b.output, b.input.dtype, what, shape)?;
            }
            Self::Transpose(b) => {
                let (shape, what) = (b.options().output(), (What::Permutation, b.perm[0]));
                moved(&mut o, (&b.input, &b.input_shape), &b.output, b.input.dtype, what, shape)?;
            }
            Self::StridedSlice(b) => {
                let (shape, what) = (b.options().output(), (What::SliceIndex, b.begin[0]));
                moved(&mut o, (&b.input, &b.input_shape), &b.output, b.input.dtype, what, shape)?;
            }
            Self::Softmax(b) => {
                let outer = count(What::OuterSize, b.outer_size.into(), 1 << 30)?;
                let inner = count(What::InnerSize, b.inner_size.into(), 1 << 30)?;
                let n = product(&[1, 1, outer, inner])?;
                o.read(What::Input, &b.input, F32, n);
                o.write(&b.output, F32, n);
            }
            Self::TableLookup(b) => {
                same(&mut o, &b.input, U8, &b.output, U8);
                o.read(What::Table, &b.table, U8, 256);
            }
            Self::KpuUpload(b) => o.read(What::Input, &b.input, U8, b.shape.elements()),
            Self::KpuConv(b) => {
                for span in [b.batch_norm, b.activation, b.weights] {
                    o.parameter(span, 1);
                }
                if b.main_output.size > 0 {
                    let bytes = product(&[1, 1, b.batches, b.layer.output.elements()])?;
                    o.write(&b.main_output, U8, bytes);
                }
            }
            Self::Concat(..) => {}
        }
        o.possible()
    }

    #[inline(never)]
    fn convolved(
        &self,
        o: &mut Operands,
        [input, output]: [&Range; 2],
        dtype: Dtype,
        filter: i32,
        w: &Weights,
    ) {
        let sizes = self.convolution();
        let shapes = sizes.and_then(|sizes| Some([sizes.input, sizes.output()?]));
        let n = shapes.and_then(|[input, output]| Some([elements(&input)?, elements(&output)?]));
        let [read, written] = o.sizes(What::FilterHeight, filter, n);
        o.read(What::Input, input, dtype, read);
        o.write(output, dtype, written);
        o.parameter(w.weights, dtype.size());
        o.parameter(w.bias, 4);
    }
}

/// Operands of an operator with two inputs.
#[inline(never)]
fn two(
    o: &mut Operands,
    [a, b, output]: [&Range; 3],
    dtype: Dtype,
    what: What,
    value: i32,
    sizes: Option<[usize; 3]>,
) {
    let [n_a, n_b, n] = o.sizes(what, value, sizes);
    o.read(What::A, a, dtype, n_a);
    o.read(What::B, b, dtype, n_b);
    o.write(output, dtype, n);
}

/// Operands of an elementwise operator; its number of elements is that of the input range.
#[inline(never)]
fn same(o: &mut Operands, input: &Range, from: Dtype, output: &Range, to: Dtype) {
    let n = input.elements();
    o.read(What::Input, input, from, n);
    o.write(output, to, n);
}

/// Operands of an operator that makes another shape of its input.
#[inline(never)]
fn moved(
    o: &mut Operands,
    (input, input_shape): (&Range, &Shape4),
    output: &Range,
    dtype: Dtype,
    (what, value): (What, i32),
    shape: Option<Shape>,
) -> Result<()> {
    let shape = o.sizes(what, value, shape);
    o.read(What::Input, input, dtype, input_shape.elements());
    o.write(output, dtype, product(&shape)?);
    Ok(())
}
