//! Operators that the CPU computes in single precision.

use maix_kpu::{model::v4::MAX_NNIL, tensor::Dtype};

use super::Lowering;
use crate::{
    expr::Expr,
    graph::{BinaryOp, Node, Op, Resize, TensorId},
    options::NNIL,
    problem::Problem,
    program::{Clamp, FULL, Shape, StepOp, ValueId},
};

impl<'g> Lowering<'g> {
    /// Lowers a node in single precision.
    pub(super) fn on_floats(&mut self, node: &'g Node) -> Result<(), Problem> {
        let x = node.inputs[0];
        match &node.op {
            Op::Conv2d(conv) => {
                let input = self.float(x)?;
                let (clamp, y) = self.clamp_behind(node.output);
                let op = StepOp::Conv2d {
                    groups: conv.groups,
                    window: conv.window.clone(),
                    clamp,
                    weights: conv.weights.clone(),
                    bias: conv.bias.clone(),
                };
                self.define_float(op, vec![input], y)
            }
            Op::ConvTranspose(conv) => {
                let input = self.float(x)?;
                let has_bias = conv.bias.iter().any(|&b| b != 0.0);
                // The v4 runtime never adds the bias; it becomes an add of its own.
                let (clamp, y) =
                    if has_bias { (FULL, node.output) } else { self.clamp_behind(node.output) };
                let op = StepOp::ConvTranspose {
                    groups: conv.groups,
                    window: conv.window.clone(),
                    clamp,
                    weights: conv.weights.clone(),
                    bias: vec![0.0; conv.bias.len()],
                };
                if !has_bias {
                    return self.define_float(op, vec![input], y);
                }
                let shape = self.shape(node.output)?;
                let product = self.push(op, vec![input], Dtype::F32, shape, None);
                let bias = self.program.constant([1, conv.bias.len(), 1, 1], &conv.bias);
                let (clamp, y) = self.clamp_behind(node.output);
                self.define_float(
                    StepOp::Binary { op: BinaryOp::Add, clamp },
                    vec![product, bias],
                    y,
                )
            }
            Op::MatMul { bias } => self.float_matmul(node, bias),
            Op::Pool(pool) => {
                let input = self.float(x)?;
                let (clamp, y) = self.clamp_behind(node.output);
                let op = StepOp::ReduceWindow { op: pool.op, window: pool.window.clone(), clamp };
                self.define_float(op, vec![input], y)
            }
            Op::Binary(op) => {
                let (a, b) = (self.float(x)?, self.float(node.inputs[1])?);
                let (clamp, y) = self.clamp_behind(node.output);
                self.define_float(StepOp::Binary { op: *op, clamp }, vec![a, b], y)
            }
            Op::Map(f) => {
                let input = self.float(x)?;
                let value = self.function(f, input, Some(node.output));
                self.homes[node.output].float = Some(value);
                Ok(())
            }
            Op::PRelu { slopes } => self.float_prelu(node, slopes),
            Op::Reduce { op, .. } => {
                let input = self.float(x)?;
                self.define_float(StepOp::Reduce { op: *op }, vec![input], node.output)
            }
            Op::Softmax { axis, beta } => self.softmax(node, *axis, *beta),
            Op::Pad { pads, value } => {
                let input = self.float(x)?;
                let op = StepOp::Pad { pads: self.four(pads, (0, 0))?, value: *value };
                self.define_float(op, vec![input], node.output)
            }
            Op::Concat { axis } => {
                let parts =
                    node.inputs.iter().map(|&id| self.float(id)).collect::<Result<Vec<_>, _>>()?;
                let op = StepOp::Concat { axis: self.axis4(*axis, node.output)? };
                self.define_float(op, parts, node.output)
            }
            Op::Slice { begin, strides } => {
                let input = self.float(x)?;
                let op =
                    StepOp::Slice { begin: self.four(begin, 0)?, strides: self.four(strides, 1)? };
                self.define_float(op, vec![input], node.output)
            }
            Op::Transpose { perm } => {
                let input = self.float(x)?;
                let value = self.transposed(input, self.graph.shape(x), perm, node.output)?;
                self.homes[node.output].float = Some(value);
                Ok(())
            }
            Op::Reshape => {
                let input = self.float(x)?;
                let shape = self.shape(node.output)?;
                let value = self.reshaped(input, shape, node.output);
                self.homes[node.output].float = Some(value);
                Ok(())
            }
            Op::Resize(resize) => {
                let input = self.float(x)?;
                self.define_float(resize_step(resize), vec![input], node.output)
            }
        }
    }

