//! What both importers build graphs with: operators whose operands are checked.

use std::sync::Arc;

use super::ints::Ints;
use crate::{
    expr::Expr,
    graph::{
        BinaryOp, Conv2d, ConvTranspose, Graph, Op, Padding, Pool, ReduceOp, Resize, TensorId,
        UnaryOp, Window, broadcast,
    },
    problem::Fault,
};

/// The largest tensor that is accepted; far more than the chip can hold.
pub const MAX_ELEMENTS: usize = 1 << 24;

/// What an operand is while importing.
#[derive(Clone, Debug)]
pub enum Value {
    /// Integers with known values.
    Ints(Ints),
    /// Floats with known values, in the model file's own axis order.
    Const {
        /// Dimensions.
        shape: Vec<usize>,
        /// Values.
        data: Arc<[f32]>,
    },
    /// A tensor of the graph.
    Tensor(TensorId),
}

/// A graph under construction.
#[derive(Default)]
pub struct Builder {
    /// The graph so far.
    pub graph: Graph,
    /// Name for what is built next.
    pub name: String,
}

type Result<T> = std::result::Result<T, Fault>;

/// `[1, 7, 7, 32]`
pub fn text(shape: &[usize]) -> String {
    let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// An axis that may count from the end.
pub fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_front = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_front).ok().filter(|&a| a < rank).ok_or_else(|| no_axis(axis, rank))
}

fn no_axis(axis: i64, rank: usize) -> Fault {
    Fault::damaged(format!("axis {axis} of a tensor of rank {rank}"))
}

/// `shape` with its one -1 (and zeros that stand for "as before", if allowed) filled in.
pub fn resolve_shape(wanted: &[i64], before: &[usize], zero_copies: bool) -> Result<Vec<usize>> {
    let total: usize = before.iter().product();
    let mut shape = Vec::new();
    let mut unknown = None;
    for (i, &dim) in wanted.iter().enumerate() {
        match dim {
            -1 if unknown.is_none() => {
                unknown = Some(i);
                shape.push(1);
            }
            0 if zero_copies && i < before.len() => shape.push(before[i]),
            1.. => shape.push(dim as usize),
            _ => return Err(Fault::damaged(format!("a reshape to {wanted:?}"))),
        }
    }
    let known = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
    if let Some(i) = unknown {
        shape[i] = total / known.max(1);
    }
    if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(total) {
        return Err(Fault::new(
            format!("cannot reshape {} to {wanted:?}", text(before)),
            "export the model for batch size 1",
        ));
    }
    Ok(shape)
}

/// Whether a window's numbers make sense.
fn check_window(window: &Window) -> Result<()> {
    if window.kernel.contains(&0) || window.stride.contains(&0) || window.dilation.contains(&0) {
        return Err(Fault::damaged("a window, step or dilation of 0"));
    }
    let limits = [
        window.kernel,
        window.stride,
        window.dilation,
        [window.pad[0].0, window.pad[0].1],
        [window.pad[1].0, window.pad[1].1],
    ];
    if limits.as_flattened().iter().any(|&v| v > 1 << 14) {
        return Err(Fault::damaged("a window of more than 16384 pixels"));
    }
    Ok(())
}

impl Builder {
    /// Shape of a tensor.
    pub fn shape(&self, id: TensorId) -> Vec<usize> {
        self.graph.shape(id).to_vec()
    }

    /// An operator with a result of `shape`.
    pub fn push(&mut self, op: Op, inputs: Vec<TensorId>, shape: Vec<usize>) -> Result<TensorId> {
        let elements =
            shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        if elements == 0 || elements > MAX_ELEMENTS {
            return Err(Fault::new(
                format!("a result of shape {}", text(&shape)),
                "use a smaller input; every dimension must be at least 1",
            ));
        }
        Ok(self.graph.push(self.name.clone(), op, inputs, shape))
    }

