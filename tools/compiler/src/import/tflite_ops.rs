//! The operators of TensorFlow Lite, by their number in the published schema.
//!
//! Tensors of rank 4 are N, H, W, C in the file and N, C, H, W in the graph. Axes are renamed, so
//! that no data moves; only where the order in memory matters (a reshape) a transpose is built.

use super::{
    build::{Builder, Value, axis, resolve_shape, text},
    ints::Ints,
    tflite::{Call, to_interleaved, to_planar},
};
use crate::{
    expr::Expr,
    graph::{
        BinaryOp, Conv2d, ConvTranspose, Padding, Pool, ReduceOp, Resize, TensorId, UnaryOp, Window,
    },
    problem::Fault,
};

type Result<T> = std::result::Result<T, Fault>;

/// Names of the built-in operators, in the order of their numbers.
const NAMES: &[&str] = &[
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "DEQUANTIZE",
    "EMBEDDING_LOOKUP",
    "FLOOR",
    "FULLY_CONNECTED",
    "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "LOGISTIC",
    "LSH_PROJECTION",
    "LSTM",
    "MAX_POOL_2D",
    "MUL",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RNN",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TANH",
    "CONCAT_EMBEDDINGS",
    "SKIP_GRAM",
    "CALL",
    "CUSTOM",
    "EMBEDDING_LOOKUP_SPARSE",
    "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "MEAN",
    "SUB",
    "DIV",
    "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP",
    "TOPK_V2",
    "SPLIT",
    "LOG_SOFTMAX",
    "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "CAST",
    "PRELU",
    "MAXIMUM",
    "ARG_MAX",
    "MINIMUM",
    "LESS",
    "NEG",
    "PADV2",
    "GREATER",
    "GREATER_EQUAL",
    "LESS_EQUAL",
    "SELECT",
    "SLICE",
    "SIN",
    "TRANSPOSE_CONV",
    "SPARSE_TO_DENSE",
    "TILE",
    "EXPAND_DIMS",
    "EQUAL",
    "NOT_EQUAL",
    "LOG",
    "SUM",
    "SQRT",
    "RSQRT",
    "SHAPE",
    "POW",
    "ARG_MIN",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "PACK",
    "LOGICAL_OR",
    "ONE_HOT",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "UNPACK",
    "REDUCE_MIN",
    "FLOOR_DIV",
    "REDUCE_ANY",
    "SQUARE",
    "ZEROS_LIKE",
    "FILL",
    "FLOOR_MOD",
    "RANGE",
    "RESIZE_NEAREST_NEIGHBOR",
    "LEAKY_RELU",
    "SQUARED_DIFFERENCE",
    "MIRROR_PAD",
    "ABS",
    "SPLIT_V",
    "UNIQUE",
    "CEIL",
    "REVERSE_V2",
    "ADD_N",
    "GATHER_ND",
    "COS",
    "WHERE",
    "RANK",
    "ELU",
    "REVERSE_SEQUENCE",
    "MATRIX_DIAG",
    "QUANTIZE",
    "MATRIX_SET_DIAG",
    "ROUND",
    "HARD_SWISH",
    "IF",
    "WHILE",
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND",
    "SELECT_V2",
    "DENSIFY",
    "SEGMENT_SUM",
    "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES",
    "CUMSUM",
    "CALL_ONCE",
    "BROADCAST_TO",
    "RFFT2D",
    "CONV_3D",
    "IMAG",
    "REAL",
    "COMPLEX_ABS",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "REDUCE_ALL",
    "CONV_3D_TRANSPOSE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE",
    "RANDOM_UNIFORM",
    "MULTINOMIAL",
    "GELU",
    "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_SUM",
    "ATAN2",
    "UNSORTED_SEGMENT_MIN",
    "SIGN",
    "BITCAST",
    "BITWISE_XOR",
    "RIGHT_SHIFT",
];

/// The operator's name in the schema.
pub fn name(code: i32) -> String {
    let name = usize::try_from(code).ok().and_then(|i| NAMES.get(i));
    name.map_or_else(|| format!("operator {code}"), |n| (*n).to_string())
}

/// Axis of a file tensor of rank `rank` in the graph.
fn graph_axis(axis: usize, rank: usize) -> usize {
    if rank == 4 { [0, 2, 3, 1][axis] } else { axis }
}

