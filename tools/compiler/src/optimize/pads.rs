//! A border of zeros goes into the window of the convolution or max pool behind it.

use super::each_node;
use crate::graph::{Graph, Op, Pool, ReduceOp};

/// Fuses borders.
pub fn fuse(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        let x = graph.nodes[at].inputs[0];
        let Some(pad_at) = graph.producer(x) else { return false };
        let Op::Pad { pads, value } = graph.nodes[pad_at].op.clone() else { return false };
        if value != 0.0 || pads.len() != 4 || pads[..2] != [(0, 0); 2] {
            return false;
        }
        let inner = graph.nodes[pad_at].inputs[0];
        let zeros_lose = is_never_negative(graph, inner);
        let window = match &mut graph.nodes[at].op {
            Op::Conv2d(conv) => &mut conv.window,
            Op::Pool(Pool { op: ReduceOp::Max, window })
                if zeros_lose
                    && (0..2).all(|i| pads[2 + i].0.max(pads[2 + i].1) < window.extent(i)) =>
            {
                window
            }
            _ => return false,
        };
        for (pad, more) in window.pad.iter_mut().zip(&pads[2..]) {
            *pad = (pad.0 + more.0, pad.1 + more.1);
        }
        graph.nodes[at].inputs[0] = inner;
        true
    })
}

/// Whether zeros beside it cannot change a maximum.
fn is_never_negative(graph: &Graph, id: usize) -> bool {
    graph.producer(id).is_some_and(|at| match &graph.nodes[at].op {
        Op::Map(f) => f.as_clamp().is_some_and(|(low, _)| low >= 0.0),
        _ => false,
    })
}
