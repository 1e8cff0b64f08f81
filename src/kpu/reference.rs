//! One KPU layer, computed as plainly as docs/formats.md (KPU arithmetic) describes it.

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{
        Job, Kernel, Layer,
        arithmetic::{Activation, BatchNorm, Rounding},
        memory,
    },
};

/// Runs a checked job over KPU RAM; `scratch` holds the whole input and one plane.
pub(super) fn run(
    ram: &mut [u8],
    scratch: &mut [u8],
    job: &Job<'_>,
    activation: &Activation,
    rounding: Rounding,
) -> Result<()> {
    let layer = &job.layer;
    let short = Error::of(Kind::NoMemory, What::SimulatorsScratch);
    let (input, rest) = scratch.split_at_mut_checked(layer.input.elements()).ok_or(short)?;
    let (plane, rest) = rest.split_at_mut_checked(layer.input.plane()).ok_or(short)?;
    let (output, _) = rest.split_at_mut_checked(layer.output.plane()).ok_or(short)?;
    memory::download(ram, layer.src_row, layer.input, input)?;

    let (height, width) = (layer.input.height, layer.input.width);
    for (channel, norm) in job.batch_norm.as_chunks().0.iter().enumerate() {
        let norm = BatchNorm::decode(*norm);
        for (y, line) in plane.chunks_exact_mut(width).enumerate() {
            for (x, value) in line.iter_mut().enumerate() {
                let acc = accumulate(job, input, channel, y, x);
                *value = activation.apply(norm.apply(acc), rounding);
            }
        }
        let pixel = |y, x| plane.get(y * width + x).copied().unwrap_or(0);
        for (y, line) in output.chunks_exact_mut(layer.output.width).enumerate() {
            for (x, value) in line.iter_mut().enumerate() {
                *value = layer.pool.apply((height, width), (y, x), pixel);
            }
        }
        memory::upload_channel(ram, layer.dst_row, layer.output, channel, output)?;
    }
    Ok(())
}

/// The sum of one output channel at one pixel, with the corrections for zero points.
fn accumulate(job: &Job<'_>, input: &[u8], channel: usize, y: usize, x: usize) -> i64 {
    let layer = &job.layer;
    let first = channel * layer.taps();
    let (mut sum_xw, mut sum_x, mut sum_w) = (0i64, 0i64, 0i64);
    for tap in 0..layer.taps() {
        let pixel = i64::from(tap_pixel(layer, input, channel, tap, y, x));
        let weight = i64::from(weight(job, first + tap));
        sum_xw += pixel * weight;
        sum_x += pixel;
        sum_w += weight;
    }
    let inputs = if layer.depthwise { 1 } else { layer.input.channels as i64 };
    sum_xw
        + ((i64::from(layer.arg_x) * sum_x) >> layer.shr_x)
        + ((i64::from(layer.arg_w) * sum_w) >> layer.shr_w)
        + layer.arg_add * inputs
}

/// The pixel under one tap, taps counted `[in_ch][ky][kx]`.
fn tap_pixel(layer: &Layer, input: &[u8], channel: usize, tap: usize, y: usize, x: usize) -> u8 {
    let shape = layer.input;
    let (channel, y, x) = match layer.kernel {
        Kernel::K1x1 if layer.depthwise => (channel, y, x),
        Kernel::K1x1 => (tap, y, x),
        Kernel::K3x3 => {
            let channel = if layer.depthwise { channel } else { tap / 9 };
            // Coordinates above or left of the image wrap to huge ones.
            let (ky, kx) = (tap % 9 / 3, tap % 3);
            (channel, (y + ky).wrapping_sub(1), (x + kx).wrapping_sub(1))
        }
    };
    if y >= shape.height || x >= shape.width {
        return layer.pad_value;
    }
    input.get((channel * shape.height + y) * shape.width + x).copied().unwrap_or(0)
}

fn weight(job: &Job<'_>, index: usize) -> u16 {
    if job.eight_bit {
        job.weights.get(index).map_or(0, |&w| u16::from(w))
    } else {
        job.weights.as_chunks().0.get(index).map_or(0, |&w| u16::from_le_bytes(w))
    }
}
