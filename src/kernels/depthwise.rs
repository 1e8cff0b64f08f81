//! Convolution of single planes, each output channel seeing one input channel.
//!
//! Eight neighbouring outputs of a line are computed together wherever their whole windows lie
//! inside the image's columns, three taps at a time; the rest one by one.

use core::ops::Range;

use super::blocked::{Element, mac};
use super::convolution::{Arithmetic, Convolution};
use super::simd::Job;
use super::window::Axis;

/// Whether [`WIDE`] outputs are computed together where a line has as many: not on the chip.
const VECTORS: bool = cfg!(not(target_os = "none"));
/// Outputs of a PC's vector.
const WIDE: usize = 16;

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

/// All planes of one image; `sizes` has one input channel per group and planar layout.
pub(crate) struct Depthwise<'t, X, E: Element, Y, F> {
    pub sizes: &'t Convolution,
    pub x: &'t [X],
    pub weights: &'t [E::Weight],
    pub bias: &'t [E],
    pub y: &'t mut [Y],
    pub arithmetic: Arithmetic<E, F>,
}

impl<X: Cell<E>, E: Element, Y, F: Fn(E) -> Y> Job for Depthwise<'_, X, E, Y, F> {
    #[inline(always)]
    fn run(self) -> Option<()> {
        let Self { sizes: p, x, weights, bias, y, arithmetic } = self;
        let [_, _, height, width] = p.input;
        let [_, out_channels, out_height, out_width] = p.output()?;
        let (vertical, horizontal) = (p.window.axis(0, height)?, p.window.axis(1, width)?);
        let multiplier = out_channels.checked_div(p.groups)?;
        let whole = horizontal.whole(out_width);
        let filter = horizontal.filter;

        let planes = y.chunks_exact_mut((out_height * out_width).max(1));
        let weights = weights.chunks_exact(p.taps()?.max(1));
        for (index, ((y, weights), &bias)) in planes.zip(weights).zip(bias).enumerate() {
            let x = x.get(index.checked_div(multiplier)? * height * width..)?;
            let x = x.get(..height * width)?;
            for (oy, y) in y.chunks_exact_mut(out_width.max(1)).enumerate() {
                let top = vertical.origin(oy);
                let rows = vertical.taps(top);
                let first = top + (rows.start * vertical.dilation) as isize;
                let mut line = Line::<X, E> {
                    inputs: Inputs {
                        weights: weights.get(rows.start * filter..rows.end * filter)?,
                        x: x.get((first * width as isize) as usize..).unwrap_or(&[]),
                        filter,
                        step: width * vertical.dilation,
                    },
                    bias,
                    start: bias,
                    horizontal,
                    input_offset: arithmetic.input_offset,
                    filter_offset: arithmetic.filter_offset,
                };
                line.start = line.start_of(0..filter);
                line.run(y, whole.clone(), &arithmetic.finish)?;
            }
        }
        Some(())
    }
}

/// The filter's lines that lie inside the image, each with the input line under it.
struct Inputs<'t, X, W> {
    weights: &'t [W],
    x: &'t [X],
    /// Weights of a line.
    filter: usize,
    /// From one input line to the next.
    step: usize,
}

impl<X, W> Clone for Inputs<'_, X, W> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<'t, X, W> Iterator for Inputs<'t, X, W> {
    type Item = (&'t [W], &'t [X]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let (weights, rest) = self.weights.split_at_checked(self.filter)?;
        let x = self.x;
        self.weights = rest;
        self.x = x.get(self.step..).unwrap_or(&[]);
        Some((weights, x))
    }
}

/// What an output line is computed from.
struct Line<'t, X, E: Element> {
    inputs: Inputs<'t, X, E::Weight>,
    bias: E,
    /// What the sums of whole windows start with.
    start: E,
    horizontal: Axis,
    input_offset: E,
    filter_offset: E::Offset,
}

