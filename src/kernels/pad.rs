//! Padding and cropping.

use super::gather::{Move, strides};
use super::window::Pad as Edge;
use crate::tensor::{Shape, elements};

/// Options of [`pad`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Shape of the input.
    pub input: Shape,
    /// Elements added before and after each dimension; negative ones crop.
    pub edges: [Edge; 4],
}

impl Pad {
    /// Output shape; `None` if nothing is left or the sizes are beyond all reason.
    pub fn output(&self) -> Option<Shape> {
        let mut shape = self.input;
        for (d, edge) in shape.iter_mut().zip(&self.edges) {
            let size = i64::try_from(*d).ok()?;
            let size = size.checked_add(i64::from(edge.before) + i64::from(edge.after))?;
            *d = usize::try_from(size).ok().filter(|&d| d > 0)?;
        }
        elements(&shape)?;
        elements(&self.input)?;
        Some(shape)
    }

    /// The part of the input that is in the output.
    #[inline(never)]
    fn inside(&self) -> Option<Move> {
        let (output, input_steps) = (self.output()?, strides(&self.input)?);
        let (mut shape, to_steps) = ([0; 4], strides(&output)?);
        let (mut from, mut to) = (0, 0);
        for d in 0..4 {
            let before = self.edges[d].before as isize;
            let (cut, added) = ((-before).max(0), before.max(0));
            let left = self.input[d].saturating_sub(cut as usize);
            shape[d] = left.min(output[d].saturating_sub(added as usize));
            from += cut.wrapping_mul(input_steps[d]) as usize;
            to += added.wrapping_mul(to_steps[d]) as usize;
        }
        let elements = [elements(&self.input)?, elements(&output)?];
        Some(Move { shape, from: (from, input_steps), to: (to, to_steps), elements })
    }
}

/// `y` is `x`, moved by the edges before it, with `value` around.
///
/// Source: docs/formats.md, v4 opcode 0x05.
pub fn pad<T: Copy>(p: &Pad, value: T, x: &[T], y: &mut [T]) -> Option<()> {
    let inside = p.inside()?;
    y.fill(value);
    inside.copy(x, y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONE: Edge = Edge { before: 0, after: 0 };

    #[test]
    fn pads_and_crops() {
        let p = Pad {
            input: [1, 1, 2, 2],
            edges: [NONE, NONE, Edge { before: 1, after: 0 }, Edge { before: -1, after: 2 }],
        };
        assert_eq!(p.output(), Some([1, 1, 3, 3]));
        let mut y = [0; 9];
        pad(&p, 9, &[1, 2, 3, 4], &mut y).expect("fits");
        assert_eq!(y, [9, 9, 9, 2, 9, 9, 4, 9, 9]);
    }

    #[test]
    fn nonsense_is_refused() {
        let p = Pad { input: [1, 1, 1, 2], edges: [Edge { before: -2, after: 0 }; 4] };
        assert_eq!(p.output(), None);
        let p = Pad { input: [1 << 31; 4], edges: [NONE; 4] };
        assert_eq!(p.output(), None);
        let p = Pad { input: [1, 1, 1, 2], edges: [NONE; 4] };
        assert!(pad(&p, 0, &[1], &mut [0; 2]).is_none());
    }

    proptest! {
        #[test]
        fn every_element_is_the_moved_one_or_the_value(
            input in [1usize..4, 1usize..4, 1usize..4, 1usize..5],
            edges in prop::array::uniform4((-2i32..4, -2i32..4)),
        ) {
            let edges = edges.map(|(before, after)| Edge { before, after });
            let p = Pad { input, edges };
            let Some(shape) = p.output() else { return Ok(()) };
            let x: Vec<u16> = (0..elements(&input).expect("small")).map(|i| i as u16).collect();
            let mut y = vec![0; elements(&shape).expect("small")];
            pad(&p, 999, &x, &mut y).expect("fits");
            let [_, c, h, w] = shape;
            for (i, &y) in y.iter().enumerate() {
                let index = [i / w / h / c, i / w / h % c, i / w % h, i % w];
                let from = (0..4).try_fold(0, |at, d| {
                    let i = index[d] as i32 - edges[d].before;
                    (0..input[d] as i32).contains(&i).then(|| at * input[d] + i as usize)
                });
                prop_assert_eq!(y, from.map_or(999, |i| x[i]));
            }
        }
    }
}
