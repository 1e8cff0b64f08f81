//! The layers of kmodel v3 and their bodies. Layout: docs/formats.md, section v3.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{self, layer::ACTIVATION_BYTES},
    model::{
        reader::{Field, Reader, Sink, body, choice, count},
        source::{Source, Span},
    },
    tensor::{Dtype, ImageShape},
};
use Dtype::{F32, U8};

choice! {
    /// What follows a fully connected sum.
    Activation, Activation {
        /// Nothing.
        None = 0,
        /// At least 0.
        Relu = 1,
        /// Between 0 and 6.
        Relu6 = 2,
    }
}

body! {
    /// Width, height and channels of an image.
    ImageSize {
        /// Pixels of a line.
        width: u32,
        /// Lines.
        height: u32,
        /// Planes.
        channels: u32,
    }
}

impl ImageSize {
    /// The same as a shape.
    pub fn shape(&self) -> ImageShape {
        ImageShape::new(self.channels as usize, self.height as usize, self.width as usize)
    }

    pub(super) fn check(&self) -> Result<usize> {
        product(&[
            (What::Width, self.width),
            (What::Height, self.height),
            (What::Channels, self.channels),
        ])
    }
}

body! {
    /// How bytes stand for real numbers in v3: `real = byte * scale + bias`.
    QuantParam {
        /// Units per byte.
        scale: f32,
        /// What byte 0 stands for.
        bias: f32,
    }
}

body! {
    /// Type 1: `out = a + b` in floats.
    Add {
        /// Address of `a`.
        a: u32,
        /// Address of `b`.
        b: u32,
        /// Address of the result.
        output: u32,
        /// Elements.
        count: u32,
    }
}

body! {
    /// How an operand of [`QuantizedAdd`] is scaled.
    OperandScale {
        /// Added first (operands) or last (result).
        offset: i32,
        /// Multiplier.
        mul: i32,
        /// Right shift.
        shift: i32,
    }
}

body! {
    /// Type 2: `out = a + b` in bytes.
    QuantizedAdd {
        /// Address of `a`.
        a: u32,
        /// Address of `b`.
        b: u32,
        /// Address of the result.
        output: u32,
        /// Elements.
        count: u32,
        /// Scaling of `a`.
        a_scale: OperandScale,
        /// Scaling of `b`.
        b_scale: OperandScale,
        /// Scaling of the result.
        output_scale: OperandScale,
    }
}

body! {
    /// Type 5: mean of each channel.
    GlobalAveragePool {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Elements of a channel.
        kernel_size: u32,
        /// Channels.
        channels: u32,
    }
}

body! {
    /// Types 8 (largest, bytes) and 9 (mean, floats; followed by an unused activation).
    Pool {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// The input image.
        input_size: ImageSize,
        /// The output image.
        output_size: ImageSize,
        /// Width of the window.
        kernel_width: u32,
        /// Height of the window.
        kernel_height: u32,
        /// Step in W.
        stride_width: u32,
        /// Step in H.
        stride_height: u32,
        /// Padding left.
        pad_width: u32,
        /// Padding on top.
        pad_height: u32,
    }
}

body! {
    /// Types 11 (floats to bytes) and 12 (bytes to floats).
    Quantization {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Elements.
        count: u32,
        /// What the bytes mean.
        param: QuantParam,
    }
}

body! {
    /// Type 13: `out = table[in]`; followed by 256 bytes.
    Requantize {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Elements.
        count: u32,
    }
}

body! {
    /// Types 14 (L2 normalize), 15 (softmax), 25 (logistic): floats, as many out as in.
    Vector {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Elements.
        channels: u32,
    }
}

body! {
    /// Types 16 and 17: ranges one behind the other; followed by `count` [`MainRange`]s.
    Concat {
        /// Address of the result.
        output: u32,
        /// Number of ranges.
        count: u32,
    }
}

