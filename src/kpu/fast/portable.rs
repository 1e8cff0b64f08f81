//! Sums of products for any CPU.

use crate::kpu::fast::{BLOCK, LANES, Pixels, Quad, STRIP, Simd, pack::PackedWeights};

/// Rust alone; the compiler vectorizes what it can.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    type Weights = [u8; 4];

    #[inline(always)]
    fn weights(bytes: [u8; 4]) -> [u8; 4] {
        bytes
    }

    #[inline(always)]
    fn dot(
        self,
        pixels: &Pixels<'_>,
        weights: &PackedWeights<[u8; 4]>,
        first: usize,
        sums: &mut [[i32; STRIP]; BLOCK],
        column: usize,
        vectors: usize,
    ) {
        for vector in 0..vectors {
            let mut block = [[0; LANES]; BLOCK];
            for (bytes, weights) in pixels.at::<{ 4 * LANES }>(first + vector * LANES).zip(weights)
            {
                let mut lanes = [[0i32; LANES]; 4];
                for (i, quad) in bytes.as_chunks::<4>().0.iter().enumerate() {
                    lanes.iter_mut().zip(quad).for_each(|(lane, &x)| lane[i] = (x as i8).into());
                }
                for (sums, weights) in block.iter_mut().zip(weights) {
                    for (lane, &w) in lanes.iter().zip(weights) {
                        for (sum, x) in sums.iter_mut().zip(lane) {
                            *sum += x * i32::from(w);
                        }
                    }
                }
            }
            for (sums, block) in sums.iter_mut().zip(&block) {
                let begin = column + vector * LANES;
                sums[begin..begin + LANES].copy_from_slice(block);
            }
        }
    }

    #[inline(always)]
    fn depthwise(
        self,
        pixels: &[u8],
        quads: &[Quad],
        first: usize,
        products: &mut [i32],
        sums: &mut [i32],
    ) {
        products.fill(0);
        sums.fill(0);
        for quad in quads {
            for (tap, (&w, &factor)) in quad.weights.iter().zip(&quad.factors).enumerate() {
                if (w, factor) == (0, 0) {
                    continue;
                }
                let pixels = pixels.get(quad.pixel + tap + first..).unwrap_or_default();
                let sums = products.iter_mut().zip(sums.iter_mut());
                for (&x, (product, sum)) in pixels.iter().zip(sums) {
                    let x = i32::from(x as i8);
                    *product += x * i32::from(w);
                    *sum += x * i32::from(factor);
                }
            }
        }
    }
}
