//! The operators of ONNX, by their name in the published operator sets 7 to 18.

use super::{
    build::{Builder, Value, axis, resolve_shape, text},
    ints::Ints,
    onnx::{Call, constant},
    onnx_proto::Node,
};
use crate::{
    eval,
    expr::Expr,
    graph::{
        BinaryOp, Conv2d, ConvTranspose, Padding, Pool, ReduceOp, Resize, TensorId, UnaryOp, Window,
    },
    problem::Fault,
};

type Result<T> = std::result::Result<T, Fault>;

/// Everything that [`build`] can build or fold.
const KNOWN: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "Cos",
    "DepthToSpace",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Pow",
    "QuantizeLinear",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sin",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Upsample",
    "Where",
];

/// Whether the operator is supported in principle.
pub fn is_known(node: &Node) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx") && KNOWN.contains(&node.op_type.as_str())
}

/// What to do about an operator that is not.
pub fn unsupported(operator: &str) -> Fault {
    let advice = match operator {
        "ArgMax" | "ArgMin" | "TopK" | "Hardmax" => {
            "end the model before it: return the scores, and find the largest one in your script (kpu.forward gives a list)"
        }
        "LSTM" | "GRU" | "RNN" => {
            "recurrent layers do not run on this chip; use convolutions over time"
        }
        "NonMaxSuppression" => {
            "end the model before it; kpu.run_yolo2 and others do the suppression of boxes"
        }
        "If" | "Loop" | "Scan" => {
            "export the model without control flow (torch.jit.trace instead of script, fixed input size)"
        }
        _ => "replace the layer, or end the model before it and compute the rest in your script",
    };
    Fault::new("this operator is not supported", advice)
}

impl Call<'_> {
    fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |a| a.i)
    }

    fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).map_or(default, |a| a.f)
    }

    fn word(&self, name: &str, default: &'static str) -> String {
        self.attribute(name)
            .map_or_else(|| default.into(), |a| String::from_utf8_lossy(&a.s).into_owned())
    }

    fn list(&self, name: &str) -> Option<&[i64]> {
        self.attribute(name).map(|a| &a.ints[..])
    }

    fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    fn input(&self, index: usize) -> Result<&Value> {
        self.optional(index).ok_or_else(|| Fault::damaged(format!("operand {index} is missing")))
    }

    fn tensor(&self, b: &mut Builder, index: usize) -> Result<TensorId> {
        Ok(b.plain(self.input(index)?.clone()))
    }

    /// A constant operand as floats.
    fn constant(&self, index: usize) -> Result<(Vec<usize>, std::sync::Arc<[f32]>)> {
        match self.input(index)? {
            Value::Const { shape, data } => Ok((shape.clone(), data.clone())),
            Value::Ints(i) => Ok((i.shape.clone(), i.data.iter().map(|&v| v as f32).collect())),
            Value::Tensor(_) => Err(Fault::new(
                "weights that are computed while running",
                "export the model with constant weights (model.eval(), no training mode)",
            )),
        }
    }

    fn number(&self, index: usize, default: f32) -> Result<f32> {
        if self.optional(index).is_none() {
            return Ok(default);
        }
        match self.constant(index)?.1[..] {
            [value] => Ok(value),
            _ => Err(Fault::damaged(format!("operand {index} must be one number"))),
        }
    }

    /// A known integer operand.
    fn ints(&self, index: usize) -> Result<&Ints> {
        match self.input(index)? {
            Value::Ints(ints) => Ok(ints),
            _ => Err(Fault::new(
                "a shape, axis or index that is computed while running",
                "export the model with a fixed input size; onnxsim helps",
            )),
        }
    }

    /// Integers that older operator sets keep in an attribute and newer ones in an operand.
    fn listed(&self, name: &str, index: usize) -> Result<Option<Vec<i64>>> {
        match (self.list(name), self.optional(index)) {
            (Some(list), _) => Ok(Some(list.to_vec())),
            (None, Some(_)) => Ok(Some(self.ints(index)?.data.clone())),
            (None, None) => Ok(None),
        }
    }

    /// Shape of an operand.
    fn shape(&self, b: &Builder, index: usize) -> Result<Vec<usize>> {
        Ok(match self.input(index)? {
            Value::Ints(ints) => ints.shape.clone(),
            Value::Const { shape, .. } => shape.clone(),
            Value::Tensor(id) => b.shape(*id),
        })
    }
}

