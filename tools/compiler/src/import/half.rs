//! Floats of 16 bits.

/// IEEE 754 half precision.
pub fn half_to_f32(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 0x1F, u32::from(bits & 0x3FF));
    let magnitude = match exponent {
        0 => fraction as f32 * 2f32.powi(-24),
        0x1F if fraction == 0 => f32::INFINITY,
        0x1F => f32::NAN,
        e => f32::from_bits((u32::from(e) + 112) << 23 | fraction << 13),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

/// The upper half of a float of 32 bits.
pub fn bfloat_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_numbers() {
        assert_eq!(half_to_f32(0x3C00), 1.0);
        assert_eq!(half_to_f32(0xC500), -5.0);
        assert_eq!(half_to_f32(0x0001), 2f32.powi(-24));
        assert_eq!(half_to_f32(0xFC00), f32::NEG_INFINITY);
        assert_eq!(bfloat_to_f32(0xC0A0), -5.0);
    }
}
