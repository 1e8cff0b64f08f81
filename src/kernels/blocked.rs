//! The one loop behind conv2d and matmul: a product of rows of weights and columns of pixels,
//! computed in tiles that stay in registers.
//!
//! `sums[row][pixel] = bias + weights[row][0] * x[0][pixel] + weights[row][1] * x[1][pixel] + ...`
//!
//! A tile is 4 rows by 5 [`Vector`]s of pixels; some tiles lie side by side in a strip. The `x` of a
//! strip are packed side by side first, as many taps at a time as the scratch holds; the packed ones
//! serve 64 rows. Every sum is one accumulator that takes its taps in order: no width of vector
//! changes a bit.

use bytemuck::{cast_slice, cast_slice_mut};

use super::numbers::{Element, Numbers};
use super::pack::Patches;

/// Taps that are packed at a time: those of eight channels and a window of three by three.
const TAPS: usize = 72;
/// Rows whose sums wait for the next taps.
const ROWS: usize = 64;
/// Pixels of the widest strip.
const WIDTH: usize = if cfg!(target_arch = "x86_64") { 80 } else { 20 };

/// What a sum begins with, before anything else.
#[derive(Clone, Copy)]
pub(crate) enum Bias<'t> {
    /// Nothing.
    None,
    /// One number for each row.
    Rows(&'t [u32]),
    /// One number for each pixel.
    Pixels(&'t [u32]),
}

/// Rows of weights times the pixels of one group of channels of one image.
#[derive(Clone, Copy)]
pub(crate) struct Product<'t> {
    /// Where the taps of the pixels lie.
    pub patches: &'t Patches,
    /// Where the group's first channel begins.
    pub x: usize,
    /// Rows of weights.
    pub rows: usize,
    /// Weights of a row.
    pub taps: usize,
    /// Where the first row's weights begin.
    pub weights: usize,
    /// What sums begin with.
    pub bias: Bias<'t>,
    /// Where the first row's outputs begin.
    pub y: usize,
    /// Distances between the rows and the pixels of the output.
    pub steps: [usize; 2],
}

/// Four rows by some pixels, and a part of their taps.
pub(crate) struct Strip<'s> {
    /// Where the weights of the four rows begin.
    pub weights: [usize; 4],
    /// Number of taps.
    pub taps: usize,
    /// The taps, `[tap][pixel]`, as words of 32 bits.
    pub packed: &'s [u64],
    /// Pixels side by side in `packed` and `sums`.
    pub width: usize,
    /// Rows that mean something.
    pub rows: usize,
    /// The sums, `[row][pixel]`.
    pub sums: &'s mut [u32],
    /// Those of the pixels that mean something.
    pub pixels: usize,
}

/// Room for what products are computed with.
pub(crate) struct Scratch {
    /// Taps, as pairs of words of 32 bits.
    pub packed: [u64; TAPS * WIDTH / 2],
    /// Sums.
    pub sums: [u32; ROWS * WIDTH],
}

impl Scratch {
    pub const fn new() -> Self {
        Self { packed: [0; TAPS * WIDTH / 2], sums: [0; ROWS * WIDTH] }
    }
}

