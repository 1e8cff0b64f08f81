//! Transposed convolution.

use super::Clamp;
use super::window::Window;
use crate::math::fma;
use crate::tensor::{Shape, elements};

/// Options of [`conv2d_transpose`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dTranspose {
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output: what a convolution with this window would turn into the input.
    pub output: Shape,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// The filter and how it slides over the output.
    pub window: Window,
    /// Limits of the result.
    pub clamp: Clamp,
}

impl Conv2dTranspose {
    /// Number of weights, `[out_channels][in_channels / groups][ky][kx]`; `None` if the sizes
    /// contradict each other or are beyond all reason.
    pub fn weights(&self) -> Option<usize> {
        let ([batches, channels, height, width], output) = (self.input, self.output);
        let whole = |n: usize| n > 0 && n.checked_rem(self.groups) == Some(0);
        let consistent = output[0] == batches
            && whole(channels)
            && whole(output[1])
            && self.window.output([output[2], output[3]]) == Some([height, width]);
        let taps = channels.checked_div(self.groups)?;
        let taps = taps.checked_mul(self.window.filter[0])?.checked_mul(self.window.filter[1])?;
        elements(&self.input)?.checked_mul(taps)?.checked_mul(output[1])?;
        elements(&output)?;
        consistent.then(|| taps * output[1])
    }
}

/// Each input value is spread over the output by the filter; sums are fused, from 0, input
/// channel by channel in rows. There is no bias: the original stores one and never adds it.
///
/// Source: docs/formats.md, v4 opcode 0x13.
#[inline(never)]
pub fn conv2d_transpose(
    p: &Conv2dTranspose,
    x: &[f32],
    weights: &[f32],
    y: &mut [f32],
) -> Option<()> {
    let fits = p.weights()? == weights.len()
        && elements(&p.input)? == x.len()
        && elements(&p.output)? == y.len();
    fits.then_some(())?;
    let [_, channels, height, width] = p.input;
    let [_, out_channels, out_height, out_width] = p.output;
    let (vertical, horizontal) = (p.window.axis(0, out_height)?, p.window.axis(1, out_width)?);
    let group_in = channels.checked_div(p.groups)?;
    let group_out = out_channels.checked_div(p.groups)?;
    let filter = (vertical.filter * horizontal.filter).max(1);
    let filters = weights.chunks_exact((group_in * filter).max(1)).cycle();

    y.fill(0.0);
    // For each output plane its filters, and the group of input planes that they belong to.
    let planes = y.chunks_exact_mut((out_height * out_width).max(1)).zip(filters);
    for (index, (y, filters)) in planes.enumerate() {
        let group = index.checked_div(group_out)?;
        let inputs = x.get(group * group_in * height * width..)?;
        let mut inputs = inputs.chunks_exact((height * width).max(1));
        for filter in filters.chunks_exact(filter) {
            let x = inputs.next()?;
            for (iy, x) in x.chunks_exact(width.max(1)).enumerate() {
                let top = vertical.origin(iy);
                for (ix, &x) in x.iter().enumerate() {
                    let left = horizontal.origin(ix);
                    for ky in vertical.taps(top) {
                        let oy = (top + (ky * vertical.dilation) as isize) as usize;
                        for kx in horizontal.taps(left) {
                            let ox = (left + (kx * horizontal.dilation) as isize) as usize;
                            let y = y.get_mut(oy * out_width + ox)?;
                            *y = fma(x, *filter.get(ky * horizontal.filter + kx)?, *y);
                        }
                    }
                }
            }
        }
        p.clamp.limit(y);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::window::Pad;
    use super::*;

    fn window(filter: usize, stride: usize, pad: Pad) -> Window {
        Window { filter: [filter; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] }
    }

    #[test]
    fn spreads_by_the_filter() {
        let p = Conv2dTranspose {
            input: [1, 1, 1, 2],
            output: [1, 1, 2, 4],
            groups: 1,
            window: window(2, 2, Pad::default()),
            clamp: Clamp { min: -10.0, max: 30.0 },
        };
        let mut y = [7.0; 8];
        conv2d_transpose(&p, &[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0], &mut y).expect("fits");
        assert_eq!(y, [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 30.0]);
    }

    #[test]
    fn overlaps_add_and_padding_cuts() {
        let p = Conv2dTranspose {
            input: [1, 1, 2, 2],
            output: [1, 1, 2, 2],
            groups: 1,
            window: window(3, 1, Pad { before: 1, after: 1 }),
            clamp: Clamp::NONE,
        };
        let mut y = [0.0; 4];
        conv2d_transpose(&p, &[1.0, 2.0, 3.0, 4.0], &[1.0; 9], &mut y).expect("fits");
        assert_eq!(y, [10.0; 4]);
    }

    #[test]
    fn groups_and_batches_stay_apart() {
        let p = Conv2dTranspose {
            input: [2, 2, 1, 1],
            output: [2, 4, 1, 1],
            groups: 2,
            window: window(1, 1, Pad::default()),
            clamp: Clamp::NONE,
        };
        let mut y = [0.0; 8];
        conv2d_transpose(&p, &[1.0, 10.0, 2.0, 20.0], &[1.0, 2.0, 3.0, 4.0], &mut y).expect("fits");
        assert_eq!(y, [1.0, 2.0, 30.0, 40.0, 2.0, 4.0, 60.0, 80.0]);
        assert_eq!(Conv2dTranspose { groups: 3, ..p }.weights(), None);
        assert_eq!(Conv2dTranspose { output: [2, 4, 2, 1], ..p }.weights(), None);
        assert!(conv2d_transpose(&p, &[1.0; 3], &[1.0; 4], &mut y).is_none());
    }
}
