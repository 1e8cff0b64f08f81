//! Runs the layers of kmodel v3: borrows what a kernel wants and calls it.

use super::memory::{Blob, Memory, cast, cast_mut};
use crate::{
    error::{Error, Kind, Result},
    kernels::{
        Clamp, Layout,
        binary::{self, Broadcast},
        copy, gather, matmul, normalize, quantize, quantized_binary,
        reduce::{self, ReduceOp},
        reduce_window, resize, unary, window,
    },
    kpu::{
        Accelerator, Job,
        memory::{ROW_BYTES, RowLayout},
    },
    model::{Span, v3::layer::*},
    tensor::{Dtype, ImageShape},
};
use heapless::Vec;

/// Parameters of the file that a layer reads, with the alignment that they want.
pub(super) fn file_blobs(operator: &Operator) -> Vec<(Span, usize), 4> {
    let mut blobs = Vec::new();
    let spans = match operator {
        Operator::Requantize(_, table) => [(*table, 1), NOTHING, NOTHING],
        Operator::FullyConnected(_, w) => [(w.weights, 4), (w.bias, 4), NOTHING],
        Operator::ChannelwiseDequantize(_, params) => [(*params, 4), NOTHING, NOTHING],
        Operator::Conv(b) => [(b.batch_norm, 1), (b.activation, 1), (b.weights, 1)],
        _ => [NOTHING; 3],
    };
    blobs.extend(spans.into_iter().filter(|(span, _)| span.len > 0));
    blobs
}

const NOTHING: (Span, usize) = (Span { offset: 0, len: 0 }, 1);

/// `n` elements at an address of main memory.
fn at(address: u32, dtype: Dtype, n: usize) -> Span {
    Span { offset: address as usize, len: n.saturating_mul(dtype.size()) }
}

fn floats(address: u32, n: usize) -> Blob {
    Blob::Main(at(address, Dtype::F32, n))
}

fn bytes(address: u32, n: usize) -> Blob {
    Blob::Main(at(address, Dtype::U8, n))
}

/// What a kernel answers; the checks of the loader make `None` impossible.
fn done(answer: Option<()>) -> Result<()> {
    answer.ok_or(Error::about(Kind::Field, "a size of the layer", [0; 2]))
}

