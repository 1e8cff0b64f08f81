//! Writes `.tflite` files of one operator after another; field numbers of the published schema.

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

/// A field of an operator's options.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    Byte(u8),
    Int(i32),
    Float(f32),
}

/// Data of a constant.
#[derive(Clone, Debug)]
pub enum Data {
    None,
    Floats(Vec<f32>),
    /// The same in the file's sparse form: of each row of the last dimension what is not 0.
    Sparse(Vec<f32>),
    Ints(Vec<i32>),
    Bytes(Vec<i8>),
}

/// A tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub shape: Vec<usize>,
    pub data: Data,
    /// Scale and zero point of int8 tensors.
    pub quantized: Option<(f32, i64)>,
}

/// An operator: number, operands, result, options.
pub struct Operator {
    pub code: i32,
    pub inputs: Vec<i32>,
    pub outputs: Vec<i32>,
    pub options: Vec<(u16, Field)>,
}

/// A model; tensor 0 is its input.
#[derive(Default)]
pub struct Model {
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
    /// If there are none, the last operator's results.
    pub outputs: Vec<i32>,
}

/// Where a table has its field.
fn slot(field: u16) -> u16 {
    4 + 2 * field
}

/// How sparse values lie in a tensor: all dimensions dense but the last, which is a list.
fn sparsity<'b>(
    b: &mut FlatBufferBuilder<'b>,
    shape: &[usize],
    values: &[f32],
) -> WIPOffset<flatbuffers::TableFinishedWIPOffset> {
    let (mut segments, mut indices) = (vec![0u16], Vec::new());
    for row in values.chunks_exact(shape[shape.len() - 1]) {
        indices.extend((0..row.len() as u8).filter(|&i| row[usize::from(i)] != 0.0));
        segments.push(indices.len() as u16);
    }
    let list = |b: &mut FlatBufferBuilder<'b>, values| {
        let start = b.start_table();
        b.push_slot_always::<WIPOffset<UnionWIPOffset>>(slot(0), values);
        b.end_table(start)
    };
    let segments = b.create_vector(&segments).as_union_value();
    let segments = list(b, segments);
    let indices = b.create_vector(&indices).as_union_value();
    let indices = list(b, indices);
    let mut dimensions = Vec::new();
    for (axis, &size) in shape.iter().enumerate() {
        let start = b.start_table();
        if axis + 1 < shape.len() {
            b.push_slot_always(slot(1), size as i32);
        } else {
            b.push_slot_always(slot(0), 1i8);
            // Lists of 16 and of 8 bits.
            b.push_slot_always(slot(2), 2u8);
            b.push_slot_always(slot(3), segments);
            b.push_slot_always(slot(4), 3u8);
            b.push_slot_always(slot(5), indices);
        }
        dimensions.push(b.end_table(start));
    }
    let order = b.create_vector(&(0..shape.len() as i32).collect::<Vec<_>>());
    let dimensions = b.create_vector(&dimensions);
    let start = b.start_table();
    b.push_slot_always(slot(0), order);
    b.push_slot_always(slot(2), dimensions);
    b.end_table(start)
}

impl Model {
    /// A model with a float input.
    pub fn new(shape: &[usize]) -> Self {
        let mut model = Self::default();
        model.tensor(shape, Data::None);
        model
    }

    /// Adds a tensor and returns its index.
    pub fn tensor(&mut self, shape: &[usize], data: Data) -> i32 {
        self.tensors.push(Tensor { shape: shape.to_vec(), data, quantized: None });
        self.tensors.len() as i32 - 1
    }

