//! A convolution with more results than a KPU layer can have becomes several, side by side.

use crate::{
    graph::{Conv2d, Graph, Node, Op},
    lower::convolution::is_small,
};
use maix_kpu::kpu::layer::most_out_channels;

/// Most channels of a KPU image.
pub const MAX_CHANNELS: usize = 1024;

/// Splits wide convolutions, and the functions behind them, so that the KPU can have them.
pub fn split(graph: &mut Graph) {
    for at in (0..graph.nodes.len()).rev() {
        let Op::Conv2d(conv) = &graph.nodes[at].op else { continue };
        let (channels, window) = (conv.bias.len(), &conv.window);
        let small = is_small(window);
        let input = graph.shape(graph.nodes[at].inputs[0])[1];
        if input > MAX_CHANNELS || conv.groups != 1 || !small {
            continue;
        }
        let most = most_out_channels(conv.weights.len() / channels).min(MAX_CHANNELS);
        if channels <= most {
            continue;
        }
        let conv = conv.clone();
        let function = function_behind(graph, at);
        let node = graph.nodes[at].clone();
        let whole = function.map_or(node.output, |f| graph.nodes[f].output);
        let map = function.map(|f| graph.nodes[f].op.clone());
        if let Some(f) = function {
            graph.nodes.remove(f);
        }
        graph.nodes.remove(at);
        let count = channels.div_ceil(most);
        // Groups of four channels share rows of KPU RAM.
        let step = channels.div_ceil(count).next_multiple_of(4);
        let (mut place, mut parts) = (at, Vec::new());
        for from in (0..channels).step_by(step) {
            let to = (from + step).min(channels);
            let row = conv.weights.len() / channels;
            let part = Conv2d {
                weights: conv.weights[from * row..to * row].to_vec(),
                bias: conv.bias[from..to].to_vec(),
                ..conv.clone()
            };
            let ops = [Some(Op::Conv2d(part)), map.clone()];
            let mut last = node.inputs[0];
            for (op, like) in ops.into_iter().flatten().zip([node.output, whole]) {
                let mut shape = graph.shape(like).to_vec();
                shape[1] = to - from;
                let name = format!("{} {from}..{to}", graph.tensors[like].name);
                let output = graph.tensor(name.clone(), shape);
                graph.tensors[output].range = graph.tensors[like].range;
                graph.nodes.insert(place, Node { name, op, inputs: vec![last], output });
                (last, place) = (output, place + 1);
            }
            parts.push(last);
        }
        let name = node.name;
        let join = Node { name, op: Op::Concat { axis: 1 }, inputs: parts, output: whole };
        graph.nodes.insert(place, join);
    }
}

/// The function that alone reads a node's result.
pub(super) fn function_behind(graph: &Graph, at: usize) -> Option<usize> {
    let y = graph.nodes[at].output;
    let next = graph.nodes.iter().position(|n| n.inputs.contains(&y))?;
    (graph.readers(y) == 1 && matches!(graph.nodes[next].op, Op::Map(_))).then_some(next)
}
