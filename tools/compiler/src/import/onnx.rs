//! ONNX files: N, C, H, W as the graph has it, so that no axis moves.

use std::{
    collections::HashMap,
    path::{Component, Path},
};

use prost::Message;

use super::{
    Imported,
    build::{Builder, MAX_ELEMENTS, Value, text},
    half::{bfloat_to_f32, half_to_f32},
    ints::Ints,
    onnx_ops,
    onnx_proto::{Attribute, Model, Node, Tensor, ValueInfo},
};
use crate::{
    eval,
    problem::{Fault, Problem},
};

/// The operator sets that exporters of today write.
const KNOWN_OPSETS: std::ops::RangeInclusive<i64> = 7..=18;

type Result<T> = std::result::Result<T, Fault>;

/// One operator with its operands, for [`onnx_ops`].
pub(super) struct Call<'c> {
    /// The operator.
    pub node: &'c Node,
    /// Version of the operator set.
    pub opset: i64,
    /// Operands; `None` where an optional one is absent.
    pub inputs: Vec<Option<Value>>,
    /// Reads tensors in attributes.
    pub files: Files<'c>,
}

/// Where external data lies.
#[derive(Clone, Copy)]
pub(super) struct Files<'f>(Option<&'f Path>);

impl Call<'_> {
    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.node.attribute.iter().find(|a| a.name == name)
    }
}

/// Reads a model; `folder` is where its external data lies.
pub fn import(bytes: &[u8], folder: Option<&Path>) -> std::result::Result<Imported, Vec<Problem>> {
    read(bytes, folder)
        .map_err(|fault| vec![Problem::general("the .onnx file", fault.why, fault.advice)])?
}

fn read(
    bytes: &[u8],
    folder: Option<&Path>,
) -> Result<std::result::Result<Imported, Vec<Problem>>> {
    let model = Model::decode(bytes).map_err(|error| {
        Fault::new(
            format!("not an ONNX model ({error})"),
            "export it with torch.onnx.export or tf2onnx, or give `-i tflite` for a TensorFlow Lite model",
        )
    })?;
    let Some(graph) = model.graph else {
        return Err(Fault::damaged("the model holds no graph"));
    };
    let opset = model
        .opset_import
        .iter()
        .filter(|o| matches!(o.domain.as_str(), "" | "ai.onnx"))
        .map(|o| o.version)
        .max()
        .ok_or_else(|| Fault::damaged("the model does not say which operator set it uses"))?;
    let mut warnings = Vec::new();
    if opset > *KNOWN_OPSETS.end() {
        warnings.push(format!(
            "operator set {opset} is newer than {}, the newest that is tested; if a layer behaves differently, export with opset_version={}",
            KNOWN_OPSETS.end(),
            KNOWN_OPSETS.end()
        ));
    }
    if opset < *KNOWN_OPSETS.start() {
        return Err(Fault::new(
            format!("operator set {opset} is older than {}", KNOWN_OPSETS.start()),
            "export the model again with opset_version=13, or use onnx.version_converter",
        ));
    }
    let files = Files(folder);
    let mut values = HashMap::new();
    for tensor in &graph.initializer {
        values.insert(tensor.name.clone(), constant(tensor, files)?);
    }
    let mut builder = Builder::default();
    for info in &graph.input {
        if !values.contains_key(&info.name) {
            let shape = input_shape(info, &mut warnings)?;
            let id = builder.graph.tensor(info.name.clone(), shape);
            builder.graph.inputs.push(id);
            values.insert(info.name.clone(), Value::Tensor(id));
        }
    }
    let mut problems = Vec::new();
    // Behind a problem shapes are not known: only what is sure is reported there.
    let mut unknown = Vec::new();
    for node in &graph.node {
        let depends = node.input.iter().any(|name| unknown.contains(&name));
        if depends && onnx_ops::is_known(node) {
            unknown.extend(&node.output);
            continue;
        }
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        builder.name = name.cloned().unwrap_or_default();
        let mut shapes = Vec::new();
        let result = operands(node, &values, &mut shapes).and_then(|inputs| {
            let first = builder.graph.nodes.len();
            let call = Call { node, opset, inputs, files };
            let results = onnx_ops::build(&mut builder, &call)?;
            fold(&mut builder, first);
            if results.len() < node.output.iter().filter(|o| !o.is_empty()).count() {
                return Err(Fault::damaged("more results than the operator has"));
            }
            Ok(results)
        });
        match result {
            Ok(results) => {
                for (name, value) in node.output.iter().zip(results) {
                    values.insert(name.clone(), known(&builder, value));
                }
            }
            Err(fault) => {
                unknown.extend(&node.output);
                problems.push(Problem {
                    node: builder.name.clone(),
                    operator: node.op_type.clone(),
                    shapes: format!(" {}", shapes.join(" ")),
                    why: fault.why,
                    advice: fault.advice,
                });
            }
        }
    }
    if !problems.is_empty() {
        return Ok(Err(problems));
    }
    for info in &graph.output {
        let value = values
            .get(&info.name)
            .cloned()
            .ok_or_else(|| Fault::damaged(format!("output {} is never computed", info.name)))?;
        let id = builder.plain(value);
        if !builder.graph.inputs.contains(&id) {
            builder.graph.tensors[id].name.clone_from(&info.name);
        }
        builder.graph.outputs.push(id);
    }
    Ok(Ok(Imported { graph: builder.graph, warnings }))
}