    fn define_float(
        &mut self,
        op: StepOp,
        reads: Vec<ValueId>,
        y: TensorId,
    ) -> Result<(), Problem> {
        let shape = self.shape(y)?;
        let value = self.push(op, reads, Dtype::F32, shape, Some(y));
        self.homes[y].float = Some(value);
        Ok(())
    }

    /// The bounds behind a node that its operator can apply itself, and the tensor after them.
    pub(super) fn clamp_behind(&mut self, id: TensorId) -> (Clamp, TensorId) {
        let (f, y) = self.function_behind(id, |f| f.as_clamp().is_some());
        let (low, high) = f.as_clamp().unwrap_or(FULL);
        ((low.max(f32::MIN), high.min(f32::MAX)), y)
    }

    /// Axis of a tensor among the four of the chip's runtime.
    pub(super) fn axis4(&self, axis: usize, id: TensorId) -> Result<usize, Problem> {
        let rank = self.graph.shape(id).len();
        if rank > 4 { Err(self.rank_problem(rank)) } else { Ok(axis + 4 - rank) }
    }

    /// One entry for each of the four dimensions.
    pub(super) fn four<T: Copy>(&self, list: &[T], missing: T) -> Result<[T; 4], Problem> {
        if list.len() > 4 {
            return Err(self.rank_problem(list.len()));
        }
        let mut four = [missing; 4];
        four[4 - list.len()..].copy_from_slice(list);
        Ok(four)
    }

    fn rank_problem(&self, rank: usize) -> Problem {
        self.problem(
            format!("an operator over {rank} dimensions"),
            "the chip's runtime has four; leave out the batch dimension or reshape before this layer",
        )
    }

    /// The same memory under another shape; the whole of a constant is copied.
    pub(super) fn reshaped(&mut self, value: ValueId, shape: Shape, tensor: TensorId) -> ValueId {
        let of = &self.program.values[value];
        match of.data.clone() {
            Some(data) => {
                let dtype = of.dtype;
                self.program.constant_bytes(dtype, shape, data)
            }
            None => self.program.alias(value, shape, Some(tensor)),
        }
    }

    /// A value with its axes in another order; neighbours that stay together count as one axis.
    pub(super) fn transposed(
        &mut self,
        value: ValueId,
        shape: &[usize],
        perm: &[usize],
        y: TensorId,
    ) -> Result<ValueId, Problem> {
        // Groups of input axes that stay neighbours, axes of size 1 left out.
        let order: Vec<usize> = perm.iter().copied().filter(|&p| shape[p] > 1).collect();
        let mut kept: Vec<usize> = order.clone();
        kept.sort_unstable();
        let rank_of = |axis: usize| kept.iter().position(|&k| k == axis).expect("kept");
        let order: Vec<usize> = order.into_iter().map(rank_of).collect();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for axis in order {
            match groups.last_mut() {
                Some(group) if group.last().is_some_and(|&last| last + 1 == axis) => {
                    group.push(axis)
                }
                _ => groups.push(vec![axis]),
            }
        }
        if groups.len() > 4 {
            return Err(self.rank_problem(groups.len()));
        }
        let mut by_input: Vec<usize> = (0..groups.len()).collect();
        by_input.sort_by_key(|&g| groups[g][0]);
        let size = |g: usize| groups[g].iter().map(|&a| shape[kept[a]]).product::<usize>();
        let lead = 4 - groups.len();
        let (mut from, mut to, mut perm4) = ([1; 4], [1; 4], [0, 1, 2, 3]);
        for (i, &g) in by_input.iter().enumerate() {
            from[lead + i] = size(g);
        }
        for g in 0..groups.len() {
            to[lead + g] = size(g);
            perm4[lead + g] = lead + by_input.iter().position(|&b| b == g).expect("a permutation");
        }
        let dtype = self.program.values[value].dtype;
        let source = self.reshaped(value, from, y);
        let moved = self.push(StepOp::Transpose { perm: perm4 }, vec![source], dtype, to, Some(y));
        let shape = self.shape(y)?;
        Ok(if shape == to { moved } else { self.program.alias(moved, shape, Some(y)) })
    }

