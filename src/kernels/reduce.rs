//! Reduction of whole dimensions: mean, minimum, maximum, sum.

use super::broadcast_row;
use crate::math::{max, min};
use crate::tensor::{Shape, elements};

/// How elements are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// The sum, divided by the number of elements.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The sum.
    Sum,
}

impl ReduceOp {
    /// The operator of a kmodel's number.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Mean,
            1 => Self::Min,
            2 => Self::Max,
            3 => Self::Sum,
            _ => return None,
        })
    }

    #[inline]
    fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Mean | Self::Sum => a + b,
            Self::Min => min(a, b),
            Self::Max => max(a, b),
        }
    }
}

/// Options of [`reduce`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reduce {
    /// How elements are put together.
    pub op: ReduceOp,
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output: 1 where a dimension is reduced.
    pub output: Shape,
    /// What every output starts with.
    pub init: f32,
}

impl Reduce {
    /// Elements of input and output; `None` if they do not fit or are none.
    pub fn elements(&self) -> Option<[usize; 2]> {
        let all = [elements(&self.input)?, elements(&self.output)?];
        all.iter().all(|&n| n > 0).then_some(all)
    }
}

/// Each output starts with `init` and takes its elements in the order of the input; an index that
/// the output does not have counts as 0. A mean is the sum times `outputs / inputs`.
///
/// Source: docs/formats.md, v4 opcode 0x07.
#[inline(never)]
pub fn reduce(p: &Reduce, x: &[f32], y: &mut [f32]) -> Option<()> {
    let counts = p.elements()?;
    (counts == [x.len(), y.len()]).then_some(())?;
    y.fill(p.init);
    let [batches, channels, height, width] = p.input;
    let [dims @ .., out_width] = &p.output;
    let mut rows = x.chunks_exact(width.max(1));
    for n in 0..batches {
        for c in 0..channels {
            for h in 0..height {
                let row = broadcast_row([n, c, h], dims);
                let y = y.get_mut(row * out_width..)?;
                for (w, &x) in rows.next()?.iter().enumerate() {
                    let y = y.get_mut(if w < *out_width { w } else { 0 })?;
                    *y = p.op.apply(*y, x);
                }
            }
        }
    }
    if p.op == ReduceOp::Mean {
        let [inputs, outputs] = counts;
        let factor = outputs as f32 / inputs as f32;
        y.iter_mut().for_each(|y| *y *= factor);
    }
    Some(())
}

/// `y[c] = sum of the channel's values, in order, / their number`.
///
/// Source: docs/formats.md, v3 layer type 5.
#[inline(never)]
pub fn global_average_pool(x: &[f32], y: &mut [f32], kernel_size: usize) {
    for (y, x) in y.iter_mut().zip(x.chunks_exact(kernel_size.max(1))) {
        *y = x.iter().fold(0.0, |sum, &x| sum + x) / kernel_size as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(op: ReduceOp, output: Shape, init: f32) -> Vec<f32> {
        let x: Vec<f32> = (0..12).map(|i| i as f32 - 5.0).collect();
        let p = Reduce { op, input: [1, 2, 2, 3], output, init };
        let mut y = vec![0.0; elements(&output).expect("small")];
        reduce(&p, &x, &mut y).expect("fits");
        y
    }

    #[test]
    fn by_hand() {
        assert_eq!(reduced(ReduceOp::Mean, [1, 2, 1, 1], 0.0), [-2.5, 3.5]);
        assert_eq!(reduced(ReduceOp::Sum, [1, 1, 1, 3], 1.0), [-1.0, 3.0, 7.0]);
        assert_eq!(reduced(ReduceOp::Max, [1, 1, 2, 3], -1e9), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(reduced(ReduceOp::Max, [1, 1, 1, 1], 10.0), [10.0]);
        assert_eq!(reduced(ReduceOp::Min, [1, 2, 2, 1], 1e9), [-5.0, -2.0, 1.0, 4.0]);
        // Two columns of three: the third counts as the first.
        assert_eq!(reduced(ReduceOp::Sum, [1, 1, 1, 2], 0.0), [4.0, 2.0]);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let p = Reduce { op: ReduceOp::Sum, input: [1, 1, 1, 3], output: [1; 4], init: 0.0 };
        assert!(reduce(&p, &[0.0; 4], &mut [0.0]).is_none());
        let p = Reduce { output: [1, 0, 1, 1], ..p };
        assert!(reduce(&p, &[0.0; 3], &mut []).is_none());
    }

    #[test]
    fn global_average() {
        let mut y = [0.0; 2];
        global_average_pool(&[1.0, 2.0, 6.0, -1.0, -2.0, 0.0], &mut y, 3);
        assert_eq!(y, [3.0, -1.0]);
    }
}
