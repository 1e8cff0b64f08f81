//! Runs the nodes of kmodel v4: borrows what a kernel wants and calls it.

use super::memory::{Bound, Memory, floats, floats_mut, integers};
use crate::{
    error::{Error, Kind, Result, What},
    kernels::{
        binary, conv2d, conv2d_transpose, copy, gather, matmul, nnil, normalize, pad, quantize,
        quantized_binary, quantized_conv2d, reduce, reduce_window, resize, unary,
    },
    kpu::{
        Accelerator, Job,
        memory::{ROW_BYTES, rows},
    },
    model::{
        Source,
        operands::{Operand, Operands},
        v4::operator::*,
    },
    tensor::Dtype,
};

/// Runs one node.
pub(super) fn run(
    operator: &Operator,
    memory: &mut Memory<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let operands = operator.operands()?;
    match operator {
        Operator::Concat(b, inputs) => concat(b, inputs, memory),
        Operator::KpuUpload(b) => {
            let ((_, image), ([x, ..], _)) = (b.images(), memory.bind(&operands)?);
            let first = b.output.start as usize / ROW_BYTES;
            for (n, x) in x.chunks(image.elements().max(1)).enumerate() {
                accelerator.upload(first + n * rows(image), image, x)?;
            }
            Ok(())
        }
        Operator::KpuConv(b) => {
            let bound = memory.bind_shared(&operands, accelerator)?;
            kpu_conv(b, bound, accelerator)
        }
        // The checks of the loader make `None` impossible.
        _ => compute(operator, memory.bind(&operands)?).ok_or_else(inconsistent),
    }
}

fn inconsistent() -> Error {
    Error::of(Kind::Field, What::SizeOfTheNode)
}

/// Runs a node that the CPU computes; `None` if its kernel does not accept the sizes.
fn compute(operator: &Operator, ([x, second, third], y): Bound<'_>) -> Option<()> {
    match operator {
        Operator::Binary(b) => {
            let (x, z, y) = (floats(x), floats(second), floats_mut(y));
            binary::binary(&b.options(), b.op, b.clamp.options(), x, z, y)?;
        }
        Operator::Conv2d(Conv2d { clamp, .. }, _)
        | Operator::CpuConv2d(CpuConv2d { clamp, .. }, _)
        | Operator::CpuDepthwise(CpuDepthwise { clamp, .. }, _) => {
            let p = conv2d::Conv2d { sizes: operator.convolution()?, clamp: clamp.options() };
            conv2d::conv2d(&p, floats(x), floats(second), floats(third), floats_mut(y))?;
        }
        Operator::QuantizedConv2d(..)
        | Operator::CpuQuantizedConv2d(..)
        | Operator::CpuQuantizedDepthwise(..) => {
            let (input_offset, filter_offset, rescale) = operator.quantization()?;
            let sizes = operator.convolution()?;
            let p =
                quantized_conv2d::QuantizedConv2d { sizes, input_offset, filter_offset, rescale };
            quantized_conv2d::quantized_conv2d(&p, x, second, integers(third), y)?;
        }
        Operator::Conv2dTranspose(b, _) => {
            let (x, weights, y) = (floats(x), floats(second), floats_mut(y));
            conv2d_transpose::conv2d_transpose(&b.options(), x, weights, y)?;
        }
        Operator::Dequantize(b) => {
            quantize::dequantize(x, floats_mut(y), b.param.zero_point, b.param.scale);
        }
        Operator::Quantize(b) => {
            quantize::quantize(floats(x), y, b.param.zero_point, b.param.scale);
        }
        Operator::Unary(b) => unary::unary(b.op, floats(x), floats_mut(y)),
        Operator::Nnil(..) => {
            nnil::nnil(&nnil::Program::parse(second)?, floats(x), floats_mut(y));
        }
        Operator::TableLookup(_) => quantize::lookup(x, second, y),
        Operator::MatMul(b, _) => {
            let (x, z, bias, y) = (floats(x), floats(second), floats(third), floats_mut(y));
            matmul::matmul(&b.options(), b.clamp.options(), x, z, bias, y)?;
        }
        Operator::QuantizedMatMul(b, _) => {
            matmul::quantized_matmul(&b.options(), x, second, integers(third), y)?;
        }
        Operator::QuantizedBinary(b) => {
            quantized_binary::quantized_binary(&b.options(), x, second, y)?;
        }
        Operator::Pad(b) => match (b.options(), b.input.dtype) {
            (p, Dtype::U8) => pad::pad(&p, b.value[0], x, y)?,
            (p, Dtype::F32) => pad::pad(&p, f32::from_le_bytes(b.value), floats(x), floats_mut(y))?,
        },
        Operator::Transpose(b) => match (b.options(), b.input.dtype) {
            (p, Dtype::U8) => gather::transpose(&p, x, y)?,
            (p, Dtype::F32) => gather::transpose::<f32>(&p, floats(x), floats_mut(y))?,
        },
        Operator::StridedSlice(b) => match (b.options(), b.input.dtype) {
            (p, Dtype::U8) => gather::strided_slice(&p, x, y)?,
            (p, Dtype::F32) => gather::strided_slice::<f32>(&p, floats(x), floats_mut(y))?,
        },
        Operator::ResizeImage(b) => match (b.options(), b.mode, b.input.dtype) {
            (p, ResizeMode::Nearest, Dtype::U8) => resize::resize_nearest(&p, x, y)?,
            (p, ResizeMode::Nearest, Dtype::F32) => {
                resize::resize_nearest::<f32>(&p, floats(x), floats_mut(y))?;
            }
            (p, ResizeMode::Bilinear, Dtype::U8) => resize::resize_bilinear(&p, x, y)?,
            (p, ResizeMode::Bilinear, Dtype::F32) => {
                resize::resize_bilinear::<f32>(&p, floats(x), floats_mut(y))?;
            }
        },
        Operator::Reduce(b) => reduce::reduce(&b.options(), floats(x), floats_mut(y))?,
        Operator::ReduceWindow(b) | Operator::CpuReduceWindow(b) => {
            let (p, x, y) = (operator.pool()?, floats(x), floats_mut(y));
            reduce_window::reduce_window(&p, b.op, b.init, b.clamp.options(), x, y)?;
        }
        Operator::MemoryCopy(_) => copy::memory_copy(x, y),
        Operator::Softmax(b) => {
            normalize::softmax(floats(x), floats_mut(y), b.inner_size as usize, b.beta);
        }
        Operator::Concat(..) | Operator::KpuUpload(_) | Operator::KpuConv(_) => return None,
    }
    Some(())
}

