//! The operators of kmodel v4 and their bodies. Layout: docs/formats.md, section v4.

use super::range::{Clamp, Memory, Pad, QuantParam, Range, Shape4, Window};
use crate::{
    error::{Error, Kind, Result, What},
    kernels::{binary::BinaryOp, reduce::ReduceOp, unary::UnaryOp},
    kpu::{
        Layer,
        layer::ACTIVATION_BYTES,
        memory::{ROW_BYTES, rows},
    },
    model::{
        reader::{Field, Reader, Sink, body, choice, count},
        source::Span,
    },
    tensor::Dtype,
};

/// Operators of kernels, stored as their number.
macro_rules! operators {
    ($($name:ident, $first:ident, $count:literal, $what:ident;)*) => {$(
        impl Field for $name {
            fn read(reader: &mut Reader<'_>) -> Self {
                Self::from_number(reader.choice(What::$what, $count)).unwrap_or(Self::$first)
            }

            fn write(&self, sink: Sink<'_>) {
                (*self as u32).write(sink);
            }
        }
    )*};
}

operators! {
    BinaryOp, Add, 6, BinaryOperator;
    UnaryOp, Abs, 10, UnaryOperator;
    ReduceOp, Mean, 4, ReduceOperator;
}

choice! {
    /// How [`ResizeImage`] reads between pixels.
    ResizeMode, ResizeMode {
        /// Weighted mean of four pixels.
        Bilinear = 0,
        /// One pixel.
        Nearest = 1,
    }
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
        op: BinaryOp,
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
    /// 0x01: inputs one behind the other along one dimension; followed by [`ConcatInputs`].
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
        value_dtype: Dtype,
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
        op: ReduceOp,
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
        op: ReduceOp,
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
        mode: ResizeMode,
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
        op: UnaryOp,
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
        op: BinaryOp,
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

/// 0x2002: a convolution by the KPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KpuConv {
    /// Where the result goes in main memory; size 0: nowhere.
    pub main_output: Range,
    /// Number of images; the rows of image `n` are `n` times an image behind those of the layer.
    pub batches: usize,
    /// The layer.
    pub layer: Layer,
    /// Batch norm, 8 bytes a channel.
    pub batch_norm: Span,
    /// Activation table, 144 bytes.
    pub activation: Span,
    /// Weights, one byte each.
    pub weights: Span,
}

/// Parameters behind a body.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    /// The weights.
    pub weights: Span,
    /// The bias.
    pub bias: Span,
}

/// The inputs of a [`Concat`]: `n` ranges, then `n` x i32 sizes of the dimension.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatInputs {
    /// `n` ranges of 16 bytes.
    pub ranges: Span,
    /// `n` x i32.
    pub dims: Span,
}

/// A checked node's operator and where its parameters are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // each variant is named like its body
pub enum Operator {
    Binary(Binary),
    Concat(Concat, ConcatInputs),
    Conv2d(Conv2d, Weights),
    Dequantize(Dequantize),
    MatMul(MatMul, Span),
    Pad(PadTensor),
    Quantize(Quantize),
    Reduce(Reduce),
    ReduceWindow(ReduceWindow),
    MemoryCopy(MemoryCopy),
    ResizeImage(ResizeImage),
    Softmax(Softmax),
    Transpose(Transpose),
    StridedSlice(StridedSlice),
    Unary(Unary),
    QuantizedConv2d(QuantizedConv2d, Weights),
    QuantizedMatMul(QuantizedMatMul, Span),
    QuantizedBinary(QuantizedBinary),
    TableLookup(TableLookup),
    Conv2dTranspose(Conv2dTranspose, Weights),
    Nnil(Nnil, Span),
    CpuConv2d(CpuConv2d, Weights),
    CpuDepthwise(CpuDepthwise, Weights),
    CpuReduceWindow(ReduceWindow),
    CpuQuantizedConv2d(CpuQuantizedConv2d, Weights),
    CpuQuantizedDepthwise(CpuQuantizedDepthwise, Weights),
    KpuUpload(KpuUpload),
    KpuConv(KpuConv),
}