body! {
    /// A byte range of main memory.
    MainRange {
        /// First byte.
        address: u32,
        /// Bytes.
        size: u32,
    }
}

body! {
    /// Type 18: `out = weights * in + bias` in floats; followed by weights `[out][in]` and bias `[out]`.
    FullyConnected {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Inputs.
        in_channels: u32,
        /// Outputs.
        out_channels: u32,
        /// What follows.
        activation: Activation,
    }
}

body! {
    /// Type 20: C, H, W to H, W, C in floats.
    Flatten {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// The image.
        size: ImageSize,
    }
}

body! {
    /// Types 22 (floats) and 23 (bytes): nearest pixel.
    ResizeNearest {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// The input image.
        input_size: ImageSize,
        /// Width of the result.
        out_width: u32,
        /// Height of the result.
        out_height: u32,
        /// Without effect.
        align_corners: u32,
    }
}

body! {
    /// Type 24: bytes to floats, each channel with its own meaning; followed by `channels`
    /// [`QuantParam`]s.
    ChannelwiseDequantize {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Channels.
        channels: u32,
        /// Elements of a channel.
        channel_size: u32,
    }
}

body! {
    /// Type 10240: a convolution by the KPU. Offsets are from the start of the file.
    ConvHead {
        /// Address of the result, if flag bit 0 is set.
        main_output: u32,
        /// Offset of the twelve layer words.
        layer_offset: u32,
        /// Offset of the weights.
        weights_offset: u32,
        /// Offset of the batch norm array.
        bn_offset: u32,
        /// Offset of the activation table.
        act_offset: u32,
    }
}

body! {
    /// Type 10241: every byte becomes pixel (0, 0) of a 4x4 image in KPU RAM.
    AddPadding {
        /// Address of the input.
        input: u32,
        /// First row.
        row: u32,
        /// Channels.
        channels: u32,
    }
}

body! {
    /// Type 10242: pixel (0, 0) of every 4x4 image.
    RemovePadding {
        /// Address of the input.
        input: u32,
        /// Address of the result.
        output: u32,
        /// Channels.
        channels: u32,
    }
}

body! {
    /// Type 10243: main memory into KPU RAM.
    Upload {
        /// Address of the input.
        input: u32,
        /// First row.
        row: u32,
        /// The image.
        size: ImageSize,
    }
}

/// Type 10240: a convolution by the KPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv {
    /// Address of the result in main memory, if it goes there.
    pub main_output: Option<u32>,
    /// The layer.
    pub layer: kpu::Layer,
    /// Batch norm, 8 bytes a channel.
    pub batch_norm: Span,
    /// Activation table, 144 bytes.
    pub activation: Span,
    /// Weights.
    pub weights: Span,
    /// Weights are 8 bits wide, not 16.
    pub eight_bit: bool,
}

/// A layer's operator and where its parameters are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // each variant is named like its body
pub enum Operator {
    Add(Add),
    QuantizedAdd(QuantizedAdd),
    GlobalAveragePool(GlobalAveragePool),
    QuantizedMaxPool(Pool),
    AveragePool(Pool),
    Quantize(Quantization),
    Dequantize(Quantization),
    Requantize(Requantize, Span),
    L2Normalize(Vector),
    Softmax(Vector),
    Concat(ConcatRanges),
    QuantizedConcat(ConcatRanges),
    FullyConnected(FullyConnected, FullyConnectedWeights),
    Flatten(Flatten),
    ResizeNearest(ResizeNearest),
    QuantizedResizeNearest(ResizeNearest),
    ChannelwiseDequantize(ChannelwiseDequantize, Span),
    Logistic(Vector),
    Conv(Conv),
    AddPadding(AddPadding),
    RemovePadding(RemovePadding),
    Upload(Upload),
}

/// Parameters of [`FullyConnected`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullyConnectedWeights {
    /// `[out][in]`, f32.
    pub weights: Span,
    /// `[out]`, f32.
    pub bias: Span,
}

