//! Computes nodes of kmodel v4 on the CPU: calls the kernel with what the body means to it.

use super::memory::{Bound, floats, floats_mut, integers};
use crate::{
    kernels::{
        binary, conv2d, conv2d_transpose, copy, gather, matmul, nnil, normalize, pad, quantize,
        quantized_binary, quantized_conv2d, reduce, reduce_window, resize, unary,
    },
    model::v4::operator::*,
    tensor::Dtype,
};

/// Runs a node that the CPU computes; `None` if its kernel does not accept the sizes.
#[inline(never)]
pub(super) fn compute(operator: &Operator<'_>, ([x, second, third], y): Bound<'_>) -> Option<()> {
    let [float_x, float_second, float_third] = [x, second, third].map(floats);
    match operator {
        Operator::Binary(b) => {
            let (clamp, y) = (b.clamp.options(), floats_mut(y));
            binary::binary(&b.options(), b.op.get(), clamp, float_x, float_second, y)?;
        }
        Operator::Conv2d(Conv2d { clamp, .. })
        | Operator::CpuConv2d(CpuConv2d { clamp, .. })
        | Operator::CpuDepthwise(CpuDepthwise { clamp, .. }) => {
            let p = conv2d::Conv2d { sizes: operator.convolution()?, clamp: clamp.options() };
            conv2d::conv2d(&p, float_x, float_second, float_third, floats_mut(y))?;
        }
        Operator::QuantizedConv2d(_)
        | Operator::CpuQuantizedConv2d(_)
        | Operator::CpuQuantizedDepthwise(_) => {
            let (input_offset, filter_offset, rescale) = operator.quantization()?;
            let sizes = operator.convolution()?;
            let p =
                quantized_conv2d::QuantizedConv2d { sizes, input_offset, filter_offset, rescale };
            quantized_conv2d::quantized_conv2d(&p, x, second, integers(third), y)?;
        }
        Operator::Conv2dTranspose(b) => {
            let (p, y) = (b.options(), floats_mut(y));
            conv2d_transpose::conv2d_transpose(&p, float_x, float_second, y)?;
        }
        Operator::Dequantize(b) => {
            quantize::dequantize(x, floats_mut(y), b.param.zero_point, b.param.scale);
        }
        Operator::Quantize(b) => {
            quantize::quantize(float_x, y, b.param.zero_point, b.param.scale);
        }
        Operator::Unary(b) => unary::unary(b.op.get(), float_x, floats_mut(y)),
        Operator::Nnil(_) => {
            nnil::nnil(&nnil::Program::parse(second)?, float_x, floats_mut(y));
        }
        Operator::TableLookup(_) => quantize::lookup(x, second, y),
        Operator::MatMul(b) => {
            let (p, clamp, y) = (b.options(), b.clamp.options(), floats_mut(y));
            matmul::matmul(&p, clamp, float_x, float_second, float_third, y)?;
        }
        Operator::QuantizedMatMul(b) => {
            matmul::quantized_matmul(&b.options(), x, second, integers(third), y)?;
        }
        Operator::QuantizedBinary(b) => {
            quantized_binary::quantized_binary(&b.options(), x, second, y)?;
        }
        Operator::Pad(b) => match (b.options(), b.input.dtype()) {
            (p, Dtype::U8) => pad::pad(&p, b.value[0], x, y)?,
            (p, Dtype::F32) => pad::pad(&p, f32::from_le_bytes(b.value), float_x, floats_mut(y))?,
        },
        Operator::Transpose(b) => match (b.options(), b.input.dtype()) {
            (p, Dtype::U8) => gather::transpose(&p, x, y)?,
            (p, Dtype::F32) => gather::transpose(&p, float_x, floats_mut(y))?,
        },
        Operator::StridedSlice(b) => match (b.options(), b.input.dtype()) {
            (p, Dtype::U8) => gather::strided_slice(&p, x, y)?,
            (p, Dtype::F32) => gather::strided_slice(&p, float_x, floats_mut(y))?,
        },
        Operator::ResizeImage(b) => match (b.options(), b.mode.get(), b.input.dtype()) {
            (p, ResizeMode::Nearest, Dtype::U8) => resize::resize_nearest(&p, x, y)?,
            (p, ResizeMode::Nearest, Dtype::F32) => {
                resize::resize_nearest(&p, float_x, floats_mut(y))?;
            }
            (p, ResizeMode::Bilinear, Dtype::U8) => resize::resize_bilinear(&p, x, y)?,
            (p, ResizeMode::Bilinear, Dtype::F32) => {
                resize::resize_bilinear(&p, float_x, floats_mut(y))?;
            }
        },
        Operator::Reduce(b) => reduce::reduce(&b.options(), float_x, floats_mut(y))?,
        Operator::ReduceWindow(b) | Operator::CpuReduceWindow(b) => {
            let (p, clamp, y) = (operator.pool()?, b.clamp.options(), floats_mut(y));
            reduce_window::reduce_window(&p, b.op.get(), b.init, clamp, float_x, y)?;
        }
        Operator::MemoryCopy(_) => copy::memory_copy(x, y),
        Operator::Softmax(b) => {
            normalize::softmax(float_x, floats_mut(y), b.inner_size as usize, b.beta);
        }
        Operator::Concat(_) | Operator::KpuUpload(_) | Operator::KpuConv(_) => return None,
    }
    Some(())
}