impl Call<'_> {
    fn input(&self, index: usize) -> Result<&Value> {
        self.inputs
            .get(index)
            .and_then(Option::as_ref)
            .ok_or_else(|| Fault::damaged(format!("operand {index} is missing")))
    }

    fn tensor(&self, b: &mut Builder, index: usize) -> Result<TensorId> {
        b.tensor(self.input(index)?.clone())
    }

    /// A constant float operand in the file's axis order.
    fn constant(&self, index: usize) -> Result<(&[usize], &[f32])> {
        match self.input(index)? {
            Value::Const { shape, data } => Ok((shape, data)),
            _ => Err(Fault::new(
                "weights that are computed while running",
                "export the model with constant weights (freeze it)",
            )),
        }
    }

    /// A known integer operand.
    fn ints(&self, index: usize) -> Result<&Ints> {
        match self.input(index)? {
            Value::Ints(ints) => Ok(ints),
            _ => Err(Fault::new(
                "a shape, axis or index that is computed while running",
                "export the model with fixed shapes (batch size 1)",
            )),
        }
    }

    fn bias(&self, index: usize, channels: usize) -> Result<Vec<f32>> {
        match self.inputs.get(index).and_then(Option::as_ref) {
            None => Ok(vec![0.0; channels]),
            Some(Value::Const { data, .. }) if data.len() == channels => Ok(data.to_vec()),
            Some(Value::Ints(ints)) if ints.data.len() == channels => {
                Ok(ints.data.iter().map(|&v| v as f32).collect())
            }
            Some(_) => Err(Fault::damaged("the bias does not fit the output channels")),
        }
    }

    fn i32(&self, field: usize, default: i32) -> Result<i32> {
        self.options.map_or(Ok(default), |o| o.i32(field, default))
    }

    fn usize(&self, field: usize, default: i32) -> Result<usize> {
        let value = self.i32(field, default)?;
        usize::try_from(value).map_err(|_| Fault::damaged(format!("option {field} is {value}")))
    }

    fn u8(&self, field: usize) -> Result<u8> {
        self.options.map_or(Ok(0), |o| o.u8(field, 0))
    }

    fn f32(&self, field: usize, default: f32) -> Result<f32> {
        self.options.map_or(Ok(default), |o| o.f32(field, default))
    }

    /// Height and width of the padded border; `fields` are strides (w, h) and dilations (w, h).
    fn window(
        &self,
        kernel: [usize; 2],
        size: &[usize],
        strides: [usize; 2],
        dilations: Option<[usize; 2]>,
    ) -> Result<Window> {
        let stride = [self.usize(strides[1], 1)?, self.usize(strides[0], 1)?];
        let dilation = match dilations {
            Some([w, h]) => [self.usize(h, 1)?, self.usize(w, 1)?],
            None => [1, 1],
        };
        let mut window = Window { kernel, stride, dilation, pad: [(0, 0); 2] };
        if [kernel, stride, dilation].as_flattened().iter().any(|v| !(1..=1 << 14).contains(v)) {
            return Err(Fault::damaged(format!("a window of {kernel:?}, step {stride:?}")));
        }
        if self.u8(0)? == 0 {
            for (axis, &stride) in stride.iter().enumerate() {
                let input =
                    *size.get(axis).ok_or_else(|| Fault::damaged("an image needs 4 dimensions"))?;
                let needed = (input.div_ceil(stride) - 1) * stride + window.extent(axis);
                window.pad[axis] = split(needed.saturating_sub(input));
            }
        }
        Ok(window)
    }
}

/// TensorFlow puts the odd pixel of a border behind the image.
fn split(total: usize) -> Padding {
    (total / 2, total - total / 2)
}

fn activation(b: &mut Builder, x: TensorId, kind: u8) -> Result<Vec<Value>> {
    let f = match kind {
        0 => Expr::X,
        1 => Expr::relu(),
        2 => Expr::clamp(-1.0, 1.0),
        3 => Expr::clamp(0.0, 6.0),
        4 => Expr::tanh(),
        other => return Err(Fault::damaged(format!("fused activation {other} is not known"))),
    };
    Ok(vec![Value::Tensor(b.map(x, f)?)])
}

