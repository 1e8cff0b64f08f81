//! Sums of products with AVX2: 16-bit pairs, so that nothing saturates.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::{
    error::Result,
    kpu::fast::{
        BLOCK, LANES, Pixels, Quad, Run, STRIP, Simd,
        pack::{PackedWeights, TAPS},
        portable::Portable,
    },
};

#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Runs a layer, at a [`Level`](crate::level::Level) of these instructions.
pub(super) fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
    #[target_feature(enable = "avx2")]
    fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
        run.layer(Avx2(()), ram, scratch)
    }
    // SAFETY: a `Level` of these instructions is made only if the CPU has them.
    unsafe { layer(run, ram, scratch) }
}

/// Weights of four input channels as 16-bit pairs: of the even channels, of the odd ones.
type Pairs = [i32; 2];

fn pair(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

impl Simd for Avx2 {
    type Weights = Pairs;

    #[inline(always)]
    fn weights([a, b, c, d]: [u8; 4]) -> Pairs {
        [pair(a.into(), c.into()), pair(b.into(), d.into())]
    }

    #[inline(always)]
    fn dot(
        self,
        pixels: &Pixels<'_>,
        weights: &PackedWeights<Pairs>,
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

    #[inline(always)]
    fn differences(self, pixels: &[u8], quads: &[Quad], first: usize, sums: &mut [i32]) {
        // SAFETY: an `Avx2` is made only by `layer`, where the CPU has the instructions.
        unsafe { differences(pixels, quads, first, sums) }
    }
}

/// Sixteen positions of half a block, which begins at its channel `FROM`.
#[target_feature(enable = "avx2")]
#[inline]
fn dot<const FROM: usize>(
    pixels: &Pixels<'_>,
    weights: &PackedWeights<Pairs>,
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
        for (sums, &[even_w, odd_w]) in half.iter_mut().zip(weights.iter().skip(FROM)) {
            let (even_w, odd_w) = (_mm256_set1_epi32(even_w), _mm256_set1_epi32(odd_w));
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

/// Two taps at a time, their pixels side by side.
#[target_feature(enable = "avx2")]
#[inline]
fn differences(pixels: &[u8], quads: &[Quad], first: usize, sums: &mut [i32]) {
    let mut taps = [(first, 0); TAPS + 1];
    let mut count = 0;
    for quad in quads {
        for (lane, (&w, &factor)) in quad.weights.iter().zip(&quad.factors).enumerate() {
            if w != factor
                && let Some(tap) = taps.get_mut(count)
            {
                *tap = (first + quad.pixel + lane, i16::from(w) - i16::from(factor));
                count += 1;
            }
        }
    }
    let pairs = taps.as_chunks::<2>().0;
    let pairs = pairs.get(..count.div_ceil(2)).unwrap_or(pairs);
    for (index, sums) in sums.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut halves = [_mm256_setzero_si256(); 2];
        for &[(a, a_weight), (b, b_weight)] in pairs {
            let (a, b) = (vector(pixels, a + index * LANES), vector(pixels, b + index * LANES));
            let weights = _mm256_set1_epi32(pair(a_weight, b_weight));
            let beside = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
            for (sum, beside) in halves.iter_mut().zip(beside) {
                let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(beside), weights);
                *sum = _mm256_add_epi32(*sum, products);
            }
        }
        for (half, sums) in halves.into_iter().zip(sums.as_chunks_mut::<8>().0) {
            // SAFETY: there is place for 8 sums.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), half) };
        }
    }
}

/// Sixteen pixels; any where there are none.
#[target_feature(enable = "avx2")]
#[inline]
fn vector(pixels: &[u8], begin: usize) -> __m128i {
    match pixels.get(begin..).and_then(|pixels| pixels.first_chunk::<LANES>()) {
        // SAFETY: 16 bytes are there.
        Some(pixels) => unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) },
        None => _mm_setzero_si128(),
    }
}
