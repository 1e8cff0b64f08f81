//! Matrix products: float, quantized, and the fully connected layer of v3.

use core::ops::Range;

use super::Clamp;
use super::blocked::{Element, Narrow, Product, mac, quarters};
use super::convolution::{Arithmetic, Cell};
use super::quantize::Rescale;
use super::simd::{Job, Lanes};
use crate::level::Level;
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
#[inline(never)]
pub fn matmul(
    p: &MatMul,
    clamp: Clamp,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    matmul_at(Level::best(), p, clamp, a, b, bias, y)
}

/// [`matmul`] with the instructions of a level.
pub(crate) fn matmul_at(
    level: Level,
    p: &MatMul,
    clamp: Clamp,
    a: &[f32],
    b: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    let finish = |sum| clamp.apply(sum);
    let arithmetic = Arithmetic { input_offset: 0.0, filter_offset: (), finish };
    multiply_fast(level, p, (a, b, bias), y, arithmetic)
}

/// [`matmul`] in the words of its definition, for comparison.
#[inline(never)]
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
#[inline(never)]
pub fn quantized_matmul(
    p: &QuantizedMatMul,
    a: &[u8],
    b: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    quantized_matmul_at(Level::best(), p, a, b, bias, y)
}

/// [`quantized_matmul`] with the instructions of a level.
pub(crate) fn quantized_matmul_at(
    level: Level,
    p: &QuantizedMatMul,
    a: &[u8],
    b: &[u8],
    bias: &[i32],
    y: &mut [u8],
) -> Option<()> {
    let arithmetic = Arithmetic {
        input_offset: p.b_offset,
        filter_offset: p.a_offset,
        finish: |sum| p.rescale.to_u8(sum),
    };
    multiply_fast(level, &p.sizes, (a, b, bias), y, arithmetic)
}

/// [`quantized_matmul`] in the words of its definition, for comparison.
#[inline(never)]
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

/// The fast way to [`multiply`]: the same bits.
fn multiply_fast<X: Cell<E>, E: Lanes<Weight = X>, Y>(
    level: Level,
    p: &MatMul,
    (a, b, bias): (&[X], &[X], &[E]),
    y: &mut [Y],
    arithmetic: Arithmetic<E, impl Fn(E) -> Y + Copy>,
) -> Option<()> {
    p.fits(a.len(), b.len(), bias.len(), y.len())?;
    if p.rows < 4 {
        let rows = a.chunks_exact(p.inner.max(1)).zip(y.chunks_exact_mut(p.columns.max(1)));
        for (a, y) in rows {
            level.run(Vector { a, b, bias, y, arithmetic })?;
        }
        return Some(());
    }
    let mut product = Matrices { sizes: *p, a, b, bias, y, arithmetic };
    match arithmetic.has_vectors() {
        true => E::run(level, &mut product),
        false => level.run(Narrow(&mut product)),
    }
}

/// One row of `a` times `b`: 16 columns at a time, then 4, and the rest one by one.
struct Vector<'t, X, E, Y, F>
where
    E: Element,
{
    a: &'t [X],
    b: &'t [X],
    bias: &'t [E],
    y: &'t mut [Y],
    arithmetic: Arithmetic<E, F>,
}