/// Types 16 and 17: the ranges that are put one behind the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConcatRanges {
    /// Address of the result.
    pub output: u32,
    /// [`MainRange`]s.
    pub ranges: Span,
    /// Bytes of the result.
    pub bytes: usize,
}

impl ConcatRanges {
    #[inline(never)]
    fn read(source: &dyn Source, reader: &mut Reader<'_>) -> Self {
        let head: Concat = reader.field();
        let ranges = reader.take_items(head.count as usize, 8);
        let concat = Self { output: head.output, ranges, bytes: 0 };
        let mut bytes = 0u64;
        let all = concat.each(source, &mut |range| {
            bytes = bytes.saturating_add(range.size.into());
            Ok(())
        });
        reader.accept(all);
        let bytes = reader.accept(count(What::BytesOfTheResult, bytes as i64, 1 << 30));
        Self { bytes, ..concat }
    }

    /// Calls `each` with every range.
    pub fn each(
        &self,
        source: &dyn Source,
        each: &mut dyn FnMut(MainRange) -> Result<()>,
    ) -> Result<()> {
        let mut reader = Reader::of(source, self.ranges);
        while reader.remaining() > 0 {
            each(reader.checked()?)?;
        }
        reader.done()
    }
}

/// The layer types of the original that no runtime implements.
fn unimplemented(kind: u32) -> Option<What> {
    Some(match kind {
        0 => What::InvalidLayer,
        3 => What::GlobalMaxPool2dLayer,
        4 => What::QuantizedGlobalMaxPool2dLayer,
        6 => What::QuantizedGlobalAveragePool2dLayer,
        7 => What::MaxPool2dLayer,
        10 => What::QuantizedAveragePool2dLayer,
        19 => What::QuantizedFullyConnectedLayer,
        21 => What::QuantizedTensorflowFlattenLayer,
        _ => return None,
    })
}

/// What a layer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Elements of main memory.
    Main {
        /// Address of the first byte.
        address: u32,
        /// Their type.
        dtype: Dtype,
        /// Their number.
        elements: usize,
    },
    /// An image in KPU RAM.
    Kpu {
        /// First row.
        row: usize,
        /// The image.
        shape: ImageShape,
    },
}

/// What the checks of a layer know of its model.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of main memory.
    pub main: u32,
    /// Weights are 8 bits wide, not 16.
    pub eight_bit: bool,
}

impl Operator {
    /// Reads the body of a layer; `reader` ends where the body does, and remembers what is
    /// wrong.
    #[inline(never)]
    pub fn read(kind: u32, source: &dyn Source, reader: &mut Reader<'_>, limits: &Limits) -> Self {
        let flags: u32 = reader.field();
        match kind {
            1 => Self::Add(reader.field()),
            2 => Self::QuantizedAdd(reader.field()),
            5 => Self::GlobalAveragePool(reader.field()),
            8 => Self::QuantizedMaxPool(reader.field()),
            9 => Self::AveragePool(reader.field()),
            11 => Self::Quantize(reader.field()),
            12 => Self::Dequantize(reader.field()),
            13 => Self::Requantize(reader.field(), reader.take(256)),
            14 => Self::L2Normalize(reader.field()),
            15 => Self::Softmax(reader.field()),
            16 => Self::Concat(ConcatRanges::read(source, reader)),
            17 => Self::QuantizedConcat(ConcatRanges::read(source, reader)),
            18 => {
                let body: FullyConnected = reader.field();
                let n = product(&[
                    (What::Inputs, body.in_channels),
                    (What::Outputs, body.out_channels),
                ]);
                let n = reader.accept(n);
                let weights = reader.take_items(n, 4);
                let bias = reader.take_items(body.out_channels as usize, 4);
                Self::FullyConnected(body, FullyConnectedWeights { weights, bias })
            }
            20 => Self::Flatten(reader.field()),
            22 => Self::ResizeNearest(reader.field()),
            23 => Self::QuantizedResizeNearest(reader.field()),
            24 => {
                let body: ChannelwiseDequantize = reader.field();
                let params = reader.take_items(body.channels as usize, 8);
                Self::ChannelwiseDequantize(body, params)
            }
            25 => Self::Logistic(reader.field()),
            10240 => match Conv::read(flags, source, reader, limits) {
                Ok(body) => Self::Conv(body),
                Err(error) => Self::failed(reader, error),
            },
            10241 => Self::AddPadding(reader.field()),
            10242 => Self::RemovePadding(reader.field()),
            10243 => Self::Upload(reader.field()),
            _ => {
                let error = match unimplemented(kind) {
                    Some(name) => Error::about(Kind::Unimplemented, name, [kind.into(), 0]),
                    None => Error::about(Kind::UnknownOperator, What::Nothing, [kind.into(), 0]),
                };
                Self::failed(reader, error)
            }
        }
    }

