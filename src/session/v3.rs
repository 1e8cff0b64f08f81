//! Computes layers of kmodel v3 on the CPU: what a body means to its kernel.

use super::memory::{Bound, floats, floats_mut};
use crate::{
    kernels::{
        Clamp, Layout,
        binary::{self, Broadcast},
        copy, gather, matmul, normalize, quantize, quantized_binary,
        reduce::{self, ReduceOp},
        reduce_window, resize, unary, window,
    },
    model::v3::layer::*,
    tensor::ImageShape,
};

/// Runs a layer that the CPU computes; `None` if its kernel does not accept the sizes.
#[inline(never)]
pub(super) fn compute(operator: &Operator<'_>, ([x, second, third], y): Bound<'_>) -> Option<()> {
    match operator {
        Operator::Add(b) => {
            let shape = [1, 1, 1, b.count as usize];
            let shapes = Broadcast { a: shape, b: shape, output: shape };
            let (x, z, y) = (floats(x), floats(second), floats_mut(y));
            binary::binary(&shapes, binary::BinaryOp::Add, Clamp::NONE, x, z, y)?;
        }
        Operator::QuantizedAdd(b) => quantized_binary::quantized_add(&b.options(), x, second, y),
        Operator::GlobalAveragePool(b) => {
            reduce::global_average_pool(floats(x), floats_mut(y), b.kernel_size as usize);
        }
        Operator::QuantizedMaxPool(b) => reduce_window::max_pool_u8(&b.options(), x, y)?,
        Operator::AveragePool(b) => {
            let (p, x, y) = (b.options(), floats(x), floats_mut(y));
            reduce_window::reduce_window(&p, ReduceOp::Mean, 0.0, Clamp::NONE, x, y)?;
        }
        Operator::Quantize(b) => {
            quantize::quantize_v3(floats(x), y, b.param.scale, b.param.bias);
        }
        Operator::Dequantize(b) => {
            quantize::dequantize_v3(x, floats_mut(y), b.param.scale, b.param.bias);
        }
        Operator::Requantize(_) => quantize::lookup(x, second, y),
        Operator::L2Normalize(_) => normalize::l2_normalize(floats(x), floats_mut(y)),
        Operator::Softmax(_) => normalize::softmax_v3(floats(x), floats_mut(y)),
        Operator::Logistic(_) => unary::logistic(floats(x), floats_mut(y)),
        Operator::FullyConnected(b) => {
            let (x, weights, bias) = (floats(x), floats(second), floats(third));
            matmul::fully_connected(b.activation.get().clamp(), x, weights, bias, floats_mut(y))?;
        }
        Operator::Flatten(b) => {
            let ImageShape { channels, height, width } = b.size.shape();
            let p = gather::Transpose::flatten(channels, height, width);
            gather::transpose::<f32>(&p, floats(x), floats_mut(y))?;
        }
        Operator::ResizeNearest(b) => {
            resize::resize_nearest::<f32>(&b.options(), floats(x), floats_mut(y))?;
        }
        Operator::QuantizedResizeNearest(b) => resize::resize_nearest(&b.options(), x, y)?,
        Operator::ChannelwiseDequantize(b) => {
            let size = b.channel_size.max(1) as usize;
            let (params, _) = floats(second).as_chunks::<2>();
            let channels = x.chunks(size).zip(floats_mut(y).chunks_mut(size));
            for ((x, y), &[scale, bias]) in channels.zip(params) {
                quantize::dequantize_v3(x, y, scale, bias);
            }
        }
        Operator::RemovePadding(_) => copy::remove_padding(x, y),
        Operator::Concat(_)
        | Operator::QuantizedConcat(_)
        | Operator::Conv(_)
        | Operator::Upload(_)
        | Operator::AddPadding(_) => return None,
    }
    Some(())
}

impl Activation {
    fn clamp(self) -> Clamp {
        match self {
            Activation::None => Clamp::NONE,
            Activation::Relu => Clamp::RELU,
            Activation::Relu6 => Clamp::RELU6,
        }
    }
}

impl OperandScale {
    fn options(&self) -> quantized_binary::Operand {
        quantized_binary::Operand { offset: self.offset, multiplier: self.mul, shift: self.shift }
    }
}

impl QuantizedAdd {
    fn options(&self) -> quantized_binary::QuantizedAdd {
        quantized_binary::QuantizedAdd {
            a: self.a_scale.options(),
            b: self.b_scale.options(),
            output: self.output_scale.options(),
        }
    }
}

impl Pool {
    fn options(&self) -> reduce_window::Pool {
        let ImageShape { channels, height, width } = self.input_size.shape();
        let output = self.output_size.shape();
        let pad = |before: u32| window::Pad { before: before as i32, after: 0 };
        reduce_window::Pool {
            layout: Layout::Nchw,
            input: [1, channels, height, width],
            output: [output.height, output.width],
            window: window::Window {
                filter: [self.kernel_height as usize, self.kernel_width as usize],
                stride: [self.stride_height as usize, self.stride_width as usize],
                dilation: [1, 1],
                pad: [pad(self.pad_height), pad(self.pad_width)],
            },
        }
    }
}

impl ResizeNearest {
    fn options(&self) -> resize::Resize {
        let ImageShape { channels, height, width } = self.input_size.shape();
        resize::Resize {
            input: [1, channels, height, width],
            output: [self.out_height as usize, self.out_width as usize],
            align_corners: false,
        }
    }
}
