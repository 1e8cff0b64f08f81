//! The operators of kmodel v4 and their bodies. Layout: docs/formats.md, section v4.

use super::range::{Clamp, Pad, QuantParam, Range, Shape4, Window};
use crate::{
    kernels::{binary::BinaryOp, reduce::ReduceOp, unary::UnaryOp},
    model::{
        node::operators,
        range::DtypeCode,
        reader::{Field, body, choice},
    },
};

choice! { BinaryOp as BinaryOpCode { Add, Sub = 1, Mul = 2, Div = 3, Min = 4, Max = 5 } }
choice! {
    UnaryOp as UnaryOpCode {
        Abs, Ceil = 1, Cos = 2, Exp = 3, Floor = 4, Log = 5, Neg = 6, Rsqrt = 7, Sin = 8, Square = 9
    }
}
choice! { ReduceOp as ReduceOpCode { Mean, Min = 1, Max = 2, Sum = 3 } }
choice! { ResizeMode as ResizeModeCode { Bilinear, Nearest = 1 } }

/// How [`ResizeImage`] reads between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// Weighted mean of four pixels.
    Bilinear,
    /// One pixel.
    Nearest,
}

body! {
    /// How a sum of products becomes a byte again.
    Requantize {
        /// Multiplier.
        mul: i32,
        /// Right shift after the multiplication.
        shift: i32,
        /// Zero point of the output.
        offset: i32,
    }
}