impl Operator {
    /// Reads the body of a node; `reader` ends where the body does, and remembers what is wrong.
    #[inline(never)]
    pub fn read(opcode: u32, reader: &mut Reader<'_>) -> Self {
        match opcode {
            0x00 => Self::Binary(reader.field()),
            0x01 => {
                let body: Concat = reader.field();
                let n = body.inputs as usize;
                let ranges = reader.take_items(n, 16);
                Self::Concat(body, ConcatInputs { ranges, dims: reader.take_items(n, 4) })
            }
            0x02 => {
                let body: Conv2d = reader.field();
                let inputs = grouped(body.input_shape, body.groups, body.out_channels);
                let inputs = reader.accept(inputs);
                let weights = FLOATS.read(reader, body.out_channels, inputs, &body.window);
                Self::Conv2d(body, weights)
            }
            0x03 => Self::Dequantize(reader.field()),
            0x04 => {
                let body: MatMul = reader.field();
                Self::MatMul(body, bias(reader, body.b_cols))
            }
            0x05 => Self::Pad(reader.field()),
            0x06 => Self::Quantize(reader.field()),
            0x07 => Self::Reduce(reader.field()),
            0x08 => Self::ReduceWindow(reader.field()),
            0x09 => Self::MemoryCopy(reader.field()),
            0x0A => Self::ResizeImage(reader.field()),
            0x0B => Self::Softmax(reader.field()),
            0x0C => Self::Transpose(reader.field()),
            0x0D => Self::StridedSlice(reader.field()),
            0x0E => Self::Unary(reader.field()),
            0x0F => {
                let body: QuantizedConv2d = reader.field();
                let inputs = grouped(body.input_shape, body.groups, body.out_channels);
                let inputs = reader.accept(inputs);
                let order = Order { bias_first: true, ..BYTES };
                let weights = order.read(reader, body.out_channels, inputs, &body.window);
                Self::QuantizedConv2d(body, weights)
            }
            0x10 => {
                let body: QuantizedMatMul = reader.field();
                Self::QuantizedMatMul(body, bias(reader, body.b_cols))
            }
            0x11 => Self::QuantizedBinary(reader.field()),
            0x12 => Self::TableLookup(reader.field()),
            0x13 => {
                let body: Conv2dTranspose = reader.field();
                let out_channels = body.output_shape.0[1] as i32;
                let inputs = grouped(body.input_shape, body.groups, out_channels);
                let inputs = reader.accept(inputs);
                let weights = FLOATS.read(reader, out_channels, inputs, &body.window);
                Self::Conv2dTranspose(body, weights)
            }
            0x14 => Self::Nnil(reader.field(), reader.take(reader.remaining())),
            0x1001 => {
                let body: CpuConv2d = reader.field();
                let [.., inputs] = body.input_shape.0;
                let weights = FLOATS.read(reader, body.out_channels, inputs, &body.window);
                Self::CpuConv2d(body, weights)
            }
            0x1002 => {
                let body: CpuDepthwise = reader.field();
                let [.., channels] = body.input_shape.0;
                Self::CpuDepthwise(body, FLOATS.read(reader, channels as i32, 1, &body.window))
            }
            0x1003 => Self::CpuReduceWindow(reader.field()),
            0x1004 => {
                let body: CpuQuantizedConv2d = reader.field();
                let [.., inputs] = body.input_shape.0;
                let weights = BYTES.read(reader, body.out_channels, inputs, &body.window);
                Self::CpuQuantizedConv2d(body, weights)
            }
            0x1005 => {
                let body: CpuQuantizedDepthwise = reader.field();
                let [.., channels] = body.input_shape.0;
                let weights = BYTES.read(reader, channels as i32, 1, &body.window);
                Self::CpuQuantizedDepthwise(body, weights)
            }
            0x2001 => Self::KpuUpload(reader.field()),
            0x2002 => match KpuConv::read(reader) {
                Ok(body) => Self::KpuConv(body),
                Err(error) => Self::failed(reader, error),
            },
            _ => {
                let error = Error::about(Kind::UnknownOperator, What::Nothing, [opcode.into(), 0]);
                Self::failed(reader, error)
            }
        }
    }

    /// Any operator, behind an error that the reader remembers.
    fn failed(reader: &mut Reader<'_>, error: Error) -> Self {
        reader.fail(error);
        Self::MemoryCopy(reader.field())
    }

