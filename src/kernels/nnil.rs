//! The stack machine that v4 uses for fused element operations.
//!
//! Code is bytes: an operator each, `06` followed by a float. It has no jumps, so that one walk
//! at load proves it; the element's value is pushed by `03`, and `A0` ends with the top.

use super::binary::BinaryOp;
use super::unary::UnaryOp;
use crate::math::{max, min};

/// Values that the stack holds.
const DEPTH: usize = 64;

/// Code that [`Program::parse`] found sound.
#[derive(Clone, Copy, Debug)]
pub struct Program<'m> {
    code: &'m [u8],
}

enum Instruction {
    Nop,
    Dup,
    Pop,
    Element,
    Push(f32),
    Unary(UnaryOp),
    Binary(BinaryOp),
    Clamp,
    Store,
}

/// Takes the next instruction; `None` for an unknown or incomplete one.
fn next(code: &mut &[u8]) -> Option<Instruction> {
    let (&opcode, rest) = code.split_first()?;
    *code = rest;
    Some(match opcode {
        0x00 => Instruction::Nop,
        0x01 => Instruction::Dup,
        0x02 => Instruction::Pop,
        0x03 => Instruction::Element,
        0x04 => Instruction::Push(0.0),
        0x05 => Instruction::Push(1.0),
        0x06 => {
            let (literal, rest) = rest.split_first_chunk()?;
            *code = rest;
            Instruction::Push(f32::from_le_bytes(*literal))
        }
        // abs, ceil, cos, exp, floor, log, neg, rsqrt, sin, square: numbered as in opcode 0x0E,
        0x20..=0x29 => Instruction::Unary(UnaryOp::from_number(u32::from(opcode - 0x20))?),
        // add, sub, mul, div, min, max: as in opcode 0x00.
        0x40..=0x45 => Instruction::Binary(BinaryOp::from_number(u32::from(opcode - 0x40))?),
        0x80 => Instruction::Clamp,
        0xA0 => Instruction::Store,
        _ => return None,
    })
}

impl<'m> Program<'m> {
    /// Checks code up to its first `A0`; `None` if it has none, or an unknown operator, or if the
    /// stack of 64 values would run over or empty.
    pub fn parse(code: &'m [u8]) -> Option<Self> {
        let (mut rest, mut depth) = (code, 0usize);
        loop {
            let (needs, leaves) = match next(&mut rest)? {
                Instruction::Nop => (0, 0),
                Instruction::Dup => (1, 2),
                Instruction::Pop => (1, 0),
                Instruction::Element | Instruction::Push(_) => (0, 1),
                Instruction::Unary(_) => (1, 1),
                Instruction::Binary(_) => (2, 1),
                Instruction::Clamp => (3, 1),
                Instruction::Store => return (depth >= 1).then_some(Self { code }),
            };
            depth = depth.checked_sub(needs)? + leaves;
            (depth <= DEPTH).then_some(())?;
        }
    }

    /// The result for one element.
    pub fn apply(&self, x: f32) -> f32 {
        let (mut code, mut stack) = (self.code, heapless::Vec::<f32, DEPTH>::new());
        run(&mut code, &mut stack, x).unwrap_or(f32::NAN)
    }
}

/// `None` never happens to code that was parsed.
fn run(code: &mut &[u8], stack: &mut heapless::Vec<f32, DEPTH>, x: f32) -> Option<f32> {
    loop {
        let value = match next(code)? {
            Instruction::Nop => continue,
            Instruction::Pop => {
                stack.pop()?;
                continue;
            }
            Instruction::Dup => *stack.last()?,
            Instruction::Element => x,
            Instruction::Push(value) => value,
            Instruction::Unary(op) => op.apply(stack.pop()?),
            Instruction::Binary(op) => {
                let (b, a) = (stack.pop()?, stack.pop()?);
                op.apply(a, b)
            }
            Instruction::Clamp => {
                let (high, low, value) = (stack.pop()?, stack.pop()?, stack.pop()?);
                min(max(value, low), high)
            }
            Instruction::Store => return stack.pop(),
        };
        stack.push(value).ok()?;
    }
}

/// `y = program(x)`.
///
/// Source: docs/formats.md, v4 opcode 0x14.
#[inline(never)]
pub fn nnil(program: &Program, x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = program.apply(x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaky_relu() {
        // max(x, x * 0.25)
        let mut code = vec![0x03, 0x01, 0x06];
        code.extend(0.25f32.to_le_bytes());
        code.extend([0x42, 0x45, 0xA0, 0xFF]);
        let program = Program::parse(&code).expect("sound");
        let mut y = [0.0; 3];
        nnil(&program, &[-8.0, 0.0, 3.0], &mut y);
        assert_eq!(y, [-2.0, 0.0, 3.0]);
    }

    #[test]
    fn every_operator() {
        let of = |code: &[u8]| Program::parse(code).expect("sound").apply(-2.25);
        assert_eq!(of(&[0x03, 0x00, 0x20, 0xA0]), 2.25);
        assert_eq!(of(&[0x03, 0x21, 0xA0]), -2.0);
        assert_eq!(of(&[0x04, 0x22, 0xA0]), 1.0);
        assert_eq!(of(&[0x04, 0x23, 0xA0]), 1.0);
        assert_eq!(of(&[0x03, 0x24, 0xA0]), -3.0);
        assert_eq!(of(&[0x05, 0x25, 0xA0]), 0.0);
        assert_eq!(of(&[0x03, 0x26, 0xA0]), 2.25);
        assert_eq!(of(&[0x05, 0x27, 0xA0]), 1.0);
        assert_eq!(of(&[0x04, 0x28, 0xA0]), 0.0);
        assert_eq!(of(&[0x03, 0x29, 0xA0]), 5.0625);
        assert_eq!(of(&[0x03, 0x05, 0x40, 0xA0]), -1.25);
        assert_eq!(of(&[0x03, 0x05, 0x41, 0xA0]), -3.25);
        assert_eq!(of(&[0x05, 0x03, 0x43, 0xA0]), 1.0 / -2.25);
        assert_eq!(of(&[0x05, 0x03, 0x44, 0xA0]), -2.25);
        assert_eq!(of(&[0x03, 0x04, 0x05, 0x80, 0xA0]), 0.0);
        assert_eq!(of(&[0x05, 0x03, 0x02, 0xA0]), 1.0);
    }

    #[test]
    fn unsound_code_is_refused() {
        let refused = |code: &[u8]| Program::parse(code).is_none();
        assert!(refused(&[]));
        assert!(refused(&[0x03]), "no end");
        assert!(refused(&[0xA0]), "nothing to store");
        assert!(refused(&[0x03, 0x40, 0xA0]), "one operand of two");
        assert!(refused(&[0x03, 0x06, 0, 0, 0]), "half a literal");
        assert!(refused(&[0x03, 0x2A, 0xA0]), "unknown operator");
        let mut deep = vec![0x03; DEPTH + 1];
        deep.push(0xA0);
        assert!(refused(&deep), "too deep");
        assert!(!refused(&deep[1..]), "just deep enough");
    }
}