/// Builds an operator and returns its results.
pub fn build(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    if let Some(result) = fold(call)? {
        return Ok(vec![Value::Ints(result)]);
    }
    let map = |b: &mut Builder, f: Expr| {
        let x = call.tensor(b, 0)?;
        Ok(vec![Value::Tensor(b.map(x, f)?)])
    };
    let unary = |b: &mut Builder, op| map(b, Expr::Unary(op, Box::new(Expr::X)));
    match call.code {
        0 => binary(b, call, BinaryOp::Add, 0),
        1 => pool(b, call, ReduceOp::Mean),
        2 => concat(b, call),
        3 => conv2d(b, call),
        4 => depthwise(b, call),
        5 => {
            let (x, block) = (call.tensor(b, 0)?, call.usize(0, 1)?);
            Ok(vec![Value::Tensor(b.depth_to_space(x, block, false)?)])
        }
        // Quantized models keep their ranges with the tensors, and sparse weights are dense once they
        // are read; the conversions themselves are no-ops.
        6 | 114 | 53 | 124 => Ok(vec![call.input(0)?.clone()]),
        8 => unary(b, UnaryOp::Floor),
        9 => fully_connected(b, call),
        11 => {
            let x = call.tensor(b, 0)?;
            let rank = b.shape(x).len();
            let last = graph_axis(rank.saturating_sub(1), rank);
            Ok(vec![Value::Tensor(b.l2_normalize(x, vec![last], 1e-12)?)])
        }
        14 => map(b, Expr::sigmoid()),
        17 => pool(b, call, ReduceOp::Max),
        18 => binary(b, call, BinaryOp::Mul, 0),
        19 => map(b, Expr::relu()),
        20 => map(b, Expr::clamp(-1.0, 1.0)),
        21 => map(b, Expr::clamp(0.0, 6.0)),
        22 => {
            let x = call.input(0)?.clone();
            let shape = file_shape(b, &x);
            let wanted: Vec<i64> = match call.inputs.get(1) {
                Some(Some(Value::Ints(ints))) => ints.data.clone(),
                _ => match call.options {
                    Some(options) => {
                        options.vector(0)?.i32s()?.into_iter().map(i64::from).collect()
                    }
                    None => call.output_shapes.iter().flatten().map(|&d| d as i64).collect(),
                },
            };
            let wanted = resolve_shape(&wanted, &shape, false)?;
            reshape(b, x, wanted)
        }
        23 => resize(b, call, true),
        25 => {
            let x = call.tensor(b, 0)?;
            let rank = b.shape(x).len();
            let beta = call.f32(0, 1.0)?;
            let last = graph_axis(
                rank.checked_sub(1).ok_or_else(|| Fault::damaged("a softmax of one number"))?,
                rank,
            );
            Ok(vec![Value::Tensor(b.softmax(x, last, beta)?)])
        }
        26 => {
            let (x, block) = (call.tensor(b, 0)?, call.usize(0, 1)?);
            Ok(vec![Value::Tensor(b.space_to_depth(x, block)?)])
        }
        28 => map(b, Expr::tanh()),
        34 | 60 => {
            let x = call.tensor(b, 0)?;
            let value = match call.inputs.get(2) {
                Some(Some(Value::Const { data, .. })) if data.len() == 1 => data[0],
                Some(Some(Value::Ints(ints))) => ints.scalar()? as f32,
                _ => 0.0,
            };
            let pads = pads(b, call, x)?;
            Ok(vec![Value::Tensor(b.pad(x, pads, value)?)])
        }
        39 => transpose(b, call),
        40 => reduce(b, call, ReduceOp::Mean),
        41 => binary(b, call, BinaryOp::Sub, 0),
        42 => binary(b, call, BinaryOp::Div, 0),
        43 | 70 => {
            let x = call.input(0)?.clone();
            let shape = file_shape(b, &x);
            let wanted =
                if call.code == 43 { squeezed(call, &shape)? } else { expanded(call, &shape)? };
            reshape(b, x, wanted)
        }
        45 => strided_slice(b, call),
        47 => unary(b, UnaryOp::Exp),
        49 | 102 => split_tensor(b, call),
        54 => prelu(b, call),
        55 => binary_plain(b, call, BinaryOp::Max),
        57 => binary_plain(b, call, BinaryOp::Min),
        59 => unary(b, UnaryOp::Neg),
        65 => slice(b, call),
        66 => unary(b, UnaryOp::Sin),
        67 => conv_transpose(b, call),
        73 => unary(b, UnaryOp::Log),
        74 => reduce(b, call, ReduceOp::Sum),
        75 => map(b, Expr::sqrt()),
        76 => unary(b, UnaryOp::Rsqrt),
        77 => {
            let shape = file_shape(b, call.input(0)?).iter().map(|&d| d as i64).collect();
            Ok(vec![Value::Ints(Ints::list(shape))])
        }
        82 => reduce(b, call, ReduceOp::Max),
        83 => pack(b, call),
        88 => unpack(b, call),
        89 => reduce(b, call, ReduceOp::Min),
        92 => unary(b, UnaryOp::Square),
        97 => resize(b, call, false),
        98 => {
            let slope = call.f32(0, 0.0)?;
            map(b, Expr::leaky_relu(slope))
        }
        99 => {
            let (x, y) = operands(b, call)?;
            let difference = b.binary(BinaryOp::Sub, x, y)?;
            let square = b.map(difference, Expr::Unary(UnaryOp::Square, Box::new(Expr::X)))?;
            Ok(vec![Value::Tensor(square)])
        }
        100 => {
            let x = call.tensor(b, 0)?;
            let pads = pads(b, call, x)?;
            let edge = call.u8(0)? == 1;
            Ok(vec![Value::Tensor(b.mirror_pad(x, &pads, edge)?)])
        }
        101 => unary(b, UnaryOp::Abs),
        104 => unary(b, UnaryOp::Ceil),
        108 => unary(b, UnaryOp::Cos),
        111 => map(b, Expr::elu(1.0, 1.0)),
        117 => map(b, Expr::hard_swish()),
        126 => batch_matmul(b, call),
        152 => map(b, Expr::clamp(0.0, 1.0)),
        code => Err(unsupported(code)),
    }
}

