//! Operators whose operands are all constant are computed now.

use std::sync::Arc;

use crate::{eval, graph::Graph};

/// Replaces constant results by their values.
pub fn fold(graph: &mut Graph) {
    for at in 0..graph.nodes.len() {
        let node = &graph.nodes[at];
        let operands: Option<Vec<Arc<[f32]>>> =
            node.inputs.iter().map(|&id| graph.tensors[id].data.clone()).collect();
        if let Some(operands) = operands {
            let operands: Vec<&[f32]> = operands.iter().map(|o| &**o).collect();
            let value = eval::eval(graph, node, &operands);
            let output = node.output;
            graph.tensors[output].data = Some(value.into());
        }
    }
    let Graph { nodes, tensors, .. } = graph;
    nodes.retain(|node| tensors[node.output].data.is_none());
}
