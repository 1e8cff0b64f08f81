//! TensorFlow Lite files. Field numbers: the published schema.fbs of TensorFlow Lite.

use std::{collections::HashMap, sync::Arc};

use super::{
    Imported,
    build::{Builder, MAX_ELEMENTS, Value, text},
    flatbuffer::Table,
    half::half_to_f32,
    ints::Ints,
    sparse, tflite_ops,
};
use crate::{
    graph::Op,
    problem::{Fault, Problem},
};

/// Element types, by their number in the schema.
mod dtype {
    pub const F32: u8 = 0;
    pub const F16: u8 = 1;
    pub const I32: u8 = 2;
    pub const U8: u8 = 3;
    pub const I64: u8 = 4;
    pub const BOOL: u8 = 6;
    pub const I16: u8 = 7;
    pub const I8: u8 = 9;
    pub const F64: u8 = 10;
}

/// A tensor as the file describes it.
pub(super) struct FileTensor {
    name: String,
    shape: Vec<usize>,
    dtype: u8,
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    quantized_axis: usize,
    data: Option<Vec<u8>>,
}

impl FileTensor {
    fn read(table: &Table<'_>, buffers: &[Table<'_>], file: &[u8]) -> Result<Self, Fault> {
        let name = table.string(3)?;
        let shape = table
            .vector(0)?
            .i32s()?
            .into_iter()
            // A dimension that is open when the model is made, such as the batch, becomes 1.
            .map(|d| if d <= 0 { 1 } else { d as usize })
            .collect::<Vec<_>>();
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements.is_none_or(|n| n > MAX_ELEMENTS) {
            return Err(Fault::damaged(format!("tensor {name} has the shape {}", text(&shape))));
        }
        let buffer = buffers.get(table.u32(2, 0)? as usize);
        let data = buffer.map(|b| buffer_bytes(b, file)).transpose()?.filter(|d| !d.is_empty());
        let (mut scales, mut zero_points, mut quantized_axis) = (Vec::new(), Vec::new(), 0);
        if let Some(q) = table.table(4)? {
            scales = q.vector(2)?.f32s()?;
            zero_points = q.vector(3)?.i64s()?;
            quantized_axis = usize::try_from(q.i32(6, 0)?).unwrap_or(0);
        }
        let dtype = table.u8(1, 0)?;
        let data = match (data, table.table(6)?) {
            (Some(stored), Some(sparsity)) => {
                let element = match dtype {
                    dtype::F32 => 4,
                    dtype::F16 => 2,
                    _ => {
                        return Err(Fault::new(
                            format!("the sparse tensor {name} is not of floats"),
                            "export the model with dense weights",
                        ));
                    }
                };
                Some(sparse::densify(&stored, &sparsity, &shape, element)?)
            }
            (data, _) => data,
        };
        Ok(Self { name, shape, dtype, scales, zero_points, quantized_axis, data })
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Real value range of a quantized tensor.
    fn range(&self) -> Option<(f32, f32)> {
        let (low, high) = match self.dtype {
            dtype::I8 => (-128.0, 127.0),
            dtype::U8 => (0.0, 255.0),
            _ => return None,
        };
        let &[scale] = &self.scales[..] else { return None };
        let zero = self.zero_points.first().copied().unwrap_or(0) as f32;
        Some(((low - zero) * scale, (high - zero) * scale))
    }

    /// The constant's value; integers that no scale belongs to stay integers.
    fn constant(&self) -> Result<Option<Value>, Fault> {
        let Some(bytes) = &self.data else { return Ok(None) };
        let integers: Option<Vec<i64>> = match self.dtype {
            dtype::I32 => Some(numbers(bytes, |b| i64::from(i32::from_le_bytes(b)))),
            dtype::I64 => Some(numbers(bytes, i64::from_le_bytes)),
            dtype::I16 => Some(numbers(bytes, |b| i64::from(i16::from_le_bytes(b)))),
            dtype::I8 => Some(numbers(bytes, |b| i64::from(i8::from_le_bytes(b)))),
            dtype::U8 | dtype::BOOL => Some(numbers(bytes, |[b]: [u8; 1]| i64::from(b))),
            _ => None,
        };
        let count = |n: usize| {
            if n == self.elements() {
                Ok(())
            } else {
                Err(Fault::damaged(format!("tensor {} holds {n} values", self.name)))
            }
        };
        if let Some(integers) = integers {
            count(integers.len())?;
            if self.scales.is_empty() {
                return Ok(Some(Value::Ints(Ints { shape: self.shape.clone(), data: integers })));
            }
            return Ok(Some(self.value(self.dequantize(&integers)?)));
        }
        let floats: Vec<f32> = match self.dtype {
            dtype::F32 => numbers(bytes, f32::from_le_bytes),
            dtype::F16 => numbers(bytes, |b| half_to_f32(u16::from_le_bytes(b))),
            dtype::F64 => numbers(bytes, |b| f64::from_le_bytes(b) as f32),
            other => {
                return Err(Fault::new(
                    format!("constant {} has element type {other}", self.name),
                    "export the model with float or int8 weights",
                ));
            }
        };
        count(floats.len())?;
        Ok(Some(self.value(floats)))
    }

    fn value(&self, data: Vec<f32>) -> Value {
        Value::Const { shape: self.shape.clone(), data: data.into() }
    }

    fn dequantize(&self, integers: &[i64]) -> Result<Vec<f32>, Fault> {
        let channels = self.scales.len();
        let inner: usize = self.shape.iter().skip(self.quantized_axis + 1).product();
        if channels > 1 && self.shape.get(self.quantized_axis) != Some(&channels) {
            return Err(Fault::damaged(format!("tensor {} has {channels} scales", self.name)));
        }
        let per_channel = |i: usize| if channels == 1 { 0 } else { i / inner % channels };
        let zero =
            |c: usize| self.zero_points.get(c).or(self.zero_points.first()).copied().unwrap_or(0);
        Ok(integers
            .iter()
            .enumerate()
            .map(|(i, &q)| {
                (q.wrapping_sub(zero(per_channel(i)))) as f32 * self.scales[per_channel(i)]
            })
            .collect())
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|c| read(c.try_into().expect("chunks have N bytes"))).collect()
}