impl Product<'_> {
    /// Computes all outputs.
    #[inline(never)]
    pub fn run(&self, numbers: &mut dyn Numbers, scratch: &mut Scratch) -> Option<()> {
        let Scratch { packed, sums } = scratch;
        let Self { patches, rows, taps, .. } = *self;
        let pixels = patches.pixels();
        let width = if pixels < 4 { 1 } else { numbers.width().min(WIDTH) };
        for first_row in (0..rows).step_by(ROWS) {
            // Where rows are not a multiple of 4, the last one is computed again.
            let weights = |row: usize| self.weights + (first_row + row).min(rows - 1) * taps;
            let count = ROWS.min(rows - first_row);
            let mut bases = [0; ROWS];
            for (row, base) in bases.iter_mut().enumerate().take(count) {
                *base = numbers.base(weights(row)..weights(row) + taps)?;
            }
            for pixel in (0..pixels).step_by(width.max(1)) {
                let lanes = width.min(pixels - pixel);
                let rows = sums.chunks_exact_mut(width.max(1)).zip(&bases);
                for (row, (sums, &base)) in rows.enumerate().take(count) {
                    self.begin(first_row + row, pixel, base, sums)?;
                }
                for first_tap in (0..taps).step_by(TAPS) {
                    let range = first_tap..taps.min(first_tap + TAPS);
                    let taps = range.len();
                    let into = cast_slice_mut(packed);
                    patches.pack(numbers, self.x, [pixel, lanes, width], range, into)?;
                    let tiles = sums.chunks_exact_mut((4 * width).max(1)).take(count.div_ceil(4));
                    for (tile, sums) in tiles.enumerate() {
                        let row = |k: usize| weights(4 * tile + k) + first_tap;
                        let weights = [row(0), row(1), row(2), row(3)];
                        let packed = &*packed;
                        numbers.multiply(Strip {
                            weights,
                            taps,
                            packed,
                            width,
                            rows: count - 4 * tile,
                            sums,
                            pixels: lanes,
                        })?;
                    }
                }
                let [row_step, pixel_step] = self.steps;
                for (row, sums) in sums.chunks_exact(width.max(1)).enumerate().take(count) {
                    let at = self.y + (first_row + row) * row_step + pixel * pixel_step;
                    numbers.finish(at, pixel_step, sums.get(..lanes)?)?;
                }
            }
        }
        Some(())
    }

    /// What the sums of a row begin with.
    pub fn start(&self, row: usize, base: u32) -> Option<u32> {
        match self.bias {
            Bias::Rows(bias) => Some(bias.get(row)?.wrapping_add(base)),
            _ => Some(base),
        }
    }

    /// Begins the sums of a row, from `pixel` on.
    fn begin(&self, row: usize, pixel: usize, base: u32, sums: &mut [u32]) -> Option<()> {
        match self.bias {
            Bias::None | Bias::Rows(_) => sums.fill(self.start(row, base)?),
            Bias::Pixels(bias) => {
                let bias = sums.iter_mut().zip(bias.get(pixel..)?);
                bias.for_each(|(sum, bias)| *sum = bias.wrapping_add(base));
            }
        }
        Some(())
    }
}

/// `N` elements that one instruction computes; the elements themselves are vectors of one.
pub(crate) trait Vector<E, const N: usize>: Copy {
    /// How they are packed.
    type Packed;
    /// Whether registers hold the sums of four rows and what feeds them, or only of two.
    const FOUR_ROWS: bool;
    /// Packed words.
    fn packed(words: &[u64]) -> &[Self::Packed];
    /// From memory.
    fn load(from: &Self::Packed) -> Self;
    /// `self + w * x` in each lane.
    fn mac(self, w: E, x: Self) -> Self;
    /// What products are added to, to go on from sums in memory.
    fn begin(sums: &[E; N]) -> Self;
    /// To the sums in memory that it began with.
    fn end(self, sums: &mut [E; N]);
}

impl<E: Element> Vector<E, 1> for E {
    type Packed = E;
    const FOUR_ROWS: bool = true;

    #[inline(always)]
    fn packed(words: &[u64]) -> &[E] {
        cast_slice(words)
    }

