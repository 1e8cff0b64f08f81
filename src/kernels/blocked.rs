//! The one loop behind conv2d and matmul: a product of rows of weights and columns of pixels,
//! computed in tiles that stay in registers.
//!
//! `sums[row][pixel] = start + weights[row][0] * x[0][pixel] + weights[row][1] * x[1][pixel] + ...`
//!
//! A tile is 4 rows by 4 [`Vector`]s of pixels. The `x` of a tile are packed side by side first,
//! as many taps at a time as the scratch holds; the packed ones serve 64 rows. Every sum
//! is one accumulator that takes its taps in order: no width of vector changes a bit.

use core::ops::Range;

use super::simd::Job;

/// Taps that are packed at a time.
const TAPS: usize = 64;
/// Rows whose sums wait for the next taps.
const ROWS: usize = 64;

/// What sums are made of: floats, or the 32-bit integers of quantized operators.
pub(crate) trait Element: Copy + Default {
    /// A weight as stored.
    type Weight: Copy;
    /// What turns a stored weight into an element.
    type Offset: Copy;
    /// The weight as an element.
    fn weight(stored: Self::Weight, offset: Self::Offset) -> Self;
    /// Whether vectors multiply right what these offsets are added to; else [`Narrow`] does.
    fn has_vectors(input_offset: Self, filter_offset: Self::Offset) -> bool;
    /// `self + w * x`
    fn mac(self, w: Self, x: Self) -> Self;
}

impl Element for f32 {
    type Weight = f32;
    type Offset = ();

    #[inline(always)]
    fn weight(stored: f32, (): ()) -> f32 {
        stored
    }

    #[inline(always)]
    fn has_vectors(_: f32, (): ()) -> bool {
        true
    }

    #[inline(always)]
    fn mac(self, w: f32, x: f32) -> f32 {
        crate::math::fma(w, x, self)
    }
}

impl Element for i32 {
    type Weight = u8;
    type Offset = i32;

    #[inline(always)]
    fn weight(stored: u8, offset: i32) -> i32 {
        i32::from(stored).wrapping_add(offset)
    }

    #[inline(always)]
    fn has_vectors(input_offset: i32, filter_offset: i32) -> bool {
        Pair::holds(input_offset, filter_offset)
    }

    #[inline(always)]
    fn mac(self, w: i32, x: i32) -> i32 {
        self.wrapping_add(w.wrapping_mul(x))
    }
}

/// `N` elements that one instruction computes; the elements themselves are vectors of one.
pub(crate) trait Vector<E, const N: usize>: Copy {
    /// Whether registers hold 16 vectors and what feeds them; else 8 are worked on at a time.
    const SIXTEEN: bool;
    /// From memory.
    fn load(from: &[E; N]) -> Self;
    /// `self + w * x` in each lane.
    fn mac(self, w: E, x: Self) -> Self;
    /// What products are added to, to go on from sums in memory.
    fn begin(sums: &[E; N]) -> Self;
    /// To the sums in memory that it began with.
    fn end(self, sums: &mut [E; N]);
}

impl<E: Element> Vector<E, 1> for E {
    const SIXTEEN: bool = true;

    #[inline(always)]
    fn load(&[from]: &[E; 1]) -> E {
        from
    }

    #[inline(always)]
    fn mac(self, w: E, x: E) -> E {
        Element::mac(self, w, x)
    }

    #[inline(always)]
    fn begin(&[sum]: &[E; 1]) -> E {
        sum
    }

    #[inline(always)]
    fn end(self, sums: &mut [E; 1]) {
        *sums = [self];
    }
}

/// Two integers as `first + second * 2^32`, which one multiplication of the chip takes. Right as
/// long as the first one, a sum of at most [`TAPS`] products, fits in 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Pair(i64);

impl Pair {
    /// Beyond these, offsets are not those of quantized numbers, and sums may not fit.
    const OFFSETS: core::ops::RangeInclusive<i32> = -4096..=4096;

    fn holds(input_offset: i32, filter_offset: i32) -> bool {
        Self::OFFSETS.contains(&input_offset) && Self::OFFSETS.contains(&filter_offset)
    }
}

impl Vector<i32, 2> for Pair {
    const SIXTEEN: bool = false;

    #[inline(always)]
    fn load(&[first, second]: &[i32; 2]) -> Self {
        Self(i64::from(first).wrapping_add(i64::from(second) << 32))
    }

    #[inline(always)]
    fn mac(self, w: i32, Self(x): Self) -> Self {
        Self(self.0.wrapping_add(x.wrapping_mul(i64::from(w))))
    }

    #[inline(always)]
    fn begin(_: &[i32; 2]) -> Self {
        Self(0)
    }

    #[inline(always)]
    fn end(self, [first, second]: &mut [i32; 2]) {
        let low = self.0 as i32;
        *first = first.wrapping_add(low);
        *second = second.wrapping_add((self.0.wrapping_sub(i64::from(low)) >> 32) as i32);
    }
}

