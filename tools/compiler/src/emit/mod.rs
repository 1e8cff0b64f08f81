//! Places values and writes kmodels; v4 here (docs/formats.md, section v4), v3 in [`v3`].

pub mod v3;

use maix_kpu::{
    error::Error,
    kpu::{
        layer::Layer,
        memory::{KPU_RAM_BYTES, ROW_BYTES, rows},
    },
    model::Model,
    tensor::{Dtype, ImageShape},
};
use std::time::Duration;

use crate::{
    graph::{ReduceOp, Window},
    memory::{self, Need},
    options::{KmodelVersion, NNIL, TABLE_LOOKUP},
    program::{Clamp, Factors, KpuLayer, Place, Program, Shape, Step, StepOp, ValueId},
    quantize::kpu::WEIGHT_ZERO,
};

/// A kmodel and what it needs.
pub struct Emitted {
    /// The file.
    pub kmodel: Vec<u8>,
    /// Bytes of main memory.
    pub arena: usize,
    /// Bytes of KPU RAM.
    pub kpu_ram: usize,
    /// For each node of the file the step that it does.
    pub steps: Vec<usize>,
    /// Where each value begins in its memory, in bytes.
    pub starts: Vec<usize>,
}

/// Where everything lies.
pub struct Placed {
    /// Bytes of main memory.
    pub arena: usize,
    /// Bytes of KPU RAM.
    pub kpu_ram: usize,
    /// Where each value begins in its memory, in bytes.
    pub starts: Vec<usize>,
    /// The constants.
    pub constants: Vec<u8>,
}

/// Why a program cannot become a kmodel.
#[derive(Debug)]
pub enum EmitError {
    /// At its fullest, KPU RAM would hold `needed` bytes; the step and what lies there then.
    KpuRam {
        /// Bytes needed.
        needed: usize,
        /// The step at which most is needed.
        step: usize,
        /// The values that lie in KPU RAM at that step.
        holds: Vec<ValueId>,
    },
    /// A step that breaks a rule of the hardware or of the format.
    Invalid {
        /// The step.
        step: usize,
        /// What is wrong.
        error: Error,
    },
    /// Steps that the version of the format has no operator for, and why.
    Refused(Vec<(usize, String)>),
}

/// Bytes that constants and main memory are aligned to.
const ALIGNMENT: usize = 8;
const BATCH_NORM_ALIGNMENT: usize = 128;
const ACTIVATION_ALIGNMENT: usize = 256;
const WEIGHTS_ALIGNMENT: usize = 128;

/// Lays out memory and writes the file.
pub fn emit(
    program: &Program,
    version: KmodelVersion,
    solve: Duration,
) -> Result<Emitted, EmitError> {
    let placed = lay_out(program, solve)?;
    let (kmodel, steps) = match version {
        KmodelVersion::V3 => v3::file(program, &placed)?,
        KmodelVersion::V4 => {
            let writer = Writer { program, starts: &placed.starts, bytes: Vec::new() };
            let kmodel = writer.file(&placed.constants, placed.arena)?;
            (kmodel, (0..program.steps.len()).collect())
        }
    };
    if let Err(error) = Model::open(&&kmodel[..]) {
        let step = error.node().and_then(|node| steps.get(node as usize)).copied().unwrap_or(0);
        return Err(EmitError::Invalid { step, error });
    }
    let Placed { arena, kpu_ram, starts, .. } = placed;
    Ok(Emitted { kmodel, arena, kpu_ram, steps, starts })
}

fn lay_out(program: &Program, solve: Duration) -> Result<Placed, EmitError> {
    let mut starts = vec![0; program.values.len()];
    let arena = place(program, Place::Main, solve, &mut starts);
    let kpu_ram = place(program, Place::Kpu, solve, &mut starts);
    if kpu_ram > KPU_RAM_BYTES {
        return Err(overfull(program, kpu_ram));
    }
    let mut constants = Vec::new();
    for (id, value) in program.values.iter().enumerate() {
        if let Some(data) = &value.data {
            constants.resize(constants.len().next_multiple_of(ALIGNMENT), 0);
            starts[id] = constants.len();
            constants.extend_from_slice(data);
        }
    }
    constants.resize(constants.len().next_multiple_of(ALIGNMENT), 0);
    for (id, value) in program.values.iter().enumerate() {
        if value.within.is_some() {
            let (root, distance) = program.root(id);
            let unit = if value.place == Place::Kpu { ROW_BYTES } else { 1 };
            starts[id] = starts[root] + distance * unit;
        }
    }
    Ok(Placed { arena, kpu_ram, starts, constants })
}

