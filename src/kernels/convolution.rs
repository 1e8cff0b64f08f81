//! What float and quantized convolutions share: sizes, and the plain walk over the taps.

use core::ops::Range;

use super::Layout;
use super::blocked::{Element, Narrow, Product};
use super::depthwise::{self, Depthwise};
use super::pack::{Patches, Tile};
use super::simd::Lanes;
use super::window::Window;
use crate::level::Level;
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

/// An input as stored.
pub(crate) trait Cell<E>: Copy {
    /// As an element.
    fn widen(self) -> E;
    /// As an element, with an offset added.
    fn plus(self, offset: E) -> E;
    /// What a sum starts with where its inputs come without their offset: `sum` is of the offset
    /// times all weights.
    fn start(bias: E, sum: E) -> E;
}

impl Cell<f32> for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn plus(self, _: f32) -> f32 {
        self
    }

    #[inline(always)]
    fn start(bias: f32, _: f32) -> f32 {
        bias
    }
}

impl Cell<i32> for u8 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }

    #[inline(always)]
    fn plus(self, offset: i32) -> i32 {
        self.widen().wrapping_add(offset)
    }

    #[inline(always)]
    fn start(bias: i32, sum: i32) -> i32 {
        bias.wrapping_add(sum)
    }
}

/// What a convolution does with its numbers.
#[derive(Clone, Copy)]
pub(crate) struct Arithmetic<E: Element, F> {
    /// Added to each input inside the image.
    pub input_offset: E,
    /// What turns weights into elements.
    pub filter_offset: E::Offset,
    /// From a sum to an output.
    pub finish: F,
}

impl<E: Element, F> Arithmetic<E, F> {
    /// Whether [`Lanes`] compute with it.
    pub fn has_vectors(&self) -> bool {
        E::has_vectors(self.input_offset, self.filter_offset)
    }
}

/// The fast way to [`convolve`]: the same bits.
pub(crate) fn convolve_fast<X: Cell<E>, E: Lanes, Y>(
    level: Level,
    p: &Convolution,
    (x, weights, bias): (&[X], &[E::Weight], &[E]),
    y: &mut [Y],
    arithmetic: Arithmetic<E, impl Fn(E) -> Y + Copy>,
) -> Option<()> {
    p.fits(x.len(), weights.len(), bias.len(), y.len())?;
    let patches = Patches::new(p)?;
    let [batches, channels, height, width] = p.input;
    let (image, pixels, taps) = (channels * height * width, patches.pixels(), p.taps()?);
    let (group_in, group_out) =
        (channels.checked_div(p.groups)?, p.out_channels.checked_div(p.groups)?);
    let tile = match group_in == 1 && group_out < 4 {
        true => patches.tile(depthwise::ROOM),
        false => None,
    };
    let x = x.chunks_exact(image.max(1));
    let y = y.chunks_exact_mut((pixels * p.out_channels).max(1));
    for (x, y) in x.zip(y).take(batches) {
        let mut product = Group {
            patches,
            x,
            weights,
            bias,
            y,
            steps: match p.layout {
                Layout::Nchw => [pixels, 1],
                Layout::Nhwc => [1, p.out_channels],
            },
            size: [group_out, taps, pixels],
            arithmetic,
            index: 0,
        };
        if let Some(tile) = &tile {
            level.run(Depthwise { planes: &mut product, groups: p.groups, tile })?;
            continue;
        }
        for group in 0..p.groups {
            product.index = group;
            if pixels < 4 || !arithmetic.has_vectors() {
                level.run(Narrow(&mut product))?;
            } else {
                E::run(level, &mut product)?;
            }
        }
    }
    Some(())
}

/// One group of a convolution over one image, as a product.
pub(crate) struct Group<'t, X, E: Element, Y, F> {
    pub patches: Patches,
    x: &'t [X],
    weights: &'t [E::Weight],
    bias: &'t [E],
    y: &'t mut [Y],
    /// Distances between the rows (channels) and the pixels of the output.
    steps: [usize; 2],
    size: [usize; 3],
    arithmetic: Arithmetic<E, F>,
    /// Which group it is.
    pub index: usize,
}

impl<X: Cell<E>, E: Element, Y, F: Fn(E) -> Y> Group<'_, X, E, Y, F> {
    /// The output channel of a row.
    fn channel(&self, row: usize) -> usize {
        let [rows, ..] = self.size;
        self.index * rows + row
    }

    /// Fills a tile with the group's first channel.
    pub fn fill(&self, tile: &Tile, at: [usize; 2], into: &mut [E]) -> Option<()> {
        let (x, offset) = (self.patches.group(self.x, self.index)?, self.arithmetic.input_offset);
        self.patches.fill(tile, x, at, into, |x| x.plus(offset))
    }

    /// What the sums of a row start with.
    pub fn bias(&self, row: usize) -> Option<E> {
        self.bias.get(self.channel(row)).copied()
    }
}

impl<X: Cell<E>, E: Element, Y, F: Fn(E) -> Y> Product<E> for Group<'_, X, E, Y, F> {
    fn size(&self) -> [usize; 3] {
        self.size
    }

    fn weights(&self, row: usize) -> Option<&[E::Weight]> {
        let [_, taps, _] = self.size;
        self.weights.get(self.channel(row) * taps..)?.get(..taps)
    }

    fn offset(&self) -> E::Offset {
        self.arithmetic.filter_offset
    }

    fn pack(&self, pixel: usize, width: usize, taps: Range<usize>, into: &mut [E]) -> Option<()> {
        let (x, offset) = (self.patches.group(self.x, self.index)?, self.arithmetic.input_offset);
        self.patches.pack(x, pixel, width, taps, into, |x| x.plus(offset))
    }

    fn start(&self, row: usize, _: usize, sums: &mut [E]) -> Option<()> {
        sums.fill(self.bias(row)?);
        Some(())
    }

    fn finish(&mut self, row: usize, pixel: usize, sums: &[E]) -> Option<()> {
        let ([row_step, pixel_step], [_, _, pixels]) = (self.steps, self.size);
        let at = self.channel(row) * row_step;
        let y = self.y.get_mut(at + pixel * pixel_step..)?;
        let sums = sums.get(..pixels - pixel).unwrap_or(sums);
        let set = |(y, &sum): (&mut Y, &E)| *y = (self.arithmetic.finish)(sum);
        match pixel_step {
            1 => y.iter_mut().zip(sums).for_each(set),
            step => y.iter_mut().step_by(step.max(1)).zip(sums).for_each(set),
        }
        Some(())
    }
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
