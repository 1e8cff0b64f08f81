//! The two float operations that must round alike everywhere: fused multiply-add and square root.
//!
//! One instruction each on the chip. On a PC `fma` is the processor's where it has one, else an
//! equal software version; inside SIMD kernels it is inlined.

/// `a * b + c` with one rounding.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(target_os = "none")]
    return core::f32::math::mul_add(a, b, c);
    #[cfg(not(target_os = "none"))]
    a.mul_add(b, c)
}

/// Square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    #[cfg(target_os = "none")]
    return core::f32::math::sqrt(x);
    #[cfg(not(target_os = "none"))]
    x.sqrt()
}
