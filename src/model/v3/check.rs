//! What kmodel v3 layers read and write, and the checks of their sizes: after them no address leaves
//! main memory or KPU RAM.

use super::layer::{Operator, Pool, product};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Layer, layer::ACTIVATION_BYTES},
    model::{
        Node,
        operands::{Operands, OutputShape, images},
        range::{Memory, Range},
        reader::{Reader, count},
        source::{Source, Span},
    },
    tensor::{
        Dtype::{self, F32, U8},
        ImageShape,
    },
};

/// Elements of main memory: their address, type and number.
type Elements = (u32, Dtype, usize);

fn range((address, dtype, n): Elements) -> Range {
    let size = u32::try_from(n.saturating_mul(dtype.size())).unwrap_or(u32::MAX);
    Range::new(Memory::Main, dtype, address, size)
}

/// Finds the operands.
struct Finder<'o>(&'o mut Operands);

impl Finder<'_> {
    #[inline(never)]
    fn read(&mut self, what: What, elements: Elements) {
        let (_, dtype, n) = elements;
        self.0.read(what, &range(elements), dtype, n);
    }

    #[inline(never)]
    fn write(&mut self, elements: Elements) -> Result<()> {
        let (_, dtype, n) = elements;
        count(What::ElementsOfTheOutput, n as i64, 1 << 30)?;
        self.0.write(&range(elements), dtype, n);
        Ok(())
    }

    /// What makes each element of one.
    #[inline(never)]
    fn same(&mut self, input: Elements, output: u32, dtype: Dtype) -> Result<()> {
        let (_, _, n) = input;
        self.write((output, dtype, n))?;
        self.read(What::Input, input);
        self.0.shape = OutputShape::AsInput;
        Ok(())
    }

    #[inline(never)]
    fn sum(&mut self, [a, b, output]: [u32; 3], dtype: Dtype, count: u32) -> Result<()> {
        self.write((output, dtype, count as usize))?;
        self.read(What::A, (a, dtype, count as usize));
        self.read(What::B, (b, dtype, count as usize));
        self.0.shape = OutputShape::AsInput;
        Ok(())
    }

    fn known(&mut self, image: ImageShape) {
        self.0.shape = OutputShape::Known(images(1, image));
    }

    #[inline(never)]
    fn pool(&mut self, b: &Pool, dtype: Dtype) -> Result<()> {
        let n = b.output_size.check()?;
        for (what, value) in [
            (What::KernelWidth, b.kernel_width),
            (What::KernelHeight, b.kernel_height),
            (What::StrideInW, b.stride_width),
            (What::StrideInH, b.stride_height),
        ] {
            count(what, value.into(), 1 << 16)?;
        }
        if b.input_size.channels != b.output_size.channels {
            let channels = [b.output_size.channels.into(), 0];
            return Err(Error::about(Kind::Field, What::OutputChannels, channels));
        }
        for (what, pad) in [(What::PaddingInW, b.pad_width), (What::PaddingInH, b.pad_height)] {
            if pad > 1 << 16 {
                return Err(Error::about(Kind::Field, what, [pad.into(), 0]));
            }
        }
        self.write((b.output, dtype, n))?;
        self.read(What::Input, (b.input, dtype, b.input_size.check()?));
        self.known(b.output_size.shape());
        Ok(())
    }
}

/// Reads the words of a convolution's layer, which stand elsewhere in the file.
#[inline(never)]
fn read_layer(node: &mut Node, source: &dyn Source) -> Result<()> {
    let Operator::Conv(head) = Operator::of(node.row, &node.words) else { return Ok(()) };
    let span = inside(source, What::KpuLayer, head.layer_offset, 96)?;
    let words: [u32; 24] = Reader::of(source, span).checked()?;
    node.words.as_mut().iter_mut().skip(6).zip(words).for_each(|(to, word)| *to = word);
    Ok(())
}

/// A span of the file.
fn inside(source: &dyn Source, what: What, offset: u32, len: usize) -> Result<Span> {
    let (end, size) = (u64::from(offset) + len as u64, source.len() as u64);
    if end > size {
        return Err(Error::about(Kind::OutOfFile, what, [end, size]));
    }
    Ok(Span { offset: offset as usize, len })
}

