//! A factor or an addend per channel behind a convolution or matrix product goes into its weights.

use super::each_node;
use crate::{
    expr::Expr,
    graph::{BinaryOp, Graph, Op, TensorId},
};

/// Folds factors and addends.
pub fn fold(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        let Some((x, scale, offset)) = affine(graph, at) else { return false };
        let Some(producer) = graph.producer(x) else { return false };
        if graph.readers(x) > 1 {
            return false;
        }
        let per_channel = |values: &[f32], c: usize| values[if values.len() == 1 { 0 } else { c }];
        match graph.nodes[producer].op.clone() {
            Op::Conv2d(mut conv) => {
                scale_rows(
                    &mut conv.weights,
                    &mut conv.bias,
                    |c| per_channel(&scale, c),
                    |c| per_channel(&offset, c),
                );
                graph.nodes[producer].op = Op::Conv2d(conv);
            }
            Op::ConvTranspose(mut conv) => {
                scale_rows(
                    &mut conv.weights,
                    &mut conv.bias,
                    |c| per_channel(&scale, c),
                    |c| per_channel(&offset, c),
                );
                graph.nodes[producer].op = Op::ConvTranspose(conv);
            }
            Op::MatMul { mut bias } => {
                let weights = graph.nodes[producer].inputs[1];
                let Some(data) = graph.tensors[weights].data.clone() else { return false };
                // A constant a channel of a tensor of rank 4 is none a column.
                let is_column = graph.shape(x).len() != 4 || scale.len().max(offset.len()) == 1;
                if graph.shape(weights).len() != 2 || !is_column {
                    return false;
                }
                let columns = bias.len();
                let data: Vec<f32> = data
                    .iter()
                    .enumerate()
                    .map(|(i, w)| w * per_channel(&scale, i % columns))
                    .collect();
                for (c, b) in bias.iter_mut().enumerate() {
                    *b = *b * per_channel(&scale, c) + per_channel(&offset, c);
                }
                let shape = graph.shape(weights).to_vec();
                let name = graph.tensors[weights].name.clone();
                let weights = graph.constant(name, shape, data);
                graph.nodes[producer].inputs[1] = weights;
                graph.nodes[producer].op = Op::MatMul { bias };
            }
            _ => return false,
        }
        let node = graph.nodes.remove(at);
        graph.nodes[producer].output = node.output;
        true
    })
}

/// Rows of weights and their biases times `scale`, plus `offset`.
fn scale_rows(
    weights: &mut [f32],
    bias: &mut [f32],
    scale: impl Fn(usize) -> f32,
    offset: impl Fn(usize) -> f32,
) {
    let row = weights.len() / bias.len();
    for (c, (weights, bias)) in weights.chunks_exact_mut(row).zip(bias).enumerate() {
        weights.iter_mut().for_each(|w| *w *= scale(c));
        *bias = *bias * scale(c) + offset(c);
    }
}

/// If the node is `x * scale + offset`: x, the scales and the offsets (one, or one a channel).
fn affine(graph: &Graph, at: usize) -> Option<(TensorId, Vec<f32>, Vec<f32>)> {
    let node = &graph.nodes[at];
    match &node.op {
        Op::Map(Expr::Binary(op, a, b)) => match (op, &**a, &**b) {
            (BinaryOp::Add, Expr::X, Expr::Const(c)) | (BinaryOp::Add, Expr::Const(c), Expr::X) => {
                Some((node.inputs[0], vec![1.0], vec![*c]))
            }
            (BinaryOp::Sub, Expr::X, Expr::Const(c)) => Some((node.inputs[0], vec![1.0], vec![-c])),
            (BinaryOp::Mul, Expr::X, Expr::Const(c)) | (BinaryOp::Mul, Expr::Const(c), Expr::X) => {
                Some((node.inputs[0], vec![*c], vec![0.0]))
            }
            (BinaryOp::Div, Expr::X, Expr::Const(c)) => {
                Some((node.inputs[0], vec![1.0 / c], vec![0.0]))
            }
            _ => None,
        },
        Op::Binary(op) => {
            let (x, c) = (node.inputs[0], node.inputs[1]);
            let swapped = graph.tensors[x].data.is_some();
            let (x, c) = if swapped { (c, x) } else { (x, c) };
            let values = graph.tensors[c].data.as_deref()?;
            is_per_channel(graph.shape(c), graph.shape(x)).then_some(())?;
            if graph.shape(x) != graph.shape(node.output) {
                return None;
            }
            let each = |f: fn(f32) -> f32| values.iter().map(|&v| f(v)).collect::<Vec<_>>();
            match (op, swapped) {
                (BinaryOp::Add, _) => Some((x, vec![1.0], values.to_vec())),
                (BinaryOp::Sub, false) => Some((x, vec![1.0], each(|v| -v))),
                (BinaryOp::Sub, true) => Some((x, vec![-1.0], values.to_vec())),
                (BinaryOp::Mul, _) => Some((x, values.to_vec(), vec![0.0])),
                (BinaryOp::Div, false) => Some((x, each(|v| 1.0 / v), vec![0.0])),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a constant of shape `c` has one number for each channel (rank 4) or column of `x`.
fn is_per_channel(c: &[usize], x: &[usize]) -> bool {
    let channel_axis = if x.len() == 4 { 1 } else { x.len().saturating_sub(1) };
    let Some(skipped) = x.len().checked_sub(c.len()) else { return false };
    c.iter()
        .enumerate()
        .all(|(i, &d)| if i + skipped == channel_axis { d == x[channel_axis] } else { d == 1 })
        && skipped <= channel_axis
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_per_channel_are_recognised() {
        assert!(is_per_channel(&[1, 8, 1, 1], &[1, 8, 5, 5]));
        assert!(is_per_channel(&[8, 1, 1], &[1, 8, 5, 5]));
        assert!(!is_per_channel(&[5], &[1, 8, 5, 5]));
        assert!(is_per_channel(&[10], &[1, 10]));
    }
}
