//! Images in KPU RAM that are written part by part: what a concatenation joins, and the operands of
//! a sum, which a 1x1 convolution over both adds.

use std::collections::HashMap;

use maix_kpu::{
    kpu::{
        layer::{Kernel, Layer, Pool},
        memory::{KPU_RAM_ROWS, RowLayout, rows},
    },
    tensor::{Dtype, ImageShape},
};

use super::{Frame, KpuHome, Lowering, convolution::is_handy};
use crate::{
    estimate::{Clocks, Work},
    expr::Expr,
    graph::{BinaryOp, Graph, Node, Op, TensorId},
    optimize::wide::MAX_CHANNELS,
    problem::Problem,
    program::{KpuLayer, Place, StepOp, ValueId},
    quantize::{QParam, kpu::Convolution},
};

/// What is joined.
#[derive(Default)]
pub struct Joins {
    /// By the node that reads the parts.
    joins: HashMap<usize, Join>,
    /// Where a tensor goes: the node that reads it as a part, and its first channel there.
    parts: HashMap<TensorId, (usize, usize)>,
}

/// A joined image.
struct Join {
    /// The tensor that leaves KPU RAM if the image needs too much of it.
    tensor: TensorId,
    /// Channels of the whole.
    channels: usize,
    /// First channel of each part; the first row of a part begins with it.
    firsts: Vec<usize>,
    /// The image, as soon as a part of it is made.
    image: Option<ValueId>,
}

impl Joins {
    /// Finds concatenations and sums whose operands can be written side by side.
    pub(super) fn plan(lowering: &Lowering<'_>) -> Self {
        let graph = lowering.graph;
        let mut found = Self::default();
        for (at, node) in graph.nodes.iter().enumerate() {
            if lowering.float.contains(&at) {
                continue;
            }
            let Some((join, q)) = concatenation(lowering, node)
                .or_else(|| sum(lowering, node))
                .or_else(|| prelu(lowering, node))
            else {
                continue;
            };
            for (&id, &first) in node.inputs.iter().zip(&join.firsts) {
                let computed = graph.tensors[id].data.is_none() && !graph.inputs.contains(&id);
                if computed && q.is_none_or(|q| lowering.q(id) == q) {
                    found.parts.entry(id).or_insert((at, first));
                }
            }
            found.joins.insert(at, join);
        }
        found
    }
}

/// A concatenation of images that the KPU reads, and what its bytes stand for.
fn concatenation(lowering: &Lowering<'_>, node: &Node) -> Option<(Join, Option<QParam>)> {
    let (graph, y) = (lowering.graph, node.output);
    let &[1, channels, h, w] = graph.shape(y) else { return None };
    let firsts: Vec<usize> = node
        .inputs
        .iter()
        .scan(0, |next, &id| {
            *next += graph.shape(id)[1];
            Some(*next - graph.shape(id)[1])
        })
        .collect();
    let feeds_kpu = graph.nodes.iter().any(|n| {
        n.inputs.contains(&y)
            && matches!(n.op, Op::Conv2d(_) | Op::Map(_) | Op::Pool(_) | Op::PRelu { .. })
    });
    let fits = rows(ImageShape::new(channels, h, w)) <= KPU_RAM_ROWS / 2;
    let aligned = firsts.iter().all(|first| first.is_multiple_of(RowLayout::of(w).group));
    (matches!(node.op, Op::Concat { axis: 1 })
        && feeds_kpu
        && fits
        && aligned
        && channels <= MAX_CHANNELS
        && !lowering.spilled.contains(&y))
    .then(|| (Join { tensor: y, channels, firsts, image: None }, Some(lowering.q(y))))
}

/// A sum of two images of the KPU, if adding them there takes less time than bringing them to the
/// CPU.
fn sum(lowering: &Lowering<'_>, node: &Node) -> Option<(Join, Option<QParam>)> {
    let graph = lowering.graph;
    let (&[a, b], Op::Binary(BinaryOp::Add | BinaryOp::Sub)) = (&node.inputs[..], &node.op) else {
        return None;
    };
    let there =
        [a, b].iter().all(|&id| is_made_by_kpu(graph, id) && !lowering.spilled.contains(&id));
    let same = a != b && graph.shape(a) == graph.shape(b);
    if !same || !there {
        return None;
    }
    // Both operands to main memory, and the sum.
    Some((side_by_side(graph, a, 3)?, None))
}

/// A tensor beside its positive part.
fn prelu(lowering: &Lowering<'_>, node: &Node) -> Option<(Join, Option<QParam>)> {
    let (graph, x) = (lowering.graph, node.inputs[0]);
    if !matches!(node.op, Op::PRelu { .. }) || lowering.spilled.contains(&x) {
        return None;
    }
    // The CPU takes the positive and the negative part, multiplies and adds.
    Some((side_by_side(graph, x, 4)?, None))
}