/// Calls `each` with every input of a concatenation and its output.
pub(super) fn concatenated(
    b: &Concat,
    inputs: &ConcatInputs,
    source: &dyn Source,
    each: &mut dyn FnMut(Operands) -> Result<()>,
) -> Result<()> {
    let mut total = 0usize;
    inputs.each(source, &mut |_, dim| {
        total = total.saturating_add(b.input_bytes(dim)?);
        Ok(())
    })?;
    // Bytes are put together, whatever they stand for.
    let output = Operand::new(What::Output, b.output, Dtype::U8, total);
    inputs.each(source, &mut |range, dim| {
        let input = Operand::new(What::Input, range, Dtype::U8, b.input_bytes(dim)?);
        each(Operands::one(input, output))
    })
}

fn concat(b: &Concat, inputs: &ConcatInputs, memory: &mut Memory<'_>) -> Result<()> {
    let (source, outer) = (memory.source(), b.outer_size as usize);
    let mut offset = 0;
    concatenated(b, inputs, source, &mut |operands| {
        let ([x, ..], y) = memory.bind(&operands)?;
        copy::concat(x, y, outer, offset).ok_or_else(inconsistent)?;
        offset += x.len().checked_div(outer).unwrap_or(0);
        Ok(())
    })
}

fn kpu_conv(
    b: &KpuConv,
    ([batch_norm, activation, weights], y): Bound<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let image = b.layer.output;
    for n in 0..b.batches {
        let mut layer = b.layer;
        layer.src_row += n * rows(layer.input);
        layer.dst_row += n * rows(image);
        accelerator.run(&[Job { layer, batch_norm, activation, weights, eight_bit: true }])?;
    }
    for (n, y) in y.chunks_mut(image.elements().max(1)).enumerate() {
        accelerator.download(b.layer.dst_row + n * rows(image), image, y)?;
    }
    Ok(())
}