/// The bytes of a buffer, which newer files may keep behind the tables.
fn buffer_bytes(buffer: &Table<'_>, file: &[u8]) -> Result<Vec<u8>, Fault> {
    let (offset, size) = (buffer.u64(1, 0)?, buffer.u64(2, 0)?);
    if offset > 1 {
        let end = offset.checked_add(size);
        let bytes = end.and_then(|end| file.get(offset as usize..end as usize));
        return bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Fault::damaged("a buffer lies outside the file"));
    }
    Ok(buffer.vector(0)?.bytes()?.to_vec())
}

/// One operator with its operands, for [`tflite_ops`].
pub(super) struct Call<'c> {
    /// Built-in operator number.
    pub code: i32,
    /// The operator's options.
    pub options: Option<Table<'c>>,
    /// Operands; `None` where an optional one is absent.
    pub inputs: Vec<Option<Value>>,
    /// Shapes that the file states for the results.
    pub output_shapes: Vec<Vec<usize>>,
}

/// Reads a model.
pub fn import(bytes: &[u8]) -> Result<Imported, Vec<Problem>> {
    read(bytes)
        .map_err(|fault| vec![Problem::general("the .tflite file", fault.why, fault.advice)])?
}

fn read(bytes: &[u8]) -> Result<Result<Imported, Vec<Problem>>, Fault> {
    if bytes.get(4..8) != Some(b"TFL3") {
        return Err(Fault::new(
            "not a TensorFlow Lite model (the letters TFL3 are missing)",
            "convert it with tf.lite.TFLiteConverter, or give `-i onnx` for an ONNX model",
        ));
    }
    let model = Table::root(bytes)?;
    let codes = model.vector(1)?.tables()?;
    let subgraphs = model.vector(2)?.tables()?;
    let buffers = model.vector(4)?.tables()?;
    let Some(main) = subgraphs.first() else {
        return Err(Fault::damaged("the model holds no graph"));
    };
    let tensors = main
        .vector(0)?
        .tables()?
        .iter()
        .map(|t| FileTensor::read(t, &buffers, bytes))
        .collect::<Result<Vec<_>, _>>()?;
    let mut importer = Importer { tensors, values: HashMap::new(), builder: Builder::default() };
    for id in main.vector(1)?.i32s()? {
        importer.input(id)?;
    }
    let mut problems = Vec::new();
    for operator in main.vector(3)?.tables()? {
        importer.operator(&operator, &codes, &mut problems)?;
    }
    for id in main.vector(2)?.i32s()? {
        match importer.value(id) {
            Ok(value) => {
                let id = importer.builder.tensor(value)?;
                importer.builder.graph.outputs.push(id);
            }
            Err(fault) if problems.is_empty() => return Err(fault),
            Err(_) => {}
        }
    }
    if problems.is_empty() {
        Ok(Ok(Imported { graph: importer.builder.graph, warnings: Vec::new() }))
    } else {
        Ok(Err(problems))
    }
}