fn unsupported(code: i32) -> Fault {
    let advice = match code {
        56 | 79 | 48 => {
            "end the model before it: return the scores, and find the largest one in your script (kpu.forward gives a list)"
        }
        16 | 24 | 35 | 44 | 46 | 52 => {
            "recurrent layers do not run on this chip; use convolutions over time"
        }
        120 | 121 => {
            "end the model before it; kpu.run_yolo2 and others do the suppression of boxes"
        }
        32 => "end the model before it, or replace it by built-in layers",
        _ => "replace the layer, or end the model before it and compute the rest in your script",
    };
    Fault::new("this operator is not supported", advice)
}

/// Shape of a value as the file has it.
fn file_shape(b: &Builder, value: &Value) -> Vec<usize> {
    match value {
        Value::Ints(ints) => ints.shape.clone(),
        Value::Const { shape, .. } => shape.clone(),
        Value::Tensor(id) => to_interleaved(b.graph.shape(*id)),
    }
}

/// Operators whose operands are known integers.
fn fold(call: &Call<'_>) -> Result<Option<Ints>> {
    let all: Option<Vec<&Ints>> = call
        .inputs
        .iter()
        .flatten()
        .map(|v| if let Value::Ints(ints) = v { Some(ints) } else { None })
        .collect();
    let Some(ints) = all.filter(|i| !i.is_empty()) else { return Ok(None) };
    let pair = |f: fn(i64, i64) -> Option<i64>| {
        let [x, y] = ints[..] else { return Err(Fault::damaged("two operands expected")) };
        x.zip(y, f).map(Some)
    };
    match call.code {
        0 => pair(i64::checked_add),
        18 => pair(i64::checked_mul),
        41 => pair(i64::checked_sub),
        42 | 90 => pair(i64::checked_div),
        55 => pair(|a, b| Some(a.max(b))),
        57 => pair(|a, b| Some(a.min(b))),
        2 => {
            let parts: Vec<Ints> = ints.iter().map(|&i| i.clone()).collect();
            let rank = parts[0].shape.len().max(1);
            Ints::concat(axis(i64::from(call.i32(0, 0)?), rank)?, &parts).map(Some)
        }
        83 => {
            let rank = ints[0].shape.len() + 1;
            let at = axis(i64::from(call.i32(1, 0)?), rank)?;
            let parts = ints
                .iter()
                .map(|i| {
                    let mut shape = i.shape.clone();
                    shape.insert(at.min(shape.len()), 1);
                    (*i).clone().reshape(shape)
                })
                .collect::<Result<Vec<_>>>()?;
            Ints::concat(at, &parts).map(Some)
        }
        36 => {
            let at = axis(i64::from(call.i32(0, 0)?), ints[0].shape.len())?;
            ints[0].gather(at, call.ints(1)?).map(Some)
        }
        45 => {
            let part = strided(call, &ints[0].shape)?;
            ints[0].slice(&part.begin, &part.strides, &part.out).reshape(part.shape).map(Some)
        }
        65 => {
            let (begin, out) = slice_part(call, &ints[0].shape)?;
            Ok(Some(ints[0].slice(&begin, &vec![1; out.len()], &out)))
        }
        81 => Ok(Some(Ints { shape: vec![], data: vec![product(&ints[0].data)?] })),
        22 => {
            let wanted = resolve_shape(&call.ints(1)?.data, &ints[0].shape, false)?;
            ints[0].clone().reshape(wanted).map(Some)
        }
        43 => {
            let shape = squeezed(call, &ints[0].shape)?;
            ints[0].clone().reshape(shape).map(Some)
        }
        70 => {
            let shape = expanded(call, &ints[0].shape)?;
            ints[0].clone().reshape(shape).map(Some)
        }
        53 => Ok(Some(ints[0].clone())),
        _ => Ok(None),
    }
}

fn product(values: &[i64]) -> Result<i64> {
    values
        .iter()
        .try_fold(1i64, |n, &v| n.checked_mul(v))
        .ok_or_else(|| Fault::damaged("integer arithmetic overflows"))
}

