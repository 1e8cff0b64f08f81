//! The numbers of convolutions and matrix products: floats, or bytes that are summed as integers.
//!
//! All products are products of floats. Those of bytes with their offsets are exact, and so are sums of
//! [`EXACT`] of them; longer sums go on in integers. So walks over images and matrices are the same for
//! both: they know sums as words of 32 bits, through [`Numbers`].

use core::ops::Range;

use bytemuck::{Pod, cast_slice_mut};

use super::Clamp;
use super::blocked::{Strip, TAPS, WIDTH};
use super::quantize::Rescale;
use super::simd;
use super::strided::each;
use crate::level::Level;

/// Products of bytes, with weights from `offset` to `255 + offset`, whose sum a float holds exactly if it
/// is not below 2^23 nor above 2^24; then it counts as an integer does.
pub(crate) const EXACT: usize = 128;

/// What a walk asks for. `None` means that a slice is too short.
pub(crate) trait Numbers {
    /// The input that stands for a tap outside the image.
    fn outside(&self) -> f32;

    /// Copies the inputs from `at` on, `step` apart.
    fn read(&self, at: usize, step: usize, into: &mut [f32]) -> Option<()>;

    /// What is added to the bias of sums over these weights.
    fn base(&self, weights: Range<usize>) -> Option<u32>;

    /// Pixels that [`multiply`](Self::multiply) takes together.
    fn width(&self) -> usize;

    /// Adds the products of a strip with four rows of weights, which begin at `weights`, to its sums.
    fn multiply(&self, weights: [usize; 4], strip: Strip<'_>, sums: &mut [u32]) -> Option<()>;

    /// Copies the weights from `at` on.
    fn weights(&self, at: usize, into: &mut [f32]) -> Option<()>;

    /// The float, as a word, that at most [`EXACT`] products are added to, to go on from a sum; and the rest
    /// for [`finish`](Self::finish).
    fn begin(&self, sum: u32) -> (u32, u32);

    /// Makes outputs from sums, each with `rest` added: from `at` on, `step` apart.
    fn finish(&mut self, at: usize, step: usize, sums: &[u32], rest: u32) -> Option<()>;

    /// The instructions to use.
    fn level(&self) -> Level;
}

/// What is stored: floats or bytes.
pub(crate) trait Element: Pod + Default {
    /// What turns stored numbers into floats, and sums into stored numbers.
    type Rule: Copy;
    /// Whether products can be computed in floats.
    fn is_exact(rule: Self::Rule) -> bool;
    /// The input that stands for those outside the image.
    fn outside(rule: Self::Rule) -> f32;
    /// An input, without its offset.
    fn input(self) -> f32;
    /// A weight, with its offset.
    fn weight(self, rule: Self::Rule) -> f32;
    /// What sums have to begin with because their inputs come without offset.
    fn base(rule: Self::Rule, weights: &[Self]) -> u32;
    /// As [`Numbers::begin`].
    fn begin(rule: Self::Rule, sum: u32) -> (u32, u32);
    /// An output.
    fn output(rule: Self::Rule, sum: u32) -> Self;
    /// Adds the products of a strip to its sums.
    fn multiply(
        level: Level,
        rule: Self::Rule,
        weights: [&[Self]; 4],
        strip: Strip<'_>,
        sums: &mut [u32],
    ) -> Option<()>;
}

impl Element for f32 {
    type Rule = Clamp;

    fn is_exact(_: Clamp) -> bool {
        true
    }

    fn outside(_: Clamp) -> f32 {
        0.0
    }

    #[inline(always)]
    fn input(self) -> f32 {
        self
    }

    #[inline(always)]
    fn weight(self, _: Clamp) -> f32 {
        self
    }

    fn base(_: Clamp, _: &[f32]) -> u32 {
        0
    }

    #[inline(always)]
    fn begin(_: Clamp, sum: u32) -> (u32, u32) {
        (sum, 0)
    }

    #[inline(always)]
    fn output(clamp: Clamp, sum: u32) -> f32 {
        clamp.apply(f32::from_bits(sum))
    }

    fn multiply(
        level: Level,
        _: Clamp,
        weights: [&[f32]; 4],
        strip: Strip<'_>,
        sums: &mut [u32],
    ) -> Option<()> {
        simd::multiply(level, weights, strip, cast_slice_mut(sums))
    }
}

/// The offsets of bytes, and what becomes of their sums.
#[derive(Clone, Copy)]
pub(crate) struct Quantization {
    /// Added to each input inside the image.
    pub input_offset: i32,
    /// Added to each weight.
    pub filter_offset: i32,
    /// From a sum to an output.
    pub rescale: Rescale,
}

impl Element for u8 {
    type Rule = Quantization;

    fn is_exact(rule: Quantization) -> bool {
        let byte = -255..=0;
        byte.contains(&rule.input_offset) && byte.contains(&rule.filter_offset)
    }

    fn outside(rule: Quantization) -> f32 {
        if Self::is_exact(rule) { -rule.input_offset as f32 } else { -1.0 }
    }

