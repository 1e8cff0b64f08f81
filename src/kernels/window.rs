//! The sliding window of convolutions and pools: sizes, and which taps lie inside the image.

use core::ops::Range;

/// Lines or columns added around an image; negative ones crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pad {
    /// Above or to the left.
    pub before: i32,
    /// Below or to the right.
    pub after: i32,
}

/// A window that slides over an image; each array is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps of the window.
    pub filter: [usize; 2],
    /// Pixels from one output to the next.
    pub stride: [usize; 2],
    /// Pixels from one tap to the next.
    pub dilation: [usize; 2],
    /// What surrounds the image.
    pub pad: [Pad; 2],
}

/// Beyond these, sizes of an image or a window are nonsense; below, 64 bits hold every product.
const LIMIT: usize = 1 << 30;

impl Window {
    /// Whether each output sees the one input at its own place.
    pub(crate) fn is_point(&self) -> bool {
        self.filter == [1; 2] && self.stride == [1; 2] && self.pad == [Pad::default(); 2]
    }

    /// Output `[height, width]` for an input of `[height, width]`; `None` if there is none.
    pub fn output(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let [height, width] = input;
        Some([self.axis(0, height)?.outputs()?, self.axis(1, width)?.outputs()?])
    }

    /// The walk along one axis (0 vertical, 1 horizontal) of `input` pixels; `None` if a number is
    /// zero or beyond all reason.
    #[inline(never)]
    pub(crate) fn axis(&self, axis: usize, input: usize) -> Option<Axis> {
        let (filter, stride) = (*self.filter.get(axis)?, *self.stride.get(axis)?);
        let (dilation, pad) = (*self.dilation.get(axis)?, *self.pad.get(axis)?);
        let sane = [filter, stride, dilation, input].iter().all(|n| (1..=LIMIT).contains(n));
        sane.then_some(Axis { input, filter, stride, dilation, pad })
    }
}

/// A window's walk along one axis.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub input: usize,
    pub filter: usize,
    pub stride: usize,
    pub dilation: usize,
    pad: Pad,
}

impl Axis {
    fn outputs(&self) -> Option<usize> {
        let padded = self.input as i64 + i64::from(self.pad.before) + i64::from(self.pad.after);
        let reach = (self.filter as i64 - 1) * self.dilation as i64;
        let steps = padded - 1 - reach;
        (steps >= 0).then(|| steps as usize / self.stride.max(1) + 1)
    }

    /// Where the first tap of output `o` lies; may be outside the image.
    pub fn origin(&self, o: usize) -> isize {
        (o * self.stride) as isize - self.pad.before as isize
    }

    /// The taps of a window at `origin` that lie inside the image; the range may be empty.
    pub fn taps(&self, origin: isize) -> Range<usize> {
        let until = |position: isize| {
            let position = position.max(0) as usize;
            if self.dilation == 1 { position } else { position.div_ceil(self.dilation.max(1)) }
        };
        let end = until(self.input as isize - origin).min(self.filter);
        until(-origin).min(end)..end
    }
}

/// Those of `count` places that lie inside a line of `width` pixels; they are `stride` apart, and the
/// first is at `first`.
#[inline(always)]
pub(crate) fn inside(first: isize, width: usize, stride: usize, count: usize) -> Range<usize> {
    let until = |distance: isize| {
        let distance = distance.max(0) as usize;
        if stride == 1 { distance } else { distance.div_ceil(stride.max(1)) }
    };
    let end = until(width as isize - first).min(count);
    until(-first).min(end)..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn output_sizes() {
        let pad = |before, after| Pad { before, after };
        let window = |filter, stride, dilation, pad| Window {
            filter: [filter; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            pad: [pad; 2],
        };
        assert_eq!(window(5, 2, 1, pad(1, 2)).output([200, 200]), Some([100, 100]));
        assert_eq!(window(3, 1, 5, pad(5, 5)).output([30, 40]), Some([30, 40]));
        assert_eq!(window(3, 2, 1, pad(0, 0)).output([100, 3]), Some([49, 1]));
        assert_eq!(window(1, 1, 1, pad(-1, -2)).output([5, 4]), Some([2, 1]));
        assert_eq!(window(3, 1, 1, pad(0, 0)).output([2, 9]), None);
        assert_eq!(window(0, 1, 1, pad(0, 0)).output([2, 9]), None);
        assert_eq!(window(usize::MAX, 1, usize::MAX, pad(0, 0)).output([2, 9]), None);
    }

    proptest! {
        #[test]
        fn taps_are_those_inside(
            input in 1usize..9, filter in 1usize..6, stride in 1usize..4,
            dilation in 1usize..5, before in -3i32..9, o in 0usize..12,
        ) {
            let pad = Pad { before, after: 0 };
            let axis = Axis { input, filter, stride, dilation, pad };
            let origin = axis.origin(o);
            let inside = |k: &usize| (0..input as isize).contains(&(origin + (k * dilation) as isize));
            let expected: Vec<usize> = (0..filter).filter(inside).collect();
            prop_assert_eq!(axis.taps(origin).collect::<Vec<_>>(), expected);
        }
    }
}
