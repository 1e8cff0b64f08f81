//! The inputs of a concatenation, which stand behind its body.

use super::{
    Node, Operator,
    operands::Operand,
    range::{Limits, Memory, Range},
    reader::{Reader, check_count},
    source::Source,
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
        let (v4, count, begin, size) = match self.operator() {
            Operator::V3(V3::Concat(b) | V3::QuantizedConcat(b)) => (None, b.count, 12, 8),
            Operator::V4(V4::Concat(b)) => (Some(b), b.inputs, 28, 16),
            _ => return Ok(()),
        };
        let begin = self.offset.saturating_add(begin);
        let dims = begin.saturating_add(count as usize * size);
        let mut ranges = Reader::new(source, begin, dims);
        let mut dims = Reader::new(source, dims, usize::MAX);
        for _ in 0..count {
            let (range, bytes, dim) = match v4 {
                None => {
                    let MainRange { address, size } = ranges.field();
                    let range = Range::new(Memory::Main, Dtype::U8, address, size);
                    (range, size as usize, size as usize)
                }
                Some(b) => {
                    let (range, dim) = (ranges.field(), dims.checked::<i32>()?);
                    check_count(What::ConcatenatedDimension, dim.into(), 1 << 30)?;
                    (range, b.input_bytes(dim as usize)?, dim as usize)
                }
            };
            ranges.done()?;
            let dtype = range.dtype();
            let elements = bytes.div_ceil(dtype.size());
            let operand = Operand::new(What::Input, range, dtype, elements);
            each(&Part { operand, bytes, dim })?;
        }
        Ok(())
    }

    /// Number of outer repetitions of a concatenation; `None` for other nodes.
    #[inline(never)]
    pub fn repetitions(&self) -> Option<usize> {
        match self.operator() {
            Operator::V3(V3::Concat(_) | V3::QuantizedConcat(_)) => Some(1),
            Operator::V4(V4::Concat(b)) => Some(b.outer_size as usize),
            _ => None,
        }
    }

    /// Checks that the inputs can be read and are apart from the output.
    pub(super) fn check_parts(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        self.parts(source, &mut |part| {
            self.operands.output.map_or(Ok(()), |output| part.operand.check_apart(&output, limits))
        })
    }
}
