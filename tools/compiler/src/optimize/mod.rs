//! Rewrites of the graph that keep its meaning and leave less to do.

mod activations;
mod batch_norm;
mod constants;
pub mod equalize;
mod pads;
mod resize;
mod shapes;
pub mod wide;

use crate::graph::Graph;

/// Applies all rewrites until none finds anything more.
pub fn optimize(graph: &mut Graph) {
    constants::fold(graph);
    resize::to_matrices(graph);
    loop {
        let changed = [
            activations::fuse,
            activations::move_before_max_pool,
            batch_norm::fold,
            pads::fuse,
            shapes::simplify,
            shapes::transpose_matmul_weights,
        ]
        .map(|rewrite| rewrite(graph));
        if !changed.contains(&true) {
            break;
        }
    }
    graph.remove_unread();
}

/// Rewrites node after node until `rewrite` finds nothing at any of them.
fn each_node(graph: &mut Graph, rewrite: fn(&mut Graph, usize) -> bool) -> bool {
    let mut changed = false;
    let mut at = 0;
    while at < graph.nodes.len() {
        if rewrite(graph, at) {
            changed = true;
            graph.remove_unread();
            at = 0;
        } else {
            at += 1;
        }
    }
    changed
}