    /// The number of the operator in the file.
    pub fn opcode(&self) -> u32 {
        match self {
            Self::Binary(_) => 0x00,
            Self::Concat(..) => 0x01,
            Self::Conv2d(..) => 0x02,
            Self::Dequantize(_) => 0x03,
            Self::MatMul(..) => 0x04,
            Self::Pad(_) => 0x05,
            Self::Quantize(_) => 0x06,
            Self::Reduce(_) => 0x07,
            Self::ReduceWindow(_) => 0x08,
            Self::MemoryCopy(_) => 0x09,
            Self::ResizeImage(_) => 0x0A,
            Self::Softmax(_) => 0x0B,
            Self::Transpose(_) => 0x0C,
            Self::StridedSlice(_) => 0x0D,
            Self::Unary(_) => 0x0E,
            Self::QuantizedConv2d(..) => 0x0F,
            Self::QuantizedMatMul(..) => 0x10,
            Self::QuantizedBinary(_) => 0x11,
            Self::TableLookup(_) => 0x12,
            Self::Conv2dTranspose(..) => 0x13,
            Self::Nnil(..) => 0x14,
            Self::CpuConv2d(..) => 0x1001,
            Self::CpuDepthwise(..) => 0x1002,
            Self::CpuReduceWindow(_) => 0x1003,
            Self::CpuQuantizedConv2d(..) => 0x1004,
            Self::CpuQuantizedDepthwise(..) => 0x1005,
            Self::KpuUpload(_) => 0x2001,
            Self::KpuConv(_) => 0x2002,
        }
    }

    /// The operator's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Binary(_) => "binary",
            Self::Concat(..) => "concat",
            Self::Conv2d(..) => "conv2d",
            Self::Dequantize(_) => "dequantize",
            Self::MatMul(..) => "matmul",
            Self::Pad(_) => "pad",
            Self::Quantize(_) => "quantize",
            Self::Reduce(_) => "reduce",
            Self::ReduceWindow(_) => "reduce window",
            Self::MemoryCopy(_) => "memory copy",
            Self::ResizeImage(_) => "resize image",
            Self::Softmax(_) => "softmax",
            Self::Transpose(_) => "transpose",
            Self::StridedSlice(_) => "strided slice",
            Self::Unary(_) => "unary",
            Self::QuantizedConv2d(..) => "quantized conv2d",
            Self::QuantizedMatMul(..) => "quantized matmul",
            Self::QuantizedBinary(_) => "quantized binary",
            Self::TableLookup(_) => "table lookup",
            Self::Conv2dTranspose(..) => "conv2d transpose",
            Self::Nnil(..) => "nnil unary",
            Self::CpuConv2d(..) => "cpu conv2d",
            Self::CpuDepthwise(..) => "cpu depthwise conv2d",
            Self::CpuReduceWindow(_) => "cpu reduce window",
            Self::CpuQuantizedConv2d(..) => "cpu quantized conv2d",
            Self::CpuQuantizedDepthwise(..) => "cpu quantized depthwise conv2d",
            Self::KpuUpload(_) => "KPU upload",
            Self::KpuConv(_) => "KPU conv2d",
        }
    }

    /// The range that the node reads, if it is a single one.
    pub fn input(&self) -> Option<Range> {
        Some(match self {
            Self::Conv2d(b, _) => b.input,
            Self::Dequantize(b) => b.input,
            Self::Pad(b) => b.input,
            Self::Quantize(b) => b.input,
            Self::Reduce(b) => b.input,
            Self::ReduceWindow(b) | Self::CpuReduceWindow(b) => b.input,
            Self::MemoryCopy(b) => b.input,
            Self::ResizeImage(b) => b.input,
            Self::Softmax(b) => b.input,
            Self::Transpose(b) => b.input,
            Self::StridedSlice(b) => b.input,
            Self::Unary(b) => b.input,
            Self::QuantizedConv2d(b, _) => b.input,
            Self::Conv2dTranspose(b, _) => b.input,
            Self::Nnil(b, _) => b.input,
            Self::CpuConv2d(b, _) => b.input,
            Self::CpuDepthwise(b, _) => b.input,
            Self::CpuQuantizedConv2d(b, _) => b.input,
            Self::CpuQuantizedDepthwise(b, _) => b.input,
            Self::KpuUpload(b) => b.input,
            Self::KpuConv(b) => b.kpu_input(),
            Self::Binary(_)
            | Self::Concat(..)
            | Self::MatMul(..)
            | Self::QuantizedMatMul(..)
            | Self::QuantizedBinary(_)
            | Self::TableLookup(_) => return None,
        })
    }

    /// The range that the node writes.
    pub fn output(&self) -> Range {
        match self {
            Self::Binary(b) => b.output,
            Self::Concat(b, _) => b.output,
            Self::Conv2d(b, _) => b.output,
            Self::Dequantize(b) => b.output,
            Self::MatMul(b, _) => b.output,
            Self::Pad(b) => b.output,
            Self::Quantize(b) => b.output,
            Self::Reduce(b) => b.output,
            Self::ReduceWindow(b) | Self::CpuReduceWindow(b) => b.output,
            Self::MemoryCopy(b) => b.output,
            Self::ResizeImage(b) => b.output,
            Self::Softmax(b) => b.output,
            Self::Transpose(b) => b.output,
            Self::StridedSlice(b) => b.output,
            Self::Unary(b) => b.output,
            Self::QuantizedConv2d(b, _) => b.output,
            Self::QuantizedMatMul(b, _) => b.output,
            Self::QuantizedBinary(b) => b.output,
            Self::TableLookup(b) => b.output,
            Self::Conv2dTranspose(b, _) => b.output,
            Self::Nnil(b, _) => b.output,
            Self::CpuConv2d(b, _) => b.output,
            Self::CpuDepthwise(b, _) => b.output,
            Self::CpuQuantizedConv2d(b, _) => b.output,
            Self::CpuQuantizedDepthwise(b, _) => b.output,
            Self::KpuUpload(b) => b.output,
            Self::KpuConv(b) if b.main_output.size > 0 => b.main_output,
            Self::KpuConv(b) => b.kpu_output(),
        }
    }
}