/// The image of two tensors shaped as `a` for a 1x1 convolution over both, if the KPU can have it and
/// takes less time than the CPU for `passes` over one of them.
fn side_by_side(graph: &Graph, a: TensorId, passes: usize) -> Option<Join> {
    let &[1, channels, h, w] = graph.shape(a) else { return None };
    let second = channels.next_multiple_of(RowLayout::of(w).group);
    let whole = second + channels;
    let input = ImageShape::new(whole, h.max(4), w.max(4));
    let layer = Layer::new(input, channels, Kernel::K1x1, false, Pool::None, true).ok()?;
    let on_kpu = Work::Kpu { layer, eight_bit: true, batches: 1 }.milliseconds(Clocks::USUAL);
    let on_cpu = Work::Simple((passes * channels * h * w) as u64).milliseconds(Clocks::USUAL);
    let fits = rows(ImageShape::new(whole + channels, h, w)) <= KPU_RAM_ROWS;
    (fits && whole <= MAX_CHANNELS && on_kpu < on_cpu).then(|| Join {
        tensor: a,
        channels: whole,
        firsts: vec![0, second],
        image: None,
    })
}

/// Whether a tensor is likely to come from a KPU layer.
fn is_made_by_kpu(graph: &Graph, id: TensorId) -> bool {
    graph.producer(id).is_some_and(|at| {
        let node = &graph.nodes[at];
        match &node.op {
            Op::Conv2d(conv) => is_handy(&conv.window),
            Op::Map(_)
            | Op::PRelu { .. }
            | Op::Pool(_)
            | Op::Binary(BinaryOp::Add | BinaryOp::Sub) => {
                node.inputs.iter().all(|&x| is_made_by_kpu(graph, x))
            }
            _ => false,
        }
    })
}

impl<'g> Lowering<'g> {
    /// The image that a KPU layer or an upload writes for a tensor: a part of a larger one if the
    /// tensor is joined with others.
    pub(super) fn image(&mut self, tensor: Option<TensorId>, image: ImageShape) -> ValueId {
        if let Some(id) = tensor
            && let Some(&(node, first)) = self.joins.parts.get(&id)
            && self.homes[id].kpu.is_none_or(|home| home.frame.size != [image.height, image.width])
            && let Some(whole) = self.joined_image(node, [image.height, image.width])
        {
            return self.part_of(whole, Some(id), image, first);
        }
        let shape = [1, image.channels, image.height, image.width];
        self.program.value(Dtype::U8, shape, Place::Kpu, tensor)
    }

    /// The image that a node's operands are parts of, unless it has another size already.
    fn joined_image(&mut self, node: usize, size: [usize; 2]) -> Option<ValueId> {
        let join = &self.joins.joins[&node];
        if let Some(image) = join.image {
            return (self.program.values[image].shape[2..] == size).then_some(image);
        }
        let (tensor, shape) = (join.tensor, ImageShape::new(join.channels, size[0], size[1]));
        let image = if tensor == self.graph.nodes[node].output {
            // The whole may be a part of a still larger image.
            self.image(Some(tensor), shape)
        } else {
            let shape = [1, shape.channels, shape.height, shape.width];
            self.program.value(Dtype::U8, shape, Place::Kpu, Some(tensor))
        };
        self.joins.joins.get_mut(&node).expect("looked up before").image = Some(image);
        Some(image)
    }

    /// The part of a larger image that begins at channel `first`.
    fn part_of(
        &mut self,
        whole: ValueId,
        tensor: Option<TensorId>,
        image: ImageShape,
        first: usize,
    ) -> ValueId {
        let shape = [1, image.channels, image.height, image.width];
        let value = self.program.value(Dtype::U8, shape, Place::Kpu, tensor);
        self.program.values[value].within = Some((whole, rows_before(first, image)));
        value
    }

    /// The image of all operands of the node at work, side by side, and how they lie in it. Those
    /// that are elsewhere are copied, with parameters `q` if given.
    fn join(
        &mut self,
        node: &Node,
        q: Option<QParam>,
    ) -> Result<Option<(ValueId, Frame)>, Problem> {
        let Some(join) = self.joins.joins.get(&self.at) else { return Ok(None) };
        let firsts = join.firsts.clone();
        let Some(frame) = self.common_frame(&node.inputs) else { return Ok(None) };
        let Some(whole) = self.joined_image(self.at, frame.size) else { return Ok(None) };
        for (&id, first) in node.inputs.iter().zip(firsts) {
            let image = ImageShape::new(self.graph.shape(id)[1], frame.size[0], frame.size[1]);
            // What comes from main memory is uploaded to its place.
            if self.homes[id].kpu.is_none() && !self.spilled.contains(&id) {
                self.in_kpu(id, frame)?;
            }
            let place = Some((whole, rows_before(first, image)));
            let in_place = self.homes[id].kpu.is_some_and(|home| {
                home.frame == frame && self.program.values[home.value].within == place
            });
            if !in_place {
                let image = self.part_of(whole, Some(id), image, first);
                self.copy(id, frame, q.unwrap_or(self.q(id)), image)?;
            }
        }
        Ok(Some((whole, frame)))
    }

