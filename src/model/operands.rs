//! What a node reads and writes, in one form for both versions: checked once, then bound to memory.

use super::{
    range::{Limits, Range},
    source::Span,
};
use crate::{
    error::{Error, Kind, Result, What},
    tensor::Dtype,
};

/// A tensor that the CPU reads or writes.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// What the node calls it.
    pub what: What,
    /// The bytes that are set apart for it.
    pub range: Range,
    /// The type of element that the operator wants.
    pub dtype: Dtype,
    /// Number of elements.
    pub elements: usize,
}

/// Parameters of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Where they are.
    pub span: Span,
    /// Their address must be a multiple of this.
    pub align: usize,
}

/// What a node reads and writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Operands {
    /// Tensors that are read.
    pub inputs: [Option<Operand>; 2],
    /// The tensor that is written.
    pub output: Option<Operand>,
    /// Parameters.
    pub parameters: [Option<Parameters>; 3],
    /// What is not possible of the node, by name and value.
    impossible: Option<(What, u64)>,
}

impl Operand {
    /// A tensor.
    pub const fn new(what: What, range: Range, dtype: Dtype, elements: usize) -> Self {
        Self { what, range, dtype, elements }
    }

    /// Number of bytes.
    pub fn bytes(&self) -> usize {
        self.elements.saturating_mul(self.dtype.size())
    }

    /// Checks that the tensor can be read.
    pub fn check_read(&self, limits: &Limits) -> Result<()> {
        self.range.check_read(self.what, self.dtype, self.elements, limits)
    }

    /// Checks that the tensor can be written.
    pub fn check_write(&self, limits: &Limits) -> Result<()> {
        self.range.check_write(self.what, self.dtype, self.elements, limits)
    }

    /// Checks that the tensor can be read and that writing the output leaves it alone.
    pub fn check_apart(&self, output: &Operand, limits: &Limits) -> Result<()> {
        self.check_read(limits)?;
        self.range.check_apart(self.what, self.bytes(), &output.range, output.bytes())
    }
}

impl Operands {
    /// Of a node that makes one tensor of another.
    pub fn one(input: Operand, output: Operand) -> Self {
        Self { inputs: [Some(input), None], output: Some(output), ..Self::default() }
    }

    /// Adds a tensor that is read.
    #[inline(never)]
    pub(super) fn read(&mut self, what: What, range: &Range, dtype: Dtype, n: usize) {
        if let Some(free) = self.inputs.iter_mut().find(|input| input.is_none()) {
            *free = Some(Operand::new(what, *range, dtype, n));
        }
    }

    /// Sets the tensor that is written.
    #[inline(never)]
    pub(super) fn write(&mut self, range: &Range, dtype: Dtype, n: usize) {
        self.output = Some(Operand::new(What::Output, *range, dtype, n));
    }

    /// Adds parameters whose address must be a multiple of `align`.
    #[inline(never)]
    pub(super) fn parameter(&mut self, span: Span, align: usize) {
        if let Some(free) = self.parameters.iter_mut().find(|parameter| parameter.is_none()) {
            *free = Some(Parameters { span, align });
        }
    }

    /// The sizes that a kernel tells, or zeros where it says that `what` is not possible.
    #[inline(never)]
    pub(super) fn sizes<const N: usize>(
        &mut self,
        what: What,
        value: i32,
        sizes: Option<[usize; N]>,
    ) -> [usize; N] {
        sizes.unwrap_or_else(|| {
            self.impossible = Some((what, i64::from(value) as u64));
            [0; N]
        })
    }

    /// The operands, if all of them are possible.
    pub(super) fn possible(self) -> Result<Self> {
        match self.impossible {
            None => Ok(self),
            Some((what, value)) => Err(Error::about(Kind::Field, what, [value, 0])),
        }
    }

    /// Checks that everything lies inside its memory, has the type, size and alignment that the
    /// operator wants, and that the output is apart from the inputs.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        if let Some(output) = &self.output {
            output.check_write(limits)?;
        }
        self.inputs.iter().flatten().try_for_each(|input| match &self.output {
            Some(output) => input.check_apart(output, limits),
            None => input.check_read(limits),
        })
    }
}