/// Builds an operator and returns its results.
pub fn build(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    if !is_known(call.node) {
        return Err(unsupported(&call.node.op_type));
    }
    if let Some(result) = fold(b, call)? {
        return Ok(vec![Value::Ints(result)]);
    }
    let operator = call.node.op_type.as_str();
    let one = |id: TensorId| Ok(vec![Value::Tensor(id)]);
    if let Some(f) = function(call)? {
        let x = call.tensor(b, 0)?;
        return one(b.map(x, f)?);
    }
    match operator {
        "Cast" => Ok(vec![cast(call.input(0)?, call.int("to", 1))]),
        "Identity" | "QuantizeLinear" => Ok(vec![call.input(0)?.clone()]),
        "Dropout" => Ok(vec![call.input(0)?.clone(); call.node.output.len()]),
        "DequantizeLinear" => dequantize(call),
        "Constant" => literal(call),
        "ConstantOfShape" => {
            let shape = call.ints(0)?.sizes()?;
            let n = count(&shape)?;
            match call.attribute("value").and_then(|a| a.t.as_ref()) {
                Some(t) => match constant(t, call.files)? {
                    Value::Ints(v) => {
                        Ok(vec![Value::Ints(Ints { shape, data: vec![v.scalar()?; n] })])
                    }
                    Value::Const { data, .. } if data.len() == 1 => {
                        Ok(vec![Value::Const { shape, data: vec![data[0]; n].into() }])
                    }
                    _ => Err(Fault::damaged("a value of several numbers")),
                },
                None => Ok(vec![Value::Const { shape, data: vec![0.0; n].into() }]),
            }
        }
        "Add" | "Sub" | "Mul" | "Div" => {
            let op = match operator {
                "Add" => BinaryOp::Add,
                "Sub" => BinaryOp::Sub,
                "Mul" => BinaryOp::Mul,
                _ => BinaryOp::Div,
            };
            let (x, y) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
            one(b.binary(op, x, y)?)
        }
        "Min" | "Max" | "Sum" | "Mean" => {
            let op = match operator {
                "Min" => BinaryOp::Min,
                "Max" => BinaryOp::Max,
                _ => BinaryOp::Add,
            };
            let mut y = call.tensor(b, 0)?;
            for index in 1..call.inputs.len() {
                let x = call.tensor(b, index)?;
                y = b.binary(op, y, x)?;
            }
            if operator == "Mean" {
                y = b.map(y, Expr::x().times(Expr::Const(1.0 / call.inputs.len() as f32)))?;
            }
            one(y)
        }
        "PRelu" => {
            let (x, slope) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
            one(b.prelu(x, slope)?)
        }
        "Conv" => conv(b, call),
        "ConvTranspose" => conv_transpose(b, call),
        "Gemm" => gemm(b, call),
        "MatMul" => {
            let (x, y) = (call.tensor(b, 0)?, call.tensor(b, 1)?);
            one(b.matmul(x, y, None)?)
        }
        "BatchNormalization" => batch_norm(b, call),
        "InstanceNormalization" => instance_norm(b, call),
        "MaxPool" => pool(b, call, ReduceOp::Max),
        "AveragePool" => pool(b, call, ReduceOp::Mean),
        "GlobalAveragePool" | "GlobalMaxPool" => {
            let x = call.tensor(b, 0)?;
            let op = if operator == "GlobalMaxPool" { ReduceOp::Max } else { ReduceOp::Mean };
            let rank = b.shape(x).len();
            one(b.reduce(op, x, (2..rank).collect())?)
        }
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2" | "ReduceSumSquare" => {
            reduce(b, call)
        }
        "Softmax" | "LogSoftmax" => softmax(b, call),
        "LpNormalization" => {
            if call.int("p", 2) != 2 {
                return Err(Fault::new("a norm other than L2", "use p=2"));
            }
            let x = call.tensor(b, 0)?;
            let at = axis(call.int("axis", -1), b.shape(x).len())?;
            one(b.l2_normalize(x, vec![at], 1e-12)?)
        }
        "Concat" => {
            let parts =
                (0..call.inputs.len()).map(|i| call.tensor(b, i)).collect::<Result<Vec<_>>>()?;
            let rank = parts.first().map_or(0, |&p| b.shape(p).len());
            one(b.concat(parts, axis(call.int("axis", 1), rank)?)?)
        }
        "Split" => split(b, call),
        "Slice" => {
            let x = call.tensor(b, 0)?;
            let part = part(call, &b.shape(x))?;
            one(b.slice(x, part.begin, part.strides, part.out)?)
        }
        "Gather" => gather(b, call),
        "Squeeze" | "Unsqueeze" | "Flatten" | "Reshape" => {
            let wanted = new_shape(call, &call.shape(b, 0)?)?;
            let x = call.tensor(b, 0)?;
            one(b.reshape(x, wanted)?)
        }
        "Expand" => {
            let x = call.tensor(b, 0)?;
            let wanted = call.ints(1)?.sizes()?;
            let n = count(&wanted)?;
            let zeros = b.constant(wanted, vec![0.0; n]);
            one(b.binary(BinaryOp::Add, x, zeros)?)
        }
        "Transpose" => {
            let x = call.tensor(b, 0)?;
            let rank = b.shape(x).len();
            let perm = match call.list("perm") {
                Some(list) => list.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?,
                None => (0..rank).rev().collect(),
            };
            one(b.transpose(x, &perm)?)
        }
        "Pad" => pad(b, call),
        "Resize" | "Upsample" => resize(b, call),
        "DepthToSpace" => {
            let x = call.tensor(b, 0)?;
            let first = call.word("mode", "DCR") == "CRD";
            one(b.depth_to_space(x, block(call)?, first)?)
        }
        "SpaceToDepth" => {
            let x = call.tensor(b, 0)?;
            one(b.space_to_depth(x, block(call)?)?)
        }
        _ => Err(Fault::new(
            "this operator is supported for known shapes only",
            "export the model with a fixed input size; onnxsim helps",
        )),
    }
}

fn count(shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= super::build::MAX_ELEMENTS)
        .ok_or_else(|| Fault::damaged(format!("a tensor of shape {}", text(shape))))
}

fn block(call: &Call<'_>) -> Result<usize> {
    usize::try_from(call.int("blocksize", 0))
        .ok()
        .filter(|n| (1..=1 << 10).contains(n))
        .ok_or_else(|| Fault::damaged("blocksize"))
}