    /// Any operator, behind an error that the reader remembers.
    fn failed(reader: &mut Reader<'_>, error: Error) -> Self {
        reader.fail(error);
        Self::Logistic(reader.field())
    }

    /// The number of the layer type in the file.
    pub fn kind(&self) -> u32 {
        match self {
            Self::Add(_) => 1,
            Self::QuantizedAdd(_) => 2,
            Self::GlobalAveragePool(_) => 5,
            Self::QuantizedMaxPool(_) => 8,
            Self::AveragePool(_) => 9,
            Self::Quantize(_) => 11,
            Self::Dequantize(_) => 12,
            Self::Requantize(..) => 13,
            Self::L2Normalize(_) => 14,
            Self::Softmax(_) => 15,
            Self::Concat(_) => 16,
            Self::QuantizedConcat(_) => 17,
            Self::FullyConnected(..) => 18,
            Self::Flatten(_) => 20,
            Self::ResizeNearest(_) => 22,
            Self::QuantizedResizeNearest(_) => 23,
            Self::ChannelwiseDequantize(..) => 24,
            Self::Logistic(_) => 25,
            Self::Conv(_) => 10240,
            Self::AddPadding(_) => 10241,
            Self::RemovePadding(_) => 10242,
            Self::Upload(_) => 10243,
        }
    }

