//! Convolution of single planes, each output channel seeing one input channel.
//!
//! Lines of the plane, with what surrounds it, are copied to a tile. Windows of three by three slide
//! down the tile, four side by side: a line of inputs is loaded once and goes into the sums of all
//! outputs that see it. Other windows take four neighbouring outputs at a time.

use super::blocked::{Product, ROWS, Scratch, TAPS, WIDTH};
use super::numbers::{EXACT, Numbers};
use super::pack::Patches;
use super::simd::{self, Job};
use super::window::{Axis, inside};
use crate::math::fma;

/// Inputs that a tile holds besides the weights.
const INPUTS: usize = TAPS * WIDTH - EXACT;
/// Most columns of outputs of a tile.
const COLUMNS: usize = 64;

/// How many inputs `outputs` neighbours along an axis see.
fn seen(axis: &Axis, outputs: usize) -> usize {
    (outputs.max(1) - 1) * axis.stride + (axis.filter - 1) * axis.dilation + 1
}

/// Lines and columns of outputs that [`run`] computes at a time; `None` if it cannot.
pub(crate) fn size(p: &Product<'_>, numbers: &dyn Numbers) -> Option<[usize; 2]> {
    let Patches { vertical, horizontal, out_width, .. } = p.patches;
    let single = p.taps == vertical.filter * horizontal.filter && p.rows < 4;
    (single && p.taps <= EXACT && numbers.width() > 1).then_some(())?;
    let columns = (*out_width).min(COLUMNS);
    let reach = seen(vertical, 1);
    let lines = INPUTS.checked_div(seen(horizontal, columns.max(4)))?.checked_sub(reach)?;
    let lines = lines.checked_div(vertical.stride)? + 1;
    Some([lines.min(ROWS * WIDTH / columns.max(4)), columns])
}

/// Computes a product of one channel.
#[inline(never)]
pub(crate) fn run(
    p: &Product<'_>,
    [lines_at_once, columns_at_once]: [usize; 2],
    numbers: &mut dyn Numbers,
    Scratch { packed, sums }: &mut Scratch,
) -> Option<()> {
    let (inputs, weights) = packed.split_at_mut(INPUTS);
    let patches = p.patches;
    let Patches { vertical, horizontal, out_width, steps: [_, step_y, _], .. } = patches;
    let weights = weights.get_mut(..p.taps)?;
    let outside = numbers.outside();
    let height = patches.pixels().checked_div(*out_width)?;
    for oy in (0..height).step_by(lines_at_once.max(1)) {
        for ox in (0..*out_width).step_by(columns_at_once.max(1)) {
            let lines = lines_at_once.min(height - oy);
            let columns = columns_at_once.min(out_width - ox);
            // Four are computed together.
            let pitches = [seen(horizontal, columns.max(4)), columns.max(4)];
            let [pitch, sums_pitch] = pitches;
            let (top, left) = (vertical.origin(oy), horizontal.origin(ox));
            let tile = inputs.get_mut(..seen(vertical, lines) * pitch)?;
            let inside = inside(top, vertical.input, 1, seen(vertical, lines));
            let (before, rest) = tile.split_at_mut_checked(inside.start * pitch)?;
            let (tile, behind) = rest.split_at_mut_checked(inside.len() * pitch)?;
            before.fill(outside);
            behind.fill(outside);
            if !inside.is_empty() {
                let line = patches.line(p.x, [top.max(0), left], 1, [0, *step_y]);
                line.copy(numbers, pitch, tile, pitch)?;
            }
            for row in 0..p.rows {
                let at = p.weights + row * p.taps;
                numbers.weights(at, weights)?;
                let start = p.start(row, numbers.base(at..at + p.taps)?)?;
                let (begin, rest) = numbers.begin(start);
                let begin = f32::from_bits(begin);
                let windows = Windows { patches, inputs, weights, begin, lines, pitches };
                simd::run(numbers.level(), Tile { windows, sums })?;
                let [row_step, step] = p.steps;
                let at = p.y + row * row_step + (oy * out_width + ox) * step;
                if sums_pitch == *out_width {
                    numbers.finish(at, step, sums.get(..lines * columns)?, rest)?;
                    continue;
                }
                for (line, sums) in sums.chunks_exact(sums_pitch.max(1)).enumerate().take(lines) {
                    let at = at + line * out_width * step;
                    numbers.finish(at, step, sums.get(..columns)?, rest)?;
                }
            }
        }
    }
    Some(())
}

/// What a tile is computed from.
struct Windows<'t> {
    patches: &'t Patches,
    inputs: &'t [f32],
    weights: &'t [f32],
    /// What sums begin with.
    begin: f32,
    /// Lines of sums.
    lines: usize,
    /// Columns of inputs and of sums.
    pitches: [usize; 2],
}