/// Operators that are a function of each element alone.
fn function(call: &Call<'_>) -> Result<Option<Expr>> {
    let x = Expr::x;
    let unary = |op| Expr::Unary(op, Box::new(Expr::x()));
    Ok(Some(match call.node.op_type.as_str() {
        "Abs" => unary(UnaryOp::Abs),
        "Ceil" => unary(UnaryOp::Ceil),
        "Cos" => unary(UnaryOp::Cos),
        "Exp" => unary(UnaryOp::Exp),
        "Floor" => unary(UnaryOp::Floor),
        "Log" => unary(UnaryOp::Log),
        "Neg" => unary(UnaryOp::Neg),
        "Sin" => unary(UnaryOp::Sin),
        "Sqrt" => Expr::sqrt(),
        "Reciprocal" => Expr::Const(1.0).over(x()),
        "Relu" => Expr::relu(),
        "LeakyRelu" => Expr::leaky_relu(call.float("alpha", 0.01)),
        "Elu" => Expr::elu(call.float("alpha", 1.0), 1.0),
        "Selu" => Expr::elu(call.float("alpha", 1.673_263_2), call.float("gamma", 1.050_701)),
        "Sigmoid" => Expr::sigmoid(),
        "HardSigmoid" => Expr::hard_sigmoid(call.float("alpha", 0.2), call.float("beta", 0.5)),
        "HardSwish" => Expr::hard_swish(),
        "Tanh" => Expr::tanh(),
        "Softplus" => Expr::softplus(),
        "Softsign" => x().over(unary(UnaryOp::Abs).plus(Expr::Const(1.0))),
        "Mish" => x().times(Expr::tanh().of(&Expr::softplus())),
        // 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), within 0.0005 of the exact form.
        "Gelu" => {
            let cube = unary(UnaryOp::Square).times(Expr::Const(0.044_715)).plus(Expr::Const(1.0));
            let inner = x().times(cube).times(Expr::Const(0.797_884_6));
            let gate = Expr::tanh().of(&inner).plus(Expr::Const(1.0)).times(Expr::Const(0.5));
            x().times(gate)
        }
        "Clip" => {
            let (low, high) = (call.float("min", f32::MIN), call.float("max", f32::MAX));
            let (low, high) = (call.number(1, low)?, call.number(2, high)?);
            let mut f = x();
            if low > f32::MIN {
                f = f.max(low);
            }
            if high < f32::MAX {
                f = f.min(high);
            }
            f
        }
        "Pow" => match call.number(1, 1.0)? {
            1.0 => x(),
            2.0 => unary(UnaryOp::Square),
            3.0 => x().times(unary(UnaryOp::Square)),
            0.5 => Expr::sqrt(),
            -0.5 => unary(UnaryOp::Rsqrt),
            -1.0 => Expr::Const(1.0).over(x()),
            other => {
                return Err(Fault::new(
                    format!("a power of {other}"),
                    "the powers 1, 2, 3, 0.5, -0.5 and -1 are supported",
                ));
            }
        },
        _ => return Ok(None),
    }))
}

/// Operators whose operands are known integers.
fn fold(b: &Builder, call: &Call<'_>) -> Result<Option<Ints>> {
    let operator = call.node.op_type.as_str();
    if operator == "Shape" || operator == "Size" {
        let shape = call.shape(b, 0)?;
        if operator == "Size" {
            let n = count(&shape)? as i64;
            return Ok(Some(Ints { shape: vec![], data: vec![n] }));
        }
        let rank = shape.len() as i64;
        let at = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
        let (from, to) = (at(call.int("start", 0)), at(call.int("end", rank)));
        let dims = shape.get(from..to).unwrap_or_default();
        return Ok(Some(Ints::list(dims.iter().map(|&d| d as i64).collect())));
    }
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
    match operator {
        "Add" => pair(i64::checked_add),
        "Sub" => pair(i64::checked_sub),
        "Mul" => pair(i64::checked_mul),
        "Div" => pair(i64::checked_div),
        "Min" => pair(|a, b| Some(a.min(b))),
        "Max" => pair(|a, b| Some(a.max(b))),
        "Equal" => pair(|a, b| Some(i64::from(a == b))),
        "Where" => {
            let [c, x, y] = ints[..] else { return Err(Fault::damaged("three operands expected")) };
            let kept = c.zip(x, |c, x| Some(if c != 0 { x } else { i64::MIN }))?;
            kept.zip(y, |k, y| Some(if k == i64::MIN { y } else { k })).map(Some)
        }
        "Concat" => {
            let parts: Vec<Ints> = ints.iter().map(|&i| i.clone()).collect();
            let rank = parts[0].shape.len().max(1);
            Ints::concat(axis(call.int("axis", 0), rank)?, &parts).map(Some)
        }
        "Gather" => {
            let at = axis(call.int("axis", 0), ints[0].shape.len())?;
            ints[0].gather(at, call.ints(1)?).map(Some)
        }
        "Slice" => {
            let part = part(call, &ints[0].shape)?;
            Ok(Some(ints[0].slice(&part.begin, &part.strides, &part.out)))
        }
        "Squeeze" | "Unsqueeze" | "Reshape" | "Flatten" => {
            let wanted = new_shape(call, &ints[0].shape)?;
            ints[0].clone().reshape(wanted).map(Some)
        }
        "ReduceProd" => {
            let product = ints[0].data.iter().try_fold(1i64, |n, &v| n.checked_mul(v));
            let product = product.ok_or_else(|| Fault::damaged("integer arithmetic overflows"))?;
            let shape = if call.int("keepdims", 1) != 0 { vec![1] } else { vec![] };
            Ok(Some(Ints { shape, data: vec![product] }))
        }
        _ => Ok(None),
    }
}

/// Known numbers change their kind; what is computed later is float anyway.
fn cast(value: &Value, to: i64) -> Value {
    let whole = matches!(to, 2..=9 | 12 | 13);
    match value {
        Value::Ints(ints) if !whole => Value::Const {
            shape: ints.shape.clone(),
            data: ints.data.iter().map(|&v| v as f32).collect(),
        },
        Value::Const { shape, data } if whole => Value::Ints(Ints {
            shape: shape.clone(),
            data: data.iter().map(|&v| v as i64).collect(),
        }),
        other => other.clone(),
    }
}