/// Runs one layer.
pub(super) fn run(
    operator: &Operator,
    memory: &mut Memory<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let source = memory.source();
    let output = match operator.output() {
        Output::Main { address, dtype, elements } => at(address, dtype, elements),
        Output::Kpu { .. } => Span::default(),
    };
    match operator {
        Operator::Add(b) => {
            let n = b.count as usize;
            let ([x, z], y) = memory.bind([floats(b.a, n), floats(b.b, n)], output)?;
            let shape = [1, 1, 1, n];
            let shapes = Broadcast { a: shape, b: shape, output: shape };
            let (x, z, y) = (cast(x)?, cast(z)?, cast_mut(y)?);
            done(binary::binary(&shapes, binary::BinaryOp::Add, Clamp::NONE, x, z, y))
        }
        Operator::QuantizedAdd(b) => {
            let n = b.count as usize;
            let ([x, z], y) = memory.bind([bytes(b.a, n), bytes(b.b, n)], output)?;
            quantized_binary::quantized_add(&b.options(), x, z, y);
            Ok(())
        }
        Operator::GlobalAveragePool(b) => {
            let n = b.kernel_size as usize * b.channels as usize;
            let ([x], y) = memory.bind([floats(b.input, n)], output)?;
            reduce::global_average_pool(cast(x)?, cast_mut(y)?, b.kernel_size as usize);
            Ok(())
        }
        Operator::QuantizedMaxPool(b) => {
            let ([x], y) =
                memory.bind([bytes(b.input, b.input_size.shape().elements())], output)?;
            done(reduce_window::max_pool_u8(&b.options(), x, y))
        }
        Operator::AveragePool(b) => {
            let ([x], y) =
                memory.bind([floats(b.input, b.input_size.shape().elements())], output)?;
            let (p, x, y) = (b.options(), cast(x)?, cast_mut(y)?);
            done(reduce_window::reduce_window(&p, ReduceOp::Mean, 0.0, Clamp::NONE, x, y))
        }
        Operator::Quantize(b) => {
            let ([x], y) = memory.bind([floats(b.input, b.count as usize)], output)?;
            quantize::quantize_v3(cast(x)?, y, b.param.scale, b.param.bias);
            Ok(())
        }
        Operator::Dequantize(b) => {
            let ([x], y) = memory.bind([bytes(b.input, b.count as usize)], output)?;
            quantize::dequantize_v3(x, cast_mut(y)?, b.param.scale, b.param.bias);
            Ok(())
        }
        Operator::Requantize(b, table) => {
            let read = [bytes(b.input, b.count as usize), Blob::bytes(*table)];
            let ([x, table], y) = memory.bind(read, output)?;
            quantize::lookup(x, table, y);
            Ok(())
        }
        Operator::L2Normalize(b) => {
            let ([x], y) = memory.bind([floats(b.input, b.channels as usize)], output)?;
            normalize::l2_normalize(cast(x)?, cast_mut(y)?);
            Ok(())
        }
        Operator::Softmax(b) => {
            let ([x], y) = memory.bind([floats(b.input, b.channels as usize)], output)?;
            normalize::softmax_v3(cast(x)?, cast_mut(y)?);
            Ok(())
        }
        Operator::Logistic(b) => {
            let ([x], y) = memory.bind([floats(b.input, b.channels as usize)], output)?;
            unary::logistic(cast(x)?, cast_mut(y)?);
            Ok(())
        }
        Operator::Concat(b) | Operator::QuantizedConcat(b) => {
            let write = Span { offset: b.output as usize, len: b.bytes };
            let mut offset = 0;
            b.each(source, |range| {
                let len = range.size as usize;
                let ([x], y) = memory.bind([bytes(range.address, len)], write)?;
                done(copy::concat(x, y, 1, offset))?;
                offset += len;
                Ok(())
            })
        }
        Operator::FullyConnected(b, w) => {
            let read = [
                floats(b.input, b.in_channels as usize),
                Blob::words(w.weights),
                Blob::words(w.bias),
            ];
            let ([x, weights, bias], y) = memory.bind(read, output)?;
            let (x, weights, bias, y) = (cast(x)?, cast(weights)?, cast(bias)?, cast_mut(y)?);
            done(matmul::fully_connected(b.activation.clamp(), x, weights, bias, y))
        }
        Operator::Flatten(b) => {
            let ImageShape { channels, height, width } = b.size.shape();
            let ([x], y) = memory.bind([floats(b.input, b.size.shape().elements())], output)?;
            let p = gather::Transpose::flatten(channels, height, width);
            done(gather::transpose::<f32>(&p, cast(x)?, cast_mut(y)?))
        }
        Operator::ResizeNearest(b) => {
            let ([x], y) =
                memory.bind([floats(b.input, b.input_size.shape().elements())], output)?;
            done(resize::resize_nearest::<f32>(&b.options(), cast(x)?, cast_mut(y)?))
        }
        Operator::QuantizedResizeNearest(b) => {
            let ([x], y) =
                memory.bind([bytes(b.input, b.input_size.shape().elements())], output)?;
            done(resize::resize_nearest(&b.options(), x, y))
        }
        Operator::ChannelwiseDequantize(b, params) => {
            let size = b.channel_size as usize;
            let n = size.saturating_mul(b.channels as usize);
            let ([x, params], y) =
                memory.bind([bytes(b.input, n), Blob::words(*params)], output)?;
            let (params, _) = cast::<f32>(params)?.as_chunks::<2>();
            let channels = x.chunks_exact(size).zip(cast_mut::<f32>(y)?.chunks_exact_mut(size));
            for ((x, y), &[scale, bias]) in channels.zip(params) {
                quantize::dequantize_v3(x, y, scale, bias);
            }
            Ok(())
        }
        Operator::Conv(b) => conv(b, output, memory, accelerator),
        Operator::AddPadding(b) => {
            let [x] = memory.read([bytes(b.input, b.channels as usize)])?;
            let (image, ram) = (b.image(), accelerator.ram());
            let layout = RowLayout::of(image.width);
            for (channel, &x) in x.iter().enumerate() {
                let place =
                    b.row as usize * ROW_BYTES + layout.line_offset(image.height, channel, 0);
                if let Some(pixel) = ram.get_mut(place) {
                    *pixel = x;
                }
            }
            Ok(())
        }
        Operator::RemovePadding(b) => {
            let n = 16 * b.channels as usize;
            let ([x], y) = memory.bind([bytes(b.input, n)], output)?;
            copy::remove_padding(x, y);
            Ok(())
        }
        Operator::Upload(b) => {
            let image = b.size.shape();
            let [x] = memory.read([bytes(b.input, image.elements())])?;
            accelerator.upload(b.row as usize, image, x)
        }
    }
}

fn conv(
    b: &Conv,
    output: Span,
    memory: &mut Memory<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let [batch_norm, activation, weights] =
        memory.parameters([b.batch_norm, b.activation, b.weights], accelerator)?;
    let job = Job { layer: b.layer, batch_norm, activation, weights, eight_bit: b.eight_bit };
    accelerator.run(&[job])?;
    if b.main_output.is_some() {
        accelerator.download(b.layer.dst_row, b.layer.output, memory.main_mut(output)?)?;
    }
    Ok(())
}

impl Activation {
    fn clamp(self) -> Clamp {
        match self {
            Activation::None => Clamp::NONE,
            Activation::Relu => Clamp::RELU,
            Activation::Relu6 => Clamp::RELU6,
        }
    }
}

impl OperandScale {
    fn options(&self) -> quantized_binary::Operand {
        quantized_binary::Operand { offset: self.offset, multiplier: self.mul, shift: self.shift }
    }
}

impl QuantizedAdd {
    fn options(&self) -> quantized_binary::QuantizedAdd {
        quantized_binary::QuantizedAdd {
            a: self.a_scale.options(),
            b: self.b_scale.options(),
            output: self.output_scale.options(),
        }
    }
}

impl Pool {
    fn options(&self) -> reduce_window::Pool {
        let ImageShape { channels, height, width } = self.input_size.shape();
        let output = self.output_size.shape();
        let pad = |before: u32| window::Pad { before: before as i32, after: 0 };
        reduce_window::Pool {
            layout: Layout::Nchw,
            input: [1, channels, height, width],
            output: [output.height, output.width],
            window: window::Window {
                filter: [self.kernel_height as usize, self.kernel_width as usize],
                stride: [self.stride_height as usize, self.stride_width as usize],
                dilation: [1, 1],
                pad: [pad(self.pad_height), pad(self.pad_width)],
            },
        }
    }
}

impl ResizeNearest {
    fn options(&self) -> resize::Resize {
        let ImageShape { channels, height, width } = self.input_size.shape();
        resize::Resize {
            input: [1, channels, height, width],
            output: [self.out_height as usize, self.out_width as usize],
            align_corners: false,
        }
    }
}