impl<X: Cell<E>, E: Element> Line<'_, X, E> {
    /// Computes the whole line; `whole` are the outputs with whole windows.
    #[inline(always)]
    fn run<Y>(&self, y: &mut [Y], whole: Range<usize>, finish: impl Fn(E) -> Y) -> Option<()> {
        let (stride, dilation) = (self.horizontal.stride, self.horizontal.dilation);
        let size = match whole.len() {
            WIDE.. if VECTORS && stride <= 2 => WIDE,
            8.. if stride <= 2 && dilation == 1 => 8,
            _ => 1,
        };
        // The last block may begin among outputs that are already done.
        let last = whole.end.saturating_sub(size);
        for ox in whole.clone().step_by(size).map(|ox| ox.min(last)) {
            let left = self.horizontal.origin(ox);
            let y = y.get_mut(ox..)?;
            if size == 1 {
                *y.first_mut()? = finish(self.one(left)?);
            } else if size == 8 {
                let [a, b, c, d, e, f, g, h] = self.eight(left as usize)?.0;
                *y.first_chunk_mut()? = [
                    finish(a),
                    finish(b),
                    finish(c),
                    finish(d),
                    finish(e),
                    finish(f),
                    finish(g),
                    finish(h),
                ];
            } else {
                let sums = match stride {
                    1 => self.wide::<1>(left as usize)?,
                    _ => self.wide::<2>(left as usize)?,
                };
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = finish(sum));
            }
        }
        for ox in (0..whole.start).chain(whole.end..y.len()) {
            *y.get_mut(ox)? = finish(self.one(self.horizontal.origin(ox))?);
        }
        Some(())
    }

    #[inline(always)]
    fn weight(&self, stored: &E::Weight) -> E {
        E::weight(*stored, self.filter_offset)
    }

    /// What a sum over some columns of the filter starts with.
    #[inline(always)]
    fn start_of(&self, columns: Range<usize>) -> E {
        let lines = self.inputs.clone();
        let weights = lines.flat_map(|(w, _)| w.get(columns.clone()).unwrap_or(&[]));
        X::start(self.bias, self.input_offset, weights.map(|w| self.weight(w)))
    }

    /// The output whose window begins at column `left`.
    #[inline(always)]
    fn one(&self, left: isize) -> Option<E> {
        let columns = self.horizontal.taps(left);
        let mut sum = self.start_of(columns.clone());
        if columns.is_empty() {
            return Some(sum);
        }
        let first = left + (columns.start * self.horizontal.dilation) as isize;
        for (weights, x) in self.inputs.clone() {
            let x = x.get(first as usize..)?.iter().step_by(self.horizontal.dilation.max(1));
            for (w, x) in weights.get(columns.clone())?.iter().zip(x) {
                sum = Element::mac(sum, self.weight(w), x.widen());
            }
        }
        Some(sum)
    }

    /// As many outputs as a vector holds, in a loop that the compiler turns into vectors; where
    /// they lie as for [`Self::eight`].
    #[inline(always)]
    fn wide<const STRIDE: usize>(&self, left: usize) -> Option<[E; WIDE]> {
        let mut sums = [self.start; WIDE];
        for (weights, x) in self.inputs.clone() {
            for (kx, w) in weights.iter().enumerate() {
                let x = x.get(left + kx * self.horizontal.dilation..)?;
                let x = x.get(..(WIDE - 1) * STRIDE + 1)?;
                let w = self.weight(w);
                for (sum, x) in sums.iter_mut().zip(x.iter().step_by(STRIDE)) {
                    *sum = Element::mac(*sum, w, x.widen());
                }
            }
        }
        Some(sums)
    }

    /// Eight outputs, the first of which has its window at column `left`; all columns are inside.
    #[inline(always)]
    fn eight(&self, left: usize) -> Option<Eight<E>> {
        match self.horizontal.stride {
            1 => self.threes(left, Eight::three, Eight::single),
            _ => self.threes(left, Eight::three_apart, Eight::single_apart),
        }
    }

    /// Adds all taps, three at a time and then one by one.
    #[inline(always)]
    fn threes<const THREE: usize, const SINGLE: usize>(
        &self,
        left: usize,
        three: impl Fn(Eight<E>, [E; 3], &[X; THREE]) -> Eight<E>,
        single: impl Fn(Eight<E>, E, &[X; SINGLE]) -> Eight<E>,
    ) -> Option<Eight<E>> {
        let mut sums = Eight([self.start; 8]);
        for (mut weights, x) in self.inputs.clone() {
            let mut x = x.get(left..)?;
            while let Some(([a, b, c], rest)) = weights.split_first_chunk() {
                let w = [self.weight(a), self.weight(b), self.weight(c)];
                sums = three(sums, w, x.first_chunk()?);
                if rest.is_empty() {
                    weights = rest;
                    break;
                }
                (weights, x) = (rest, x.get(3..)?);
            }
            for w in weights {
                sums = single(sums, self.weight(w), x.first_chunk()?);
                x = x.get(1..)?;
            }
        }
        Some(sums)
    }
}

/// An array of cells as elements, without the loop that `map` is on the chip.
macro_rules! widen {
    ($cells:ident: $($cell:ident)*) => {{
        let [$($cell),*] = *$cells;
        [$($cell.widen()),*]
    }};
}

/// Sums of eight neighbouring outputs; written out, so that they stay in registers.
struct Eight<E>([E; 8]);

impl<E: Element> Eight<E> {
    #[inline(always)]
    fn add(self, w: E, [a, b, c, d, e, f, g, h]: [E; 8]) -> Self {
        let [p, q, r, s, t, u, v, x] = self.0;
        let ([p, q, r, s], [t, u, v, x]) =
            (mac([p, q, r, s], w, [a, b, c, d]), mac([t, u, v, x], w, [e, f, g, h]));
        Self([p, q, r, s, t, u, v, x])
    }

    /// Three taps, stride 1.
    #[inline(always)]
    fn three<X: Cell<E>>(self, [u, v, w]: [E; 3], x: &[X; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = widen!(x: a b c d e f g h i j);
        self.add(u, [a, b, c, d, e, f, g, h])
            .add(v, [b, c, d, e, f, g, h, i])
            .add(w, [c, d, e, f, g, h, i, j])
    }

    /// Three taps, stride 2.
    #[inline(always)]
    fn three_apart<X: Cell<E>>(self, [u, v, w]: [E; 3], x: &[X; 17]) -> Self {
        let [a, i, b, j, c, k, d, l, e, m, f, n, g, o, h, p, q] =
            widen!(x: a i b j c k d l e m f n g o h p q);
        self.add(u, [a, b, c, d, e, f, g, h])
            .add(v, [i, j, k, l, m, n, o, p])
            .add(w, [b, c, d, e, f, g, h, q])
    }

    /// One tap, stride 1.
    #[inline(always)]
    fn single<X: Cell<E>>(self, w: E, x: &[X; 8]) -> Self {
        self.add(w, widen!(x: a b c d e f g h))
    }

    /// One tap, stride 2.
    #[inline(always)]
    fn single_apart<X: Cell<E>>(self, w: E, x: &[X; 15]) -> Self {
        let [a, _, b, _, c, _, d, _, e, _, f, _, g, _, h] =
            widen!(x: a i b j c k d l e m f n g o h);
        self.add(w, [a, b, c, d, e, f, g, h])
    }
}
