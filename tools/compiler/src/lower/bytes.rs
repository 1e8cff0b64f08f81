//! Operators that work on bytes: on the KPU, or by the CPU's quantized kernels.

use maix_kpu::tensor::Dtype;

use super::{
    Frame, KpuHome, Lowering,
    convolution::{feeds_kpu, kpu_pool},
    float::resize_step,
};
use crate::{
    expr::Expr,
    graph::{BinaryOp, Node, Op, ReduceOp, TensorId, Window},
    options::TABLE_LOOKUP,
    problem::Problem,
    program::{Factors, StepOp, ValueId},
    quantize::{QParam, fixed_point},
};

impl<'g> Lowering<'g> {
    /// Lowers a node on bytes if that is possible and worth it.
    pub(super) fn on_bytes(&mut self, node: &'g Node) -> Result<bool, Problem> {
        let (x, y) = (node.inputs[0], node.output);
        match &node.op {
            Op::Conv2d(conv) => self.kpu_conv(node, conv),
            Op::MatMul { bias } => {
                Ok(self.kpu_matmul(node, bias)? || self.byte_matmul(node, bias)?)
            }
            Op::Map(f)
                if self.homes[x].byte.is_some()
                    && self.homes[x].kpu.is_none()
                    && self.options.allows(TABLE_LOOKUP)
                    && !feeds_kpu(self.graph, self.options, y) =>
            {
                let bytes = self.byte(x)?;
                let value = self.lookup(bytes, x, f, self.q(y), Some(y));
                self.homes[y].byte = Some(value);
                Ok(true)
            }
            Op::Map(f) if self.has_bytes(x) => {
                let pool = maix_kpu::kpu::layer::Pool::None;
                self.kpu_identity(x, f.clone(), pool, Window::UNIT, y)
            }
            Op::Pool(pool) if self.has_bytes(x) => match kpu_pool(pool) {
                Some(kpu) => self.kpu_identity(x, Expr::X, kpu, Window::UNIT, y),
                None if pool.op == ReduceOp::Mean => self.mean(x, &pool.window, y),
                None => Ok(false),
            },
            Op::Reduce { op: ReduceOp::Mean, axes } if self.has_bytes(x) && axes[..] == [2, 3] => {
                let kernel = [self.graph.shape(x)[2], self.graph.shape(x)[3]];
                self.mean(x, &Window { kernel, ..Window::UNIT }, y)
            }
            Op::PRelu { slopes } => self.prelu_in_kpu(node, slopes),
            Op::Binary(op) => Ok(self.sum_in_kpu(node, *op)? || self.quantized_binary(node, *op)?),
            Op::Concat { axis } if node.inputs.iter().all(|&id| self.has_bytes(id)) => {
                if *axis == 1 && self.graph.shape(y).len() == 4 && self.concat_in_kpu(node)? {
                    return Ok(true);
                }
                let parts = node
                    .inputs
                    .iter()
                    .map(|&id| self.bytes_as(id, self.q(y)))
                    .collect::<Result<Vec<_>, _>>()?;
                let op = StepOp::Concat { axis: self.axis4(*axis, y)? };
                self.define_byte(op, parts, y)
            }
            Op::Reshape if self.has_bytes(x) => {
                if self.dense_over_image(node)? {
                    return Ok(true);
                }
                // One pixel of many channels is a vector of as many numbers.
                if let (Some(home), Some(a), Some(b)) =
                    (self.homes[x].kpu, self.planes(x), self.planes(y))
                    && a == b
                    && home.producer.is_some()
                {
                    self.homes[y].kpu = Some(home);
                    return Ok(true);
                }
                let bytes = self.byte(x)?;
                let shape = self.shape(y)?;
                let value = self.reshaped(bytes, shape, y);
                self.homes[y].byte = Some(value);
                Ok(true)
            }
            Op::Transpose { perm } if self.has_bytes(x) => {
                let bytes = self.byte(x)?;
                let value = self.transposed(bytes, self.graph.shape(x), perm, y)?;
                self.homes[y].byte = Some(value);
                Ok(true)
            }
            Op::Slice { begin, strides } if self.has_bytes(x) => {
                if let Some(home) = self.homes[x].kpu
                    && let Some(frame) = self.cropped(home, node, begin, strides)
                {
                    self.homes[y].kpu = Some(KpuHome { frame, ..home });
                    return Ok(true);
                }
                let bytes = self.byte(x)?;
                let op =
                    StepOp::Slice { begin: self.four(begin, 0)?, strides: self.four(strides, 1)? };
                self.define_byte(op, vec![bytes], y)
            }
            Op::Pad { pads, value } if self.has_bytes(x) => {
                let bytes = self.byte(x)?;
                let value = f32::from(self.q(x).quantize(*value));
                let op = StepOp::Pad { pads: self.four(pads, (0, 0))?, value };
                self.define_byte(op, vec![bytes], y)
            }
            Op::Resize(resize) if self.has_bytes(x) && !resize.bilinear => {
                let bytes = self.byte(x)?;
                self.define_byte(resize_step(resize), vec![bytes], y)
            }
            _ => Ok(false),
        }
    }

