//! From sums to bytes: batch norm and activation of many pixels at once.
//!
//! Nearly all channels of real models can be computed in 32 bits, with an activation of few
//! pieces. What cannot be proven to fit is computed one value at a time in 64 bits.

use crate::kpu::{
    Activation, BatchNorm, Job, Layer, Rounding,
    arithmetic::{SEGMENTS, Segment},
    fast::STRIP,
};

/// Values between the batch norm and a [`Narrow`] activation lie between -RANGE and RANGE.
const RANGE: i64 = 1 << 30;

/// What turns the sums of a strip of positions into bytes.
#[derive(Clone, Copy)]
pub(super) struct Sums<'s> {
    /// Sums of (pixel - 128) * weight.
    pub products: &'s [i32],
    /// With 16-bit weights, the same of their upper halves.
    pub high_products: Option<&'s [i32]>,
    /// Sums of the pixels.
    pub pixels: &'s [i32],
    /// `(pixels * arg_x) >> shr_x`, the lower 32 bits.
    pub terms: &'s [i32],
}

/// An activation in 32 bits: the last piece that begins below a value gives its byte.
pub(super) struct Narrow {
    pieces: [Piece; SEGMENTS],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Piece {
    start: i32,
    line: Option<Line>,
    /// Added to the line; all there is without one.
    bias: i32,
}

/// `(d * mul + low + ((d * mul >> shift) & odd)) >> shift` for a distance d from the start.
#[derive(Clone, Copy)]
struct Line {
    /// Longer distances give 255 too.
    limit: i32,
    mul: i32,
    shift: u32,
    low: i32,
    odd: i32,
}

impl Narrow {
    /// The same function as `activation` between -RANGE and RANGE, if 32 bits can say it.
    pub fn new(activation: &Activation, rounding: Rounding) -> Option<Self> {
        let mut narrow = Self { pieces: [Piece::default(); SEGMENTS], count: 0 };
        let mut segments = activation.segments.iter().enumerate();
        while let Some((index, segment)) = segments.next() {
            let from = if index == 0 { -RANGE } else { segment.start.max(-RANGE) };
            let later = segments.clone().map(|(_, s)| s.start);
            let to = later.min().unwrap_or(RANGE).min(RANGE);
            if from >= to {
                continue;
            }
            let piece = Piece::new(segment, from, to, rounding)?;
            let place = narrow.pieces.get_mut(narrow.count)?;
            *place = piece;
            narrow.count += 1;
            if let Some([.., before, last]) = narrow.pieces.get(..narrow.count)
                && before.continues_as(last)
            {
                narrow.count -= 1;
            }
        }
        Some(narrow)
    }

    fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.count).unwrap_or_default()
    }
}

impl Piece {
    /// The segment as it is for values above `from` and up to `to`.
    fn new(segment: &Segment, from: i64, to: i64, rounding: Rounding) -> Option<Self> {
        // Distances are positive, so that products are: only those grow with the distance.
        if segment.mul < 0
            || segment.mul > 0 && segment.start < -RANGE
            || segment.mul > 0 && segment.start > from
        {
            return None;
        }
        let (first, last) = (segment.apply(from + 1, rounding), segment.apply(to, rounding));
        if first == last {
            return Some(Self { start: from as i32, line: None, bias: last.into() });
        }
        let (mul, shift) = (i64::from(segment.mul), u32::from(segment.shift));
        if shift > 30 {
            return None;
        }
        let half = (1 << shift) >> 1;
        let (low, odd) = match rounding {
            _ if shift == 0 => (0, 0),
            Rounding::HalfEven => (half - 1, 1),
            Rounding::HalfUp => (half, 0),
        };
        let limit = (i64::from(i32::MAX) - 255 - (1 << shift)) / mul;
        let bias = i64::from(segment.bias);
        let saturated = ((limit * mul) >> shift) + bias >= 255;
        if !saturated && limit < to - from {
            return None;
        }
        let line = Line { limit: limit as i32, mul: mul as i32, shift, low, odd };
        Some(Self { start: from as i32, line: Some(line), bias: bias as i32 })
    }

    /// Writes the results of the values above the start.
    #[inline(always)]
    fn apply(&self, values: &[i32], results: &mut [i32]) {
        let Self { start, bias, line } = *self;
        let places = results.iter_mut().zip(values);
        let Some(Line { limit, mul, shift, low, odd }) = line else {
            for (result, &value) in places {
                let before = *result;
                *result = if value > start { bias } else { before };
            }
            return;
        };
        for (result, &value) in places {
            let product = value.wrapping_sub(start).clamp(0, limit) * mul;
            let rounded = (product + low + (product >> shift & odd)) >> shift;
            let before = *result;
            *result = if value > start { (rounded + bias).min(255) } else { before };
        }
    }

    /// Whether `next` only says again what this piece says.
    fn continues_as(&self, next: &Self) -> bool {
        self.start <= next.start
            && self.line.is_none()
            && next.line.is_none()
            && self.bias == next.bias
    }
}

/// Memory for the values of a strip on their way.
pub(super) struct Work {
    values: [i32; STRIP],
    results: [i32; STRIP],
}