fn literal(call: &Call<'_>) -> Result<Vec<Value>> {
    let Some(a) = call.node.attribute.first() else {
        return Err(Fault::damaged("a constant without a value"));
    };
    Ok(vec![match a.name.as_str() {
        "value" => {
            let tensor =
                a.t.as_ref().ok_or_else(|| Fault::damaged("a constant without a value"))?;
            constant(tensor, call.files)?
        }
        "value_float" => Value::Const { shape: vec![], data: vec![a.f].into() },
        "value_floats" => {
            Value::Const { shape: vec![a.floats.len()], data: a.floats.clone().into() }
        }
        "value_int" => Value::Ints(Ints { shape: vec![], data: vec![a.i] }),
        "value_ints" => Value::Ints(Ints::list(a.ints.clone())),
        other => return Err(Fault::new(format!("a constant given as {other}"), "use a tensor")),
    }])
}

/// Quantized weights become floats; activations stay what they are.
fn dequantize(call: &Call<'_>) -> Result<Vec<Value>> {
    let Value::Ints(q) = call.input(0)? else { return Ok(vec![call.input(0)?.clone()]) };
    let (_, scale) = call.constant(1)?;
    let zero = match call.optional(2) {
        Some(_) => call.ints(2)?.data.clone(),
        None => vec![0],
    };
    let channels = scale.len();
    let inner = if channels == 1 {
        1
    } else {
        let at = axis(call.int("axis", 1), q.shape.len())?;
        if q.shape[at] != channels {
            return Err(Fault::damaged(format!("{channels} scales for {}", text(&q.shape))));
        }
        q.shape[at + 1..].iter().product()
    };
    if channels == 0 || !(zero.len() == 1 || zero.len() == channels) {
        return Err(Fault::damaged("scales and zero points differ in number"));
    }
    let value = |(i, &v): (usize, &i64)| {
        let c = i / inner % channels;
        v.wrapping_sub(zero[if zero.len() == 1 { 0 } else { c }]) as f32 * scale[c]
    };
    let data: Vec<f32> = q.data.iter().enumerate().map(value).collect();
    Ok(vec![Value::Const { shape: q.shape.clone(), data: data.into() }])
}

/// Sizes along height and width; a one-dimensional layer has a height of 1.
fn pair(list: Option<&[i64]>, flat: bool, default: usize) -> Result<[usize; 2]> {
    let size = |v: i64| {
        usize::try_from(v)
            .ok()
            .filter(|&v| v <= 1 << 14)
            .ok_or_else(|| Fault::damaged(format!("a window or step of {v}")))
    };
    match (list, flat) {
        (None, _) => Ok([default; 2]),
        (Some(&[w]), true) => Ok([if default == 0 { 0 } else { 1 }, size(w)?]),
        (Some(&[h, w]), false) => Ok([size(h)?, size(w)?]),
        (Some(list), _) => Err(Fault::new(
            format!("a window over {} dimensions", list.len()),
            "one or two dimensions besides batch and channels are supported",
        )),
    }
}

/// Size, step, distance and border of a window over an image of `size`.
fn window(call: &Call<'_>, kernel: [usize; 2], size: &[usize], flat: bool) -> Result<Window> {
    let (stride, dilation) =
        (pair(call.list("strides"), flat, 1)?, pair(call.list("dilations"), flat, 1)?);
    if [kernel, stride, dilation].as_flattened().contains(&0) {
        return Err(Fault::damaged("a window, step or distance of 0"));
    }
    let mut window = Window { kernel, stride, dilation, pad: [(0, 0); 2] };
    match call.word("auto_pad", "NOTSET").as_str() {
        "SAME_UPPER" => same(&mut window, size, false),
        "SAME_LOWER" => same(&mut window, size, true),
        "VALID" => {}
        _ => {
            if let Some(list) = call.list("pads") {
                let half = list.len() / 2;
                let (before, after) =
                    (pair(Some(&list[..half]), flat, 0)?, pair(Some(&list[half..]), flat, 0)?);
                window.pad = [(before[0], after[0]), (before[1], after[1])];
            }
        }
    }
    Ok(window)
}

fn same(window: &mut Window, size: &[usize], lower: bool) {
    for axis in 0..2 {
        let input = size.get(axis).copied().unwrap_or(1);
        let needed = (input.div_ceil(window.stride[axis]) - 1) * window.stride[axis];
        let total = (needed + window.extent(axis)).saturating_sub(input);
        let less = total / 2;
        window.pad[axis] = if lower { (total - less, less) } else { (less, total - less) };
    }
}

/// An operand as an image; a signal (N, C, L) becomes one line.
fn image(b: &mut Builder, call: &Call<'_>) -> Result<(TensorId, bool)> {
    let x = call.tensor(b, 0)?;
    match b.shape(x)[..] {
        [n, c, l] => Ok((b.reshape(x, vec![n, c, 1, l])?, true)),
        [_, _, _, _] => Ok((x, false)),
        ref shape => Err(Fault::new(
            format!("an input of shape {}", text(shape)),
            "one or two dimensions besides batch and channels are supported",
        )),
    }
}

fn from_image(b: &mut Builder, y: TensorId, flat: bool) -> Result<Vec<Value>> {
    let y = match b.shape(y)[..] {
        [n, c, _, l] if flat => b.reshape(y, vec![n, c, l])?,
        _ => y,
    };
    Ok(vec![Value::Tensor(y)])
}

