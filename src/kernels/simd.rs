//! The PC's vectors for [`blocked`](super::blocked), chosen when the program runs.
#![allow(unsafe_code)]

use super::blocked::{Pair, Strip, multiply};
use super::numbers::Element;
use crate::level::{Instructions, Level};

impl Level {
    /// Runs `job`, compiled with this level's instructions.
    pub(crate) fn run(self, job: impl Job) -> Option<()> {
        match self.instructions() {
            Instructions::Portable => job.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX2 exists only where the CPU has it.
            Instructions::Avx2 => unsafe { x86::job_avx2(job) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Level` of AVX-512 exists only where the CPU has it.
            Instructions::Avx512 => unsafe { x86::job_avx512(job) },
        }
    }
}

/// Plain code that is worth compiling for each level.
pub(crate) trait Job {
    /// Does it; `#[inline(always)]`, and so is what it calls, to be compiled for the level.
    fn run(self) -> Option<()>;
}

/// Elements that have vectors.
pub(crate) trait Lanes: Element {
    /// Pixels of a strip with the vectors of a level.
    fn width(level: Level) -> usize;
    /// [`blocked::multiply`] with the vectors of a level.
    fn multiply(
        level: Level,
        strip: Strip<'_>,
        weights: [&[Self::Stored]; 4],
        offset: Self::Offset,
    ) -> Option<()>;
}

macro_rules! lanes {
    ($element:ty, $portable:ty, $lanes:literal, $tiles:literal, $avx2:ident, $avx512:ident) => {
        impl Lanes for $element {
            fn width(level: Level) -> usize {
                match level.instructions() {
                    Instructions::Portable => 5 * $lanes * $tiles,
                    #[cfg(target_arch = "x86_64")]
                    Instructions::Avx2 | Instructions::Avx512 => 80,
                }
            }

            fn multiply(
                level: Level,
                strip: Strip<'_>,
                weights: [&[Self::Stored]; 4],
                offset: Self::Offset,
            ) -> Option<()> {
                match level.instructions() {
                    Instructions::Portable => {
                        multiply::<$element, $portable, $lanes, $tiles>(strip, weights, offset)
                    }
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: a `Level` of AVX2 exists only where the CPU has it.
                    Instructions::Avx2 => unsafe {
                        x86::avx2::<$element, x86::$avx2>(strip, weights, offset)
                    },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: a `Level` of AVX-512 exists only where the CPU has it.
                    Instructions::Avx512 => unsafe {
                        x86::avx512::<$element, x86::$avx512>(strip, weights, offset)
                    },
                }
            }
        }
    };
}

lanes!(f32, f32, 1, 4, F32x8, F32x16);
lanes!(i32, Pair, 2, 2, I32x8, I32x16);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::blocked::{Strip, Vector, multiply};
    use super::super::numbers::Element;
    use super::Job;
    use core::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub fn job_avx2(job: impl Job) -> Option<()> {
        job.run()
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    pub fn job_avx512(job: impl Job) -> Option<()> {
        job.run()
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2<E: Element, V: Vector<E, 8>>(
        strip: Strip<'_>,
        weights: [&[E::Stored]; 4],
        offset: E::Offset,
    ) -> Option<()> {
        multiply::<E, V, 8, 2>(strip, weights, offset)
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    pub fn avx512<E: Element, V: Vector<E, 16>>(
        strip: Strip<'_>,
        weights: [&[E::Stored]; 4],
        offset: E::Offset,
    ) -> Option<()> {
        multiply::<E, V, 16, 1>(strip, weights, offset)
    }

    macro_rules! vector {
        ($name:ident, $element:ty, $lanes:literal, $register:ty, $cast:ty,
         $load:ident, $store:ident, $splat:ident, |$sum:ident, $w:ident, $x:ident| $mac:expr) => {
            #[derive(Clone, Copy)]
            pub struct $name($register);

            // SAFETY of all: they are used only in the code of a level whose
            // instructions the CPU has; the arrays are as long as the unaligned accesses.
            impl Vector<$element, $lanes> for $name {
                type Packed = [$element; $lanes];
                const FOUR_ROWS: bool = $lanes == 16;

                #[inline(always)]
                fn packed(words: &[u64]) -> &[Self::Packed] {
                    bytemuck::cast_slice::<u64, $element>(words).as_chunks().0
                }

                #[inline(always)]
                fn load(from: &[$element; $lanes]) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $load(from.as_ptr().cast::<$cast>()) })
                }

                #[inline(always)]
                fn mac(self, w: $element, Self($x): Self) -> Self {
                    let $sum = self.0;
                    // SAFETY: as above.
                    Self(unsafe {
                        let $w = $splat(w);
                        $mac
                    })
                }

                #[inline(always)]
                fn begin(sums: &[$element; $lanes]) -> Self {
                    Self::load(sums)
                }

                #[inline(always)]
                fn end(self, sums: &mut [$element; $lanes]) {
                    // SAFETY: as above.
                    unsafe { $store(sums.as_mut_ptr().cast::<$cast>(), self.0) }
                }
            }
        };
    }

    vector!(
        F32x8,
        f32,
        8,
        __m256,
        f32,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        |sum, w, x| _mm256_fmadd_ps(w, x, sum)
    );
    vector!(
        F32x16,
        f32,
        16,
        __m512,
        f32,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        |sum, w, x| _mm512_fmadd_ps(w, x, sum)
    );
    vector!(
        I32x8,
        i32,
        8,
        __m256i,
        __m256i,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_set1_epi32,
        |sum, w, x| _mm256_add_epi32(sum, _mm256_mullo_epi32(w, x))
    );
    vector!(
        I32x16,
        i32,
        16,
        __m512i,
        __m512i,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_set1_epi32,
        |sum, w, x| _mm512_add_epi32(sum, _mm512_mullo_epi32(w, x))
    );
}