struct Importer {
    tensors: Vec<FileTensor>,
    values: HashMap<usize, Value>,
    builder: Builder,
}

impl Importer {
    fn file_tensor(&self, id: i32) -> Result<(usize, &FileTensor), Fault> {
        usize::try_from(id)
            .ok()
            .and_then(|i| Some((i, self.tensors.get(i)?)))
            .ok_or_else(|| Fault::damaged(format!("tensor {id} does not exist")))
    }

    fn input(&mut self, id: i32) -> Result<(), Fault> {
        let (index, tensor) = self.file_tensor(id)?;
        let (name, shape, range) = (tensor.name.clone(), to_planar(&tensor.shape), tensor.range());
        let id = self.builder.graph.tensor(name, shape);
        self.builder.graph.tensors[id].range = range;
        self.builder.graph.inputs.push(id);
        self.values.insert(index, Value::Tensor(id));
        Ok(())
    }

    fn value(&mut self, id: i32) -> Result<Value, Fault> {
        let (index, tensor) = self.file_tensor(id)?;
        if let Some(value) = self.values.get(&index) {
            return Ok(value.clone());
        }
        let constant = tensor.constant()?.ok_or_else(|| {
            Fault::damaged(format!("tensor {} is used before it is computed", tensor.name))
        })?;
        self.values.insert(index, constant.clone());
        Ok(constant)
    }

