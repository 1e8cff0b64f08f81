//! What kmodel v3 layers read and write, and the checks of their sizes: after them no address leaves
//! main memory or KPU RAM.

use super::layer::{Operator, Pool, times};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Layer, layer::ACTIVATION_BYTES},
    model::{
        Node,
        operands::{Operands, OutputShape, images},
        range::{Memory, Range},
        reader::{Field, Reader, check_count},
        source::{Source, Span},
    },
    tensor::{
        Dtype::{self, F32, U8},
        ImageShape,
    },
};

/// Finds the operands.
struct Finder<'o>(&'o mut Operands);

impl Finder<'_> {
    /// `n` elements of main memory that are read.
    #[inline(never)]
    fn read(&mut self, what: What, address: u32, dtype: Dtype, n: usize) {
        self.0.read(what, &range(address, dtype, n), dtype, n);
    }

    #[inline(never)]
    fn write(&mut self, address: u32, dtype: Dtype, n: usize) -> Result<()> {
        check_count(What::ElementsOfTheOutput, n as i64, 1 << 30)?;
        self.0.write(&range(address, dtype, n), dtype, n);
        Ok(())
    }

    /// Of a layer that makes each element of one.
    #[inline(never)]
    fn same(&mut self, [input, output]: [u32; 2], n: usize, from: Dtype, to: Dtype) -> Result<()> {
        self.write(output, to, n)?;
        self.read(What::Input, input, from, n);
        self.0.shape = OutputShape::AsInput;
        Ok(())
    }

    #[inline(never)]
    fn sum(&mut self, [a, b]: [u32; 2], output: u32, n: u32, dtype: Dtype) -> Result<()> {
        self.write(output, dtype, n as usize)?;
        self.read(What::A, a, dtype, n as usize);
        self.read(What::B, b, dtype, n as usize);
        self.0.shape = OutputShape::AsInput;
        Ok(())
    }

    fn known(&mut self, image: ImageShape) {
        self.0.shape = OutputShape::Known(images(1, image));
    }

    #[inline(never)]
    fn pool(&mut self, b: &Pool, dtype: Dtype) -> Result<()> {
        let n = b.output_size.check()?;
        check_count(What::KernelWidth, b.kernel_width.into(), 1 << 16)?;
        check_count(What::KernelHeight, b.kernel_height.into(), 1 << 16)?;
        check_count(What::StrideInW, b.stride_width.into(), 1 << 16)?;
        check_count(What::StrideInH, b.stride_height.into(), 1 << 16)?;
        let possible = |what, value: u32, possible: bool| match possible {
            true => Ok(()),
            false => Err(Error::about(Kind::Field, what, [value.into(), 0])),
        };
        let channels = b.output_size.channels;
        possible(What::OutputChannels, channels, b.input_size.channels == channels)?;
        possible(What::PaddingInW, b.pad_width, b.pad_width <= 1 << 16)?;
        possible(What::PaddingInH, b.pad_height, b.pad_height <= 1 << 16)?;
        self.write(b.output, dtype, n)?;
        self.read(What::Input, b.input, dtype, b.input_size.check()?);
        self.known(b.output_size.shape());
        Ok(())
    }
}

/// `n` elements of main memory.
fn range(address: u32, dtype: Dtype, n: usize) -> Range {
    let size = u32::try_from(n.saturating_mul(dtype.size())).unwrap_or(u32::MAX);
    Range::new(Memory::Main, dtype, address, size)
}

