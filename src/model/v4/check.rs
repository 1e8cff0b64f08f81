//! What kmodel v4 nodes read and write, and the checks of their sizes: after them no range leaves its
//! memory and every size fits its shape.

use super::{operator::*, options::Sizes, range::Shape4};
use crate::{
    error::{Error, Kind, Result, What},
    kernels::{Layout, nnil},
    kpu::{
        Layer,
        layer::{ACTIVATION_BYTES, Words},
    },
    model::{
        Node,
        operands::{Operands, OutputShape, check_kpu_images, check_kpu_rows},
        range::Range,
        reader::{Reader, body, check_count},
        source::Source,
    },
    tensor::{Dtype, ImageShape, Shape, elements},
};
use Dtype::{F32, U8};

/// Longest program of an [`Nnil`] node, in bytes.
pub const MAX_NNIL: usize = 1024;
/// Largest size of a matrix dimension.
const MAX_DIM: i64 = 1 << 24;

body! {
    /// What a body with one input begins with.
    Pair {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
    }
}

body! {
    /// What a body with two inputs begins with.
    Triple {
        /// First operand.
        a: Range,
        /// Second operand.
        b: Range,
        /// Result.
        output: Range,
    }
}

/// The number of elements of a shape, at most 2^30.
#[inline(never)]
fn product(shape: &Shape) -> Result<usize> {
    elements(shape)
        .filter(|&n| n <= 1 << 30)
        .ok_or_else(|| Error::about(Kind::Count, What::NumberOfOutputElements, [u64::MAX, 1 << 30]))
}

impl Concat {
    /// Bytes that an input of size `dim` gives.
    pub fn input_bytes(&self, dim: usize) -> Result<usize> {
        check_count(What::InnerSize, self.inner_size.into(), 1 << 30)?;
        check_count(What::OuterSize, self.outer_size.into(), 1 << 30)?;
        product(&[1, self.inner_size as usize, self.outer_size as usize, dim])
    }
}

/// What must be possible of a node, or else is an error: its name and value.
type Needed = (What, i32);

fn impossible((what, value): Needed) -> Error {
    Error::about(Kind::Field, what, [i64::from(value) as u64, 0])
}

impl Pair {
    /// Operands of an elementwise operator; its number of elements is that of the input range.
    #[inline(never)]
    fn same(&self, o: &mut Operands, from: Dtype, to: Dtype) {
        let n = self.input.elements();
        o.read(What::Input, &self.input, from, n);
        o.write(&self.output, to, n);
        o.shape = OutputShape::AsInput;
    }

    /// Operands of an operator that makes another shape of its input.
    #[inline(never)]
    fn moved(
        &self,
        o: &mut Operands,
        input: &Shape4,
        dtype: Dtype,
        needed: Needed,
        shape: Option<Shape>,
    ) -> Result<()> {
        let shape = shape.ok_or_else(|| impossible(needed))?;
        o.read(What::Input, &self.input, dtype, input.elements());
        o.write(&self.output, dtype, product(&shape)?);
        o.shape = OutputShape::Known(shape);
        Ok(())
    }

    /// Operands of a convolution, whose parameters follow.
    #[inline(never)]
    fn convolved(
        &self,
        o: &mut Operands,
        reader: &mut Reader<'_>,
        sizes: Sizes<'_>,
        dtype: Dtype,
        bias_first: bool,
    ) -> Result<()> {
        sizes.read(o, reader, dtype, bias_first)?;
        let options = sizes.options();
        let needed = (What::FilterHeight, sizes.window.filter_h);
        let shape = options.output().ok_or_else(|| impossible(needed))?;
        o.read(What::Input, &self.input, dtype, elements(&options.input).unwrap_or(0));
        o.write(&self.output, dtype, elements(&shape).unwrap_or(0));
        if options.layout == Layout::Nchw {
            o.shape = OutputShape::Known(shape);
        }
        Ok(())
    }
}

impl Triple {
    /// Operands of an operator with two inputs.
    #[inline(never)]
    fn two(
        &self,
        o: &mut Operands,
        dtype: Dtype,
        needed: Needed,
        sizes: Option<[usize; 3]>,
    ) -> Result<()> {
        let [a, b, n] = sizes.ok_or_else(|| impossible(needed))?;
        o.read(What::A, &self.a, dtype, a);
        o.read(What::B, &self.b, dtype, b);
        o.write(&self.output, dtype, n);
        Ok(())
    }
}