fn bias(call: &Call<'_>, index: usize, channels: usize) -> Result<Vec<f32>> {
    if call.optional(index).is_none() {
        return Ok(vec![0.0; channels]);
    }
    let (_, data) = call.constant(index)?;
    if data.len() != channels {
        return Err(Fault::damaged("the bias does not fit the output channels"));
    }
    Ok(data.to_vec())
}

fn kernel_of(w_shape: &[usize]) -> Result<(usize, usize, [usize; 2])> {
    match *w_shape {
        [o, i, l] => Ok((o, i, [1, l])),
        [o, i, h, w] => Ok((o, i, [h, w])),
        _ => Err(Fault::damaged(format!("weights of shape {}", text(w_shape)))),
    }
}

fn groups(call: &Call<'_>) -> Result<usize> {
    usize::try_from(call.int("group", 1)).map_err(|_| Fault::damaged("group"))
}

fn conv(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let (x, flat) = image(b, call)?;
    let (w_shape, weights) = call.constant(1)?;
    let (out_channels, _, kernel) = kernel_of(&w_shape)?;
    let window = window(call, kernel, &b.shape(x)[2..], flat)?;
    let bias = bias(call, 2, out_channels)?;
    let conv = Conv2d { weights: weights.to_vec(), bias, groups: groups(call)?, window };
    let y = b.conv2d(x, conv)?;
    from_image(b, y, flat)
}

fn conv_transpose(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let (x, flat) = image(b, call)?;
    let (w_shape, weights) = call.constant(1)?;
    let (in_channels, out_group, kernel) = kernel_of(&w_shape)?;
    let groups = groups(call)?;
    let shape = b.shape(x);
    if groups == 0 || !in_channels.is_multiple_of(groups) || shape[1] != in_channels {
        return Err(Fault::damaged("weights and input have different channels"));
    }
    let mut window = window(call, kernel, &shape[2..], flat)?;
    let extra = pair(call.list("output_padding"), flat, 0)?;
    let wanted = call.list("output_shape");
    let auto = call.word("auto_pad", "NOTSET");
    let mut size = [0; 2];
    for axis in 0..2 {
        let full = (shape[2 + axis] - 1) * window.stride[axis] + window.extent(axis);
        let same = auto.starts_with("SAME").then(|| shape[2 + axis] * window.stride[axis]);
        let listed = wanted.and_then(|w| {
            let at = (w.len() + axis).checked_sub(if flat { 1 } else { 2 })?;
            let at = if flat { axis.checked_sub(1).map(|_| w.len() - 1)? } else { at };
            usize::try_from(*w.get(at)?).ok()
        });
        if let Some(out) = listed.or(same) {
            let total = (full + extra[axis]).saturating_sub(out);
            let less = total / 2;
            window.pad[axis] =
                if auto == "SAME_UPPER" { (less, total - less) } else { (total - less, less) };
        }
        size[axis] = (full + extra[axis])
            .checked_sub(window.pad[axis].0 + window.pad[axis].1)
            .ok_or_else(|| Fault::damaged("a border wider than the result"))?;
    }
    let in_group = in_channels / groups;
    let taps = kernel[0] * kernel[1];
    let mut reordered = Vec::with_capacity(weights.len());
    for group in 0..groups {
        for out in 0..out_group {
            for input in 0..in_group {
                let from = ((group * in_group + input) * out_group + out) * taps;
                reordered.extend_from_slice(&weights[from..from + taps]);
            }
        }
    }
    let bias = bias(call, 2, out_group * groups)?;
    let y =
        b.conv_transpose(x, ConvTranspose { weights: reordered, bias, groups, window }, size)?;
    from_image(b, y, flat)
}

fn gemm(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let mut x = call.tensor(b, 0)?;
    if call.int("transA", 0) != 0 {
        x = b.transpose(x, &[1, 0])?;
    }
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let mut w = call.tensor(b, 1)?;
    if b.shape(w).len() != 2 || b.shape(x).len() != 2 {
        return Err(Fault::damaged("a matrix product of other than two dimensions"));
    }
    if call.int("transB", 0) != 0 {
        w = match b.graph.tensors[w].data.clone() {
            Some(data) => {
                let shape = b.shape(w);
                let turned = eval::transpose(&[1, 0], &data, &shape);
                b.constant(vec![shape[1], shape[0]], turned)
            }
            None => b.transpose(w, &[1, 0])?,
        };
    }
    let columns = b.shape(w)[1];
    let constant_bias = match call.optional(2) {
        Some(Value::Const { data, .. }) if alpha == 1.0 && data.len() == columns => {
            Some(data.iter().map(|v| v * beta).collect::<Vec<f32>>())
        }
        _ => None,
    };
    let folded = constant_bias.is_some();
    let mut y = b.matmul(x, w, constant_bias)?;
    y = if alpha == 1.0 { y } else { b.map(y, Expr::x().times(Expr::Const(alpha)))? };
    if !folded && call.optional(2).is_some() {
        let c = call.tensor(b, 2)?;
        let c = if beta == 1.0 { c } else { b.map(c, Expr::x().times(Expr::Const(beta)))? };
        y = b.binary(BinaryOp::Add, y, c)?;
    }
    Ok(vec![Value::Tensor(y)])
}

/// One constant a channel, shaped so that it goes along axis 1.
fn per_channel(b: &mut Builder, values: Vec<f32>, rank: usize) -> TensorId {
    let mut shape = vec![1; rank.max(2)];
    shape[1] = values.len();
    b.constant(shape, values)
}

