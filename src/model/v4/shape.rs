//! The shapes of outputs, which kmodel v4 does not store: found by following the nodes back.

use super::{
    Model,
    operator::Operator,
    range::{Memory, Range, Shape4},
};
use crate::{
    error::Result,
    model::source::Source,
    tensor::{Shape, elements},
};
use heapless::Vec;

/// What one step back from a tensor says about its shape.
enum Step {
    /// This is its shape.
    Known(Shape),
    /// The shape is that of another tensor.
    Like(Range),
    /// The shape is that of another tensor, but for the dimension of a concatenation.
    Concatenated { first: Range, outer: usize, dim: usize, total: usize },
    /// Nothing.
    Unknown,
}

impl Model {
    /// N, C, H, W of an output. Where a node tells no shape, as behind a matrix product or a
    /// reshape that left no trace, it is (1, n, 1, 1).
    pub fn output_shape(&self, source: &dyn Source, index: u32) -> Result<Shape> {
        self.shape_of(source, &self.output(source, index)?, self.header.nodes)
    }

    /// N, C, H, W of what `tensor` holds before the node `before` runs.
    pub fn shape_of(&self, source: &dyn Source, tensor: &Range, mut before: u32) -> Result<Shape> {
        let flat = [1, tensor.elements(), 1, 1];
        let mut concatenations: Vec<_, 8> = Vec::new();
        let mut range = *tensor;
        let mut shape = loop {
            let (step, writer) = self.step_back(source, &range, before)?;
            match step {
                Step::Known(shape) => break shape,
                Step::Like(input) => range = input,
                Step::Concatenated { first, outer, dim, total } => {
                    if concatenations.push((outer, dim, total)).is_err() {
                        return Ok(flat);
                    }
                    range = first;
                }
                Step::Unknown => return Ok(flat),
            }
            before = writer;
        };
        for (outer, dim, total) in concatenations.into_iter().rev() {
            let axis = (0..4).find(|&axis| {
                shape[axis] == dim && shape[..axis].iter().product::<usize>() == outer
            });
            match axis {
                Some(axis) => shape[axis] = total,
                None => return Ok(flat),
            }
        }
        // A range in KPU RAM counts whole rows.
        let fits = tensor.memory == Memory::Kpu || elements(&shape) == Some(tensor.elements());
        Ok(if fits { shape } else { flat })
    }

    /// What the last node before `before` that writes `range` says about its shape, and its index.
    fn step_back(&self, source: &dyn Source, range: &Range, before: u32) -> Result<(Step, u32)> {
        let mut writer = None;
        for node in self.nodes(source).take(before as usize) {
            let node = node?;
            let output = node.operator.output();
            if (output.memory, output.start) == (range.memory, range.start) {
                writer = Some(node);
            }
        }
        if let Some(node) = writer {
            return Ok((step_of(&node.operator, source)?, node.index));
        }
        for index in 0..self.header.inputs {
            let (input, Shape4(shape)) = self.input(source, index)?;
            if (input.memory, input.start) == (range.memory, range.start) {
                return Ok((Step::Known(shape), 0));
            }
        }
        Ok((Step::Unknown, 0))
    }
}

fn step_of(operator: &Operator, source: &dyn Source) -> Result<Step> {
    let known = |shape: Option<Shape>| shape.map_or(Step::Unknown, Step::Known);
    Ok(match operator {
        Operator::Dequantize(b) => Step::Like(b.input),
        Operator::Quantize(b) => Step::Like(b.input),
        Operator::MemoryCopy(b) => Step::Like(b.input),
        Operator::Unary(b) => Step::Like(b.input),
        Operator::Nnil(b, _) => Step::Like(b.input),
        Operator::TableLookup(b) => Step::Like(b.input),
        Operator::Softmax(b) => Step::Like(b.input),
        Operator::Binary(b) => Step::Known(b.output_shape.0),
        Operator::QuantizedBinary(b) => Step::Known(b.output_shape.0),
        Operator::Reduce(b) => Step::Known(b.output_shape.0),
        Operator::Conv2dTranspose(b, _) => Step::Known(b.output_shape.0),
        Operator::Pad(b) => known(b.options().output()),
        Operator::Transpose(b) => known(b.options().output()),
        Operator::StridedSlice(b) => known(b.options().output()),
        Operator::KpuUpload(b) => Step::Known(b.shape.0),
        Operator::Conv2d(..) | Operator::QuantizedConv2d(..) => {
            known(operator.convolution().and_then(|sizes| sizes.output()))
        }
        Operator::ReduceWindow(_) => known(operator.pool().and_then(|pool| pool.output())),
        Operator::ResizeImage(b) => known(b.options().output()),
        Operator::KpuConv(b) => {
            let image = b.layer.output;
            Step::Known([b.batches, image.channels, image.height, image.width])
        }
        Operator::Concat(b, inputs) => {
            let mut first = None;
            let mut total = 0;
            inputs.each(source, &mut |range, dim| {
                first.get_or_insert((range, dim));
                total += dim;
                Ok(())
            })?;
            match first {
                Some((first, dim)) => {
                    Step::Concatenated { first, outer: b.outer_size as usize, dim, total }
                }
                None => Step::Unknown,
            }
        }
        Operator::MatMul(..)
        | Operator::QuantizedMatMul(..)
        | Operator::CpuConv2d(..)
        | Operator::CpuDepthwise(..)
        | Operator::CpuReduceWindow(_)
        | Operator::CpuQuantizedConv2d(..)
        | Operator::CpuQuantizedDepthwise(..) => Step::Unknown,
    })
}