body! {
    /// 0x00: `out = clamp(a op b)`, with broadcasting.
    Binary {
        /// First operand.
        a: Range,
        /// Second operand.
        b: Range,
        /// Result.
        output: Range,
        /// The operator.
        op: BinaryOpCode,
        /// Shape of `a`.
        a_shape: Shape4,
        /// Shape of `b`.
        b_shape: Shape4,
        /// Shape of the result.
        output_shape: Shape4,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x01: inputs one behind the other along one dimension; followed by `inputs` [`Range`]s and as
    /// many i32 sizes of the dimension.
    Concat {
        /// Result.
        output: Range,
        /// Bytes of one step of the dimension.
        inner_size: u32,
        /// Number of outer repetitions.
        outer_size: u32,
        /// Number of inputs.
        inputs: u32,
    }
}

body! {
    /// 0x02: convolution in floats, NCHW; followed by weights `[out_ch][in_ch / groups][fh][fw]`
    /// and bias `[out_ch]`.
    Conv2d {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// Groups of channels.
        groups: i32,
        /// Output channels.
        out_channels: i32,
        /// The window.
        window: Window,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x03: bytes to floats.
    Dequantize {
        /// Bytes.
        input: Range,
        /// Floats.
        output: Range,
        /// What the bytes mean.
        param: QuantParam,
    }
}

body! {
    /// 0x04: `out[rows][b_cols] = a[rows][a_cols] * b[a_cols][b_cols] + bias`; followed by the bias.
    MatMul {
        /// Left matrix.
        a: Range,
        /// Right matrix.
        b: Range,
        /// Result.
        output: Range,
        /// Rows of `a`.
        a_rows: i32,
        /// Columns of `a`, rows of `b`.
        a_cols: i32,
        /// Columns of `b`.
        b_cols: i32,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x05: adds or crops a border.
    PadTensor {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// Padding of each dimension.
        pads: Pads,
        /// Type of the value.
        value_dtype: DtypeCode,
        /// Value of the border; a byte stands first.
        value: [u8; 4],
    }
}

body! {
    /// Padding of the four dimensions.
    Pads {
        /// Batch.
        n: Pad,
        /// Channels.
        c: Pad,
        /// Height.
        h: Pad,
        /// Width.
        w: Pad,
    }
}

body! {
    /// 0x06: floats to bytes.
    Quantize {
        /// Floats.
        input: Range,
        /// Bytes.
        output: Range,
        /// What the bytes mean.
        param: QuantParam,
    }
}

body! {
    /// 0x07: reduces the dimensions whose output size is 1.
    Reduce {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// The operator.
        op: ReduceOpCode,
        /// Shape of the input.
        input_shape: Shape4,
        /// Shape of the result.
        output_shape: Shape4,
        /// Start value.
        init: f32,
    }
}

body! {
    /// 0x08 (NCHW) and 0x1003 (NHWC): pooling in floats.
    ReduceWindow {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// The operator.
        op: ReduceOpCode,
        /// Shape of the input.
        input_shape: Shape4,
        /// The window.
        window: Window,
        /// Start value.
        init: f32,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x09: copies bytes.
    MemoryCopy {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
    }
}

body! {
    /// 0x0A: resizes H and W.
    ResizeImage {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// Height of the result.
        out_height: i32,
        /// Width of the result.
        out_width: i32,
        /// How to read between pixels.
        mode: ResizeModeCode,
        /// First byte: whether corners map to corners.
        align_corners: [u8; 4],
    }
}

body! {
    /// 0x0B: softmax over the inner dimension.
    Softmax {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Elements that sum to 1.
        inner_size: i32,
        /// Number of such groups.
        outer_size: i32,
        /// Factor of the exponent.
        beta: f32,
    }
}

body! {
    /// 0x0C: `out dim i = in dim perm[i]`.
    Transpose {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// The permutation.
        perm: [i32; 4],
    }
}

body! {
    /// 0x0D: every `stride`-th element from `begin` to `end`.
    StridedSlice {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// First index of each dimension.
        begin: [i32; 4],
        /// Index behind the last one.
        end: [i32; 4],
        /// Steps, may be negative.
        strides: [i32; 4],
        /// Masks of TensorFlow, without effect: begin, end, ellipsis, new axis, shrink axis.
        masks: [i32; 5],
    }
}

body! {
    /// 0x0E: one function of each element.
    Unary {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// The operator.
        op: UnaryOpCode,
    }
}

body! {
    /// 0x0F: convolution of bytes, NCHW; followed by bias i32 `[out_ch]` and weights u8
    /// `[out_ch][in_ch / groups][fh][fw]`.
    QuantizedConv2d {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// Groups of channels.
        groups: i32,
        /// Output channels.
        out_channels: i32,
        /// The window.
        window: Window,
        /// Added to each input byte.
        input_offset: i32,
        /// Added to each weight.
        filter_offset: i32,
        /// Back to bytes.
        requantize: Requantize,
    }
}

body! {
    /// 0x10: matrix product of bytes; followed by bias i32 `[b_cols]`.
    QuantizedMatMul {
        /// Left matrix.
        a: Range,
        /// Right matrix.
        b: Range,
        /// Result.
        output: Range,
        /// Rows of `a`.
        a_rows: i32,
        /// Columns of `a`, rows of `b`.
        a_cols: i32,
        /// Columns of `b`.
        b_cols: i32,
        /// Added to each byte of `a`.
        a_offset: i32,
        /// Added to each byte of `b`.
        b_offset: i32,
        /// Back to bytes.
        requantize: Requantize,
    }
}

body! {
    /// How an operand of [`QuantizedBinary`] is scaled.
    OperandScale {
        /// Added first.
        offset: i32,
        /// Multiplier.
        mul: i32,
        /// Right shift.
        shift: i32,
    }
}

body! {
    /// 0x11: `out = a op b` on bytes, with broadcasting.
    QuantizedBinary {
        /// First operand.
        a: Range,
        /// Second operand.
        b: Range,
        /// Result.
        output: Range,
        /// The operator.
        op: BinaryOpCode,
        /// Shape of `a`.
        a_shape: Shape4,
        /// Shape of `b`.
        b_shape: Shape4,
        /// Shape of the result.
        output_shape: Shape4,
        /// Scaling of `a`.
        a_scale: OperandScale,
        /// Scaling of `b`.
        b_scale: OperandScale,
        /// Zero point of the result.
        output_offset: i32,
        /// Multiplier of the result.
        output_mul: i32,
        /// Right shift of the result.
        output_shift: i32,
    }
}

body! {
    /// 0x12: `out = table[in]` on bytes.
    TableLookup {
        /// Input.
        input: Range,
        /// 256 bytes.
        table: Range,
        /// Result.
        output: Range,
    }
}

body! {
    /// 0x13: transposed convolution in floats; followed by weights `[out_ch][in_ch / groups][fh][fw]`
    /// and a bias `[out_ch]` that is never added.
    Conv2dTranspose {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input.
        input_shape: Shape4,
        /// Shape of the result.
        output_shape: Shape4,
        /// Groups of channels.
        groups: i32,
        /// The window.
        window: Window,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x14: a small program for each element; followed by its code.
    Nnil {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
    }
}

body! {
    /// 0x1001: convolution in floats, NHWC; followed by weights `[out_ch][fh][fw][in_ch]` and bias.
    CpuConv2d {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input, N, H, W, C.
        input_shape: Shape4,
        /// Output channels.
        out_channels: i32,
        /// The window.
        window: Window,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x1002: depthwise convolution in floats, NHWC; followed by weights `[ch][fh][fw]` and bias.
    CpuDepthwise {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input, N, H, W, C.
        input_shape: Shape4,
        /// The window.
        window: Window,
        /// Bounds of the result.
        clamp: Clamp,
    }
}

body! {
    /// 0x1004: as [`CpuConv2d`] on bytes; followed by weights u8 and bias i32.
    CpuQuantizedConv2d {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input, N, H, W, C.
        input_shape: Shape4,
        /// Output channels.
        out_channels: i32,
        /// The window.
        window: Window,
        /// Subtracted from each input byte.
        input_offset: i32,
        /// Subtracted from each weight.
        filter_offset: i32,
        /// Back to bytes.
        requantize: Requantize,
    }
}

body! {
    /// 0x1005: as [`CpuDepthwise`] on bytes; followed by weights u8 and bias i32.
    CpuQuantizedDepthwise {
        /// Input.
        input: Range,
        /// Result.
        output: Range,
        /// Shape of the input, N, H, W, C.
        input_shape: Shape4,
        /// The window.
        window: Window,
        /// Subtracted from each input byte.
        input_offset: i32,
        /// Subtracted from each weight.
        filter_offset: i32,
        /// Back to bytes.
        requantize: Requantize,
    }
}

body! {
    /// 0x2001: bytes of main memory into KPU RAM.
    KpuUpload {
        /// Bytes in main memory.
        input: Range,
        /// The image in KPU RAM.
        output: Range,
        /// Shape of the image.
        shape: Shape4,
    }
}

body! {
    /// 0x2002, up to the layer words: a convolution by the KPU.
    KpuConvHead {
        /// Where the result goes in main memory; size 0: nowhere.
        main_output: Range,
        /// Number of images.
        batches: i32,
        /// Unused.
        reserved: i32,
        /// The twelve layer words; their address fields hold the gaps before the parameters.
        words: [u64; 12],
    }
}

operators! {
    0
    0x00 "binary" Binary(Binary)
    0x01 "concat" Concat(Concat)
    0x02 "conv2d" Conv2d(Conv2d)
    0x03 "dequantize" Dequantize(Dequantize)
    0x04 "matmul" MatMul(MatMul)
    0x05 "pad" Pad(PadTensor)
    0x06 "quantize" Quantize(Quantize)
    0x07 "reduce" Reduce(Reduce)
    0x08 "reduce window" ReduceWindow(ReduceWindow)
    0x09 "memory copy" MemoryCopy(MemoryCopy)
    0x0A "resize image" ResizeImage(ResizeImage)
    0x0B "softmax" Softmax(Softmax)
    0x0C "transpose" Transpose(Transpose)
    0x0D "strided slice" StridedSlice(StridedSlice)
    0x0E "unary" Unary(Unary)
    0x0F "quantized conv2d" QuantizedConv2d(QuantizedConv2d)
    0x10 "quantized matmul" QuantizedMatMul(QuantizedMatMul)
    0x11 "quantized binary" QuantizedBinary(QuantizedBinary)
    0x12 "table lookup" TableLookup(TableLookup)
    0x13 "conv2d transpose" Conv2dTranspose(Conv2dTranspose)
    0x14 "nnil unary" Nnil(Nnil)
    0x1001 "cpu conv2d" CpuConv2d(CpuConv2d)
    0x1002 "cpu depthwise conv2d" CpuDepthwise(CpuDepthwise)
    0x1003 "cpu reduce window" CpuReduceWindow(ReduceWindow)
    0x1004 "cpu quantized conv2d" CpuQuantizedConv2d(CpuQuantizedConv2d)
    0x1005 "cpu quantized depthwise conv2d" CpuQuantizedDepthwise(CpuQuantizedDepthwise)
    0x2001 "KPU upload" KpuUpload(KpuUpload)
    0x2002 "KPU conv2d" KpuConv(KpuConvHead)
}
