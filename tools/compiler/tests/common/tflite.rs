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

/// A model; tensor 0 is its input, the last operator's results are its outputs.
#[derive(Default)]
pub struct Model {
    pub tensors: Vec<Tensor>,
    pub operators: Vec<Operator>,
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
        let slot = |field: u16| 4 + 2 * field;
        let mut buffers = Vec::new();
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            let (dtype, bytes): (i8, Option<Vec<u8>>) = match &tensor.data {
                Data::None if tensor.quantized.is_some() => (9, None),
                Data::None => (0, None),
                Data::Floats(v) => (0, Some(v.iter().flat_map(|v| v.to_le_bytes()).collect())),
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
        let outputs = &self.operators.last().expect("an operator").outputs;
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