    /// A function of bytes as a table.
    pub(super) fn lookup(
        &mut self,
        bytes: ValueId,
        x: TensorId,
        f: &Expr,
        out: QParam,
        tensor: Option<TensorId>,
    ) -> ValueId {
        let q = self.q(x);
        let real = |byte: u8| (f32::from(byte) - q.zero) * q.scale;
        let table = (0..=255).map(|byte| out.quantize(f.eval(real(byte)))).collect();
        let table = self.program.constant_bytes(Dtype::U8, [1, 1, 1, 256], table);
        let shape = self.program.values[bytes].shape;
        self.push(StepOp::Lookup, vec![bytes, table], Dtype::U8, shape, tensor)
    }

    /// The mean over windows that no pool of the KPU has.
    fn mean(&mut self, x: TensorId, window: &Window, y: TensorId) -> Result<bool, Problem> {
        let whole = window.is_unpadded() && window.kernel[..] == self.graph.shape(x)[2..];
        Ok(self.kpu_mean(x, window, y)? || (whole && self.byte_mean(x, y)?))
    }

    pub(super) fn define_byte(
        &mut self,
        op: StepOp,
        reads: Vec<usize>,
        y: usize,
    ) -> Result<bool, Problem> {
        let shape = self.shape(y)?;
        let value = self.push(op, reads, Dtype::U8, shape, Some(y));
        self.homes[y].byte = Some(value);
        Ok(true)
    }

    /// A crop of height and width is only another frame of the same image.
    fn cropped(
        &self,
        home: KpuHome,
        node: &Node,
        begin: &[usize],
        strides: &[isize],
    ) -> Option<Frame> {
        let out = self.graph.shape(node.output);
        let input = self.graph.shape(node.inputs[0]);
        let plain = strides.iter().all(|&s| s == 1) && begin.len() == 4 && begin[..2] == [0, 0];
        // The producer must be able to give the bytes too.
        (plain && out[..2] == input[..2] && home.producer.is_some()).then(|| Frame {
            before: [home.frame.before[0] + begin[2], home.frame.before[1] + begin[3]],
            inner: [out[2], out[3]],
            size: home.frame.size,
            clean: false,
        })
    }

    /// Sum, difference or product of two tensors on bytes.
    fn quantized_binary(&mut self, node: &'g Node, op: BinaryOp) -> Result<bool, Problem> {
        let [a, b] = node.inputs[..] else { return Ok(false) };
        let elements = self.graph.tensors[node.output].elements();
        let supported = matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul);
        let there = |id: usize| self.has_bytes(id) || self.graph.tensors[id].data.is_some();
        if self.options.no_quantized_binary
            || !supported
            || elements < self.options.output_quantize_threshold
            || !there(a)
            || !there(b)
        {
            return Ok(false);
        }
        let (qa, qb) = (self.q(a), self.q(b));
        // Zero points between two bytes cannot be taken off exactly.
        if [qa, qb].iter().any(|q| q.zero.fract() != 0.0) {
            return Ok(false);
        }
        let (_, y) = self.function_behind(node.output, |f| {
            f.as_clamp().is_some_and(|(low, high)| low <= 0.0 && high >= 0.0)
        });
        let out = self.q(y);
        let factor = |scale: f32, unit: f64| fixed_point(f64::from(scale) / unit, 15, 15);
        let unit = f64::from(qa.scale.max(qb.scale)) / 4096.0;
        let ((a_mul, a_shift), (b_mul, b_shift), product) = if op == BinaryOp::Mul {
            ((1, 0), (1, 0), f64::from(qa.scale) * f64::from(qb.scale))
        } else {
            (factor(qa.scale, unit), factor(qb.scale, unit), unit)
        };
        let (out_mul, out_shift) = fixed_point(product / f64::from(out.scale), 20, 30);
        let factors = |zero: f32, mul: i32, shift: u32| Factors {
            offset: -zero as i32,
            mul,
            shift: shift as i32,
        };
        let step = StepOp::QuantizedBinary {
            op,
            a: factors(qa.zero, a_mul, a_shift),
            b: factors(qb.zero, b_mul, b_shift),
            out: Factors { offset: out.zero as i32, mul: out_mul, shift: out_shift as i32 },
        };
        let reads = vec![self.byte(a)?, self.byte(b)?];
        self.define_byte(step, reads, y)
    }
}