impl Sizes<'_> {
    /// Reads weights and bias.
    fn read(
        &self,
        o: &mut Operands,
        reader: &mut Reader<'_>,
        dtype: Dtype,
        bias_first: bool,
    ) -> Result<()> {
        let [_, in_channels, ..] = self.input;
        check_count(What::Groups, self.groups.into(), in_channels as i64)?;
        check_count(What::OutputChannels, self.out_channels.into(), MAX_DIM)?;
        let (groups, out_channels) = (self.groups as usize, self.out_channels as usize);
        if !in_channels.is_multiple_of(groups) || !out_channels.is_multiple_of(groups) {
            return Err(Error::about(Kind::Field, What::Groups, [groups as u64, 0]));
        }
        self.window.check()?;
        let inputs = in_channels.checked_div(groups).unwrap_or(0);
        // The taps of a checked window and its input channels fit in 64 bits.
        let weights = (self.window.taps() * inputs).saturating_mul(out_channels);
        let size = dtype.size();
        if bias_first {
            o.take(reader, out_channels, 4, 4)?;
            o.take(reader, weights, size, size)?;
            let [bias, weights, _] = o.parameters;
            o.parameters = [weights, bias, None];
            return Ok(());
        }
        o.take(reader, weights, size, size)?;
        o.take(reader, out_channels, 4, 4)
    }
}

/// Reads the bias of a matrix product, one word a column.
fn bias(o: &mut Operands, reader: &mut Reader<'_>, columns: i32) -> Result<()> {
    check_count(What::ColumnsOfB, columns.into(), MAX_DIM)?;
    o.take(reader, columns as usize, 4, 4)
}

#[inline(never)]
fn nnil(o: &mut Operands, reader: &mut Reader<'_>, source: &dyn Source) -> Result<()> {
    let code = reader.take(reader.remaining());
    o.parameter(code, 1);
    let mut program = [0; MAX_NNIL];
    let program = program.get_mut(..code.len).ok_or_else(|| {
        let lengths = [code.len as u64, MAX_NNIL as u64];
        Error::about(Kind::Count, What::BytesOfTheNnilProgram, lengths)
    })?;
    source.read(code.offset, program)?;
    nnil::Program::parse(program).map(drop).ok_or(Error::of(Kind::Field, What::NnilProgram))
}

#[inline(never)]
fn kpu_conv(
    o: &mut Operands,
    reader: &mut Reader<'_>,
    head: &KpuConvHead,
    words: &Words,
) -> Result<()> {
    Layer::check_words(words)?;
    let layer = Layer::of(words);
    check_count(What::Batches, head.batches.into(), 1 << 16)?;
    let batches = head.batches as usize;
    for (gap, len) in [
        (layer.bn_addr, layer.batch_norm_bytes()),
        (layer.act_addr, ACTIVATION_BYTES),
        (layer.weight_addr, layer.weights_bytes(true)),
    ] {
        reader.take(gap as usize);
        o.take(reader, len, 1, 1)?;
    }
    check_kpu_rows(What::Input, layer.src_row, batches, layer.input)?;
    o.write_kpu(layer.dst_row, batches, layer.output)?;
    if head.main_output.size > 0 {
        let bytes = product(&[1, 1, batches, layer.output.elements()])?;
        o.write(&head.main_output, U8, bytes);
    }
    Ok(())
}