/// Operands and result of a product. `None` means that a slice is too short.
pub(crate) trait Product<E: Element> {
    /// Rows, taps and pixels.
    fn size(&self) -> [usize; 3];
    /// A row's weights, one per tap.
    fn weights(&self, row: usize) -> Option<&[E::Weight]>;
    /// What turns weights into elements.
    fn offset(&self) -> E::Offset;
    /// Copies the `x` of `width` pixels from `pixel` on, for some taps, as `[tap][pixel]`.
    fn pack(&self, pixel: usize, width: usize, taps: Range<usize>, into: &mut [E]) -> Option<()>;
    /// What the sums of a row start with, from `pixel` on.
    fn start(&self, row: usize, pixel: usize, sums: &mut [E]) -> Option<()>;
    /// Takes the sums of a row, from `pixel` on; those behind the last pixel mean nothing.
    fn finish(&mut self, row: usize, pixel: usize, sums: &[E]) -> Option<()>;
}

/// Computes a product in tiles of 4 rows by 4 vectors; `TILES` of them lie side by side in a strip
/// of pixels that is packed, started and finished together.
#[inline(always)]
pub(crate) fn run<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    p: &mut dyn Product<E>,
) -> Option<()> {
    let ([rows, taps, pixels], offset) = (p.size(), p.offset());
    let width = TILES * 4 * N;
    let mut packed = [[[[E::default(); N]; 4]; TILES]; TAPS];
    let mut sums = [[[[E::default(); N]; 4]; TILES]; ROWS];
    for pixel in (0..pixels).step_by(width) {
        let tiles = (pixels - pixel).div_ceil(4 * N).min(TILES);
        for first_row in (0..rows).step_by(ROWS) {
            let sums = sums.get_mut(..ROWS.min(rows - first_row).next_multiple_of(4))?;
            // Where rows are not a multiple of 4, the last one is computed again.
            let row = |i: usize| (first_row + i).min(rows - 1);
            for (i, sums) in sums.iter_mut().enumerate() {
                p.start(row(i), pixel, sums.as_flattened_mut().as_flattened_mut())?;
            }
            for first_tap in (0..taps).step_by(TAPS) {
                let range = first_tap..taps.min(first_tap + TAPS);
                let packed = packed.get_mut(..range.len())?;
                if first_row == 0 || taps > TAPS {
                    let into = packed.as_flattened_mut().as_flattened_mut().as_flattened_mut();
                    p.pack(pixel, width, range.clone(), into)?;
                }
                for (i, [s0, s1, s2, s3]) in sums.as_chunks_mut().0.iter_mut().enumerate() {
                    let weights = |k: usize| p.weights(row(4 * i + k))?.get(range.clone());
                    let weights = [weights(0)?, weights(1)?, weights(2)?, weights(3)?];
                    for t in 0..tiles.min(TILES) {
                        let tile = [&mut s0[t], &mut s1[t], &mut s2[t], &mut s3[t]];
                        multiply::<E, V, N, TILES>(tile, weights, packed, t, offset);
                    }
                }
            }
            for (i, sums) in sums.iter().enumerate().take(rows - first_row) {
                p.finish(first_row + i, pixel, sums.as_flattened().as_flattened())?;
            }
        }
    }
    Some(())
}

/// Four vectors: written out, because a loop over them would keep them in memory on the chip.
type Row<V> = [V; 4];

#[inline(always)]
fn load<E, V: Vector<E, N>, const N: usize>([a, b, c, d]: &[[E; N]; 4]) -> Row<V> {
    [V::load(a), V::load(b), V::load(c), V::load(d)]
}

#[inline(always)]
fn begin<E, V: Vector<E, N>, const N: usize>([a, b, c, d]: &[[E; N]; 4]) -> Row<V> {
    [V::begin(a), V::begin(b), V::begin(c), V::begin(d)]
}

#[inline(always)]
fn end<E, V: Vector<E, N>, const N: usize>(row: Row<V>, [a, b, c, d]: &mut [[E; N]; 4]) {
    let [p, q, r, s] = row;
    p.end(a);
    q.end(b);
    r.end(c);
    s.end(d);
}

#[inline(always)]
pub(crate) fn mac<E: Copy, V: Vector<E, N>, const N: usize>(
    [a, b, c, d]: Row<V>,
    w: E,
    [p, q, r, s]: Row<V>,
) -> Row<V> {
    [a.mac(w, p), b.mac(w, q), c.mac(w, r), d.mac(w, s)]
}

/// Sixteen as four times four: written out, because a loop would keep them in memory on the chip.
#[inline(always)]
pub(crate) fn quarters<X: Copy, E>(from: &[X; 16], to: impl Fn(X) -> E) -> [[E; 4]; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *from;
    [
        [to(a), to(b), to(c), to(d)],
        [to(e), to(f), to(g), to(h)],
        [to(i), to(j), to(k), to(l)],
        [to(m), to(n), to(o), to(p)],
    ]
}