/// Finds out what the layer reads and writes; `reader` stands behind the body.
#[inline(never)]
pub(in crate::model) fn read(
    node: &mut Node,
    reader: &mut Reader<'_>,
    source: &dyn Source,
) -> Result<()> {
    read_layer(node, source)?;
    let mut operands = Operands::default();
    let mut o = Finder(&mut operands);
    let operator = Operator::of(node.row, &node.words);
    match operator {
        Operator::Add(b) => o.sum([b.a, b.b, b.output], F32, b.count)?,
        Operator::QuantizedAdd(b) => o.sum([b.a, b.b, b.output], U8, b.count)?,
        Operator::GlobalAveragePool(b) => {
            o.write((b.output, F32, b.channels as usize))?;
            let n = product(&[(What::KernelSize, b.kernel_size), (What::Channels, b.channels)])?;
            o.read(What::Input, (b.input, F32, n));
        }
        Operator::QuantizedMaxPool(b) => o.pool(b, U8)?,
        Operator::AveragePool(b) => o.pool(b, F32)?,
        Operator::Quantize(b) => o.same((b.input, F32, b.count as usize), b.output, U8)?,
        Operator::Dequantize(b) => o.same((b.input, U8, b.count as usize), b.output, F32)?,
        Operator::Requantize(b) => {
            o.0.parameter(reader.take(256), 1);
            reader.done()?;
            o.same((b.input, U8, b.count as usize), b.output, U8)?;
        }
        Operator::L2Normalize(b) | Operator::Softmax(b) | Operator::Logistic(b) => {
            o.same((b.input, F32, b.channels as usize), b.output, F32)?;
        }
        Operator::FullyConnected(b) => {
            let sizes = [(What::Inputs, b.in_channels), (What::Outputs, b.out_channels)];
            let weights = product(&sizes)?;
            o.0.parameter(reader.take_items(weights, 4), 4);
            o.0.parameter(reader.take_items(b.out_channels as usize, 4), 4);
            reader.done()?;
            o.write((b.output, F32, b.out_channels as usize))?;
            o.read(What::Input, (b.input, F32, b.in_channels as usize));
        }
        Operator::Flatten(b) => {
            let n = b.size.check()?;
            o.write((b.output, F32, n))?;
            o.read(What::Input, (b.input, F32, n));
        }
        Operator::ResizeNearest(b) | Operator::QuantizedResizeNearest(b) => {
            let dtype = if matches!(operator, Operator::ResizeNearest(_)) { F32 } else { U8 };
            let n = product(&[
                (What::Channels, b.input_size.channels),
                (What::OutputWidth, b.out_width),
                (What::OutputHeight, b.out_height),
            ])?;
            o.write((b.output, dtype, n))?;
            o.read(What::Input, (b.input, dtype, b.input_size.check()?));
            o.known(b.output_shape());
        }
        Operator::ChannelwiseDequantize(b) => {
            o.0.parameter(reader.take_items(b.channels as usize, 8), 4);
            reader.done()?;
            let n = product(&[(What::Channels, b.channels), (What::ChannelSize, b.channel_size)])?;
            o.same((b.input, U8, n), b.output, F32)?;
        }
        Operator::AddPadding(b) => {
            count(What::Channels, b.channels.into(), 1 << 16)?;
            o.0.write_kpu(b.row as usize, 1, b.image())?;
            o.read(What::Input, (b.input, U8, b.channels as usize));
        }
        Operator::RemovePadding(b) => {
            o.write((b.output, U8, b.channels as usize))?;
            let n = product(&[(What::Channels, b.channels), (What::Pixels, 16)])?;
            o.read(What::Input, (b.input, U8, n));
        }
        Operator::Upload(b) => {
            let n = b.size.check()?;
            o.0.write_kpu(b.row as usize, 1, b.size.shape())?;
            o.read(What::Input, (b.input, U8, n));
        }
        Operator::Conv(head) => {
            let at = |e: Error| e.at(head.layer_offset.into());
            let layer = Layer::decode(node.layer()).map_err(at)?;
            let (bias, weights) = (layer.batch_norm_bytes(), layer.weights_bytes(node.eight_bit));
            for (what, offset, len) in [
                (What::BatchNormArray, head.bn_offset, bias),
                (What::ActivationTable, head.act_offset, ACTIVATION_BYTES),
                (What::Weights, head.weights_offset, weights),
            ] {
                o.0.parameter(inside(source, what, offset, len)?, 1);
            }
            o.0.write_kpu(layer.dst_row, 1, layer.output)?;
            if node.words.field::<u32>(0) & 1 != 0 {
                o.write((head.main_output, U8, layer.output.elements()))?;
            }
        }
        Operator::Concat(b) | Operator::QuantizedConcat(b) => {
            let dtype = if matches!(operator, Operator::Concat(_)) { F32 } else { U8 };
            reader.take_items(b.count as usize, 8);
            reader.done()?;
            let mut bytes = 0u64;
            node.parts(source, &mut |part| {
                bytes = bytes.saturating_add(part.bytes as u64);
                Ok(())
            })?;
            let bytes = count(What::BytesOfTheResult, bytes as i64, 1 << 30)?;
            o.write((b.output, dtype, bytes / dtype.size()))?;
        }
    }
    node.operands = operands;
    Ok(())
}