/// Units of memory of a value: bytes, or rows of KPU RAM.
fn size(program: &Program, id: ValueId) -> usize {
    let value = &program.values[id];
    match value.place {
        Place::Kpu => value.shape[0] * rows(value.image()) + value.spare_rows,
        _ => value.bytes().next_multiple_of(ALIGNMENT),
    }
}

/// When each value that owns memory of one kind is needed.
fn needs(program: &Program, place: Place) -> Vec<(ValueId, Need)> {
    let end = program.steps.len() + 1;
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; program.values.len()];
    let mut touch = |id: ValueId, at: usize| {
        let (root, _) = program.root(id);
        let span = spans[root].get_or_insert((at, at));
        *span = (span.0.min(at), span.1.max(at));
    };
    program.inputs.iter().for_each(|&id| touch(id, 0));
    for (at, step) in program.steps.iter().enumerate() {
        step.reads.iter().chain(&step.writes).for_each(|&id| touch(id, at + 1));
    }
    program.outputs.iter().for_each(|&id| touch(id, end));
    (0..program.values.len())
        .filter(|&id| program.values[id].place == place && program.values[id].within.is_none())
        .filter_map(|id| {
            let (from, to) = spans[id]?;
            Some((id, Need { size: size(program, id), from, to }))
        })
        .collect()
}

/// Places all values of one memory and returns its size in bytes.
fn place(program: &Program, place: Place, solve: Duration, starts: &mut [usize]) -> usize {
    let needs = needs(program, place);
    let list: Vec<Need> = needs.iter().map(|n| n.1).collect();
    let (offsets, total) = memory::plan(&list, solve);
    let unit = if place == Place::Kpu { ROW_BYTES } else { 1 };
    for ((id, _), offset) in needs.iter().zip(offsets) {
        starts[*id] = offset * unit;
    }
    total * unit
}

fn overfull(program: &Program, needed: usize) -> EmitError {
    let needs = needs(program, Place::Kpu);
    let at = |step: usize| needs.iter().filter(move |(_, n)| n.from <= step && step <= n.to);
    let fullest = needs
        .iter()
        .map(|(_, n)| n.from)
        .max_by_key(|&s| at(s).map(|(_, n)| n.size).sum::<usize>())
        .unwrap_or(0);
    EmitError::KpuRam {
        needed,
        step: fullest.saturating_sub(1),
        holds: at(fullest).map(|(id, _)| *id).collect(),
    }
}

