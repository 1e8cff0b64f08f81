//! The layers of kmodel v3 and their bodies. Layout: docs/formats.md, section v3.

use crate::{
    error::{Error, Kind, Result, What},
    model::{
        node::operators,
        reader::{Field, Reader, body, check_count, choice},
    },
    tensor::ImageShape,
};

/// What follows a fully connected sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// At least 0.
    Relu,
    /// Between 0 and 6.
    Relu6,
}

choice! { Activation as ActivationCode { None, Relu = 1, Relu6 = 2 } }

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

    /// Checks the sizes and gives the number of elements.
    pub(super) fn check(&self) -> Result<usize> {
        let mut n = 1;
        times(&mut n, What::Width, self.width)?;
        times(&mut n, What::Height, self.height)?;
        times(&mut n, What::Channels, self.channels)?;
        Ok(n)
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
        activation: ActivationCode,
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

operators! {
    1
    1 "add" Add(Add)
    2 "quantized add" QuantizedAdd(QuantizedAdd)
    5 "global average pool" GlobalAveragePool(GlobalAveragePool)
    8 "quantized max pool" QuantizedMaxPool(Pool)
    9 "average pool" AveragePool(Pool)
    11 "quantize" Quantize(Quantization)
    12 "dequantize" Dequantize(Quantization)
    13 "requantize" Requantize(Requantize)
    14 "L2 normalize" L2Normalize(Vector)
    15 "softmax" Softmax(Vector)
    16 "concat" Concat(Concat)
    17 "quantized concat" QuantizedConcat(Concat)
    18 "fully connected" FullyConnected(FullyConnected)
    20 "flatten" Flatten(Flatten)
    22 "resize nearest" ResizeNearest(ResizeNearest)
    23 "quantized resize nearest" QuantizedResizeNearest(ResizeNearest)
    24 "channelwise dequantize" ChannelwiseDequantize(ChannelwiseDequantize)
    25 "logistic" Logistic(Vector)
    10240 "KPU conv2d" Conv(ConvHead)
    10241 "add padding" AddPadding(AddPadding)
    10242 "remove padding" RemovePadding(RemovePadding)
    10243 "KPU upload" Upload(Upload)
}

/// Layer types of the original that no runtime implements.
const UNIMPLEMENTED: [(u8, What); 8] = [
    (0, What::InvalidLayer),
    (3, What::GlobalMaxPool2dLayer),
    (4, What::QuantizedGlobalMaxPool2dLayer),
    (6, What::QuantizedGlobalAveragePool2dLayer),
    (7, What::MaxPool2dLayer),
    (10, What::QuantizedAveragePool2dLayer),
    (19, What::QuantizedFullyConnectedLayer),
    (21, What::QuantizedTensorflowFlattenLayer),
];

/// The error of a number that is no operator's. Like others it has flags, which `reader` must find.
pub(in crate::model) fn unknown(kind: u32, reader: &mut Reader<'_>) -> Error {
    let known = UNIMPLEMENTED.iter().find(|&&(number, _)| u32::from(number) == kind);
    let (error, what) = known
        .map_or((Kind::UnknownOperator, What::Nothing), |&(_, what)| (Kind::Unimplemented, what));
    reader.checked::<u32>().err().unwrap_or(Error::about(error, what, [kind.into(), 0]))
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

/// Multiplies a number of elements by a size; the size is at least 1, the product at most 2^30.
#[inline(never)]
pub(super) fn times(n: &mut usize, what: What, size: u32) -> Result<()> {
    const LIMIT: usize = 1 << 30;
    check_count(what, size.into(), LIMIT as i64)?;
    let (size, most) = (size as usize, LIMIT.checked_div(*n).unwrap_or(0));
    if size > most {
        return Err(Error::about(Kind::Count, what, [size as u64, most as u64]));
    }
    *n *= size;
    Ok(())
}
