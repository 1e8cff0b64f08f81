//! Data moves by strides: transpose, strided slice, flatten.

use crate::tensor::{Shape, elements};

/// Copies a block of elements, whose lines lie together in the output.
pub(crate) struct Move {
    /// Shape of the block.
    pub shape: Shape,
    /// Its first element in the input, and the distances between neighbours there.
    pub from: (usize, [isize; 4]),
    /// The same in the output.
    pub to: (usize, [isize; 4]),
    /// Elements of input and output.
    pub elements: [usize; 2],
}

impl Move {
    /// Makes the whole output, from an input of a shape.
    fn whole(shape: Shape, from: (usize, [isize; 4]), input: &Shape) -> Option<Self> {
        let elements = [elements(input)?, elements(&shape)?];
        Some(Self { shape, from, to: (0, strides(&shape)?), elements })
    }

    /// Calls `line` with where each line of the block begins in the input and in the output.
    #[inline(never)]
    fn lines(&self, line: &mut dyn FnMut(usize, usize) -> Option<()>) -> Option<()> {
        let Self { shape: [batches, channels, height, _], from, to, .. } = *self;
        let ((from, from_steps), (to, to_steps)) = (from, to);
        let at = |start: usize, [n_step, c_step, h_step, _]: [isize; 4], [n, c, h]: [usize; 3]| {
            let steps = [(n, n_step), (c, c_step), (h, h_step)];
            let add = |at: usize, (i, step): (usize, isize)| {
                at.wrapping_add_signed(step.wrapping_mul(i as isize))
            };
            steps.into_iter().fold(start, add)
        };
        for n in 0..batches {
            for c in 0..channels {
                for h in 0..height {
                    line(at(from, from_steps, [n, c, h]), at(to, to_steps, [n, c, h]))?;
                }
            }
        }
        Some(())
    }

    /// Copies from `x` to `y`.
    pub fn copy<T: Copy>(&self, x: &[T], y: &mut [T]) -> Option<()> {
        (self.elements == [x.len(), y.len()]).then_some(())?;
        let ([.., width], (_, [.., step])) = (self.shape, self.from);
        if width == 0 {
            return Some(());
        }
        self.lines(&mut |mut from, to| {
            for y in y.get_mut(to..)?.get_mut(..width)? {
                *y = *x.get(from)?;
                from = from.wrapping_add_signed(step);
            }
            Some(())
        })
    }
}

/// Distances between neighbours along each dimension; `None` if the shape is beyond all reason.
pub(crate) fn strides(shape: &Shape) -> Option<[isize; 4]> {
    isize::try_from(elements(shape)?).ok()?;
    let [_, c, h, w] = shape.map(|d| d as isize);
    Some([c.wrapping_mul(h).wrapping_mul(w), h.wrapping_mul(w), w, 1])
}

/// Options of [`transpose`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Shape of the input.
    pub input: Shape,
    /// Dimension i of the output is dimension `permutation[i]` of the input.
    pub permutation: [usize; 4],
}

impl Transpose {
    /// The transpose of an image from channel-by-channel to pixel-by-pixel order (v3's flatten).
    pub const fn flatten(channels: usize, height: usize, width: usize) -> Self {
        Self { input: [1, channels, height, width], permutation: [0, 2, 3, 1] }
    }

    /// Output shape; `None` if `permutation` is none.
    pub fn output(&self) -> Option<Shape> {
        let complete = (0..4).all(|i| self.permutation.contains(&i));
        let mut shape = [0; 4];
        for (d, &from) in shape.iter_mut().zip(&self.permutation) {
            *d = *self.input.get(from)?;
        }
        complete.then_some(shape)
    }

    #[inline(never)]
    fn whole(&self) -> Option<Move> {
        let strides = strides(&self.input)?;
        let mut steps = [0; 4];
        for (step, &from) in steps.iter_mut().zip(&self.permutation) {
            *step = *strides.get(from)?;
        }
        Move::whole(self.output()?, (0, steps), &self.input)
    }
}

/// `y[i0][i1][i2][i3] = x[...]`, where dimension `permutation[k]` of `x` has index `ik`.
///
/// Source: docs/formats.md, v4 opcode 0x0C, v3 layer type 20.
pub fn transpose<T: Copy>(p: &Transpose, x: &[T], y: &mut [T]) -> Option<()> {
    p.whole()?.copy(x, y)
}

/// Options of [`strided_slice`]; each array is by dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StridedSlice {
    /// Shape of the input.
    pub input: Shape,
    /// The first index.
    pub begin: [i32; 4],
    /// The index to stop before; -1 to go down to the first one.
    pub end: [i32; 4],
    /// From one index to the next; may be negative.
    pub strides: [i32; 4],
}

