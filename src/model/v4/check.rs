//! Checks of kmodel v4 nodes: after them no range leaves its memory and every size fits its shape.

use super::{
    operator::*,
    range::{Limits, Memory, Range},
};
use crate::{
    error::{Error, Kind, Result},
    kernels::{convolution::Convolution, nnil},
    kpu::memory::{KPU_RAM_BYTES, ROW_BYTES, rows},
    model::{
        reader::{Reader, count},
        source::Source,
    },
    tensor::{Dtype, ImageShape, Shape, elements},
};
use Dtype::{F32, U8};

/// One tensor of a node: its name, range, element type and number of elements.
type Tensor<'r> = (&'static str, &'r Range, Dtype, usize);

/// Checks a node that reads `inputs` and writes `output`.
fn tensors(inputs: &[Tensor<'_>], output: Tensor<'_>, limits: &Limits) -> Result<()> {
    let (what, range, dtype, n) = output;
    range.check_write(what, dtype, n, limits)?;
    let written = n * dtype.size();
    for &(what, input, dtype, n) in inputs {
        input.check_read(what, dtype, n, limits)?;
        input.check_apart(what, n * dtype.size(), range, written)?;
    }
    Ok(())
}

/// Checks a node with one input.
fn unary(
    input: (&Range, Dtype, usize),
    output: (&Range, Dtype, usize),
    limits: &Limits,
) -> Result<()> {
    let (from, from_dtype, read) = input;
    let (to, to_dtype, written) = output;
    tensors(&[("input", from, from_dtype, read)], ("output", to, to_dtype, written), limits)
}

/// Checks an elementwise node; its number of elements is that of the input range.
fn elementwise(input: (&Range, Dtype), output: (&Range, Dtype), limits: &Limits) -> Result<()> {
    let n = input.0.elements();
    unary((input.0, input.1, n), (output.0, output.1, n), limits)
}

/// What the kernel says of its sizes, or an error about `what`.
fn sizes<T>(what: &'static str, value: i32, sizes: Option<T>) -> Result<T> {
    sizes.ok_or(Error::about(Kind::Field, what, [i64::from(value) as u64, 0]))
}

/// The number of elements of a shape, at most 2^30.
fn product(shape: &Shape) -> Result<usize> {
    elements(shape).filter(|&n| n <= 1 << 30).ok_or(Error::about(
        Kind::Count,
        "the number of output elements",
        [u64::MAX, 1 << 30],
    ))
}

fn convolution(
    input: &Range,
    output: &Range,
    dtype: Dtype,
    convolution: &Convolution,
    limits: &Limits,
) -> Result<()> {
    let [filter, _] = convolution.window.filter;
    let shape = sizes("filter height", filter as i32, convolution.output())?;
    let read = product(&convolution.input)?;
    unary((input, dtype, read), (output, dtype, product(&shape)?), limits)
}

/// Matrices: `a`, `b`, the result.
fn matrices(
    ranges: [&Range; 3],
    dtype: Dtype,
    n: Option<[usize; 3]>,
    a_rows: i32,
    limits: &Limits,
) -> Result<()> {
    let [a, b, output] = ranges;
    let [a_n, b_n, output_n] = sizes("rows of a", a_rows, n)?;
    tensors(
        &[("a", a, dtype, a_n), ("b", b, dtype, b_n)],
        ("output", output, dtype, output_n),
        limits,
    )
}

impl ConcatInputs {
    /// Calls `each` with every input and its size in the concatenated dimension.
    pub fn each(
        &self,
        source: &dyn Source,
        mut each: impl FnMut(Range, usize) -> Result<()>,
    ) -> Result<()> {
        let end = |span: crate::model::Span| span.offset + span.len;
        let mut ranges = Reader::new(source, self.ranges.offset, end(self.ranges));
        let mut dims = Reader::new(source, self.dims.offset, end(self.dims));
        while ranges.remaining() > 0 {
            let range = ranges.field()?;
            each(range, count("concatenated dimension", dims.field::<i32>()?.into(), 1 << 30)?)?;
        }
        Ok(())
    }
}

impl Concat {
    /// Bytes that an input of size `dim` gives.
    pub fn input_bytes(&self, dim: usize) -> Result<usize> {
        let inner = count("inner size", self.inner_size.into(), 1 << 30)?;
        let outer = count("outer size", self.outer_size.into(), 1 << 30)?;
        product(&[1, inner, outer, dim])
    }

    fn check(&self, inputs: &ConcatInputs, source: &dyn Source, limits: &Limits) -> Result<()> {
        let mut total = 0;
        inputs.each(source, |range, dim| {
            let bytes = self.input_bytes(dim)?;
            range.check_read("input", range.dtype, bytes.div_ceil(range.dtype.size()), limits)?;
            range.check_apart("input", bytes, &self.output, self.output.size as usize)?;
            total = product(&[1, 1, 1, total + bytes])?;
            Ok(())
        })?;
        let dtype = self.output.dtype;
        self.output.check_write("output", dtype, total.div_ceil(dtype.size()), limits)
    }
}

impl KpuUpload {
    /// Number of images and the shape of one.
    pub fn images(&self) -> (usize, ImageShape) {
        let [n, c, h, w] = self.shape.0;
        (n, ImageShape::new(c, h, w))
    }

    fn check(&self, limits: &Limits) -> Result<()> {
        self.input.check_read("input", U8, self.shape.elements(), limits)?;
        let (batches, image) = self.images();
        check_kpu_images("output", &self.output, batches, image)
    }
}

/// Checks `batches` images at the start of a KPU RAM range.
pub(super) fn check_kpu_images(
    what: &'static str,
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

fn check_kpu_rows(what: &'static str, row: usize, batches: usize, image: ImageShape) -> Result<()> {
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
    fn check(&self, limits: &Limits) -> Result<()> {
        check_kpu_rows("input", self.layer.src_row, self.batches, self.layer.input)?;
        check_kpu_rows("output", self.layer.dst_row, self.batches, self.layer.output)?;
        if self.main_output.size > 0 {
            let bytes = product(&[1, 1, self.batches, self.layer.output.elements()])?;
            self.main_output.check_write("output in main memory", U8, bytes, limits)?;
        }
        Ok(())
    }
}

impl Operator {
    /// Checks the node against the sizes of the memories.
    pub fn check(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        match self {
            Self::Binary(b) => {
                let [n_a, n_b, n] = sizes("binary operator's shape", 0, b.options().elements())?;
                let inputs = [("a", &b.a, F32, n_a), ("b", &b.b, F32, n_b)];
                tensors(&inputs, ("output", &b.output, F32, n), limits)
            }
            Self::Concat(b, inputs) => b.check(inputs, source, limits),
            Self::Conv2d(b, _) => convolution(&b.input, &b.output, F32, &b.options().sizes, limits),
            Self::Dequantize(b) => elementwise((&b.input, U8), (&b.output, F32), limits),
            Self::MatMul(b, _) => {
                matrices([&b.a, &b.b, &b.output], F32, b.options().elements(), b.a_rows, limits)
            }
            Self::Pad(b) => {
                let shape = sizes("padding", b.pads.h.before, b.options().output())?;
                let dtype = b.input.dtype;
                let input = (&b.input, dtype, b.input_shape.elements());
                unary(input, (&b.output, dtype, product(&shape)?), limits)
            }
            Self::Quantize(b) => elementwise((&b.input, F32), (&b.output, U8), limits),
            Self::Reduce(b) => {
                let [read, written] = sizes("reduced shape", 0, b.options().elements())?;
                unary((&b.input, F32, read), (&b.output, F32, written), limits)
            }
            Self::ReduceWindow(b) | Self::CpuReduceWindow(b) => {
                let pool = match self {
                    Self::ReduceWindow(_) => b.options(),
                    _ => b.options_nhwc(),
                };
                let shape = pool.and_then(|pool| pool.output());
                let shape = sizes("filter height", b.window.filter_h, shape)?;
                let input = (&b.input, F32, b.input_shape.elements());
                unary(input, (&b.output, F32, product(&shape)?), limits)
            }
            Self::MemoryCopy(b) => {
                let (from, to) = (b.input.dtype, b.output.dtype);
                let n = b.input.size as usize;
                unary(
                    (&b.input, from, n / from.size()),
                    (&b.output, to, n.div_ceil(to.size())),
                    limits,
                )
            }
            Self::ResizeImage(b) => {
                let shape = sizes("output height", b.out_height, b.options().output())?;
                let dtype = b.input.dtype;
                let input = (&b.input, dtype, b.input_shape.elements());
                unary(input, (&b.output, dtype, product(&shape)?), limits)
            }
            Self::Softmax(b) => {
                let outer = count("outer size", b.outer_size.into(), 1 << 30)?;
                let inner = count("inner size", b.inner_size.into(), 1 << 30)?;
                let n = product(&[1, 1, outer, inner])?;
                unary((&b.input, F32, n), (&b.output, F32, n), limits)
            }
            Self::Transpose(b) => {
                let [axis, ..] = b.perm;
                let (dtype, n) = (b.input.dtype, b.input_shape.elements());
                sizes("permutation", axis, b.options().output())?;
                unary((&b.input, dtype, n), (&b.output, dtype, n), limits)
            }
            Self::StridedSlice(b) => {
                let [begin, ..] = b.begin;
                let shape = sizes("slice index", begin, b.options().output())?;
                let dtype = b.input.dtype;
                let input = (&b.input, dtype, b.input_shape.elements());
                unary(input, (&b.output, dtype, product(&shape)?), limits)
            }
            Self::Unary(b) => elementwise((&b.input, F32), (&b.output, F32), limits),
            Self::Nnil(b, code) => {
                let mut program = [0; MAX_NNIL];
                let program = program.get_mut(..code.len).ok_or(Error::about(
                    Kind::Count,
                    "bytes of the nnil program",
                    [code.len as u64, MAX_NNIL as u64],
                ))?;
                source.read(code.offset, program)?;
                sizes("nnil program", 0, nnil::Program::parse(program))?;
                elementwise((&b.input, F32), (&b.output, F32), limits)
            }
            Self::QuantizedConv2d(b, _) => {
                convolution(&b.input, &b.output, U8, &b.options().sizes, limits)
            }
            Self::QuantizedMatMul(b, _) => {
                let n = b.options().sizes.elements();
                matrices([&b.a, &b.b, &b.output], U8, n, b.a_rows, limits)
            }
            Self::QuantizedBinary(b) => {
                let n = b.options().shapes.elements();
                let [n_a, n_b, n] = sizes("binary operator's shape", 0, n)?;
                let inputs = [("a", &b.a, U8, n_a), ("b", &b.b, U8, n_b)];
                tensors(&inputs, ("output", &b.output, U8, n), limits)
            }
            Self::TableLookup(b) => {
                let n = b.input.elements();
                let inputs = [("input", &b.input, U8, n), ("table", &b.table, U8, 256)];
                tensors(&inputs, ("output", &b.output, U8, n), limits)
            }
            Self::Conv2dTranspose(b, _) => {
                sizes("filter height", b.window.filter_h, b.options().weights())?;
                let input = (&b.input, F32, b.input_shape.elements());
                unary(input, (&b.output, F32, b.output_shape.elements()), limits)
            }
            Self::CpuConv2d(b, _) => {
                convolution(&b.input, &b.output, F32, &b.options().sizes, limits)
            }
            Self::CpuDepthwise(b, _) => {
                convolution(&b.input, &b.output, F32, &b.options().sizes, limits)
            }
            Self::CpuQuantizedConv2d(b, _) => {
                convolution(&b.input, &b.output, U8, &b.options().sizes, limits)
            }
            Self::CpuQuantizedDepthwise(b, _) => {
                convolution(&b.input, &b.output, U8, &b.options().sizes, limits)
            }
            Self::KpuUpload(b) => b.check(limits),
            Self::KpuConv(b) => b.check(limits),
        }
    }
}
