//! The model as its author knows it: named tensors and operators, in single precision.
//!
//! Tensors of rank 4 are N, C, H, W. An operator has one output; it stands in the list behind all
//! operators whose output it reads.

use std::sync::Arc;

use crate::expr::Expr;

/// Index of a tensor in [`Graph::tensors`].
pub type TensorId = usize;

/// A model.
#[derive(Clone, Default, Debug)]
pub struct Graph {
    /// All tensors; those that no node touches any more are allowed.
    pub tensors: Vec<Tensor>,
    /// All operators, in an order in which they can run.
    pub nodes: Vec<Node>,
    /// What the model is fed with.
    pub inputs: Vec<TensorId>,
    /// What the model answers.
    pub outputs: Vec<TensorId>,
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name in the model file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Its values, if they are constant.
    pub data: Option<Arc<[f32]>>,
    /// Smallest and largest value, if the model file says so (quantized models do).
    pub range: Option<(f32, f32)>,
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An operator with its operands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name in the model file, or that of its output.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<TensorId>,
    /// Its result.
    pub output: TensorId,
}

/// Lines or columns added before and after.
pub type Padding = (usize, usize);

/// What an operator does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Convolution over N, C, H, W.
    Conv2d(Conv2d),
    /// Transposed convolution over N, C, H, W.
    ConvTranspose(ConvTranspose),
    /// `a [rows, k] x b [k, columns] + bias`; both may have leading batch dimensions.
    MatMul {
        /// One number a column.
        bias: Vec<f32>,
    },
    /// Maximum or mean over windows of H, W; pixels outside do not count.
    Pool(Pool),
    /// Two operands, broadcast as numpy does.
    Binary(BinaryOp),
    /// A function of each element alone.
    Map(Expr),
    /// `max(x, 0) + slope * min(x, 0)` over N, C, H, W.
    PRelu {
        /// One number a channel.
        slopes: Vec<f32>,
    },
    /// Reduction of some axes to 1.
    Reduce {
        /// How elements are put together.
        op: ReduceOp,
        /// The axes that vanish, ascending.
        axes: Vec<usize>,
    },
    /// `exp(beta * x) / sum`, over one axis.
    Softmax {
        /// The axis of the sum.
        axis: usize,
        /// Factor in the exponent.
        beta: f32,
    },
    /// A constant border.
    Pad {
        /// Added elements for each axis.
        pads: Vec<Padding>,
        /// Their value.
        value: f32,
    },
    /// All operands one behind the other.
    Concat {
        /// The axis along which they are joined.
        axis: usize,
    },
    /// Every `stride`-th element from `begin` on; the output's shape says how many.
    Slice {
        /// First index of each axis.
        begin: Vec<usize>,
        /// Step of each axis, may be negative.
        strides: Vec<isize>,
    },
    /// Output axis `i` is input axis `perm[i]`.
    Transpose {
        /// The order of the axes.
        perm: Vec<usize>,
    },
    /// The same elements under another shape.
    Reshape,
    /// Another height and width.
    Resize(Resize),
}

/// Convolution.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// `[out_channels][in_channels / groups][kernel height][kernel width]`
    pub weights: Vec<f32>,
    /// One number an output channel.
    pub bias: Vec<f32>,
    /// Number of groups; equal to the input channels for a depthwise convolution.
    pub groups: usize,
    /// Height and width.
    pub window: Window,
}

/// Transposed convolution.
#[derive(Clone, Debug)]
pub struct ConvTranspose {
    /// `[out_channels][in_channels / groups][kernel height][kernel width]`
    pub weights: Vec<f32>,
    /// One number an output channel.
    pub bias: Vec<f32>,
    /// Number of groups.
    pub groups: usize,
    /// `pad` is what is cut from the full result.
    pub window: Window,
}

/// Pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Maximum or mean.
    pub op: ReduceOp,
    /// The window.
    pub window: Window,
}

/// A window that slides over height and width; pairs are (height, width).
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Distance of its taps.
    pub dilation: [usize; 2],
    /// Pixels added around the image.
    pub pad: [Padding; 2],
}