    fn float_prelu(&mut self, node: &'g Node, slopes: &[f32]) -> Result<(), Problem> {
        let input = self.float(node.inputs[0])?;
        let shape = self.shape(node.output)?;
        let positive = self.function(&Expr::relu(), input, None);
        let negative = self.function(&Expr::X.min(0.0), input, None);
        let slopes = self.program.constant([1, slopes.len(), 1, 1], slopes);
        let product = StepOp::Binary { op: BinaryOp::Mul, clamp: FULL };
        let negative = self.push(product, vec![negative, slopes], Dtype::F32, shape, None);
        let (clamp, y) = self.clamp_behind(node.output);
        self.define_float(StepOp::Binary { op: BinaryOp::Add, clamp }, vec![positive, negative], y)
    }

    /// The softmax of the chip goes over the innermost axis; another one is brought there and back.
    fn softmax(&mut self, node: &'g Node, axis: usize, beta: f32) -> Result<(), Problem> {
        let (x, y) = (node.inputs[0], node.output);
        let shape = self.graph.shape(x);
        let input = self.float(x)?;
        let inner: usize = shape[axis + 1..].iter().product();
        let outer: usize = shape[..axis].iter().product();
        let flat = [1, outer, inner, shape[axis]];
        let op = StepOp::Softmax { inner: shape[axis], beta };
        let own = self.shape(y)?;
        let value = if inner == 1 {
            self.push(op, vec![input], Dtype::F32, own, Some(y))
        } else {
            let split = self.reshaped(input, [1, outer, shape[axis], inner], x);
            let there = self.push(
                StepOp::Transpose { perm: [0, 1, 3, 2] },
                vec![split],
                Dtype::F32,
                flat,
                None,
            );
            let soft = self.push(op, vec![there], Dtype::F32, flat, None);
            let back = self.push(
                StepOp::Transpose { perm: [0, 1, 3, 2] },
                vec![soft],
                Dtype::F32,
                [1, outer, shape[axis], inner],
                Some(y),
            );
            self.program.alias(back, own, Some(y))
        };
        self.homes[y].float = Some(value);
        Ok(())
    }

    /// One matrix product for each entry of the leading dimensions.
    fn float_matmul(&mut self, node: &'g Node, bias: &[f32]) -> Result<(), Problem> {
        let (a_shape, b_shape) =
            (self.graph.shape(node.inputs[0]), self.graph.shape(node.inputs[1]));
        let (a, b) = (self.float(node.inputs[0])?, self.float(node.inputs[1])?);
        let (k, columns) = (b_shape[b_shape.len() - 2], b_shape[b_shape.len() - 1]);
        let batches: usize = b_shape[..b_shape.len() - 2].iter().product();
        let rows = a_shape.iter().product::<usize>() / k / batches;
        let (clamp, y) = self.clamp_behind(node.output);
        let shape = self.shape(y)?;
        let op = StepOp::MatMul { size: [rows, k, columns], clamp, bias: bias.to_vec() };
        if batches == 1 {
            let value = self.push(op, vec![a, b], Dtype::F32, shape, Some(y));
            self.homes[y].float = Some(value);
            return Ok(());
        }
        let out = self.program.value(Dtype::F32, shape, crate::program::Place::Main, Some(y));
        for batch in 0..batches {
            let a = self.part(a, [1, 1, rows, k], batch);
            let b = self.part(b, [1, 1, k, columns], batch);
            let part = self.part(out, [1, 1, rows, columns], batch);
            self.step(op.clone(), vec![a, b], vec![part]);
        }
        self.homes[y].float = Some(out);
        Ok(())
    }

