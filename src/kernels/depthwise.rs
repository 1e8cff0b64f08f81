//! Convolution of single planes, each output channel seeing one input channel.
//!
//! Lines of the plane, with what surrounds it, are copied to a tile. With three by three taps four
//! neighbouring outputs are computed together, so that taps are loaded once for all of them.

use super::blocked::{Product, Scratch};
use super::numbers::{Element, Numbers};
use super::pack::Patches;
use super::simd::Job;
use super::window::Axis;

/// Elements of a line of a tile.
const PITCH: usize = 72;
/// Lines of a tile, which the room for packed taps holds.
const LINES: usize = 14;
/// Most outputs of a line; half as many with stride 2.
const COLUMNS: usize = 64;

/// Lines of a tile, and the sums of one line of outputs.
pub(crate) struct Line<'l> {
    /// From the one with the first tap on.
    tile: &'l [[u32; PITCH]],
    patches: &'l Patches,
    /// Where the weights begin.
    pub weights: usize,
    /// What sums begin with.
    start: u32,
    sums: &'l mut [u32],
}

/// Outputs along an axis that a tile of `room` serves.
fn outputs(axis: &Axis, room: usize) -> Option<usize> {
    let reach = (axis.filter - 1).checked_mul(axis.dilation)?;
    Some(room.checked_sub(reach.checked_add(1)?)?.checked_div(axis.stride)? + 1)
}

/// Lines and columns of outputs that [`run`] computes at a time; `None` if it cannot.
pub(crate) fn size(p: &Product<'_>) -> Option<[usize; 2]> {
    let (vertical, horizontal) = (&p.patches.vertical, &p.patches.horizontal);
    // Four are computed together, also at the end of a line.
    let columns = outputs(horizontal, PITCH)?.min(COLUMNS.checked_div(horizontal.stride)?) & !3;
    let single = p.taps == vertical.filter * horizontal.filter;
    (single && p.rows < 4 && columns > 0).then_some([outputs(vertical, LINES)?, columns])
}

/// Computes a product of one channel.
#[inline(never)]
pub(crate) fn run(
    p: &Product<'_>,
    [lines_at_once, columns_at_once]: [usize; 2],
    numbers: &mut dyn Numbers,
    scratch: &mut Scratch,
) -> Option<()> {
    let patches = p.patches;
    let (vertical, horizontal) = (&patches.vertical, &patches.horizontal);
    let width = p.patches.out_width;
    let height = p.patches.pixels().checked_div(width)?;
    let used = |axis: &Axis, outputs: usize| {
        (outputs - 1) * axis.stride + (axis.filter - 1) * axis.dilation + 1
    };
    let (tile, _) = bytemuck::cast_slice_mut(&mut scratch.packed).as_chunks_mut::<PITCH>();
    for oy in (0..height).step_by(lines_at_once.max(1)) {
        for ox in (0..width).step_by(columns_at_once.max(1)) {
            let lines = lines_at_once.min(height - oy);
            let columns = columns_at_once.min(width - ox);
            let (top, left) = (vertical.origin(oy), horizontal.origin(ox));
            for (line, iy) in tile.iter_mut().zip(top..).take(used(vertical, lines)) {
                let taps = p.patches.line(p.x, [iy, left], 1, [0, 0]);
                taps.copy(numbers, used(horizontal, columns), line, PITCH)?;
            }
            let sums = scratch.sums.get_mut(..columns.next_multiple_of(4))?;
            for row in 0..p.rows {
                let weights = p.weights + row * p.taps;
                let start = p.start(row, numbers.base(weights..weights + p.taps)?)?;
                for line in 0..lines {
                    let tile = tile.get(line * vertical.stride..)?;
                    numbers.line(Line { tile, patches, weights, start, sums })?;
                    let [row_step, pixel_step] = p.steps;
                    let pixel = (oy + line) * width + ox;
                    let at = p.y + row * row_step + pixel * pixel_step;
                    numbers.finish(at, pixel_step, sums.get(..columns)?)?;
                }
            }
        }
    }
    Some(())
}

/// The sums of a [`Line`].
pub(crate) struct Sums<'l, 'w, E: Element> {
    pub line: Line<'l>,
    /// What begins with the weights of the line.
    pub weights: &'w [E::Stored],
    /// What turns them into elements.
    pub offset: E::Offset,
}

