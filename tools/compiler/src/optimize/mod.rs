//! Rewrites of the graph that keep its meaning and leave less to do.

mod activations;
mod batch_norm;
mod constants;
pub mod equalize;
pub mod means;
mod pads;
mod resize;
mod shapes;
pub mod tall;
pub mod wide;

use crate::graph::Graph;

/// Changes the graph, and says whether it did.
type Rewrite = fn(&mut Graph) -> bool;

/// Applies all rewrites until none finds anything more; `seen` is shown the graph after each that
/// found something.
pub fn optimize(graph: &mut Graph, seen: &mut dyn FnMut(&'static str, &Graph)) {
    const REWRITES: [(&str, Rewrite); 6] = [
        ("fuse_activations", activations::fuse),
        ("move_before_max_pool", activations::move_before_max_pool),
        ("fold_batch_norm", batch_norm::fold),
        ("fuse_pads", pads::fuse),
        ("simplify_shapes", shapes::simplify),
        ("transpose_weights", shapes::transpose_matmul_weights),
    ];
    constants::fold(graph);
    seen("fold_constants", graph);
    resize::to_matrices(graph);
    seen("rewrite_resizes", graph);
    let mut changed = true;
    while changed {
        changed = false;
        for (name, rewrite) in REWRITES {
            if rewrite(graph) {
                changed = true;
                seen(name, graph);
            }
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
