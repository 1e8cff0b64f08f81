//! Runs the graph in single precision: the reference that calibration and the report measure with.
//!
//! The convolutions and matrix products go through `matrixmultiply`; the order of their sums is
//! therefore not that of the chip's kernels.

mod conv;
mod shape;
mod window;

use std::sync::Arc;

pub(crate) use shape::transpose;
pub(crate) use window::{nearest, sources};

use crate::graph::{BinaryOp, Graph, Node, Op, ReduceOp, TensorId, broadcast, strides};

/// Runs the graph on `inputs`, one slice for each of its inputs, and shows `visit` every tensor
/// that is not constant as soon as it is known. Returns the outputs.
pub fn run(
    graph: &Graph,
    inputs: &[&[f32]],
    visit: &mut dyn FnMut(TensorId, &[f32]),
) -> Vec<Arc<[f32]>> {
    let mut values: Vec<Option<Arc<[f32]>>> =
        graph.tensors.iter().map(|t| t.data.clone()).collect();
    for (&id, &data) in graph.inputs.iter().zip(inputs) {
        visit(id, data);
        values[id] = Some(data.into());
    }
    let mut last_use = vec![0; graph.tensors.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&id| last_use[id] = at);
    }
    graph.outputs.iter().for_each(|&id| last_use[id] = usize::MAX);
    for (at, node) in graph.nodes.iter().enumerate() {
        let operands: Vec<&[f32]> =
            node.inputs.iter().map(|&id| &**values[id].as_ref().expect("in order")).collect();
        let result = eval(graph, node, &operands);
        visit(node.output, &result);
        values[node.output] = Some(result.into());
        for &id in &node.inputs {
            if last_use[id] <= at && graph.tensors[id].data.is_none() {
                values[id] = None;
            }
        }
    }
    graph
        .outputs
        .iter()
        .map(|&id| values[id].clone().expect("every output has a producer"))
        .collect()
}

/// The result of one node.
pub fn eval(graph: &Graph, node: &Node, operands: &[&[f32]]) -> Vec<f32> {
    let shape = |i: usize| graph.shape(node.inputs[i]);
    let out = graph.shape(node.output);
    let x = operands[0];
    match &node.op {
        Op::Conv2d(c) => conv::conv2d(c, x, shape(0), out),
        Op::ConvTranspose(c) => conv::transpose(c, x, shape(0), out),
        Op::MatMul { bias } => matmul(x, shape(0), operands[1], shape(1), bias, out),
        Op::Pool(pool) => window::pool(pool, x, shape(0), out),
        Op::Binary(op) => binary(*op, x, shape(0), operands[1], shape(1)),
        Op::Map(f) => {
            let mut y = x.to_vec();
            f.map(&mut y);
            y
        }
        Op::Reduce { op, axes } => reduce(*op, axes, x, shape(0)),
        Op::PRelu { slopes } => prelu(slopes, x, shape(0)),
        Op::Softmax { axis, beta } => softmax(*axis, *beta, x, shape(0)),
        Op::Pad { pads, value } => shape::pad(pads, *value, x, shape(0), out),
        Op::Concat { axis } => {
            let shapes: Vec<&[usize]> = (0..operands.len()).map(shape).collect();
            shape::concat(*axis, operands, &shapes)
        }
        Op::Slice { begin, strides } => shape::slice(begin, strides, x, shape(0), out),
        Op::Transpose { perm } => shape::transpose(perm, x, shape(0)),
        Op::Reshape => x.to_vec(),
        Op::Resize(resize) => window::resize(resize, x, shape(0), out),
    }
}

/// `a x b + bias` for row-major matrices, rows of `a` in the leading dimensions.
fn matmul(
    a: &[f32],
    a_shape: &[usize],
    b: &[f32],
    b_shape: &[usize],
    bias: &[f32],
    out: &[usize],
) -> Vec<f32> {
    let columns = b_shape[b_shape.len() - 1];
    let k = b_shape[b_shape.len() - 2];
    let batches = (b.len() / (k * columns)).max(1);
    let rows = a.len() / k / batches;
    debug_assert_eq!(a_shape.last(), Some(&k));
    let mut y: Vec<f32> = bias.iter().copied().cycle().take(out.iter().product()).collect();
    for batch in 0..batches {
        gemm(
            [rows, k, columns],
            &a[batch * rows * k..][..rows * k],
            &b[batch * k * columns..][..k * columns],
            &mut y[batch * rows * columns..][..rows * columns],
        );
    }
    y
}