    /// The operator's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "add",
            Self::QuantizedAdd(_) => "quantized add",
            Self::GlobalAveragePool(_) => "global average pool",
            Self::QuantizedMaxPool(_) => "quantized max pool",
            Self::AveragePool(_) => "average pool",
            Self::Quantize(_) => "quantize",
            Self::Dequantize(_) => "dequantize",
            Self::Requantize(..) => "requantize",
            Self::L2Normalize(_) => "L2 normalize",
            Self::Softmax(_) => "softmax",
            Self::Concat(_) => "concat",
            Self::QuantizedConcat(_) => "quantized concat",
            Self::FullyConnected(..) => "fully connected",
            Self::Flatten(_) => "flatten",
            Self::ResizeNearest(_) => "resize nearest",
            Self::QuantizedResizeNearest(_) => "quantized resize nearest",
            Self::ChannelwiseDequantize(..) => "channelwise dequantize",
            Self::Logistic(_) => "logistic",
            Self::Conv(_) => "KPU conv2d",
            Self::AddPadding(_) => "add padding",
            Self::RemovePadding(_) => "remove padding",
            Self::Upload(_) => "KPU upload",
        }
    }

    /// What the layer writes.
    pub fn output(&self) -> Output {
        let main = |address, dtype, elements| Output::Main { address, dtype, elements };
        match self {
            Self::Add(b) => main(b.output, F32, b.count as usize),
            Self::QuantizedAdd(b) => main(b.output, U8, b.count as usize),
            Self::GlobalAveragePool(b) => main(b.output, F32, b.channels as usize),
            Self::QuantizedMaxPool(b) => main(b.output, U8, b.output_size.shape().elements()),
            Self::AveragePool(b) => main(b.output, F32, b.output_size.shape().elements()),
            Self::Quantize(b) => main(b.output, U8, b.count as usize),
            Self::Dequantize(b) => main(b.output, F32, b.count as usize),
            Self::Requantize(b, _) => main(b.output, U8, b.count as usize),
            Self::L2Normalize(b) | Self::Softmax(b) | Self::Logistic(b) => {
                main(b.output, F32, b.channels as usize)
            }
            Self::Concat(b) => main(b.output, F32, b.bytes / 4),
            Self::QuantizedConcat(b) => main(b.output, U8, b.bytes),
            Self::FullyConnected(b, _) => main(b.output, F32, b.out_channels as usize),
            Self::Flatten(b) => main(b.output, F32, b.size.shape().elements()),
            Self::ResizeNearest(b) => main(b.output, F32, b.output_shape().elements()),
            Self::QuantizedResizeNearest(b) => main(b.output, U8, b.output_shape().elements()),
            Self::ChannelwiseDequantize(b, _) => {
                main(b.output, F32, b.channels as usize * b.channel_size as usize)
            }
            Self::RemovePadding(b) => main(b.output, U8, b.channels as usize),
            Self::Conv(b) => match b.main_output {
                Some(address) => main(address, U8, b.layer.output.elements()),
                None => Output::Kpu { row: b.layer.dst_row, shape: b.layer.output },
            },
            Self::AddPadding(b) => Output::Kpu { row: b.row as usize, shape: b.image() },
            Self::Upload(b) => Output::Kpu { row: b.row as usize, shape: b.size.shape() },
        }
    }
}

impl AddPadding {
    /// The 4x4 images.
    pub fn image(&self) -> ImageShape {
        ImageShape::new(self.channels as usize, 4, 4)
    }
}

impl ResizeNearest {
    /// The result.
    pub fn output_shape(&self) -> ImageShape {
        let channels = self.input_size.channels as usize;
        ImageShape::new(channels, self.out_height as usize, self.out_width as usize)
    }
}

impl Conv {
    #[inline(never)]
    fn read(
        flags: u32,
        source: &dyn Source,
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<Self> {
        let head: ConvHead = reader.checked()?;
        let at = |what: What, offset: u32, len: usize| {
            let end = u64::from(offset) + len as u64;
            if end > source.len() as u64 {
                return Err(Error::about(Kind::OutOfFile, what, [end, source.len() as u64]));
            }
            Ok(Span { offset: offset as usize, len })
        };
        let words = at(What::KpuLayer, head.layer_offset, 96)?;
        let words = Reader::of(source, words).checked()?;
        let layer = kpu::Layer::decode(&words).map_err(|e| e.at(head.layer_offset.into()))?;
        Ok(Self {
            main_output: (flags & 1 != 0).then_some(head.main_output),
            batch_norm: at(What::BatchNormArray, head.bn_offset, layer.batch_norm_bytes())?,
            activation: at(What::ActivationTable, head.act_offset, ACTIVATION_BYTES)?,
            weights: at(What::Weights, head.weights_offset, layer.weights_bytes(limits.eight_bit))?,
            layer,
            eight_bit: limits.eight_bit,
        })
    }
}

/// The product of sizes, each at least 1, the whole at most 2^30.
#[inline(never)]
pub(super) fn product(sizes: &[(What, u32)]) -> Result<usize> {
    const LIMIT: u64 = 1 << 30;
    let mut product = 1u64;
    for &(what, size) in sizes {
        let size = count(what, size.into(), LIMIT as i64)? as u64;
        let most = LIMIT.checked_div(product).unwrap_or(0);
        if size > most {
            return Err(Error::about(Kind::Count, what, [size, most]));
        }
        product *= size;
    }
    Ok(product as usize)
}
