//! Convolution of single planes, each output channel seeing one input channel.
//!
//! Eight neighbouring outputs of a line are computed together wherever their whole windows lie
//! inside the image's columns, three taps at a time; the rest one by one.

use core::ops::Range;

use super::blocked::{Element, mac};
use super::convolution::{Arithmetic, Convolution};
use super::window::Axis;

/// An input as stored.
pub(crate) trait Cell<E>: Copy {
    /// As an element.
    fn widen(self) -> E;
    /// As an element, with an offset added.
    fn plus(self, offset: E) -> E;
    /// What a sum of products starts with, so that the offset need not be added to each input.
    fn start(bias: E, offset: E, weights: impl Iterator<Item = E>) -> E;
}

impl Cell<f32> for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn plus(self, _: f32) -> f32 {
        self
    }

    #[inline(always)]
    fn start(bias: f32, _: f32, _: impl Iterator<Item = f32>) -> f32 {
        bias
    }
}

impl Cell<i32> for u8 {
    #[inline(always)]
    fn widen(self) -> i32 {
        i32::from(self)
    }

    #[inline(always)]
    fn plus(self, offset: i32) -> i32 {
        i32::from(self).wrapping_add(offset)
    }

    #[inline(always)]
    fn start(bias: i32, offset: i32, weights: impl Iterator<Item = i32>) -> i32 {
        weights.fold(bias, |sum, w| Element::mac(sum, w, offset))
    }
}

/// Computes all planes of one image; `p` has one input channel per group and planar layout.
#[inline(always)]
pub(crate) fn depthwise<X: Cell<E>, E: Element, Y>(
    p: &Convolution,
    (x, weights, bias): (&[X], &[E::Weight], &[E]),
    y: &mut [Y],
    arithmetic: Arithmetic<E, impl Fn(E) -> Y + Copy>,
) -> Option<()> {
    let [_, _, height, width] = p.input;
    let [_, out_channels, out_height, out_width] = p.output()?;
    let (vertical, horizontal) = (p.window.axis(0, height)?, p.window.axis(1, width)?);
    let multiplier = out_channels.checked_div(p.groups)?;
    let inside = whole_windows(&horizontal, out_width);

    let planes = y.chunks_exact_mut((out_height * out_width).max(1));
    let weights = weights.chunks_exact(p.taps()?.max(1));
    for (index, ((y, weights), &bias)) in planes.zip(weights).zip(bias).enumerate() {
        let x = x.get(index.checked_div(multiplier)? * height * width..)?;
        let plane = Plane::<X, E> {
            x: x.get(..height * width)?,
            weights,
            bias,
            vertical,
            horizontal,
            input_offset: arithmetic.input_offset,
            filter_offset: arithmetic.filter_offset,
        };
        for (oy, y) in y.chunks_exact_mut(out_width.max(1)).enumerate() {
            let top = vertical.origin(oy);
            let mut ox = 0;
            while ox < out_width {
                if inside.contains(&ox) && inside.len() >= 8 {
                    // The last eight may begin among those already done.
                    ox = ox.min(inside.end - 8);
                    let sums = plane.eight(top, horizontal.origin(ox) as usize)?;
                    let y = y.get_mut(ox..ox + 8)?;
                    y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (arithmetic.finish)(sum));
                    ox += 8;
                } else {
                    let sum = plane.one(top, horizontal.origin(ox))?;
                    *y.get_mut(ox)? = (arithmetic.finish)(sum);
                    ox += 1;
                }
            }
        }
    }
    Some(())
}

/// The outputs of a line whose windows lie wholly inside its columns.
fn whole_windows(axis: &Axis, outputs: usize) -> Range<usize> {
    let whole = |&o: &usize| axis.taps(axis.origin(o)) == (0..axis.filter);
    let first = (0..outputs).find(whole).unwrap_or(outputs);
    first..(first..outputs).rev().find(whole).map_or(first, |last| last + 1)
}

struct Plane<'t, X, E: Element> {
    x: &'t [X],
    weights: &'t [E::Weight],
    bias: E,
    vertical: Axis,
    horizontal: Axis,
    input_offset: E,
    filter_offset: E::Offset,
}

