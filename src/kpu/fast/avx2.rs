//! Sums of products with AVX2: 16-bit pairs, so that nothing saturates.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::{
    error::Result,
    kpu::fast::{
        BLOCK, LANES, Pixels, Quad, Run, STRIP, Simd, pack::PackedWeights, portable::Portable,
    },
};

#[derive(Clone, Copy)]
pub(super) struct Avx2(());

pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// Runs a layer; [`is_available`] must have said yes.
pub(super) fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
    #[target_feature(enable = "avx2")]
    fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
        run.layer(Avx2(()), ram, scratch)
    }
    // SAFETY: a `Level` of these instructions is made only if the CPU has them.
    unsafe { layer(run, ram, scratch) }
}

impl Simd for Avx2 {
    #[inline(always)]
    fn dot(
        self,
        pixels: &Pixels<'_>,
        weights: &PackedWeights,
        first: usize,
        sums: &mut [[i32; STRIP]; BLOCK],
        column: usize,
        vectors: usize,
    ) {
        for vector in 0..vectors {
            let begin = vector * LANES;
            // SAFETY: an `Avx2` is made only by `layer`, where the CPU has the instructions.
            unsafe {
                dot::<0>(pixels, weights, first + begin, sums, column + begin);
                dot::<{ BLOCK / 2 }>(pixels, weights, first + begin, sums, column + begin);
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
        Portable.depthwise(pixels, quads, first, products, sums);
    }
}

/// Sixteen positions of half a block, which begins at its channel `FROM`.
#[target_feature(enable = "avx2")]
#[inline]
fn dot<const FROM: usize>(
    pixels: &Pixels<'_>,
    weights: &PackedWeights,
    first: usize,
    sums: &mut [[i32; STRIP]; BLOCK],
    column: usize,
) {
    let mut half = [[_mm256_setzero_si256(); 2]; BLOCK / 2];
    for (bytes, weights) in pixels.at::<64>(first).zip(weights) {
        let (mut even, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
        for ((even, odd), bytes) in even.iter_mut().zip(&mut odd).zip(bytes.as_chunks::<32>().0) {
            // SAFETY: 32 bytes are there.
            let x = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
            *even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
            *odd = _mm256_srai_epi16::<8>(x);
        }
        for (sums, &w) in half.iter_mut().zip(weights.iter().skip(FROM)) {
            let w = _mm256_set1_epi32(i32::from_ne_bytes(w));
            let even_w = _mm256_and_si256(w, _mm256_set1_epi16(0xFF));
            let odd_w = _mm256_srli_epi16::<8>(w);
            for ((sum, &even), &odd) in sums.iter_mut().zip(&even).zip(&odd) {
                let even = _mm256_madd_epi16(even, even_w);
                let odd = _mm256_madd_epi16(odd, odd_w);
                *sum = _mm256_add_epi32(*sum, _mm256_add_epi32(even, odd));
            }
        }
    }
    // Indices that the compiler knows keep the sums in registers.
    for o in 0..BLOCK / 2 {
        let places = sums[FROM + o].get_mut(column..).unwrap_or_default().as_chunks_mut::<8>().0;
        if let Some(places) = places.first_chunk_mut::<2>() {
            for v in 0..2 {
                // SAFETY: there is place for 8 sums.
                unsafe { _mm256_storeu_si256(places[v].as_mut_ptr().cast(), half[o][v]) };
            }
        }
    }
}
