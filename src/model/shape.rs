//! The shapes of outputs, which files do not store: found by following the nodes back.

use super::{
    Model, Node,
    operands::OutputShape,
    range::{Memory, Range},
    source::Source,
};
use crate::{
    error::Result,
    tensor::{Shape, elements},
};
use heapless::Vec;

impl Model {
    /// N, C, H, W of what `tensor` holds before the node `before` runs; (1, n, 1, 1) if no node
    /// tells.
    pub fn shape_of(&self, source: &dyn Source, tensor: &Range, before: u32) -> Result<Shape> {
        let found = self.follow(source, tensor, before)?;
        // A range in KPU RAM counts whole rows.
        let fits = |shape: &Shape| {
            tensor.memory() == Memory::Kpu || elements(shape) == Some(tensor.elements())
        };
        Ok(found.filter(fits).unwrap_or([1, tensor.elements(), 1, 1]))
    }

    fn follow(
        &self,
        source: &dyn Source,
        tensor: &Range,
        mut before: u32,
    ) -> Result<Option<Shape>> {
        let mut concatenations: Vec<_, 8> = Vec::new();
        let mut range = *tensor;
        let mut shape = loop {
            let Some(node) = self.writer(source, &range, before)? else {
                match self.input_at(source, &range)? {
                    Some(shape) => break shape,
                    None => return Ok(None),
                }
            };
            before = node.index;
            let origin = match node.operands.shape {
                OutputShape::Known(shape) => break shape,
                OutputShape::AsInput => node.operands.inputs[0].map(|input| input.range),
                OutputShape::Concatenated { outer } => {
                    let (mut first, mut total) = (None, 0);
                    node.parts(source, &mut |part| {
                        first.get_or_insert((part.operand.range, part.dim));
                        total += part.dim;
                        Ok(())
                    })?;
                    first.and_then(|(range, dim)| {
                        concatenations.push((outer, dim, total)).ok().map(|()| range)
                    })
                }
                OutputShape::Unknown => None,
            };
            let Some(origin) = origin else { return Ok(None) };
            range = origin;
        };
        for (outer, dim, total) in concatenations.into_iter().rev() {
            let axis = (0..4).find(|&axis| {
                shape[axis] == dim && shape[..axis].iter().product::<usize>() == outer
            });
            match axis {
                Some(axis) => shape[axis] = total,
                None => return Ok(None),
            }
        }
        Ok(Some(shape))
    }

    /// The last node before `before` that writes where `range` begins.
    #[inline(never)]
    pub(super) fn writer(
        &self,
        source: &dyn Source,
        range: &Range,
        before: u32,
    ) -> Result<Option<Node>> {
        let mut writer = None;
        self.visit(source, before, &mut |node| {
            if node.operands.written.is_at(range) {
                writer = Some(*node);
            }
            Ok(())
        })?;
        Ok(writer)
    }

    /// The shape of the input that lies where `range` begins.
    fn input_at(&self, source: &dyn Source, range: &Range) -> Result<Option<Shape>> {
        for index in 0..self.inputs {
            let (input, shape) = self.input_range(source, index)?;
            if input.is_at(range) {
                return Ok(Some(shape));
            }
        }
        Ok(None)
    }
}