/// Finds out what the node reads and writes; `reader` stands behind the body.
#[inline(never)]
pub(in crate::model) fn read(
    node: &Node,
    o: &mut Operands,
    reader: &mut Reader<'_>,
    source: &dyn Source,
) -> Result<()> {
    let (pair, triple) = (node.words.field::<Pair>(0), node.words.field::<Triple>(0));
    let operator = Operator::of(node.row, &node.words);
    match operator {
        Operator::Binary(b) => {
            let needed = (What::BinaryOperatorsShape, 0);
            triple.two(o, F32, needed, b.options().elements())?;
            o.shape = OutputShape::Known(b.output_shape.sizes());
        }
        Operator::QuantizedBinary(b) => {
            let needed = (What::BinaryOperatorsShape, 0);
            triple.two(o, U8, needed, b.options().shapes.elements())?;
            o.shape = OutputShape::Known(b.output_shape.sizes());
        }
        Operator::MatMul(b) => {
            bias(o, reader, b.b_cols)?;
            triple.two(o, F32, (What::RowsOfA, b.a_rows), b.options().elements())?;
        }
        Operator::QuantizedMatMul(b) => {
            bias(o, reader, b.b_cols)?;
            triple.two(o, U8, (What::RowsOfA, b.a_rows), b.options().sizes.elements())?;
        }
        Operator::Conv2d(_) | Operator::CpuConv2d(_) | Operator::CpuDepthwise(_) => {
            operator.sizes().map_or(Ok(()), |s| pair.convolved(o, reader, s, F32, false))?;
        }
        Operator::CpuQuantizedConv2d(_) | Operator::CpuQuantizedDepthwise(_) => {
            operator.sizes().map_or(Ok(()), |s| pair.convolved(o, reader, s, U8, false))?;
        }
        Operator::QuantizedConv2d(_) => {
            operator.sizes().map_or(Ok(()), |s| pair.convolved(o, reader, s, U8, true))?;
        }
        Operator::Conv2dTranspose(b) => {
            b.sizes().read(o, reader, F32, false)?;
            // The bias is never added.
            o.parameters[1] = None;
            let needed = (What::FilterHeight, b.window.filter_h);
            b.options().weights().ok_or_else(|| impossible(needed))?;
            o.read(What::Input, &b.input, F32, b.input_shape.elements());
            o.write(&b.output, F32, b.output_shape.elements());
            o.shape = OutputShape::Known(b.output_shape.sizes());
        }
        Operator::Dequantize(_) => pair.same(o, U8, F32),
        Operator::Quantize(_) => pair.same(o, F32, U8),
        Operator::Unary(_) => pair.same(o, F32, F32),
        Operator::Nnil(_) => {
            pair.same(o, F32, F32);
            nnil(o, reader, source)?;
        }
        Operator::Reduce(b) => {
            let sizes = b.options().elements();
            let [n, written] = sizes.ok_or_else(|| impossible((What::ReducedShape, 0)))?;
            o.read(What::Input, &b.input, F32, n);
            o.write(&b.output, F32, written);
            o.shape = OutputShape::Known(b.output_shape.sizes());
        }
        Operator::ReduceWindow(b) | Operator::CpuReduceWindow(b) => {
            let shape = operator.pool().and_then(|pool| pool.output());
            let needed = (What::FilterHeight, b.window.filter_h);
            pair.moved(o, &b.input_shape, F32, needed, shape)?;
            if let Operator::CpuReduceWindow(_) = operator {
                o.shape = OutputShape::Unknown;
            }
        }
        Operator::MemoryCopy(b) => {
            let (bytes, from, to) = (b.input.size as usize, b.input.dtype(), b.output.dtype());
            o.read(What::Input, &b.input, from, bytes / from.size());
            o.write(&b.output, to, bytes.div_ceil(to.size()));
            o.shape = OutputShape::AsInput;
        }
        Operator::Pad(b) => {
            let needed = (What::Padding, b.pads.h.before);
            let shape = b.options().output();
            pair.moved(o, &b.input_shape, b.input.dtype(), needed, shape)?;
        }
        Operator::ResizeImage(b) => {
            let needed = (What::OutputHeight, b.out_height);
            let shape = b.options().output();
            pair.moved(o, &b.input_shape, b.input.dtype(), needed, shape)?;
        }
        Operator::Transpose(b) => {
            let needed = (What::Permutation, b.perm[0]);
            let shape = b.options().output();
            pair.moved(o, &b.input_shape, b.input.dtype(), needed, shape)?;
        }
        Operator::StridedSlice(b) => {
            let needed = (What::SliceIndex, b.begin[0]);
            let shape = b.options().output();
            pair.moved(o, &b.input_shape, b.input.dtype(), needed, shape)?;
        }
        Operator::Softmax(b) => {
            check_count(What::OuterSize, b.outer_size.into(), 1 << 30)?;
            check_count(What::InnerSize, b.inner_size.into(), 1 << 30)?;
            let n = product(&[1, 1, b.outer_size as usize, b.inner_size as usize])?;
            o.read(What::Input, &b.input, F32, n);
            o.write(&b.output, F32, n);
            o.shape = OutputShape::AsInput;
        }
        Operator::TableLookup(b) => {
            let n = b.input.elements();
            o.read(What::Input, &b.input, U8, n);
            o.read(What::Table, &b.table, U8, 256);
            o.write(&b.output, U8, n);
            o.shape = OutputShape::AsInput;
        }
        Operator::KpuUpload(b) => {
            o.read(What::Input, &b.input, U8, b.shape.elements());
            let [n, c, h, w] = b.shape.sizes();
            let row = check_kpu_images(What::Output, &b.output, [n, c, h, w])?;
            o.write_kpu(row, n, ImageShape::new(c, h, w))?;
        }
        Operator::KpuConv(b) => kpu_conv(o, reader, b, node.layer())?,
        Operator::Concat(b) => {
            reader.take_items(b.inputs as usize, 16);
            reader.take_items(b.inputs as usize, 4);
            reader.done()?;
            let mut total = 0;
            node.parts(source, &mut |part| {
                total = product(&[1, 1, 1, total + part.bytes])?;
                Ok(())
            })?;
            let dtype = b.output.dtype();
            o.write(&b.output, dtype, total.div_ceil(dtype.size()));
            o.shape = OutputShape::Concatenated { outer: b.outer_size as usize };
        }
    }
    Ok(())
}
