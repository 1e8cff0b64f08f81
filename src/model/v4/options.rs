//! What a body means to the kernel that computes it.

use super::{operator::*, range};
use crate::{
    kernels::{
        Clamp,
        Layout::{self, Nchw, Nhwc},
        binary::Broadcast,
        conv2d_transpose,
        convolution::Convolution,
        gather, matmul, pad,
        quantize::Rescale,
        quantized_binary, reduce, reduce_window,
        resize::Resize,
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
        Broadcast {
            a: self.a_shape.sizes(),
            b: self.b_shape.sizes(),
            output: self.output_shape.sizes(),
        }
    }
}

/// The sizes of a convolution, as its body tells them.
pub(super) struct Sizes<'n> {
    layout: Layout,
    /// N, C, H, W, whatever the layout.
    pub input: Shape,
    pub groups: i32,
    pub out_channels: i32,
    pub window: &'n range::Window,
}

impl Sizes<'_> {
    #[inline(never)]
    pub fn options(&self) -> Convolution {
        let [groups, out_channels] = [self.groups, self.out_channels].map(size);
        let window = self.window.options();
        Convolution { layout: self.layout, input: self.input, groups, out_channels, window }
    }
}

/// A number as a size; negative ones become 0, which no kernel accepts.
fn size(n: i32) -> usize {
    usize::try_from(n).unwrap_or(0)
}

impl Operator<'_> {
    /// The sizes of a convolution; `None` for other operators.
    pub fn convolution(&self) -> Option<Convolution> {
        Some(self.sizes()?.options())
    }

    pub(super) fn sizes(&self) -> Option<Sizes<'_>> {
        let (layout, shape, groups, out_channels, window) = match self {
            Self::Conv2d(b) => (Nchw, &b.input_shape, b.groups, Some(b.out_channels), &b.window),
            Self::QuantizedConv2d(b) => {
                (Nchw, &b.input_shape, b.groups, Some(b.out_channels), &b.window)
            }
            Self::CpuConv2d(b) => (Nhwc, &b.input_shape, 1, Some(b.out_channels), &b.window),
            Self::CpuQuantizedConv2d(b) => {
                (Nhwc, &b.input_shape, 1, Some(b.out_channels), &b.window)
            }
            Self::CpuDepthwise(b) => (Nhwc, &b.input_shape, 0, None, &b.window),
            Self::CpuQuantizedDepthwise(b) => (Nhwc, &b.input_shape, 0, None, &b.window),
            _ => return None,
        };
        let [n, a, b, c] = shape.sizes();
        let input = if layout == Nhwc { nhwc([n, a, b, c]) } else { [n, a, b, c] };
        // A depthwise convolution has a group for each channel.
        let groups = if out_channels.is_none() { c as i32 } else { groups };
        let out_channels = out_channels.unwrap_or(groups);
        Some(Sizes { layout, input, groups, out_channels, window })
    }

    /// What is added to each byte and each weight of a quantized convolution, and what makes bytes
    /// of the sums.
    pub fn quantization(&self) -> Option<(i32, i32, Rescale)> {
        let (input, filter, requantize) = match self {
            Self::QuantizedConv2d(b) => {
                return Some((b.input_offset, b.filter_offset, b.requantize.options()));
            }
            Self::CpuQuantizedConv2d(b) => (b.input_offset, b.filter_offset, &b.requantize),
            Self::CpuQuantizedDepthwise(b) => (b.input_offset, b.filter_offset, &b.requantize),
            _ => return None,
        };
        Some((input.wrapping_neg(), filter.wrapping_neg(), requantize.options()))
    }

    /// The window and sizes of a pooling operator; `None` for others.
    pub fn pool(&self) -> Option<reduce_window::Pool> {
        let (layout, input, window) = match self {
            Self::ReduceWindow(b) => (Layout::Nchw, b.input_shape.sizes(), &b.window),
            Self::CpuReduceWindow(b) => (Layout::Nhwc, nhwc(b.input_shape.sizes()), &b.window),
            _ => return None,
        };
        reduce_window::Pool::new(layout, input, window.options())
    }
}

impl Conv2dTranspose {
    /// The sizes of a convolution that has such weights.
    pub(super) fn sizes(&self) -> Sizes<'_> {
        let (input, [_, out_channels, ..]) = (self.input_shape.sizes(), self.output_shape.0);
        let (groups, window) = (self.groups, &self.window);
        Sizes { layout: Nchw, input, groups, out_channels: out_channels as i32, window }
    }

    /// As the kernel wants it.
    pub fn options(&self) -> conv2d_transpose::Conv2dTranspose {
        conv2d_transpose::Conv2dTranspose {
            input: self.input_shape.sizes(),
            output: self.output_shape.sizes(),
            groups: size(self.groups),
            window: self.window.options(),
            clamp: self.clamp.options(),
        }
    }
}

fn matrix(rows: i32, inner: i32, columns: i32) -> matmul::MatMul {
    let [rows, inner, columns] = [rows, inner, columns].map(size);
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
        pad::Pad { input: self.input_shape.sizes(), edges: [n, c, h, w].map(|pad| pad.options()) }
    }
}

impl Reduce {
    /// As the kernel wants it.
    pub fn options(&self) -> reduce::Reduce {
        let (input, output) = (self.input_shape.sizes(), self.output_shape.sizes());
        reduce::Reduce { op: self.op.get(), input, output, init: self.init }
    }
}

impl ResizeImage {
    /// As the kernel wants it.
    pub fn options(&self) -> Resize {
        Resize {
            input: self.input_shape.sizes(),
            output: [self.out_height, self.out_width].map(size),
            align_corners: self.align_corners[0] != 0,
        }
    }
}

impl Transpose {
    /// As the kernel wants it.
    pub fn options(&self) -> gather::Transpose {
        let permutation = self.perm.map(|axis| usize::try_from(axis).unwrap_or(usize::MAX));
        gather::Transpose { input: self.input_shape.sizes(), permutation }
    }
}

impl StridedSlice {
    /// As the kernel wants it.
    pub fn options(&self) -> gather::StridedSlice {
        let (begin, end, strides) = (self.begin, self.end, self.strides);
        gather::StridedSlice { input: self.input_shape.sizes(), begin, end, strides }
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
            shapes: Broadcast {
                a: self.a_shape.sizes(),
                b: self.b_shape.sizes(),
                output: self.output_shape.sizes(),
            },
            op: self.op.get(),
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