    /// Adds an operator with one result of `shape` and returns that.
    pub fn push(
        &mut self,
        code: i32,
        inputs: &[i32],
        shape: &[usize],
        options: &[(u16, Field)],
    ) -> i32 {
        let out = self.tensor(shape, Data::None);
        let (inputs, options) = (inputs.to_vec(), options.to_vec());
        self.operators.push(Operator { code, inputs, outputs: vec![out], options });
        out
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut b = FlatBufferBuilder::new();
        let mut buffers = Vec::new();
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            let sparsity = match &tensor.data {
                Data::Sparse(v) => Some(sparsity(&mut b, &tensor.shape, v)),
                _ => None,
            };
            let (dtype, bytes): (i8, Option<Vec<u8>>) = match &tensor.data {
                Data::None if tensor.quantized.is_some() => (9, None),
                Data::None => (0, None),
                Data::Floats(v) => (0, Some(v.iter().flat_map(|v| v.to_le_bytes()).collect())),
                Data::Sparse(v) => {
                    let kept = v.iter().filter(|&&v| v != 0.0);
                    (0, Some(kept.flat_map(|v| v.to_le_bytes()).collect()))
                }
                Data::Ints(v) => (2, Some(v.iter().flat_map(|v| v.to_le_bytes()).collect())),
                Data::Bytes(v) => (9, Some(v.iter().map(|&v| v as u8).collect())),
            };
            let data = bytes.map(|v| b.create_vector(&v));
            let start = b.start_table();
            if let Some(data) = data {
                b.push_slot_always(slot(0), data);
            }
            buffers.push(b.end_table(start));
            let shape: Vec<i32> = tensor.shape.iter().map(|&d| d as i32).collect();
            let shape = b.create_vector(&shape);
            let name = b.create_string(&format!("tensor {}", tensors.len()));
            let quantized = tensor.quantized.map(|(scale, zero)| {
                let (scale, zero) = (b.create_vector(&[scale]), b.create_vector(&[zero]));
                let start = b.start_table();
                b.push_slot_always(slot(2), scale);
                b.push_slot_always(slot(3), zero);
                b.end_table(start)
            });
            let start = b.start_table();
            b.push_slot_always(slot(0), shape);
            b.push_slot_always(slot(1), dtype);
            b.push_slot_always(slot(2), buffers.len() as u32 - 1);
            b.push_slot_always(slot(3), name);
            if let Some(q) = quantized {
                b.push_slot_always(slot(4), q);
            }
            if let Some(sparsity) = sparsity {
                b.push_slot_always(slot(6), sparsity);
            }
            tensors.push(b.end_table(start));
        }
        let mut codes = Vec::new();
        let mut operators = Vec::new();
        for operator in &self.operators {
            let start = b.start_table();
            b.push_slot_always(slot(0), operator.code.min(127) as i8);
            b.push_slot_always(slot(3), operator.code);
            codes.push(b.end_table(start));
            let start = b.start_table();
            for &(field, value) in &operator.options {
                match value {
                    Field::Byte(v) => b.push_slot_always(slot(field), v),
                    Field::Int(v) => b.push_slot_always(slot(field), v),
                    Field::Float(v) => b.push_slot_always(slot(field), v),
                }
            }
            let options: WIPOffset<UnionWIPOffset> = b.end_table(start).as_union_value();
            let (inputs, outputs) =
                (b.create_vector(&operator.inputs), b.create_vector(&operator.outputs));
            let start = b.start_table();
            b.push_slot_always(slot(0), codes.len() as u32 - 1);
            b.push_slot_always(slot(1), inputs);
            b.push_slot_always(slot(2), outputs);
            b.push_slot_always(slot(3), 1u8);
            b.push_slot_always(slot(4), options);
            operators.push(b.end_table(start));
        }
        let outputs = match &self.outputs[..] {
            [] => &self.operators.last().expect("an operator").outputs,
            outputs => outputs,
        };
        let (inputs, outputs) = (b.create_vector(&[0i32]), b.create_vector(outputs));
        let tensors = b.create_vector(&tensors);
        let operators = b.create_vector(&operators);
        let start = b.start_table();
        b.push_slot_always(slot(0), tensors);
        b.push_slot_always(slot(1), inputs);
        b.push_slot_always(slot(2), outputs);
        b.push_slot_always(slot(3), operators);
        let graph = b.end_table(start);
        let graphs = b.create_vector(&[graph]);
        let codes = b.create_vector(&codes);
        let buffers = b.create_vector(&buffers);
        let start = b.start_table();
        b.push_slot_always(slot(0), 3u32);
        b.push_slot_always(slot(1), codes);
        b.push_slot_always(slot(2), graphs);
        b.push_slot_always(slot(4), buffers);
        let model = b.end_table(start);
        b.finish(model, Some("TFL3"));
        b.finished_data().to_vec()
    }
}