impl<X, E, Y, F> Job for Vector<'_, X, E, Y, F>
where
    X: Cell<E>,
    E: Element<Weight = X>,
    F: Fn(E) -> Y,
{
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self { a, b, bias, y, arithmetic } = self;
        let columns = y.len().max(1);
        let weight = |a: &X| E::weight(*a, arithmetic.filter_offset);
        let add = |sum, a| Element::mac(sum, weight(a), arithmetic.input_offset);
        let sum = a.iter().fold(E::default(), add);
        let begin = |bias| X::start(bias, sum);
        let (blocks, rest) = y.as_chunks_mut::<16>();
        let (starts, rest_starts) = bias.as_chunks::<16>();
        for (block, (y, start)) in blocks.iter_mut().zip(starts).enumerate() {
            let [mut s0, mut s1, mut s2, mut s3] = quarters(start, begin);
            for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
                let b = b.get(16 * block..)?.first_chunk()?;
                let [b0, b1, b2, b3] = quarters(b, X::widen);
                let w = weight(a);
                s0 = mac(s0, w, b0);
                s1 = mac(s1, w, b1);
                s2 = mac(s2, w, b2);
                s3 = mac(s3, w, b3);
            }
            let sums = [s0, s1, s2, s3];
            y.iter_mut().zip(sums.as_flattened()).for_each(|(y, &s)| *y = (arithmetic.finish)(s));
        }
        let first = 16 * blocks.len();
        let ((fours, rest), (starts, rest_starts)) =
            (rest.as_chunks_mut::<4>(), rest_starts.as_chunks::<4>());
        for (block, (y, &start)) in fours.iter_mut().zip(starts).enumerate() {
            let [p, q, r, s] = start;
            let mut sums = [begin(p), begin(q), begin(r), begin(s)];
            for (a, b) in a.iter().zip(b.chunks_exact(columns)) {
                let &[p, q, r, s] = b.get(first + 4 * block..)?.first_chunk()?;
                let b = [p.widen(), q.widen(), r.widen(), s.widen()];
                sums = mac(sums, weight(a), b);
            }
            y.iter_mut().zip(sums).for_each(|(y, s)| *y = (arithmetic.finish)(s));
        }
        let first = first + 4 * fours.len();
        for (column, (y, &start)) in (first..).zip(rest.iter_mut().zip(rest_starts)) {
            let b = b.get(column..)?.iter().step_by(columns);
            let add = |sum, (a, b): (&X, &X)| Element::mac(sum, weight(a), b.widen());
            *y = (arithmetic.finish)(a.iter().zip(b).fold(begin(start), add));
        }
        Some(())
    }
}

/// Two matrices, as a product whose pixels are the columns.
struct Matrices<'t, X, E: Element, Y, F> {
    sizes: MatMul,
    a: &'t [X],
    b: &'t [X],
    bias: &'t [E],
    y: &'t mut [Y],
    arithmetic: Arithmetic<E, F>,
}

impl<X, E, Y, F> Product<E> for Matrices<'_, X, E, Y, F>
where
    X: Cell<E>,
    E: Element<Weight = X>,
    F: Fn(E) -> Y,
{
    fn size(&self) -> [usize; 3] {
        [self.sizes.rows, self.sizes.inner, self.sizes.columns]
    }

    fn weights(&self, row: usize) -> Option<&[X]> {
        self.a.get(row * self.sizes.inner..)?.get(..self.sizes.inner)
    }

    fn offset(&self) -> E::Offset {
        self.arithmetic.filter_offset
    }

    fn pack(&self, pixel: usize, width: usize, taps: Range<usize>, into: &mut [E]) -> Option<()> {
        let columns = self.sizes.columns.max(1);
        let b = self.b.get(taps.start * columns + pixel..)?.chunks(columns);
        for (slots, b) in into.chunks_exact_mut(width.max(1)).zip(b).take(taps.len()) {
            let b = b.get(..columns - pixel).unwrap_or(b);
            let offset = self.arithmetic.input_offset;
            slots.iter_mut().zip(b).for_each(|(slot, b)| *slot = b.plus(offset));
        }
        Some(())
    }

    fn start(&self, _: usize, pixel: usize, sums: &mut [E]) -> Option<()> {
        sums.iter_mut().zip(self.bias.get(pixel..)?).for_each(|(sum, &bias)| *sum = bias);
        Some(())
    }

    fn finish(&mut self, row: usize, pixel: usize, sums: &[E]) -> Option<()> {
        let y = self.y.chunks_exact_mut(self.sizes.columns.max(1)).nth(row)?.get_mut(pixel..)?;
        y.iter_mut().zip(sums).for_each(|(y, &sum)| *y = (self.arithmetic.finish)(sum));
        Some(())
    }
}

/// `y[o] = sum of weights[o][i] * x[i], fused and in order, + bias[o]`, then the activation.
///
/// Source: docs/formats.md, v3 layer type 18.
#[inline(never)]
pub fn fully_connected(
    clamp: Clamp,
    x: &[f32],
    weights: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Option<()> {
    (x.len().checked_mul(y.len())? == weights.len() && bias.len() == y.len()).then_some(())?;
    (!x.is_empty()).then_some(())?;
    let mut product = Layer { clamp, x, weights, bias, y };
    Level::best().run(Narrow(&mut product))
}

/// A fully connected layer as a product of one pixel.
struct Layer<'t> {
    clamp: Clamp,
    x: &'t [f32],
    weights: &'t [f32],
    bias: &'t [f32],
    y: &'t mut [f32],
}