    #[inline(always)]
    fn load(&from: &E) -> E {
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
/// long as packed ones are not negative and the first one, a sum of at most [`TAPS`] products, fits
/// in 32 bits.
#[derive(Clone, Copy)]
pub(crate) struct Pair(i64);

impl Vector<i32, 2> for Pair {
    type Packed = u64;
    const FOUR_ROWS: bool = false;

    #[inline(always)]
    fn packed(words: &[u64]) -> &[u64] {
        words
    }

    #[inline(always)]
    fn load(&from: &u64) -> Self {
        Self(from as i64)
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

/// Vectors of a tile side by side.
const ROW: usize = 5;
/// Written out, because a loop over them would keep them in memory on the chip.
type Row<V> = [V; ROW];

#[inline(always)]
fn load<E, V: Vector<E, N>, const N: usize>([a, b, c, d, e]: &Row<V::Packed>) -> Row<V> {
    [V::load(a), V::load(b), V::load(c), V::load(d), V::load(e)]
}

#[inline(always)]
fn begin<E, V: Vector<E, N>, const N: usize>([a, b, c, d, e]: &Row<[E; N]>) -> Row<V> {
    [V::begin(a), V::begin(b), V::begin(c), V::begin(d), V::begin(e)]
}

#[inline(always)]
fn end<E, V: Vector<E, N>, const N: usize>(row: Row<V>, [a, b, c, d, e]: &mut Row<[E; N]>) {
    let [p, q, r, s, t] = row;
    p.end(a);
    q.end(b);
    r.end(c);
    s.end(d);
    t.end(e);
}

#[inline(always)]
fn mac<E: Copy, V: Vector<E, N>, const N: usize>(
    [a, b, c, d, e]: Row<V>,
    w: E,
    [p, q, r, s, t]: Row<V>,
) -> Row<V> {
    [a.mac(w, p), b.mac(w, q), c.mac(w, r), d.mac(w, s), e.mac(w, t)]
}

/// Adds the products of a strip, in vectors of `N` elements, to its sums.
#[inline(always)]
pub(crate) fn multiply<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    strip: Strip<'_>,
    weights: [&[E::Stored]; 4],
    offset: E::Offset,
) -> Option<()> {
    let Strip { taps, packed, width, rows, sums, pixels, .. } = strip;
    let sums = cast_slice_mut::<u32, E>(sums);
    if width == 1 {
        let packed = cast_slice(packed).get(..taps)?;
        let four = sums.first_chunk_mut()?;
        match rows {
            1 => four[0] = one_row(four[0], weights[0], packed, offset),
            _ => one_by_one(four, weights, packed, offset),
        }
        return Some(());
    }
    let (packed, _) = V::packed(packed).as_chunks::<ROW>();
    let packed = packed.as_chunks::<TILES>().0.get(..taps)?;
    let (sums, _) = sums.as_chunks_mut::<N>();
    let (sums, _) = sums.as_chunks_mut::<ROW>().0.as_chunks_mut::<TILES>();
    let [s0, s1, s2, s3] = sums.first_chunk_mut()?;
    for t in 0..pixels.div_ceil(ROW * N).min(TILES) {
        let tile = [&mut s0[t], &mut s1[t], &mut s2[t], &mut s3[t]];
        multiply_tile::<E, V, N, TILES>(tile, weights, packed, t, offset);
    }
    Some(())
}

/// Adds the packed taps of tile `t` of a strip to its sums.
#[inline(always)]
fn multiply_tile<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    [s0, s1, s2, s3]: [&mut Row<[E; N]>; 4],
    [w0, w1, w2, w3]: [&[E::Stored]; 4],
    packed: &[[Row<V::Packed>; TILES]],
    t: usize,
    offset: E::Offset,
) {
    if !V::FOUR_ROWS {
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
    x: &Row<V::Packed>,
    [w0, w1, w2, w3]: [E::Stored; 4],
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

/// [`multiply_tile`] for two rows of a tile.
#[inline(always)]
fn multiply_two<E: Element, V: Vector<E, N>, const N: usize, const TILES: usize>(
    [s0, s1]: [&mut Row<[E; N]>; 2],
    [w0, w1]: [&[E::Stored]; 2],
    packed: &[[Row<V::Packed>; TILES]],
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

/// Adds the taps of a single pixel to a sum.
#[inline(always)]
fn one_row<E: Element>(sum: E, weights: &[E::Stored], packed: &[E], offset: E::Offset) -> E {
    let taps = weights.iter().zip(packed);
    taps.fold(sum, |sum, (&w, &x)| sum.mac(E::weight(w, offset), x))
}

/// Adds the taps of a single pixel to the sums of four rows.
#[inline(always)]
fn one_by_one<E: Element>(
    sums: &mut [E; 4],
    [w0, w1, w2, w3]: [&[E::Stored]; 4],
    packed: &[E],
    offset: E::Offset,
) {
    let add = |[a, b, c, d]: [E; 4], x: E, w: [E::Stored; 4]| {
        let [w0, w1, w2, w3] = w;
        [
            a.mac(E::weight(w0, offset), x),
            b.mac(E::weight(w1, offset), x),
            c.mac(E::weight(w2, offset), x),
            d.mac(E::weight(w3, offset), x),
        ]
    };
    let (pairs, last) = packed.as_chunks::<2>();
    let ((w0, e0), (w1, e1)) = (w0.as_chunks::<2>(), w1.as_chunks::<2>());
    let ((w2, e2), (w3, e3)) = (w2.as_chunks::<2>(), w3.as_chunks::<2>());
    let [a, b, c, d] = *sums;
    let mut four = [a, b, c, d];
    for (((([x, y], w0), w1), w2), w3) in pairs.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        four = add(four, *x, [w0[0], w1[0], w2[0], w3[0]]);
        four = add(four, *y, [w0[1], w1[1], w2[1], w3[1]]);
    }
    if let ([x], &[w0], &[w1], &[w2], &[w3]) = (last, e0, e1, e2, e3) {
        four = add(four, *x, [w0, w1, w2, w3]);
    }
    *sums = four;
}
