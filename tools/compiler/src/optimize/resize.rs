//! Resizes that the chip's runtime does not have (half-pixel centres, rounding to the nearest
//! pixel) become products with the matrix of their weights, along each axis that changes.

use crate::{
    eval,
    graph::{Graph, Node, Op, Resize, TensorId},
};

/// Rewrites resizes.
pub fn to_matrices(graph: &mut Graph) {
    for at in (0..graph.nodes.len()).rev() {
        let Op::Resize(resize) = graph.nodes[at].op else { continue };
        let (x, y) = (graph.nodes[at].inputs[0], graph.nodes[at].output);
        let (from, to) = (graph.shape(x).to_vec(), graph.shape(y).to_vec());
        if resize.is_of_runtime([from[2], from[3]], [to[2], to[3]]) {
            continue;
        }
        let name = graph.nodes.remove(at).name;
        let mut rewrite = Rewrite { graph, resize, name, at };
        let [n, c, h, w] = from[..] else { unreachable!("images have four dimensions") };
        let (new_h, new_w) = (to[2], to[3]);
        let mut last = x;
        if new_w != w {
            last = rewrite.product(last, [n, c, h, w], new_w);
        }
        if new_h != h {
            last = rewrite.turned(last, [n, c, new_w, h]);
            last = rewrite.product(last, [n, c, new_w, h], new_h);
            rewrite.turned(last, [n, c, new_h, new_w]);
        }
        let end = rewrite.at - 1;
        graph.nodes[end].output = y;
    }
}

struct Rewrite<'g> {
    graph: &'g mut Graph,
    resize: Resize,
    name: String,
    at: usize,
}

impl Rewrite<'_> {
    fn push(&mut self, op: Op, inputs: Vec<TensorId>, shape: [usize; 4]) -> TensorId {
        let output = self.graph.tensor(self.name.clone(), shape.to_vec());
        let node = Node { name: self.name.clone(), op, inputs, output };
        self.graph.nodes.insert(self.at, node);
        self.at += 1;
        output
    }

    /// The innermost axis with another size.
    fn product(&mut self, x: TensorId, shape: [usize; 4], size: usize) -> TensorId {
        let [n, c, lines, old] = shape;
        let mut weights = vec![0.0; old * size];
        for (o, (a, b, share)) in eval::sources(&self.resize, old, size).into_iter().enumerate() {
            weights[a * size + o] += 1.0 - share;
            weights[b * size + o] += share;
        }
        let matrix =
            self.graph.constant(format!("{} weights", self.name), vec![old, size], weights);
        self.push(Op::MatMul { bias: vec![0.0; size] }, vec![x, matrix], [n, c, lines, size])
    }

    /// Height and width change places; `shape` is that of the result.
    fn turned(&mut self, x: TensorId, shape: [usize; 4]) -> TensorId {
        self.push(Op::Transpose { perm: vec![0, 1, 3, 2] }, vec![x], shape)
    }
}
