//! A convolution whose images do not fit into KPU RAM together becomes several, each of which computes
//! some lines of the result from the lines that it needs; the CPU cuts and joins.

use maix_kpu::{
    kpu::{
        layer::Pool as KpuPool,
        memory::{KPU_RAM_ROWS, rows},
    },
    tensor::ImageShape,
};

use super::wide::{self, MAX_CHANNELS};
use crate::{
    estimate::{Clocks, Work},
    graph::{Conv2d, Graph, Node, Op, Padding, TensorId},
    lower::convolution::{is_handy, is_small, kpu_pool},
};

/// Lines that a part's image may have more than the part, for its border and its step.
const SPARE_LINES: usize = 4;

/// Splits convolutions that are too large, with the function and the pool behind them.
pub fn split(graph: &mut Graph) {
    for at in (0..graph.nodes.len()).rev() {
        let Some(tall) = Tall::at(graph, at) else { continue };
        if let Some(lines) = tall.lines_of_a_part(graph) {
            tall.replace(graph, lines);
        }
    }
}

/// A convolution and what is computed with it.
struct Tall {
    conv: Conv2d,
    /// The convolution's node, and those of the function and the pool.
    nodes: Vec<usize>,
    input: TensorId,
    output: TensorId,
    /// Lines of the convolution for each line of the output.
    pool: usize,
}

/// Lines of the input, and the border that remains above and below them.
struct Part {
    from: usize,
    to: usize,
    pad: Padding,
}

impl Tall {
    fn at(graph: &Graph, at: usize) -> Option<Self> {
        let Op::Conv2d(conv) = &graph.nodes[at].op else { return None };
        let input = graph.nodes[at].inputs[0];
        let channels = graph.shape(input)[1];
        let window = &conv.window;
        let seen = window.pad[0].0.max(window.pad[0].1) < window.extent(0);
        let possible = seen && is_handy(window) && copies(conv) * channels <= MAX_CHANNELS;
        if !possible || conv.bias.len() > MAX_CHANNELS || graph.shape(input)[0] != 1 {
            return None;
        }
        let mut nodes = vec![at];
        nodes.extend(wide::function_behind(graph, at));
        let last = graph.nodes[nodes[nodes.len() - 1]].output;
        let mut pool = 1;
        if window.stride == [1, 1]
            && graph.readers(last) == 1
            && let Some(next) = graph.nodes.iter().position(|n| n.inputs.contains(&last))
            && let Op::Pool(p) = &graph.nodes[next].op
            && let Some(kpu) = kpu_pool(p)
            && kpu != KpuPool::Max2Stride1
        {
            nodes.push(next);
            pool = kpu.stride();
        }
        let output = graph.nodes[nodes[nodes.len() - 1]].output;
        Some(Self { conv: conv.clone(), nodes, input, output, pool })
    }

    /// Lines of the result that a part computes, or `None` if the whole fits, or nothing is won.
    fn lines_of_a_part(&self, graph: &Graph) -> Option<usize> {
        let (&[_, channels, height, width], &[_, outs, lines, out_width]) =
            (graph.shape(self.input), graph.shape(self.output))
        else {
            return None;
        };
        let copies = match copies(&self.conv) {
            1 => 1,
            copies => copies + 1,
        };
        let fits = |from_lines: usize, to_lines: usize| {
            rows(ImageShape::new(copies * channels, from_lines, width))
                + rows(ImageShape::new(outs, to_lines, out_width))
                <= KPU_RAM_ROWS
        };
        let moved = 2 * channels * height * width + 2 * outs * lines * out_width;
        let time = |work: Work| work.milliseconds(Clocks::USUAL);
        let macs = graph.macs(&graph.nodes[self.nodes[0]]);
        if fits(height, lines) || time(Work::FloatMacs(macs)) < time(Work::Simple(moved as u64)) {
            return None;
        }
        let part = |count: usize| lines.div_ceil(count);
        (2..=lines / 2).map(part).find(|&of_part| {
            let input = self.part(0, of_part, usize::MAX);
            let stride = self.conv.window.stride[0] * self.pool;
            fits(input.to + SPARE_LINES * stride, of_part + SPARE_LINES)
        })
    }

    /// What the lines `from..to` of the result are computed from.
    fn part(&self, from: usize, to: usize, height: usize) -> Part {
        let window = &self.conv.window;
        let first = from * self.pool * window.stride[0];
        let end = (to * self.pool - 1) * window.stride[0] + window.extent(0);
        let before = window.pad[0].0;
        Part {
            from: first.saturating_sub(before),
            to: (end - before).min(height),
            pad: (before.saturating_sub(first), (end - before).saturating_sub(height)),
        }
    }

    fn replace(self, graph: &mut Graph, lines_of_a_part: usize) {
        let nodes: Vec<Node> = self.nodes.iter().map(|&at| graph.nodes[at].clone()).collect();
        let mut at_nodes = self.nodes.clone();
        at_nodes.sort_unstable();
        at_nodes.iter().rev().for_each(|&at| drop(graph.nodes.remove(at)));
        let (shape, height) = (graph.shape(self.output).to_vec(), graph.shape(self.input)[2]);
        let (mut place, mut parts) = (self.nodes[0], Vec::new());
        for from in (0..shape[2]).step_by(lines_of_a_part) {
            let to = (from + lines_of_a_part).min(shape[2]);
            let part = self.part(from, to, height);
            let begin = vec![0, 0, part.from, 0];
            let cut = Op::Slice { begin, strides: vec![1; 4] };
            let mut last = self.input;
            let mut push = |graph: &mut Graph, op: Op, like: TensorId, lines: usize| {
                let mut shape = graph.shape(like).to_vec();
                shape[2] = lines;
                let name = format!("{} lines {from}..{to}", graph.tensors[like].name);
                let output = graph.tensor(name.clone(), shape);
                graph.tensors[output].range = graph.tensors[like].range;
                graph.nodes.insert(place, Node { name, op, inputs: vec![last], output });
                (last, place) = (output, place + 1);
            };
            push(graph, cut, self.input, part.to - part.from);
            for node in &nodes {
                let mut op = node.op.clone();
                if let Op::Conv2d(conv) = &mut op {
                    conv.window.pad[0] = part.pad;
                }
                let pooled = matches!(op, Op::Pool(_));
                let lines = (to - from) * if pooled { 1 } else { self.pool };
                push(graph, op, node.output, lines);
            }
            parts.push(last);
        }
        let name = nodes[0].name.clone();
        let join = Node { name, op: Op::Concat { axis: 2 }, inputs: parts, output: self.output };
        graph.nodes.insert(place, join);
    }
}

/// Images of the input that the KPU needs for a convolution.
fn copies(conv: &Conv2d) -> usize {
    let window = &conv.window;
    if is_small(window) {
        return 1;
    }
    let along = |axis: usize| {
        let taps = window.kernel[axis];
        match (window.dilation[axis], window.pad[axis]) {
            (1, (0, 0)) => taps.div_ceil(3),
            // Three around the result, then two for each copy.
            (1, _) => 1 + 2 * (taps / 2).saturating_sub(1).div_ceil(2),
            _ => taps,
        }
    };
    along(0) * along(1)
}
