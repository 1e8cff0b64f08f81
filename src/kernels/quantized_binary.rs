//! Operators of two byte tensors.

use super::binary::{BinaryOp, Broadcast, broadcast};
use super::quantize::{Rescale, multiply_shift};

/// How an operand of a [`quantized_binary`] is prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Added first.
    pub offset: i32,
    /// Then multiplied by this,
    pub multiplier: i32,
    /// and shifted right by so many bits with rounding (only the low 8 bits count).
    pub shift: i32,
}

/// Options of [`quantized_binary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedBinary {
    /// The shapes.
    pub shapes: Broadcast,
    /// What is done with two elements.
    pub op: BinaryOp,
    /// Preparation of the first operand.
    pub a: Operand,
    /// Preparation of the second operand.
    pub b: Operand,
    /// From the result to the output.
    pub rescale: Rescale,
}

/// `y = rescale(op(prepared a, prepared b))` in wrapping 32-bit integers.
///
/// A quotient is rounded: `(a + b / 2) / b`; one by zero is -1, as the chip divides.
///
/// Source: docs/formats.md, v4 opcode 0x11.
#[inline(never)]
pub fn quantized_binary(p: &QuantizedBinary, a: &[u8], b: &[u8], y: &mut [u8]) -> Option<()> {
    let prepare = |x: u8, p: &Operand| {
        multiply_shift(i32::from(x).wrapping_add(p.offset), p.multiplier, p.shift)
    };
    broadcast(&p.shapes, a, b, y, |a, b| {
        let (a, b) = (prepare(a, &p.a), prepare(b, &p.b));
        p.rescale.to_u8(match p.op {
            BinaryOp::Add => a.wrapping_add(b),
            BinaryOp::Sub => a.wrapping_sub(b),
            BinaryOp::Mul => a.wrapping_mul(b),
            BinaryOp::Div => divide(a, b),
            BinaryOp::Min => a.min(b),
            BinaryOp::Max => a.max(b),
        })
    })
}

/// `a / b`, rounded. Zero and overflow are what the chip's division gives.
fn divide(a: i32, b: i32) -> i32 {
    if b == 0 { -1 } else { a.wrapping_add(b / 2).wrapping_div(b) }
}

/// Options of [`quantized_add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizedAdd {
    /// Preparation of the first operand.
    pub a: Operand,
    /// Preparation of the second operand.
    pub b: Operand,
    /// From the sum to the output.
    pub output: Operand,
}

/// The quantized addition of v3: operands are shifted without rounding, together if their shifts
/// are equal, and the result rounds halves away from zero; 64-bit integers, wrapping.
///
/// The original runtime rounds the count up to a multiple of 8; the caller's slices tell here.
///
/// Source: docs/formats.md, v3 layer type 2.
#[inline(never)]
pub fn quantized_add(p: &QuantizedAdd, a: &[u8], b: &[u8], y: &mut [u8]) {
    let prepare = |x: u8, p: &Operand| {
        (i64::from(x) + i64::from(p.offset)).wrapping_mul(i64::from(p.multiplier))
    };
    let shift = |value: i64, shift: i32| value.wrapping_shr(shift as u32);
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        let (a, b) = (prepare(a, &p.a), prepare(b, &p.b));
        let sum = if p.a.shift == p.b.shift {
            shift(a.wrapping_add(b), p.a.shift)
        } else {
            shift(a, p.a.shift).wrapping_add(shift(b, p.b.shift))
        };
        let value = carry_shift(sum.wrapping_mul(i64::from(p.output.multiplier)), p.output.shift);
        *y = value.wrapping_add(i64::from(p.output.offset)).clamp(0, 255) as u8;
    }
}

/// Shifts right; where the last bit that falls out is 1, one step away from zero is added.
///
/// For negative values this is the original's fault of one step too far down: kept, because
/// models were made with it.
fn carry_shift(value: i64, shift: i32) -> i64 {
    if shift == 0 {
        return value;
    }
    let twice = value.wrapping_shr((shift - 1) as u32);
    let step = if twice & 1 == 0 { 0 } else { 1 | twice >> 63 };
    (twice >> 1) + step
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Operand = Operand { offset: 0, multiplier: 1, shift: 0 };

    fn one(op: BinaryOp, a: u8, b: u8, prepare: Operand, rescale: Rescale) -> u8 {
        let shapes = Broadcast { a: [1; 4], b: [1; 4], output: [1; 4] };
        let p = QuantizedBinary { shapes, op, a: prepare, b: prepare, rescale };
        let mut y = [0];
        quantized_binary(&p, &[a], &[b], &mut y).expect("fits");
        y[0]
    }

    #[test]
    fn the_six_operators() {
        let rescale = Rescale { multiplier: 1, shift: 0, offset: 100 };
        let of = |op| one(op, 20, 8, SAME, rescale);
        assert_eq!(of(BinaryOp::Add), 128);
        assert_eq!(of(BinaryOp::Sub), 112);
        assert_eq!(of(BinaryOp::Mul), 255);
        assert_eq!(of(BinaryOp::Div), 103); // (20 + 4) / 8
        assert_eq!(of(BinaryOp::Min), 108);
        assert_eq!(of(BinaryOp::Max), 120);
        assert_eq!(one(BinaryOp::Div, 5, 0, SAME, rescale), 99);
    }

    #[test]
    fn offsets_multipliers_and_shifts() {
        // (10 - 3) * 5 = 35, >> 2 with rounding = 9; (4 - 3) * 5 = 5 -> 1; sum 10 * 3 = 30 >> 2 -> 8.
        let prepare = Operand { offset: -3, multiplier: 5, shift: 2 };
        let rescale = Rescale { multiplier: 3, shift: 2, offset: 1 };
        assert_eq!(one(BinaryOp::Add, 10, 4, prepare, rescale), 9);
    }

    #[test]
    fn carry_shift_by_hand() {
        assert_eq!([4, 5, 6, 7].map(|v| carry_shift(v, 1)), [2, 3, 3, 4]);
        // -5 >> 1 rounds to -3 and the carry goes one further: -4.
        assert_eq!([-4, -5, -6, -7].map(|v| carry_shift(v, 1)), [-2, -4, -3, -5]);
        assert_eq!(carry_shift(-5, 0), -5);
        assert_eq!(carry_shift(13, 3), 2); // 13 / 8 = 1.6
    }

    #[test]
    fn quantized_add_with_equal_and_different_shifts() {
        let operand = |offset, multiplier, shift| Operand { offset, multiplier, shift };
        let add = |p: &QuantizedAdd, a: u8, b: u8| {
            let mut y = [0];
            quantized_add(p, &[a], &[b], &mut y);
            y[0]
        };
        let output = operand(7, 3, 1);
        let equal = QuantizedAdd { a: operand(1, 3, 1), b: operand(2, 5, 1), output };
        // (9 + 1) * 3 = 30, (1 + 2) * 5 = 15; 45 >> 1 = 22; 66 >> 1 = 33; + 7.
        assert_eq!(add(&equal, 9, 1), 40);
        let different = QuantizedAdd { b: operand(2, 5, 2), ..equal };
        // 30 >> 1 = 15, 15 >> 2 = 3; 18 * 3 = 54 -> 27; + 7.
        assert_eq!(add(&different, 9, 1), 34);
        assert_eq!(add(&equal, 255, 255), 255);
    }
}
