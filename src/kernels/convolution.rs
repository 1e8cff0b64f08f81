//! What float and quantized convolutions share: sizes, and the plain walk over the taps.

use super::Layout;
use super::blocked::{Bias, Product, Scratch};
use super::depthwise;
use super::numbers::Numbers;
use super::pack::Patches;
use super::window::Window;
use crate::tensor::{Shape, elements};

/// Sizes of a convolution. Depthwise is `groups == out_channels`.
///
/// Weights lie as `[out_channels][taps]`; the taps of one output channel, over its group's input
/// channels, are `[channel][ky][kx]` with [`Layout::Nchw`] and `[ky][kx][channel]` with
/// [`Layout::Nhwc`]. This is also the order of every sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// How input and output lie in memory.
    pub layout: Layout,
    /// Input shape, `[N, C, H, W]` whatever the layout.
    pub input: Shape,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Output channels of all groups together.
    pub out_channels: usize,
    /// The filter and how it slides.
    pub window: Window,
}

impl Convolution {
    /// Output shape; `None` if the sizes contradict each other or are beyond all reason.
    pub fn output(&self) -> Option<Shape> {
        let [batches, channels, height, width] = self.input;
        let whole = |n: usize| n > 0 && n.checked_rem(self.groups) == Some(0);
        let [out_height, out_width] = self.window.output([height, width])?;
        let shape = [batches, self.out_channels, out_height, out_width];
        elements(&shape)?.checked_mul(self.taps()?)?;
        elements(&self.input)?;
        (whole(channels) && whole(self.out_channels)).then_some(shape)
    }

    /// Taps of one output value, those outside the image included.
    pub fn taps(&self) -> Option<usize> {
        let [_, channels, ..] = self.input;
        let [height, width] = self.window.filter;
        channels.checked_div(self.groups)?.checked_mul(height)?.checked_mul(width)
    }

    /// Number of weights.
    pub fn weights(&self) -> Option<usize> {
        self.taps()?.checked_mul(self.out_channels)
    }

    /// Multiply-accumulates of one run.
    pub fn macs(&self) -> Option<usize> {
        elements(&self.output()?)?.checked_mul(self.taps()?)
    }

    /// Whether slices of these lengths belong to this convolution.
    pub(crate) fn fits(&self, x: usize, weights: usize, bias: usize, y: usize) -> Option<()> {
        let fits = elements(&self.input)? == x
            && self.weights()? == weights
            && self.out_channels == bias
            && elements(&self.output()?)? == y;
        fits.then_some(())
    }
}

/// The plain walk: for each output, `mac` over its taps inside the image, from `bias`.
pub(crate) fn convolve<X: Copy, W: Copy, A: Copy, Y>(
    p: &Convolution,
    (x, weights, bias): (&[X], &[W], &[A]),
    y: &mut [Y],
    mac: impl Fn(A, X, W) -> A,
    finish: impl Fn(A) -> Y,
) -> Option<()> {
    p.fits(x.len(), weights.len(), bias.len(), y.len())?;
    let output = p.output()?;
    let [batches, channels, height, width] = p.input;
    let [_, out_channels, out_height, out_width] = output;
    let (vertical, horizontal) = (p.window.axis(0, height)?, p.window.axis(1, width)?);
    let group_in = channels.checked_div(p.groups)?;
    let group_out = out_channels.checked_div(p.groups)?;
    let [step_c, step_y, step_x] = p.layout.steps(&p.input);
    let [out_c, out_y, out_x] = p.layout.steps(&output);
    let [filter_h, filter_w] = p.window.filter;
    let tap_steps = p.layout.steps(&[1, group_in, filter_h, filter_w]);

    for n in 0..batches {
        for oc in 0..out_channels {
            let first_channel = oc.checked_div(group_out)? * group_in;
            let weights = weights.get(oc * p.taps()?..)?;
            for oy in 0..out_height {
                let top = vertical.origin(oy);
                for ox in 0..out_width {
                    let left = horizontal.origin(ox);
                    let mut sum = *bias.get(oc)?;
                    let mut tap = |c: usize, ky: usize, kx: usize| -> Option<()> {
                        let iy = (top + (ky * vertical.dilation) as isize) as usize;
                        let ix = (left + (kx * horizontal.dilation) as isize) as usize;
                        let channel = n * channels + first_channel + c;
                        let at = match p.layout {
                            Layout::Nchw => channel * step_c,
                            Layout::Nhwc => n * height * step_y + first_channel + c,
                        };
                        let x = *x.get(at + iy * step_y + ix * step_x)?;
                        let [c_step, ky_step, kx_step] = tap_steps;
                        sum = mac(sum, x, *weights.get(c * c_step + ky * ky_step + kx * kx_step)?);
                        Some(())
                    };
                    let (rows, columns) = (vertical.taps(top), horizontal.taps(left));
                    match p.layout {
                        Layout::Nchw => {
                            for c in 0..group_in {
                                for ky in rows.clone() {
                                    columns.clone().try_for_each(|kx| tap(c, ky, kx))?;
                                }
                            }
                        }
                        Layout::Nhwc => {
                            for ky in rows {
                                for kx in columns.clone() {
                                    (0..group_in).try_for_each(|c| tap(c, ky, kx))?;
                                }
                            }
                        }
                    }
                    let batch = n * out_channels * out_height * out_width;
                    *y.get_mut(batch + oc * out_c + oy * out_y + ox * out_x)? = finish(sum);
                }
            }
        }
    }
    Some(())
}

