//! Checks of kmodel v3 layers: after them no address leaves main memory or KPU RAM.

use super::layer::{Limits, Operator, Output, product};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::check_range,
    model::{
        operands::{Operand, Operands},
        range::{self, Memory, Range},
        reader::count,
        source::Source,
    },
    tensor::Dtype::{self, F32, U8},
};

impl Limits {
    /// The sizes of the memories.
    pub fn memories(&self) -> range::Limits {
        range::Limits { constants: 0, main: self.main }
    }
}

/// Elements of main memory.
pub(super) fn operand(what: What, address: u32, dtype: Dtype, n: usize) -> Operand {
    let bytes = n.saturating_mul(dtype.size());
    let size = u32::try_from(bytes).unwrap_or(u32::MAX);
    Operand::new(what, Range { memory: Memory::Main, dtype, start: address, size }, dtype, n)
}

#[inline(never)]
fn read(o: &mut Operands, what: What, address: u32, dtype: Dtype, n: usize) {
    let operand = operand(what, address, dtype, n);
    o.read(what, &operand.range, dtype, n);
}

impl Operator {
    /// Checks the layer against the sizes of the memories.
    pub fn check(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        self.check_sizes()?;
        match self.output() {
            Output::Main { elements, .. } => {
                count(What::ElementsOfTheOutput, elements as i64, 1 << 30)?;
            }
            Output::Kpu { row, shape } => check_range(What::Output, row, shape)?,
        }
        let (operands, limits) = (self.operands()?, limits.memories());
        operands.check(&limits)?;
        match self {
            Self::Concat(b) | Self::QuantizedConcat(b) => b.each(source, &mut |range| {
                let input = operand(What::Input, range.address, U8, range.size as usize);
                operands.output.map_or(Ok(()), |output| input.check_apart(&output, &limits))
            }),
            Self::Conv(b) => {
                check_range(What::Input, b.layer.src_row, b.layer.input)?;
                check_range(What::Output, b.layer.dst_row, b.layer.output)
            }
            _ => Ok(()),
        }
    }

    /// What the layer reads and writes in main memory and the file; but for the inputs of a
    /// concatenation.
    #[inline(never)]
    pub fn operands(&self) -> Result<Operands> {
        let mut o = Operands::default();
        match self {
            Self::Add(b) => {
                read(&mut o, What::A, b.a, F32, b.count as usize);
                read(&mut o, What::B, b.b, F32, b.count as usize);
            }
            Self::QuantizedAdd(b) => {
                read(&mut o, What::A, b.a, U8, b.count as usize);
                read(&mut o, What::B, b.b, U8, b.count as usize);
            }
            Self::GlobalAveragePool(b) => {
                let n =
                    product(&[(What::KernelSize, b.kernel_size), (What::Channels, b.channels)])?;
                read(&mut o, What::Input, b.input, F32, n);
            }
            Self::QuantizedMaxPool(b) => {
                read(&mut o, What::Input, b.input, U8, b.input_size.check()?);
            }
            Self::AveragePool(b) => read(&mut o, What::Input, b.input, F32, b.input_size.check()?),
            Self::Quantize(b) => read(&mut o, What::Input, b.input, F32, b.count as usize),
            Self::Dequantize(b) => read(&mut o, What::Input, b.input, U8, b.count as usize),
            Self::Requantize(b, table) => {
                read(&mut o, What::Input, b.input, U8, b.count as usize);
                o.parameter(*table, 1);
            }
            Self::L2Normalize(b) | Self::Softmax(b) | Self::Logistic(b) => {
                read(&mut o, What::Input, b.input, F32, b.channels as usize);
            }
            Self::FullyConnected(b, w) => {
                read(&mut o, What::Input, b.input, F32, b.in_channels as usize);
                o.parameter(w.weights, 4);
                o.parameter(w.bias, 4);
            }
            Self::Flatten(b) => read(&mut o, What::Input, b.input, F32, b.size.check()?),
            Self::ResizeNearest(b) => {
                read(&mut o, What::Input, b.input, F32, b.input_size.check()?)
            }
            Self::QuantizedResizeNearest(b) => {
                read(&mut o, What::Input, b.input, U8, b.input_size.check()?);
            }
            Self::ChannelwiseDequantize(b, params) => {
                let n =
                    product(&[(What::Channels, b.channels), (What::ChannelSize, b.channel_size)])?;
                read(&mut o, What::Input, b.input, U8, n);
                o.parameter(*params, 4);
            }
            Self::AddPadding(b) => read(&mut o, What::Input, b.input, U8, b.channels as usize),
            Self::RemovePadding(b) => {
                let n = product(&[(What::Channels, b.channels), (What::Pixels, 16)])?;
                read(&mut o, What::Input, b.input, U8, n);
            }
            Self::Upload(b) => read(&mut o, What::Input, b.input, U8, b.size.check()?),
            Self::Conv(b) => {
                for span in [b.batch_norm, b.activation, b.weights] {
                    o.parameter(span, 1);
                }
            }
            Self::Concat(_) | Self::QuantizedConcat(_) => {}
        }
        if let Output::Main { address, dtype, elements } = self.output() {
            o.output = Some(operand(What::Output, address, dtype, elements));
        }
        Ok(o)
    }

    /// Checks the sizes that decide how much is written.
    fn check_sizes(&self) -> Result<()> {
        match self {
            Self::QuantizedMaxPool(b) | Self::AveragePool(b) => {
                b.output_size.check()?;
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
                for (what, pad) in
                    [(What::PaddingInW, b.pad_width), (What::PaddingInH, b.pad_height)]
                {
                    if pad > 1 << 16 {
                        return Err(Error::about(Kind::Field, what, [pad.into(), 0]));
                    }
                }
                Ok(())
            }
            Self::Flatten(b) => b.size.check().map(drop),
            Self::Upload(b) => b.size.check().map(drop),
            Self::AddPadding(b) => count(What::Channels, b.channels.into(), 1 << 16).map(drop),
            Self::ResizeNearest(b) | Self::QuantizedResizeNearest(b) => product(&[
                (What::Channels, b.input_size.channels),
                (What::OutputWidth, b.out_width),
                (What::OutputHeight, b.out_height),
            ])
            .map(drop),
            Self::ChannelwiseDequantize(b, _) => {
                product(&[(What::Channels, b.channels), (What::ChannelSize, b.channel_size)])
                    .map(drop)
            }
            _ => Ok(()),
        }
    }
}
