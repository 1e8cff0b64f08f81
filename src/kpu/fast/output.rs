//! From sums to bytes: batch norm and activation of many pixels at once.
//!
//! Nearly all channels of real models can be computed in 32 bits, with an activation of few
//! pieces. What cannot be proven to fit is computed one value at a time in 64 bits.

use crate::kpu::{
    Activation, BatchNorm, Job, Layer, Rounding,
    arithmetic::{SEGMENTS, Segment},
    fast::{LANES, STRIP},
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

impl<'s> Sums<'s> {
    /// The sums over whole weights, if need be put together in `all`.
    #[inline(always)]
    fn whole_products(&self, all: &'s mut [i32; STRIP]) -> &'s [i32] {
        let Some(high) = self.high_products else { return self.products };
        for ((all, low), high) in all.iter_mut().zip(self.products).zip(high) {
            *all = low.wrapping_add(high << 8);
        }
        all
    }
}

/// Which accumulator of a window gives its largest byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extremum {
    Largest,
    Smallest,
}

/// An activation in 32 bits: the last piece that begins below a value gives its byte.
///
/// All pieces are lines: `(d * mul + low + ((d * mul >> shift) & odd)) >> shift`, plus the bias,
/// for a distance `d` from the start, which is 0 below it.
pub(super) struct Narrow {
    pieces: [Piece; SEGMENTS],
    count: usize,
    /// Longer distances give 255 too.
    limit: i32,
    shift: u32,
    low: i32,
    odd: i32,
}

#[derive(Clone, Copy)]
struct Piece {
    /// The piece holds for values above this; the first one for all.
    from: i32,
    start: i32,
    mul: i32,
    bias: i32,
}

impl Piece {
    /// Holds for no value.
    const UNUSED: Self = Self { from: i32::MAX, start: 0, mul: 0, bias: 0 };
}

impl Narrow {
    /// The same function as `activation` between -RANGE and RANGE, if 32 bits can say it.
    pub fn new(activation: &Activation, rounding: Rounding) -> Option<Self> {
        let sloping = activation.segments.iter().filter(|segment| segment.mul != 0);
        let shift: u32 = sloping.map(|segment| segment.shift).max().unwrap_or(0).into();
        if shift > 30 {
            return None;
        }
        let most = activation.segments.iter().map(|s| scaled(s, shift)).max().flatten()?.max(1);
        let half = (1 << shift) >> 1;
        let (low, odd) = match rounding {
            _ if shift == 0 => (0, 0),
            Rounding::HalfEven => (half - 1, 1),
            Rounding::HalfUp => (half, 0),
        };
        let limit = (i64::from(i32::MAX) - 255 - (1 << shift)) / most;
        let limit = i32::try_from(limit).ok()?;
        let pieces = [Piece::UNUSED; SEGMENTS];
        let mut narrow = Self { pieces, count: 0, limit, shift, low, odd };

        let mut segments = activation.segments.iter().enumerate();
        while let Some((index, segment)) = segments.next() {
            let from = if index == 0 { -RANGE } else { segment.start.max(-RANGE) };
            let later = segments.clone().map(|(_, s)| s.start);
            let to = later.min().unwrap_or(RANGE).min(RANGE);
            if from < to {
                narrow.push(segment, from, to, rounding)?;
            }
        }
        Some(narrow)
    }

    /// Whether a larger value never gives a smaller byte.
    pub fn is_monotone(&self) -> bool {
        let pieces = self.pieces.get(..self.count).unwrap_or_default();
        pieces.windows(2).all(|pair| match pair {
            [below, above] => {
                self.byte(below, above.from) <= self.byte(above, above.from.saturating_add(1))
            }
            _ => true,
        })
    }

    /// What a piece, whose line rises or is level, gives for a value.
    fn byte(&self, piece: &Piece, value: i32) -> i32 {
        let product = value.wrapping_sub(piece.start).max(0).min(self.limit) * piece.mul;
        let rounded = (product + self.low + (product >> self.shift & self.odd)) >> self.shift;
        (rounded + piece.bias).min(255)
    }

    /// Adds the segment as it is for values above `from` and up to `to`.
    fn push(&mut self, segment: &Segment, from: i64, to: i64, rounding: Rounding) -> Option<()> {
        // Distances are positive, so that products are: only those grow with the distance.
        if segment.mul < 0
            || segment.mul > 0 && segment.start < -RANGE
            || segment.mul > 0 && segment.start > from
        {
            return None;
        }
        let (first, last) = (segment.apply(from + 1, rounding), segment.apply(to, rounding));
        let mut piece = if first == last {
            Piece { from: from as i32, start: from as i32, mul: 0, bias: last.into() }
        } else {
            let mul = scaled(segment, self.shift)?;
            let bias = i64::from(segment.bias);
            let limit = i64::from(self.limit);
            let saturated = ((limit * mul) >> self.shift) + bias >= 255;
            if !saturated && limit < to - segment.start {
                return None;
            }
            let start = segment.start as i32;
            Piece { from: from as i32, start, mul: mul as i32, bias: bias as i32 }
        };
        // Below its start a piece gives its bias.
        if let Some(before) = self.pieces.get(..self.count).and_then(<[Piece]>::last)
            && (before.mul, before.bias) == (0, piece.bias)
        {
            piece.from = before.from;
            self.count -= 1;
        }
        *self.pieces.get_mut(self.count)? = piece;
        self.count += 1;
        Some(())
    }
}

/// The segment's factor if all products are shifted by `shift`, at most 30.
fn scaled(segment: &Segment, shift: u32) -> Option<i64> {
    if segment.mul == 0 {
        return Some(0);
    }
    let mul = i64::from(segment.mul) << shift.checked_sub(segment.shift.into())?;
    (mul <= i32::MAX.into()).then_some(mul)
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

    /// Whether [`apply`](Self::apply) looks at the sums of the pixels themselves.
    pub fn wants_pixels(&self, narrow: Option<&Narrow>) -> bool {
        !self.narrow || narrow.is_none()
    }

    /// Whether the largest byte is that of the largest accumulator, or else (the batch norm turning
    /// the order round) of the smallest; `None` where neither can be told.
    pub fn extremum(&self, narrow: Option<&Narrow>) -> Option<Extremum> {
        narrow.filter(|narrow| self.narrow && narrow.is_monotone())?;
        Some(if self.norm.mul >= 0 { Extremum::Largest } else { Extremum::Smallest })
    }

    /// The accumulators of a strip, for [`finish`](Self::finish).
    #[inline(always)]
    pub fn accumulate(&self, sums: Sums<'_>, accumulators: &mut [i32]) {
        let mut all = [0; STRIP];
        let products = sums.whole_products(&mut all);
        for ((acc, product), term) in accumulators.iter_mut().zip(products).zip(sums.terms) {
            *acc = product.wrapping_add(*term).wrapping_add(self.constant as i32);
        }
    }

    /// The bytes of accumulators, at most a strip of them, where [`extremum`](Self::extremum) is
    /// known.
    #[inline(always)]
    pub fn finish(&self, accumulators: &[i32], narrow: &Narrow, bytes: &mut [u8]) {
        self.pieces(accumulators, &[0; STRIP], 0, narrow, bytes);
    }

    /// The bytes of a strip.
    #[inline(always)]
    pub fn apply(
        &self,
        sums: Sums<'_>,
        activation: &Activation,
        narrow: Option<&Narrow>,
        rounding: Rounding,
        bytes: &mut [u8],
    ) {
        match narrow {
            Some(narrow) if !self.wants_pixels(Some(narrow)) => {
                self.apply_narrow(sums, narrow, bytes);
            }
            _ => self.apply_wide(sums, activation, rounding, bytes),
        }
    }

    #[inline(always)]
    fn apply_narrow(&self, sums: Sums<'_>, narrow: &Narrow, bytes: &mut [u8]) {
        let mut all = [0; STRIP];
        let products = sums.whole_products(&mut all);
        self.pieces(products, sums.terms, self.constant as i32, narrow, bytes);
    }

    #[inline(always)]
    fn pieces(
        &self,
        products: &[i32],
        terms: &[i32],
        constant: i32,
        narrow: &Narrow,
        bytes: &mut [u8],
    ) {
        match narrow.count {
            0..=1 => self.vectors::<1>(products, terms, constant, narrow, bytes),
            2 => self.vectors::<2>(products, terms, constant, narrow, bytes),
            3..=4 => self.vectors::<4>(products, terms, constant, narrow, bytes),
            _ => self.vectors::<SEGMENTS>(products, terms, constant, narrow, bytes),
        }
    }

    /// Vector by vector, with the first `PIECES` pieces of the activation: one loop a step, and no
    /// branch, for the compiler to keep all steps in registers.
    #[inline(always)]
    fn vectors<const PIECES: usize>(
        &self,
        products: &[i32],
        terms: &[i32],
        constant: i32,
        narrow: &Narrow,
        bytes: &mut [u8],
    ) {
        let Narrow { pieces, limit, shift, low, odd, .. } = narrow;
        let Some((first, later)) =
            pieces.first_chunk::<PIECES>().and_then(|pieces| pieces.split_first())
        else {
            return;
        };
        // Sums of 32 bits may wrap on the way; what they end at fits.
        let norm = self.norm;
        let sums = products.as_chunks::<LANES>().0.iter().zip(terms.as_chunks::<LANES>().0);
        for (bytes, (products, terms)) in bytes.as_chunks_mut::<LANES>().0.iter_mut().zip(sums) {
            let acc = lanes(|i| products[i].wrapping_add(terms[i]).wrapping_add(constant));
            let value = lanes(|i| {
                let product = i64::from(acc[i]) * i64::from(norm.mul);
                ((product as u64 >> norm.shift) as i32).wrapping_add(norm.add)
            });
            let (mut start, mut mul, mut bias) =
                ([first.start; LANES], [first.mul; LANES], [first.bias; LANES]);
            for piece in later {
                let holds = lanes(|i| -i32::from(value[i] > piece.from));
                start = lanes(|i| start[i] ^ (start[i] ^ piece.start) & holds[i]);
                mul = lanes(|i| mul[i] ^ (mul[i] ^ piece.mul) & holds[i]);
                bias = lanes(|i| bias[i] ^ (bias[i] ^ piece.bias) & holds[i]);
            }
            let product = lanes(|i| value[i].wrapping_sub(start[i]).max(0).min(*limit) * mul[i]);
            let result = lanes(|i| {
                let rounded = (product[i] + low + (product[i] >> shift & odd)) >> shift;
                (rounded + bias[i]).min(255)
            });
            for (byte, result) in bytes.iter_mut().zip(result) {
                *byte = result as u8;
            }
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

#[inline(always)]
fn lanes(value: impl Fn(usize) -> i32) -> [i32; LANES] {
    // Not `array::from_fn`: the compiler calls it, instead of making vectors of it.
    let mut lanes = [0; LANES];
    for (i, lane) in lanes.iter_mut().enumerate() {
        *lane = value(i);
    }
    lanes
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