/// The fast way to [`convolve`]: the same bits. The caller has made sure that the numbers and the
/// bias [fit](Convolution::fits).
pub(crate) fn convolve_fast(
    p: &Convolution,
    bias: Bias<'_>,
    numbers: &mut dyn Numbers,
) -> Option<()> {
    let patches = &Patches::new(p)?;
    let ([batches, channels, height, width], pixels) = (p.input, patches.pixels());
    let (rows, taps) = (p.out_channels.checked_div(p.groups)?, p.taps()?);
    let steps = match p.layout {
        Layout::Nchw => [pixels, 1],
        Layout::Nhwc => [1, p.out_channels],
    };
    let [row_step, _] = steps;
    let mut scratch = Scratch::new();
    for image in 0..batches {
        for group in 0..p.groups {
            let first_row = group * rows;
            let product = Product {
                patches,
                x: image * channels * height * width + patches.group(group),
                rows,
                taps,
                weights: first_row * taps,
                bias: match bias {
                    Bias::Rows(bias) => Bias::Rows(bias.get(first_row..)?),
                    other => other,
                },
                y: image * p.out_channels * pixels + first_row * row_step,
                steps,
            };
            match depthwise::size(&product, numbers) {
                Some(size) => depthwise::run(&product, size, numbers, &mut scratch)?,
                None => product.run(numbers, &mut scratch)?,
            }
        }
    }
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::window::Pad;
    use super::*;
    use proptest::prelude::*;

    /// Convolutions of all kinds and both layouts, with an output.
    pub fn any_convolution() -> impl Strategy<Value = Convolution> {
        let axis = || (1usize..6, 1usize..4, 1usize..3, 0i32..4, -1i32..4);
        let channels = prop_oneof![
            (1usize..3, 1usize..20, 1usize..11),
            (1usize..7, Just(1usize), 1usize..3),
            (Just(1usize), 30usize..90, 60usize..70),
        ];
        let image = prop_oneof![(1usize..9, 1usize..30), (1usize..3, 60usize..75)];
        (any::<bool>(), 1usize..3, channels, image, axis(), axis())
            .prop_map(|(pixel_order, batches, (groups, input, output), (height, width), v, h)| {
                let ((fh, sh, dh, bh, ah), (fw, sw, dw, bw, aw)) = (v, h);
                Convolution {
                    layout: if pixel_order { Layout::Nhwc } else { Layout::Nchw },
                    input: [batches, groups * input, height, width],
                    groups,
                    out_channels: groups * output,
                    window: Window {
                        filter: [fh, fw],
                        stride: [sh, sw],
                        dilation: [dh, dw],
                        pad: [Pad { before: bh, after: ah }, Pad { before: bw, after: aw }],
                    },
                }
            })
            .prop_filter("has an output", |p| p.output().is_some())
    }

    /// Numbers without a pattern.
    pub fn noise(count: usize, seed: u64) -> impl Iterator<Item = u32> {
        let mut state = seed | 1;
        (0..count).map(move |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u32
        })
    }

    /// Floats between -1 and 1 without a pattern.
    pub fn floats(count: usize, seed: u64) -> Vec<f32> {
        noise(count, seed).map(|n| n as f32 / (1u32 << 30) as f32 - 1.0).collect()
    }

    /// Bytes without a pattern.
    pub fn bytes(count: usize, seed: u64) -> Vec<u8> {
        noise(count, seed).map(|n| n as u8).collect()
    }
}
