//! Convolutions, matrix products, pools and activations as KPU layers.

use maix_kpu::kpu::{
    layer::{Kernel, Pool as KpuPool},
    memory::{KPU_RAM_ROWS, rows},
};
use maix_kpu::tensor::ImageShape;

use super::{Frame, KpuHome, Lowering, frame::Walk};
use crate::{
    expr::Expr,
    graph::{Conv2d, Graph, Node, Op, Pool, ReduceOp, TensorId, Window},
    optimize::wide::MAX_CHANNELS,
    options::{KmodelVersion, Options},
    problem::Problem,
    program::KpuLayer,
    quantize::{QParam, kpu::Convolution},
};

/// Weights of a grouped convolution that are worth being filled up with zeros.
const MAX_FILLED_WEIGHTS: usize = 1 << 16;

/// A layer in real numbers, before it is known how the KPU walks over its input.
pub(super) struct Plan<'p> {
    pub input: TensorId,
    pub weights: std::borrow::Cow<'p, [f32]>,
    pub bias: std::borrow::Cow<'p, [f32]>,
    pub depthwise: bool,
    pub window: Window,
    pub function: Expr,
    /// Range before the function.
    pub range: (f32, f32),
    /// The pool behind, with its window.
    pub pool: KpuPool,
    pub output: TensorId,
}

impl<'g> Lowering<'g> {
    /// Lowers a convolution to the KPU if its shape allows it.
    pub(super) fn kpu_conv(&mut self, node: &'g Node, conv: &'g Conv2d) -> Result<bool, Problem> {
        let input = node.inputs[0];
        let Some((channels, _)) = self.planes(input) else { return Ok(false) };
        let out_channels = conv.bias.len();
        let w = &conv.window;
        if channels.max(out_channels) > MAX_CHANNELS || !weights_fit(self.options, &conv.weights) {
            return Ok(false);
        }
        let depthwise =
            conv.groups == channels && channels == out_channels && channels > 1 && is_small(w);
        let weights = if depthwise || conv.groups == 1 {
            std::borrow::Cow::Borrowed(&conv.weights[..])
        } else if channels * out_channels * w.kernel[0] * w.kernel[1] <= MAX_FILLED_WEIGHTS {
            filled(conv, channels).into()
        } else {
            return Ok(false);
        };
        let taken = self.taken.clone();
        let (function, mid) = self.function_behind(node.output, |_| true);
        let (pool, output) =
            if w.stride == [1, 1] { self.pool_behind(mid) } else { (KpuPool::None, mid) };
        let mut plan = Plan {
            input,
            weights,
            bias: (&conv.bias[..]).into(),
            depthwise,
            window: w.clone(),
            function,
            range: self.range(node.output),
            pool,
            output,
        };
        if self.run_plan(&plan)? {
            return Ok(true);
        }
        // The pool may be what does not fit.
        self.taken.clone_from(&taken);
        let (_, mid) = self.function_behind(node.output, |_| true);
        (plan.pool, plan.output) = (KpuPool::None, mid);
        if pool != KpuPool::None && self.run_plan(&plan)? {
            return Ok(true);
        }
        self.taken = taken;
        Ok(false)
    }

    /// A matrix product with constant weights as a convolution of one pixel.
    pub(super) fn kpu_matmul(&mut self, node: &'g Node, bias: &'g [f32]) -> Result<bool, Problem> {
        let Some(weights) = kpu_weights(self.graph, self.options, node) else { return Ok(false) };
        let is_pixel = weights.len() / bias.len() <= MAX_CHANNELS;
        Ok(is_pixel && self.dense(node, bias, node.inputs[0], weights, [1, 1])?)
    }