fn batch_norm(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let channels = *shape.get(1).ok_or_else(|| Fault::damaged("a batch norm of one dimension"))?;
    let [scale, offset, mean, variance] =
        [1, 2, 3, 4].map(|i| call.constant(i).map(|(_, data)| data));
    let (scale, offset, mean, variance) = (scale?, offset?, mean?, variance?);
    if [&scale, &offset, &mean, &variance].iter().any(|v| v.len() != channels) {
        return Err(Fault::damaged("batch norm parameters do not fit the channels"));
    }
    let epsilon = call.float("epsilon", 1e-5);
    let factor: Vec<f32> =
        scale.iter().zip(&variance[..]).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let addend = (0..channels).map(|c| offset[c] - mean[c] * factor[c]).collect();
    let factor = per_channel(b, factor, shape.len());
    let addend = per_channel(b, addend, shape.len());
    let y = b.binary(BinaryOp::Mul, x, factor)?;
    Ok(vec![Value::Tensor(b.binary(BinaryOp::Add, y, addend)?)])
}

fn instance_norm(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let (scale, offset) = (call.constant(1)?.1, call.constant(2)?.1);
    if shape.len() < 3 || scale.len() != shape[1] || offset.len() != shape[1] {
        return Err(Fault::damaged("parameters do not fit the channels"));
    }
    let axes: Vec<usize> = (2..shape.len()).collect();
    let mean = b.reduce(ReduceOp::Mean, x, axes.clone())?;
    let centred = b.binary(BinaryOp::Sub, x, mean)?;
    let square = b.map(centred, Expr::Unary(UnaryOp::Square, Box::new(Expr::x())))?;
    let variance = b.reduce(ReduceOp::Mean, square, axes)?;
    let epsilon = Expr::x().plus(Expr::Const(call.float("epsilon", 1e-5)));
    let factor = b.map(variance, Expr::Unary(UnaryOp::Rsqrt, Box::new(epsilon)))?;
    let scale = per_channel(b, scale.to_vec(), shape.len());
    let offset = per_channel(b, offset.to_vec(), shape.len());
    let y = b.binary(BinaryOp::Mul, centred, factor)?;
    let y = b.binary(BinaryOp::Mul, y, scale)?;
    Ok(vec![Value::Tensor(b.binary(BinaryOp::Add, y, offset)?)])
}

fn pool(b: &mut Builder, call: &Call<'_>, op: ReduceOp) -> Result<Vec<Value>> {
    let (mut x, flat) = image(b, call)?;
    if call.node.output.len() > 1 {
        return Err(Fault::new("the indices of a max pool", "use the values alone"));
    }
    let kernel = pair(call.list("kernel_shape"), flat, 1)?;
    let mut window = window(call, kernel, &b.shape(x)[2..], flat)?;
    if op == ReduceOp::Mean && call.int("count_include_pad", 0) != 0 {
        let pads = vec![(0, 0), (0, 0), window.pad[0], window.pad[1]];
        x = b.pad(x, pads, 0.0)?;
        window.pad = [(0, 0); 2];
    }
    if call.int("ceil_mode", 0) != 0 {
        let shape = b.shape(x);
        for axis in 0..2 {
            round_up(&mut window, axis, shape[2 + axis]);
        }
    }
    let y = b.pool(x, Pool { op, window })?;
    from_image(b, y, flat)
}

/// Lets the last window reach behind the image if it begins inside.
fn round_up(window: &mut Window, axis: usize, input: usize) {
    let (stride, before) = (window.stride[axis], window.pad[axis].0);
    let padded = input + before + window.pad[axis].1;
    let Some(room) = padded.checked_sub(window.extent(axis)) else { return };
    let mut count = room.div_ceil(stride) + 1;
    if (count - 1) * stride >= input + before {
        count -= 1;
    }
    let reach = (count - 1) * stride + window.extent(axis);
    window.pad[axis].1 = window.pad[axis].1.max(reach.saturating_sub(input + before));
}

fn reduce(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let mut x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let listed = call.listed("axes", 1)?.unwrap_or_default();
    if listed.is_empty() && call.int("noop_with_empty_axes", 0) != 0 {
        return Ok(vec![Value::Tensor(x)]);
    }
    let axes: Vec<usize> = if listed.is_empty() {
        (0..shape.len()).collect()
    } else {
        listed.iter().map(|&a| axis(a, shape.len())).collect::<Result<_>>()?
    };
    let operator = call.node.op_type.as_str();
    let op = match operator {
        "ReduceMean" => ReduceOp::Mean,
        "ReduceMax" => ReduceOp::Max,
        "ReduceMin" => ReduceOp::Min,
        _ => ReduceOp::Sum,
    };
    if matches!(operator, "ReduceL2" | "ReduceSumSquare") {
        x = b.map(x, Expr::Unary(UnaryOp::Square, Box::new(Expr::x())))?;
    }
    let mut y = b.reduce(op, x, axes.clone())?;
    if operator == "ReduceL2" {
        y = b.map(y, Expr::sqrt())?;
    }
    if call.int("keepdims", 1) == 0 {
        let kept = (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect();
        y = b.reshape(y, kept)?;
    }
    Ok(vec![Value::Tensor(y)])
}

fn softmax(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let at = axis(call.int("axis", if call.opset < 13 { 1 } else { -1 }), shape.len())?;
    let inner: usize = shape[at + 1..].iter().product();
    let mut y = if call.opset < 13 && inner > 1 {
        // Before operator set 13 all axes from this one on count as one.
        let outer: usize = shape[..at].iter().product();
        let flat = b.reshape(x, vec![outer, shape[at] * inner])?;
        let y = b.softmax(flat, 1, 1.0)?;
        b.reshape(y, shape)?
    } else {
        b.softmax(x, at, 1.0)?
    };
    if call.node.op_type == "LogSoftmax" {
        y = b.map(y, Expr::Unary(UnaryOp::Log, Box::new(Expr::x().max(f32::MIN_POSITIVE))))?;
    }
    Ok(vec![Value::Tensor(y)])
}

fn split(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let at = axis(call.int("axis", 0), shape.len())?;
    let parts = call.node.output.len();
    let sizes: Vec<usize> = match call.listed("split", 1)? {
        Some(list) => Ints::list(list).sizes()?,
        None => {
            let each = shape[at].div_ceil(parts.max(1));
            (0..parts).map(|i| each.min(shape[at].saturating_sub(i * each))).collect()
        }
    };
    if sizes.len() != parts
        || sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s)) != Some(shape[at])
    {
        return Err(Fault::damaged(format!("parts of {sizes:?} of {}", text(&shape))));
    }
    let mut from = 0;
    sizes
        .into_iter()
        .map(|size| {
            let part = b.part(x, at, from, size)?;
            from += size;
            Ok(Value::Tensor(part))
        })
        .collect()
}

