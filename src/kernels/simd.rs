//! The PC's vectors for [`blocked`](super::blocked), chosen when the program runs.
#![allow(unsafe_code)]

use super::blocked::{self, Strip};
use crate::level::{Instructions, Level};

/// Runs `job`, compiled with a level's instructions.
#[inline(never)]
pub(crate) fn run(level: Level, job: impl Job) -> Option<()> {
    match level.instructions() {
        Instructions::Portable => job.run(),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of AVX2 exists only where the CPU has it.
        Instructions::Avx2 => unsafe { x86::job_avx2(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of AVX-512 exists only where the CPU has it.
        Instructions::Avx512 => unsafe { x86::job_avx512(job) },
    }
}

/// Pixels of a strip.
pub(crate) fn width(level: Level) -> usize {
    match level.instructions() {
        Instructions::Portable => 20,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 | Instructions::Avx512 => 80,
    }
}

/// Adds the products of a strip to its sums.
#[inline(never)]
pub(crate) fn multiply(
    level: Level,
    weights: [&[f32]; 4],
    strip: Strip<'_>,
    sums: &mut [f32],
) -> Option<()> {
    match level.instructions() {
        Instructions::Portable => blocked::multiply::<f32, 1, 4>(weights, strip, sums),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of AVX2 exists only where the CPU has it.
        Instructions::Avx2 => unsafe { x86::avx2(weights, strip, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` of AVX-512 exists only where the CPU has it.
        Instructions::Avx512 => unsafe { x86::avx512(weights, strip, sums) },
    }
}

/// Plain code that is worth compiling for each level.
pub(crate) trait Job {
    /// Does it; `#[inline(always)]`, and so is what it calls, to be compiled for the level.
    fn run(self) -> Option<()>;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::blocked::{Strip, Vector, multiply};
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
    pub fn avx2(weights: [&[f32]; 4], strip: Strip<'_>, sums: &mut [f32]) -> Option<()> {
        multiply::<F32x8, 8, 2>(weights, strip, sums)
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
    pub fn avx512(weights: [&[f32]; 4], strip: Strip<'_>, sums: &mut [f32]) -> Option<()> {
        multiply::<F32x16, 16, 1>(weights, strip, sums)
    }

    macro_rules! vector {
        ($name:ident, $lanes:literal, $register:ty, $load:ident, $store:ident, $splat:ident, $fma:ident) => {
            #[derive(Clone, Copy)]
            pub struct $name($register);

            // SAFETY of all: they are used only in the code of a level whose
            // instructions the CPU has; the arrays are as long as the unaligned accesses.
            impl Vector<$lanes> for $name {
                const FOUR_ROWS: bool = $lanes == 16;

                #[inline(always)]
                fn load(from: &[f32; $lanes]) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $load(from.as_ptr()) })
                }

                #[inline(always)]
                fn mac(self, w: f32, Self(x): Self) -> Self {
                    // SAFETY: as above.
                    Self(unsafe { $fma($splat(w), x, self.0) })
                }

                #[inline(always)]
                fn store(self, to: &mut [f32; $lanes]) {
                    // SAFETY: as above.
                    unsafe { $store(to.as_mut_ptr(), self.0) }
                }
            }
        };
    }

    vector!(F32x8, 8, __m256, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps);
    vector!(F32x16, 16, __m512, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps);
}