struct Writer<'p> {
    program: &'p Program,
    starts: &'p [usize],
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn file(mut self, constants: &[u8], arena: usize) -> Result<Vec<u8>, EmitError> {
        let program = self.program;
        self.bytes.extend_from_slice(b"LDMK");
        for word in [
            4,
            0,
            1,
            constants.len(),
            arena,
            program.steps.len(),
            program.inputs.len(),
            program.outputs.len(),
            0,
        ] {
            self.usize(word);
        }
        program.inputs.iter().for_each(|&id| self.range(id));
        program.inputs.iter().for_each(|&id| self.shape(program.values[id].shape));
        program.outputs.iter().for_each(|&id| self.range(id));
        self.bytes.extend_from_slice(constants);
        let headers = self.bytes.len();
        self.bytes.resize(headers + 8 * program.steps.len(), 0);
        for (at, step) in program.steps.iter().enumerate() {
            let begin = self.bytes.len();
            self.body(step).map_err(|error| EmitError::Invalid { step: at, error })?;
            self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
            let size = (self.bytes.len() - begin) as u32;
            let header = headers + 8 * at;
            self.bytes[header..header + 4].copy_from_slice(&opcode(&step.op).to_le_bytes());
            self.bytes[header + 4..header + 8].copy_from_slice(&size.to_le_bytes());
        }
        Ok(self.bytes)
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn usize(&mut self, value: usize) {
        self.u32(value as u32);
    }

    fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn f32(&mut self, value: f32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn floats(&mut self, values: &[f32]) {
        values.iter().for_each(|&v| self.f32(v));
    }

    fn shape(&mut self, shape: Shape) {
        shape.iter().for_each(|&d| self.usize(d));
    }

    fn range(&mut self, id: ValueId) {
        let value = &self.program.values[id];
        let (memory, bytes) = match value.place {
            Place::Constant => (0, value.bytes()),
            Place::Main => (1, value.bytes()),
            Place::Kpu => (2, value.shape[0] * rows(value.image()) * ROW_BYTES),
        };
        let dtype = match value.dtype {
            Dtype::F32 => 0,
            Dtype::U8 => 1,
        };
        self.u32(memory);
        self.u32(dtype);
        self.usize(self.starts[id]);
        self.usize(bytes);
    }

    fn clamp(&mut self, clamp: Clamp) {
        self.f32(clamp.0);
        self.f32(clamp.1);
    }

    fn window(&mut self, window: &Window) {
        for (before, after) in window.pad {
            self.usize(before);
            self.usize(after);
        }
        for pair in [window.kernel, window.stride, window.dilation] {
            pair.iter().for_each(|&v| self.usize(v));
        }
    }

    fn factors(&mut self, f: Factors) {
        [f.offset, f.mul, f.shift].iter().for_each(|&v| self.i32(v));
    }

    fn body(&mut self, step: &Step) -> Result<(), Error> {
        let program = self.program;
        let shape = |id: ValueId| program.values[id].shape;
        let out = step.writes[0];
        match &step.op {
            StepOp::Kpu(layer) => return self.kpu_layer(step, layer),
            StepOp::Concat { axis } => {
                let (own, dtype) = (shape(out), program.values[out].dtype);
                self.range(out);
                self.usize(own[axis + 1..].iter().product::<usize>() * dtype.size());
                self.usize(own[..*axis].iter().product());
                self.usize(step.reads.len());
                step.reads.iter().for_each(|&id| self.range(id));
                step.reads.iter().for_each(|&id| self.usize(shape(id)[*axis]));
                return Ok(());
            }
            _ => {
                step.reads.iter().for_each(|&id| self.range(id));
                self.range(out);
            }
        }
        let input = shape(step.reads[0]);
        match &step.op {
            StepOp::Binary { op, clamp } => {
                self.u32(*op as u32);
                [input, shape(step.reads[1]), shape(out)].into_iter().for_each(|s| self.shape(s));
                self.clamp(*clamp);
            }
            StepOp::Conv2d { groups, window, clamp, weights, bias } => {
                self.shape(input);
                self.usize(*groups);
                self.usize(bias.len());
                self.window(window);
                self.clamp(*clamp);
                self.floats(weights);
                self.floats(bias);
            }
            StepOp::ConvTranspose { groups, window, clamp, weights, bias } => {
                self.shape(input);
                self.shape(shape(out));
                self.usize(*groups);
                self.window(window);
                self.clamp(*clamp);
                self.floats(weights);
                self.floats(bias);
            }
            StepOp::Dequantize(q) | StepOp::Quantize(q) => {
                self.i32(q.zero as i32);
                // The runtime multiplies by it to quantize and divides to dequantize.
                self.f32(1.0 / q.scale);
            }
            StepOp::MatMul { size, clamp, bias } => {
                size.iter().for_each(|&v| self.usize(v));
                self.clamp(*clamp);
                self.floats(bias);
            }
            StepOp::QuantizedMatMul { size, zeros, out, bias } => {
                size.iter().for_each(|&v| self.usize(v));
                zeros.iter().for_each(|&v| self.i32(v));
                [out.mul, out.shift, out.offset].iter().for_each(|&v| self.i32(v));
                bias.iter().for_each(|&v| self.i32(v));
            }
            StepOp::Pad { pads, value } => {
                self.shape(input);
                for &(before, after) in pads {
                    self.usize(before);
                    self.usize(after);
                }
                match program.values[out].dtype {
                    Dtype::F32 => {
                        self.u32(0);
                        self.f32(*value);
                    }
                    Dtype::U8 => {
                        self.u32(1);
                        self.u32(*value as u32);
                    }
                }
            }
            StepOp::Reduce { op } => {
                self.u32(*op as u32);
                self.shape(input);
                self.shape(shape(out));
                self.f32(op.init());
            }
            StepOp::ReduceWindow { op, window, clamp } => {
                self.u32(*op as u32);
                self.shape(input);
                self.window(window);
                self.f32(if *op == ReduceOp::Max { f32::MIN } else { op.init() });
                self.clamp(*clamp);
            }
            StepOp::Resize { bilinear, align_corners } => {
                self.shape(input);
                let own = shape(out);
                self.usize(own[2]);
                self.usize(own[3]);
                self.u32(u32::from(!bilinear));
                self.u32(u32::from(*align_corners));
            }
            StepOp::Softmax { inner, beta } => {
                self.usize(*inner);
                self.usize(input.iter().product::<usize>() / inner);
                self.f32(*beta);
            }
            StepOp::Transpose { perm } => {
                self.shape(input);
                self.shape(*perm);
            }
            StepOp::Slice { begin, strides } => {
                self.shape(input);
                self.shape(*begin);
                let own = shape(out);
                for d in 0..4 {
                    let last = begin[d] as isize + (own[d] as isize - 1) * strides[d];
                    self.i32((last + strides[d].signum()) as i32);
                }
                strides.iter().for_each(|&s| self.i32(s as i32));
                (0..5).for_each(|_| self.i32(0));
            }
            StepOp::Unary(op) => self.u32(*op as u32),
            StepOp::QuantizedBinary { op, a, b, out: scale } => {
                self.u32(*op as u32);
                [input, shape(step.reads[1]), shape(out)].into_iter().for_each(|s| self.shape(s));
                self.factors(*a);
                self.factors(*b);
                [scale.offset, scale.mul, scale.shift].iter().for_each(|&v| self.i32(v));
            }
            StepOp::Nnil { code } => self.bytes.extend_from_slice(code),
            StepOp::Upload => self.shape(shape(out)),
            StepOp::Lookup | StepOp::Kpu(_) | StepOp::Concat { .. } => {}
        }
        Ok(())
    }

    fn kpu_layer(&mut self, step: &Step, kpu: &KpuLayer) -> Result<(), Error> {
        let (mut layer, parameters) =
            (kpu_layer_words(self.program, self.starts, step, kpu)?, &kpu.parameters);
        match step.writes.get(1) {
            Some(&main) => self.range(main),
            None => (0..4).for_each(|_| self.u32(0)),
        }
        self.u32(1);
        self.u32(0);
        let words = self.bytes.len();
        let gap = |at: usize, alignment: usize| at.next_multiple_of(alignment) - at;
        let mut at = words + 96;
        layer.bn_addr = gap(at, BATCH_NORM_ALIGNMENT) as u32;
        at += layer.bn_addr as usize + 8 * parameters.batch_norm.len();
        layer.act_addr = gap(at, ACTIVATION_ALIGNMENT) as u32;
        at += layer.act_addr as usize + maix_kpu::kpu::layer::ACTIVATION_BYTES;
        layer.weight_addr = gap(at, WEIGHTS_ALIGNMENT) as u32;
        layer.encode().iter().for_each(|w| self.bytes.extend_from_slice(&w.to_le_bytes()));
        self.zeros(layer.bn_addr);
        parameters.batch_norm.iter().for_each(|bn| self.bytes.extend_from_slice(&bn.encode()));
        self.zeros(layer.act_addr);
        self.bytes.extend_from_slice(&parameters.activation.encode());
        self.zeros(layer.weight_addr);
        self.bytes.extend_from_slice(&parameters.weights);
        Ok(())
    }

    fn zeros(&mut self, count: u32) {
        self.bytes.resize(self.bytes.len() + count as usize, 0);
    }
}

/// The hardware's fields of a layer.
fn kpu_layer_words(
    program: &Program,
    starts: &[usize],
    step: &Step,
    kpu: &KpuLayer,
) -> Result<Layer, Error> {
    let [source, target] = [step.reads[0], step.writes[0]];
    let input: ImageShape = program.values[source].image();
    let mut layer = new_layer(kpu, input, program.values[target].shape[1])?;
    let line_rows = maix_kpu::kpu::memory::RowLayout::of(input.width).line_rows;
    layer.src_row = starts[source] / ROW_BYTES + kpu.skip_lines * line_rows;
    layer.dst_row = starts[target] / ROW_BYTES;
    layer.check()?;
    Ok(layer)
}

/// A layer over an image, without rows and addresses.
pub fn new_layer(kpu: &KpuLayer, input: ImageShape, channels: usize) -> Result<Layer, Error> {
    let mut layer = Layer::new(input, channels, kpu.kernel, kpu.depthwise, kpu.pool, true)?;
    layer.pad_value = kpu.pad_value;
    layer.arg_x = -WEIGHT_ZERO;
    layer.int_en = true;
    Ok(layer)
}

/// The operator's number.
fn opcode(op: &StepOp) -> u32 {
    match op {
        StepOp::Binary { .. } => 0x00,
        StepOp::Concat { .. } => 0x01,
        StepOp::Conv2d { .. } => 0x02,
        StepOp::Dequantize(_) => 0x03,
        StepOp::MatMul { .. } => 0x04,
        StepOp::Pad { .. } => 0x05,
        StepOp::Quantize(_) => 0x06,
        StepOp::Reduce { .. } => 0x07,
        StepOp::ReduceWindow { .. } => 0x08,
        StepOp::Resize { .. } => 0x0A,
        StepOp::Softmax { .. } => 0x0B,
        StepOp::Transpose { .. } => 0x0C,
        StepOp::Slice { .. } => 0x0D,
        StepOp::Unary(_) => 0x0E,
        StepOp::QuantizedMatMul { .. } => 0x10,
        StepOp::QuantizedBinary { .. } => 0x11,
        StepOp::Lookup => TABLE_LOOKUP,
        StepOp::ConvTranspose { .. } => 0x13,
        StepOp::Nnil { .. } => NNIL,
        StepOp::Upload => 0x2001,
        StepOp::Kpu(_) => 0x2002,
    }
}