impl<E: Element> Job for Sums<'_, '_, E> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self { line: Line { tile, patches, start, sums, .. }, weights, offset } = self;
        let (vertical, horizontal) = (&patches.vertical, &patches.horizontal);
        let is_three = |axis: &Axis| (axis.filter, axis.dilation) == (3, 1);
        if is_three(vertical) && is_three(horizontal) && horizontal.stride <= 2 {
            let ([a, b, c, ..], Some(weights)) = (tile, weights.first_chunk()) else { return None };
            match horizontal.stride {
                1 => three_by_three::<E, 4>([a, b, c], weights, offset, start, sums),
                _ => three_by_three::<E, 8>([a, b, c], weights, offset, start, sums),
            }
            return Some(());
        }
        let (start, stride) = (elements::<E>(start), horizontal.stride);
        for (block, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let mut four = [start, start, start, start];
            let lines = tile.iter().step_by(vertical.dilation.max(1)).take(vertical.filter);
            for (line, weights) in lines.zip(weights.chunks_exact(horizontal.filter.max(1))) {
                let x = line.get(4 * block * stride..)?.windows((3 * stride + 1).max(1));
                let mut add = |x: [u32; 4], weight: E::Stored| {
                    let ([a, b, c, d], [p, q, r, s]) = (four, x);
                    let mac = |sum: E, x| sum.mac(E::weight(weight, offset), elements(x));
                    four = [mac(a, p), mac(b, q), mac(c, r), mac(d, s)];
                };
                if let (1, 1) = (stride, horizontal.dilation) {
                    for (x, &weight) in x.zip(weights) {
                        add(*x.first_chunk()?, weight);
                    }
                    continue;
                }
                for (x, &weight) in x.step_by(horizontal.dilation.max(1)).zip(weights) {
                    add([*x.first()?, *x.get(stride)?, *x.get(2 * stride)?, *x.last()?], weight);
                }
            }
            let [a, b, c, d] = four;
            *sums = [words(a), words(b), words(c), words(d)];
        }
        Some(())
    }
}

#[inline(always)]
fn words<E: Element>(element: E) -> u32 {
    bytemuck::cast(element)
}

#[inline(always)]
fn elements<E: Element>(word: u32) -> E {
    bytemuck::cast(word)
}

/// Four sums at a time, whose taps begin in one block of `BLOCK` elements: four with stride 1, eight
/// with stride 2.
#[inline(always)]
fn three_by_three<E: Element, const BLOCK: usize>(
    [a, b, c]: [&[u32; PITCH]; 3],
    weights: &[E::Stored; 9],
    offset: E::Offset,
    start: u32,
    sums: &mut [u32],
) {
    let [p, q, r, s, t, u, v, w, x] = weights.map(|weight| E::weight(weight, offset));
    let start = elements::<E>(start);
    let (a, b, c) = (blocks::<BLOCK>(a), blocks::<BLOCK>(b), blocks::<BLOCK>(c));
    for (((sums, a), b), c) in sums.as_chunks_mut::<4>().0.iter_mut().zip(a).zip(b).zip(c) {
        let four = [start, start, start, start];
        let four = add::<E, BLOCK>(four, a, [p, q, r]);
        let four = add::<E, BLOCK>(four, b, [s, t, u]);
        let [a, b, c, d] = add::<E, BLOCK>(four, c, [v, w, x]);
        *sums = [words(a), words(b), words(c), words(d)];
    }
}

/// Blocks of a line, each with the one behind it.
#[inline(always)]
fn blocks<const BLOCK: usize>(
    line: &[u32; PITCH],
) -> impl Iterator<Item = (&[u32; BLOCK], &[u32; BLOCK])> {
    let (blocks, _) = line.as_chunks::<BLOCK>();
    blocks.iter().zip(blocks.get(1..).unwrap_or_default())
}

/// Adds three taps to four sums.
#[inline(always)]
fn add<E: Element, const BLOCK: usize>(
    [a, b, c, d]: [E; 4],
    (block, behind): (&[u32; BLOCK], &[u32; BLOCK]),
    [p, q, r]: [E; 3],
) -> [E; 4] {
    let x = |i: usize| elements(if i < BLOCK { block[i] } else { behind[i - BLOCK] });
    let three = |sum: E, i: usize| sum.mac(p, x(i)).mac(q, x(i + 1)).mac(r, x(i + 2));
    let stride = BLOCK / 4;
    [three(a, 0), three(b, stride), three(c, 2 * stride), three(d, 3 * stride)]
}
