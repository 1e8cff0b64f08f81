//! What the KPU does to one accumulated sum: batch norm, activation, rounding, pooling
//! (docs/formats.md, KPU arithmetic). All steps wrap in 64-bit signed integers.

use crate::kpu::layer::{ACTIVATION_BYTES, Pool, sign_extend};

/// Segments of an activation table.
pub const SEGMENTS: usize = 16;

/// How the activation's product is shifted when the bits shifted out are exactly one half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To the even neighbour: nncase 0.2 and later.
    #[default]
    HalfEven,
    /// Away from the floor, as anything above one half: nncase 0.1.
    HalfUp,
}

impl Rounding {
    /// `product / 2^shift`, rounded.
    ///
    /// Negative products are rounded as nncase does: where a positive one takes `floor + 1`,
    /// a negative one takes `floor - 1`. Shifts above 63 count as 63.
    pub const fn shift(self, product: i64, shift: u32) -> i64 {
        if shift == 0 {
            return product;
        }
        let shift = if shift > 63 { 63 } else { shift };
        let floor = product >> shift;
        let fraction = product & !(-1 << shift);
        let half = 1 << (shift - 1);
        let odd = floor & 1 == 1;
        let away = fraction > half || fraction == half && (odd || matches!(self, Self::HalfUp));
        match (away, product < 0) {
            (false, _) => floor,
            (true, false) => floor + 1,
            (true, true) => floor - 1,
        }
    }
}

/// Batch norm of one output channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchNorm {
    /// Factor, 24 bits.
    pub mul: i32,
    /// Right shift of the product, 0..=15.
    pub shift: u32,
    /// Added to the shifted product.
    pub add: i32,
}

impl BatchNorm {
    /// From the eight bytes of the file.
    pub const fn decode(bytes: [u8; 8]) -> Self {
        let word = u64::from_le_bytes(bytes);
        Self {
            mul: sign_extend(word, 24) as i32,
            shift: (word >> 56 & 15) as u32,
            add: (word >> 24) as i32,
        }
    }

    /// To the eight bytes of the file.
    pub const fn encode(self) -> [u8; 8] {
        let word = self.mul as u64 & 0xFF_FFFF
            | (self.add as u32 as u64) << 24
            | (self.shift as u64 & 15) << 56;
        word.to_le_bytes()
    }

    /// `((acc * mul) >> shift) + add`.
    pub const fn apply(self, acc: i64) -> i64 {
        (acc.wrapping_mul(self.mul as i64) >> (self.shift & 63)).wrapping_add(self.add as i64)
    }
}

/// One linear piece of the activation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The segment holds for values above this, 36 bits.
    pub start: i64,
    /// Slope before the shift.
    pub mul: i16,
    /// Right shift of the product.
    pub shift: u8,
    /// Added to the shifted product.
    pub bias: u8,
}

impl Segment {
    /// The byte that the segment makes of `value`.
    pub const fn apply(self, value: i64, rounding: Rounding) -> u8 {
        let product = value.wrapping_sub(self.start).wrapping_mul(self.mul as i64);
        let result = rounding.shift(product, self.shift as u32).wrapping_add(self.bias as i64);
        match result {
            ..0 => 0,
            0..=255 => result as u8,
            256.. => 255,
        }
    }
}

/// The activation table of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// The pieces; the last one whose start lies below a value is used for it, or the first.
    pub segments: [Segment; SEGMENTS],
}

impl Activation {
    /// From the bytes of the file.
    pub fn decode(bytes: &[u8; ACTIVATION_BYTES]) -> Self {
        let (words, biases) = bytes.split_at(8 * SEGMENTS);
        let mut activation = Self::default();
        let segments = activation.segments.iter_mut();
        for ((segment, word), &bias) in segments.zip(words.as_chunks().0).zip(biases) {
            let word = u64::from_le_bytes(*word);
            *segment = Segment {
                start: sign_extend(word >> 24, 36),
                mul: (word >> 8) as i16,
                shift: word as u8,
                bias,
            };
        }
        activation
    }

    /// To the bytes of the file.
    pub fn encode(&self) -> [u8; ACTIVATION_BYTES] {
        let mut bytes = [0; ACTIVATION_BYTES];
        let (words, biases) = bytes.split_at_mut(8 * SEGMENTS);
        let places = words.as_chunks_mut().0.iter_mut().zip(biases);
        for (segment, (word, bias)) in self.segments.iter().zip(places) {
            let start = segment.start as u64 & ((1 << 36) - 1);
            let packed =
                start << 24 | u64::from(segment.mul as u16) << 8 | u64::from(segment.shift);
            *word = packed.to_le_bytes();
            *bias = segment.bias;
        }
        bytes
    }

    /// The byte for a value that left the batch norm.
    pub fn apply(&self, value: i64, rounding: Rounding) -> u8 {
        let [first, rest @ ..] = &self.segments;
        let segment = rest.iter().rev().find(|s| value > s.start).unwrap_or(first);
        segment.apply(value, rounding)
    }
}

