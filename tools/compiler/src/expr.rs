//! Functions of one number: every elementwise activation, whatever the model calls it.

use crate::graph::{BinaryOp, UnaryOp};

/// An expression in one variable.
///
/// Activations are put together from what the chip's operators can do, so that the CPU runs any of
/// them and the KPU's activation table is fitted to any of them.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// The variable.
    X,
    /// A number.
    Const(f32),
    /// An operator of one operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator of two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
}

impl Expr {
    /// The value at `x`.
    pub fn eval(&self, x: f32) -> f32 {
        match self {
            Expr::X => x,
            Expr::Const(value) => *value,
            Expr::Unary(op, a) => op.eval(a.eval(x)),
            Expr::Binary(op, a, b) => op.eval(a.eval(x), b.eval(x)),
        }
    }

    /// The values at all of `xs`, in place.
    pub fn map(&self, xs: &mut [f32]) {
        match self.as_clamp() {
            Some((low, high)) => xs.iter_mut().for_each(|x| *x = x.max(low).min(high)),
            None => xs.iter_mut().for_each(|x| *x = self.eval(*x)),
        }
    }

    /// The byte code of opcode 0x14 (docs/formats.md) for the expression.
    pub fn nnil(&self) -> Vec<u8> {
        let mut code = Vec::new();
        self.push_nnil(&mut code);
        code.push(0xA0);
        code
    }

    fn push_nnil(&self, code: &mut Vec<u8>) {
        match self {
            Expr::X => code.push(0x03),
            Expr::Const(value) => {
                code.push(0x06);
                code.extend(value.to_le_bytes());
            }
            Expr::Unary(op, a) => {
                a.push_nnil(code);
                code.push(0x20 + *op as u8);
            }
            Expr::Binary(op, a, b) => {
                a.push_nnil(code);
                b.push_nnil(code);
                code.push(0x40 + *op as u8);
            }
        }
    }

    /// The expression with `inner` in place of the variable.
    pub fn of(&self, inner: &Expr) -> Expr {
        match self {
            Expr::X => inner.clone(),
            Expr::Const(value) => Expr::Const(*value),
            Expr::Unary(op, a) => Expr::Unary(*op, Box::new(a.of(inner))),
            Expr::Binary(op, a, b) => {
                Expr::Binary(*op, Box::new(a.of(inner)), Box::new(b.of(inner)))
            }
        }
    }

