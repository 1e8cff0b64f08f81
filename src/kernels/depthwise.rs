//! Convolution of single planes, each output channel seeing one input channel.
//!
//! Sixteen neighbouring outputs are computed together, over the ends of lines: what stands between
//! the lines of a tile costs less than blocks that end with each line.

use super::blocked::{Element, Product, mac, quarters};
use super::convolution::{Cell, Group};
use super::pack::Tile;
use super::simd::Job;

/// Elements of a tile.
pub(crate) const ROOM: usize = 1024;
/// Outputs that are computed together.
const BLOCK: usize = 16;

/// Groups of one input channel each, in tiles of [`ROOM`] elements.
pub(crate) struct Depthwise<'g, 't, X, E: Element, Y, F> {
    pub planes: &'g mut Group<'t, X, E, Y, F>,
    pub groups: usize,
    pub tile: &'g Tile,
}

impl<X: Cell<E>, E: Element, Y, F: Fn(E) -> Y> Job for Depthwise<'_, '_, X, E, Y, F> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self { planes: p, groups, tile } = self;
        let ([rows, _, pixels], offset, width) = (p.size(), p.offset(), p.patches.out_width);
        let height = pixels.checked_div(width)?;
        let mut cells = [E::default(); ROOM + BLOCK];
        let mut sums = [[[E::default(); 4]; 4]; ROOM / BLOCK];
        for group in 0..groups {
            p.index = group;
            for oy in (0..height).step_by(tile.lines.max(1)) {
                for ox in (0..width).step_by(tile.columns.max(1)) {
                    let lines = tile.lines.min(height - oy);
                    let columns = tile.columns.min(width - ox);
                    p.fill(tile, [oy, ox], &mut cells)?;
                    let blocks = (lines * tile.pitch).div_ceil(BLOCK);
                    for row in 0..rows {
                        let (start, weights) = (p.bias(row)?, p.weights(row)?);
                        for (block, sums) in sums.iter_mut().enumerate().take(blocks) {
                            let cells = cells.get(block * BLOCK..)?;
                            let [mut s0, mut s1, mut s2, mut s3] = [[start; 4]; 4];
                            for (&w, &tap) in weights.iter().zip(&tile.taps) {
                                let x = cells.get(tap..)?.first_chunk()?;
                                let [x0, x1, x2, x3] = quarters(x, |x| x);
                                let w = E::weight(w, offset);
                                s0 = mac(s0, w, x0);
                                s1 = mac(s1, w, x1);
                                s2 = mac(s2, w, x2);
                                s3 = mac(s3, w, x3);
                            }
                            *sums = [s0, s1, s2, s3];
                        }
                        let sums = sums.as_flattened().as_flattened();
                        for (line, sums) in sums.chunks(tile.pitch.max(1)).enumerate().take(lines) {
                            p.finish(row, (oy + line) * width + ox, sums.get(..columns)?)?;
                        }
                    }
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::convolution::{Convolution, tests::floats};
    use super::super::{Clamp, Layout, conv2d::*, window::*};
    use crate::tensor::elements;

    #[test]
    fn images_of_several_tiles() {
        for (layout, stride) in [(Layout::Nchw, 1), (Layout::Nhwc, 1), (Layout::Nchw, 2)] {
            let pad = Pad { before: 1, after: 1 };
            let window =
                Window { filter: [3; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] };
            let input = [1, 2, 40, 150];
            let sizes = Convolution { layout, input, groups: 2, out_channels: 2, window };
            let p = Conv2d { sizes, clamp: Clamp::RELU6 };
            let (x, weights, bias) = (floats(12_000, 1), floats(18, 2), floats(2, 3));
            let mut expected = vec![0.0; elements(&sizes.output().expect("sane")).expect("small")];
            let mut y = expected.clone();
            conv2d_plain(&p, &x, &weights, &bias, &mut expected).expect("fits");
            conv2d(&p, &x, &weights, &bias, &mut y).expect("fits");
            assert!(y == expected, "{layout:?}, stride {stride}");
        }
    }
}
