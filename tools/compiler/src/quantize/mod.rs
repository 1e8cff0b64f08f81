//! From real numbers to bytes: ranges, KPU layers and the factors of the CPU's quantized operators.

pub mod activation;
pub mod kpu;

/// How a tensor's bytes stand for real numbers: `real = (byte - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QParam {
    /// The real difference between neighbouring bytes.
    pub scale: f32,
    /// The byte that stands for 0; a whole number except for a model's input.
    pub zero: f32,
}

impl QParam {
    /// The parameters that cover `low..=high` and have a byte for 0.
    pub fn cover(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        if scale < f32::MIN_POSITIVE {
            return Self { scale: 1.0 / 255.0, zero: 0.0 };
        }
        Self { scale, zero: (-low / scale).round().clamp(0.0, 255.0) }
    }

    /// What byte 0 and byte 255 stand for.
    pub fn range(self) -> (f32, f32) {
        (-self.zero * self.scale, (255.0 - self.zero) * self.scale)
    }

    /// The byte nearest to a real number.
    pub fn quantize(self, real: f32) -> u8 {
        (real / self.scale + self.zero).round().clamp(0.0, 255.0) as u8
    }

    /// The byte for 0.
    pub fn zero_byte(self) -> u8 {
        self.zero.round() as u8
    }
}

/// A real factor as `mul / 2^shift` with a `mul` of at most `bits` bits.
pub fn fixed_point(factor: f64, bits: u32, max_shift: u32) -> (i32, u32) {
    let limit = f64::from((1u32 << bits) - 1);
    let mut shift = max_shift;
    while shift > 0 && (factor.abs() * (1u64 << shift) as f64).round() > limit {
        shift -= 1;
    }
    let mul = (factor * (1u64 << shift) as f64).round().clamp(-limit, limit);
    (mul as i32, shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_always_has_a_byte_for_zero() {
        for (low, high) in
            [(0.0, 6.0), (-1.0, 1.0), (2.0, 5.0), (-7.0, -1.0), (0.0, 0.0), (-1e-40, 0.0)]
        {
            let q = QParam::cover(low, high);
            assert_eq!((f32::from(q.zero_byte()) - q.zero) * q.scale, 0.0, "{low} {high}");
            let (l, h) = q.range();
            let slack = q.scale * 0.5001;
            assert!(l <= low.max(l) && h + slack >= high && l - slack <= low.min(0.0));
        }
    }

    #[test]
    fn factors_keep_their_precision() {
        let (mul, shift) = fixed_point(0.0123, 15, 20);
        assert!((f64::from(mul) / f64::from(1 << shift) - 0.0123).abs() < 1e-6);
        assert_eq!(fixed_point(1000.0, 23, 15).1, 13);
    }
}
