//! The numbers of convolutions and matrix products: floats, or bytes that are summed as integers.
//!
//! Walks over images and matrices are the same for both; they know numbers as words of 32 bits,
//! through [`Numbers`].

use core::ops::{Range, RangeInclusive};

use bytemuck::Pod;

use super::Clamp;
use super::blocked::Strip;
use super::depthwise::{self, Line};
use super::quantize::Rescale;
use super::simd::Lanes;
use super::strided::each;
use crate::level::Level;

/// What a walk asks for. `None` means that a slice is too short.
pub(crate) trait Numbers {
    /// The element that stands for a tap outside the image.
    fn outside(&self) -> u32;

    /// Copies the inputs from `at` on, `step` apart, as elements.
    fn read(&self, at: usize, step: usize, into: &mut [u32]) -> Option<()>;

    /// What is added to the bias of sums over these weights.
    fn base(&self, weights: Range<usize>) -> Option<u32>;

    /// Pixels that [`multiply`](Self::multiply) takes together.
    fn width(&self) -> usize;

    /// Adds the products of a strip to its sums.
    fn multiply(&self, strip: Strip<'_>) -> Option<()>;

    /// Computes the sums of one line of a single plane.
    fn line(&self, line: Line<'_>) -> Option<()>;

    /// Makes outputs from sums: from `at` on, `step` apart.
    fn finish(&mut self, at: usize, step: usize, sums: &[u32]) -> Option<()>;
}

/// What sums are made of: floats, or the 32-bit integers of quantized operators.
pub(crate) trait Element: Pod + Default {
    /// An input or a weight as stored.
    type Stored: Pod;
    /// What turns a stored weight into an element.
    type Offset: Copy;
    /// Sums that the chip's registers hold together with what is added: 8 or 16.
    const COLUMNS: usize;
    /// An input as an element, without its offset.
    fn widen(stored: Self::Stored) -> Self;
    /// A weight as an element.
    fn weight(stored: Self::Stored, offset: Self::Offset) -> Self;
    /// `self + w * x`
    fn mac(self, w: Self, x: Self) -> Self;
    /// What sums have to begin with because their inputs come without this offset.
    fn base(input_offset: Self, weights: &[Self::Stored], offset: Self::Offset) -> Self;
    /// Whether vectors multiply right.
    fn has_vectors(input_offset: Self, filter_offset: Self::Offset) -> bool;
}

impl Element for f32 {
    type Stored = f32;
    type Offset = ();
    const COLUMNS: usize = 16;

    #[inline(always)]
    fn widen(stored: f32) -> f32 {
        stored
    }

    #[inline(always)]
    fn weight(stored: f32, (): ()) -> f32 {
        stored
    }

    #[inline(always)]
    fn mac(self, w: f32, x: f32) -> f32 {
        crate::math::fma(w, x, self)
    }

    fn base(_: f32, _: &[f32], (): ()) -> f32 {
        0.0
    }

    fn has_vectors(_: f32, (): ()) -> bool {
        true
    }
}

impl Element for i32 {
    type Stored = u8;
    type Offset = i32;
    const COLUMNS: usize = 8;

    #[inline(always)]
    fn widen(stored: u8) -> i32 {
        i32::from(stored)
    }

    #[inline(always)]
    fn weight(stored: u8, offset: i32) -> i32 {
        i32::from(stored).wrapping_add(offset)
    }

    #[inline(always)]
    fn mac(self, w: i32, x: i32) -> i32 {
        self.wrapping_add(w.wrapping_mul(x))
    }

    fn base(input_offset: i32, weights: &[u8], offset: i32) -> i32 {
        let add = |sum: i32, &weight| sum.wrapping_add(Self::weight(weight, offset));
        weights.iter().fold(0, add).wrapping_mul(input_offset)
    }

    fn has_vectors(input_offset: i32, filter_offset: i32) -> bool {
        // Beyond these, offsets are not those of quantized numbers, and sums of pairs may not fit.
        const INPUT: RangeInclusive<i32> = -4096..=0;
        const FILTER: RangeInclusive<i32> = -4096..=4096;
        INPUT.contains(&input_offset) && FILTER.contains(&filter_offset)
    }
}

/// Floats, limited at the end.
pub(crate) fn floats<'t>(
    level: Level,
    clamp: Clamp,
    x: &'t [f32],
    weights: &'t [f32],
    y: &'t mut [f32],
) -> Operands<'t, f32, f32, impl Fn(f32) -> f32 + use<>> {
    let finish = move |sum| clamp.apply(sum);
    Operands { level, x, weights, y, input_offset: 0.0, outside: 0, filter_offset: (), finish }
}