    /// Lower and upper bound, if the expression is nothing but `min(max(x, low), high)`.
    pub fn as_clamp(&self) -> Option<(f32, f32)> {
        match self {
            Expr::X => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Expr::Binary(op, a, b) => {
                let Expr::Const(bound) = **b else { return None };
                let (low, high) = a.as_clamp()?;
                match op {
                    BinaryOp::Max => Some((low.max(bound), high.max(bound))),
                    BinaryOp::Min => Some((low.min(bound), high.min(bound))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether `f(k * x) == k * f(x)` for every `k > 0`.
    pub fn is_homogeneous(&self) -> bool {
        [-3.0f32, -0.5, 0.0, 0.25, 2.0, 5.0].iter().all(|&x| {
            [0.125f32, 0.5, 4.0, 1024.0].iter().all(|&k| {
                let (scaled, expected) = (self.eval(k * x), k * self.eval(x));
                (scaled - expected).abs() <= 1e-5 * expected.abs()
            })
        })
    }

    /// `x` is the variable; the other constructors take any expression.
    pub fn x() -> Self {
        Expr::X
    }

    fn binary(self, op: BinaryOp, other: Expr) -> Self {
        Expr::Binary(op, Box::new(self), Box::new(other))
    }

    fn unary(self, op: UnaryOp) -> Self {
        Expr::Unary(op, Box::new(self))
    }

    /// `self + other`
    pub fn plus(self, other: Expr) -> Self {
        self.binary(BinaryOp::Add, other)
    }

    /// `self * other`
    pub fn times(self, other: Expr) -> Self {
        self.binary(BinaryOp::Mul, other)
    }

    /// `self / other`
    pub fn over(self, other: Expr) -> Self {
        self.binary(BinaryOp::Div, other)
    }

    /// The larger of `self` and `other`.
    pub fn max(self, other: f32) -> Self {
        self.binary(BinaryOp::Max, Expr::Const(other))
    }

    /// The smaller of `self` and `other`.
    pub fn min(self, other: f32) -> Self {
        self.binary(BinaryOp::Min, Expr::Const(other))
    }

    /// `max(x, 0)`
    pub fn relu() -> Self {
        Expr::X.max(0.0)
    }

    /// `min(max(x, low), high)`
    pub fn clamp(low: f32, high: f32) -> Self {
        Expr::X.max(low).min(high)
    }

    /// `x` for positive, `slope * x` for negative `x`.
    pub fn leaky_relu(slope: f32) -> Self {
        let line = Expr::X.times(Expr::Const(slope));
        if slope <= 1.0 {
            Expr::X.binary(BinaryOp::Max, line)
        } else {
            Expr::X.binary(BinaryOp::Min, line)
        }
    }

    /// `1 / (1 + exp(-x))`
    pub fn sigmoid() -> Self {
        let e = Expr::X.unary(UnaryOp::Neg).unary(UnaryOp::Exp);
        Expr::Const(1.0).binary(BinaryOp::Div, e.plus(Expr::Const(1.0)))
    }

    /// `tanh(x) = 2 / (1 + exp(-2 x)) - 1`
    pub fn tanh() -> Self {
        let e = Expr::X.times(Expr::Const(-2.0)).unary(UnaryOp::Exp);
        Expr::Const(2.0)
            .binary(BinaryOp::Div, e.plus(Expr::Const(1.0)))
            .binary(BinaryOp::Sub, Expr::Const(1.0))
    }

    /// `x` for positive, `alpha * (exp(x) - 1)` for negative `x`, all times `gamma`.
    pub fn elu(alpha: f32, gamma: f32) -> Self {
        let e = Expr::X.min(0.0).unary(UnaryOp::Exp).plus(Expr::Const(-1.0));
        let sum = Expr::relu().plus(e.times(Expr::Const(alpha)));
        if gamma == 1.0 { sum } else { sum.times(Expr::Const(gamma)) }
    }

    /// `min(max(slope * x + offset, 0), 1)`
    pub fn hard_sigmoid(slope: f32, offset: f32) -> Self {
        Expr::X.times(Expr::Const(slope)).plus(Expr::Const(offset)).max(0.0).min(1.0)
    }

    /// `x * min(max(x + 3, 0), 6) / 6`
    pub fn hard_swish() -> Self {
        let gate = Expr::X.plus(Expr::Const(3.0)).max(0.0).min(6.0);
        Expr::X.times(gate).times(Expr::Const(1.0 / 6.0))
    }

    /// `log(1 + exp(x))`, written so that it cannot overflow.
    pub fn softplus() -> Self {
        let e = Expr::X.unary(UnaryOp::Abs).unary(UnaryOp::Neg).unary(UnaryOp::Exp);
        Expr::relu().plus(e.plus(Expr::Const(1.0)).unary(UnaryOp::Log))
    }

    /// `sqrt(x) = x * rsqrt(x)`, 0 at 0.
    pub fn sqrt() -> Self {
        Expr::X.times(Expr::X.max(f32::MIN_POSITIVE).unary(UnaryOp::Rsqrt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_have_their_values() {
        let close = |a: f32, b: f32| (a - b).abs() < 1e-6 * (1.0 + b.abs());
        for x in [-90.0f32, -7.0, -1.5, -0.1, 0.0, 0.3, 2.0, 7.0, 90.0] {
            assert!(close(Expr::sigmoid().eval(x), 1.0 / (1.0 + (-x).exp())), "sigmoid {x}");
            assert!(close(Expr::tanh().eval(x), x.tanh()), "tanh {x}");
            assert!(close(Expr::leaky_relu(0.1).eval(x), if x > 0.0 { x } else { 0.1 * x }));
            assert!(close(Expr::elu(1.0, 1.0).eval(x), if x > 0.0 { x } else { x.exp() - 1.0 }));
            assert!(close(Expr::softplus().eval(x), x.max(0.0) + (-x.abs()).exp().ln_1p()));
            assert!(close(Expr::sqrt().eval(x.abs()), x.abs().sqrt()), "sqrt {x}");
        }
    }

    #[test]
    fn clamps_and_homogeneous_functions_are_recognised() {
        assert_eq!(Expr::clamp(0.0, 6.0).as_clamp(), Some((0.0, 6.0)));
        assert_eq!(Expr::leaky_relu(0.1).as_clamp(), None);
        assert!(Expr::leaky_relu(0.1).is_homogeneous() && Expr::relu().is_homogeneous());
        assert!(!Expr::clamp(0.0, 6.0).is_homogeneous() && !Expr::sigmoid().is_homogeneous());
        let six = Expr::clamp(0.0, 6.0);
        assert_eq!(six.of(&Expr::X.plus(Expr::Const(3.0))).eval(1.0), 4.0);
    }
}
