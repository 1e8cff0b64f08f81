//! Padding and cropping.

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
    /// Calls `row` for each row of the output, with the number of the row of the input that it holds.
    #[inline(never)]
    fn rows(
        &self,
        [x, y]: [usize; 2],
        row: &mut dyn FnMut(Option<usize>) -> Option<()>,
    ) -> Option<()> {
        let output = self.output()?;
        (elements(&self.input)? == x && elements(&output)? == y).then_some(())?;
        let ([size_n, size_c, size_h, _], [batches, channels, height, _]) = (self.input, output);
        let [before_n, before_c, before_h, _] = self.edges.map(|edge| edge.before as isize);
        let source = |o: usize, before: isize, size: usize| {
            let i = (o as isize - before) as usize;
            (i < size).then_some(i)
        };
        for n in 0..batches {
            let n = source(n, before_n, size_n);
            for c in 0..channels {
                let plane = n.zip(source(c, before_c, size_c)).map(|(n, c)| n * size_c + c);
                for h in 0..height {
                    let line = plane.zip(source(h, before_h, size_h));
                    row(line.map(|(plane, h)| plane * size_h + h))?;
                }
            }
        }
        Some(())
    }
}

/// `y` is `x`, moved by the edges before it, with `value` around.
///
/// Source: docs/formats.md, v4 opcode 0x05.
#[inline(never)]
pub fn pad<T: Copy>(p: &Pad, value: T, x: &[T], y: &mut [T]) -> Option<()> {
    let ([.., width], [.., out_width]) = (p.input, p.output()?);
    let [.., edge] = p.edges;
    let (skip, at) = ((-edge.before).max(0) as usize, edge.before.max(0) as usize);
    let lengths = [x.len(), y.len()];
    let mut rows = y.chunks_exact_mut(out_width.max(1));
    p.rows(lengths, &mut |line| {
        let row = rows.next()?;
        row.fill(value);
        let Some(line) = line else { return Some(()) };
        let x = x.get(line * width..(line + 1) * width)?;
        row.iter_mut().skip(at).zip(x.iter().skip(skip)).for_each(|(y, &x)| *y = x);
        Some(())
    })
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