    /// A dense layer behind an image whose pixels it reads all, as a convolution as large as the image.
    /// `node` is the reshape between them.
    pub(super) fn dense_over_image(&mut self, node: &'g Node) -> Result<bool, Problem> {
        // Version 3 takes a pixel out of an image of 4x4 only.
        if self.options.kmodel_version == KmodelVersion::V3 {
            return Ok(false);
        }
        let (x, graph) = (node.inputs[0], self.graph);
        let (&[1, _, h, w], Some(next)) = (graph.shape(x), self.only_reader(node.output)) else {
            return Ok(false);
        };
        let Op::MatMul { bias } = &graph.nodes[next].op else { return Ok(false) };
        let weights = kpu_weights(graph, self.options, &graph.nodes[next]);
        let Some(weights) = weights.filter(|_| h * w > 1 && !self.float.contains(&next)) else {
            return Ok(false);
        };
        let reshape = std::mem::replace(&mut self.at, next);
        let done = self.dense(&graph.nodes[next], bias, x, weights, [h, w])?;
        if done {
            self.taken.insert(next);
        }
        self.at = reshape;
        Ok(done)
    }

    /// A dense layer over the pixels of an image.
    fn dense(
        &mut self,
        node: &'g Node,
        bias: &'g [f32],
        input: TensorId,
        weights: Vec<f32>,
        kernel: [usize; 2],
    ) -> Result<bool, Problem> {
        let taken = self.taken.clone();
        let (function, output) = self.function_behind(node.output, |_| true);
        let plan = Plan {
            input,
            weights: weights.into(),
            bias: bias.into(),
            depthwise: false,
            window: Window { kernel, ..Window::UNIT },
            function,
            range: self.range(node.output),
            pool: KpuPool::None,
            output,
        };
        let done = self.run_plan(&plan)?;
        if !done {
            self.taken = taken;
        }
        Ok(done)
    }

    /// A function, a pool or a change of scale as a depthwise layer that passes its input on.
    pub(super) fn kpu_identity(
        &mut self,
        input: TensorId,
        function: Expr,
        pool: KpuPool,
        window: Window,
        output: TensorId,
    ) -> Result<bool, Problem> {
        let Some((channels, _)) = self.planes(input) else { return Ok(false) };
        if channels > MAX_CHANNELS {
            return Ok(false);
        }
        let plan = Plan {
            input,
            weights: vec![1.0; channels].into(),
            bias: vec![0.0; channels].into(),
            depthwise: channels > 1,
            window,
            function,
            range: self.q(input).range(),
            pool,
            output,
        };
        self.run_plan(&plan)
    }

    /// Means over windows of 3x3 as a depthwise convolution: exact sums, rounded once. Only
    /// where the KPU reads them: for the CPU they would be in float.
    pub(super) fn kpu_mean(
        &mut self,
        input: TensorId,
        window: &Window,
        output: TensorId,
    ) -> Result<bool, Problem> {
        let Some((channels, _)) = self.planes(input) else { return Ok(false) };
        let nine = window.kernel == [3, 3] && window.dilation == [1, 1] && window.is_unpadded();
        if !nine || channels > MAX_CHANNELS || !feeds_kpu(self.graph, self.options, output) {
            return Ok(false);
        }
        let plan = Plan {
            input,
            weights: vec![1.0 / 9.0; 9 * channels].into(),
            bias: vec![0.0; channels].into(),
            depthwise: channels > 1,
            window: window.clone(),
            function: Expr::X,
            range: self.range(output),
            pool: KpuPool::None,
            output,
        };
        self.run_plan(&plan)
    }

    /// The layer that passes a tensor on with other parameters for its bytes.
    pub(super) fn identity(&self, id: TensorId, q: QParam) -> KpuLayer {
        self.moved(id, [0, 0], q)
    }

    /// The layer that takes a function of a tensor, whose bytes stand for the same as the tensor's.
    pub(super) fn mapped(&self, id: TensorId, function: &Expr) -> KpuLayer {
        self.parameters(&self.moving(id, [0, 0]), KpuPool::None, 0, function, self.q(id))
    }

    /// The layer that passes on, for each pixel, the one at a distance of at most 1 along each axis.
    pub(super) fn moved(&self, id: TensorId, by: [isize; 2], q: QParam) -> KpuLayer {
        self.parameters(&self.moving(id, by), KpuPool::None, 0, &Expr::X, q)
    }