fn operands(
    node: &Node,
    values: &HashMap<String, Value>,
    shapes: &mut Vec<String>,
) -> Result<Vec<Option<Value>>> {
    let known = |name: &String| -> Result<Option<Value>> {
        if name.is_empty() {
            return Ok(None);
        }
        values.get(name).cloned().map(Some).ok_or_else(|| {
            if onnx_ops::is_known(node) {
                Fault::damaged(format!("{name} is used before it is computed"))
            } else {
                onnx_ops::unsupported(&node.op_type)
            }
        })
    };
    let inputs = node.input.iter().map(known).collect::<Result<Vec<_>>>()?;
    for value in inputs.iter().flatten() {
        shapes.push(match value {
            Value::Ints(ints) => text(&ints.shape),
            Value::Const { shape, .. } => text(shape),
            Value::Tensor(id) => format!("#{id}"),
        });
    }
    Ok(inputs)
}

/// Computes what depends on constants only.
fn fold(b: &mut Builder, first: usize) {
    for at in first..b.graph.nodes.len() {
        let node = &b.graph.nodes[at];
        let operands: Option<Vec<_>> =
            node.inputs.iter().map(|&id| b.graph.tensors[id].data.clone()).collect();
        if let Some(operands) = operands {
            let operands: Vec<&[f32]> = operands.iter().map(|o| &**o).collect();
            let value = eval::eval(&b.graph, node, &operands);
            let output = node.output;
            b.graph.tensors[output].data = Some(value.into());
        }
    }
    let super::super::graph::Graph { nodes, tensors, .. } = &mut b.graph;
    nodes.retain(|node| tensors[node.output].data.is_none());
}

/// The value as a constant, if it has become one.
fn known(b: &Builder, value: Value) -> Value {
    match value {
        Value::Tensor(id) => match &b.graph.tensors[id].data {
            Some(data) => Value::Const { shape: b.shape(id), data: data.clone() },
            None => value,
        },
        _ => value,
    }
}

fn input_shape(info: &ValueInfo, warnings: &mut Vec<String>) -> Result<Vec<usize>> {
    let shape =
        info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()?.shape.as_ref()).ok_or_else(
            || {
                Fault::new(
                    format!("input {} has no shape", info.name),
                    "export the model with a fixed input shape",
                )
            },
        )?;
    let mut dims = Vec::new();
    for (axis, dim) in shape.dim.iter().enumerate() {
        match usize::try_from(dim.dim_value) {
            Ok(size) if size > 0 => dims.push(size),
            // A batch that is open when the model is made is one image on the chip.
            _ if axis == 0 => {
                warnings.push(format!("input {}: the open batch dimension becomes 1", info.name));
                dims.push(1);
            }
            _ => {
                return Err(Fault::new(
                    format!("dimension {axis} of input {} is open ({})", info.name, dim.dim_param),
                    "export the model with a fixed input size (no dynamic_axes)",
                ));
            }
        }
    }
    let elements = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if elements.is_none_or(|n| n > MAX_ELEMENTS) {
        return Err(Fault::damaged(format!("input {} has the shape {}", info.name, text(&dims))));
    }
    Ok(dims)
}

