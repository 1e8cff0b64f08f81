//! Runs the nodes of kmodel v4: borrows what a kernel wants and calls it.

use super::memory::{Blob, Memory, cast, cast_mut};
use crate::{
    error::{Error, Kind, Result},
    kernels::{
        binary, conv2d, conv2d_transpose, copy, gather, matmul, nnil, normalize, pad, quantize,
        quantized_binary, quantized_conv2d, reduce, reduce_window, resize, unary,
    },
    kpu::{Accelerator, Job, memory::rows},
    model::{
        Model, Span,
        v4::{
            operator::*,
            range::{Memory as Place, Range},
        },
    },
    tensor::Dtype,
};
use heapless::Vec;

/// Parameters and constants of the file that a node reads, with the alignment that they want.
pub(super) fn file_blobs(operator: &Operator, model: &Model) -> Vec<(Span, usize), 4> {
    let parameters = match operator {
        Operator::Conv2d(_, w)
        | Operator::Conv2dTranspose(_, w)
        | Operator::CpuConv2d(_, w)
        | Operator::CpuDepthwise(_, w) => {
            [Some(Blob::words(w.weights)), Some(Blob::words(w.bias)), None]
        }
        Operator::QuantizedConv2d(_, w)
        | Operator::CpuQuantizedConv2d(_, w)
        | Operator::CpuQuantizedDepthwise(_, w) => {
            [Some(Blob::bytes(w.weights)), Some(Blob::words(w.bias)), None]
        }
        Operator::MatMul(_, bias) | Operator::QuantizedMatMul(_, bias) => {
            [Some(Blob::words(*bias)), None, None]
        }
        Operator::Nnil(_, code) => [Some(Blob::bytes(*code)), None, None],
        Operator::KpuConv(b) => {
            [b.batch_norm, b.activation, b.weights].map(|span| Some(Blob::bytes(span)))
        }
        _ => [None; 3],
    };
    let inputs = match operator {
        Operator::Binary(b) => [Some(b.a), Some(b.b)],
        Operator::QuantizedBinary(b) => [Some(b.a), Some(b.b)],
        Operator::MatMul(b, _) => [Some(b.a), Some(b.b)],
        Operator::QuantizedMatMul(b, _) => [Some(b.a), Some(b.b)],
        Operator::TableLookup(b) => [Some(b.input), Some(b.table)],
        _ => [operator.input(), None],
    };
    let constants = Constants::of(model);
    let inputs = inputs.map(|range| range.map(|range| constants.blob(&range, range.size as usize)));
    let blobs = parameters.into_iter().chain(inputs).flatten();
    blobs
        .filter_map(|blob| match blob {
            Blob::File(span, align) => Some((span, align)),
            Blob::Main(_) => None,
        })
        .take(4)
        .collect()
}

/// Where the constants begin in the file.
#[derive(Clone, Copy)]
struct Constants {
    offset: usize,
}

impl Constants {
    fn of(model: &Model) -> Self {
        Self { offset: model.constants().map_or(0, |span| span.offset) }
    }

    /// The first `len` bytes of a range.
    fn blob(self, range: &Range, len: usize) -> Blob {
        let offset = range.start as usize;
        match range.memory {
            Place::Constants => {
                let span = Span { offset: self.offset.saturating_add(offset), len };
                Blob::File(span, range.dtype.size())
            }
            _ => Blob::Main(Span { offset, len }),
        }
    }

    fn floats(self, range: &Range, n: usize) -> Blob {
        self.blob(range, n.saturating_mul(4))
    }
}

/// `n` elements of a range that a node writes.
fn target(range: &Range, n: usize) -> Span {
    Span { offset: range.start as usize, len: n.saturating_mul(range.dtype.size()) }
}

/// What a kernel answers; the checks of the loader make `None` impossible.
fn done(answer: Option<()>) -> Result<()> {
    answer.ok_or(inconsistent())
}

fn inconsistent() -> Error {
    Error::about(Kind::Field, "a size of the node", [0; 2])
}

fn size(shape: Option<[usize; 4]>) -> Result<usize> {
    shape.map(|shape| shape.iter().product()).ok_or(inconsistent())
}

