//! From the graph to the chip's steps: who computes what, in which element type, and how values get
//! from one to the other.
//!
//! A tensor may be at home in several forms at once: as floats or bytes in main memory, as an image
//! in KPU RAM. An operator asks for the form that it needs; what is missing is made then, once.

mod bytes;
pub(crate) mod convolution;
mod float;
mod frame;
mod join;
mod kpu;
mod products;
mod shifted;

use std::collections::HashSet;

use maix_kpu::tensor::Dtype;

use crate::{
    calibrate::Stats,
    expr::Expr,
    graph::{Graph, Node, Op, ReduceOp, TensorId},
    options::{ElementType, Options},
    problem::Problem,
    program::{Place, Program, Shape, Step, StepOp, ValueId},
    quantize::QParam,
};
use frame::Frame;

/// The forms in which a tensor is there.
#[derive(Clone, Default)]
struct Home {
    float: Option<ValueId>,
    byte: Option<ValueId>,
    kpu: Option<KpuHome>,
}

/// A tensor in KPU RAM.
#[derive(Clone, Copy, Debug)]
struct KpuHome {
    value: ValueId,
    frame: Frame,
    /// The KPU layer that wrote it, which can write to main memory too.
    producer: Option<usize>,
}

/// Everything that lowering knows.
pub struct Lowering<'g> {
    graph: &'g Graph,
    options: &'g Options,
    stats: &'g [Stats],
    /// What bytes stand for, for each tensor; empty if everything is float.
    qparams: Vec<QParam>,
    /// Tensors that leave KPU RAM between uses.
    spilled: &'g HashSet<TensorId>,
    /// Nodes that work in float.
    float: &'g HashSet<usize>,
    program: Program,
    homes: Vec<Home>,
    /// Images that are written part by part.
    joins: join::Joins,
    /// Nodes that an earlier node has taken along.
    taken: HashSet<usize>,
    /// The node at work.
    at: usize,
}

/// Steps for a graph.
pub fn lower(
    graph: &Graph,
    options: &Options,
    stats: &[Stats],
    qparams: Vec<QParam>,
    spilled: &HashSet<TensorId>,
    float: &HashSet<usize>,
) -> Result<Program, Vec<Problem>> {
    let mut lowering = Lowering {
        graph,
        options,
        stats,
        qparams,
        spilled,
        float,
        program: Program::default(),
        homes: vec![Home::default(); graph.tensors.len()],
        joins: join::Joins::default(),
        taken: HashSet::new(),
        at: 0,
    };
    let problems = lowering.inputs();
    if !problems.is_empty() {
        return Err(problems);
    }
    if lowering.is_quantized() {
        lowering.joins = join::Joins::plan(&lowering);
    }
    let mut problems = Vec::new();
    for at in 0..graph.nodes.len() {
        if lowering.taken.contains(&at) {
            continue;
        }
        lowering.at = at;
        if let Err(problem) = lowering.node(at) {
            problems.push(problem);
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    lowering.outputs()?;
    lowering.feed_kpu_directly();
    Ok(lowering.program)
}

/// What each tensor's bytes stand for.
///
/// Operators that only move bytes need the same parameters for operand and result; such tensors are
/// put together into groups that share one range.
pub fn qparams(graph: &Graph, options: &Options, stats: &[Stats]) -> Vec<QParam> {
    let mut group: Vec<usize> = (0..graph.tensors.len()).collect();
    fn root(group: &[usize], mut i: usize) -> usize {
        while group[i] != i {
            i = group[i];
        }
        i
    }
    let mut extra: Vec<(TensorId, f32)> = Vec::new();
    for node in &graph.nodes {
        let moves = match &node.op {
            Op::Reshape
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Resize(_) => true,
            Op::Pad { value, .. } => {
                extra.push((node.output, *value));
                true
            }
            // The KPU makes bytes before it takes their mean.
            Op::Pool(pool)
                if pool.op == ReduceOp::Mean && convolution::kpu_pool(pool).is_some() =>
            {
                let x = node.inputs[0];
                if let Some((low, high)) = graph.tensors[x].range.or(stats[x].range) {
                    extra.extend([(node.output, low), (node.output, high)]);
                }
                false
            }
            _ => false,
        };
        let is_concat = matches!(node.op, Op::Concat { .. });
        for &x in node.inputs.iter().filter(|_| moves) {
            if is_concat && !shares_range(graph, stats, x, node.output) {
                continue;
            }
            let (a, b) = (root(&group, x), root(&group, node.output));
            group[b] = a;
        }
    }
    let mut ranges = vec![None::<(f32, f32)>; graph.tensors.len()];
    let mut widen = |i: usize, (low, high): (f32, f32)| {
        let range = &mut ranges[i];
        *range = Some(range.map_or((low, high), |(l, h)| (l.min(low), h.max(high))));
    };
    for (id, tensor) in graph.tensors.iter().enumerate() {
        let of_constant = || {
            tensor.data.as_ref().map(|d| {
                d.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)))
            })
        };
        if let Some(range) = tensor.range.or(stats[id].range).or_else(of_constant) {
            widen(root(&group, id), range);
        }
    }
    for (id, value) in extra {
        widen(root(&group, id), (value, value));
    }
    let mut fixed = vec![None; graph.tensors.len()];
    for &input in &graph.inputs {
        if let Some(q) = input_qparam(graph, options, input) {
            fixed[root(&group, input)] = Some(q);
        }
    }
    (0..graph.tensors.len())
        .map(|id| {
            let id = root(&group, id);
            let (low, high) = ranges[id].unwrap_or((0.0, 1.0));
            fixed[id].unwrap_or_else(|| QParam::cover(low, high))
        })
        .collect()
}

