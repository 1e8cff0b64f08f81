//! The one loop behind conv2d and matmul: a product of rows of weights and columns of pixels,
//! computed in tiles that stay in registers.
//!
//! `sums[row][pixel] = bias + weights[row][0] * x[0][pixel] + weights[row][1] * x[1][pixel] + ...`
//!
//! A tile is 4 rows by 5 [`Vector`]s of pixels; some tiles lie side by side in a strip. The `x` of a
//! strip are packed side by side first, as many taps at a time as the scratch holds; the packed ones
//! serve 64 rows. Every sum is one accumulator that takes its taps in order: no width of vector
//! changes a bit.

use super::numbers::{EXACT, Numbers};
use super::pack::Patches;
use crate::math::fma;

/// Taps that are packed at a time: those of eight channels and a window of three by three.
pub(crate) const TAPS: usize = 72;
/// Rows whose sums wait for the next taps.
pub(crate) const ROWS: usize = 64;
/// Pixels of the widest strip.
pub(crate) const WIDTH: usize = if cfg!(target_arch = "x86_64") { 80 } else { 20 };

/// What a sum begins with, before anything else.
#[derive(Clone, Copy)]
pub(crate) enum Bias<'t> {
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

/// Some pixels, and a part of their taps.
pub(crate) struct Strip<'s> {
    /// The taps, `[tap][pixel]`.
    pub packed: &'s [f32],
    /// Number of taps.
    pub taps: usize,
    /// Pixels side by side in `packed` and in the sums, `[row][pixel]`.
    pub width: usize,
    /// Those of them that mean something.
    pub pixels: usize,
    /// Whether sums began with what [`Numbers::begin`] gave, and so need nothing but their products.
    pub begun: bool,
}

/// Room for what products are computed with; filling it anew for each would take the chip long.
pub(crate) struct Scratch {
    /// Taps.
    pub packed: [f32; TAPS * WIDTH],
    /// Sums.
    pub sums: [u32; ROWS * WIDTH],
}

