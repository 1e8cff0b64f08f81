//! The inputs of a concatenation, which stand behind its body.

use super::{
    Node, Operator,
    operands::Operand,
    range::{Limits, Memory, Range},
    reader::{Reader, count},
    source::{Source, Span},
    v3::layer::{MainRange, Operator as V3},
    v4::operator::Operator as V4,
};
use crate::{
    error::{Result, What},
    tensor::Dtype,
};

/// An input of a concatenation.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The tensor.
    pub operand: Operand,
    /// Bytes of it that are taken.
    pub bytes: usize,
    /// Its size in the dimension along which the inputs stand; for kmodel v3 its bytes.
    pub dim: usize,
}

impl Node {
    /// Calls `each` with every input of a concatenation.
    pub fn parts(
        &self,
        source: &dyn Source,
        each: &mut dyn FnMut(&Part) -> Result<()>,
    ) -> Result<()> {
        let span = |offset, len| Span { offset: self.offset.saturating_add(offset), len };
        match self.operator() {
            Operator::V3(V3::Concat(b) | V3::QuantizedConcat(b)) => {
                let mut ranges = Reader::of(source, span(12, b.count as usize * 8));
                while ranges.remaining() > 0 {
                    let MainRange { address, size } = ranges.checked()?;
                    let range = Range::new(Memory::Main, Dtype::U8, address, size);
                    let bytes = size as usize;
                    let operand = Operand::new(What::Input, range, Dtype::U8, bytes);
                    each(&Part { operand, bytes, dim: bytes })?;
                }
                ranges.done()
            }
            Operator::V4(V4::Concat(b)) => {
                let len = b.inputs as usize * 16;
                let mut ranges = Reader::of(source, span(28, len));
                let mut dims = Reader::of(source, span(28 + len, len / 4));
                while ranges.remaining() > 0 {
                    let (range, dim) = (ranges.checked::<Range>()?, dims.checked::<i32>()?);
                    let dim = count(What::ConcatenatedDimension, dim.into(), 1 << 30)?;
                    let (bytes, dtype) = (b.input_bytes(dim)?, range.dtype());
                    let elements = bytes.div_ceil(dtype.size());
                    let operand = Operand::new(What::Input, range, dtype, elements);
                    each(&Part { operand, bytes, dim })?;
                }
                ranges.done()
            }
            _ => Ok(()),
        }
    }

    /// Number of outer repetitions of a concatenation.
    pub fn repetitions(&self) -> usize {
        match self.operator() {
            Operator::V4(V4::Concat(b)) => b.outer_size as usize,
            _ => 1,
        }
    }

    /// Checks that the inputs can be read and are apart from the output.
    pub(super) fn check_parts(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        self.parts(source, &mut |part| {
            self.operands.output.map_or(Ok(()), |output| part.operand.check_apart(&output, limits))
        })
    }
}
