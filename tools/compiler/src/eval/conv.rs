//! Convolutions as matrix products over gathered taps.

use super::gemm;
use crate::graph::{Conv2d, ConvTranspose, Window};

/// `x` and the result are N, C, H, W.
pub fn conv2d(conv: &Conv2d, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
    let (in_plane, out_plane) = (shape[2] * shape[3], out[2] * out[3]);
    let (in_group, out_group) = (shape[1] / conv.groups, out[1] / conv.groups);
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let mut y = Vec::with_capacity(out.iter().product());
    for _ in 0..out[0] {
        conv.bias.iter().for_each(|&b| y.extend(std::iter::repeat_n(b, out_plane)));
    }
    let direct = conv.window == Window::UNIT;
    let mut columns = vec![0.0; if direct { 0 } else { in_group * taps * out_plane }];
    for n in 0..shape[0] {
        for g in 0..conv.groups {
            let x = &x[(n * shape[1] + g * in_group) * in_plane..][..in_group * in_plane];
            let y = &mut y[(n * out[1] + g * out_group) * out_plane..][..out_group * out_plane];
            let weights =
                &conv.weights[g * out_group * in_group * taps..][..out_group * in_group * taps];
            if direct {
                gemm([out_group, in_group, out_plane], weights, x, y);
            } else if in_group == 1 && out_group == 1 {
                depthwise(&conv.window, weights, x, &shape[2..], y, &out[2..]);
            } else {
                gather(&conv.window, x, &shape[2..], &mut columns, &out[2..]);
                gemm([out_group, in_group * taps, out_plane], weights, &columns, y);
            }
        }
    }
    y
}

/// The part of the output axis whose tap lies inside the image, and the image index of its start.
fn inside(
    window: &Window,
    axis: usize,
    tap: usize,
    input: usize,
    output: usize,
) -> (usize, usize, usize) {
    let (stride, offset) = (window.stride[axis], tap * window.dilation[axis]);
    let before = window.pad[axis].0;
    let first = before.saturating_sub(offset).div_ceil(stride).min(output);
    let end = (input + before).saturating_sub(offset).div_ceil(stride).clamp(first, output);
    (first, end, (first * stride + offset).saturating_sub(before))
}

/// One line of taps for each channel, kernel row and kernel column: `[c][ky][kx][oy][ox]`.
fn gather(window: &Window, x: &[f32], size: &[usize], columns: &mut [f32], out: &[usize]) {
    let (h, w, oh, ow) = (size[0], size[1], out[0], out[1]);
    let taps = window.kernel[0] * window.kernel[1];
    columns.fill(0.0);
    for (plane, columns) in x.chunks_exact(h * w).zip(columns.chunks_exact_mut(taps * oh * ow)) {
        for (tap, columns) in columns.chunks_exact_mut(oh * ow).enumerate() {
            let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
            let (y0, y1, iy) = inside(window, 0, ky, h, oh);
            let (x0, x1, ix) = inside(window, 1, kx, w, ow);
            for (step, oy) in (y0..y1).enumerate() {
                let line = &plane[(iy + step * window.stride[0]) * w..][..w];
                let target = &mut columns[oy * ow + x0..oy * ow + x1];
                if target.is_empty() {
                    continue;
                }
                if window.stride[1] == 1 {
                    target.copy_from_slice(&line[ix..ix + target.len()]);
                } else {
                    let source = line[ix..].iter().step_by(window.stride[1]);
                    target.iter_mut().zip(source).for_each(|(t, &s)| *t = s);
                }
            }
        }
    }
}

/// One channel: every tap adds a scaled, shifted copy of the image.
fn depthwise(
    window: &Window,
    weights: &[f32],
    x: &[f32],
    size: &[usize],
    y: &mut [f32],
    out: &[usize],
) {
    let (h, w, oh, ow) = (size[0], size[1], out[0], out[1]);
    for (tap, &weight) in weights.iter().enumerate() {
        let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
        let (y0, y1, iy) = inside(window, 0, ky, h, oh);
        let (x0, x1, ix) = inside(window, 1, kx, w, ow);
        for (step, oy) in (y0..y1).enumerate() {
            let line = &x[(iy + step * window.stride[0]) * w..][..w];
            let target = &mut y[oy * ow + x0..oy * ow + x1];
            if target.is_empty() {
                continue;
            }
            if window.stride[1] == 1 {
                let source = &line[ix..ix + target.len()];
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * s);
            } else {
                let source = line[ix..].iter().step_by(window.stride[1]);
                target.iter_mut().zip(source).for_each(|(t, &s)| *t += weight * s);
            }
        }
    }
}