impl Window {
    /// A window of 1 x 1.
    pub const UNIT: Window =
        Window { kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [(0, 0), (0, 0)] };

    /// Extent of the window along an axis, dilation included.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Output size along an axis, or `None` if the window is larger than the padded image.
    pub fn output(&self, axis: usize, input: usize) -> Option<usize> {
        let padded = input + self.pad[axis].0 + self.pad[axis].1;
        padded.checked_sub(self.extent(axis)).map(|room| room / self.stride[axis] + 1)
    }

    /// Whether no pixel is added.
    pub fn is_unpadded(&self) -> bool {
        self.pad == [(0, 0); 2]
    }
}

/// Operators of two operands, numbered as in kmodel v4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add = 0,
    Sub = 1,
    Mul = 2,
    Div = 3,
    Min = 4,
    Max = 5,
}

impl BinaryOp {
    /// The result for two numbers.
    pub fn eval(self, a: f32, b: f32) -> f32 {
        match self {
            BinaryOp::Add => a + b,
            BinaryOp::Sub => a - b,
            BinaryOp::Mul => a * b,
            BinaryOp::Div => a / b,
            BinaryOp::Min => a.min(b),
            BinaryOp::Max => a.max(b),
        }
    }
}

/// Operators of one operand, numbered as in kmodel v4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Abs = 0,
    Ceil = 1,
    Cos = 2,
    Exp = 3,
    Floor = 4,
    Log = 5,
    Neg = 6,
    Rsqrt = 7,
    Sin = 8,
    Square = 9,
}

impl UnaryOp {
    /// The result for a number.
    pub fn eval(self, a: f32) -> f32 {
        match self {
            UnaryOp::Abs => a.abs(),
            UnaryOp::Ceil => a.ceil(),
            UnaryOp::Cos => a.cos(),
            UnaryOp::Exp => a.exp(),
            UnaryOp::Floor => a.floor(),
            UnaryOp::Log => a.ln(),
            UnaryOp::Neg => -a,
            UnaryOp::Rsqrt => 1.0 / a.sqrt(),
            UnaryOp::Sin => a.sin(),
            UnaryOp::Square => a * a,
        }
    }
}

/// Ways to put many elements together, numbered as in kmodel v4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum ReduceOp {
    Mean = 0,
    Min = 1,
    Max = 2,
    Sum = 3,
}

impl ReduceOp {
    /// The value to begin with.
    pub fn init(self) -> f32 {
        match self {
            ReduceOp::Mean | ReduceOp::Sum => 0.0,
            ReduceOp::Min => f32::MAX,
            ReduceOp::Max => f32::MIN,
        }
    }

    /// The value so far with one more element.
    pub fn step(self, so_far: f32, x: f32) -> f32 {
        match self {
            ReduceOp::Mean | ReduceOp::Sum => so_far + x,
            ReduceOp::Min => so_far.min(x),
            ReduceOp::Max => so_far.max(x),
        }
    }
}

/// Another height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Weighted mean of four pixels instead of the nearest one.
    pub bilinear: bool,
    /// First and last pixels coincide.
    pub align_corners: bool,
    /// Pixels are areas, not points.
    pub half_pixel: bool,
}

impl Resize {
    /// Whether the chip's runtime gives the same for images of these sizes (height, width).
    pub fn is_of_runtime(&self, from: [usize; 2], to: [usize; 2]) -> bool {
        // With whole factors the nearest pixel is the same with and without half pixels.
        let whole = (0..2).all(|a| to[a].is_multiple_of(from[a]));
        match (self.bilinear, self.half_pixel) {
            (true, half) => !half || from == to,
            (false, half) => (!self.align_corners && (whole || !half)) || from == to,
        }
    }
}

