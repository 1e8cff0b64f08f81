//! What a body means to the kernel that computes it.

use super::{operator::*, range};
use crate::{
    kernels::{
        Clamp, Layout, binary::Broadcast, conv2d_transpose, convolution::Convolution, gather,
        matmul, pad, quantize::Rescale, quantized_binary, reduce, reduce_window, resize::Resize,
        window,
    },
    tensor::Shape,
};

impl range::Clamp {
    /// As the kernels want it.
    pub fn options(&self) -> Clamp {
        Clamp { min: self.min, max: self.max }
    }
}

impl range::Pad {
    fn options(&self) -> window::Pad {
        window::Pad { before: self.before, after: self.after }
    }
}

impl range::Window {
    /// As the kernels want it; negative numbers become 0, which no kernel accepts.
    fn options(&self) -> window::Window {
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        window::Window {
            filter: [self.filter_h, self.filter_w].map(size),
            stride: [self.stride_h, self.stride_w].map(size),
            dilation: [self.dilation_h, self.dilation_w].map(size),
            pad: [self.pad_h.options(), self.pad_w.options()],
        }
    }
}

/// N, C, H, W of a shape that is stored as N, H, W, C.
fn nhwc([n, h, w, c]: Shape) -> Shape {
    [n, c, h, w]
}

impl Requantize {
    fn options(&self) -> Rescale {
        Rescale { multiplier: self.mul, shift: self.shift, offset: self.offset }
    }
}

impl Binary {
    /// As the kernel wants it.
    pub fn options(&self) -> Broadcast {
        Broadcast { a: self.a_shape.0, b: self.b_shape.0, output: self.output_shape.0 }
    }
}

impl Operator {
    /// The sizes of a convolution; `None` for other operators.
    pub fn convolution(&self) -> Option<Convolution> {
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        let (layout, input, groups, out_channels, window) = match self {
            Self::Conv2d(Conv2d { input_shape, groups, out_channels, window, .. }, _)
            | Self::QuantizedConv2d(
                QuantizedConv2d { input_shape, groups, out_channels, window, .. },
                _,
            ) => (Layout::Nchw, input_shape.0, size(*groups), size(*out_channels), window),
            Self::CpuConv2d(CpuConv2d { input_shape, out_channels, window, .. }, _)
            | Self::CpuQuantizedConv2d(
                CpuQuantizedConv2d { input_shape, out_channels, window, .. },
                _,
            ) => (Layout::Nhwc, nhwc(input_shape.0), 1, size(*out_channels), window),
            Self::CpuDepthwise(CpuDepthwise { input_shape, window, .. }, _)
            | Self::CpuQuantizedDepthwise(CpuQuantizedDepthwise { input_shape, window, .. }, _) => {
                let [.., channels] = input_shape.0;
                (Layout::Nhwc, nhwc(input_shape.0), channels, channels, window)
            }
            _ => return None,
        };
        Some(Convolution { layout, input, groups, out_channels, window: window.options() })
    }

    /// What is added to each byte and each weight of a quantized convolution, and what makes bytes
    /// of the sums.
    pub fn quantization(&self) -> Option<(i32, i32, Rescale)> {
        Some(match self {
            Self::QuantizedConv2d(b, _) => {
                (b.input_offset, b.filter_offset, b.requantize.options())
            }
            Self::CpuQuantizedConv2d(
                CpuQuantizedConv2d { input_offset, filter_offset, requantize, .. },
                _,
            )
            | Self::CpuQuantizedDepthwise(
                CpuQuantizedDepthwise { input_offset, filter_offset, requantize, .. },
                _,
            ) => (input_offset.wrapping_neg(), filter_offset.wrapping_neg(), requantize.options()),
            _ => return None,
        })
    }

    /// The window and sizes of a pooling operator; `None` for others.
    pub fn pool(&self) -> Option<reduce_window::Pool> {
        let (layout, input, window) = match self {
            Self::ReduceWindow(b) => (Layout::Nchw, b.input_shape.0, &b.window),
            Self::CpuReduceWindow(b) => (Layout::Nhwc, nhwc(b.input_shape.0), &b.window),
            _ => return None,
        };
        reduce_window::Pool::new(layout, input, window.options())
    }
}

impl Conv2dTranspose {
    /// As the kernel wants it.
    pub fn options(&self) -> conv2d_transpose::Conv2dTranspose {
        conv2d_transpose::Conv2dTranspose {
            input: self.input_shape.0,
            output: self.output_shape.0,
            groups: usize::try_from(self.groups).unwrap_or(0),
            window: self.window.options(),
            clamp: self.clamp.options(),
        }
    }
}

fn matrix(rows: i32, inner: i32, columns: i32) -> matmul::MatMul {
    let [rows, inner, columns] = [rows, inner, columns].map(|n| usize::try_from(n).unwrap_or(0));
    matmul::MatMul { rows, inner, columns }
}

impl MatMul {
    /// As the kernel wants it.
    pub fn options(&self) -> matmul::MatMul {
        matrix(self.a_rows, self.a_cols, self.b_cols)
    }
}

impl QuantizedMatMul {
    /// As the kernel wants it.
    pub fn options(&self) -> matmul::QuantizedMatMul {
        matmul::QuantizedMatMul {
            sizes: matrix(self.a_rows, self.a_cols, self.b_cols),
            a_offset: self.a_offset,
            b_offset: self.b_offset,
            rescale: self.requantize.options(),
        }
    }
}

impl PadTensor {
    /// As the kernel wants it.
    pub fn options(&self) -> pad::Pad {
        let Pads { n, c, h, w } = self.pads;
        pad::Pad { input: self.input_shape.0, edges: [n, c, h, w].map(|pad| pad.options()) }
    }
}

impl Reduce {
    /// As the kernel wants it.
    pub fn options(&self) -> reduce::Reduce {
        let (input, output) = (self.input_shape.0, self.output_shape.0);
        reduce::Reduce { op: self.op, input, output, init: self.init }
    }
}

impl ResizeImage {
    /// As the kernel wants it.
    pub fn options(&self) -> Resize {
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        Resize {
            input: self.input_shape.0,
            output: [self.out_height, self.out_width].map(size),
            align_corners: self.align_corners[0] != 0,
        }
    }
}

impl Transpose {
    /// As the kernel wants it.
    pub fn options(&self) -> gather::Transpose {
        let permutation = self.perm.map(|axis| usize::try_from(axis).unwrap_or(usize::MAX));
        gather::Transpose { input: self.input_shape.0, permutation }
    }
}

impl StridedSlice {
    /// As the kernel wants it.
    pub fn options(&self) -> gather::StridedSlice {
        let (begin, end, strides) = (self.begin, self.end, self.strides);
        gather::StridedSlice { input: self.input_shape.0, begin, end, strides }
    }
}

impl OperandScale {
    fn options(&self) -> quantized_binary::Operand {
        quantized_binary::Operand { offset: self.offset, multiplier: self.mul, shift: self.shift }
    }
}

impl QuantizedBinary {
    /// As the kernel wants it.
    pub fn options(&self) -> quantized_binary::QuantizedBinary {
        quantized_binary::QuantizedBinary {
            shapes: Broadcast { a: self.a_shape.0, b: self.b_shape.0, output: self.output_shape.0 },
            op: self.op,
            a: self.a_scale.options(),
            b: self.b_scale.options(),
            rescale: Rescale {
                multiplier: self.output_mul,
                shift: self.output_shift,
                offset: self.output_offset,
            },
        }
    }
}