    /// The `index`-th part of a value that consists of equal parts of `shape`.
    fn part(&mut self, of: ValueId, shape: Shape, index: usize) -> ValueId {
        let bytes = shape.iter().product::<usize>() * 4;
        if let Some(data) = &self.program.values[of].data {
            let data = data[index * bytes..][..bytes].to_vec();
            return self.program.constant_bytes(Dtype::F32, shape, data);
        }
        let part = self.program.alias(of, shape, None);
        self.program.values[part].within = Some((of, index * bytes));
        part
    }

    /// A function of every element: operator by operator, or as byte code where the firmware has it.
    pub(super) fn function(&mut self, f: &Expr, x: ValueId, tensor: Option<TensorId>) -> ValueId {
        let is_one_step = |e: &Expr| matches!(e, Expr::X | Expr::Const(_));
        let is_one_step = match f {
            Expr::Unary(_, a) => is_one_step(a),
            Expr::Binary(_, a, b) => is_one_step(a) && is_one_step(b),
            _ => true,
        };
        if self.options.allows(NNIL) && !is_one_step {
            let code = f.nnil();
            if code.len() <= MAX_NNIL {
                let shape = self.program.values[x].shape;
                return self.push(StepOp::Nnil { code }, vec![x], Dtype::F32, shape, tensor);
            }
        }
        match self.term(f, x, tensor) {
            Term::Value(value) => value,
            Term::Const(c) => {
                // A function that does not depend on its operand: 0 * x + c.
                let zero = self.binary_step(
                    BinaryOp::Mul,
                    Term::Value(x),
                    Term::Const(0.0),
                    FULL,
                    x,
                    tensor,
                );
                self.binary_step(BinaryOp::Add, Term::Value(zero), Term::Const(c), FULL, x, tensor)
            }
        }
    }

    fn term(&mut self, f: &Expr, x: ValueId, tensor: Option<TensorId>) -> Term {
        match f {
            Expr::X => Term::Value(x),
            Expr::Const(c) => Term::Const(*c),
            Expr::Unary(op, a) => match self.term(a, x, tensor) {
                Term::Const(c) => Term::Const(op.eval(c)),
                Term::Value(a) => {
                    let shape = self.program.values[a].shape;
                    Term::Value(self.push(StepOp::Unary(*op), vec![a], Dtype::F32, shape, tensor))
                }
            },
            Expr::Binary(op, a, b) => {
                // Bounds around a binary operator are part of that operator.
                let (mut inner, mut clamp) = (f, FULL);
                while let Expr::Binary(op, a, b) = inner
                    && let Expr::Const(c) = **b
                    && matches!(**a, Expr::Binary(..))
                {
                    match op {
                        BinaryOp::Max if c <= clamp.1 => clamp.0 = clamp.0.max(c),
                        BinaryOp::Min if c >= clamp.0 => clamp.1 = clamp.1.min(c),
                        _ => break,
                    }
                    inner = a;
                }
                let Expr::Binary(inner_op, inner_a, inner_b) = inner else {
                    unreachable!("the loop ends at a binary expression")
                };
                let (op, a, b) =
                    if clamp == FULL { (op, a, b) } else { (inner_op, inner_a, inner_b) };
                let (a, b) = (self.term(a, x, tensor), self.term(b, x, tensor));
                if let (Term::Const(a), Term::Const(b)) = (&a, &b) {
                    return Term::Const(op.eval(*a, *b).max(clamp.0).min(clamp.1));
                }
                Term::Value(self.binary_step(*op, a, b, clamp, x, tensor))
            }
        }
    }

    fn binary_step(
        &mut self,
        op: BinaryOp,
        a: Term,
        b: Term,
        clamp: Clamp,
        like: ValueId,
        tensor: Option<TensorId>,
    ) -> ValueId {
        let shape = self.program.values[like].shape;
        let [a, b] = [a, b].map(|t| match t {
            Term::Value(value) => value,
            Term::Const(c) => self.program.constant([1; 4], &[c]),
        });
        self.push(StepOp::Binary { op, clamp }, vec![a, b], Dtype::F32, shape, tensor)
    }
}

/// The runtime's resize; others are rewritten before.
pub(super) fn resize_step(resize: &Resize) -> StepOp {
    StepOp::Resize { bilinear: resize.bilinear, align_corners: resize.align_corners }
}

enum Term {
    Value(ValueId),
    Const(f32),
}