/// Whether a part of a concatenation may have the range of the whole: if nobody else wants it finer.
/// Other parts, and a model's input with its fixed range, are converted for the concatenation.
fn shares_range(graph: &Graph, stats: &[Stats], part: TensorId, whole: TensorId) -> bool {
    let range = |id: TensorId| graph.tensors[id].range.or(stats[id].range);
    let width = |id: TensorId| range(id).map_or(0.0, |(low, high)| high.max(0.0) - low.min(0.0));
    let comparable = width(part) >= 0.6 * width(whole);
    !graph.inputs.contains(&part) && (graph.readers(part) == 1 || comparable)
}

/// What the bytes of an input stand for, if that is told: else they cover what calibration saw.
fn input_qparam(graph: &Graph, options: &Options, input: TensorId) -> Option<QParam> {
    let is_picture = matches!(graph.shape(input), [_, 1 | 3, _, _])
        && options.dataset_format == crate::options::DatasetFormat::Image;
    let given = options.has_pixel_range().then(|| options.pixel_range());
    let of_picture = is_picture.then(|| options.pixel_range());
    let (low, high) = given.or(graph.tensors[input].range).or(of_picture)?;
    let scale = (high - low) / 255.0;
    (scale > 0.0).then(|| QParam { scale, zero: -low / scale })
}

/// A shape with four dimensions: leading ones are added, ones in between dropped.
pub(crate) fn shape4(shape: &[usize]) -> Option<Shape> {
    let mut dims = shape.to_vec();
    while dims.len() > 4 {
        let one = dims.iter().position(|&d| d == 1)?;
        dims.remove(one);
    }
    let mut out = [1; 4];
    out[4 - dims.len()..].copy_from_slice(&dims);
    Some(out)
}

impl<'g> Lowering<'g> {
    fn is_quantized(&self) -> bool {
        self.options.inference_type == ElementType::Uint8
    }

    fn q(&self, id: TensorId) -> QParam {
        self.qparams[id]
    }

    /// A problem of the node at work.
    fn problem(&self, why: impl Into<String>, advice: impl Into<String>) -> Problem {
        let node = &self.graph.nodes[self.at];
        let shapes: Vec<String> = node
            .inputs
            .iter()
            .chain([&node.output])
            .map(|&id| format!("{:?}", self.graph.shape(id)))
            .collect();
        Problem {
            node: node.name.clone(),
            operator: node.op.name().to_string(),
            shapes: format!(" {}", shapes.join(" ")),
            why: why.into(),
            advice: advice.into(),
        }
    }

    fn shape(&self, id: TensorId) -> Result<Shape, Problem> {
        shape4(self.graph.shape(id)).ok_or_else(|| {
            self.problem(
                format!("a tensor of {} dimensions", self.graph.shape(id).len()),
                "the chip's runtime has four dimensions; reshape before this layer",
            )
        })
    }

    /// Adds a step with one result in main memory.
    fn push(
        &mut self,
        op: StepOp,
        reads: Vec<ValueId>,
        dtype: Dtype,
        shape: Shape,
        tensor: Option<TensorId>,
    ) -> ValueId {
        let out = self.program.value(dtype, shape, Place::Main, tensor);
        self.step(op, reads, vec![out]);
        out
    }

    fn step(&mut self, op: StepOp, reads: Vec<ValueId>, writes: Vec<ValueId>) -> usize {
        self.program.steps.push(Step { op, reads, writes, node: Some(self.at) });
        self.program.steps.len() - 1
    }

    fn inputs(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for &id in &self.graph.inputs {
            let Some(shape) = shape4(self.graph.shape(id)) else {
                problems.push(Problem::general(
                    &self.graph.tensors[id].name,
                    format!("an input of shape {:?}", self.graph.shape(id)),
                    "use an input of at most four dimensions",
                ));
                continue;
            };
            let bytes = self.options.input_type() == ElementType::Uint8;
            let dtype = if bytes { Dtype::U8 } else { Dtype::F32 };
            let value = self.program.value(dtype, shape, Place::Main, Some(id));
            self.program.inputs.push(value);
            let home = &mut self.homes[id];
            if bytes { home.byte = Some(value) } else { home.float = Some(value) }
        }
        problems
    }