impl Work {
    pub const fn new() -> Self {
        Self { values: [0; STRIP], results: [0; STRIP] }
    }
}

/// One output channel.
pub(super) struct Channel {
    norm: BatchNorm,
    /// Added to the sums: what the weights' sum and `arg_add` give.
    constant: i64,
    arg_x: i64,
    shr_x: u32,
    /// Every sum fits in 32 bits, and what the batch norm makes of it in RANGE.
    narrow: bool,
}

impl Channel {
    /// `weights` are the bytes of the channel's own.
    #[inline(always)]
    pub fn new(job: &Job<'_>, weights: &[u8], norm: BatchNorm) -> Self {
        let layer = &job.layer;
        let (arg_x, shr_x) = (i64::from(layer.arg_x), layer.shr_x);
        let taps = layer.taps() as i64;
        // The sum is floor(sum of pixel * (weight - zero)) with zero in [floor, floor + 1).
        let floor = -arg_x >> shr_x;
        let zero = u32::from(u16::try_from(floor).unwrap_or(0));
        let (sum, above) = if job.eight_bit {
            sum_and_above(weights.iter().map(|&w| u32::from(w)), zero)
        } else {
            let weights = weights.as_chunks().0.iter();
            sum_and_above(weights.map(|&w| u32::from(u16::from_le_bytes(w))), zero)
        };
        let (least, most) = if floor == i64::from(zero) {
            (255 * (sum - above - (floor + 1) * taps), 255 * above)
        } else {
            let term = (arg_x * 255 * taps) >> shr_x;
            (term.min(0), 255 * sum + term.max(0))
        };
        let inputs = if layer.depthwise { 1 } else { layer.input.channels as i64 };
        let addend = ((i64::from(layer.arg_w) * sum) >> layer.shr_w) + layer.arg_add * inputs;
        let fits = |acc: i64| i32::try_from(acc).is_ok() && norm.apply(acc).abs() < RANGE;
        let narrow = fits(least + addend) && fits(most + addend);
        let constant = 128 * sum + addend;
        Self { norm, constant, arg_x, shr_x, narrow }
    }

    /// The bytes of a strip.
    #[inline(always)]
    pub fn apply(
        &self,
        sums: Sums<'_>,
        activation: &Activation,
        narrow: Option<&Narrow>,
        rounding: Rounding,
        work: &mut Work,
        bytes: &mut [u8],
    ) {
        match narrow {
            Some(narrow) if self.narrow => self.apply_narrow(sums, narrow, work, bytes),
            _ => self.apply_wide(sums, activation, rounding, bytes),
        }
    }

    #[inline(always)]
    fn apply_narrow(&self, sums: Sums<'_>, narrow: &Narrow, work: &mut Work, bytes: &mut [u8]) {
        let count = bytes.len().min(STRIP);
        let (values, results) = (&mut work.values[..count], &mut work.results[..count]);

        // Sums of 32 bits may wrap on the way; what they end at fits.
        let (constant, BatchNorm { mul, shift, add }) = (self.constant as i32, self.norm);
        for ((value, &products), &term) in values.iter_mut().zip(sums.products).zip(sums.terms) {
            *value = products.wrapping_add(term).wrapping_add(constant);
        }
        if let Some(high) = sums.high_products {
            for (value, &high) in values.iter_mut().zip(high) {
                *value = value.wrapping_add(high << 8);
            }
        }
        for value in values.iter_mut() {
            let product = i64::from(*value) * i64::from(mul);
            *value = ((product as u64 >> shift) as i32).wrapping_add(add);
        }
        for piece in narrow.pieces() {
            piece.apply(values, results);
        }
        for (byte, &result) in bytes.iter_mut().zip(&*results) {
            *byte = result as u8;
        }
    }

    fn apply_wide(
        &self,
        sums: Sums<'_>,
        activation: &Activation,
        rounding: Rounding,
        bytes: &mut [u8],
    ) {
        for (i, (byte, &products)) in bytes.iter_mut().zip(sums.products).enumerate() {
            let at = |sums: &[i32]| i64::from(sums.get(i).copied().unwrap_or(0));
            let high = sums.high_products.map_or(0, at);
            let acc = i64::from(products)
                + high * 256
                + ((self.arg_x * at(sums.pixels)) >> self.shr_x)
                + self.constant;
            *byte = activation.apply(self.norm.apply(acc), rounding);
        }
    }
}

/// The sum of the weights, and the sum of how far they are above `zero`.
#[inline(always)]
fn sum_and_above(weights: impl Iterator<Item = u32>, zero: u32) -> (i64, i64) {
    let (sum, above) =
        weights.fold((0, 0), |(sum, above), w| (sum + w, above + w.saturating_sub(zero)));
    (sum.into(), above.into())
}

/// The terms that the sums of the pixels give.
#[inline(always)]
pub(super) fn terms(layer: &Layer, pixels: &[i32], terms: &mut [i32]) {
    let (arg_x, shr_x) = (i64::from(layer.arg_x), layer.shr_x);
    for (term, &pixels) in terms.iter_mut().zip(pixels) {
        // Only the lower 32 bits are kept, for which a logical shift does.
        *term = ((arg_x * i64::from(pixels)) as u64 >> shr_x) as i32;
    }
}
