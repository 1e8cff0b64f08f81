//! Between floats and bytes: quantize, dequantize, table look-up, and rescaling of integers.

use crate::math::round_to_u8;

/// `y = round(x * scale + zero_point)`, halves away from zero, limited to 0..=255.
///
/// Source: docs/formats.md, v4 opcode 0x06.
#[inline(never)]
pub fn quantize(x: &[f32], y: &mut [u8], zero_point: i32, scale: f32) {
    let zero_point = zero_point as f32;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = round_to_u8(x * scale + zero_point);
    }
}

/// `y = (x - zero_point) * (1 / scale)`; in v4 the scale divides.
///
/// Source: docs/formats.md, v4 opcode 0x03.
#[inline(never)]
pub fn dequantize(x: &[u8], y: &mut [f32], zero_point: i32, scale: f32) {
    let factor = 1.0 / scale;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = i32::from(x).wrapping_sub(zero_point) as f32 * factor;
    }
}

/// `y = round((x - bias) * (1 / scale))`, halves away from zero, limited to 0..=255.
///
/// Source: docs/formats.md, v3 layer type 11.
#[inline(never)]
pub fn quantize_v3(x: &[f32], y: &mut [u8], scale: f32, bias: f32) {
    let factor = 1.0 / scale;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = round_to_u8((x - bias) * factor);
    }
}

/// `y = x * scale + bias`, two roundings. One channel of a channelwise dequantize (type 24) too.
///
/// Source: docs/formats.md, v3 layer types 12 and 24.
#[inline(never)]
pub fn dequantize_v3(x: &[u8], y: &mut [f32], scale: f32, bias: f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f32::from(x) * scale + bias;
    }
}

/// `y = table[x]`; a table shorter than 256 gives 0 for what it lacks.
///
/// Source: docs/formats.md, v4 opcode 0x12, v3 layer type 13.
#[inline(never)]
pub fn lookup(x: &[u8], table: &[u8], y: &mut [u8]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = table.get(usize::from(x)).copied().unwrap_or(0);
    }
}

/// `value * multiplier`, shifted right with rounding (halves up), cut to 32 bits.
#[inline]
pub(crate) fn multiply_shift(value: i32, multiplier: i32, shift: i32) -> i32 {
    let product = i64::from(value) * i64::from(multiplier);
    let shift = shift as u8 as u32;
    let half = if shift == 0 { 0 } else { 1i64.wrapping_shl(shift - 1) };
    product.wrapping_add(half).wrapping_shr(shift) as i32
}

/// From a 32-bit sum to a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// The sum is multiplied by it,
    pub multiplier: i32,
    /// shifted right by so many bits with rounding (only the low 8 bits count),
    pub shift: i32,
    /// increased by this, and limited to 0..=255.
    pub offset: i32,
}

impl Rescale {
    /// The byte that stands for `sum`.
    #[inline]
    pub fn to_u8(self, sum: i32) -> u8 {
        let value = multiply_shift(sum, self.multiplier, self.shift).wrapping_add(self.offset);
        // One comparison where there is nothing to limit.
        u8::try_from(value).unwrap_or(if value < 0 { 0 } else { 255 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_there_and_back() {
        let mut bytes = [0; 6];
        quantize(&[-1.0, 0.0, 0.25, 0.75, 1.0, 9e9], &mut bytes, 10, 2.0);
        assert_eq!(bytes, [8, 10, 11, 12, 12, 255]); // 10.5 and 11.5 round away from zero.
        let mut floats = [0.0; 3];
        dequantize(&[0, 10, 255], &mut floats, 10, 2.0);
        assert_eq!(floats, [-5.0, 0.0, 122.5]);
    }

    #[test]
    fn v3_there_and_back() {
        let mut bytes = [0; 4];
        quantize_v3(&[-3.0, -1.0, 0.25, 200.0], &mut bytes, 0.5, -2.0);
        assert_eq!(bytes, [0, 2, 5, 255]); // 4.5 rounds to 5.
        let mut floats = [0.0; 2];
        dequantize_v3(&[0, 3], &mut floats, 0.5, -2.0);
        assert_eq!(floats, [-2.0, -0.5]);
    }

    #[test]
    fn lookup_of_a_short_table() {
        let mut y = [9; 3];
        lookup(&[2, 0, 3], &[5, 6, 7], &mut y);
        assert_eq!(y, [7, 5, 0]);
    }

    #[test]
    fn multiply_shift_rounds_halves_up() {
        assert_eq!(multiply_shift(3, 1, 1), 2);
        assert_eq!(multiply_shift(-3, 1, 1), -1);
        assert_eq!(multiply_shift(7, 3, 0), 21);
        assert_eq!(multiply_shift(i32::MAX, i32::MAX, 31), 2_147_483_646);
        assert_eq!(multiply_shift(i32::MAX, 2, 0), -2);
        assert_eq!(multiply_shift(5, 1, 256), 5); // Only the low 8 bits of a shift count.
        let rescale = Rescale { multiplier: -1, shift: 1, offset: 3 };
        assert_eq!([-7, 3, 9, -1000].map(|sum| rescale.to_u8(sum)), [7, 2, 0, 255]);
    }
}