/// Every input pixel adds a scaled kernel to the output; what `pad` cuts off is dropped.
pub fn transpose(conv: &ConvTranspose, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
    let window = &conv.window;
    let (in_group, out_group) = (shape[1] / conv.groups, out[1] / conv.groups);
    let taps = window.kernel[0] * window.kernel[1];
    let out_plane = out[2] * out[3];
    let mut y = Vec::with_capacity(out.iter().product());
    for _ in 0..out[0] {
        conv.bias.iter().for_each(|&b| y.extend(std::iter::repeat_n(b, out_plane)));
    }
    for (plane_index, plane) in x.chunks_exact(shape[2] * shape[3]).enumerate() {
        let (n, ic) = (plane_index / shape[1], plane_index % shape[1]);
        let (group, ic) = (ic / in_group, ic % in_group);
        for oc in group * out_group..(group + 1) * out_group {
            let weights = &conv.weights[(oc * in_group + ic) * taps..][..taps];
            let y = &mut y[(n * out[1] + oc) * out_plane..][..out_plane];
            for (i, &x) in plane.iter().enumerate() {
                let (iy, ix) = (i / shape[3] * window.stride[0], i % shape[3] * window.stride[1]);
                for (tap, &weight) in weights.iter().enumerate() {
                    let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
                    let oy = (iy + ky * window.dilation[0]).wrapping_sub(window.pad[0].0);
                    let ox = (ix + kx * window.dilation[1]).wrapping_sub(window.pad[1].0);
                    if oy < out[2] && ox < out[3] {
                        y[oy * out[3] + ox] += weight * x;
                    }
                }
            }
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, tap by tap.
    fn plain(conv: &Conv2d, x: &[f32], shape: &[usize], out: &[usize]) -> Vec<f32> {
        let w = &conv.window;
        let (in_group, out_group) = (shape[1] / conv.groups, out[1] / conv.groups);
        let mut y = Vec::new();
        super::super::for_each_index(out, |i| {
            let mut sum = conv.bias[i[1]];
            for ic in 0..in_group {
                let channel = i[1] / out_group * in_group + ic;
                for ky in 0..w.kernel[0] {
                    for kx in 0..w.kernel[1] {
                        let iy = (i[2] * w.stride[0] + ky * w.dilation[0]).wrapping_sub(w.pad[0].0);
                        let ix = (i[3] * w.stride[1] + kx * w.dilation[1]).wrapping_sub(w.pad[1].0);
                        if iy < shape[2] && ix < shape[3] {
                            let weight = conv.weights
                                [((i[1] * in_group + ic) * w.kernel[0] + ky) * w.kernel[1] + kx];
                            let at = ((i[0] * shape[1] + channel) * shape[2] + iy) * shape[3] + ix;
                            sum += weight * x[at];
                        }
                    }
                }
            }
            y.push(sum);
        });
        y
    }

    proptest! {
        #[test]
        fn conv2d_is_its_definition(
            kernel in [1usize..4, 1usize..4], stride in [1usize..4, 1usize..4],
            dilation in [1usize..3, 1usize..3], pad in [(0usize..3, 0usize..3), (0usize..3, 0usize..3)],
            size in [1usize..9, 1usize..9], groups in 1usize..4, in_group in 1usize..4,
            out_group in 1usize..4, seed in any::<u32>(),
        ) {
            let window = Window { kernel, stride, dilation, pad };
            let (Some(oh), Some(ow)) = (window.output(0, size[0]), window.output(1, size[1])) else {
                return Ok(());
            };
            let mut state = seed | 1;
            let mut random = |n: usize| -> Vec<f32> {
                (0..n).map(|_| {
                    state ^= state << 13; state ^= state >> 17; state ^= state << 5;
                    (state % 17) as f32 - 8.0
                }).collect()
            };
            let conv = Conv2d {
                weights: random(groups * out_group * in_group * kernel[0] * kernel[1]),
                bias: random(groups * out_group), groups, window,
            };
            let shape = [1, groups * in_group, size[0], size[1]];
            let out = [1, groups * out_group, oh, ow];
            let x = random(shape.iter().product());
            prop_assert_eq!(conv2d(&conv, &x, &shape, &out), plain(&conv, &x, &shape, &out));
        }
    }
}