impl StridedSlice {
    /// Output shape; `None` if a stride is 0, or an index that is used is outside the input.
    pub fn output(&self) -> Option<Shape> {
        let mut shape = [0; 4];
        let ranges = self.begin.iter().zip(&self.end).zip(&self.strides);
        for ((d, ((&begin, &end), &stride)), &input) in
            shape.iter_mut().zip(ranges).zip(&self.input)
        {
            let [begin, end, stride] = [begin, end, stride].map(i64::from);
            let distance = if stride < 0 { begin - end } else { end - begin };
            let step = stride.unsigned_abs();
            let count = (distance.max(0) as u64).checked_add(step)?.checked_sub(1)?;
            let count = count.checked_div(step)?;
            let last = begin + (count as i64 - 1) * stride;
            let inside = |i: i64| u64::try_from(i).is_ok_and(|i| i < input as u64);
            (count > 0 && inside(begin) && inside(last)).then_some(())?;
            *d = usize::try_from(count).ok()?;
        }
        Some(shape)
    }

    #[inline(never)]
    fn whole(&self) -> Option<Move> {
        let (mut start, mut steps) = (0isize, strides(&self.input)?);
        for ((step, &begin), &stride) in steps.iter_mut().zip(&self.begin).zip(&self.strides) {
            start = start.wrapping_add(step.wrapping_mul(begin as isize));
            *step = step.wrapping_mul(stride as isize);
        }
        Move::whole(self.output()?, (start as usize, steps), &self.input)
    }
}

/// The elements at `begin`, `begin + stride`, ... before `end`, in every dimension.
///
/// Source: docs/formats.md, v4 opcode 0x0D.
pub fn strided_slice<T: Copy>(p: &StridedSlice, x: &[T], y: &mut [T]) -> Option<()> {
    p.whole()?.copy(x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(n: usize) -> Vec<u8> {
        (0..n).map(|i| i as u8).collect()
    }

    #[test]
    fn flatten_puts_channels_last() {
        let mut y = [0; 6];
        let p = Transpose::flatten(2, 1, 3);
        transpose(&p, &count(6), &mut y).expect("fits");
        assert_eq!((p.output(), y), (Some([1, 1, 3, 2]), [0, 3, 1, 4, 2, 5]));
    }

    #[test]
    fn slices() {
        let p = StridedSlice {
            input: [1, 1, 3, 4],
            begin: [0, 0, 2, 3],
            end: [1, 1, -1, 0],
            strides: [1, 1, -2, -2],
        };
        assert_eq!(p.output(), Some([1, 1, 2, 2]));
        let mut y = [0; 4];
        strided_slice(&p, &count(12), &mut y).expect("fits");
        assert_eq!(y, [11, 9, 3, 1]);
    }

    #[test]
    fn nonsense_is_refused() {
        let good = StridedSlice { input: [2; 4], begin: [0; 4], end: [2; 4], strides: [1; 4] };
        assert_eq!(good.output(), Some([2; 4]));
        for bad in [
            StridedSlice { strides: [1, 0, 1, 1], ..good },
            StridedSlice { end: [2, 2, 3, 2], ..good },
            StridedSlice { begin: [-1, 0, 0, 0], ..good },
            StridedSlice { end: [0; 4], ..good },
            StridedSlice { end: [-2; 4], begin: [1; 4], strides: [-1; 4], ..good },
            StridedSlice { end: [i32::MAX; 4], begin: [i32::MIN; 4], ..good },
        ] {
            assert_eq!(bad.output(), None, "{bad:?}");
        }
        assert_eq!(Transpose { input: [2; 4], permutation: [0, 1, 1, 3] }.output(), None);
        assert_eq!(Transpose { input: [2; 4], permutation: [0, 1, 2, 4] }.output(), None);
        let p = Transpose { input: [2; 4], permutation: [0, 1, 2, 3] };
        assert!(transpose(&p, &count(15), &mut [0; 16]).is_none());
        assert!(transpose(&p, &count(16), &mut [0; 15]).is_none());
    }

    proptest! {
        #[test]
        fn transposing_back_restores(
            input in [1usize..4, 1usize..4, 1usize..4, 1usize..4],
            permutation in Just([0usize, 1, 2, 3]).prop_shuffle(),
        ) {
            let p = Transpose { input, permutation };
            let shape = p.output().expect("permutation");
            let x = count(elements(&shape).expect("small"));
            let (mut y, mut back) = (x.clone(), vec![0; x.len()]);
            transpose(&p, &x, &mut y).expect("fits");
            let [_, c, h, w] = shape;
            for (i, y) in y.iter().enumerate() {
                let index = [i / w / h / c, i / w / h % c, i / w % h, i % w];
                let mut from = [0; 4];
                (0..4).for_each(|k| from[permutation[k]] = index[k]);
                prop_assert_eq!(usize::from(*y), (0..4).fold(0, |at, d| at * input[d] + from[d]));
            }
            let mut inverse = [0; 4];
            (0..4).for_each(|k| inverse[permutation[k]] = k);
            let p = Transpose { input: shape, permutation: inverse };
            transpose(&p, &y, &mut back).expect("fits");
            prop_assert_eq!(back, x);
        }
    }
}