/// `y += a [m][k] x b [k][n]`
fn gemm([m, k, n]: [usize; 3], a: &[f32], b: &[f32], y: &mut [f32]) {
    assert!(a.len() >= m * k && b.len() >= k * n && y.len() >= m * n);
    // SAFETY: the slices hold m x k, k x n and m x n elements with the row strides given, as the
    // line above checks, and `y` is borrowed for writing.
    #[allow(unsafe_code)]
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            k as isize,
            1,
            b.as_ptr(),
            n as isize,
            1,
            1.0,
            y.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

fn binary(op: BinaryOp, a: &[f32], a_shape: &[usize], b: &[f32], b_shape: &[usize]) -> Vec<f32> {
    if a_shape == b_shape {
        return a.iter().zip(b).map(|(&a, &b)| op.eval(a, b)).collect();
    }
    let out = broadcast(a_shape, b_shape).expect("checked by the importer");
    let steps = |shape: &[usize]| -> Vec<usize> {
        let mut steps = vec![0; out.len() - shape.len()];
        steps.extend(strides(shape).iter().zip(shape).map(|(&s, &d)| if d == 1 { 0 } else { s }));
        steps
    };
    let (a_steps, b_steps) = (steps(a_shape), steps(b_shape));
    let mut y = Vec::with_capacity(out.iter().product());
    for_each_index(&out, |index| {
        let at = |steps: &[usize]| index.iter().zip(steps).map(|(i, s)| i * s).sum::<usize>();
        y.push(op.eval(a[at(&a_steps)], b[at(&b_steps)]));
    });
    y
}

/// Calls `f` with every index of `shape`, the last dimension fastest.
pub(crate) fn for_each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        f(&index);
        for (i, &dim) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
}

fn reduce(op: ReduceOp, axes: &[usize], x: &[f32], shape: &[usize]) -> Vec<f32> {
    let kept: Vec<usize> =
        shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
    let steps: Vec<usize> = strides(&kept)
        .iter()
        .enumerate()
        .map(|(i, &s)| if axes.contains(&i) { 0 } else { s })
        .collect();
    let mut y = vec![op.init(); kept.iter().product()];
    let mut values = x.iter();
    for_each_index(shape, |index| {
        let at: usize = index.iter().zip(&steps).map(|(i, s)| i * s).sum();
        y[at] = op.step(y[at], *values.next().expect("as many as the shape has"));
    });
    if op == ReduceOp::Mean {
        let scale = y.len() as f32 / x.len() as f32;
        y.iter_mut().for_each(|y| *y *= scale);
    }
    y
}

fn prelu(slopes: &[f32], x: &[f32], shape: &[usize]) -> Vec<f32> {
    let planes = x.chunks_exact(shape[2] * shape[3]).zip(slopes.iter().cycle());
    planes.flat_map(|(plane, a)| plane.iter().map(move |x| x.max(0.0) + a * x.min(0.0))).collect()
}

fn softmax(axis: usize, beta: f32, x: &[f32], shape: &[usize]) -> Vec<f32> {
    let inner: usize = shape[axis + 1..].iter().product();
    let block = inner * shape[axis];
    let mut y = x.to_vec();
    for block in y.chunks_exact_mut(block) {
        for i in 0..inner {
            let line = || (i..block.len()).step_by(inner);
            let max = line().map(|i| block[i]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = line().map(|i| ((block[i] - max) * beta).exp()).sum();
            line().for_each(|i| block[i] = ((block[i] - max) * beta).exp() / sum);
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_operands_repeat() {
        let y = binary(BinaryOp::Add, &[1.0, 2.0], &[1, 2, 1], &[10.0, 20.0, 30.0], &[3]);
        assert_eq!(y, [11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
    }

    #[test]
    fn reductions_and_softmax_follow_their_axis() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(reduce(ReduceOp::Mean, &[0], &x, &[2, 3]), [2.5, 3.5, 4.5]);
        assert_eq!(reduce(ReduceOp::Max, &[1], &x, &[2, 3]), [3.0, 6.0]);
        let y = softmax(0, 1.0, &x, &[2, 3]);
        assert!((y[0] + y[3] - 1.0).abs() < 1e-6 && y[3] > 0.95);
    }

    #[test]
    fn matmul_adds_its_bias() {
        let y = matmul(&[1.0, 2.0], &[1, 2], &[1.0, 0.0, 2.0, 1.0], &[2, 2], &[0.5, 1.0], &[1, 2]);
        assert_eq!(y, [5.5, 3.0]);
    }
}