    /// A constant.
    pub fn constant(&mut self, shape: Vec<usize>, data: impl Into<Arc<[f32]>>) -> TensorId {
        self.graph.constant(format!("{} constant", self.name), shape, data)
    }

    /// A function of every element.
    pub fn map(&mut self, x: TensorId, f: Expr) -> Result<TensorId> {
        if f == Expr::X {
            return Ok(x);
        }
        let shape = self.shape(x);
        self.push(Op::Map(f), vec![x], shape)
    }

    /// Two operands; a single constant number makes it a function of the other operand.
    pub fn binary(&mut self, op: BinaryOp, a: TensorId, b: TensorId) -> Result<TensorId> {
        let (a_shape, b_shape) = (self.shape(a), self.shape(b));
        let shape = broadcast(&a_shape, &b_shape).ok_or_else(|| {
            Fault::new(
                format!("operands of shapes {} and {}", text(&a_shape), text(&b_shape)),
                "the shapes must be equal or broadcast as in numpy",
            )
        })?;
        let number = |id: TensorId| match self.graph.tensors[id].data.as_deref() {
            Some(&[value]) => Some(Expr::Const(value)),
            _ => None,
        };
        let boxed = |a, b| Expr::Binary(op, Box::new(a), Box::new(b));
        match (number(a), number(b)) {
            (_, Some(c)) if shape == a_shape => self.map(a, boxed(Expr::X, c)),
            (Some(c), _) if shape == b_shape => self.map(b, boxed(c, Expr::X)),
            _ => self.push(Op::Binary(op), vec![a, b], shape),
        }
    }

    /// `max(x, 0) + slope * min(x, 0)`.
    pub fn prelu(&mut self, x: TensorId, slope: TensorId) -> Result<TensorId> {
        let shape = self.shape(x);
        let (of_channels, data) = (self.shape(slope), &self.graph.tensors[slope].data);
        if let (&[_, channels, _, _], Some(slopes)) = (&shape[..], data)
            && matches!(of_channels[..], [c, 1, 1] | [1, c, 1, 1] if c == channels)
        {
            return self.push(Op::PRelu { slopes: slopes.to_vec() }, vec![x], shape);
        }
        let positive = self.map(x, Expr::relu())?;
        let negative = self.map(x, Expr::X.min(0.0))?;
        let negative = self.binary(BinaryOp::Mul, negative, slope)?;
        self.binary(BinaryOp::Add, positive, negative)
    }

