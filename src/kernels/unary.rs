//! Operators of one tensor, element by element.

use crate::math;

/// What is done with an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    /// Absolute value.
    Abs,
    /// The smallest integer not below.
    Ceil,
    /// Cosine.
    Cos,
    /// Exponential function.
    Exp,
    /// The largest integer not above.
    Floor,
    /// Natural logarithm.
    Log,
    /// Negated.
    Neg,
    /// One divided by the square root.
    Rsqrt,
    /// Sine.
    Sin,
    /// Multiplied by itself.
    Square,
}

impl UnaryOp {
    /// The operator of a kmodel's number.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Abs,
            1 => Self::Ceil,
            2 => Self::Cos,
            3 => Self::Exp,
            4 => Self::Floor,
            5 => Self::Log,
            6 => Self::Neg,
            7 => Self::Rsqrt,
            8 => Self::Sin,
            9 => Self::Square,
            _ => return None,
        })
    }

    /// The result for one element.
    #[inline(never)]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Abs => x.abs(),
            Self::Ceil => math::ceil(x),
            Self::Cos => math::cos(x),
            Self::Exp => libm::expf(x),
            Self::Floor => math::floor(x),
            Self::Log => libm::logf(x),
            Self::Neg => -x,
            Self::Rsqrt => 1.0 / math::sqrt(x),
            Self::Sin => math::sin(x),
            Self::Square => x * x,
        }
    }
}

/// `y = op(x)`.
///
/// Source: docs/formats.md, v4 opcode 0x0E.
#[inline(never)]
pub fn unary(op: UnaryOp, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = op.apply(x);
    }
}

/// `y = 1 / (1 + exp(-x))`.
///
/// Source: docs/formats.md, v3 layer type 25.
#[inline(never)]
pub fn logistic(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = 1.0 / (1.0 + libm::expf(-x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator() {
        let expected = [2.25, -2.0, -0.628_173_6, 0.105_399_22, -3.0, f32::NAN, 2.25];
        for (number, expected) in expected.into_iter().enumerate() {
            let mut y = [0.0];
            unary(UnaryOp::from_number(number as u32).expect("known"), &[-2.25], &mut y);
            assert!(
                (y[0] - expected).abs() < 1e-7 || y[0].is_nan() && expected.is_nan(),
                "{number}: {}",
                y[0]
            );
        }
        let of = |number, x| UnaryOp::from_number(number).expect("known").apply(x);
        assert_eq!([of(5, 1.0), of(7, 4.0), of(8, 0.0), of(9, -3.0)], [0.0, 0.5, 0.0, 9.0]);
        assert_eq!(UnaryOp::from_number(10), None);
    }

    #[test]
    fn logistic_at_known_points() {
        let mut y = [0.0; 3];
        logistic(&[0.0, -200.0, 200.0], &mut y);
        assert_eq!(y, [0.5, 0.0, 1.0]);
    }
}