impl Scratch {
    pub const fn new() -> Self {
        Self { packed: [0.0; TAPS * WIDTH], sums: [0; ROWS * WIDTH] }
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
        let begun = taps <= EXACT && width > 1 && matches!(self.bias, Bias::Rows(_));
        for first_row in (0..rows).step_by(ROWS) {
            // Where rows are not a multiple of 4, the last one is computed again.
            let weights = |row: usize| self.weights + (first_row + row).min(rows - 1) * taps;
            let count = ROWS.min(rows - first_row);
            let mut starts = [(0, 0); ROWS];
            for (row, start) in starts.iter_mut().enumerate().take(count) {
                let base = numbers.base(weights(row)..weights(row) + taps)?;
                let sum = self.start(first_row + row, base)?;
                *start = if begun { numbers.begin(sum) } else { (sum, 0) };
            }
            for pixel in (0..pixels).step_by(width.max(1)) {
                let lanes = width.min(pixels - pixel);
                let lines = sums.chunks_exact_mut(width.max(1)).zip(&starts);
                for (sums, &(start, _)) in lines.take(count) {
                    match self.bias {
                        Bias::Rows(_) => sums.fill(start),
                        Bias::Pixels(bias) => {
                            let bias = sums.iter_mut().zip(bias.get(pixel..)?);
                            bias.for_each(|(sum, bias)| *sum = bias.wrapping_add(start));
                        }
                    }
                }
                for first_tap in (0..taps).step_by(TAPS) {
                    let range = first_tap..taps.min(first_tap + TAPS);
                    let taps = range.len();
                    patches.pack(numbers, self.x, [pixel, lanes, width], range, packed)?;
                    let tiles = sums.chunks_exact_mut((4 * width).max(1)).take(count.div_ceil(4));
                    for (tile, sums) in tiles.enumerate() {
                        let row = |k: usize| weights(4 * tile + k) + first_tap;
                        let weights = [row(0), row(1), row(2), row(3)];
                        let packed = packed.get(..taps * width)?;
                        let strip = Strip { packed, taps, width, pixels: lanes, begun };
                        numbers.multiply(weights, strip, sums)?;
                    }
                }
                let [row_step, pixel_step] = self.steps;
                let lines = sums.chunks_exact(width.max(1)).zip(&starts);
                for (row, (sums, &(_, rest))) in lines.enumerate().take(count) {
                    let at = self.y + (first_row + row) * row_step + pixel * pixel_step;
                    numbers.finish(at, pixel_step, sums.get(..lanes)?, rest)?;
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
}

/// `N` floats that one instruction computes; a float itself is a vector of one.
pub(crate) trait Vector<const N: usize>: Copy {
    /// Whether registers hold the sums of four rows and what feeds them, or only of two.
    const FOUR_ROWS: bool;
    /// From memory.
    fn load(from: &[f32; N]) -> Self;
    /// `self + w * x` in each lane.
    fn mac(self, w: f32, x: Self) -> Self;
    /// To memory.
    fn store(self, to: &mut [f32; N]);
}

impl Vector<1> for f32 {
    const FOUR_ROWS: bool = true;

    #[inline(always)]
    fn load(&[from]: &[f32; 1]) -> f32 {
        from
    }

    #[inline(always)]
    fn mac(self, w: f32, x: f32) -> f32 {
        fma(w, x, self)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; 1]) {
        *to = [self];
    }
}

/// Vectors of a tile side by side.
const ROW: usize = 5;
/// Written out, because a loop over them would keep them in memory on the chip.
type Row<V> = [V; ROW];

#[inline(always)]
fn load<V: Vector<N>, const N: usize>([a, b, c, d, e]: &Row<[f32; N]>) -> Row<V> {
    [V::load(a), V::load(b), V::load(c), V::load(d), V::load(e)]
}

#[inline(always)]
fn store<V: Vector<N>, const N: usize>(row: Row<V>, [a, b, c, d, e]: &mut Row<[f32; N]>) {
    let [p, q, r, s, t] = row;
    p.store(a);
    q.store(b);
    r.store(c);
    s.store(d);
    t.store(e);
}

#[inline(always)]
fn mac<V: Vector<N>, const N: usize>(
    [a, b, c, d, e]: Row<V>,
    w: f32,
    [p, q, r, s, t]: Row<V>,
) -> Row<V> {
    [a.mac(w, p), b.mac(w, q), c.mac(w, r), d.mac(w, s), e.mac(w, t)]
}

/// Adds the products of a strip, in vectors of `N` floats, to its sums.
#[inline(always)]
pub(crate) fn multiply<V: Vector<N>, const N: usize, const TILES: usize>(
    weights: [&[f32]; 4],
    strip: Strip<'_>,
    sums: &mut [f32],
) -> Option<()> {
    let Strip { packed, taps, width, pixels, .. } = strip;
    if width == 1 {
        multiply_pixel(weights, packed, sums.first_chunk_mut()?);
        return Some(());
    }
    let (packed, _) = packed.as_chunks::<N>();
    let packed = packed.as_chunks::<ROW>().0.as_chunks::<TILES>().0.get(..taps)?;
    let (sums, _) = sums.as_chunks_mut::<N>();
    let (sums, _) = sums.as_chunks_mut::<ROW>().0.as_chunks_mut::<TILES>();
    let [s0, s1, s2, s3] = sums.first_chunk_mut()?;
    for t in 0..pixels.div_ceil(ROW * N).min(TILES) {
        let tile = [&mut s0[t], &mut s1[t], &mut s2[t], &mut s3[t]];
        multiply_tile::<V, N, TILES>(tile, weights, packed, t);
    }
    Some(())
}

/// Adds the packed taps of tile `t` of a strip to its sums.
#[inline(always)]
fn multiply_tile<V: Vector<N>, const N: usize, const TILES: usize>(
    [s0, s1, s2, s3]: [&mut Row<[f32; N]>; 4],
    [w0, w1, w2, w3]: [&[f32]; 4],
    packed: &[[Row<[f32; N]>; TILES]],
    t: usize,
) {
    if !V::FOUR_ROWS {
        multiply_two::<V, N, TILES>([s0, s1], [w0, w1], packed, t);
        multiply_two::<V, N, TILES>([s2, s3], [w2, w3], packed, t);
        return;
    }
    let mut rows: [Row<V>; 4] = [load(s0), load(s1), load(s2), load(s3)];
    // Two taps at a time: the pointers move once for both.
    let (pairs, last) = packed.as_chunks::<2>();
    let ((w0, e0), (w1, e1)) = (w0.as_chunks::<2>(), w1.as_chunks::<2>());
    let ((w2, e2), (w3, e3)) = (w2.as_chunks::<2>(), w3.as_chunks::<2>());
    for (((([x, y], w0), w1), w2), w3) in pairs.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        rows = add::<V, N>(rows, &x[t], [w0[0], w1[0], w2[0], w3[0]]);
        rows = add::<V, N>(rows, &y[t], [w0[1], w1[1], w2[1], w3[1]]);
    }
    if let ([x], &[w0], &[w1], &[w2], &[w3]) = (last, e0, e1, e2, e3) {
        rows = add::<V, N>(rows, &x[t], [w0, w1, w2, w3]);
    }
    let [r0, r1, r2, r3] = rows;
    store(r0, s0);
    store(r1, s1);
    store(r2, s2);
    store(r3, s3);
}

/// Adds one tap.
#[inline(always)]
fn add<V: Vector<N>, const N: usize>(
    [r0, r1, r2, r3]: [Row<V>; 4],
    x: &Row<[f32; N]>,
    [w0, w1, w2, w3]: [f32; 4],
) -> [Row<V>; 4] {
    let x = load(x);
    [mac(r0, w0, x), mac(r1, w1, x), mac(r2, w2, x), mac(r3, w3, x)]
}

/// [`multiply_tile`] for two rows of a tile.
#[inline(always)]
fn multiply_two<V: Vector<N>, const N: usize, const TILES: usize>(
    [s0, s1]: [&mut Row<[f32; N]>; 2],
    [w0, w1]: [&[f32]; 2],
    packed: &[[Row<[f32; N]>; TILES]],
    t: usize,
) {
    let (mut r0, mut r1): (Row<V>, Row<V>) = (load(s0), load(s1));
    for ((x, &w0), &w1) in packed.iter().zip(w0).zip(w1) {
        let x = load(&x[t]);
        r0 = mac(r0, w0, x);
        r1 = mac(r1, w1, x);
    }
    store(r0, s0);
    store(r1, s1);
}

/// [`multiply`] for a single pixel.
#[inline(always)]
fn multiply_pixel([w0, w1, w2, w3]: [&[f32]; 4], x: &[f32], sums: &mut [f32; 4]) {
    let mac = |[a, b, c, d]: [f32; 4], x: f32, [p, q, r, s]: [f32; 4]| {
        [fma(p, x, a), fma(q, x, b), fma(r, x, c), fma(s, x, d)]
    };
    let (fours, last) = x.as_chunks::<4>();
    let ((w0, e0), (w1, e1)) = (w0.as_chunks::<4>(), w1.as_chunks::<4>());
    let ((w2, e2), (w3, e3)) = (w2.as_chunks::<4>(), w3.as_chunks::<4>());
    let mut four = *sums;
    for ((((x, p), q), r), s) in fours.iter().zip(w0).zip(w1).zip(w2).zip(w3) {
        four = mac(four, x[0], [p[0], q[0], r[0], s[0]]);
        four = mac(four, x[1], [p[1], q[1], r[1], s[1]]);
        four = mac(four, x[2], [p[2], q[2], r[2], s[2]]);
        four = mac(four, x[3], [p[3], q[3], r[3], s[3]]);
    }
    for ((((&x, &p), &q), &r), &s) in last.iter().zip(e0).zip(e1).zip(e2).zip(e3) {
        four = mac(four, x, [p, q, r, s]);
    }
    *sums = four;
}