    /// The same elements under another shape.
    pub fn reshape(&mut self, x: TensorId, shape: Vec<usize>) -> Result<TensorId> {
        let before = self.shape(x);
        if before == shape {
            return Ok(x);
        }
        if before.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(Fault::damaged(format!(
                "a reshape of {} to {}",
                text(&before),
                text(&shape)
            )));
        }
        self.push(Op::Reshape, vec![x], shape)
    }

    /// Axes in another order.
    pub fn transpose(&mut self, x: TensorId, perm: &[usize]) -> Result<TensorId> {
        let shape = self.shape(x);
        let mut sorted = perm.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.len()) {
            return Err(Fault::damaged(format!("axis order {perm:?} for shape {}", text(&shape))));
        }
        let out = perm.iter().map(|&p| shape[p]).collect();
        self.push(Op::Transpose { perm: perm.to_vec() }, vec![x], out)
    }

    /// Convolution; `x` is N, C, H, W.
    pub fn conv2d(&mut self, x: TensorId, conv: Conv2d) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        let out_channels = conv.bias.len();
        let taps = conv.window.kernel[0].saturating_mul(conv.window.kernel[1]);
        let groups_fit = conv.groups > 0
            && shape[1].is_multiple_of(conv.groups)
            && out_channels.is_multiple_of(conv.groups);
        if !groups_fit
            || (shape[1] / conv.groups).saturating_mul(taps).saturating_mul(out_channels)
                != conv.weights.len()
        {
            return Err(Fault::damaged(format!(
                "{} weights and {out_channels} biases in {} groups for an input of shape {}",
                conv.weights.len(),
                conv.groups,
                text(&shape)
            )));
        }
        let out = self.window_shape(&conv.window, &shape, out_channels)?;
        self.push(Op::Conv2d(conv), vec![x], out)
    }

    /// Transposed convolution with a result of `size` (height, width).
    pub fn conv_transpose(
        &mut self,
        x: TensorId,
        conv: ConvTranspose,
        size: [usize; 2],
    ) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        let out_channels = conv.bias.len();
        let taps = conv.window.kernel[0].saturating_mul(conv.window.kernel[1]);
        if conv.groups == 0
            || !shape[1].is_multiple_of(conv.groups)
            || !out_channels.is_multiple_of(conv.groups)
            || (shape[1] / conv.groups).saturating_mul(taps).saturating_mul(out_channels)
                != conv.weights.len()
        {
            return Err(Fault::damaged("weights and shapes contradict each other"));
        }
        check_window(&conv.window)?;
        // A convolution with the same window leads back from the result to the input.
        if (0..2).any(|axis| conv.window.output(axis, size[axis]) != Some(shape[2 + axis])) {
            return Err(Fault::damaged(format!(
                "a transposed convolution of {} with step {:?} has no result of {size:?} pixels",
                text(&shape),
                conv.window.stride
            )));
        }
        self.push(Op::ConvTranspose(conv), vec![x], vec![shape[0], out_channels, size[0], size[1]])
    }

    /// Pooling; `x` is N, C, H, W.
    pub fn pool(&mut self, x: TensorId, pool: Pool) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        let out = self.window_shape(&pool.window, &shape, shape[1])?;
        if (0..2).any(|i| {
            pool.window.pad[i].0 >= pool.window.extent(i)
                || pool.window.pad[i].1 >= pool.window.extent(i)
        }) {
            return Err(Fault::damaged("a pooling window lies outside the image"));
        }
        self.push(Op::Pool(pool), vec![x], out)
    }

    fn window_shape(
        &self,
        window: &Window,
        shape: &[usize],
        channels: usize,
    ) -> Result<Vec<usize>> {
        check_window(window)?;
        let size = |axis| {
            window.output(axis, shape[2 + axis]).ok_or_else(|| {
                Fault::new(
                    format!(
                        "a window of {:?} over an image of {}",
                        window.kernel,
                        text(&shape[2..])
                    ),
                    "use a larger input or padding \"same\"",
                )
            })
        };
        Ok(vec![shape[0], channels, size(0)?, size(1)?])
    }

    fn image_shape(&self, x: TensorId) -> Result<Vec<usize>> {
        let shape = self.shape(x);
        if shape.len() == 4 {
            Ok(shape)
        } else {
            Err(Fault::new(
                format!("an input of shape {}; four dimensions are needed", text(&shape)),
                "use the two-dimensional layer, with a height of 1 if need be",
            ))
        }
    }

    /// `a x b + bias` for matrices.
    pub fn matmul(&mut self, a: TensorId, b: TensorId, bias: Option<Vec<f32>>) -> Result<TensorId> {
        let (a_shape, b_shape) = (self.shape(a), self.shape(b));
        let fault = || {
            Fault::new(
                format!("a matrix product of {} and {}", text(&a_shape), text(&b_shape)),
                "the inner dimensions must agree; batch dimensions must be equal or all 1",
            )
        };
        let (Some((&k, a_lead)), Some(&columns)) = (a_shape.split_last(), b_shape.last()) else {
            return Err(fault());
        };
        let Some(b_lead) = b_shape.len().checked_sub(2).map(|r| &b_shape[..r]) else {
            return Err(fault());
        };
        let batches: usize = b_lead.iter().product();
        let batch_fits =
            batches == 1 || a_lead.split_last().is_some_and(|(_, a_batch)| a_batch == b_lead);
        let bias = bias.unwrap_or_else(|| vec![0.0; columns]);
        if b_shape[b_shape.len() - 2] != k || !batch_fits || bias.len() != columns {
            return Err(fault());
        }
        let mut out = a_lead.to_vec();
        out.push(columns);
        self.push(Op::MatMul { bias }, vec![a, b], out)
    }

    /// Reduction; the axes stay with size 1.
    pub fn reduce(&mut self, op: ReduceOp, x: TensorId, mut axes: Vec<usize>) -> Result<TensorId> {
        axes.sort_unstable();
        axes.dedup();
        let mut out = self.shape(x);
        let rank = out.len();
        for &a in &axes {
            *out.get_mut(a).ok_or_else(|| no_axis(a as i64, rank))? = 1;
        }
        self.push(Op::Reduce { op, axes }, vec![x], out)
    }

    /// Softmax over an axis.
    pub fn softmax(&mut self, x: TensorId, axis: usize, beta: f32) -> Result<TensorId> {
        let shape = self.shape(x);
        if axis >= shape.len() {
            return Err(no_axis(axis as i64, shape.len()));
        }
        self.push(Op::Softmax { axis, beta }, vec![x], shape)
    }

    /// A border of constants.
    pub fn pad(&mut self, x: TensorId, pads: Vec<Padding>, value: f32) -> Result<TensorId> {
        let out: Option<Vec<usize>> = self
            .shape(x)
            .iter()
            .zip(&pads)
            .map(|(&d, &(b, a))| d.checked_add(b)?.checked_add(a))
            .collect();
        let out = out.ok_or_else(|| Fault::damaged("a border that is too wide"))?;
        if pads.iter().all(|&p| p == (0, 0)) {
            return Ok(x);
        }
        self.push(Op::Pad { pads, value }, vec![x], out)
    }

    /// A border that mirrors the inside; with `edge` the outermost element is repeated too.
    pub fn mirror_pad(&mut self, x: TensorId, pads: &[Padding], edge: bool) -> Result<TensorId> {
        let mut x = x;
        for (axis, &(before, after)) in pads.iter().enumerate() {
            let shape = self.shape(x);
            let (size, skip) = (shape[axis], usize::from(!edge));
            if before.max(after) + skip > size {
                return Err(Fault::new(
                    format!("a mirrored border of {} in a dimension of {size}", before.max(after)),
                    "use a narrower border",
                ));
            }
            let mirrored = |builder: &mut Self, first: usize, count: usize| {
                let mut begin = vec![0; shape.len()];
                let mut strides = vec![1; shape.len()];
                let mut out = shape.clone();
                (begin[axis], strides[axis], out[axis]) = (first, -1, count);
                builder.push(Op::Slice { begin, strides }, vec![x], out)
            };
            let mut parts = Vec::new();
            if before > 0 {
                parts.push(mirrored(self, before - 1 + skip, before)?);
            }
            parts.push(x);
            if after > 0 {
                parts.push(mirrored(self, size - 1 - skip, after)?);
            }
            x = self.concat(parts, axis)?;
        }
        Ok(x)
    }

    /// Operands joined along an axis.
    pub fn concat(&mut self, parts: Vec<TensorId>, axis: usize) -> Result<TensorId> {
        let Some(&first) = parts.first() else {
            return Err(Fault::damaged("nothing to join"));
        };
        if parts.len() == 1 {
            return Ok(first);
        }
        let mut out = self.shape(first);
        out[axis] = 0;
        for &part in &parts {
            let shape = self.shape(part);
            let others = |s: &[usize]| {
                s.iter()
                    .enumerate()
                    .filter(|(i, _)| *i != axis)
                    .map(|(_, &d)| d)
                    .collect::<Vec<_>>()
            };
            if shape.len() != out.len() || others(&shape) != others(&out) {
                return Err(Fault::damaged(format!(
                    "{} cannot be joined to {}",
                    text(&shape),
                    text(&out)
                )));
            }
            out[axis] += shape[axis];
        }
        self.push(Op::Concat { axis }, parts, out)
    }

    /// A strided part with a result of `shape`.
    pub fn slice(
        &mut self,
        x: TensorId,
        begin: Vec<usize>,
        strides: Vec<isize>,
        out: Vec<usize>,
    ) -> Result<TensorId> {
        let shape = self.shape(x);
        for d in 0..shape.len() {
            let last = begin[d] as isize + (out[d] as isize - 1) * strides[d];
            if out[d] == 0 || begin[d] >= shape[d] || last < 0 || last >= shape[d] as isize {
                return Err(Fault::damaged(format!("a part outside of {}", text(&shape))));
            }
        }
        if out == shape && strides.iter().all(|&s| s == 1) {
            return Ok(x);
        }
        self.push(Op::Slice { begin, strides }, vec![x], out)
    }

    /// Part `from..from + count` of an axis.
    pub fn part(
        &mut self,
        x: TensorId,
        axis: usize,
        from: usize,
        count: usize,
    ) -> Result<TensorId> {
        let mut out = self.shape(x);
        let mut begin = vec![0; out.len()];
        (begin[axis], out[axis]) = (from, count);
        let strides = vec![1; out.len()];
        self.slice(x, begin, strides, out)
    }

    /// Another height and width; `x` is N, C, H, W.
    pub fn resize(&mut self, x: TensorId, resize: Resize, size: [usize; 2]) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        self.push(Op::Resize(resize), vec![x], vec![shape[0], shape[1], size[0], size[1]])
    }

    /// `x / sqrt(max(sum(x * x), epsilon))` over `axes`.
    pub fn l2_normalize(
        &mut self,
        x: TensorId,
        axes: Vec<usize>,
        epsilon: f32,
    ) -> Result<TensorId> {
        let square = self.map(x, Expr::Unary(UnaryOp::Square, Box::new(Expr::X)))?;
        let sum = self.reduce(ReduceOp::Sum, square, axes)?;
        let factor = self.map(sum, Expr::Unary(UnaryOp::Rsqrt, Box::new(Expr::X.max(epsilon))))?;
        self.binary(BinaryOp::Mul, x, factor)
    }

    /// Blocks of channels become pixels; `channels_first` as ONNX's mode CRD has it.
    pub fn depth_to_space(
        &mut self,
        x: TensorId,
        block: usize,
        channels_first: bool,
    ) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        let (n, c, h, w) = (shape[0], shape[1], shape[2], shape[3]);
        if n != 1 || block == 0 || !c.is_multiple_of(block * block) {
            return Err(Fault::damaged(format!("blocks of {block} of {}", text(&shape))));
        }
        let out = c / (block * block);
        let x = if channels_first {
            let x = self.reshape(x, vec![out, block * block, h * w])?;
            self.transpose(x, &[1, 0, 2])?
        } else {
            x
        };
        let x = self.reshape(x, vec![block, block, out * h, w])?;
        let x = self.transpose(x, &[2, 0, 3, 1])?;
        self.reshape(x, vec![1, out, h * block, w * block])
    }

    /// Blocks of pixels become channels.
    pub fn space_to_depth(&mut self, x: TensorId, block: usize) -> Result<TensorId> {
        let shape = self.image_shape(x)?;
        let (n, c, h, w) = (shape[0], shape[1], shape[2], shape[3]);
        if n != 1 || block == 0 || !h.is_multiple_of(block) || !w.is_multiple_of(block) {
            return Err(Fault::damaged(format!("blocks of {block} of {}", text(&shape))));
        }
        let (h, w) = (h / block, w / block);
        let x = self.reshape(x, vec![c * h, block, w, block])?;
        let x = self.transpose(x, &[1, 3, 0, 2])?;
        self.reshape(x, vec![1, c * block * block, h, w])
    }
}