/// The sums of a tile.
struct Tile<'t> {
    windows: Windows<'t>,
    sums: &'t mut [u32],
}

impl Job for Tile<'_> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Windows { patches: Patches { vertical, horizontal, .. }, pitches, .. } = self.windows;
        let [_, columns] = pitches;
        let three =
            |axis: &Axis, stride| (axis.filter, axis.dilation, axis.stride) == (3, 1, stride);
        let slides = |stride| three(vertical, stride) && three(horizontal, stride);
        let Self { windows, sums } = self;
        let mut ox = 0;
        loop {
            if slides(1) {
                windows.slide::<1, 6>(ox, sums)?;
            } else if slides(2) {
                windows.slide::<2, 9>(ox, sums)?;
            } else {
                windows.step(ox, sums)?;
            }
            if ox + 4 >= columns {
                return Some(());
            }
            ox = (ox + 4).min(columns - 4);
        }
    }
}

impl Windows<'_> {
    /// Four columns of windows of three by three with stride `S`, whose inputs are `N` columns.
    #[inline(always)]
    fn slide<const S: usize, const N: usize>(&self, ox: usize, sums: &mut [u32]) -> Option<()> {
        let &Self { inputs, weights, begin, lines, pitches: [pitch, columns], .. } = self;
        let &[p, q, r, s, t, u, v, w, x] = weights.first_chunk()?;
        let begin = [begin, begin, begin, begin];
        let (mut first, mut second) = (begin, begin);
        let (mut from, mut to) = (ox * S, ox);
        for i in 0..(lines - 1) * S + 3 {
            let inputs = inputs.get(from..)?.first_chunk::<N>()?;
            from += pitch;
            if S == 2 && i % 2 == 1 {
                first = add::<S, N>(first, inputs, [s, t, u]);
                continue;
            }
            let done = add::<S, N>(if S == 1 { second } else { first }, inputs, [v, w, x]);
            if S == 1 {
                second = add::<S, N>(first, inputs, [s, t, u]);
            }
            first = add::<S, N>(begin, inputs, [p, q, r]);
            if i >= 2 {
                *sums.get_mut(to..)?.first_chunk_mut()? = words(done);
                to += columns;
            }
        }
        Some(())
    }

    /// Four columns of windows of any kind.
    #[inline(always)]
    fn step(&self, ox: usize, sums: &mut [u32]) -> Option<()> {
        let &Self { inputs, weights, begin, lines, pitches: [pitch, columns], .. } = self;
        let Patches { vertical, horizontal, .. } = self.patches;
        let stride = horizontal.stride;
        for line in 0..lines {
            let mut four = [begin, begin, begin, begin];
            let mut from = line * vertical.stride * pitch + ox * stride;
            for row in weights.chunks_exact(horizontal.filter.max(1)) {
                let (fives, ones) = match (horizontal.dilation, stride) {
                    (1, 1) => row.as_chunks::<5>(),
                    _ => (&[] as &[_], row),
                };
                let mut at = from;
                for &[p, q, r, s, t] in fives {
                    let &[a, b, c, d, e, f, g, h] = inputs.get(at..)?.first_chunk()?;
                    four = mac(four, p, [a, b, c, d]);
                    four = mac(four, q, [b, c, d, e]);
                    four = mac(four, r, [c, d, e, f]);
                    four = mac(four, s, [d, e, f, g]);
                    four = mac(four, t, [e, f, g, h]);
                    at += 5;
                }
                for &one in ones {
                    let x = inputs.get(at..)?;
                    let x =
                        [*x.first()?, *x.get(stride)?, *x.get(2 * stride)?, *x.get(3 * stride)?];
                    four = mac(four, one, x);
                    at += horizontal.dilation;
                }
                from += vertical.dilation * pitch;
            }
            *sums.get_mut(line * columns + ox..)?.first_chunk_mut()? = words(four);
        }
        Some(())
    }
}

#[inline(always)]
fn words([a, b, c, d]: [f32; 4]) -> [u32; 4] {
    [a.to_bits(), b.to_bits(), c.to_bits(), d.to_bits()]
}

/// Adds one tap to four sums.
#[inline(always)]
fn mac([a, b, c, d]: [f32; 4], w: f32, [p, q, r, s]: [f32; 4]) -> [f32; 4] {
    [fma(w, p, a), fma(w, q, b), fma(w, r, c), fma(w, s, d)]
}

/// Adds three taps to four sums, whose first taps are `S` apart.
#[inline(always)]
fn add<const S: usize, const N: usize>(
    [a, b, c, d]: [f32; 4],
    x: &[f32; N],
    [p, q, r]: [f32; 3],
) -> [f32; 4] {
    let three = |sum: f32, i: usize| fma(r, x[i + 2], fma(q, x[i + 1], fma(p, x[i], sum)));
    [three(a, 0), three(b, S), three(c, 2 * S), three(d, 3 * S)]
}