/// A strided part.
struct Part {
    begin: Vec<usize>,
    strides: Vec<isize>,
    out: Vec<usize>,
}

fn part(call: &Call<'_>, shape: &[usize]) -> Result<Part> {
    let missing = || Fault::damaged("a part without begin or end");
    let begins = call.listed("starts", 1)?.ok_or_else(missing)?;
    let ends = call.listed("ends", 2)?.ok_or_else(missing)?;
    let axes = match call.listed("axes", 3)? {
        Some(axes) => axes,
        None => (0..begins.len() as i64).collect(),
    };
    let steps = match call.optional(4) {
        Some(_) => call.ints(4)?.data.clone(),
        None => vec![1; begins.len()],
    };
    if [ends.len(), axes.len(), steps.len()] != [begins.len(); 3] {
        return Err(Fault::damaged("begin, end, axes and steps differ in length"));
    }
    let mut part =
        Part { begin: vec![0; shape.len()], strides: vec![1; shape.len()], out: shape.to_vec() };
    for (i, &a) in axes.iter().enumerate() {
        let at = axis(a, shape.len())?;
        let (dim, step) = (shape[at] as i64, steps[i]);
        let wrap = |v: i64| if v < 0 { v.saturating_add(dim) } else { v };
        let (from, to, count) = match step {
            1..=0xFFFF => {
                let (from, to) = (wrap(begins[i]).clamp(0, dim), wrap(ends[i]).clamp(0, dim));
                (from, to, (to - from + step - 1) / step)
            }
            -0xFFFF..=-1 => {
                let from = wrap(begins[i]).clamp(-1, dim - 1);
                let to = wrap(ends[i]).clamp(-1, dim - 1);
                (from, to, (from - to - step - 1) / -step)
            }
            _ => return Err(Fault::damaged(format!("a step of {step}"))),
        };
        if count < 1 || !(0..dim).contains(&from) {
            return Err(Fault::new(
                format!("a part {from}..{to} of {dim} has no elements"),
                "export the model with the input size that it is used with",
            ));
        }
        (part.begin[at], part.strides[at], part.out[at]) =
            (from as usize, step as isize, count as usize);
    }
    Ok(part)
}

fn gather(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    let at = axis(call.int("axis", 0), shape.len())?;
    let indices = call.ints(1)?.clone();
    let mut parts = Vec::new();
    for &i in &indices.data {
        let i = if i < 0 { i.saturating_add(shape[at] as i64) } else { i };
        let i = usize::try_from(i)
            .ok()
            .filter(|&i| i < shape[at])
            .ok_or_else(|| Fault::damaged(format!("index {i} of {}", shape[at])))?;
        parts.push(b.part(x, at, i, 1)?);
    }
    let y = b.concat(parts, at)?;
    let mut wanted = shape[..at].to_vec();
    wanted.extend(&indices.shape);
    wanted.extend(&shape[at + 1..]);
    Ok(vec![Value::Tensor(b.reshape(y, wanted)?)])
}

/// The result's shape of an operator that changes the shape alone.
fn new_shape(call: &Call<'_>, shape: &[usize]) -> Result<Vec<usize>> {
    match call.node.op_type.as_str() {
        "Reshape" => {
            let wanted = call.listed("shape", 1)?.unwrap_or_default();
            resolve_shape(&wanted, shape, call.int("allowzero", 0) == 0)
        }
        "Flatten" => {
            let at = call.int("axis", 1);
            let at = if at == shape.len() as i64 { shape.len() } else { axis(at, shape.len())? };
            Ok(vec![shape[..at].iter().product(), shape[at..].iter().product()])
        }
        "Squeeze" => {
            let axes = call.listed("axes", 1)?.unwrap_or_default();
            let axes = axes.iter().map(|&a| axis(a, shape.len())).collect::<Result<Vec<_>>>()?;
            if let Some(&a) = axes.iter().find(|&&a| shape[a] != 1) {
                return Err(Fault::damaged(format!("axis {a} of {} is not 1", text(shape))));
            }
            let goes = |i: &usize| shape[*i] == 1 && (axes.is_empty() || axes.contains(i));
            Ok((0..shape.len()).filter(|i| !goes(i)).map(|i| shape[i]).collect())
        }
        _ => {
            let axes = call.listed("axes", 1)?.unwrap_or_default();
            let rank = shape.len() + axes.len();
            let axes = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?;
            let mut old = shape.iter();
            (0..rank)
                .map(|i| if axes.contains(&i) { Some(1) } else { old.next().copied() })
                .collect::<Option<_>>()
                .ok_or_else(|| Fault::damaged("an axis is named twice"))
        }
    }
}