    fn moving(&self, id: TensorId, by: [isize; 2]) -> Plan<'static> {
        let channels = self.planes(id).map_or(1, |p| p.0);
        let (taps, window) = if by == [0, 0] {
            (vec![1.0], Window::UNIT)
        } else {
            let mut taps = vec![0.0; 9];
            taps[(4 + 3 * by[0] + by[1]) as usize] = 1.0;
            (taps, Window { kernel: [3, 3], ..Window::UNIT })
        };
        Plan {
            input: id,
            weights: taps.repeat(channels).into(),
            bias: vec![0.0; channels].into(),
            depthwise: channels > 1,
            window,
            function: Expr::X,
            range: self.q(id).range(),
            pool: KpuPool::None,
            output: id,
        }
    }

    /// Smallest and largest value that a tensor takes.
    pub(super) fn range(&self, id: TensorId) -> (f32, f32) {
        let tensor = &self.graph.tensors[id];
        tensor.range.or(self.stats[id].range).unwrap_or_else(|| self.q(id).range())
    }

    /// The pool behind a tensor that the KPU can do in the same layer, and the tensor after it.
    fn pool_behind(&mut self, id: TensorId) -> (KpuPool, TensorId) {
        if let Some(next) = self.only_reader(id)
            && let Op::Pool(pool) = &self.graph.nodes[next].op
            && let Some(kpu) = kpu_pool(pool)
            && kpu != KpuPool::Max2Stride1
            && !self.float.contains(&next)
        {
            self.taken.insert(next);
            return (kpu, self.graph.nodes[next].output);
        }
        (KpuPool::None, id)
    }

    /// Emits the layer in the cheapest way that works.
    pub(super) fn run_plan(&mut self, plan: &Plan<'_>) -> Result<bool, Problem> {
        if !is_small(&plan.window) {
            return self.run_shifted(plan);
        }
        let Some((_, inner)) = self.planes(plan.input) else { return Ok(false) };
        let stride = plan.window.stride;
        if stride[0] != stride[1] || !matches!(stride[0], 1 | 2 | 4) {
            return Ok(false);
        }
        let radius = plan.window.kernel[0] / 2;
        let pool_stride = plan.pool.stride();
        let walks = [0, 1].map(|a| Walk {
            radius,
            step: stride[a],
            pool: pool_stride,
            pad: plan.window.pad[a],
            count: plan.window.output(a, inner[a]).unwrap_or(0),
        });
        if walks.iter().any(|w| w.count / w.pool == 0) {
            return Ok(false);
        }
        // (pool, pixel of each window that stays)
        let choices: &[(KpuPool, [usize; 2])] = match stride[0] {
            1 => &[(plan.pool, [0, 0])],
            2 => &[(KpuPool::LeftTop2, [0, 0]), (KpuPool::RightTop2, [0, 1])],
            _ => &[(KpuPool::LeftTop4, [0, 0])],
        };
        if let Some(home) = self.homes[plan.input].kpu {
            for &(pool, offset) in choices {
                if let Some(out) = home.frame.walked(walks, offset)
                    && self.layer(plan, home.frame, pool, 0, out)?
                {
                    return Ok(true);
                }
            }
        }
        if stride[0] == 2 && self.second_pixel(plan, walks)? {
            return Ok(true);
        }
        let fresh = choices
            .iter()
            .filter_map(|&(pool, offset)| Some((pool, offset, Frame::fresh(inner, walks, offset)?)))
            .min_by_key(|(_, _, f)| f.size[0] * f.size[1]);
        let Some((pool, offset, frame)) = fresh else { return Ok(false) };
        let Some(out) = frame.walked(walks, offset) else { return Ok(false) };
        self.layer(plan, frame, pool, 0, out)
    }

    /// A step of two that begins at line 1: the whole convolution at step one, then a layer that
    /// reads it one line further down and keeps the upper pixels.
    fn second_pixel(&mut self, plan: &Plan<'_>, walks: [Walk; 2]) -> Result<bool, Problem> {
        let Some((_, inner)) = self.planes(plan.input) else { return Ok(false) };
        // What comes from the CPU can get a border there, for a result that the KPU can read again.
        let (frame, smallest) = match self.homes[plan.input].kpu {
            Some(home) if home.frame.is_exact() => (home.frame, 1),
            None => (Frame::exact(inner), 4),
            Some(_) => return Ok(false),
        };
        let starts = walks.map(|w| w.radius.checked_sub(w.pad.0));
        let [Some(1), Some(column @ (0 | 1))] = starts else { return Ok(false) };
        let whole = walks.map(|w| Walk { step: 1, pad: (w.radius, w.radius), ..w });
        let whole = [0, 1].map(|a| Walk { count: inner[a], ..whole[a] });
        let (Some(full), true) = (
            frame.walked(whole, [0, 0]),
            (0..2).all(|a| walks[a].count == inner[a] / 2 && inner[a] / 2 >= smallest),
        ) else {
            return Ok(false);
        };
        let channels = plan.bias.len();
        let image = |c: usize, size: [usize; 2]| rows(ImageShape::new(c, size[0], size[1]));
        let half = [inner[0] / 2, inner[1] / 2];
        let (in_channels, _) = self.planes(plan.input).unwrap_or((0, inner));
        if image(in_channels, inner) + image(channels, full.size) > KPU_RAM_ROWS {
            return Ok(false);
        }
        if image(channels, full.size) + image(channels, half) > KPU_RAM_ROWS {
            return Ok(false);
        }
        let source = self.in_kpu(plan.input, frame)?;
        let q = self.q(plan.output);
        let layer = self.parameters(plan, KpuPool::None, 0, &plan.function, q);
        let (full_image, _) = self.kpu_layer(layer, source, channels, None);
        let line_rows = maix_kpu::kpu::memory::RowLayout::of(inner[1]).line_rows;
        self.program.values[full_image].spare_rows = line_rows;
        let pool = if column == 1 { KpuPool::RightTop2 } else { KpuPool::LeftTop2 };
        let identity = Plan {
            input: plan.output,
            weights: vec![1.0; channels].into(),
            bias: vec![0.0; channels].into(),
            depthwise: channels > 1,
            window: Window::UNIT,
            function: Expr::X,
            range: q.range(),
            pool,
            output: plan.output,
        };
        let mut second = self.parameters(&identity, pool, 1, &Expr::X, q);
        second.pad_value = q.zero_byte();
        let (value, step) = self.kpu_layer(second, full_image, channels, Some(plan.output));
        self.homes[plan.output].kpu =
            Some(KpuHome { value, frame: Frame::exact(half), producer: Some(step) });
        Ok(true)
    }

    /// One KPU layer over the input in `frame`.
    fn layer(
        &mut self,
        plan: &Plan<'_>,
        frame: Frame,
        pool: KpuPool,
        skip_lines: usize,
        out: Frame,
    ) -> Result<bool, Problem> {
        let Some((in_channels, _)) = self.planes(plan.input) else { return Ok(false) };
        let channels = plan.bias.len();
        let image = |c: usize, size: [usize; 2]| rows(ImageShape::new(c, size[0], size[1]));
        if image(in_channels, frame.size) + image(channels, out.size) > KPU_RAM_ROWS {
            return Ok(false);
        }
        let source = self.in_kpu(plan.input, frame)?;
        let q = self.q(plan.output);
        let layer = self.parameters(plan, pool, skip_lines, &plan.function, q);
        let (value, step) = self.kpu_layer(layer, source, channels, Some(plan.output));
        self.homes[plan.output].kpu = Some(KpuHome { value, frame: out, producer: Some(step) });
        Ok(true)
    }

    fn parameters(
        &self,
        plan: &Plan<'_>,
        pool: KpuPool,
        skip_lines: usize,
        function: &Expr,
        output: QParam,
    ) -> KpuLayer {
        let input = self.q(plan.input);
        let means = &self.stats[plan.input].channel_means;
        let taps = plan.window.kernel[0] * plan.window.kernel[1];
        let depthwise = plan.depthwise;
        let input_means = |channel: usize, tap: usize| {
            let c = if depthwise { channel } else { tap / taps };
            means.get(c).copied().unwrap_or(0.0)
        };
        let parameters = Convolution {
            weights: &plan.weights,
            bias: &plan.bias,
            input_means: &input_means,
            input_scale: input.scale,
            input_zero: &|_, _| input.zero,
            function,
            range: plan.range,
            output,
            output_offset: lost_by(pool),
        }
        .quantize();
        KpuLayer {
            depthwise,
            kernel: if taps == 1 { Kernel::K1x1 } else { Kernel::K3x3 },
            pool,
            pad_value: input.zero_byte(),
            skip_lines,
            parameters,
        }
    }
}