/// Runs one node.
pub(super) fn run(
    operator: &Operator,
    model: &Model,
    memory: &mut Memory<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let constants = Constants::of(model);
    match operator {
        Operator::Binary(b) => {
            let p = b.options();
            let [n_a, n_b, n] = p.elements().ok_or(inconsistent())?;
            let read = [constants.floats(&b.a, n_a), constants.floats(&b.b, n_b)];
            let ([x, z], y) = memory.bind(read, target(&b.output, n))?;
            done(binary::binary(&p, b.op, b.clamp.options(), cast(x)?, cast(z)?, cast_mut(y)?))
        }
        Operator::Concat(b, inputs) => concat(b, inputs, constants, memory),
        Operator::Conv2d(b, w) => {
            convolve(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::CpuConv2d(b, w) => {
            convolve(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::CpuDepthwise(b, w) => {
            convolve(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::QuantizedConv2d(b, w) => {
            convolve_bytes(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::CpuQuantizedConv2d(b, w) => {
            convolve_bytes(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::CpuQuantizedDepthwise(b, w) => {
            convolve_bytes(&b.options(), (&b.input, &b.output), w, constants, memory)
        }
        Operator::Conv2dTranspose(b, w) => {
            let n = b.output_shape.elements();
            let read =
                [constants.floats(&b.input, b.input_shape.elements()), Blob::words(w.weights)];
            let ([x, weights], y) = memory.bind(read, target(&b.output, n))?;
            let (x, weights, y) = (cast(x)?, cast(weights)?, cast_mut(y)?);
            done(conv2d_transpose::conv2d_transpose(&b.options(), x, weights, y))
        }
        Operator::Dequantize(b) => {
            let (x, y) = elementwise(&b.input, &b.output, constants, memory)?;
            quantize::dequantize(x, cast_mut(y)?, b.param.zero_point, b.param.scale);
            Ok(())
        }
        Operator::Quantize(b) => {
            let (x, y) = elementwise(&b.input, &b.output, constants, memory)?;
            quantize::quantize(cast(x)?, y, b.param.zero_point, b.param.scale);
            Ok(())
        }
        Operator::Unary(b) => {
            let (x, y) = elementwise(&b.input, &b.output, constants, memory)?;
            unary::unary(b.op, cast(x)?, cast_mut(y)?);
            Ok(())
        }
        Operator::Nnil(b, code) => {
            let n = b.input.elements();
            let read = [constants.floats(&b.input, n), Blob::bytes(*code)];
            let ([x, code], y) = memory.bind(read, target(&b.output, n))?;
            let program = nnil::Program::parse(code).ok_or(inconsistent())?;
            nnil::nnil(&program, cast(x)?, cast_mut(y)?);
            Ok(())
        }
        Operator::TableLookup(b) => {
            let n = b.input.elements();
            let read = [constants.blob(&b.input, n), constants.blob(&b.table, 256)];
            let ([x, table], y) = memory.bind(read, target(&b.output, n))?;
            quantize::lookup(x, table, y);
            Ok(())
        }
        Operator::MatMul(b, bias) => {
            let p = b.options();
            let [n_a, n_b, n] = p.elements().ok_or(inconsistent())?;
            let read =
                [constants.floats(&b.a, n_a), constants.floats(&b.b, n_b), Blob::words(*bias)];
            let ([x, z, bias], y) = memory.bind(read, target(&b.output, n))?;
            let (x, z, bias, y) = (cast(x)?, cast(z)?, cast(bias)?, cast_mut(y)?);
            done(matmul::matmul(&p, b.clamp.options(), x, z, bias, y))
        }
        Operator::QuantizedMatMul(b, bias) => {
            let p = b.options();
            let [n_a, n_b, n] = p.sizes.elements().ok_or(inconsistent())?;
            let read = [constants.blob(&b.a, n_a), constants.blob(&b.b, n_b), Blob::words(*bias)];
            let ([x, z, bias], y) = memory.bind(read, target(&b.output, n))?;
            done(matmul::quantized_matmul(&p, x, z, cast(bias)?, y))
        }
        Operator::QuantizedBinary(b) => {
            let p = b.options();
            let [n_a, n_b, n] = p.shapes.elements().ok_or(inconsistent())?;
            let read = [constants.blob(&b.a, n_a), constants.blob(&b.b, n_b)];
            let ([x, z], y) = memory.bind(read, target(&b.output, n))?;
            done(quantized_binary::quantized_binary(&p, x, z, y))
        }
        Operator::Pad(b) => {
            let p = b.options();
            let (x, y, dtype) = moved(
                &b.input,
                b.input_shape.elements(),
                &b.output,
                size(p.output())?,
                constants,
                memory,
            )?;
            done(match dtype {
                Dtype::U8 => pad::pad(&p, b.value[0], x, y),
                Dtype::F32 => pad::pad(&p, f32::from_le_bytes(b.value), cast(x)?, cast_mut(y)?),
            })
        }
        Operator::Transpose(b) => {
            let p = b.options();
            let n = b.input_shape.elements();
            let (x, y, dtype) = moved(&b.input, n, &b.output, n, constants, memory)?;
            done(match dtype {
                Dtype::U8 => gather::transpose(&p, x, y),
                Dtype::F32 => gather::transpose::<f32>(&p, cast(x)?, cast_mut(y)?),
            })
        }
        Operator::StridedSlice(b) => {
            let p = b.options();
            let (x, y, dtype) = moved(
                &b.input,
                b.input_shape.elements(),
                &b.output,
                size(p.output())?,
                constants,
                memory,
            )?;
            done(match dtype {
                Dtype::U8 => gather::strided_slice(&p, x, y),
                Dtype::F32 => gather::strided_slice::<f32>(&p, cast(x)?, cast_mut(y)?),
            })
        }
        Operator::ResizeImage(b) => {
            let p = b.options();
            let (x, y, dtype) = moved(
                &b.input,
                b.input_shape.elements(),
                &b.output,
                size(p.output())?,
                constants,
                memory,
            )?;
            done(match (b.mode, dtype) {
                (ResizeMode::Nearest, Dtype::U8) => resize::resize_nearest(&p, x, y),
                (ResizeMode::Nearest, Dtype::F32) => {
                    resize::resize_nearest::<f32>(&p, cast(x)?, cast_mut(y)?)
                }
                (ResizeMode::Bilinear, Dtype::U8) => resize::resize_bilinear(&p, x, y),
                (ResizeMode::Bilinear, Dtype::F32) => {
                    resize::resize_bilinear::<f32>(&p, cast(x)?, cast_mut(y)?)
                }
            })
        }
        Operator::Reduce(b) => {
            let p = b.options();
            let [n_x, n] = p.elements().ok_or(inconsistent())?;
            let ([x], y) = memory.bind([constants.floats(&b.input, n_x)], target(&b.output, n))?;
            done(reduce::reduce(&p, cast(x)?, cast_mut(y)?))
        }
        Operator::ReduceWindow(b) | Operator::CpuReduceWindow(b) => {
            let pool = match operator {
                Operator::ReduceWindow(_) => b.options(),
                _ => b.options_nhwc(),
            };
            let p = pool.ok_or(inconsistent())?;
            let read = [constants.floats(&b.input, b.input_shape.elements())];
            let ([x], y) = memory.bind(read, target(&b.output, size(p.output())?))?;
            let (x, y) = (cast(x)?, cast_mut(y)?);
            done(reduce_window::reduce_window(&p, b.op, b.init, b.clamp.options(), x, y))
        }
        Operator::MemoryCopy(b) => {
            let len = b.input.size as usize;
            let write = Span { offset: b.output.start as usize, len };
            let ([x], y) = memory.bind([constants.blob(&b.input, len)], write)?;
            copy::memory_copy(x, y);
            Ok(())
        }
        Operator::Softmax(b) => {
            let inner = b.inner_size as usize;
            let n = inner.saturating_mul(b.outer_size as usize);
            let ([x], y) = memory.bind([constants.floats(&b.input, n)], target(&b.output, n))?;
            normalize::softmax(cast(x)?, cast_mut(y)?, inner, b.beta);
            Ok(())
        }
        Operator::KpuUpload(b) => {
            let (_, image) = b.images();
            let [x] = memory.read([constants.blob(&b.input, b.shape.elements())])?;
            let first = b.output.start as usize / crate::kpu::memory::ROW_BYTES;
            for (n, x) in x.chunks_exact(image.elements()).enumerate() {
                accelerator.upload(first + n * rows(image), image, x)?;
            }
            Ok(())
        }
        Operator::KpuConv(b) => kpu_conv(b, memory, accelerator),
    }
}

fn elementwise<'a>(
    input: &Range,
    output: &Range,
    constants: Constants,
    memory: &'a mut Memory<'_>,
) -> Result<(&'a [u8], &'a mut [u8])> {
    let n = input.elements();
    let read = constants.blob(input, n.saturating_mul(input.dtype.size()));
    let ([x], y) = memory.bind([read], target(output, n))?;
    Ok((x, y))
}

fn moved<'a>(
    input: &Range,
    read: usize,
    output: &Range,
    written: usize,
    constants: Constants,
    memory: &'a mut Memory<'_>,
) -> Result<(&'a [u8], &'a mut [u8], Dtype)> {
    let read = constants.blob(input, read.saturating_mul(input.dtype.size()));
    let ([x], y) = memory.bind([read], target(output, written))?;
    Ok((x, y, input.dtype))
}

fn convolve(
    p: &conv2d::Conv2d,
    (input, output): (&Range, &Range),
    w: &Weights,
    constants: Constants,
    memory: &mut Memory<'_>,
) -> Result<()> {
    let read = [
        constants.floats(input, p.sizes.input.iter().product()),
        Blob::words(w.weights),
        Blob::words(w.bias),
    ];
    let ([x, weights, bias], y) = memory.bind(read, target(output, size(p.sizes.output())?))?;
    done(conv2d::conv2d(p, cast(x)?, cast(weights)?, cast(bias)?, cast_mut(y)?))
}

fn convolve_bytes(
    p: &quantized_conv2d::QuantizedConv2d,
    (input, output): (&Range, &Range),
    w: &Weights,
    constants: Constants,
    memory: &mut Memory<'_>,
) -> Result<()> {
    let read = [
        constants.blob(input, p.sizes.input.iter().product()),
        Blob::bytes(w.weights),
        Blob::words(w.bias),
    ];
    let ([x, weights, bias], y) = memory.bind(read, target(output, size(p.sizes.output())?))?;
    done(quantized_conv2d::quantized_conv2d(p, x, weights, cast(bias)?, y))
}

fn concat(
    b: &Concat,
    inputs: &ConcatInputs,
    constants: Constants,
    memory: &mut Memory<'_>,
) -> Result<()> {
    let (source, outer) = (memory.source(), b.outer_size as usize);
    let mut total = 0usize;
    inputs.each(source, |_, dim| {
        total = total.saturating_add(b.input_bytes(dim)?);
        Ok(())
    })?;
    let write = Span { offset: b.output.start as usize, len: total };
    let mut offset = 0;
    inputs.each(source, |range, dim| {
        let ([x], y) = memory.bind([constants.blob(&range, b.input_bytes(dim)?)], write)?;
        done(copy::concat(x, y, outer, offset))?;
        offset += dim.saturating_mul(b.inner_size as usize);
        Ok(())
    })
}

fn kpu_conv(b: &KpuConv, memory: &mut Memory<'_>, accelerator: &mut dyn Accelerator) -> Result<()> {
    let [batch_norm, activation, weights] =
        memory.parameters([b.batch_norm, b.activation, b.weights], accelerator)?;
    let image = b.layer.output;
    for n in 0..b.batches {
        let mut layer = b.layer;
        layer.src_row += n * rows(layer.input);
        layer.dst_row += n * rows(image);
        accelerator.run(&[Job { layer, batch_norm, activation, weights, eight_bit: true }])?;
    }
    if b.main_output.size > 0 {
        let len = image.elements() * b.batches;
        let y = memory.main_mut(Span { offset: b.main_output.start as usize, len })?;
        for (n, y) in y.chunks_exact_mut(image.elements()).enumerate() {
            accelerator.download(b.layer.dst_row + n * rows(image), image, y)?;
        }
    }
    Ok(())
}
