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
    let [float_x, float_second, float_third] = [x, second, third].map(floats);
    match operator {
        Operator::Add(b) => {
            let shape = [1, 1, 1, b.count as usize];
            let shapes = Broadcast { a: shape, b: shape, output: shape };
            binary::binary(
                &shapes,
                binary::BinaryOp::Add,
                Clamp::NONE,
                float_x,
                float_second,
                floats_mut(y),
            )?;
        }
        Operator::QuantizedAdd(b) => quantized_binary::quantized_add(&b.options(), x, second, y),
        Operator::GlobalAveragePool(b) => {
            reduce::global_average_pool(float_x, floats_mut(y), b.kernel_size as usize);
        }
        Operator::QuantizedMaxPool(b) => reduce_window::max_pool_u8(&b.options(), x, y)?,
        Operator::AveragePool(b) => {
            let (p, y) = (b.options(), floats_mut(y));
            reduce_window::reduce_window(&p, ReduceOp::Mean, 0.0, Clamp::NONE, float_x, y)?;
        }
        Operator::Quantize(b) => {
            quantize::quantize_v3(float_x, y, b.param.scale, b.param.bias);
        }
        Operator::Dequantize(b) => {
            quantize::dequantize_v3(x, floats_mut(y), b.param.scale, b.param.bias);
        }
        Operator::Requantize(_) => quantize::lookup(x, second, y),
        Operator::L2Normalize(_) => normalize::l2_normalize(float_x, floats_mut(y)),
        Operator::Softmax(_) => normalize::softmax_v3(float_x, floats_mut(y)),
        Operator::Logistic(_) => unary::logistic(float_x, floats_mut(y)),
        Operator::FullyConnected(b) => {
            matmul::fully_connected(
                b.activation.get().clamp(),
                float_x,
                float_second,
                float_third,
                floats_mut(y),
            )?;
        }
        Operator::Flatten(b) => {
            let ImageShape { channels, height, width } = b.size.shape();
            let p = gather::Transpose::flatten(channels, height, width);
            gather::transpose(&p, float_x, floats_mut(y))?;
        }
        Operator::ResizeNearest(b) => {
            resize::resize_nearest(&b.options(), float_x, floats_mut(y))?;
        }
        Operator::QuantizedResizeNearest(b) => resize::resize_nearest(&b.options(), x, y)?,
        Operator::ChannelwiseDequantize(b) => {
            let size = b.channel_size.max(1) as usize;
            let (params, _) = float_second.as_chunks::<2>();
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
    #[inline(never)]
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