/// Whether the user lets these weights be quantized.
pub(super) fn weights_fit(options: &Options, weights: &[f32]) -> bool {
    let (low, high) = weights.iter().fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
    options.weights_quantize_threshold.is_none_or(|t| high - low <= t)
}

/// The weights of a dense layer for which the KPU has enough results, one row for each.
fn kpu_weights(graph: &Graph, options: &Options, node: &Node) -> Option<Vec<f32>> {
    let (input, b) = (node.inputs[0], node.inputs[1]);
    let (Some(data), &[k, columns]) = (&graph.tensors[b].data, graph.shape(b)) else {
        return None;
    };
    (graph.shape(input) == [1, k]
        && columns <= MAX_CHANNELS
        && data.len() >= options.output_quantize_threshold
        && weights_fit(options, data))
    .then(|| crate::eval::transpose(&[1, 0], data, &[k, columns]))
}

/// Whether all that read a tensor are likely to be KPU layers.
pub(crate) fn feeds_kpu(graph: &Graph, options: &Options, id: TensorId) -> bool {
    let readers = || graph.nodes.iter().filter(|n| n.inputs.contains(&id));
    let is_kpu = |node: &Node| match &node.op {
        Op::Conv2d(conv) => {
            is_handy(&conv.window) && conv.bias.len().max(graph.shape(id)[1]) <= MAX_CHANNELS
        }
        Op::MatMul { .. } => {
            graph.shape(id)[1] <= MAX_CHANNELS && kpu_weights(graph, options, node).is_some()
        }
        Op::Reshape => feeds_kpu(graph, options, node.output),
        _ => false,
    };
    readers().count() == graph.readers(id) && readers().all(is_kpu)
}