/// Bytes with the offsets of inputs and weights, rescaled at the end.
pub(crate) fn bytes<'t>(
    level: Level,
    [input_offset, filter_offset]: [i32; 2],
    rescale: Rescale,
    x: &'t [u8],
    weights: &'t [u8],
    y: &'t mut [u8],
) -> Operands<'t, i32, u8, impl Fn(i32) -> u8 + use<>> {
    let finish = move |sum| rescale.to_u8(sum);
    let outside = input_offset.wrapping_neg() as u32;
    Operands { level, x, weights, y, input_offset, outside, filter_offset, finish }
}

/// The slices of a convolution or a product, and what is done with their numbers.
pub(crate) struct Operands<'t, E: Element, Y, F> {
    /// The instructions to use.
    pub level: Level,
    /// Inputs.
    pub x: &'t [E::Stored],
    /// Weights.
    pub weights: &'t [E::Stored],
    /// Outputs.
    pub y: &'t mut [Y],
    /// Added to each input inside the image.
    pub input_offset: E,
    /// What stands for those outside.
    pub outside: u32,
    /// What turns weights into elements.
    pub filter_offset: E::Offset,
    /// From a sum to an output.
    pub finish: F,
}

impl<E: Lanes, Y, F: Fn(E) -> Y> Numbers for Operands<'_, E, Y, F> {
    fn outside(&self) -> u32 {
        self.outside
    }

    fn read(&self, at: usize, step: usize, into: &mut [u32]) -> Option<()> {
        let set = |to: &mut u32, &x: &E::Stored| *to = bytemuck::cast(E::widen(x));
        each(into, self.x.get(at..)?, step, set);
        Some(())
    }

    fn base(&self, weights: Range<usize>) -> Option<u32> {
        let weights = self.weights.get(weights)?;
        Some(bytemuck::cast(E::base(self.input_offset, weights, self.filter_offset)))
    }

    fn width(&self) -> usize {
        match E::has_vectors(self.input_offset, self.filter_offset) {
            true => E::width(self.level),
            false => 1,
        }
    }

    fn multiply(&self, strip: Strip<'_>) -> Option<()> {
        let row = |at: usize| self.weights.get(at..)?.get(..strip.taps);
        let [a, b, c, d] = strip.weights;
        let weights = [row(a)?, row(b)?, row(c)?, row(d)?];
        E::multiply(self.level, strip, weights, self.filter_offset)
    }

    fn line(&self, line: Line<'_>) -> Option<()> {
        let weights = self.weights.get(line.weights..)?;
        self.level.run(depthwise::Sums::<E> { line, weights, offset: self.filter_offset })
    }

    fn finish(&mut self, at: usize, step: usize, sums: &[u32]) -> Option<()> {
        let y = self.y.get_mut(at..)?;
        let set = |(y, &sum): (&mut Y, &u32)| *y = (self.finish)(bytemuck::cast(sum));
        match step {
            1 => y.iter_mut().zip(sums).for_each(set),
            step => y.iter_mut().step_by(step.max(1)).zip(sums).for_each(set),
        }
        Some(())
    }
}