    /// The frame that all tensors have in KPU RAM; failing that, the one that is nothing but the
    /// tensor, if there are such images.
    fn common_frame(&self, tensors: &[TensorId]) -> Option<Frame> {
        let mut frames = tensors.iter().map(|&id| self.homes[id].kpu.map(|home| home.frame));
        let first = frames.next()?;
        let common = first.filter(|_| frames.all(|f| f == first));
        let exact = Frame::exact(self.planes(tensors[0])?.1);
        Some(common.unwrap_or(exact)).filter(Frame::is_possible)
    }

    /// Joins images by their place in KPU RAM.
    pub(super) fn concat_in_kpu(&mut self, node: &Node) -> Result<bool, Problem> {
        let Some((value, frame)) = self.join(node, Some(self.q(node.output)))? else {
            return Ok(false);
        };
        self.homes[node.output].kpu = Some(KpuHome { value, frame, producer: None });
        Ok(true)
    }

    /// The sum or difference of two images as a 1x1 convolution over both, side by side: its weights
    /// bring each operand's bytes to the scale of the sum.
    pub(super) fn sum_in_kpu(&mut self, node: &'g Node, op: BinaryOp) -> Result<bool, Problem> {
        let &[a, b] = &node.inputs[..] else { return Ok(false) };
        if [a, b].iter().any(|&id| self.homes[id].kpu.is_none()) {
            return Ok(false);
        }
        let Some((source, frame)) = self.join(node, None)? else { return Ok(false) };
        let sign = if op == BinaryOp::Sub { -1.0 } else { 1.0 };
        self.weighted_sum(node, source, frame, [a, b], &|_| [1.0, sign])
    }

    /// `max(x, 0) + slope * min(x, 0)` as `slope * x + (1 - slope) * max(x, 0)`: the KPU makes the
    /// positive part beside the tensor, and a 1x1 convolution adds up both.
    pub(super) fn prelu_in_kpu(&mut self, node: &'g Node, slopes: &[f32]) -> Result<bool, Problem> {
        let x = node.inputs[0];
        if !self.has_bytes(x) {
            return Ok(false);
        }
        let Some((source, frame)) = self.join(node, None)? else { return Ok(false) };
        let first = self.joins.joins[&self.at].firsts[1];
        let image = ImageShape::new(slopes.len(), frame.size[0], frame.size[1]);
        let positive = self.part_of(source, None, image, first);
        let layer = self.mapped(x, &Expr::relu());
        let whole = self.in_kpu(x, frame)?;
        self.step(StepOp::Kpu(Box::new(layer)), vec![whole], vec![positive]);
        let weights = |channel: usize| [slopes[channel], 1.0 - slopes[channel]];
        self.weighted_sum(node, source, frame, [x, x], &weights)
    }

    /// The sum of two tensors that lie side by side, each channel of them times its weight.
    fn weighted_sum(
        &mut self,
        node: &'g Node,
        source: ValueId,
        frame: Frame,
        [a, b]: [TensorId; 2],
        weights_of: &dyn Fn(usize) -> [f32; 2],
    ) -> Result<bool, Problem> {
        let (function, y) = self.function_behind(node.output, |_| true);
        let (channels, inputs) = (self.graph.shape(a)[1], self.program.values[source].shape[1]);
        let second = inputs - channels;
        let (qa, qb) = (self.q(a), self.q(b));
        let mut weights = vec![0.0; channels * inputs];
        for (channel, row) in weights.chunks_exact_mut(inputs).enumerate() {
            let [of_a, of_b] = weights_of(channel);
            (row[channel], row[second + channel]) = (of_a * qa.scale, of_b * qb.scale);
        }
        let output = self.q(y);
        let parameters = Convolution {
            weights: &weights,
            bias: &vec![0.0; channels],
            input_means: &|_, _| 0.0,
            input_scale: 1.0,
            input_zero: &|_, tap| if tap < second { qa.zero } else { qb.zero },
            function: &function,
            range: self.range(node.output),
            output,
            output_offset: 0.0,
        }
        .quantize();
        let layer = KpuLayer {
            depthwise: false,
            kernel: Kernel::K1x1,
            pool: Pool::None,
            pad_value: 0,
            skip_lines: 0,
            parameters,
        };
        let frame = Frame { clean: frame.is_exact(), ..frame };
        let (value, step) = self.kpu_layer(layer, source, channels, Some(y));
        self.homes[y].kpu = Some(KpuHome { value, frame, producer: Some(step) });
        Ok(true)
    }
}

/// Rows from the beginning of an image to its channel `first`.
pub(super) fn rows_before(first: usize, image: ImageShape) -> usize {
    rows(ImageShape::new(first, image.height, image.width))
}
