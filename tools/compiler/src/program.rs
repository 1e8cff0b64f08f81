//! What the chip will do, step by step: the operators of kmodel v4 with their operands, before
//! memory is handed out.

use maix_kpu::{
    kpu::layer::{Kernel, Pool},
    tensor::{Dtype, ImageShape},
};

use crate::{
    graph::{BinaryOp, Padding, ReduceOp, TensorId, UnaryOp, Window},
    quantize::{QParam, kpu::Parameters},
};

/// Index of a value in [`Program::values`].
pub type ValueId = usize;

/// Dimensions N, C, H, W.
pub type Shape = [usize; 4];

/// Lower and upper bound of a float operator's result.
pub type Clamp = (f32, f32);

/// No bounds.
pub const FULL: Clamp = (f32::MIN, f32::MAX);

/// The steps of a model.
#[derive(Clone, Default)]
pub struct Program {
    /// Everything that is read or written.
    pub values: Vec<Value>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Where the caller's data goes.
    pub inputs: Vec<ValueId>,
    /// Where the answers are.
    pub outputs: Vec<ValueId>,
}

/// Which memory a value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file's constants.
    Constant,
    /// Main memory.
    Main,
    /// KPU RAM.
    Kpu,
}

/// A tensor in memory.
#[derive(Clone, Debug)]
pub struct Value {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions.
    pub shape: Shape,
    /// Its memory.
    pub place: Place,
    /// The bytes of a constant.
    pub data: Option<Vec<u8>>,
    /// If it is a part of another value: that value and the distance from its beginning, in bytes
    /// (KPU RAM: in rows).
    pub within: Option<(ValueId, usize)>,
    /// Rows of KPU RAM behind the image that may be read although they are not part of it.
    pub spare_rows: usize,
    /// The tensor of the graph whose values these are.
    pub tensor: Option<TensorId>,
}

impl Value {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes in main memory or among the constants.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    /// The value as an image of the KPU.
    pub fn image(&self) -> ImageShape {
        ImageShape::new(self.shape[1], self.shape[2], self.shape[3])
    }
}

/// One operator.
#[derive(Clone)]
pub struct Step {
    /// What it does.
    pub op: StepOp,
    /// Its operands.
    pub reads: Vec<ValueId>,
    /// Its results; a KPU layer may have a second one in main memory.
    pub writes: Vec<ValueId>,
    /// Index of the graph's node that it is done for; `None` for the model's inputs and outputs.
    pub node: Option<usize>,
}

/// Factors of one operand of a quantized operator: `((byte + offset) * mul) >> shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factors {
    /// Added to the byte.
    pub offset: i32,
    /// Factor.
    pub mul: i32,
    /// Right shift.
    pub shift: i32,
}

/// What a step does; fields as in docs/formats.md, section v4.
#[derive(Clone)]
#[allow(missing_docs)]
pub enum StepOp {
    Binary { op: BinaryOp, clamp: Clamp },
    Concat { axis: usize },
    Conv2d { groups: usize, window: Window, clamp: Clamp, weights: Vec<f32>, bias: Vec<f32> },
    Dequantize(QParam),
    MatMul { size: [usize; 3], clamp: Clamp, bias: Vec<f32> },
    Pad { pads: [Padding; 4], value: f32 },
    Quantize(QParam),
    Reduce { op: ReduceOp },
    ReduceWindow { op: ReduceOp, window: Window, clamp: Clamp },
    Resize { bilinear: bool, align_corners: bool },
    Softmax { inner: usize, beta: f32 },
    Transpose { perm: [usize; 4] },
    Slice { begin: [usize; 4], strides: [isize; 4] },
    Unary(UnaryOp),
    QuantizedMatMul { size: [usize; 3], zeros: [i32; 2], out: Factors, bias: Vec<i32> },
    QuantizedBinary { op: BinaryOp, a: Factors, b: Factors, out: Factors },
    Lookup,
    Nnil { code: Vec<u8> },
    ConvTranspose { groups: usize, window: Window, clamp: Clamp, weights: Vec<f32>, bias: Vec<f32> },
    Upload,
    Kpu(Box<KpuLayer>),
}

/// A KPU layer.
#[derive(Clone)]
pub struct KpuLayer {
    /// Each output channel reads its own input channel only.
    pub depthwise: bool,
    /// Size of the kernel.
    pub kernel: Kernel,
    /// What follows the activation.
    pub pool: Pool,
    /// The byte outside of the image.
    pub pad_value: u8,
    /// The image begins this many lines behind the beginning of the value that is read.
    pub skip_lines: usize,
    /// Weights, batch norm and activation.
    pub parameters: Parameters,
}

impl StepOp {
    /// The operator's name in docs/formats.md.
    pub fn name(&self) -> &'static str {
        match self {
            StepOp::Binary { .. } => "binary",
            StepOp::Concat { .. } => "concat",
            StepOp::Conv2d { .. } => "conv2d",
            StepOp::Dequantize(_) => "dequantize",
            StepOp::MatMul { .. } => "matmul",
            StepOp::Pad { .. } => "pad",
            StepOp::Quantize(_) => "quantize",
            StepOp::Reduce { .. } => "reduce",
            StepOp::ReduceWindow { .. } => "reduce window",
            StepOp::Resize { .. } => "resize image",
            StepOp::Softmax { .. } => "softmax",
            StepOp::Transpose { .. } => "transpose",
            StepOp::Slice { .. } => "strided slice",
            StepOp::Unary(_) => "unary",
            StepOp::QuantizedMatMul { .. } => "quantized matmul",
            StepOp::QuantizedBinary { .. } => "quantized binary",
            StepOp::Lookup => "table lookup",
            StepOp::Nnil { .. } => "nnil unary",
            StepOp::ConvTranspose { .. } => "conv2d transpose",
            StepOp::Upload => "KPU upload",
            StepOp::Kpu(_) => "KPU conv2d",
        }
    }
}

impl Program {
    /// Adds a value and returns it.
    pub fn value(
        &mut self,
        dtype: Dtype,
        shape: Shape,
        place: Place,
        tensor: Option<TensorId>,
    ) -> ValueId {
        self.values.push(Value {
            dtype,
            shape,
            place,
            data: None,
            within: None,
            spare_rows: 0,
            tensor,
        });
        self.values.len() - 1
    }

    /// Adds a constant of floats, or finds one with the same bytes.
    pub fn constant(&mut self, shape: Shape, data: &[f32]) -> ValueId {
        let bytes: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant_bytes(Dtype::F32, shape, bytes)
    }

    /// Adds a constant, or finds one with the same bytes.
    pub fn constant_bytes(&mut self, dtype: Dtype, shape: Shape, bytes: Vec<u8>) -> ValueId {
        let same =
            |v: &Value| v.dtype == dtype && v.shape == shape && v.data.as_ref() == Some(&bytes);
        if let Some(id) = self.values.iter().position(same) {
            return id;
        }
        let id = self.value(dtype, shape, Place::Constant, None);
        self.values[id].data = Some(bytes);
        id
    }

    /// The value under another shape, in the same memory.
    pub fn alias(&mut self, of: ValueId, shape: Shape, tensor: Option<TensorId>) -> ValueId {
        let Value { dtype, place, .. } = self.values[of];
        let id = self.value(dtype, shape, place, tensor);
        self.values[id].within = Some((of, 0));
        id
    }

    /// The value that owns the memory, and the distance from its beginning.
    pub fn root(&self, mut id: ValueId) -> (ValueId, usize) {
        let mut distance = 0;
        while let Some((parent, d)) = self.values[id].within {
            id = parent;
            distance += d;
        }
        (id, distance)
    }
}