impl<X: Cell<E>, E: Element> Plane<'_, X, E> {
    #[inline(always)]
    fn weight(&self, stored: &E::Weight) -> E {
        E::weight(*stored, self.filter_offset)
    }

    /// The filter's lines that lie inside the image, each with the input line under it.
    #[inline(always)]
    fn lines(&self, top: isize) -> impl Iterator<Item = (&[E::Weight], &[X])> {
        let filter = self.horizontal.filter.max(1);
        let rows = self.vertical.taps(top);
        let first = top + (rows.start * self.vertical.dilation) as isize;
        let width = self.horizontal.input;
        let x = self.x.get((first * width as isize) as usize..).unwrap_or(&[]);
        let x = x.chunks((width * self.vertical.dilation).max(1));
        let weights = self.weights.chunks_exact(filter).skip(rows.start).take(rows.len());
        weights.zip(x)
    }

    /// The output whose window begins at (top, left).
    fn one(&self, top: isize, left: isize) -> Option<E> {
        let columns = self.horizontal.taps(left);
        let mut sum = X::start(
            self.bias,
            self.input_offset,
            self.lines(top).flat_map(|(weights, _)| {
                weights.get(columns.clone()).unwrap_or(&[]).iter().map(|w| self.weight(w))
            }),
        );
        if columns.is_empty() {
            return Some(sum);
        }
        let first = left + (columns.start * self.horizontal.dilation) as isize;
        for (weights, x) in self.lines(top) {
            let x = x.get(first as usize..)?.iter().step_by(self.horizontal.dilation.max(1));
            for (w, x) in weights.get(columns.clone())?.iter().zip(x) {
                sum = Element::mac(sum, self.weight(w), x.widen());
            }
        }
        Some(sum)
    }

    /// Eight outputs, the first of which has its window at (top, left); all columns are inside.
    #[inline(always)]
    fn eight(&self, top: isize, left: usize) -> Option<[E; 8]> {
        let start = X::start(
            self.bias,
            self.input_offset,
            self.lines(top).flat_map(|(weights, _)| weights.iter().map(|w| self.weight(w))),
        );
        let mut sums = Eight { low: [start; 4], high: [start; 4] };
        let (stride, dilation) = (self.horizontal.stride, self.horizontal.dilation);
        for (weights, x) in self.lines(top) {
            let mut x = x.get(left..)?;
            let (threes, singles) = match (stride, dilation) {
                (1 | 2, 1) => weights.as_chunks::<3>(),
                _ => (&[][..], weights),
            };
            for three in threes {
                let w = three.each_ref().map(|w| self.weight(w));
                if stride == 1 {
                    sums.three(w, x.first_chunk()?);
                } else {
                    sums.three_apart(w, x.first_chunk()?);
                }
                x = x.get(3..)?;
            }
            for w in singles {
                sums.single(self.weight(w), x, stride)?;
                x = x.get(dilation..).unwrap_or(&[]);
            }
        }
        let ([a, b, c, d], [e, f, g, h]) = (sums.low, sums.high);
        Some([a, b, c, d, e, f, g, h])
    }
}

/// Sums of eight neighbouring outputs; written out, so that they stay in registers.
struct Eight<E> {
    low: [E; 4],
    high: [E; 4],
}

impl<E: Element> Eight<E> {
    #[inline(always)]
    fn add(&mut self, w: E, [a, b, c, d, e, f, g, h]: [E; 8]) {
        self.low = mac(self.low, w, [a, b, c, d]);
        self.high = mac(self.high, w, [e, f, g, h]);
    }

    /// Three taps, stride 1.
    #[inline(always)]
    fn three<X: Cell<E>>(&mut self, [u, v, w]: [E; 3], x: &[X; 10]) {
        let [a, b, c, d, e, f, g, h, i, j] = x.each_ref().map(|x| x.widen());
        self.add(u, [a, b, c, d, e, f, g, h]);
        self.add(v, [b, c, d, e, f, g, h, i]);
        self.add(w, [c, d, e, f, g, h, i, j]);
    }

    /// Three taps, stride 2.
    #[inline(always)]
    fn three_apart<X: Cell<E>>(&mut self, [u, v, w]: [E; 3], x: &[X; 17]) {
        let [a, i, b, j, c, k, d, l, e, m, f, n, g, o, h, p, q] = x.each_ref().map(|x| x.widen());
        self.add(u, [a, b, c, d, e, f, g, h]);
        self.add(v, [i, j, k, l, m, n, o, p]);
        self.add(w, [b, c, d, e, f, g, h, q]);
    }

    /// One tap, any stride.
    #[inline(always)]
    fn single<X: Cell<E>>(&mut self, w: E, x: &[X], stride: usize) -> Option<()> {
        let at = |i: usize| Some(x.get(i * stride)?.widen());
        let x = if let (1, Some(x)) = (stride, x.first_chunk::<8>()) {
            x.each_ref().map(|x| x.widen())
        } else {
            [at(0)?, at(1)?, at(2)?, at(3)?, at(4)?, at(5)?, at(6)?, at(7)?]
        };
        self.add(w, x);
        Some(())
    }
}