fn squeezed(call: &Call<'_>, shape: &[usize]) -> Result<Vec<usize>> {
    let listed = match call.options {
        Some(options) => options.vector(0)?.i32s()?,
        None => Vec::new(),
    };
    let axes =
        listed.into_iter().map(|a| axis(i64::from(a), shape.len())).collect::<Result<Vec<_>>>()?;
    let goes = |i: &usize| shape[*i] == 1 && (axes.is_empty() || axes.contains(i));
    Ok((0..shape.len()).filter(|i| !goes(i)).map(|i| shape[i]).collect())
}

fn expanded(call: &Call<'_>, shape: &[usize]) -> Result<Vec<usize>> {
    let at = axis(call.ints(1)?.scalar()?, shape.len() + 1)?;
    let mut shape = shape.to_vec();
    shape.insert(at, 1);
    Ok(shape)
}

fn reshape(b: &mut Builder, x: Value, wanted: Vec<usize>) -> Result<Vec<Value>> {
    let shape = file_shape(b, &x);
    if shape.iter().product::<usize>() != wanted.iter().product::<usize>() {
        return Err(Fault::damaged(format!("a reshape of {} to {}", text(&shape), text(&wanted))));
    }
    Ok(vec![match x {
        Value::Ints(ints) => Value::Ints(ints.reshape(wanted)?),
        Value::Const { data, .. } => Value::Const { shape: wanted, data },
        Value::Tensor(id) => Value::Tensor(reshape_tensor(b, id, wanted)?),
    }])
}

/// `wanted` is in the file's axis order.
fn reshape_tensor(b: &mut Builder, mut id: TensorId, wanted: Vec<usize>) -> Result<TensorId> {
    if to_interleaved(b.graph.shape(id)) == wanted {
        return Ok(id);
    }
    if b.graph.shape(id).len() == 4 {
        id = b.transpose(id, &[0, 2, 3, 1])?;
    }
    let four = wanted.len() == 4;
    id = b.reshape(id, wanted)?;
    if four { b.transpose(id, &[0, 3, 1, 2]) } else { Ok(id) }
}

fn conv2d(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let (w_shape, weights) = call.constant(1)?;
    let &[out_channels, kh, kw, in_channels] = w_shape else {
        return Err(Fault::damaged("weights must have four dimensions"));
    };
    let shape = b.shape(x);
    let channels = *shape.get(1).ok_or_else(|| Fault::damaged("an image needs 4 dimensions"))?;
    if in_channels == 0 || !channels.is_multiple_of(in_channels) {
        return Err(Fault::damaged("weights and input have different channels"));
    }
    let conv = Conv2d {
        weights: crate::eval::transpose(&[0, 3, 1, 2], weights, w_shape),
        bias: call.bias(2, out_channels)?,
        groups: channels / in_channels,
        window: call.window([kh, kw], &shape[2..], [1, 2], Some([4, 5]))?,
    };
    let y = b.conv2d(x, conv)?;
    activation(b, y, call.u8(3)?)
}

fn depthwise(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let (w_shape, weights) = call.constant(1)?;
    let &[1, kh, kw, out_channels] = w_shape else {
        return Err(Fault::damaged("depthwise weights must have the shape [1, h, w, channels]"));
    };
    let shape = b.shape(x);
    let channels = *shape.get(1).ok_or_else(|| Fault::damaged("an image needs 4 dimensions"))?;
    let conv = Conv2d {
        weights: crate::eval::transpose(&[3, 0, 1, 2], weights, w_shape),
        bias: call.bias(2, out_channels)?,
        groups: channels,
        window: call.window([kh, kw], &shape[2..], [1, 2], Some([5, 6]))?,
    };
    let y = b.conv2d(x, conv)?;
    activation(b, y, call.u8(4)?)
}

fn conv_transpose(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let size = call.ints(0)?.sizes()?;
    let (w_shape, weights) = call.constant(1)?;
    let x = call.tensor(b, 2)?;
    let (&[out_channels, kh, kw, _], &[_, out_h, out_w, _]) = (w_shape, &size[..]) else {
        return Err(Fault::damaged("a transposed convolution needs four dimensions"));
    };
    let shape = b.shape(x);
    let stride = [call.usize(2, 1)?, call.usize(1, 1)?];
    let mut window = Window { kernel: [kh, kw], stride, dilation: [1, 1], pad: [(0, 0); 2] };
    for (axis, out) in [out_h, out_w].into_iter().enumerate() {
        let input =
            *shape.get(2 + axis).ok_or_else(|| Fault::damaged("an image needs 4 dimensions"))?;
        let full = input
            .checked_sub(1)
            .and_then(|n| n.checked_mul(stride[axis])?.checked_add(window.kernel[axis]))
            .ok_or_else(|| Fault::damaged("a transposed convolution of nothing"))?;
        window.pad[axis] = split(full.saturating_sub(out));
    }
    let conv = ConvTranspose {
        weights: crate::eval::transpose(&[0, 3, 1, 2], weights, w_shape),
        bias: call.bias(3, out_channels)?,
        groups: 1,
        window,
    };
    let y = b.conv_transpose(x, conv, [out_h, out_w])?;
    activation(b, y, call.u8(3)?)
}