/// A tensor of the file.
pub(super) fn constant(tensor: &Tensor, files: Files<'_>) -> Result<Value> {
    let shape = tensor
        .dims
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| Fault::damaged(format!("a dimension of {d}"))))
        .collect::<Result<Vec<_>>>()?;
    let count = shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= MAX_ELEMENTS)
        .ok_or_else(|| Fault::damaged(format!("tensor {} is too large", tensor.name)))?;
    let external;
    let raw = if tensor.data_location == 1 {
        external = files.read(tensor)?;
        &external
    } else {
        &tensor.raw_data
    };
    fn each<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
        raw.as_chunks::<N>().0.iter().map(|&b| read(b)).collect()
    }
    let small = || tensor.int32_data.iter().map(|&v| i64::from(v));
    let floats = |data: Vec<f32>| {
        (data.len() == count)
            .then(|| Value::Const { shape: shape.clone(), data: data.into() })
            .ok_or_else(|| Fault::damaged(format!("tensor {} has too few values", tensor.name)))
    };
    let ints = |data: Vec<i64>| {
        (data.len() == count)
            .then(|| Value::Ints(Ints { shape: shape.clone(), data }))
            .ok_or_else(|| Fault::damaged(format!("tensor {} has too few values", tensor.name)))
    };
    let listed = raw.is_empty();
    match tensor.data_type {
        1 if listed => floats(tensor.float_data.clone()),
        1 => floats(each(raw, f32::from_le_bytes)),
        10 if listed => floats(small().map(|v| half_to_f32(v as u16)).collect()),
        10 => floats(each(raw, |b| half_to_f32(u16::from_le_bytes(b)))),
        11 if listed => floats(tensor.double_data.iter().map(|&v| v as f32).collect()),
        11 => floats(each(raw, |b| f64::from_le_bytes(b) as f32)),
        16 if listed => floats(small().map(|v| bfloat_to_f32(v as u16)).collect()),
        16 => floats(each(raw, |b| bfloat_to_f32(u16::from_le_bytes(b)))),
        7 if listed => ints(tensor.int64_data.clone()),
        7 => ints(each(raw, i64::from_le_bytes)),
        2..=6 | 9 if listed => ints(small().collect()),
        2 | 9 => ints(raw.iter().map(|&b| b.into()).collect()),
        3 => ints(raw.iter().map(|&b| (b as i8).into()).collect()),
        4 => ints(each(raw, |b| u16::from_le_bytes(b).into())),
        5 => ints(each(raw, |b| i16::from_le_bytes(b).into())),
        6 => ints(each(raw, |b| i32::from_le_bytes(b).into())),
        other => Err(Fault::new(
            format!("constant {} has element type {other}", tensor.name),
            "export the model with float weights",
        )),
    }
}

impl Files<'_> {
    fn read(self, tensor: &Tensor) -> Result<Vec<u8>> {
        let entry = |key: &str| {
            tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
        };
        let location = entry("location").unwrap_or_default();
        let fault =
            |why: String| Fault::new(why, format!("put the file {location} beside the .onnx file"));
        // Only files below the model's own folder.
        let inside = Path::new(location).components().all(|c| matches!(c, Component::Normal(_)));
        let (Some(folder), true, false) = (self.0, inside, location.is_empty()) else {
            return Err(fault(format!("the data of {} lies in {location:?}", tensor.name)));
        };
        let bytes = std::fs::read(folder.join(location))
            .map_err(|error| fault(format!("{location} cannot be read: {error}")))?;
        let number = |key: &str, default: usize| -> Result<usize> {
            entry(key).map_or(Ok(default), |v| {
                v.parse().map_err(|_| Fault::damaged(format!("{key} {v} of external data")))
            })
        };
        let from = number("offset", 0)?;
        let length = number("length", bytes.len().saturating_sub(from))?;
        from.checked_add(length)
            .and_then(|end| bytes.get(from..end))
            .map(<[u8]>::to_vec)
            .ok_or_else(|| fault(format!("{location} is too short for {}", tensor.name)))
    }
}

impl Builder {
    /// The value as a tensor of the graph, axes as they are.
    pub(super) fn plain(&mut self, value: Value) -> usize {
        match value {
            Value::Tensor(id) => id,
            Value::Const { shape, data } => self.constant(shape, data),
            Value::Ints(ints) => {
                let data: Vec<f32> = ints.data.iter().map(|&v| v as f32).collect();
                self.constant(ints.shape, data)
            }
        }
    }
}