/// Adds the packed taps of tile `t` of a strip to its sums.
#[inline(always)]
fn multiply<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    [s0, s1, s2, s3]: [&mut [[E; N]; 4]; 4],
    [w0, w1, w2, w3]: [&[E::Weight]; 4],
    packed: &[[[[E; N]; 4]; TILES]],
    t: usize,
    offset: E::Offset,
) {
    if !V::SIXTEEN {
        multiply_two::<E, V, N, TILES>([s0, s1], [w0, w1], packed, t, offset);
        multiply_two::<E, V, N, TILES>([s2, s3], [w2, w3], packed, t, offset);
        return;
    }
    let mut rows: [Row<V>; 4] = [begin(s0), begin(s1), begin(s2), begin(s3)];
    // Two taps at a time: the pointers move once for both.
    let (pairs, last) = packed.as_chunks::<2>();
    let ((w0, e0), (w1, e1)) = (w0.as_chunks::<2>(), w1.as_chunks::<2>());
    let ((w2, e2), (w3, e3)) = (w2.as_chunks::<2>(), w3.as_chunks::<2>());
    for (((([x, y], w0), w1), w2), w3) in pairs.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        rows = add::<E, V, N>(rows, &x[t], [w0[0], w1[0], w2[0], w3[0]], offset);
        rows = add::<E, V, N>(rows, &y[t], [w0[1], w1[1], w2[1], w3[1]], offset);
    }
    if let ([x], &[w0], &[w1], &[w2], &[w3]) = (last, e0, e1, e2, e3) {
        rows = add::<E, V, N>(rows, &x[t], [w0, w1, w2, w3], offset);
    }
    let [r0, r1, r2, r3] = rows;
    end(r0, s0);
    end(r1, s1);
    end(r2, s2);
    end(r3, s3);
}

/// Adds one tap.
#[inline(always)]
fn add<E: Element, V: Vector<E, N>, const N: usize>(
    [r0, r1, r2, r3]: [Row<V>; 4],
    x: &[[E; N]; 4],
    [w0, w1, w2, w3]: [E::Weight; 4],
    offset: E::Offset,
) -> [Row<V>; 4] {
    let x = load(x);
    [
        mac(r0, E::weight(w0, offset), x),
        mac(r1, E::weight(w1, offset), x),
        mac(r2, E::weight(w2, offset), x),
        mac(r3, E::weight(w3, offset), x),
    ]
}

/// [`multiply`] for two rows of a tile.
#[inline(always)]
fn multiply_two<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    [s0, s1]: [&mut [[E; N]; 4]; 2],
    [w0, w1]: [&[E::Weight]; 2],
    packed: &[[[[E; N]; 4]; TILES]],
    t: usize,
    offset: E::Offset,
) {
    let (mut r0, mut r1): (Row<V>, Row<V>) = (begin(s0), begin(s1));
    for ((x, &w0), &w1) in packed.iter().zip(w0).zip(w1) {
        let x = load(&x[t]);
        r0 = mac(r0, E::weight(w0, offset), x);
        r1 = mac(r1, E::weight(w1, offset), x);
    }
    end(r0, s0);
    end(r1, s1);
}

/// A product of few pixels, computed one after the other: 4 rows at a time.
pub(crate) struct Narrow<'t, E>(pub &'t mut dyn Product<E>);

impl<E: Element> Job for Narrow<'_, E> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self(p) = self;
        let ([rows, taps, pixels], offset) = (p.size(), p.offset());
        let mut packed = [E::default(); TAPS];
        let mut sums = [E::default(); ROWS];
        for pixel in 0..pixels {
            for first_row in (0..rows).step_by(ROWS) {
                let sums = sums.get_mut(..ROWS.min(rows - first_row).next_multiple_of(4))?;
                let row = |i: usize| (first_row + i).min(rows - 1);
                for (i, sum) in sums.iter_mut().enumerate() {
                    p.start(row(i), pixel, core::slice::from_mut(sum))?;
                }
                for first_tap in (0..taps).step_by(TAPS) {
                    let range = first_tap..taps.min(first_tap + TAPS);
                    let packed = packed.get_mut(..range.len())?;
                    if first_row == 0 || taps > TAPS {
                        p.pack(pixel, 1, range.clone(), packed)?;
                    }
                    for (i, sums) in sums.as_chunks_mut().0.iter_mut().enumerate() {
                        let weights = |k: usize| p.weights(row(4 * i + k))?.get(range.clone());
                        let (w0, w1, w2, w3) = (weights(0)?, weights(1)?, weights(2)?, weights(3)?);
                        let [mut s0, mut s1, mut s2, mut s3] = *sums;
                        for ((((&x, &w0), &w1), &w2), &w3) in
                            packed.iter().zip(w0).zip(w1).zip(w2).zip(w3)
                        {
                            s0 = Element::mac(s0, E::weight(w0, offset), x);
                            s1 = Element::mac(s1, E::weight(w1, offset), x);
                            s2 = Element::mac(s2, E::weight(w2, offset), x);
                            s3 = Element::mac(s3, E::weight(w3, offset), x);
                        }
                        *sums = [s0, s1, s2, s3];
                    }
                }
                for (i, sum) in sums.iter().enumerate().take(rows - first_row) {
                    p.finish(first_row + i, pixel, core::slice::from_ref(sum))?;
                }
            }
        }
        Some(())
    }
}