fn fully_connected(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.input(0)?.clone();
    let shape = file_shape(b, &x);
    let (w_shape, weights) = call.constant(1)?;
    let &[columns, k] = w_shape else {
        return Err(Fault::damaged("weights must have two dimensions"));
    };
    if call.options.map_or(Ok(0), |o| o.u8(1, 0))? != 0 {
        return Err(Fault::new(
            "shuffled weights",
            "export the model with the default weights format",
        ));
    }
    let elements: usize = shape.iter().product();
    if k == 0 || !elements.is_multiple_of(k) {
        return Err(Fault::damaged(format!("{k} weights a row for {}", text(&shape))));
    }
    let x = b.tensor(x)?;
    let x = reshape_tensor(b, x, vec![elements / k, k])?;
    let transposed = crate::eval::transpose(&[1, 0], weights, w_shape);
    let w = b.constant(vec![k, columns], transposed);
    let mut y = b.matmul(x, w, Some(call.bias(2, columns)?))?;
    if call.options.map_or(Ok(false), |o| o.bool(2))? && shape.last() == Some(&k) {
        let mut wanted = shape;
        wanted.pop();
        wanted.push(columns);
        y = reshape_tensor(b, y, wanted)?;
    }
    activation(b, y, call.u8(0)?)
}

fn batch_matmul(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let mut operands = Vec::new();
    for (index, adjoint) in [(0, call.u8(0)?), (1, call.u8(1)?)] {
        let mut x = call.tensor(b, index)?;
        let rank = b.shape(x).len();
        if rank == 4 {
            x = b.transpose(x, &[0, 2, 3, 1])?;
        }
        if adjoint != 0 && rank >= 2 {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 1, rank - 2);
            x = b.transpose(x, &perm)?;
        }
        operands.push(x);
    }
    let mut y = b.matmul(operands[0], operands[1], None)?;
    if b.shape(y).len() == 4 {
        y = b.transpose(y, &[0, 3, 1, 2])?;
    }
    Ok(vec![Value::Tensor(y)])
}

fn pool(b: &mut Builder, call: &Call<'_>, op: ReduceOp) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let size = shape.get(2..).unwrap_or_default();
    let kernel = [call.usize(4, 1)?, call.usize(3, 1)?];
    let window = call.window(kernel, size, [1, 2], None)?;
    let y = b.pool(x, Pool { op, window })?;
    activation(b, y, call.u8(5)?)
}

/// Two operands in the graph's axis order; one of lower rank gets leading dimensions of 1.
fn operands(b: &mut Builder, call: &Call<'_>) -> Result<(TensorId, TensorId)> {
    let values = [call.input(0)?.clone(), call.input(1)?.clone()];
    let shapes = values.each_ref().map(|v| file_shape(b, v));
    let rank = shapes[0].len().max(shapes[1].len());
    let mut ids = [0; 2];
    for ((id, value), shape) in ids.iter_mut().zip(values).zip(shapes) {
        let wanted = if rank == 4 && shape.len() < 4 {
            let mut wanted = vec![1; rank - shape.len()];
            wanted.extend(shape);
            wanted
        } else {
            shape
        };
        let value = reshape(b, value, wanted)?.remove(0);
        *id = b.tensor(value)?;
    }
    Ok((ids[0], ids[1]))
}

fn binary(b: &mut Builder, call: &Call<'_>, op: BinaryOp, field: usize) -> Result<Vec<Value>> {
    let (x, y) = operands(b, call)?;
    let z = b.binary(op, x, y)?;
    activation(b, z, call.u8(field)?)
}

fn binary_plain(b: &mut Builder, call: &Call<'_>, op: BinaryOp) -> Result<Vec<Value>> {
    let (x, y) = operands(b, call)?;
    Ok(vec![Value::Tensor(b.binary(op, x, y)?)])
}

fn prelu(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let (x, slope) = operands(b, call)?;
    Ok(vec![Value::Tensor(b.prelu(x, slope)?)])
}

fn concat(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let mut parts = Vec::new();
    for index in 0..call.inputs.len() {
        parts.push(call.tensor(b, index)?);
    }
    let rank = parts.first().map_or(0, |&p| b.shape(p).len());
    let at = axis(i64::from(call.i32(0, 0)?), rank)?;
    let y = b.concat(parts, graph_axis(at, rank))?;
    activation(b, y, call.u8(1)?)
}

