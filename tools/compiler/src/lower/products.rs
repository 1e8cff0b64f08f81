//! Products of bytes by the CPU: dense layers that the KPU cannot have, and means of whole planes as
//! products with ones. Sums are exact and rounded once.

use maix_kpu::tensor::Dtype;

use super::{
    Lowering,
    convolution::{feeds_kpu, weights_fit},
};
use crate::{
    graph::{Node, TensorId},
    options::KmodelVersion,
    problem::Problem,
    program::{Factors, StepOp, ValueId},
    quantize::{QParam, fixed_point},
};

/// Bits of a sum's factor.
const FACTOR_BITS: u32 = 20;
const MAX_SHIFT: u32 = 30;

/// A matrix of bytes, `[rows, columns]`.
struct Matrix {
    value: ValueId,
    size: [usize; 2],
    q: QParam,
}

impl<'g> Lowering<'g> {
    /// The mean of whole planes, for a result that the KPU reads.
    pub(super) fn byte_mean(&mut self, x: TensorId, y: TensorId) -> Result<bool, Problem> {
        let Some((channels, [h, w])) = self.planes(x) else { return Ok(false) };
        if !self.multiplies_bytes(x) || !feeds_kpu(self.graph, self.options, y) {
            return Ok(false);
        }
        let a = Matrix { value: self.byte(x)?, size: [channels, h * w], q: self.q(x) };
        let ones = self.program.constant_bytes(Dtype::U8, [1, 1, h * w, 1], vec![1; h * w]);
        // The sum of `h * w` ones, each of which counts for as much as the mean takes of it.
        let q = QParam { scale: 1.0 / (h * w) as f32, zero: 0.0 };
        self.byte_product(a, Matrix { value: ones, size: [h * w, 1], q }, &[0.0], y)
    }

    /// A dense layer with constant weights that the KPU cannot have.
    pub(super) fn byte_matmul(&mut self, node: &'g Node, bias: &[f32]) -> Result<bool, Problem> {
        let (x, b) = (node.inputs[0], node.inputs[1]);
        let (Some(data), &[k, columns]) = (&self.graph.tensors[b].data, self.graph.shape(b)) else {
            return Ok(false);
        };
        if !self.has_bytes(x)
            || !self.multiplies_bytes(x)
            || data.len() < self.options.output_quantize_threshold
            || !weights_fit(self.options, data)
        {
            return Ok(false);
        }
        // Bytes end at the bounds of the result's range, which are those of the function.
        let (_, y) = self.function_behind(node.output, |f| {
            f.as_clamp().is_some_and(|(low, high)| low <= 0.0 && high >= 0.0)
        });
        let rows = self.graph.tensors[x].elements() / k;
        let a = Matrix { value: self.byte(x)?, size: [rows, k], q: self.q(x) };
        let (low, high) = data.iter().fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
        let q = QParam::cover(low, high);
        let weights = data.iter().map(|&w| q.quantize(w)).collect();
        let value = self.program.constant_bytes(Dtype::U8, [1, 1, k, columns], weights);
        self.byte_product(a, Matrix { value, size: [k, columns], q }, bias, y)
    }

    /// Whether the format has products of bytes, and their zero point is one.
    fn multiplies_bytes(&self, x: TensorId) -> bool {
        self.options.kmodel_version == KmodelVersion::V4 && self.q(x).zero.fract() == 0.0
    }

    fn byte_product(
        &mut self,
        a: Matrix,
        b: Matrix,
        bias: &[f32],
        y: TensorId,
    ) -> Result<bool, Problem> {
        let out = self.q(y);
        let unit = f64::from(a.q.scale) * f64::from(b.q.scale);
        let (mul, shift) = fixed_point(unit / f64::from(out.scale), FACTOR_BITS, MAX_SHIFT);
        let step = StepOp::QuantizedMatMul {
            size: [a.size[0], a.size[1], b.size[1]],
            zeros: [-a.q.zero as i32, -b.q.zero as i32],
            out: Factors { offset: out.zero as i32, mul, shift: shift as i32 },
            bias: bias.iter().map(|&v| (f64::from(v) / unit).round() as i32).collect(),
        };
        self.define_byte(step, vec![a.value, b.value], y)
    }
}