impl Op {
    /// The name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv2d(conv) if conv.groups > 1 && conv.groups == conv.bias.len() => {
                "depthwise conv2d"
            }
            Op::Conv2d(_) => "conv2d",
            Op::ConvTranspose(_) => "conv2d transpose",
            Op::MatMul { .. } => "matmul",
            Op::Pool(Pool { op: ReduceOp::Mean, .. }) => "mean pool",
            Op::Pool(_) => "max pool",
            Op::Binary(op) => match op {
                BinaryOp::Add => "add",
                BinaryOp::Sub => "subtract",
                BinaryOp::Mul => "multiply",
                BinaryOp::Div => "divide",
                BinaryOp::Min => "minimum",
                BinaryOp::Max => "maximum",
            },
            Op::Map(_) => "activation",
            Op::PRelu { .. } => "prelu",
            Op::Reduce { op, .. } => match op {
                ReduceOp::Mean => "mean",
                ReduceOp::Min => "minimum of",
                ReduceOp::Max => "maximum of",
                ReduceOp::Sum => "sum",
            },
            Op::Softmax { .. } => "softmax",
            Op::Pad { .. } => "pad",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Transpose { .. } => "transpose",
            Op::Reshape => "reshape",
            Op::Resize(_) => "resize",
        }
    }
}

impl Graph {
    /// Adds a tensor without values.
    pub fn tensor(&mut self, name: impl Into<String>, shape: Vec<usize>) -> TensorId {
        self.tensors.push(Tensor { name: name.into(), shape, data: None, range: None });
        self.tensors.len() - 1
    }

    /// Adds a constant.
    pub fn constant(
        &mut self,
        name: impl Into<String>,
        shape: Vec<usize>,
        data: impl Into<Arc<[f32]>>,
    ) -> TensorId {
        let id = self.tensor(name, shape);
        self.tensors[id].data = Some(data.into());
        id
    }

    /// Adds an operator whose output is a new tensor of `shape`, and returns that tensor.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<TensorId>,
        shape: Vec<usize>,
    ) -> TensorId {
        let name = name.into();
        let output = self.tensor(name.clone(), shape);
        self.nodes.push(Node { name, op, inputs, output });
        output
    }

    /// Shape of a tensor.
    pub fn shape(&self, id: TensorId) -> &[usize] {
        &self.tensors[id].shape
    }

    /// How many nodes and outputs read a tensor.
    pub fn readers(&self, id: TensorId) -> usize {
        let nodes = self.nodes.iter().flat_map(|n| &n.inputs).filter(|&&i| i == id).count();
        nodes + self.outputs.iter().filter(|&&o| o == id).count()
    }

    /// Index of the node that makes a tensor.
    pub fn producer(&self, id: TensorId) -> Option<usize> {
        self.nodes.iter().position(|n| n.output == id)
    }

    /// Puts `new` in the place of `old` wherever it is read.
    pub fn replace(&mut self, old: TensorId, new: TensorId) {
        let inputs = self.nodes.iter_mut().flat_map(|n| &mut n.inputs);
        for id in inputs.chain(&mut self.outputs).filter(|id| **id == old) {
            *id = new;
        }
    }

    /// Removes nodes whose result nobody reads.
    pub fn remove_unread(&mut self) {
        let mut read = vec![false; self.tensors.len()];
        self.outputs.iter().for_each(|&id| read[id] = true);
        for node in self.nodes.iter().rev() {
            if read[node.output] {
                node.inputs.iter().for_each(|&id| read[id] = true);
            }
        }
        self.nodes.retain(|n| read[n.output]);
    }

    /// Multiply-accumulates of a node.
    pub fn macs(&self, node: &Node) -> u64 {
        let out = self.tensors[node.output].elements() as u64;
        match &node.op {
            Op::Conv2d(conv) => out * (conv.weights.len() / conv.bias.len()) as u64,
            Op::ConvTranspose(conv) => {
                let input = self.tensors[node.inputs[0]].elements() as u64;
                input * (conv.weights.len() as u64) / self.shape(node.inputs[0])[1] as u64
            }
            Op::MatMul { .. } => {
                out * self.shape(node.inputs[0]).last().copied().unwrap_or(1) as u64
            }
            _ => 0,
        }
    }
}

/// The distance in elements between neighbours along each axis of a dense tensor.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// The shape of the result of two operands, or `None` if they do not go together.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}