fn pads(b: &Builder, call: &Call<'_>, x: TensorId) -> Result<Vec<Padding>> {
    let list = call.ints(1)?.sizes()?;
    let rank = b.shape(x).len();
    if list.len() != 2 * rank {
        return Err(Fault::damaged(format!("{} paddings for rank {rank}", list.len())));
    }
    let mut pads = vec![(0, 0); rank];
    for (axis, pair) in list.chunks_exact(2).enumerate() {
        pads[graph_axis(axis, rank)] = (pair[0], pair[1]);
    }
    Ok(pads)
}

fn transpose(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let perm = call.ints(1)?.sizes()?;
    if perm.len() != shape.len() || perm.iter().any(|&p| p >= shape.len()) {
        return Err(Fault::damaged(format!("axis order {perm:?} for shape {}", text(&shape))));
    }
    let perm: Vec<usize> = if perm.len() == 4 {
        // Output axis j of the graph is axis [0, 3, 1, 2][j] of the file.
        [0, 3, 1, 2].iter().map(|&j: &usize| graph_axis(perm[j], 4)).collect()
    } else {
        perm
    };
    Ok(vec![Value::Tensor(b.transpose(x, &perm)?)])
}

fn reduce(b: &mut Builder, call: &Call<'_>, op: ReduceOp) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let rank = shape.len();
    let axes = call.ints(1)?.data.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?;
    let y = b.reduce(op, x, axes.iter().map(|&a| graph_axis(a, rank)).collect())?;
    if call.u8(0)? != 0 {
        return Ok(vec![Value::Tensor(y)]);
    }
    let file = to_interleaved(&shape);
    let wanted = (0..rank).filter(|i| !axes.contains(i)).map(|i| file[i]).collect();
    Ok(vec![Value::Tensor(reshape_tensor(b, y, wanted)?)])
}

fn resize(b: &mut Builder, call: &Call<'_>, bilinear: bool) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let size = call.ints(1)?.sizes()?;
    let &[h, w] = &size[..] else {
        return Err(Fault::damaged("a new size of two numbers expected"));
    };
    let first = if bilinear { 2 } else { 0 };
    let resize = Resize {
        bilinear,
        align_corners: call.u8(first)? != 0,
        half_pixel: call.u8(first + 1)? != 0,
    };
    Ok(vec![Value::Tensor(b.resize(x, resize, [h, w])?)])
}

/// A part of a tensor in the file's axis order.
struct Part {
    begin: Vec<usize>,
    strides: Vec<isize>,
    /// Shape with all axes.
    out: Vec<usize>,
    /// Shape without the axes that vanish and with the new ones.
    shape: Vec<usize>,
}

fn strided(call: &Call<'_>, shape: &[usize]) -> Result<Part> {
    let (begin, end, step) = (call.ints(1)?, call.ints(2)?, call.ints(3)?);
    let masks = (0..5).map(|f| call.i32(f, 0)).collect::<Result<Vec<_>>>()?;
    let count = begin.data.len();
    if end.data.len() != count || step.data.len() != count || count > 31 {
        return Err(Fault::damaged("begin, end and step differ in length"));
    }
    let bit = |mask: usize, i: usize| masks[mask] >> i & 1 == 1;
    let new_axes = (0..count).filter(|&i| bit(3, i)).count();
    let ellipsis = (0..count).position(|i| bit(2, i));
    let named = count - new_axes - usize::from(ellipsis.is_some());
    let skipped = shape
        .len()
        .checked_sub(named)
        .ok_or_else(|| Fault::damaged("a part with more axes than the tensor"))?;
    let mut part = Part { begin: vec![], strides: vec![], out: vec![], shape: vec![] };
    let mut axis = 0;
    let whole = |part: &mut Part, axis: &mut usize, n: usize| {
        for _ in 0..n {
            part.begin.push(0);
            part.strides.push(1);
            part.out.push(shape[*axis]);
            part.shape.push(shape[*axis]);
            *axis += 1;
        }
    };
    for i in 0..count {
        if Some(i) == ellipsis {
            whole(&mut part, &mut axis, skipped);
        } else if bit(3, i) {
            part.shape.push(1);
        } else {
            let dim =
                *shape.get(axis).ok_or_else(|| Fault::damaged("a part with too many axes"))? as i64;
            let step = step.data[i];
            let wrap = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
            let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
            let from = if bit(0, i) && !bit(4, i) {
                if step > 0 { 0 } else { dim - 1 }
            } else {
                wrap(begin.data[i]).clamp(low, high)
            };
            let to = if bit(4, i) {
                from + 1
            } else if bit(1, i) {
                if step > 0 { dim } else { -1 }
            } else {
                wrap(end.data[i]).clamp(low, high)
            };
            let step = if bit(4, i) { 1 } else { step };
            if step == 0 || step.unsigned_abs() > 1 << 20 || !(0..dim).contains(&from) {
                return Err(Fault::damaged("a part with no elements"));
            }
            let n = if step > 0 {
                (to - from + step - 1) / step
            } else {
                (from - to - step - 1) / -step
            };
            part.begin.push(from as usize);
            part.strides.push(step as isize);
            part.out.push(usize::try_from(n).unwrap_or(0));
            if !bit(4, i) {
                part.shape.push(usize::try_from(n).unwrap_or(0));
            }
            axis += 1;
        }
    }
    let rest = shape.len() - axis;
    whole(&mut part, &mut axis, rest);
    if part.out.contains(&0) {
        return Err(Fault::damaged("a part with no elements"));
    }
    Ok(part)
}