/// What a pool loses on average because it rounds down, in bytes.
pub(super) fn lost_by(pool: KpuPool) -> f32 {
    match pool {
        KpuPool::Mean2 => 3.0 / 8.0,
        KpuPool::Mean4 => 15.0 / 32.0,
        _ => 0.0,
    }
}

/// Whether the KPU has a kernel of this size.
pub(crate) fn is_small(window: &Window) -> bool {
    matches!(window.kernel, [1, 1] | [3, 3]) && window.dilation == [1, 1]
}

/// Whether a convolution with this kernel is likely to run on the KPU.
pub(crate) fn is_handy(window: &Window) -> bool {
    (0..2).all(|axis| window.extent(axis) <= 7)
}

/// The KPU's pool for a pool of the graph that needs no border.
pub(crate) fn kpu_pool(pool: &Pool) -> Option<KpuPool> {
    let w = &pool.window;
    if w.dilation != [1, 1] {
        return None;
    }
    if w.kernel == [2, 2] && w.stride == [1, 1] && w.pad == [(0, 1); 2] && pool.op == ReduceOp::Max
    {
        return Some(KpuPool::Max2Stride1);
    }
    if !w.is_unpadded() || w.kernel != w.stride {
        return None;
    }
    match (pool.op, w.kernel) {
        (ReduceOp::Max, [2, 2]) => Some(KpuPool::Max2),
        (ReduceOp::Max, [4, 4]) => Some(KpuPool::Max4),
        (ReduceOp::Mean, [2, 2]) => Some(KpuPool::Mean2),
        (ReduceOp::Mean, [4, 4]) => Some(KpuPool::Mean4),
        _ => None,
    }
}

/// The weights of a grouped convolution with zeros for the channels of other groups.
fn filled(conv: &Conv2d, channels: usize) -> Vec<f32> {
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let (in_group, out_group) = (channels / conv.groups, conv.bias.len() / conv.groups);
    let mut weights = vec![0.0; conv.bias.len() * channels * taps];
    for (out, row) in conv.weights.chunks_exact(in_group * taps).enumerate() {
        let first = (out * channels + out / out_group * in_group) * taps;
        weights[first..][..row.len()].copy_from_slice(row);
    }
    weights
}