/// Longest program of an [`Nnil`] node, in bytes.
pub const MAX_NNIL: usize = 1024;

/// Largest size of a matrix dimension.
const MAX_DIM: i64 = 1 << 24;

/// Input channels that one output channel sees.
fn grouped(input: Shape4, groups: i32, out_channels: i32) -> Result<usize> {
    let [_, in_channels, ..] = input.0;
    let groups = count(What::Groups, groups.into(), in_channels as i64)?;
    count(What::OutputChannels, out_channels.into(), MAX_DIM)?;
    if !in_channels.is_multiple_of(groups) || !(out_channels as usize).is_multiple_of(groups) {
        return Err(Error::about(Kind::Field, What::Groups, [groups as u64, 0]));
    }
    Ok(in_channels.checked_div(groups).unwrap_or(0))
}

/// Reads the bias of a matrix product, one word a column.
fn bias(reader: &mut Reader<'_>, columns: i32) -> Span {
    let columns = reader.accept(count(What::ColumnsOfB, columns.into(), MAX_DIM));
    reader.take_items(columns, 4)
}

/// How the parameters of a convolution stand in the file.
struct Order {
    /// Bytes of a weight.
    weight: usize,
    /// The bias stands before the weights.
    bias_first: bool,
}

const FLOATS: Order = Order { weight: 4, bias_first: false };
const BYTES: Order = Order { weight: 1, bias_first: false };

impl Order {
    #[inline(never)]
    fn read(
        &self,
        reader: &mut Reader<'_>,
        out_channels: i32,
        in_channels: usize,
        window: &Window,
    ) -> Weights {
        reader.accept(window.check());
        let out_channels = count(What::OutputChannels, out_channels.into(), MAX_DIM);
        let out_channels = reader.accept(out_channels);
        let weights = window.taps().saturating_mul(in_channels).saturating_mul(out_channels);
        let before = self.bias_first.then(|| reader.take_items(out_channels, 4));
        let weights = reader.take_items(weights, self.weight);
        Weights { weights, bias: before.unwrap_or_else(|| reader.take_items(out_channels, 4)) }
    }
}

impl KpuConv {
    #[inline(never)]
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let head: KpuConvHead = reader.checked()?;
        let layer = Layer::decode(&head.words)?;
        let batches = count(What::Batches, head.batches.into(), 1 << 16)?;
        let mut behind_gap = |gap: u32, len: usize| {
            reader.take(gap as usize);
            reader.take(len)
        };
        Ok(Self {
            main_output: head.main_output,
            batches,
            batch_norm: behind_gap(layer.bn_addr, layer.batch_norm_bytes()),
            activation: behind_gap(layer.act_addr, ACTIVATION_BYTES),
            weights: behind_gap(layer.weight_addr, layer.weights_bytes(true)),
            layer,
        })
    }

    /// The result's rows in KPU RAM, as a range.
    pub fn kpu_output(&self) -> Range {
        Range {
            memory: Memory::Kpu,
            dtype: Dtype::U8,
            start: (self.layer.dst_row * ROW_BYTES) as u32,
            size: (rows(self.layer.output) * self.batches * ROW_BYTES) as u32,
        }
    }

    /// The input's rows in KPU RAM, as a range.
    pub fn kpu_input(&self) -> Range {
        Range {
            memory: Memory::Kpu,
            dtype: Dtype::U8,
            start: (self.layer.src_row * ROW_BYTES) as u32,
            size: (rows(self.layer.input) * self.batches * ROW_BYTES) as u32,
        }
    }
}