fn pad(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let rank = b.shape(x).len();
    let list = call.listed("pads", 1)?.unwrap_or_default();
    let axes: Vec<usize> = match call.optional(3) {
        Some(_) => call.ints(3)?.data.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if list.len() != 2 * axes.len() {
        return Err(Fault::damaged(format!("{} borders for {} axes", list.len(), axes.len())));
    }
    let mut pads: Vec<Padding> = vec![(0, 0); rank];
    for (i, &at) in axes.iter().enumerate() {
        let size = |v: i64| {
            usize::try_from(v)
                .map_err(|_| Fault::new(format!("a border of {v}"), "crop with a slice instead"))
        };
        pads[at] = (size(list[i])?, size(list[axes.len() + i])?);
    }
    let y = match call.word("mode", "constant").as_str() {
        "constant" => {
            let value = call.number(2, call.float("value", 0.0))?;
            b.pad(x, pads, value)?
        }
        "reflect" => b.mirror_pad(x, &pads, false)?,
        // A border of one element repeats the edge, as a mirror there does.
        "edge" if pads.iter().all(|p| p.0.max(p.1) <= 1) => b.mirror_pad(x, &pads, true)?,
        other => {
            return Err(Fault::new(
                format!("a border of mode {other}"),
                "use constant or reflect padding; edge works for one pixel",
            ));
        }
    };
    Ok(vec![Value::Tensor(y)])
}

fn resize(b: &mut Builder, call: &Call<'_>) -> Result<Vec<Value>> {
    let x = call.tensor(b, 0)?;
    let shape = b.shape(x);
    if shape.len() != 4 {
        return Err(Fault::new(
            format!("resizing {}", text(&shape)),
            "only images of four dimensions can be resized",
        ));
    }
    let old = call.node.op_type == "Upsample" || call.opset < 11;
    let at = if old { 1 } else { 2 };
    let scales: Option<Vec<f32>> = match (call.attribute("scales"), call.optional(at)) {
        (Some(a), _) => Some(a.floats.clone()),
        (None, Some(_)) => Some(call.constant(at)?.1.to_vec()).filter(|s| !s.is_empty()),
        (None, None) => None,
    };
    let wanted: Vec<usize> = match (&scales, call.optional(3)) {
        (None, Some(_)) => call.ints(3)?.sizes()?,
        (Some(s), _) if s.len() == 4 && s.iter().all(|v| (0.0..4096.0).contains(v)) => {
            shape.iter().zip(s).map(|(&d, &s)| (d as f32 * s).floor() as usize).collect()
        }
        _ => return Err(Fault::damaged("neither scales nor sizes for four dimensions")),
    };
    let [n, c, h, w] = wanted[..] else { return Err(Fault::damaged("a size of four numbers")) };
    if [n, c] != shape[..2] || h == 0 || w == 0 {
        return Err(Fault::new(
            format!("{} resized to {}", text(&shape), text(&wanted)),
            "only height and width can be resized",
        ));
    }
    let coordinates =
        call.word("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" });
    let mode = call.word("mode", "nearest");
    let advice = "use torch.nn.Upsample with mode nearest or bilinear";
    let result = match (mode.as_str(), coordinates.as_str()) {
        ("linear", "asymmetric") => mode_of(true, false, false),
        ("linear", "half_pixel" | "pytorch_half_pixel") => mode_of(true, false, true),
        ("linear", "align_corners") => mode_of(true, true, false),
        ("nearest", _) => {
            let rounding =
                call.word("nearest_mode", if old { "floor" } else { "round_prefer_floor" });
            let wanted: Vec<Vec<usize>> = [(shape[2], h), (shape[3], w)]
                .iter()
                .map(|&(input, output)| nearest(input, output, &coordinates, &rounding))
                .collect::<Option<_>>()
                .ok_or_else(|| Fault::new(format!("resizing with {coordinates}"), advice))?;
            [mode_of(false, false, false), mode_of(false, false, true), mode_of(false, true, false)]
                .into_iter()
                .find(|r| {
                    eval::nearest(r, shape[2], h) == wanted[0]
                        && eval::nearest(r, shape[3], w) == wanted[1]
                })
                .ok_or_else(|| {
                    Fault::new(format!("nearest pixels by {coordinates} and {rounding}"), advice)
                })?
        }
        _ => return Err(Fault::new(format!("resizing of mode {mode}, {coordinates}"), advice)),
    };
    Ok(vec![Value::Tensor(b.resize(x, result, [h, w])?)])
}

fn mode_of(bilinear: bool, align_corners: bool, half_pixel: bool) -> Resize {
    Resize { bilinear, align_corners, half_pixel }
}

/// For each output index its source as the standard has it.
fn nearest(input: usize, output: usize, coordinates: &str, rounding: &str) -> Option<Vec<usize>> {
    let scale = output as f64 / input as f64;
    (0..output)
        .map(|o| {
            let o = o as f64;
            let x = match coordinates {
                "asymmetric" => o / scale,
                "half_pixel" => (o + 0.5) / scale - 0.5,
                "pytorch_half_pixel" if output > 1 => (o + 0.5) / scale - 0.5,
                "pytorch_half_pixel" => 0.0,
                "align_corners" if output > 1 => o * (input - 1) as f64 / (output - 1) as f64,
                "align_corners" => 0.0,
                _ => return None,
            };
            let x = match rounding {
                "floor" => x.floor(),
                "ceil" => x.ceil(),
                "round_prefer_ceil" => (x + 0.5).floor(),
                "round_prefer_floor" => (x - 0.5).ceil(),
                _ => return None,
            };
            Some((x.max(0.0) as usize).min(input - 1))
        })
        .collect()
}
