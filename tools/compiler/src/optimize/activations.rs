//! Elementwise functions: chains and diamonds become one function, and functions move to where the
//! KPU's activation table can take them.

use super::each_node;
use crate::{
    expr::Expr,
    graph::{BinaryOp, Graph, Op, ReduceOp, TensorId},
};

/// `f(g(x))` and `f(x) op g(x)` become one function of x.
pub fn fuse(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        let node = &graph.nodes[at];
        let (root, f) = match &node.op {
            Op::Map(f) => {
                let (root, g) = function_of(graph, node.inputs[0]);
                if root == node.inputs[0] || graph.readers(node.inputs[0]) > 1 && !is_cheap(&g) {
                    return false;
                }
                (root, f.of(&g))
            }
            Op::Binary(op) => {
                let (a_root, a) = function_of(graph, node.inputs[0]);
                let (b_root, b) = function_of(graph, node.inputs[1]);
                if a_root != b_root || graph.shape(a_root) != graph.shape(node.output) {
                    return false;
                }
                (a_root, Expr::Binary(*op, Box::new(a), Box::new(b)))
            }
            _ => return false,
        };
        if graph.tensors[root].data.is_some() {
            return false;
        }
        graph.nodes[at].op = Op::Map(f);
        graph.nodes[at].inputs = vec![root];
        true
    })
}

/// The tensor that `id` is a function of, and that function.
fn function_of(graph: &Graph, id: TensorId) -> (TensorId, Expr) {
    match graph.producer(id).map(|at| &graph.nodes[at]) {
        Some(node) => match &node.op {
            Op::Map(f) => (node.inputs[0], f.clone()),
            _ => (id, Expr::X),
        },
        None => (id, Expr::X),
    }
}

/// Whether computing it twice costs no more than keeping it.
fn is_cheap(f: &Expr) -> bool {
    f.as_clamp().is_some()
        || matches!(f, Expr::Binary(op, a, b)
        if matches!((&**a, &**b), (Expr::X, Expr::Const(_)) | (Expr::Const(_), Expr::X)) && *op != BinaryOp::Div)
}

/// `f(max_pool(x))` becomes `max_pool(f(x))` for a rising f, so that a convolution before the pool
/// can take f along.
pub fn move_before_max_pool(graph: &mut Graph) -> bool {
    each_node(graph, |graph, at| {
        let Op::Map(f) = graph.nodes[at].op.clone() else { return false };
        let pooled = graph.nodes[at].inputs[0];
        let Some(pool_at) = graph.producer(pooled) else { return false };
        let is_max = matches!(&graph.nodes[pool_at].op, Op::Pool(p) if p.op == ReduceOp::Max);
        if !is_max || graph.readers(pooled) > 1 || !rises(&f) {
            return false;
        }
        let unpooled = graph.nodes[pool_at].inputs[0];
        let from_conv = graph.producer(unpooled).is_some_and(|p| {
            matches!(graph.nodes[p].op, Op::Conv2d(_)) && graph.readers(unpooled) == 1
        });
        if !from_conv {
            return false;
        }
        let pool = std::mem::replace(&mut graph.nodes[pool_at].op, Op::Map(f));
        graph.nodes[at].op = pool;
        graph.tensors[pooled].shape = graph.shape(unpooled).to_vec();
        graph.tensors[pooled].range = None;
        true
    })
}

fn rises(f: &Expr) -> bool {
    let values: Vec<f32> = (-400..=400).map(|i| f.eval(i as f32 * 0.05)).collect();
    values.windows(2).all(|w| w[0] <= w[1])
}
