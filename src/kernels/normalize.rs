//! Normalization of vectors: softmax and L2.

use crate::math::{max, sqrt};

/// `y[o][i] = exp((x[o][i] - max x[o]) * beta) / sum`; `x` and `y` are `[outer][inner]`.
///
/// Source: docs/formats.md, v4 opcode 0x0B.
#[inline(never)]
pub fn softmax(x: &[f32], y: &mut [f32], inner: usize, beta: f32) {
    softmax_above(f32::NEG_INFINITY, x, y, inner, beta);
}

/// [`softmax`] of one vector whose maximum is looked for from the smallest positive float, so
/// that it is never negative: very negative inputs give less precision, or NaN.
///
/// Source: docs/formats.md, v3 layer type 15.
#[inline(never)]
pub fn softmax_v3(x: &[f32], y: &mut [f32]) {
    softmax_above(f32::MIN_POSITIVE, x, y, x.len(), 1.0);
}

fn softmax_above(start: f32, x: &[f32], y: &mut [f32], inner: usize, beta: f32) {
    let inner = inner.max(1);
    for (x, y) in x.chunks_exact(inner).zip(y.chunks_exact_mut(inner)) {
        let largest = x.iter().fold(start, |a, &b| max(a, b));
        let mut sum = 0.0;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = libm::expf((x - largest) * beta);
            sum += *y;
        }
        y.iter_mut().for_each(|y| *y /= sum);
    }
}

/// `y = x / sqrt(sum of squares)`, the sum being at least 1e-10.
///
/// Source: docs/formats.md, v3 layer type 14.
#[inline(never)]
pub fn l2_normalize(x: &[f32], y: &mut [f32]) {
    let sum = x.iter().fold(0.0, |sum, &x| sum + x * x);
    let factor = 1.0 / sqrt(max(sum, 1e-10));
    for (y, &x) in y.iter_mut().zip(x) {
        *y = x * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_rows() {
        let mut y = [0.0; 4];
        softmax(&[1.0, 1.0, 0.0, core::f32::consts::LN_2], &mut y, 2, 2.0);
        for (y, expected) in y.iter().zip([0.5, 0.5, 0.2, 0.8]) {
            assert!((y - expected).abs() < 1e-7, "{y} instead of {expected}");
        }
        // Without the maximum subtracted this would be infinite.
        softmax(&[1000.0, 1000.0, -1000.0, 1000.0], &mut y, 4, 1.0);
        assert_eq!(y, [1.0 / 3.0, 1.0 / 3.0, 0.0, 1.0 / 3.0]);
    }

    #[test]
    fn v3_never_subtracts_a_negative_maximum() {
        let (mut v3, mut v4) = ([0.0; 2], [0.0; 2]);
        softmax(&[-200.0, -200.0], &mut v4, 2, 1.0);
        softmax_v3(&[-200.0, -200.0], &mut v3);
        assert_eq!(v4, [0.5, 0.5]);
        assert!(v3.iter().all(|y| y.is_nan()), "0 / 0, as the original has it");
        softmax_v3(&[3.0, 3.0], &mut v3);
        assert_eq!(v3, [0.5, 0.5]);
    }

    #[test]
    fn l2() {
        let mut y = [0.0; 2];
        l2_normalize(&[3.0, -4.0], &mut y);
        assert_eq!(y, [0.6, -0.8]);
        l2_normalize(&[1e-6, 0.0], &mut y);
        assert_eq!(y, [1e-6 * (1.0 / 1e-10f32.sqrt()), 0.0]);
    }
}