    #[inline(always)]
    fn input(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn weight(self, rule: Quantization) -> f32 {
        (i32::from(self).wrapping_add(rule.filter_offset)) as f32
    }

    fn base(rule: Quantization, weights: &[u8]) -> u32 {
        if !Self::is_exact(rule) {
            return 0;
        }
        let sum = weights.iter().fold(0, |sum: u32, &weight| sum.wrapping_add(u32::from(weight)));
        let offsets = (rule.filter_offset as u32).wrapping_mul(weights.len() as u32);
        sum.wrapping_add(offsets).wrapping_mul(rule.input_offset as u32)
    }

    #[inline(always)]
    fn begin(rule: Quantization, sum: u32) -> (u32, u32) {
        // 2^23, and what the products may take away.
        let begin = ((1 << 23) - EXACT as i32 * 255 * rule.filter_offset) as f32;
        (begin.to_bits(), sum.wrapping_sub(begin.to_bits()))
    }

    #[inline(always)]
    fn output(rule: Quantization, sum: u32) -> u8 {
        rule.rescale.to_u8(sum as i32)
    }

    fn multiply(
        level: Level,
        rule: Quantization,
        weights: [&[u8]; 4],
        strip: Strip<'_>,
        sums: &mut [u32],
    ) -> Option<()> {
        let Strip { packed, taps, width, .. } = strip;
        if !Self::is_exact(rule) {
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(integers(rule, weights, packed));
            }
            return Some(());
        }
        let mut rows = [[0.0; TAPS]; 4];
        for (row, weights) in rows.iter_mut().zip(weights) {
            each(row.get_mut(..taps)?, weights, 1, |to, weight| *to = weight.weight(rule));
        }
        let [a, b, c, d] = &rows;
        let rows = [a.get(..taps)?, b.get(..taps)?, c.get(..taps)?, d.get(..taps)?];
        if strip.begun {
            return simd::multiply(level, rows, strip, cast_slice_mut(sums));
        }
        let (begin, rest) = Self::begin(rule, 0);
        let mut products = [begin; 4 * WIDTH];
        let products = products.get_mut(..4 * width)?;
        simd::multiply(level, rows, strip, cast_slice_mut(products))?;
        for (sum, products) in sums.iter_mut().zip(products) {
            *sum = sum.wrapping_add(products.wrapping_add(rest));
        }
        Some(())
    }
}

/// The products of bytes with any offsets.
fn integers(rule: Quantization, weights: &[u8], inputs: &[f32]) -> u32 {
    let add = |sum: i32, (&weight, &x): (&u8, &f32)| {
        let weight = i32::from(weight).wrapping_add(rule.filter_offset);
        let x = if x < 0.0 { 0 } else { rule.input_offset.wrapping_add(x as i32) };
        sum.wrapping_add(weight.wrapping_mul(x))
    };
    weights.iter().zip(inputs).fold(0, add) as u32
}

/// The slices of a convolution or a product, and what is done with their numbers.
pub(crate) struct Operands<'t, E: Element> {
    /// The instructions to use.
    pub level: Level,
    /// What is done with the numbers.
    pub rule: E::Rule,
    /// Inputs.
    pub x: &'t [E],
    /// Weights.
    pub weights: &'t [E],
    /// Outputs.
    pub y: &'t mut [E],
}

impl<E: Element> Numbers for Operands<'_, E> {
    fn outside(&self) -> f32 {
        E::outside(self.rule)
    }

    fn read(&self, at: usize, step: usize, into: &mut [f32]) -> Option<()> {
        each(into, self.x.get(at..)?, step, |to, &x| *to = x.input());
        Some(())
    }

    fn base(&self, weights: Range<usize>) -> Option<u32> {
        Some(E::base(self.rule, self.weights.get(weights)?))
    }

    fn width(&self) -> usize {
        if E::is_exact(self.rule) { simd::width(self.level) } else { 1 }
    }

    fn multiply(&self, weights: [usize; 4], strip: Strip<'_>, sums: &mut [u32]) -> Option<()> {
        let row = |at: usize| self.weights.get(at..)?.get(..strip.taps);
        let [a, b, c, d] = weights;
        E::multiply(self.level, self.rule, [row(a)?, row(b)?, row(c)?, row(d)?], strip, sums)
    }

    fn weights(&self, at: usize, into: &mut [f32]) -> Option<()> {
        let weights = self.weights.get(at..)?;
        into.iter_mut().zip(weights).for_each(|(to, weight)| *to = weight.weight(self.rule));
        Some(())
    }

    fn begin(&self, sum: u32) -> (u32, u32) {
        E::begin(self.rule, sum)
    }

    fn finish(&mut self, at: usize, step: usize, sums: &[u32], rest: u32) -> Option<()> {
        let y = self.y.get_mut(at..)?;
        let set = |(y, &sum): (&mut E, &u32)| *y = E::output(self.rule, sum.wrapping_add(rest));
        match step {
            1 => y.iter_mut().zip(sums).for_each(set),
            step => y.iter_mut().step_by(step.max(1)).zip(sums).for_each(set),
        }
        Some(())
    }

    fn level(&self) -> Level {
        self.level
    }
}
