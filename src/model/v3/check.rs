//! Checks of kmodel v3 layers: after them no address leaves main memory or KPU RAM.

use super::layer::{Limits, Operator, Output, product};
use crate::{
    error::{Error, Kind, Result},
    kpu::memory::check_range,
    model::{reader::count, source::Source},
    tensor::Dtype::{self, F32, U8},
};

/// Elements that a layer reads: name, address, type, number.
type Input = (&'static str, u32, Dtype, usize);

impl Limits {
    /// Checks that elements lie inside main memory and are aligned; gives their bytes.
    pub fn check_main(
        &self,
        what: &'static str,
        address: u32,
        dtype: Dtype,
        n: usize,
    ) -> Result<u64> {
        let bytes = n as u64 * dtype.size() as u64;
        let end = u64::from(address) + bytes;
        if end > self.main.into() {
            return Err(Error::about(Kind::OutOfMemoryRange, what, [end, self.main.into()]));
        }
        if !(address as usize).is_multiple_of(dtype.size()) {
            return Err(Error::about(
                Kind::Misaligned,
                what,
                [address.into(), dtype.size() as u64],
            ));
        }
        Ok(bytes)
    }

    fn check_apart(&self, input: Input, output: (u32, u64)) -> Result<()> {
        let (what, address, dtype, n) = input;
        let bytes = self.check_main(what, address, dtype, n)?;
        let (from, to) = (u64::from(address), u64::from(output.0));
        if from + bytes <= to || to + output.1 <= from {
            Ok(())
        } else {
            Err(Error::about(Kind::Overlap, what, [0; 2]))
        }
    }
}

impl Operator {
    /// Checks the layer against the sizes of the memories.
    pub fn check(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        self.check_sizes()?;
        let written = match self.output() {
            Output::Main { address, dtype, elements } => {
                count("elements of the output", elements as i64, 1 << 30)?;
                Some((address, limits.check_main("output", address, dtype, elements)?))
            }
            Output::Kpu { row, shape } => {
                check_range("output", row, shape)?;
                None
            }
        };
        let apart = |inputs: &[Input]| {
            inputs.iter().try_for_each(|&input| match written {
                Some(output) => limits.check_apart(input, output),
                None => limits.check_main(input.0, input.1, input.2, input.3).map(drop),
            })
        };
        match self {
            Self::Add(b) => {
                apart(&[("a", b.a, F32, b.count as usize), ("b", b.b, F32, b.count as usize)])
            }
            Self::QuantizedAdd(b) => {
                apart(&[("a", b.a, U8, b.count as usize), ("b", b.b, U8, b.count as usize)])
            }
            Self::GlobalAveragePool(b) => {
                let n = product(&[("kernel size", b.kernel_size), ("channels", b.channels)])?;
                apart(&[("input", b.input, F32, n)])
            }
            Self::QuantizedMaxPool(b) => apart(&[("input", b.input, U8, b.input_size.check()?)]),
            Self::AveragePool(b) => apart(&[("input", b.input, F32, b.input_size.check()?)]),
            Self::Quantize(b) => apart(&[("input", b.input, F32, b.count as usize)]),
            Self::Dequantize(b) => apart(&[("input", b.input, U8, b.count as usize)]),
            Self::Requantize(b, _) => apart(&[("input", b.input, U8, b.count as usize)]),
            Self::L2Normalize(b) | Self::Softmax(b) | Self::Logistic(b) => {
                apart(&[("input", b.input, F32, b.channels as usize)])
            }
            Self::Concat(b) | Self::QuantizedConcat(b) => {
                b.each(source, |range| apart(&[("input", range.address, U8, range.size as usize)]))
            }
            Self::FullyConnected(b, _) => apart(&[("input", b.input, F32, b.in_channels as usize)]),
            Self::Flatten(b) => apart(&[("input", b.input, F32, b.size.check()?)]),
            Self::ResizeNearest(b) => apart(&[("input", b.input, F32, b.input_size.check()?)]),
            Self::QuantizedResizeNearest(b) => {
                apart(&[("input", b.input, U8, b.input_size.check()?)])
            }
            Self::ChannelwiseDequantize(b, _) => {
                let n = product(&[("channels", b.channels), ("channel size", b.channel_size)])?;
                apart(&[("input", b.input, U8, n)])
            }
            Self::Conv(b) => {
                check_range("input", b.layer.src_row, b.layer.input)?;
                check_range("output", b.layer.dst_row, b.layer.output)
            }
            Self::AddPadding(b) => apart(&[("input", b.input, U8, b.channels as usize)]),
            Self::RemovePadding(b) => {
                let n = product(&[("channels", b.channels), ("pixels", 16)])?;
                apart(&[("input", b.input, U8, n)])
            }
            Self::Upload(b) => apart(&[("input", b.input, U8, b.size.check()?)]),
        }
    }

    /// Checks the sizes that decide how much is written.
    fn check_sizes(&self) -> Result<()> {
        match self {
            Self::QuantizedMaxPool(b) | Self::AveragePool(b) => {
                b.output_size.check()?;
                for (what, value) in [
                    ("kernel width", b.kernel_width),
                    ("kernel height", b.kernel_height),
                    ("stride in W", b.stride_width),
                    ("stride in H", b.stride_height),
                ] {
                    count(what, value.into(), 1 << 16)?;
                }
                if b.input_size.channels != b.output_size.channels {
                    let channels = [b.output_size.channels.into(), 0];
                    return Err(Error::about(Kind::Field, "output channels", channels));
                }
                for (what, pad) in [("padding in W", b.pad_width), ("padding in H", b.pad_height)] {
                    if pad > 1 << 16 {
                        return Err(Error::about(Kind::Field, what, [pad.into(), 0]));
                    }
                }
                Ok(())
            }
            Self::Flatten(b) => b.size.check().map(drop),
            Self::Upload(b) => b.size.check().map(drop),
            Self::AddPadding(b) => count("channels", b.channels.into(), 1 << 16).map(drop),
            Self::ResizeNearest(b) | Self::QuantizedResizeNearest(b) => product(&[
                ("channels", b.input_size.channels),
                ("output width", b.out_width),
                ("output height", b.out_height),
            ])
            .map(drop),
            Self::ChannelwiseDequantize(b, _) => {
                product(&[("channels", b.channels), ("channel size", b.channel_size)]).map(drop)
            }
            _ => Ok(()),
        }
    }
}
