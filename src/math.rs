//! Float operations that round alike everywhere: on the chip, in the emulator and on a PC.
//!
//! Fused multiply-add and square root are one instruction each on the chip; on a PC `fma` is the
//! processor's where it has one, else an equal software version. The rest is exact arithmetic
//! in single precision, because `core` has none of it and doubles are software on the chip.

use core::f32::consts::{FRAC_PI_2, FRAC_PI_4};

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

/// The larger of two; of equal ones (`-0.0`, `0.0`) and with a NaN the first.
#[inline(always)]
pub fn max(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

/// The smaller of two; of equal ones (`-0.0`, `0.0`) and with a NaN the first.
#[inline(always)]
pub fn min(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

/// The integer part.
#[inline]
pub fn trunc(x: f32) -> f32 {
    const NO_FRACTION: f32 = 8_388_608.0; // 2^23: from here on every float is an integer.
    if x.abs() < NO_FRACTION { (x as i32 as f32).copysign(x) } else { x }
}

/// The largest integer not above `x`.
#[inline]
pub fn floor(x: f32) -> f32 {
    let whole = trunc(x);
    if whole > x { whole - 1.0 } else { whole }
}

/// The smallest integer not below `x`.
#[inline]
pub fn ceil(x: f32) -> f32 {
    -floor(-x)
}

/// `x` rounded to the nearest integer, halves away from zero, and limited to 0..=255; NaN gives 0.
#[inline]
pub fn round_to_u8(x: f32) -> u8 {
    let x = min(x, 256.0);
    let whole = x as i32;
    let up = i32::from(x - whole as f32 >= 0.5);
    (whole + up).clamp(0, 255) as u8
}

/// Sine of `x` radians; NaN for infinities.
pub fn sin(x: f32) -> f32 {
    let y = sin_of_quadrants(x, 0);
    if x.is_sign_negative() { -y } else { y }
}

/// Cosine of `x` radians; NaN for infinities.
pub fn cos(x: f32) -> f32 {
    sin_of_quadrants(x, 1)
}

/// Sine of `|x| + more * pi/2`.
#[inline(never)]
fn sin_of_quadrants(x: f32, more: u32) -> f32 {
    let (quadrant, r) = reduce(x.abs());
    let quadrant = quadrant + more;
    let y = if quadrant & 1 == 0 { sin_near_zero(r) } else { cos_near_zero(r) };
    if quadrant & 2 == 0 { y } else { -y }
}

/// Splits `x >= 0` into `quadrant * pi/2 + r` with `|r| <= pi/4`; the quadrant is modulo 4.
///
/// The mantissa is multiplied by those 96 bits of 2/pi that matter for its exponent, so the
/// result is as exact for huge arguments as for small ones.
fn reduce(x: f32) -> (u32, f32) {
    /// 2/pi in words of 32 bits, the integer part first.
    const TWO_OVER_PI: [u32; 8] = [
        0,
        0xA2F9_836E,
        0x4E44_1529,
        0xFC27_57D1,
        0xF534_DDC0,
        0xDB62_9599,
        0x3C43_9041,
        0xFE51_63AB,
    ];
    if x < FRAC_PI_4 {
        return (0, x);
    }
    if !x.is_finite() {
        return (0, f32::NAN);
    }
    let mantissa = u64::from(x.to_bits() & 0x007F_FFFF | 0x0080_0000);
    let first_bit = (x.to_bits() >> 23).saturating_sub(120);
    let mut words = TWO_OVER_PI.iter().skip(first_bit as usize / 32).map(|&word| u64::from(word));
    let mut pair = || words.next().unwrap_or(0) << 32 | words.next().unwrap_or(0);
    let (high, low, shift) = (pair(), pair(), first_bit % 32);
    let window = high << shift | (low >> 1) >> (63 - shift);
    let below = (low << shift) >> 32;
    // Turns of 2^64 / (2 pi): two bits of quadrant, then the fraction of a quarter turn.
    let turn = mantissa.wrapping_mul(window).wrapping_add(mantissa.wrapping_mul(below) >> 32);
    let fraction = (turn << 2) as i64;
    const SCALE: f32 = FRAC_PI_2 / 18_446_744_073_709_551_616.0;
    let quadrant = (turn >> 62) as u32 + u32::from(fraction < 0);
    (quadrant, fraction as f32 * SCALE)
}

/// Taylor's series; its error on |r| <= pi/4 is 2e-9.
fn sin_near_zero(r: f32) -> f32 {
    let z = r * r;
    let series = fma(fma(fma(1.0 / 362_880.0, z, -1.0 / 5_040.0), z, 1.0 / 120.0), z, -1.0 / 6.0);
    fma(series * z, r, r)
}

/// Taylor's series; its error on |r| <= pi/4 is 2e-10.
fn cos_near_zero(r: f32) -> f32 {
    let z = r * r;
    let series = fma(-1.0 / 3_628_800.0, z, 1.0 / 40_320.0);
    let series = fma(fma(fma(series, z, -1.0 / 720.0), z, 1.0 / 24.0), z, -0.5);
    fma(series, z, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_float() -> impl Strategy<Value = f32> {
        prop_oneof![any::<u32>().prop_map(f32::from_bits), -300.0f32..300.0, -4.0f32..4.0]
    }

    proptest! {
        #[test]
        fn whole_numbers_as_std_has_them(x in any_float()) {
            let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
            prop_assert!(same(trunc(x), x.trunc()));
            prop_assert!(same(floor(x), x.floor()));
            prop_assert!(same(ceil(x), x.ceil()));
            prop_assert_eq!(round_to_u8(x), x.round() as u8);
        }

        #[test]
        fn sine_and_cosine_are_near_the_exact_ones(x in any_float()) {
            if x.is_finite() {
                prop_assert!((f64::from(sin(x)) - f64::from(x).sin()).abs() < 1.2e-7);
                prop_assert!((f64::from(cos(x)) - f64::from(x).cos()).abs() < 1.2e-7);
            } else {
                prop_assert!(sin(x).is_nan() && cos(x).is_nan());
            }
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        let given = [0.5, 1.5, 2.5, 0.499_999_97, 254.5, 255.5, 1e30, -0.5, -7.0, f32::NAN];
        assert_eq!(given.map(round_to_u8), [1, 2, 3, 0, 255, 255, 255, 0, 0, 0]);
    }

    #[test]
    fn small_sines_keep_their_relative_precision() {
        for x in [core::f32::consts::PI, 355.0, 1e-20, -1e-3] {
            let exact = f64::from(x).sin();
            assert!((f64::from(sin(x)) / exact - 1.0).abs() < 3e-7, "sin({x}) = {}", sin(x));
        }
    }

    #[test]
    fn equal_operands_give_the_first() {
        assert!(max(-0.0, 0.0).is_sign_negative() && min(0.0, -0.0).is_sign_positive());
        assert_eq!((max(1.0, 2.0), min(1.0, 2.0)), (2.0, 1.0));
    }
}
