//! Reshapes and transposes: what moves nothing vanishes, neighbours become one.

use super::each_node;
use crate::{
    eval,
    graph::{Graph, Op},
};

/// Removes and joins reshapes and transposes.
pub fn simplify(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        let node = &graph.nodes[at];
        let (x, y) = (node.inputs[0], node.output);
        let same_shape = graph.shape(x) == graph.shape(y);
        let before = graph.producer(x).map(|p| &graph.nodes[p]);
        match &node.op {
            Op::Reshape if same_shape => remove(graph, at),
            Op::Transpose { perm } if perm.iter().enumerate().all(|(i, &p)| i == p) => {
                remove(graph, at)
            }
            // Only dimensions of 1 change places: the order in memory stays.
            Op::Transpose { perm } if keeps_order(perm, graph.shape(x)) => {
                graph.nodes[at].op = Op::Reshape;
                true
            }
            Op::Reshape => match before {
                Some(b) if matches!(b.op, Op::Reshape) => {
                    graph.nodes[at].inputs[0] = b.inputs[0];
                    true
                }
                _ => false,
            },
            Op::Transpose { perm } => match before {
                Some(b) => match &b.op {
                    Op::Transpose { perm: first } => {
                        let joined = perm.iter().map(|&p| first[p]).collect();
                        let source = b.inputs[0];
                        graph.nodes[at].op = Op::Transpose { perm: joined };
                        graph.nodes[at].inputs[0] = source;
                        true
                    }
                    _ => false,
                },
                None => false,
            },
            _ => false,
        }
    })
}

/// Takes a node that changes nothing out of the graph.
fn remove(graph: &mut Graph, at: usize) -> bool {
    let (x, y) = (graph.nodes[at].inputs[0], graph.nodes[at].output);
    if graph.outputs.contains(&y) && graph.producer(x).is_none() {
        return false;
    }
    graph.nodes.remove(at);
    let range = graph.tensors[y].range;
    graph.tensors[x].range = graph.tensors[x].range.or(range);
    graph.replace(y, x);
    true
}

/// Whether the dimensions larger than 1 stay in their order.
fn keeps_order(perm: &[usize], shape: &[usize]) -> bool {
    let moved: Vec<usize> = perm.iter().copied().filter(|&p| shape[p] > 1).collect();
    moved.is_sorted()
}

/// `matmul(reshape(transpose(x)), w)` becomes `matmul(reshape(x), w with its rows in another
/// order)`: the flattening of N, H, W, C before a fully connected layer costs nothing.
pub fn transpose_matmul_weights(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        if !matches!(graph.nodes[at].op, Op::MatMul { .. }) {
            return false;
        }
        let (flat, weights) = (graph.nodes[at].inputs[0], graph.nodes[at].inputs[1]);
        let Some(reshape) = graph.producer(flat) else { return false };
        if !matches!(graph.nodes[reshape].op, Op::Reshape) {
            return false;
        }
        let Some(transpose) = graph.producer(graph.nodes[reshape].inputs[0]) else { return false };
        let Op::Transpose { perm } = &graph.nodes[transpose].op else { return false };
        let Some(data) = &graph.tensors[weights].data else { return false };
        let source = graph.nodes[transpose].inputs[0];
        let w_shape = graph.shape(weights);
        let k: usize = graph.shape(source).iter().product();
        if w_shape.len() != 2 || w_shape[0] != k {
            return false;
        }
        // Rows stand in the order of the transposed tensor; bring them into that of its source.
        let mut shape: Vec<usize> = perm.iter().map(|&p| graph.shape(source)[p]).collect();
        shape.push(w_shape[1]);
        let mut inverse: Vec<usize> = (0..perm.len())
            .map(|i| perm.iter().position(|&p| p == i).expect("a permutation"))
            .collect();
        inverse.push(perm.len());
        let rows = eval::transpose(&inverse, data, &shape);
        let (name, w_shape) = (graph.tensors[weights].name.clone(), w_shape.to_vec());
        let weights = graph.constant(name, w_shape, rows);
        let flat_shape = graph.shape(flat).to_vec();
        let node = graph.nodes[reshape].clone();
        let new_flat = graph.tensor(node.name.clone(), flat_shape);
        graph.nodes[at].inputs = vec![new_flat, weights];
        graph.nodes.insert(
            at,
            crate::graph::Node {
                name: node.name,
                op: Op::Reshape,
                inputs: vec![source],
                output: new_flat,
            },
        );
        true
    })
}
