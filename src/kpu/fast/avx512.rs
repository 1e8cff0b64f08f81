//! Sums of products with AVX-512 VNNI: 64 of them in one instruction.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use crate::{
    error::Result,
    kpu::fast::{BLOCK, LANES, Pixels, Quad, Run, STRIP, Simd, TILE, pack::PackedWeights},
};

#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// Runs a layer, at a [`Level`](crate::level::Level) of these instructions.
pub(super) fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
    fn layer(run: &Run<'_>, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
        run.layer(Avx512(()), ram, scratch)
    }
    // SAFETY: a `Level` of these instructions is made only if the CPU has them.
    unsafe { layer(run, ram, scratch) }
}

impl Simd for Avx512 {
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
        // SAFETY: an `Avx512` is made only by `layer`, where the CPU has the instructions.
        unsafe {
            match vectors {
                1 => dot::<1, 64>(pixels, weights, first, sums, column),
                2 => dot::<2, 128>(pixels, weights, first, sums, column),
                _ => dot::<TILE, { TILE * 64 }>(pixels, weights, first, sums, column),
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
        // SAFETY: an `Avx512` is made only by `layer`, where the CPU has the instructions.
        unsafe { depthwise(pixels, quads, first, products, sums) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
#[inline]
fn dot<const V: usize, const BYTES: usize>(
    pixels: &Pixels<'_>,
    weights: &PackedWeights<[u8; 4]>,
    first: usize,
    sums: &mut [[i32; STRIP]; BLOCK],
    column: usize,
) {
    let mut block = [[_mm512_setzero_si512(); V]; BLOCK];
    for (bytes, weights) in pixels.at::<BYTES>(first).zip(weights) {
        let mut x = [_mm512_setzero_si512(); V];
        for (x, bytes) in x.iter_mut().zip(bytes.as_chunks::<64>().0) {
            // SAFETY: 64 bytes are there.
            *x = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
        }
        for (sums, &w) in block.iter_mut().zip(weights) {
            let w = _mm512_set1_epi32(i32::from_ne_bytes(w));
            for (sum, &x) in sums.iter_mut().zip(&x) {
                *sum = _mm512_dpbusd_epi32(*sum, w, x);
            }
        }
    }
    // Indices that the compiler knows keep the sums in registers.
    for o in 0..BLOCK {
        let places = sums[o].get_mut(column..).unwrap_or_default().as_chunks_mut::<LANES>().0;
        if let Some(places) = places.first_chunk_mut::<V>() {
            for v in 0..V {
                // SAFETY: there is place for 16 sums.
                unsafe { _mm512_storeu_si512(places[v].as_mut_ptr().cast(), block[o][v]) };
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
#[inline]
fn depthwise(pixels: &[u8], quads: &[Quad], first: usize, products: &mut [i32], sums: &mut [i32]) {
    // Byte 4 * i + j of a vector of quads is pixel i + j.
    let spread: [u8; 64] = core::array::from_fn(|byte| (byte / 4 + byte % 4) as u8);
    // SAFETY: the array has 64 bytes.
    let spread = unsafe { _mm512_loadu_si512(spread.as_ptr().cast()) };
    let products = products.as_chunks_mut::<LANES>().0;
    let sums = sums.as_chunks_mut::<LANES>().0;
    for (index, (products, sums)) in products.iter_mut().zip(sums).enumerate() {
        let (mut product, mut sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for quad in quads {
            let begin = quad.pixel + first + index * LANES;
            let bytes = pixels.get(begin..).and_then(|p| p.first_chunk::<32>());
            let Some(bytes) = bytes else { continue };
            // SAFETY: 32 bytes are there.
            let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
            let x = _mm512_permutexvar_epi8(spread, _mm512_castsi256_si512(bytes));
            let w = _mm512_set1_epi32(i32::from_ne_bytes(quad.weights));
            let factors = _mm512_set1_epi32(i32::from_ne_bytes(quad.factors));
            product = _mm512_dpbusd_epi32(product, w, x);
            sum = _mm512_dpbusd_epi32(sum, factors, x);
        }
        // SAFETY: there is place for 16 sums in each.
        unsafe {
            _mm512_storeu_si512(products.as_mut_ptr().cast(), product);
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum);
        }
    }
}
