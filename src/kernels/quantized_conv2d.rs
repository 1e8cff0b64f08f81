//! Quantized convolution, normal and depthwise.

use bytemuck::cast_slice;

use super::blocked::Bias;
use super::convolution::{Convolution, convolve, convolve_fast};
use super::numbers::{Operands, Quantization};
use super::quantize::Rescale;
use crate::level::Level;

/// Options of [`quantized_conv2d`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedConv2d {
    /// The sizes.
    pub sizes: Convolution,
    /// Added to each input. Opcodes 0x1004 and 0x1005 subtract theirs: negate it.
    pub input_offset: i32,
    /// Added to each weight. Opcodes 0x1004 and 0x1005 subtract theirs: negate it.
    pub filter_offset: i32,
    /// From the sum to the output.
    pub rescale: Rescale,
}

/// Each output is its channel's bias plus the sum of `(x + input_offset) * (w + filter_offset)`
/// over the taps inside the image, in wrapping 32-bit integers, rescaled to a byte.
///
/// Source: docs/formats.md, v4 opcodes 0x0F, 0x1004, 0x1005.
#[inline(never)]
pub fn quantized_conv2d(
    p: &QuantizedConv2d,
    x: &[u8],
    weights: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    quantized_conv2d_at(Level::best(), p, x, weights, bias, y)
}

/// [`quantized_conv2d`] with the instructions of a level.
pub(crate) fn quantized_conv2d_at(
    level: Level,
    p: &QuantizedConv2d,
    x: &[u8],
    weights: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    p.sizes.fits(x.len(), weights.len(), bias.len(), y.len())?;
    let bias = Bias::Rows(cast_slice(bias));
    let QuantizedConv2d { input_offset, filter_offset, rescale, .. } = *p;
    let rule = Quantization { input_offset, filter_offset, rescale };
    convolve_fast(&p.sizes, bias, &mut Operands { level, rule, x, weights, y })
}

/// [`quantized_conv2d`] in the words of its definition, for comparison.
#[inline(never)]
pub fn quantized_conv2d_plain(
    p: &QuantizedConv2d,
    x: &[u8],
    weights: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    let mac = |sum: i32, x: u8, w: u8| {
        let x = i32::from(x).wrapping_add(p.input_offset);
        let w = i32::from(w).wrapping_add(p.filter_offset);
        sum.wrapping_add(x.wrapping_mul(w))
    };
    convolve(&p.sizes, (x, weights, bias), y, mac, |sum| p.rescale.to_u8(sum))
}

#[cfg(test)]
mod tests {
    use super::super::Layout;
    use super::super::convolution::tests::{any_convolution, bytes, noise};
    use super::super::window::{Pad, Window};
    use super::*;
    use crate::tensor::elements;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_gives_the_bytes_of_the_plain_one(
            sizes in any_convolution(), seed in any::<u64>(),
            input_offset in prop_oneof![-255i32..1, -4097i32..4098, any::<i32>()],
            filter_offset in prop_oneof![-255i32..1, -4097i32..4098, any::<i32>()],
            shift in 20i32..32, offset in -50i32..200,
        ) {
            let rescale = Rescale { multiplier: 1_000_000, shift, offset };
            let p = QuantizedConv2d { sizes, input_offset, filter_offset, rescale };
            let x = bytes(elements(&sizes.input).expect("small"), seed);
            let weights = bytes(sizes.weights().expect("small"), seed ^ 7);
            let bias: Vec<i32> =
                noise(sizes.out_channels, seed ^ 77).map(|n| (n as i32) >> 16).collect();
            let mut expected = vec![0; elements(&sizes.output().expect("sane")).expect("small")];
            quantized_conv2d_plain(&p, &x, &weights, &bias, &mut expected).expect("fits");
            for level in Level::all() {
                let mut y = vec![77; expected.len()];
                quantized_conv2d_at(level, &p, &x, &weights, &bias, &mut y).expect("fits");
                prop_assert_eq!(&y, &expected, "{:?}", level);
            }
        }
    }

    #[test]
    fn by_hand() {
        let window = Window {
            filter: [1, 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [Pad::default(), Pad { before: 1, after: 0 }],
        };
        let sizes = Convolution {
            layout: Layout::Nchw,
            input: [1, 1, 1, 2],
            groups: 1,
            out_channels: 1,
            window,
        };
        let rescale = Rescale { multiplier: 3, shift: 1, offset: 5 };
        let p = QuantizedConv2d { sizes, input_offset: -10, filter_offset: -2, rescale };
        let mut y = [0; 2];
        quantized_conv2d(&p, &[12, 20], &[1, 7], &[4], &mut y).expect("fits");
        // 4 + 2*5 = 14, * 3 = 42 >> 1 = 21, + 5; the tap left of the image is not -10 but nothing.
        // 4 + 2*-1 + 10*5 = 52, * 3 = 156 >> 1 = 78, + 5.
        assert_eq!(y, [26, 83]);
    }
}
