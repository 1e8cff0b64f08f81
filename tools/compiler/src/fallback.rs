//! Layers that stay in float: a network that magnifies what bytes round off gives other answers in
//! bytes. Where that is so, the tensors whose rounding does most harm are left in float, as few as
//! bring the outputs near to the float model's.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rayon::prelude::*;

use crate::{
    eval,
    graph::{Graph, Node, Op, TensorId},
    measure::Difference,
    quantize::QParam,
};

/// An output in bytes has at least this cosine with the float model's, or layers stay in float.
pub const LEAST_COSINE: f64 = 0.99;

/// The tensors between the layers, those first whose rounding alone changes the outputs most.
///
/// `inputs` are a few real inputs of the model.
pub fn ranked(graph: &Graph, qparams: &[QParam], inputs: &[Vec<Vec<f32>>]) -> Vec<TensorId> {
    let candidates: Vec<TensorId> =
        graph.nodes.iter().filter(|n| !is_fused(graph, n)).map(|n| n.output).collect();
    let mut noise = vec![0.0; candidates.len()];
    for sample in inputs {
        let mut exact: Vec<Option<Arc<[f32]>>> =
            graph.tensors.iter().map(|t| t.data.clone()).collect();
        let sample: Vec<&[f32]> = sample.iter().map(Vec::as_slice).collect();
        eval::run(graph, &sample, &mut |id, x| exact[id] = Some(x.into()));
        let of_sample: Vec<f64> =
            candidates.par_iter().map(|&id| harm(graph, &exact, id, qparams[id])).collect();
        noise.iter_mut().zip(of_sample).for_each(|(sum, n)| *sum += n);
    }
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| noise[b].total_cmp(&noise[a]).then(a.cmp(&b)));
    order.into_iter().map(|i| candidates[i]).collect()
}

/// Whether a node's result is never in bytes, because the function behind is computed with it.
fn is_fused(graph: &Graph, node: &Node) -> bool {
    graph.readers(node.output) == 1
        && graph.nodes.iter().any(|n| n.inputs.contains(&node.output) && matches!(n.op, Op::Map(_)))
}

/// How much the outputs change, as a share of themselves, when one tensor is rounded to bytes.
fn harm(graph: &Graph, exact: &[Option<Arc<[f32]>>], id: TensorId, q: QParam) -> f64 {
    let value = |id: TensorId| exact[id].as_ref().expect("every tensor was seen");
    let rounded =
        value(id).iter().map(|&x| (f32::from(q.quantize(x)) - q.zero) * q.scale).collect();
    let mut changed: HashMap<TensorId, Vec<f32>> = HashMap::from([(id, rounded)]);
    for node in &graph.nodes {
        if node.inputs.iter().any(|x| changed.contains_key(x)) {
            let operands: Vec<&[f32]> = node
                .inputs
                .iter()
                .map(|x| changed.get(x).map_or_else(|| &**value(*x), Vec::as_slice))
                .collect();
            let result = eval::eval(graph, node, &operands);
            changed.insert(node.output, result);
        }
    }
    let noise = |output: &TensorId| {
        let mut difference = Difference::default();
        for (&e, &g) in value(*output).iter().zip(changed.get(output)?) {
            difference.add(e, g);
        }
        Some(difference.noise_share())
    };
    graph.outputs.iter().filter_map(noise).sum()
}

/// The nodes that work in float so that none of `tensors` is ever in bytes: those that make them and
/// those that read them.
pub fn nodes(graph: &Graph, tensors: &[TensorId]) -> HashSet<usize> {
    let tensors: HashSet<TensorId> = tensors.iter().copied().collect();
    let touches =
        |n: &Node| tensors.contains(&n.output) || n.inputs.iter().any(|x| tensors.contains(x));
    let mut found: HashSet<usize> =
        (0..graph.nodes.len()).filter(|&at| touches(&graph.nodes[at])).collect();
    // A function or a pool is computed with what comes before it.
    for at in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[at];
        if found.contains(&at)
            && matches!(node.op, Op::Map(_) | Op::Pool(_))
            && graph.readers(node.inputs[0]) == 1
        {
            found.extend(graph.producer(node.inputs[0]));
        }
    }
    found
}
