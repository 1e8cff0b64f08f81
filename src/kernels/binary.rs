//! Operators of two tensors, element by element, with broadcasting.

use super::{Clamp, broadcast_row};
use crate::math::{max, min};
use crate::tensor::{Shape, elements};

/// What is done with two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The smaller.
    Min,
    /// The larger.
    Max,
}

impl BinaryOp {
    /// The operator of a kmodel's number.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Add,
            1 => Self::Sub,
            2 => Self::Mul,
            3 => Self::Div,
            4 => Self::Min,
            5 => Self::Max,
            _ => return None,
        })
    }

    /// The result for two elements.
    #[inline]
    pub fn apply(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => min(a, b),
            Self::Max => max(a, b),
        }
    }
}

/// The shapes of a [`binary`].
///
/// An index that an operand's dimension does not have counts as 0 there: that is broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Shape of the first operand.
    pub a: Shape,
    /// Shape of the second operand.
    pub b: Shape,
    /// Shape of the result.
    pub output: Shape,
}

impl Broadcast {
    /// Elements of `a`, `b` and the result; `None` if they do not fit or an operand is empty.
    pub fn elements(&self) -> Option<[usize; 3]> {
        let all = [elements(&self.a)?, elements(&self.b)?, elements(&self.output)?];
        all.iter().all(|&n| n > 0).then_some(all)
    }
}

/// `y = op(a, b)`, clamped.
///
/// Source: docs/formats.md, v4 opcode 0x00; v3 layer type 1 is an addition without broadcasting.
#[inline(never)]
pub fn binary(
    p: &Broadcast,
    op: BinaryOp,
    clamp: Clamp,
    a: &[f32],
    b: &[f32],
    y: &mut [f32],
) -> Option<()> {
    broadcast(p, a, b, y, |a, b| clamp.apply(op.apply(a, b)))
}

/// Calls `op` for each element of the output.
#[inline]
pub(crate) fn broadcast<T: Copy>(
    p: &Broadcast,
    a: &[T],
    b: &[T],
    y: &mut [T],
    op: impl Fn(T, T) -> T,
) -> Option<()> {
    (p.elements()? == [a.len(), b.len(), y.len()]).then_some(())?;
    if p.a == p.output && p.b == p.output {
        y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (&a, &b))| *y = op(a, b));
        return Some(());
    }
    let [batches, channels, height, width] = p.output;
    let mut rows = y.chunks_exact_mut(width.max(1));
    for n in 0..batches {
        for c in 0..channels {
            for h in 0..height {
                let row = rows.next()?;
                let (a, b) = (line(a, &p.a, [n, c, h])?, line(b, &p.b, [n, c, h])?);
                let (first_a, first_b) = (a.first()?, b.first()?);
                if let ([_], Some(a)) = (b, a.get(..width)) {
                    row.iter_mut().zip(a).for_each(|(y, &a)| *y = op(a, *first_b));
                    continue;
                }
                for (w, y) in row.iter_mut().enumerate() {
                    *y = op(*a.get(w).unwrap_or(first_a), *b.get(w).unwrap_or(first_b));
                }
            }
        }
    }
    Some(())
}

/// The innermost line of an operand at an index of the output.
fn line<'t, T>(tensor: &'t [T], shape: &Shape, at: [usize; 3]) -> Option<&'t [T]> {
    let [dims @ .., width] = shape;
    let row = broadcast_row(at, dims);
    tensor.get(row * width..)?.get(..*width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_six_operators() {
        let (a, b) = ([6.0, -1.0], [3.0, 4.0]);
        let shape = [1, 1, 1, 2];
        let p = Broadcast { a: shape, b: shape, output: shape };
        let expected =
            [[9.0, 3.0], [3.0, -5.0], [18.0, -4.0], [2.0, -0.25], [3.0, -1.0], [6.0, 4.0]];
        for (number, expected) in expected.into_iter().enumerate() {
            let op = BinaryOp::from_number(number as u32).expect("known");
            let mut y = [0.0; 2];
            binary(&p, op, Clamp::NONE, &a, &b, &mut y).expect("fits");
            assert_eq!(y, expected, "{op:?}");
        }
        assert_eq!(BinaryOp::from_number(6), None);
        let mut y = [0.0; 2];
        binary(&p, BinaryOp::Mul, Clamp::RELU6, &a, &b, &mut y).expect("fits");
        assert_eq!(y, [6.0, 0.0]);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let p = Broadcast { a: [1, 1, 1, 2], b: [1, 1, 1, 1], output: [1, 1, 1, 2] };
        let mut y = [0.0; 2];
        assert!(binary(&p, BinaryOp::Add, Clamp::NONE, &[1.0], &[1.0], &mut y).is_none());
        let p = Broadcast { a: [usize::MAX; 4], ..p };
        assert!(binary(&p, BinaryOp::Add, Clamp::NONE, &[1.0], &[1.0], &mut y).is_none());
    }

    fn shape() -> impl Strategy<Value = Shape> {
        [1usize..4, 1usize..4, 1usize..4, 1usize..5]
    }

    proptest! {
        #[test]
        fn broadcasting_reads_index_zero_beyond_a_dimension(
            a_shape in shape(), b_shape in shape(), output in shape(),
        ) {
            let count = |shape: &Shape| elements(shape).expect("small");
            let a: Vec<f32> = (0..count(&a_shape)).map(|i| i as f32).collect();
            let b: Vec<f32> = (0..count(&b_shape)).map(|i| (i * 100) as f32).collect();
            let mut y = vec![0.0; count(&output)];
            let p = Broadcast { a: a_shape, b: b_shape, output };
            binary(&p, BinaryOp::Add, Clamp::NONE, &a, &b, &mut y).expect("fits");
            let at = |shape: &Shape, index: [usize; 4]| {
                (0..4).fold(0, |at, d| at * shape[d] + if index[d] < shape[d] { index[d] } else { 0 })
            };
            for (i, y) in y.iter().enumerate() {
                let [_, c, h, w] = output;
                let index = [i / w / h / c, i / w / h % c, i / w % h, i % w];
                prop_assert_eq!(*y, a[at(&a_shape, index)] + b[at(&b_shape, index)]);
            }
        }
    }
}
