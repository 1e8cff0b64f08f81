//! Float convolution, normal and depthwise.

use bytemuck::cast_slice;

use super::Clamp;
use super::blocked::Bias;
use super::convolution::{Convolution, convolve, convolve_fast};
use super::numbers::Operands;
use crate::level::Level;
use crate::math::fma;

/// Options of [`conv2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// The sizes.
    pub sizes: Convolution,
    /// Limits of the result.
    pub clamp: Clamp,
}

/// Each output starts with its channel's bias and adds, fused, its taps in the order of the
/// weights; taps outside the image are left out.
///
/// Source: docs/formats.md, v4 opcodes 0x02, 0x1001, 0x1002.
#[inline(never)]
pub fn conv2d(p: &Conv2d, x: &[f32], weights: &[f32], bias: &[f32], y: &mut [f32]) -> Option<()> {
    conv2d_at(Level::best(), p, x, weights, bias, y)
}

/// [`conv2d`] with the instructions of a level.
pub(crate) fn conv2d_at(
    level: Level,
    p: &Conv2d,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    p.sizes.fits(x.len(), weights.len(), bias.len(), y.len())?;
    let bias = Bias::Rows(cast_slice(bias));
    convolve_fast(&p.sizes, bias, &mut Operands { level, rule: p.clamp, x, weights, y })
}

/// [`conv2d`] in the words of its definition, for comparison.
#[inline(never)]
pub fn conv2d_plain(
    p: &Conv2d,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    let mac = |sum, x, w| fma(w, x, sum);
    convolve(&p.sizes, (x, weights, bias), y, mac, |sum| p.clamp.apply(sum))
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::super::convolution::tests::{any_convolution, floats};
    use super::super::window::{Pad, Window};
    use super::*;
    use crate::tensor::elements;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_gives_the_bits_of_the_plain_one(
            sizes in any_convolution(), seed in any::<u64>(), min in -2.0f32..0.0,
        ) {
            let p = Conv2d { sizes, clamp: Clamp { min, max: 2.0 } };
            let x = floats(elements(&sizes.input).expect("small"), seed);
            let weights = floats(sizes.weights().expect("small"), seed ^ 7);
            let bias = floats(sizes.out_channels, seed ^ 77);
            let mut expected = vec![0.0; elements(&sizes.output().expect("sane")).expect("small")];
            conv2d_plain(&p, &x, &weights, &bias, &mut expected).expect("fits");
            for level in Level::all() {
                let mut y = vec![f32::NAN; expected.len()];
                conv2d_at(level, &p, &x, &weights, &bias, &mut y).expect("fits");
                let same = y.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                prop_assert!(same, "{:?}: {:?} instead of {:?}", level, y, expected);
            }
        }
    }

    #[test]
    fn three_by_three_by_hand() {
        let window = Window {
            filter: [3; 2],
            stride: [2, 1],
            dilation: [1; 2],
            pad: [Pad { before: 1, after: 0 }, Pad { before: 0, after: 1 }],
        };
        let sizes = Convolution {
            layout: Layout::Nchw,
            input: [1, 1, 3, 3],
            groups: 1,
            out_channels: 2,
            window,
        };
        assert_eq!(sizes.output(), Some([1, 2, 1, 2]));
        assert_eq!((sizes.weights(), sizes.macs()), (Some(18), Some(36)));
        let p = Conv2d { sizes, clamp: Clamp { min: 0.0, max: 60.0 } };
        let x: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let mut weights = [1.0; 18];
        weights[9..].copy_from_slice(&[9.0, 9.0, 9.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0]);
        let mut y = [0.0; 4];
        conv2d(&p, &x, &weights, &[0.5, 2.0], &mut y).expect("fits");
        // 1+2+3+4+5+6, 2+3+5+6; 2 + 2 - 5 < 0, 2 + 3 - 6 < 0.
        assert_eq!(y, [21.5, 16.5, 0.0, 0.0]);
        assert!(conv2d(&p, &x[1..], &weights, &[0.5, 2.0], &mut y).is_none());
    }

    #[test]
    fn pixel_order_by_hand() {
        let window =
            Window { filter: [1, 2], stride: [1; 2], dilation: [1; 2], pad: [Pad::default(); 2] };
        let sizes = Convolution {
            layout: Layout::Nhwc,
            input: [1, 2, 1, 3],
            groups: 1,
            out_channels: 1,
            window,
        };
        let p = Conv2d { sizes, clamp: Clamp::NONE };
        let mut y = [0.0; 2];
        let x = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
        conv2d(&p, &x, &[1.0, 2.0, 3.0, 4.0], &[0.0], &mut y).expect("fits");
        assert_eq!(y, [1.0 + 20.0 + 6.0 + 80.0, 2.0 + 40.0 + 9.0 + 120.0]);
        let depthwise = Convolution { groups: 2, out_channels: 2, ..sizes };
        let p = Conv2d { sizes: depthwise, clamp: Clamp::NONE };
        let mut y = [0.0; 4];
        conv2d(&p, &x, &[1.0, 2.0, 3.0, 4.0], &[0.0, 1.0], &mut y).expect("fits");
        assert_eq!(y, [1.0 + 4.0, 1.0 + 30.0 + 80.0, 2.0 + 6.0, 1.0 + 60.0 + 120.0]);
    }

    #[test]
    fn contradictions_are_refused() {
        let window =
            Window { filter: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [Pad::default(); 2] };
        let good = Convolution {
            layout: Layout::Nchw,
            input: [1, 4, 2, 2],
            groups: 2,
            out_channels: 6,
            window,
        };
        assert_eq!(good.output(), Some([1, 6, 2, 2]));
        for bad in [
            Convolution { groups: 0, ..good },
            Convolution { groups: 4, ..good },
            Convolution { out_channels: 0, ..good },
            Convolution { input: [1, 0, 2, 2], ..good },
            Convolution { input: [usize::MAX, 4, 2, 2], ..good },
            Convolution { out_channels: usize::MAX - 1, ..good },
            Convolution { window: Window { stride: [0, 1], ..window }, ..good },
            Convolution { window: Window { filter: [3, 1], ..window }, ..good },
        ] {
            assert_eq!(bad.output(), None, "{bad:?}");
        }
    }
}