impl Product<f32> for Layer<'_> {
    fn size(&self) -> [usize; 3] {
        [self.y.len(), self.x.len(), 1]
    }

    fn weights(&self, row: usize) -> Option<&[f32]> {
        self.weights.get(row * self.x.len()..)?.get(..self.x.len())
    }

    fn offset(&self) {}

    fn pack(&self, _: usize, _: usize, taps: Range<usize>, into: &mut [f32]) -> Option<()> {
        into.iter_mut().zip(self.x.get(taps)?).for_each(|(to, &x)| *to = x);
        Some(())
    }

    fn start(&self, _: usize, _: usize, sums: &mut [f32]) -> Option<()> {
        sums.fill(0.0);
        Some(())
    }

    fn finish(&mut self, row: usize, _: usize, sums: &[f32]) -> Option<()> {
        *self.y.get_mut(row)? = self.clamp.apply(sums.first()? + self.bias.get(row)?);
        Some(())
    }
}

/// [`fully_connected`] in the words of its definition, for comparison.
#[inline(never)]
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
    use super::super::convolution::tests::{bytes, floats, noise};
    use super::*;
    use proptest::prelude::*;

    fn any_sizes() -> impl Strategy<Value = MatMul> {
        (prop_oneof![1usize..20, 60usize..70], 1usize..200, 1usize..140)
            .prop_map(|(rows, inner, columns)| MatMul { rows, inner, columns })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_level_gives_the_bits_of_the_plain_one(p in any_sizes(), seed in any::<u64>()) {
            let [a, b, y] = p.elements().expect("small");
            let (a, b) = (floats(a, seed), floats(b, seed ^ 7));
            let (bias, clamp) = (floats(p.columns, seed ^ 77), Clamp { min: -3.0, max: 3.0 });
            let mut expected = vec![0.0; y];
            matmul_plain(&p, clamp, &a, &b, &bias, &mut expected).expect("fits");
            for level in Level::all() {
                let mut y = vec![f32::NAN; y];
                matmul_at(level, &p, clamp, &a, &b, &bias, &mut y).expect("fits");
                let same = y.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                prop_assert!(same, "{:?}", level);
            }
        }

        #[test]
        fn every_level_gives_the_bytes_of_the_plain_one(
            sizes in any_sizes(), seed in any::<u64>(),
            a_offset in prop_oneof![-255i32..1, -4097i32..4098, any::<i32>()],
            b_offset in prop_oneof![-255i32..1, -4097i32..4098, any::<i32>()],
        ) {
            let [a, b, y] = sizes.elements().expect("small");
            let (a, b) = (bytes(a, seed), bytes(b, seed ^ 7));
            let bias: Vec<i32> =
                noise(sizes.columns, seed ^ 77).map(|n| (n as i32) >> 16).collect();
            let rescale = Rescale { multiplier: 1_000_000, shift: 30, offset: 100 };
            let p = QuantizedMatMul { sizes, a_offset, b_offset, rescale };
            let mut expected = vec![0; y];
            quantized_matmul_plain(&p, &a, &b, &bias, &mut expected).expect("fits");
            for level in Level::all() {
                let mut y = vec![77; y];
                quantized_matmul_at(level, &p, &a, &b, &bias, &mut y).expect("fits");
                prop_assert_eq!(&y, &expected, "{:?}", level);
            }
        }

        #[test]
        fn fully_connected_gives_the_bits_of_the_plain_one(
            inputs in 1usize..300, outputs in 1usize..80, seed in any::<u64>(),
        ) {
            let (x, weights) = (floats(inputs, seed), floats(inputs * outputs, seed ^ 7));
            let bias = floats(outputs, seed ^ 77);
            let (mut expected, mut y) = (vec![0.0; outputs], vec![f32::NAN; outputs]);
            fully_connected_plain(Clamp::RELU, &x, &weights, &bias, &mut expected).expect("fits");
            fully_connected(Clamp::RELU, &x, &weights, &bias, &mut y).expect("fits");
            prop_assert_eq!(y, expected);
        }
    }

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