impl Pool {
    /// The byte at line `y` and column `x` of the output, made from the plane of `height` x `width`
    /// pixels that the activation left; `pixel(y, x)` reads it.
    pub fn apply(
        self,
        (height, width): (usize, usize),
        (y, x): (usize, usize),
        pixel: impl Fn(usize, usize) -> u8,
    ) -> u8 {
        let (window, stride) = (self.window(), self.stride());
        let (top, left) = (y * stride, x * stride);
        let places = (0..window).flat_map(|j| (0..window).map(move |i| (top + j, left + i)));
        match self {
            Pool::None | Pool::LeftTop2 | Pool::LeftTop4 => pixel(top, left),
            Pool::RightTop2 => pixel(top, left + 1),
            Pool::Max2 | Pool::Max4 | Pool::Max2Stride1 => places
                .map(|(y, x)| if y < height && x < width { pixel(y, x) } else { 0 })
                .fold(0, u8::max),
            Pool::Mean2 | Pool::Mean4 | Pool::Mean2Stride1 => {
                let sum: u32 = places
                    .map(|(y, x)| u32::from(pixel(y.min(height - 1), x.min(width - 1))))
                    .sum();
                (sum / (window * window) as u32) as u8
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_to_even_and_negatives_below_the_floor() {
        let even = |p| Rounding::HalfEven.shift(p, 2);
        // 1.0 1.25 1.5 1.75 2.25 2.5 2.75
        assert_eq!([4, 5, 6, 7, 9, 10, 11].map(even), [1, 1, 2, 2, 2, 2, 3]);
        // -0.25 -0.5 -0.75 -1.0 -1.5: floors -1 -1 -1 -1 -2
        assert_eq!([-1, -2, -3, -4, -6].map(even), [-2, -2, -1, -1, -2]);
        let up = |p| Rounding::HalfUp.shift(p, 2);
        assert_eq!([4, 5, 6, 7, 9, 10, 11].map(up), [1, 1, 2, 2, 2, 3, 3]);
        assert_eq!([-1, -2, -3, -4, -6].map(up), [-2, -2, -1, -1, -3]);
        assert_eq!(Rounding::HalfEven.shift(-7, 0), -7);
        assert_eq!(Rounding::HalfEven.shift(i64::MAX, 200), 1);
    }

    #[test]
    fn batch_norm_floors() {
        let norm = BatchNorm { mul: -3, shift: 1, add: 10 };
        assert_eq!([0, 1, 2, 3].map(|acc| norm.apply(acc)), [10, 8, 7, 5]);
        assert_eq!(norm.encode(), [0xFD, 0xFF, 0xFF, 10, 0, 0, 0, 1]);
    }

    #[test]
    fn the_last_segment_below_a_value_is_used() {
        let mut activation = Activation::default();
        activation.segments.iter_mut().for_each(|s| s.start = (1 << 35) - 1);
        activation.segments[0] = Segment { start: -10, mul: 1, shift: 0, bias: 0 };
        activation.segments[1] = Segment { start: 0, mul: 2, shift: 0, bias: 100 };
        // Out of order: where it holds, it is the last.
        activation.segments[2] = Segment { start: -5, mul: 0, shift: 0, bias: 7 };
        let apply = |activation: &Activation, v| activation.apply(v, Rounding::HalfEven);
        let at = |v| apply(&activation, v);
        assert_eq!([-11, -10, -9, -5, -4, 1].map(at), [0, 0, 1, 5, 7, 7]);
        activation.segments[2].start = 50;
        assert_eq!([0, 1, 50, 51].map(|v| apply(&activation, v)), [10, 102, 200, 7]);
        activation.segments[1].mul = 200;
        assert_eq!(apply(&activation, 2), 255);
    }

    #[test]
    fn pools_of_a_small_plane() {
        let plane =
            [[1, 2, 3, 40, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]];
        let pooled = |pool: Pool| -> Vec<u8> {
            let (height, width) = (4 / pool.stride(), 5 / pool.stride());
            (0..height * width)
                .map(|i| pool.apply((4, 5), (i / width, i % width), |y, x| plane[y][x]))
                .collect()
        };
        assert_eq!(pooled(Pool::Max2), [7, 40, 17, 19]);
        assert_eq!(pooled(Pool::Mean2), [4, 15, 14, 16]);
        assert_eq!(pooled(Pool::Max4), [40]);
        assert_eq!(pooled(Pool::Mean4), [12]);
        assert_eq!(pooled(Pool::LeftTop2), [1, 3, 11, 13]);
        assert_eq!(pooled(Pool::RightTop2), [2, 40, 12, 14]);
        assert_eq!(pooled(Pool::LeftTop4), [1]);
        assert_eq!(pooled(Pool::None), plane.concat());
        let max = pooled(Pool::Max2Stride1);
        assert_eq!((max[0], max[3], max[4], max[19]), (7, 40, 10, 20));
        let mean = pooled(Pool::Mean2Stride1);
        // Column 4: (5 + 5 + 10 + 10) / 4; the last pixel alone.
        assert_eq!((mean[0], mean[4], mean[19]), (4, 7, 20));
    }

    proptest! {
        #[test]
        fn tables_survive_encoding(word: u64, bytes in proptest::collection::vec(any::<u8>(), 144)) {
            let norm = BatchNorm::decode((word & !(0xF << 60)).to_le_bytes());
            prop_assert_eq!(norm.encode(), (word & !(0xF << 60)).to_le_bytes());
            let mut bytes: [u8; 144] = bytes.try_into().unwrap();
            (7..128).step_by(8).for_each(|i| bytes[i] &= 0x0F);
            prop_assert_eq!(Activation::decode(&bytes).encode(), bytes);
        }
    }
}