    fn outputs(&mut self) -> Result<(), Vec<Problem>> {
        for &id in &self.graph.outputs {
            if self.graph.tensors[id].data.is_some() || self.graph.inputs.contains(&id) {
                return Err(vec![Problem::general(
                    &self.graph.tensors[id].name,
                    "this output does not depend on the input, or is the input itself",
                    "remove it from the model's outputs",
                )]);
            }
            self.at = self.graph.producer(id).unwrap_or(0);
            let value = self.float(id).map_err(|p| vec![p])?;
            self.program.outputs.push(value);
        }
        Ok(())
    }

    /// An input that is only uploaded goes to KPU RAM at once.
    fn feed_kpu_directly(&mut self) {
        for i in 0..self.program.inputs.len() {
            let input = self.program.inputs[i];
            let mut readers = (0..self.program.steps.len())
                .filter(|&s| self.program.steps[s].reads.contains(&input));
            let (Some(upload), None) = (readers.next(), readers.next()) else { continue };
            let aliased =
                self.program.values.iter().any(|v| v.within.is_some_and(|(p, _)| p == input));
            if aliased || !matches!(self.program.steps[upload].op, StepOp::Upload) {
                continue;
            }
            let image = self.program.steps[upload].writes[0];
            // A part of a larger image has no beginning of its own to upload to before the rest.
            if self.program.values[image].within.is_none() {
                self.program.inputs[i] = image;
                self.program.steps.remove(upload);
            }
        }
    }

    /// A tensor as floats in main memory or among the constants.
    fn float(&mut self, id: TensorId) -> Result<ValueId, Problem> {
        if let Some(value) = self.homes[id].float {
            return Ok(value);
        }
        let shape = self.shape(id)?;
        let value = if let Some(data) = &self.graph.tensors[id].data {
            self.program.constant(shape, data)
        } else {
            let bytes = self.byte(id)?;
            let q = self.q(id);
            let whole = QParam { zero: q.zero.round(), ..q };
            let value =
                self.push(StepOp::Dequantize(whole), vec![bytes], Dtype::F32, shape, Some(id));
            let rest = (whole.zero - q.zero) * q.scale;
            // The zero point of a model's input may lie between two bytes.
            if rest.abs() > q.scale * 0.01 {
                self.function(&Expr::X.plus(Expr::Const(rest)), value, Some(id))
            } else {
                value
            }
        };
        self.homes[id].float = Some(value);
        Ok(value)
    }

    /// A tensor as bytes in main memory or among the constants.
    fn byte(&mut self, id: TensorId) -> Result<ValueId, Problem> {
        if let Some(value) = self.homes[id].byte {
            return Ok(value);
        }
        let shape = self.shape(id)?;
        let q = self.q(id);
        let value = if let Some(data) = &self.graph.tensors[id].data {
            let bytes = data.iter().map(|&v| q.quantize(v)).collect();
            self.program.constant_bytes(Dtype::U8, shape, bytes)
        } else if let Some(home) = self.homes[id].kpu {
            self.download(id, home)?
        } else {
            let float = self.float(id)?;
            self.push(StepOp::Quantize(q), vec![float], Dtype::U8, shape, Some(id))
        };
        self.homes[id].byte = Some(value);
        Ok(value)
    }

    /// Whether a tensor is there as bytes, so that working on bytes costs no conversion.
    fn has_bytes(&self, id: TensorId) -> bool {
        self.homes[id].byte.is_some() || self.homes[id].kpu.is_some()
    }

    /// The only node that reads a tensor, if it is not an output.
    fn only_reader(&self, id: TensorId) -> Option<usize> {
        if self.graph.readers(id) != 1 || self.graph.outputs.contains(&id) {
            return None;
        }
        self.graph.nodes.iter().position(|n| n.inputs.contains(&id))
    }

    /// The function behind a node that it can take along, and the tensor after it.
    fn function_behind(&mut self, id: TensorId, fits: impl Fn(&Expr) -> bool) -> (Expr, TensorId) {
        if let Some(next) = self.only_reader(id) {
            let node = &self.graph.nodes[next];
            if let Op::Map(f) = &node.op
                && fits(f)
                && self.float.contains(&next) == self.float.contains(&self.at)
            {
                self.taken.insert(next);
                return (f.clone(), node.output);
            }
        }
        (Expr::X, id)
    }

    fn node(&mut self, at: usize) -> Result<(), Problem> {
        let node: &'g Node = &self.graph.nodes[at];
        if self.is_quantized() && !self.float.contains(&at) && self.on_bytes(node)? {
            return Ok(());
        }
        self.on_floats(node)
    }
}
