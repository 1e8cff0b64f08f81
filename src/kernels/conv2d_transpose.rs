//! Transposed convolution.

use super::reduce_window::Pool;
use super::window::Window;
use super::{Clamp, Layout};
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
    let group_in = channels.checked_div(p.groups)?;
    let group_out = out_channels.checked_div(p.groups)?;
    let filter = p.window.filter.iter().product::<usize>().max(1);
    let filters = weights.chunks_exact((group_in * filter).max(1)).cycle();
    // The window slides over the output and finds the inputs one after another.
    let [_, stride] = p.window.stride;
    let plane = Pool {
        layout: Layout::Nchw,
        input: [1, 1, out_height, out_width],
        output: [height, width],
        window: p.window,
    };

    y.fill(0.0);
    // For each output plane its filters, and the group of input planes that they belong to.
    let planes = y.chunks_exact_mut((out_height * out_width).max(1)).zip(filters);
    for (index, (y, filters)) in planes.enumerate() {
        let group = index.checked_div(group_out)?;
        let inputs = x.get(group * group_in * height * width..)?;
        let inputs = inputs.chunks_exact((height * width).max(1));
        for (x, filter) in inputs.zip(filters.chunks_exact(filter)) {
            // From the right, each output takes its inputs from the left.
            plane.walk(true, &mut |tap, inputs, at| {
                let weight = *filter.get(tap)?;
                let y = y.get_mut(at..)?.iter_mut().step_by(stride.max(1));
                y.zip(x.get(inputs)?).for_each(|(y, &x)| *y = fma(x, weight, *y));
                Some(())
            })?;
        }
        p.clamp.limit(y);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::convolution::tests::floats;
    use super::super::window::Pad;
    use super::*;
    use proptest::prelude::*;

    fn window(filter: usize, stride: usize, pad: Pad) -> Window {
        Window { filter: [filter; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] }
    }

    proptest! {
        #[test]
        fn gives_the_bits_of_the_definition(
            groups in 1usize..3, channels in 1usize..3, out_channels in 1usize..3,
            sizes in [1usize..9, 1usize..9], filter in [1usize..4, 1usize..4],
            stride in [1usize..4, 1usize..4], dilation in [1usize..3, 1usize..3],
            before in 0i32..3, after in -1i32..3, seed in any::<u64>(),
        ) {
            let window = Window { filter, stride, dilation, pad: [Pad { before, after }; 2] };
            let Some([height, width]) = window.output(sizes) else { return Ok(()) };
            let [out_height, out_width] = sizes;
            let p = Conv2dTranspose {
                input: [1, groups * channels, height, width],
                output: [1, groups * out_channels, out_height, out_width],
                groups,
                window,
                clamp: Clamp::NONE,
            };
            let x = floats(elements(&p.input).expect("small"), seed);
            let weights = floats(p.weights().expect("sane"), seed ^ 7);
            let mut y = vec![f32::NAN; elements(&p.output).expect("small")];
            conv2d_transpose(&p, &x, &weights, &mut y).expect("fits");

            let mut expected = vec![0.0f32; y.len()];
            let mut taps = weights.iter();
            for (o, plane) in expected.chunks_exact_mut(out_height * out_width).enumerate() {
                for c in 0..channels {
                    let filter: Vec<_> = taps.by_ref().take(filter[0] * filter[1]).collect();
                    for (i, x) in x.iter().skip((o / out_channels * channels + c) * height * width)
                        .take(height * width).enumerate()
                    {
                        for (k, &w) in filter.iter().enumerate() {
                            let at = |i: usize, k: usize, axis: usize| {
                                let at = (i * stride[axis] + k * dilation[axis]) as isize;
                                usize::try_from(at - before as isize).ok().filter(|&at| at < sizes[axis])
                            };
                            let (ky, kx) = (k / p.window.filter[1], k % p.window.filter[1]);
                            if let (Some(oy), Some(ox)) = (at(i / width, ky, 0), at(i % width, kx, 1)) {
                                let y = &mut plane[oy * out_width + ox];
                                *y = x.mul_add(*w, *y);
                            }
                        }
                    }
                }
            }
            prop_assert_eq!(y, expected);
        }
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