fn strided_slice(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let part = strided(call, &to_interleaved(&b.shape(x)))?;
    let y = file_slice(b, x, &part.begin, &part.strides, &part.out)?;
    Ok(vec![Value::Tensor(reshape_tensor(b, y, part.shape)?)])
}

/// A part given in the file's axis order.
fn file_slice(
    b: &mut Builder,
    x: TensorId,
    begin: &[usize],
    strides: &[isize],
    out: &[usize],
) -> Result<TensorId> {
    let strides = match *strides {
        [n, h, w, c] => vec![n, c, h, w],
        _ => strides.to_vec(),
    };
    b.slice(x, to_planar(begin), strides, to_planar(out))
}

fn slice_part(call: &Call<'_>, shape: &[usize]) -> Result<(Vec<usize>, Vec<usize>)> {
    let (begin, size) = (call.ints(1)?.sizes()?, &call.ints(2)?.data);
    if begin.len() != shape.len() || size.len() != shape.len() {
        return Err(Fault::damaged("a part with another number of axes than the tensor"));
    }
    let out = (0..shape.len())
        .map(|d| {
            let room = shape[d].saturating_sub(begin[d]);
            let n = if size[d] < 0 { room } else { size[d] as usize };
            if n == 0 || n > room {
                Err(Fault::damaged("a part outside of the tensor"))
            } else {
                Ok(n)
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((begin, out))
}

fn slice(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let (begin, out) = slice_part(call, &to_interleaved(&b.shape(x)))?;
    let y = file_slice(b, x, &begin, &vec![1; out.len()], &out)?;
    Ok(vec![Value::Tensor(y)])
}

fn split_tensor(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let (x_at, axis_at) = if call.code == 49 { (1, 0) } else { (0, 2) };
    let x = call.tensor(b, x_at)?;
    let shape = b.shape(x);
    let at = axis(call.ints(axis_at)?.scalar()?, shape.len())?;
    let at = graph_axis(at, shape.len());
    let sizes = if call.code == 49 {
        let count = call.usize(0, 0)?;
        if count == 0 || !shape[at].is_multiple_of(count) {
            return Err(Fault::damaged(format!(
                "{} cannot be split into {count} parts",
                text(&shape)
            )));
        }
        vec![shape[at] / count; count]
    } else {
        let listed = &call.ints(1)?.data;
        let known: i64 = listed.iter().filter(|&&s| s >= 0).fold(0, |n, &s| n.saturating_add(s));
        let rest = (shape[at] as i64 - known).max(0);
        listed.iter().map(|&s| if s < 0 { rest } else { s } as usize).collect()
    };
    let mut from = 0;
    let mut parts = Vec::new();
    for size in sizes {
        parts.push(Value::Tensor(b.part(x, at, from, size)?));
        from += size;
    }
    Ok(parts)
}

fn pack(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let first = file_shape(b, call.input(0)?);
    let at = axis(i64::from(call.i32(1, 0)?), first.len() + 1)?;
    let mut parts = Vec::new();
    for index in 0..call.inputs.len() {
        let x = call.tensor(b, index)?;
        let mut wanted = to_interleaved(&b.shape(x));
        wanted.insert(at.min(wanted.len()), 1);
        parts.push(reshape_tensor(b, x, wanted)?);
    }
    let y = b.concat(parts, graph_axis(at, first.len() + 1))?;
    Ok(vec![Value::Tensor(y)])
}

fn unpack(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let file = to_interleaved(&b.shape(x));
    let at = axis(i64::from(call.i32(1, 0)?), file.len())?;
    let mut wanted = file.clone();
    wanted.remove(at);
    let mut parts = Vec::new();
    for i in 0..file[at] {
        let part = b.part(x, graph_axis(at, file.len()), i, 1)?;
        parts.push(Value::Tensor(reshape_tensor(b, part, wanted.clone())?));
    }
    Ok(parts)
}
