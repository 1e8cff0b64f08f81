//! Matrix products: float, quantized, and the fully connected layer of v3.

use bytemuck::cast_slice;

use super::blocked::{Bias, Strip};
use super::convolution::{Convolution, convolve_fast};
use super::numbers::{EXACT, Element, Numbers, Operands, Quantization};
use super::quantize::Rescale;
use super::simd::{self, Job};
use super::window::{Pad, Window};
use super::{Clamp, Layout};
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
    p.fits(a.len(), b.len(), bias.len(), y.len())?;
    let operands = Operands { level, rule: clamp, x: b, weights: a, y };
    multiply_fast(p, cast_slice(bias), operands)
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
    p.sizes.fits(a.len(), b.len(), bias.len(), y.len())?;
    let rule =
        Quantization { input_offset: p.b_offset, filter_offset: p.a_offset, rescale: p.rescale };
    multiply_fast(&p.sizes, cast_slice(bias), Operands { level, rule, x: b, weights: a, y })
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

/// The fast way to [`multiply`]: the same bits. A product is the convolution of an image of one line,
/// whose channels are the rows of `b`, with one tap.
fn multiply_fast<E: Element>(p: &MatMul, bias: &[u32], mut numbers: Operands<'_, E>) -> Option<()> {
    if p.rows >= 4 || p.columns < 4 || !E::is_exact(numbers.rule) {
        return convolve_line(p, bias, &mut numbers);
    }
    for row in 0..p.rows {
        simd::run(numbers.level, Row { row, sizes: p, bias, numbers: &mut numbers })?;
    }
    Some(())
}

#[inline(never)]
fn convolve_line(p: &MatMul, bias: &[u32], numbers: &mut dyn Numbers) -> Option<()> {
    let window =
        Window { filter: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [Pad::default(); 2] };
    let input = [1, p.inner, 1, p.columns];
    let layout = Layout::Nchw;
    let p = Convolution { layout, input, groups: 1, out_channels: p.rows, window };
    convolve_fast(&p, Bias::Pixels(bias), numbers)
}

/// One row of `a` times `b`: as many columns at a time as registers hold, the last ones by fours, some
/// of them twice.
struct Row<'n, 't, E: Element> {
    row: usize,
    sizes: &'n MatMul,
    bias: &'n [u32],
    numbers: &'n mut Operands<'t, E>,
}

impl<E: Element> Job for Row<'_, '_, E> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self { row, sizes: &MatMul { inner, columns, .. }, bias, numbers } = self;
        let weights = row * inner..(row + 1) * inner;
        let base = numbers.base(weights.clone())?;
        let mut first = 0;
        while first < columns {
            let bias = bias.get(first..)?;
            let count = if bias.len() < 16 { 4 } else { 16 };
            let mut sums = [0; 16];
            sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum = bias.wrapping_add(base));
            let pieces = numbers.x.chunks((columns * EXACT).max(1));
            for (a, b) in numbers.weights.get(weights.clone())?.chunks(EXACT).zip(pieces) {
                let steps = a.iter().zip(b.chunks_exact(columns.max(1)));
                match count {
                    4 => add_four(sums.first_chunk_mut()?, numbers.rule, steps, first)?,
                    _ => add_sixteen(&mut sums, numbers.rule, steps, first)?,
                }
            }
            numbers.finish(row * columns + first, 1, sums.get(..count)?, 0)?;
            first += count;
            if first < columns {
                first = first.min(columns - 4);
            }
        }
        Some(())
    }
}

#[inline(always)]
fn mac<E: Element>([a, b, c, d]: [f32; 4], w: f32, &[p, q, r, s]: &[E; 4]) -> [f32; 4] {
    [fma(w, p.input(), a), fma(w, q.input(), b), fma(w, r.input(), c), fma(w, s.input(), d)]
}

/// Adds to the sums of four columns, the first of which is `first`.
#[inline(always)]
fn add_four<'n, E: Element>(
    sums: &mut [u32; 4],
    rule: E::Rule,
    steps: impl Iterator<Item = (&'n E, &'n [E])>,
    first: usize,
) -> Option<()> {
    let mut four = begin::<E>(sums, rule);
    for (&a, b) in steps {
        four = mac(four, a.weight(rule), b.get(first..)?.first_chunk()?);
    }
    end::<E>(sums, rule, four);
    Some(())
}

/// Adds to the sums of sixteen columns, the first of which is `first`.
#[inline(always)]
fn add_sixteen<'n, E: Element>(
    sums: &mut [u32; 16],
    rule: E::Rule,
    steps: impl Iterator<Item = (&'n E, &'n [E])>,
    first: usize,
) -> Option<()> {
    let [s0, s1, s2, s3] = sums.as_chunks_mut().0 else { return None };
    let (mut p, mut q) = (begin::<E>(s0, rule), begin::<E>(s1, rule));
    let (mut r, mut s) = (begin::<E>(s2, rule), begin::<E>(s3, rule));
    for (&a, b) in steps {
        let [x, y, z, t] = b.get(first..)?.first_chunk::<16>()?.as_chunks().0 else { return None };
        let w = a.weight(rule);
        (p, q, r, s) = (mac(p, w, x), mac(q, w, y), mac(r, w, z), mac(s, w, t));
    }
    end::<E>(s0, rule, p);
    end::<E>(s1, rule, q);
    end::<E>(s2, rule, r);
    end::<E>(s3, rule, s);
    Some(())
}

#[inline(always)]
fn begin<E: Element>(&[a, b, c, d]: &[u32; 4], rule: E::Rule) -> [f32; 4] {
    let begin = |sum| f32::from_bits(E::begin(rule, sum).0);
    [begin(a), begin(b), begin(c), begin(d)]
}

#[inline(always)]
fn end<E: Element>(sums: &mut [u32; 4], rule: E::Rule, products: [f32; 4]) {
    for (sum, products) in sums.iter_mut().zip(products) {
        *sum = E::begin(rule, *sum).1.wrapping_add(products.to_bits());
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
    let taps = x.len();
    let fours = y.chunks_mut(4).zip(bias.chunks(4)).zip(weights.chunks((4 * taps).max(1)));
    for ((y, bias), weights) in fours {
        // Where outputs are not a multiple of 4, the last one is computed again.
        let row = |k: usize| weights.get(k.min(y.len() - 1) * taps..)?.get(..taps);
        let weights = [row(0)?, row(1)?, row(2)?, row(3)?];
        let mut sums = [0.0; 4];
        let strip = Strip { packed: x, taps, width: 1, pixels: 1, begun: true };
        simd::multiply(Level::best(), weights, strip, &mut sums)?;
        let outputs = y.iter_mut().zip(bias).zip(sums);
        outputs.for_each(|((y, bias), sum)| *y = clamp.apply(sum + bias));
    }
    Some(())
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