    fn operator(
        &mut self,
        operator: &Table<'_>,
        codes: &[Table<'_>],
        problems: &mut Vec<Problem>,
    ) -> Result<(), Fault> {
        let code = codes
            .get(operator.u32(0, 0)? as usize)
            .ok_or_else(|| Fault::damaged("an operator without a code"))?;
        // Codes below 127 stand in the old byte field, larger ones in the new one.
        let number = code.i32(3, 0)?.max(i32::from(code.u8(0, 0)?));
        let inputs = operator.vector(1)?.i32s()?;
        let outputs = operator.vector(2)?.i32s()?;
        let mut names = Vec::new();
        let mut output_shapes = Vec::new();
        for &id in &outputs {
            let (_, tensor) = self.file_tensor(id)?;
            names.push(tensor.name.clone());
            output_shapes.push(tensor.shape.clone());
        }
        let name = names.first().cloned().unwrap_or_default();
        self.builder.name.clone_from(&name);
        let result = inputs
            .iter()
            .map(|&id| if id < 0 { Ok(None) } else { self.value(id).map(Some) })
            .collect::<Result<Vec<_>, _>>()
            .and_then(|inputs| {
                let call = Call {
                    code: number,
                    options: operator.table(4)?,
                    inputs,
                    output_shapes: output_shapes.clone(),
                };
                tflite_ops::build(&mut self.builder, &call)
            })
            .and_then(|results| {
                if results.len() < outputs.len() {
                    return Err(Fault::damaged("more results than the operator has"));
                }
                Ok(results)
            });
        match result {
            Ok(results) => {
                for (&id, value) in outputs.iter().zip(results) {
                    self.define(id, value)?;
                }
            }
            Err(fault) => {
                let shape =
                    |&id: &i32| self.file_tensor(id).map_or(String::new(), |(_, t)| text(&t.shape));
                let shapes: Vec<String> = inputs.iter().filter(|&&id| id >= 0).map(shape).collect();
                let results: Vec<String> = outputs.iter().map(shape).collect();
                let custom = code.string(1)?;
                let kind = tflite_ops::name(number);
                problems.push(Problem {
                    node: name,
                    operator: if custom.is_empty() { kind } else { format!("{kind} {custom}") },
                    shapes: format!(" {} -> {}", shapes.join(" "), results.join(" ")),
                    why: fault.why,
                    advice: fault.advice,
                });
                // The results get the shapes that the file states, so that what follows is looked at too.
                for &id in &outputs {
                    let (_, tensor) = self.file_tensor(id)?;
                    let (name, shape) = (tensor.name.clone(), to_planar(&tensor.shape));
                    let tensor = self.builder.graph.tensor(name, shape);
                    self.define(id, Value::Tensor(tensor))?;
                }
            }
        }
        Ok(())
    }

    /// What a fused activation cuts off may be cut off before it as well.
    fn range_before_bounds(&mut self, id: usize, range: (f32, f32)) {
        let graph = &mut self.builder.graph;
        let Some(node) = graph.producer(id).map(|at| &graph.nodes[at]) else { return };
        let before = node.inputs[0];
        if matches!(&node.op, Op::Map(f) if f.as_clamp().is_some()) {
            graph.tensors[before].range.get_or_insert(range);
        }
    }

    fn define(&mut self, id: i32, value: Value) -> Result<(), Fault> {
        let (index, tensor) = self.file_tensor(id)?;
        if let Value::Tensor(t) = value {
            let (name, range) = (tensor.name.clone(), tensor.range());
            let id = t;
            let is_input = self.builder.graph.inputs.contains(&t);
            let t = &mut self.builder.graph.tensors[t];
            t.range = range.or(t.range);
            if t.data.is_none() && !is_input {
                t.name = name;
            }
            if let Some(range) = range {
                self.range_before_bounds(id, range);
            }
        }
        self.values.insert(index, value);
        Ok(())
    }
}

/// N, H, W, C -> N, C, H, W; other ranks stay.
pub(super) fn to_planar(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, h, w, c] => vec![n, c, h, w],
        _ => shape.to_vec(),
    }
}

/// N, C, H, W -> N, H, W, C; other ranks stay.
pub(super) fn to_interleaved(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, c, h, w] => vec![n, h, w, c],
        _ => shape.to_vec(),
    }
}

impl Builder {
    /// The value as a tensor of the graph, N, C, H, W if it has rank 4.
    pub(super) fn tensor(&mut self, value: Value) -> Result<usize, Fault> {
        match value {
            Value::Tensor(id) => Ok(id),
            Value::Const { shape, data } => {
                let data: Arc<[f32]> = if shape.len() == 4 {
                    crate::eval::transpose(&[0, 3, 1, 2], &data, &shape).into()
                } else {
                    data
                };
                Ok(self.constant(to_planar(&shape), data))
            }
            Value::Ints(ints) => {
                let data: Vec<f32> = ints.data.iter().map(|&v| v as f32).collect();
                self.tensor(Value::Const { shape: ints.shape, data: data.into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b""[..], b"TFL3", b"\xFF\xFF\xFF\x7FTFL3", &[0; 64]] {
            assert!(import(bytes).is_err());
        }
    }
}
