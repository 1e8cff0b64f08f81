//! Matrix products: float, quantized, and the fully connected layer of v3.

use super::Clamp;
use super::quantize::Rescale;
use crate::math::fma;

/// Sizes of a product: `[rows][inner]` times `[inner][columns]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul {
    /// Rows of `a` and of the result.
    pub rows: usize,
    /// Columns of `a`, rows of `b`.
    pub inner: usize,
    /// Columns of `b` and of the result.
    pub columns: usize,
}

impl MatMul {
    /// Elements of `a`, `b` and the result; `None` if a size is zero or beyond all reason.
    pub fn elements(&self) -> Option<[usize; 3]> {
        let Self { rows, inner, columns } = *self;
        rows.checked_mul(inner)?.checked_mul(columns)?;
        let all = [rows * inner, inner * columns, rows * columns];
        all.iter().all(|&n| n > 0).then_some(all)
    }

    fn fits(&self, a: usize, b: usize, bias: usize, y: usize) -> Option<()> {
        (self.elements()? == [a, b, y] && bias == self.columns).then_some(())
    }
}

/// `y = a * b + bias`: each element starts with its column's bias and adds, fused, in the order of
/// the inner dimension.
///
/// Source: docs/formats.md, v4 opcode 0x04.
pub fn matmul(
    p: &MatMul,
    clamp: Clamp,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    matmul_plain(p, clamp, a, b, bias, y)
}

/// [`matmul`] in the words of its definition, for comparison.
pub fn matmul_plain(
    p: &MatMul,
    clamp: Clamp,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    multiply(p, (a, b, bias), y, |sum, a, b| fma(a, b, sum), |sum| clamp.apply(sum))
}

/// Options of [`quantized_matmul`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedMatMul {
    /// The sizes.
    pub sizes: MatMul,
    /// Added to each element of `a`.
    pub a_offset: i32,
    /// Added to each element of `b`.
    pub b_offset: i32,
    /// From the sum to the output.
    pub rescale: Rescale,
}

/// Each element is its column's bias plus the sum of `(a + a_offset) * (b + b_offset)`, in
/// wrapping 32-bit integers, rescaled to a byte.
///
/// Source: docs/formats.md, v4 opcode 0x10.
pub fn quantized_matmul(
    p: &QuantizedMatMul,
    a: &[u8],
    b: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    quantized_matmul_plain(p, a, b, bias, y)
}

/// [`quantized_matmul`] in the words of its definition, for comparison.
pub fn quantized_matmul_plain(
    p: &QuantizedMatMul,
    a: &[u8],
    b: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    let mac = |sum: i32, a: u8, b: u8| {
        let a = i32::from(a).wrapping_add(p.a_offset);
        let b = i32::from(b).wrapping_add(p.b_offset);
        sum.wrapping_add(a.wrapping_mul(b))
    };
    multiply(&p.sizes, (a, b, bias), y, mac, |sum| p.rescale.to_u8(sum))
}

fn multiply<A: Copy, S: Copy, Y>(
    p: &MatMul,
    (a, b, bias): (&[A], &[A], &[S]),
    y: &mut [Y],
    mac: impl Fn(S, A, A) -> S,
    finish: impl Fn(S) -> Y,
) -> Option<()> {
    p.fits(a.len(), b.len(), bias.len(), y.len())?;
    let (inner, columns) = (p.inner.max(1), p.columns.max(1));
    for (a, y) in a.chunks_exact(inner).zip(y.chunks_exact_mut(columns)) {
        for ((column, y), &bias) in y.iter_mut().enumerate().zip(bias) {
            let b = b.get(column..)?.iter().step_by(columns);
            *y = finish(a.iter().zip(b).fold(bias, |sum, (&a, &b)| mac(sum, a, b)));
        }
    }
    Some(())
}

/// `y[o] = sum of weights[o][i] * x[i], fused and in order, + bias[o]`, then the activation.
///
/// Source: docs/formats.md, v3 layer type 18.
pub fn fully_connected(
    clamp: Clamp,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    fully_connected_plain(clamp, x, weights, bias, y)
}

/// [`fully_connected`] in the words of its definition, for comparison.
pub fn fully_connected_plain(
    clamp: Clamp,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    let fits = x.len().checked_mul(y.len())? == weights.len() && bias.len() == y.len();
    (fits && !x.is_empty()).then_some(())?;
    for ((y, weights), bias) in y.iter_mut().zip(weights.chunks_exact(x.len().max(1))).zip(bias) {
        let sum = weights.iter().zip(x).fold(0.0, |sum, (&w, &x)| fma(w, x, sum));
        *y = clamp.apply(sum + bias);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_by_hand() {
        let p = MatMul { rows: 2, inner: 2, columns: 3 };
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, -1.0, 0.5, 2.0, 10.0]);
        let mut y = [0.0; 6];
        matmul(&p, Clamp { min: 0.0, max: 30.0 }, &a, &b, &[1.0, 0.0, -20.0], &mut y)
            .expect("fits");
        assert_eq!(y, [3.0, 4.0, 0.0, 6.0, 8.0, 17.0]);
        assert!(matmul(&p, Clamp::NONE, &a[1..], &b, &[0.0; 3], &mut y).is_none());
        assert_eq!(MatMul { rows: usize::MAX, ..p }.elements(), None);
        assert_eq!(MatMul { rows: 0, ..p }.elements(), None);
    }

    #[test]
    fn quantized_by_hand() {
        let sizes = MatMul { rows: 1, inner: 2, columns: 2 };
        let rescale = Rescale { multiplier: 1, shift: 1, offset: 100 };
        let p = QuantizedMatMul { sizes, a_offset: -5, b_offset: 1, rescale };
        let mut y = [0; 2];
        quantized_matmul(&p, &[6, 3], &[9, 0, 4, 1], &[0, 7], &mut y).expect("fits");
        // 1*10 - 2*5 = 0; 7 + 1*1 - 2*2 = 4.
        assert_eq!(y, [100, 102]);
    }

    #[test]
    fn fully_connected_adds_the_bias_last() {
        let mut y = [0.0; 2];
        fully_connected(
            Clamp::RELU,
            &[1.0, 1e-8],
            &[0.0, 1.0, -1.0, 0.0],
            &[16_777_216.0, 0.5],
            &mut y,
        )
        .expect("fits");
        assert_eq!(y, [16_777_216.0, 0.0]);
        let mut y = [0.0];
        let two = [1.0, 1.0];
        fully_connected(Clamp::NONE, &two, &two, &[16_777_216.0], &mut y).expect("fits");
        assert_eq!(y, [16_777_218.0], "one by one, both would have been lost");
        assert!(fully_connected(Clamp::NONE, &two, &two[1..], &[0.0], &mut y).is_none());
    }
}