/// Reads the words of a convolution's layer, which stand elsewhere in the file.
#[inline(never)]
pub(in crate::model) fn read_layer(node: &mut Node, source: &dyn Source) -> Result<()> {
    let Operator::Conv(head) = Operator::of(node.row, &node.words) else { return Ok(()) };
    let span = inside(source, What::KpuLayer, head.layer_offset, 96)?;
    let reader = &mut Reader::of(source, span);
    reader.parts(<[u32; 24]>::PARTS, node.words.as_mut().get_mut(6..).unwrap_or_default());
    reader.done()
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
    node: &Node,
    o: &mut Operands,
    reader: &mut Reader<'_>,
    source: &dyn Source,
) -> Result<()> {
    let mut o = Finder(o);
    let operator = Operator::of(node.row, &node.words);
    match operator {
        Operator::Add(b) => o.sum([b.a, b.b], b.output, b.count, F32)?,
        Operator::QuantizedAdd(b) => o.sum([b.a, b.b], b.output, b.count, U8)?,
        Operator::GlobalAveragePool(b) => {
            o.write(b.output, F32, b.channels as usize)?;
            let mut n = 1;
            times(&mut n, What::KernelSize, b.kernel_size)?;
            times(&mut n, What::Channels, b.channels)?;
            o.read(What::Input, b.input, F32, n);
        }
        Operator::QuantizedMaxPool(b) => o.pool(b, U8)?,
        Operator::AveragePool(b) => o.pool(b, F32)?,
        Operator::Quantize(b) => o.same([b.input, b.output], b.count as usize, F32, U8)?,
        Operator::Dequantize(b) => o.same([b.input, b.output], b.count as usize, U8, F32)?,
        Operator::Requantize(b) => {
            o.0.take(reader, 256, 1, 1)?;
            o.same([b.input, b.output], b.count as usize, U8, U8)?;
        }
        Operator::L2Normalize(b) | Operator::Softmax(b) | Operator::Logistic(b) => {
            o.same([b.input, b.output], b.channels as usize, F32, F32)?;
        }
        Operator::FullyConnected(b) => {
            let mut weights = 1;
            times(&mut weights, What::Inputs, b.in_channels)?;
            times(&mut weights, What::Outputs, b.out_channels)?;
            o.0.take(reader, weights, 4, 4)?;
            o.0.take(reader, b.out_channels as usize, 4, 4)?;
            o.write(b.output, F32, b.out_channels as usize)?;
            o.read(What::Input, b.input, F32, b.in_channels as usize);
        }
        Operator::Flatten(b) => {
            o.same([b.input, b.output], b.size.check()?, F32, F32)?;
            o.0.shape = OutputShape::Unknown;
        }
        Operator::ResizeNearest(b) | Operator::QuantizedResizeNearest(b) => {
            let dtype = if matches!(operator, Operator::ResizeNearest(_)) { F32 } else { U8 };
            let mut n = 1;
            times(&mut n, What::Channels, b.input_size.channels)?;
            times(&mut n, What::OutputWidth, b.out_width)?;
            times(&mut n, What::OutputHeight, b.out_height)?;
            o.write(b.output, dtype, n)?;
            o.read(What::Input, b.input, dtype, b.input_size.check()?);
            o.known(b.output_shape());
        }
        Operator::ChannelwiseDequantize(b) => {
            o.0.take(reader, b.channels as usize, 8, 4)?;
            let mut n = 1;
            times(&mut n, What::Channels, b.channels)?;
            times(&mut n, What::ChannelSize, b.channel_size)?;
            o.same([b.input, b.output], n, U8, F32)?;
        }
        Operator::AddPadding(b) => {
            check_count(What::Channels, b.channels.into(), 1 << 16)?;
            o.0.write_kpu(b.row as usize, 1, b.image())?;
            o.read(What::Input, b.input, U8, b.channels as usize);
        }
        Operator::RemovePadding(b) => {
            o.write(b.output, U8, b.channels as usize)?;
            let mut n = 1;
            times(&mut n, What::Channels, b.channels)?;
            times(&mut n, What::Pixels, 16)?;
            o.read(What::Input, b.input, U8, n);
        }
        Operator::Upload(b) => {
            let n = b.size.check()?;
            o.0.write_kpu(b.row as usize, 1, b.size.shape())?;
            o.read(What::Input, b.input, U8, n);
        }
        Operator::Conv(head) => {
            let at = |e: Error| e.at(head.layer_offset.into());
            Layer::check_words(node.layer()).map_err(at)?;
            let layer = Layer::of(node.layer());
            let (bias, weights) = (layer.batch_norm_bytes(), layer.weights_bytes(node.eight_bit));
            o.0.parameter(inside(source, What::BatchNormArray, head.bn_offset, bias)?, 1);
            let table = inside(source, What::ActivationTable, head.act_offset, ACTIVATION_BYTES)?;
            o.0.parameter(table, 1);
            o.0.parameter(inside(source, What::Weights, head.weights_offset, weights)?, 1);
            o.0.write_kpu(layer.dst_row, 1, layer.output)?;
            if node.words.field::<u32>(0) & 1 != 0 {
                o.write(head.main_output, U8, layer.output.elements())?;
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
            check_count(What::BytesOfTheResult, bytes as i64, 1 << 30)?;
            o.write(b.output, dtype, bytes as usize / dtype.size())?;
        }
    }
    Ok(())
}
