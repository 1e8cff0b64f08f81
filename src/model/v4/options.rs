//! What a body means to the kernel that computes it.

use super::{operator::*, range};
use crate::{
    kernels::{
        Clamp, Layout, binary::Broadcast, conv2d, conv2d_transpose, convolution::Convolution,
        gather, matmul, pad, quantize::Rescale, quantized_binary, quantized_conv2d, reduce,
        reduce_window, resize::Resize, window,
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

    fn convolution(
        &self,
        layout: Layout,
        input: Shape,
        groups: i32,
        out_channels: usize,
    ) -> Convolution {
        let groups = usize::try_from(groups).unwrap_or(0);
        Convolution { layout, input, groups, out_channels, window: self.options() }
    }

    fn nhwc(&self, stored: Shape, groups: usize, out_channels: usize) -> Convolution {
        let window = self.options();
        Convolution { layout: Layout::Nhwc, input: nhwc(stored), groups, out_channels, window }
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

impl Conv2d {
    /// As the kernel wants it.
    pub fn options(&self) -> conv2d::Conv2d {
        let out_channels = usize::try_from(self.out_channels).unwrap_or(0);
        let input = self.input_shape.0;
        let sizes = self.window.convolution(Layout::Nchw, input, self.groups, out_channels);
        conv2d::Conv2d { sizes, clamp: self.clamp.options() }
    }
}

impl CpuConv2d {
    /// As the kernel wants it.
    pub fn options(&self) -> conv2d::Conv2d {
        let out_channels = usize::try_from(self.out_channels).unwrap_or(0);
        let sizes = self.window.nhwc(self.input_shape.0, 1, out_channels);
        conv2d::Conv2d { sizes, clamp: self.clamp.options() }
    }
}

impl CpuDepthwise {
    /// As the kernel wants it.
    pub fn options(&self) -> conv2d::Conv2d {
        let [.., channels] = self.input_shape.0;
        let sizes = self.window.nhwc(self.input_shape.0, channels, channels);
        conv2d::Conv2d { sizes, clamp: self.clamp.options() }
    }
}

impl QuantizedConv2d {
    /// As the kernel wants it.
    pub fn options(&self) -> quantized_conv2d::QuantizedConv2d {
        let out_channels = usize::try_from(self.out_channels).unwrap_or(0);
        let input = self.input_shape.0;
        quantized_conv2d::QuantizedConv2d {
            sizes: self.window.convolution(Layout::Nchw, input, self.groups, out_channels),
            input_offset: self.input_offset,
            filter_offset: self.filter_offset,
            rescale: self.requantize.options(),
        }
    }
}

impl CpuQuantizedConv2d {
    /// As the kernel wants it.
    pub fn options(&self) -> quantized_conv2d::QuantizedConv2d {
        let out_channels = usize::try_from(self.out_channels).unwrap_or(0);
        quantized_conv2d::QuantizedConv2d {
            sizes: self.window.nhwc(self.input_shape.0, 1, out_channels),
            input_offset: self.input_offset.wrapping_neg(),
            filter_offset: self.filter_offset.wrapping_neg(),
            rescale: self.requantize.options(),
        }
    }
}

impl CpuQuantizedDepthwise {
    /// As the kernel wants it.
    pub fn options(&self) -> quantized_conv2d::QuantizedConv2d {
        let [.., channels] = self.input_shape.0;
        quantized_conv2d::QuantizedConv2d {
            sizes: self.window.nhwc(self.input_shape.0, channels, channels),
            input_offset: self.input_offset.wrapping_neg(),
            filter_offset: self.filter_offset.wrapping_neg(),
            rescale: self.requantize.options(),
        }
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

impl ReduceWindow {
    /// As the kernel wants it, for 0x08.
    pub fn options(&self) -> Option<reduce_window::Pool> {
        reduce_window::Pool::new(Layout::Nchw, self.input_shape.0, self.window.options())
    }

    /// As the kernel wants it, for 0x1003.
    pub fn options_nhwc(&self) -> Option<reduce_window::Pool> {
        reduce_window::Pool::new(Layout::Nhwc, nhwc(self.input_shape.0), self.window.options())
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
